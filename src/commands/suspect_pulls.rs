//! Lists the pulls that may have cost events, and says what that means.

use std::io::{self, BufWriter, Write};

use actors::ports::state::SuspectSpan;
use actors::timestamp::Timestamp;

use super::CommandFault;
use super::state_access::StateAccess;
use crate::cli::SuspectPulls;
use crate::exit::Exit;
use crate::settings::StateSettings;

/// What an operator has to know of suspect pulls.
const MEANING: &str = "\
A suspect pull may have cost events: the dispatcher forgets what it hands out, so when an answer is lost on its way
nobody can tell whether it held any. What was lost is still in Azul, and can be missing from the backup, with the
binaries that only it names. Nothing heals this by itself yet: a later version reads such feeds again and backs up what
is missing (the recheck). Until then a full backup under another BK__BACKUP_ID is what surely has these events.";

/// Lists all of them.
pub fn run(settings: &StateSettings, wanted: &SuspectPulls) -> Exit {
    super::on_state::run(settings, StateAccess::of, |access, out| {
        list(access, wanted, out).map(|()| Exit::Done)
    })
}

fn list(access: &StateAccess, wanted: &SuspectPulls, out: &mut dyn Write) -> Result<(), CommandFault> {
    let mut out = BufWriter::new(out);
    let (mut pulls, mut feeds, mut after) = (0, 0_u64, None);
    loop {
        let page = access.suspects_after(after.clone())?;
        let Some(last) = page.last() else { break };
        let next = (last.feed.clone(), last.since);
        if pulls == 0 && !wanted.json {
            line(["since", "until", "long", "pulls", "feed", "reason"], &mut out)?;
        }
        let mut feed = after.map(|(feed, _)| feed);
        for span in &page {
            pulls += span.pulls;
            feeds += u64::from(feed.replace(span.feed.clone()).as_ref() != Some(&span.feed));
            match wanted.json {
                true => writeln!(out, "{}", json(span))?,
                false => row(span, &mut out)?,
            }
        }
        after = Some(next);
    }
    if !wanted.json {
        match pulls {
            0 => writeln!(out, "No pull is suspect.")?,
            _ => writeln!(out, "\n{pulls} suspect pulls of {feeds} feeds.\n{MEANING}")?,
        }
    }
    Ok(out.flush()?)
}

fn json(span: &SuspectSpan) -> serde_json::Value {
    serde_json::json!({
        "feed": span.feed.to_string(),
        "since": span.since.to_string(),
        "until": span.until.to_string(),
        "seconds": span.until.since(span.since).as_secs_f64(),
        "pulls": span.pulls,
        "reason": span.reason,
    })
}

fn row(span: &SuspectSpan, out: &mut impl Write) -> io::Result<()> {
    // A reason may quote an answer from outside: it must not move the cursor of a terminal.
    let reason: String = span.reason.escape_debug().collect();
    line(
        [
            &millis(span.since),
            &millis(span.until),
            &format!("{:.1}s", span.until.since(span.since).as_secs_f64()),
            &span.pulls.to_string(),
            &span.feed.to_string(),
            &reason,
        ],
        out,
    )
}

fn millis(time: Timestamp) -> String {
    let time = time.as_micros();
    Timestamp::from_micros(time - time.rem_euclid(1000)).to_string()
}

fn line([since, until, long, pulls, feed, reason]: [&str; 6], out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{since:<24}  {until:<24}  {long:>9}  {pulls:>6}  {feed:<32}  {reason}"
    )
}
