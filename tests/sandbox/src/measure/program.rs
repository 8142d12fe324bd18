//! The program that is measured: its settings, and how it is watched until its work is done.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::Case;
use super::servers::{Seen, Servers};
use crate::child::{Ending, Program, Taken};

/// How much of huge binaries has to be on the other side before the program is told to end: memory has long peaked.
const ENOUGH_OF_HUGE: u64 = 10 * 1024 * 1024 * 1024;

/// How long nothing may move.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was seen of one run of the program.
pub(super) struct Watched {
    pub(super) seen: Seen,
    pub(super) elapsed: Duration,
    pub(super) taken: Taken,
}

/// Runs the program until all is where it should be, or enough of it.
pub(super) fn watched(
    case: Case,
    short: bool,
    servers: &mut Servers,
    folder: &Path,
    log: &Path,
) -> anyhow::Result<Watched> {
    let command = if case.restores() { "restore" } else { "backup" };
    let mut program = Program::start(settings(case, servers, folder), &[command], log)?;
    let begun = Instant::now();
    let (elapsed, seen) = match case.restores() && !ends_early(case, short) {
        true => to_its_end(&mut program, servers, begun)?,
        false => until_enough(case, short, &mut program, servers, begun)?,
    };
    Ok(Watched {
        seen,
        elapsed,
        taken: program.taken(),
    })
}

/// A restore ends by itself.
fn to_its_end(
    program: &mut Program,
    servers: &mut Servers,
    begun: Instant,
) -> anyhow::Result<(Duration, Seen)> {
    let mut movement = Movement::new();
    loop {
        match program.poll()? {
            Some(Ending::Exit(0)) => return Ok((begun.elapsed(), servers.seen()?)),
            Some(ending) => bail!("the program ended with {ending:?}"),
            None => movement.note(&servers.seen()?)?,
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn until_enough(
    case: Case,
    short: bool,
    program: &mut Program,
    servers: &mut Servers,
    begun: Instant,
) -> anyhow::Result<(Duration, Seen)> {
    let mut movement = Movement::new();
    let (elapsed, seen) = loop {
        let seen = servers.seen()?;
        if is_enough(case, short, servers, &seen) {
            break (begun.elapsed(), seen);
        }
        if let Some(ending) = program.poll()? {
            bail!("the program ended early with {ending:?}");
        }
        movement.note(&seen)?;
        std::thread::sleep(Duration::from_millis(20));
    };
    program.signal(libc::SIGTERM);
    // A backup has done what it was to do; a restore has not.
    let expected = Ending::Exit(i32::from(case.restores()));
    match program.wait(Duration::from_secs(40))? {
        Some(ending) if ending == expected => Ok((elapsed, seen)),
        ending => bail!("told to end, the program ended with {ending:?}"),
    }
}

/// When something last moved.
struct Movement {
    moved: Instant,
    at: (u64, u64, u64),
}

impl Movement {
    fn new() -> Self {
        Self {
            moved: Instant::now(),
            at: (0, 0, 0),
        }
    }

    fn note(&mut self, seen: &Seen) -> anyhow::Result<()> {
        let now = (seen.dispatched, seen.arrived.events, seen.arrived.bytes);
        if now != self.at {
            (self.moved, self.at) = (Instant::now(), now);
        } else if self.moved.elapsed() > PATIENCE {
            bail!("nothing has moved for {PATIENCE:?}: {seen:?}");
        }
        Ok(())
    }
}

fn is_enough(case: Case, short: bool, servers: &Servers, seen: &Seen) -> bool {
    let ready = &servers.ready;
    let all = seen.arrived.events >= ready.events && seen.arrived.streams >= ready.streams;
    all || ends_early(case, short) && seen.arrived.bytes >= ENOUGH_OF_HUGE
}

/// Whether the program is told to end before everything is on the other side.
pub(super) fn ends_early(case: Case, short: bool) -> bool {
    case.is_huge() && !short
}

fn settings(case: Case, servers: &Servers, folder: &Path) -> Vec<(&'static str, String)> {
    let ready = &servers.ready;
    let sources: Vec<String> = ready
        .sources
        .iter()
        .map(|source| format!("{source}: {{}}"))
        .collect();
    let restore_type = match case {
        Case::RestoreEvents => "events",
        _ if case.restores() => "streams",
        _ => "all",
    };
    vec![
        ("BK__DISPATCHER_EVENTS", ready.dispatcher.clone()),
        ("BK__EXTERNAL_BACKUP__ENDPOINT", ready.bucket.clone()),
        ("BK__EXTERNAL_BACKUP__ACCESS_KEY", "sandbox".to_owned()),
        ("BK__EXTERNAL_BACKUP__SECRET_KEY", "sandbox-secret".to_owned()),
        ("BK__SOURCES", format!("sources: {{{}}}", sources.join(", "))),
        (
            "BK__LOCAL_DATA__ROOTDIR",
            folder.join("state").display().to_string(),
        ),
        ("BK__EVENT_BATCH_SIZE", ready.batch.to_string()),
        ("BK__STREAM_ROUTINE_COUNT", case.workers().to_string()),
        ("BK__RESTORE_TYPE", restore_type.to_owned()),
        // so that all answers come at once: there must be room for them on the disk
        ("BK__JOURNAL_MAX_BYTES", "8GiB".to_owned()),
    ]
}
