//! What an operator sees of a running backup: a table of statistics every minute for the first half hour and
//! hourly after it, or, on a terminal, a line that moves; and the table once more at the end.

mod line;
mod table;

use std::io::IsTerminal;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::Addr;
use actors::hit_cache::{AskQueueDepth, HitCacheActor, QueueDepth};
use actors::journal_room::JournalRoom;
use actors::ports::LocalState;
use actors::ports::state::StateCounts;
use actors::statistics::Statistics;
use indicatif::{ProgressBar, ProgressStyle};

use self::line::line;
use self::table::{Backlog, Figures, Snapshot, total};

/// How often there is a table at first.
const MINUTE: Duration = Duration::from_secs(60);

/// After this many tables there is one an hour.
const MINUTES_AT_FIRST: u32 = 30;

/// How often the line on a terminal moves.
const TICK: Duration = Duration::from_millis(500);

/// How long to wait for the table of this number; the first one is 1.
fn next_wait(tick: u32) -> Duration {
    if tick <= MINUTES_AT_FIRST {
        MINUTE
    } else {
        60 * MINUTE
    }
}

/// The figures at one moment, which the next rates are reckoned from.
struct Seen {
    at: Instant,
    figures: Figures,
}

/// Reports on a running backup.
#[derive(Clone)]
pub(super) struct Reporter(Rc<Shared>);

struct Shared {
    statistics: Arc<Statistics>,
    state: Rc<dyn LocalState>,
    room: JournalRoom,
    pretty: bool,
    begun: Instant,
    bar: Option<ProgressBar>,
}

impl Reporter {
    pub(super) fn new(
        statistics: Arc<Statistics>,
        state: Rc<dyn LocalState>,
        room: JournalRoom,
        pretty: bool,
    ) -> Self {
        let bar = (pretty && std::io::stderr().is_terminal()).then(|| {
            let bar = crate::logging::with_progress(ProgressBar::new_spinner());
            bar.set_style(
                ProgressStyle::with_template("{spinner} {elapsed_precise} {wide_msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar
        });
        Self(Rc::new(Shared {
            statistics,
            state,
            room,
            pretty,
            begun: Instant::now(),
            bar,
        }))
    }

    /// Reports from now on.
    pub(super) fn watch(&self, hit_cache: Addr<HitCacheActor>) {
        let reporter = self.clone();
        let on_terminal = self.0.bar.is_some();
        actix_rt::spawn(async move {
            let mut last = reporter.nothing();
            for tick in 1u32.. {
                tokio::time::sleep(if on_terminal { TICK } else { next_wait(tick) }).await;
                let Ok(depth) = hit_cache.send(AskQueueDepth).await else {
                    return;
                };
                let now = Seen {
                    at: Instant::now(),
                    figures: reporter.0.statistics.figures(),
                };
                reporter.tell(&last, &now, depth);
                last = now;
            }
        });
    }

    /// What there was at the start.
    fn nothing(&self) -> Seen {
        Seen {
            at: self.0.begun,
            figures: Figures::new(),
        }
    }

    fn tell(&self, last: &Seen, now: &Seen, depth: QueueDepth) {
        let backlog = self.backlog(Some(depth));
        match &self.0.bar {
            Some(bar) => bar.set_message(line(
                &total(&last.figures),
                &total(&now.figures),
                now.at - last.at,
                &backlog,
            )),
            None => self.table("statistics", last, now, backlog),
        }
    }

    /// The last table, with averages over all the time. The actors have ended: of their queue there is nothing to tell.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.0.bar {
            bar.finish_and_clear();
        }
        let now = Seen {
            at: Instant::now(),
            figures: self.0.statistics.figures(),
        };
        self.table("final statistics", &self.nothing(), &now, self.backlog(None));
    }

    fn table(&self, title: &str, last: &Seen, now: &Seen, backlog: Backlog) {
        let snapshot = Snapshot {
            sources: now.figures.clone(),
            before: last.figures.clone(),
            took: now.at - last.at,
            running: now.at - self.0.begun,
            backlog,
            suspects: self.0.state.suspect_feeds(),
        };
        if self.0.pretty {
            log::info!("{title} after {}\n{}", snapshot.duration(), snapshot.table());
        } else {
            snapshot.log_each(title);
        }
    }

    fn backlog(&self, queue: Option<QueueDepth>) -> Backlog {
        let StateCounts {
            pending,
            missing,
            failed,
            suspect_pulls: _,
        } = self.0.state.counts();
        Backlog {
            pending,
            queue,
            missing,
            failed,
            journal_bytes: self.0.room.used(),
            aside_bytes: self.0.room.aside(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_table_every_minute_for_half_an_hour_and_hourly_after_it() {
        let at: Vec<u64> = (1..=33)
            .scan(Duration::ZERO, |at, tick| {
                *at += next_wait(tick);
                Some(at.as_secs() / 60)
            })
            .collect();
        assert_eq!(at[..30], (1..=30).collect::<Vec<_>>());
        assert_eq!(at[30..], [90, 150, 210]);
    }
}
