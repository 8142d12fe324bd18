//! What an operator sees of a restore: on a terminal a line for each source and feed that is being worked on;
//! elsewhere the same lines in the log, once a minute; and at the end one table, and one sentence.

mod lines;
mod table;
mod verdict;

use std::cell::RefCell;
use std::io::{IsTerminal as _, Write as _};
use std::rc::Rc;
use std::time::{Duration, Instant};

use actors::restore::progress::Progress;
use indicatif::{ProgressBar, ProgressStyle};

use self::lines::{Line, MOST_LINES, Seen, lines};
use crate::exit::Exit;

pub(super) use self::table::{count, table};
pub use self::verdict::{Ending, Verdict};

/// How often there are lines in the log.
const MINUTE: Duration = Duration::from_secs(60);

/// How often the lines on a terminal move.
const TICK: Duration = Duration::from_millis(500);

/// Rates are those of so many ticks, or of the last minute in the log.
const TICKS_OF_A_RATE: usize = 40;

/// Reports on a running restore.
#[derive(Clone)]
pub struct Reporter(Rc<Shared>);

struct Shared {
    pretty: bool,
    json: bool,
    /// The lines on the terminal, if there is one.
    bars: Option<Vec<ProgressBar>>,
    seen: RefCell<Seen>,
}

impl Reporter {
    /// `pretty`: the log is for people; `json`: the final report goes to standard output as well, for machines.
    pub fn new(pretty: bool, json: bool) -> Self {
        let bars = (pretty && std::io::stderr().is_terminal()).then(|| {
            let bar = || crate::logging::with_progress(ProgressBar::new(0));
            // The first is the one of everything together.
            std::iter::repeat_with(bar).take(MOST_LINES + 1).collect()
        });
        Self(Rc::new(Shared {
            pretty,
            json,
            bars,
            seen: RefCell::default(),
        }))
    }

    /// Reports from now on, as long as `now` gives progress; on the thread of the actors.
    pub fn watch(&self, now: impl Fn() -> Option<Progress> + 'static) {
        let reporter = self.clone();
        actix_rt::spawn(async move {
            let tick = if reporter.0.bars.is_some() { TICK } else { MINUTE };
            while let Some(progress) = now() {
                reporter.tell(progress);
                tokio::time::sleep(tick).await;
            }
        });
    }

    fn tell(&self, now: Progress) {
        let mut seen = self.0.seen.borrow_mut();
        let at = Instant::now();
        let lines = lines(&seen, &now, at);
        match &self.0.bars {
            Some(bars) => show(bars, &lines),
            None if seen.is_empty() => {}
            None => lines.iter().for_each(|line| log::info!("{}", line.text)),
        }
        let kept = if self.0.bars.is_some() { TICKS_OF_A_RATE } else { 1 };
        while seen.len() >= kept {
            seen.pop_front();
        }
        seen.push_back((at, now));
    }

    /// The table and the verdict, which says how the program ends. `nothing_of` as for [`Verdict::of`].
    pub fn finish(&self, progress: &Progress, ending: &Ending, nothing_of: Vec<String>) -> Verdict {
        for bar in self.0.bars.iter().flatten() {
            bar.finish_and_clear();
        }
        let verdict = Verdict::of(progress, ending, nothing_of);
        let level = match verdict.exit() {
            Exit::Done => log::Level::Info,
            _ => log::Level::Error,
        };
        if self.0.pretty {
            log::log!(level, "final report\n{}", table::text(progress, &verdict));
        } else {
            // One record with everything in it, and the sentence as its message.
            let report = table::json(progress, &verdict).to_string();
            log::log!(level, report = report.as_str(); "{verdict}");
        }
        if self.0.json {
            // A reader that has gone is nothing to complain about: the log has it all.
            let _ = writeln!(std::io::stdout().lock(), "{}", table::json(progress, &verdict));
        }
        verdict
    }
}

fn show(bars: &[ProgressBar], lines: &[Line]) {
    for (place, bar) in bars.iter().enumerate() {
        let template = match lines.get(place) {
            None => "",
            Some(Line { share: None, .. }) => "{wide_msg}",
            Some(_) => "{bar:20} {percent:>3}% {wide_msg}",
        };
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        if let Some(line) = lines.get(place) {
            let (done, total) = line.share.unwrap_or_default();
            bar.set_length(total.max(done));
            bar.set_position(done);
            bar.set_message(line.text.clone());
        }
        bar.tick();
    }
}

#[cfg(test)]
mod tests;
