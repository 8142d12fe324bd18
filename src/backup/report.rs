//! What an operator sees of a running backup: a table of statistics every minute for the first half hour and
//! hourly after it, or, on a terminal, a line that moves; and the table once more at the end.

mod table;

use std::cell::RefCell;
use std::io::IsTerminal;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::Addr;
use actors::hit_cache::{AskQueueDepth, HitCacheActor, QueueDepth};
use actors::journal_room::JournalRoom;
use actors::ports::LocalState;
use actors::ports::state::StateCounts;
use actors::statistics::{SourceFigures, Statistics};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use self::table::{Backlog, Snapshot};

/// How often there is a table at first.
const MINUTE: Duration = Duration::from_secs(60);

/// After this many tables there is one an hour.
const MINUTES_AT_FIRST: u32 = 30;

/// How often the line on a terminal moves.
const TICK: Duration = Duration::from_millis(500);

/// Reports on a running backup.
#[derive(Clone)]
pub(super) struct Reporter(Rc<Shared>);

struct Shared {
    statistics: Arc<Statistics>,
    state: Rc<dyn LocalState>,
    room: JournalRoom,
    pretty: bool,
    begun: Instant,
    depth: RefCell<QueueDepth>,
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
                ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}")
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
            depth: RefCell::default(),
            bar,
        }))
    }

    /// Reports from now on.
    pub(super) fn watch(&self, hit_cache: Addr<HitCacheActor>) {
        let reporter = self.clone();
        let on_terminal = self.0.bar.is_some();
        actix_rt::spawn(async move {
            let mut last = reporter.0.statistics.total();
            for tick in 1u32.. {
                let wait = match tick {
                    _ if on_terminal => TICK,
                    ..=MINUTES_AT_FIRST => MINUTE,
                    _ => 60 * MINUTE,
                };
                tokio::time::sleep(wait).await;
                let Ok(depth) = hit_cache.send(AskQueueDepth).await else {
                    return;
                };
                *reporter.0.depth.borrow_mut() = depth;
                let now = reporter.0.statistics.total();
                match &reporter.0.bar {
                    Some(bar) => bar.set_message(reporter.line(&last, &now, wait)),
                    None => reporter.table("statistics"),
                }
                last = now;
            }
        });
    }

    /// The last table.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.0.bar {
            bar.finish_and_clear();
        }
        self.table("final statistics");
    }

    fn table(&self, title: &str) {
        let snapshot = Snapshot {
            sources: self.0.statistics.figures(),
            running: self.0.begun.elapsed(),
            backlog: self.backlog(),
        };
        if self.0.pretty {
            log::info!("{title} after {}\n{}", snapshot.duration(), snapshot.table());
        } else {
            snapshot.log_each(title);
        }
    }

    fn backlog(&self) -> Backlog {
        let StateCounts {
            pending,
            missing,
            failed,
            suspect_pulls,
        } = self.0.state.counts();
        let QueueDepth { waiting, out } = *self.0.depth.borrow();
        let journal_bytes = self.0.room.used();
        Backlog {
            pending,
            waiting,
            out,
            missing,
            failed,
            suspect_pulls,
            journal_bytes,
        }
    }

    fn line(&self, last: &SourceFigures, now: &SourceFigures, took: Duration) -> String {
        let rate = |count: u64| count as f64 / took.as_secs_f64();
        let backlog = self.backlog();
        format!(
            "events {} ({:.0}/s) · bundles {} · streams {} ({:.0}/s) · in {} ({}/s) · waiting {} · pending {} · journal {}",
            HumanCount(now.events_received),
            rate(now.events_received - last.events_received),
            HumanCount(now.bundles),
            HumanCount(now.streams_ok),
            rate(now.streams_ok - last.streams_ok),
            HumanBytes(now.bytes_in),
            HumanBytes(rate(now.bytes_in - last.bytes_in) as u64),
            backlog.waiting,
            HumanCount(backlog.pending),
            HumanBytes(backlog.journal_bytes),
        )
    }
}
