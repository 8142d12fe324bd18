//! The board of a backup.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actors::board::feed::FeedFigures;
use actors::board::{Board, Tally};
use actors::feed::{Feed, SourceName};
use actors::journal_room::JournalRoom;
use actors::ports::state::StateCounts;
use actors::statistics::Statistics;
use actors::supervisor::Pulse;
use actors::timestamp::Timestamp;

use super::{Process, RenderMetrics, render_metrics};
use crate::adapters::metered::Meter;
use crate::adapters::volume::Look;
use crate::observe::Source;
use crate::observe::snapshot::{BackupStanding, Doing, FeedStatus, JournalStatus, Snapshot, StreamBacklog};

/// The bytes that an answer needs at least; where there is no room for so many, nothing is pulled.
const SMALLEST_ANSWER: u64 = 256 * 1024;

/// Where a backup shows how it stands. Clones share it; threads may differ.
#[derive(Clone, Debug)]
pub struct BackupBoard(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    process: Process,
    feeds: Board,
    statistics: Arc<Statistics>,
    backlog: Mutex<Backlog>,
}

/// What was last known of what waits.
#[derive(Debug, Default)]
struct Backlog {
    /// Before that nothing is known: zeros would be a lie.
    is_counted: bool,
    counts: StateCounts,
    journal: JournalStatus,
    /// What was put aside leaves no room in the journal.
    is_blocked: bool,
    shelf: Shelf,
}

/// What only a look at the disk can tell.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    /// When the first of the pending streams was named.
    pub oldest_pending: Option<Timestamp>,
    /// Some of the streams that are set aside.
    pub failed_names: Vec<String>,
    /// The volume; `None` if it does not answer.
    pub volume: Option<Look>,
}

impl BackupBoard {
    /// Of a process that backs up these feeds, with nothing else to show yet.
    pub fn new(backup_id: &str, configured: &[Feed], pulse: Pulse, retries: Tally) -> Self {
        let sources = configured.iter().map(|feed| feed.source().clone());
        Self(Arc::new(Shared {
            process: Process::new(Doing::Backup, backup_id, pulse, retries),
            feeds: Board::of(configured.iter().cloned()),
            statistics: Statistics::new(sources.collect::<std::collections::BTreeSet<SourceName>>()),
            backlog: Mutex::default(),
        }))
    }

    /// Where feeds show how they stand.
    pub fn feeds(&self) -> Board {
        self.0.feeds.clone()
    }

    /// The figures per source.
    pub fn statistics(&self) -> Arc<Statistics> {
        Arc::clone(&self.0.statistics)
    }

    /// Where requests are noted.
    pub fn meter(&self) -> &Meter {
        &self.0.process.meter
    }

    /// Local state is open.
    pub fn state_opened(&self) {
        self.0.process.reached(|start| start.opened = true);
    }

    /// All feeds have started.
    pub fn feeds_started(&self) {
        self.0.process.reached(|start| start.begun = true);
    }

    /// A signal came before that.
    pub fn start_given_up(&self) {
        self.0.process.reached(|start| start.given_up = true);
    }

    /// So much waits.
    pub fn counted(&self, counts: StateCounts, room: &JournalRoom) {
        let mut backlog = self.backlog();
        backlog.is_counted = true;
        backlog.counts = counts;
        backlog.journal.bytes = room.used();
        backlog.journal.max_bytes = room.most();
        backlog.journal.aside_bytes = room.aside();
        backlog.is_blocked = room.is_blocked(SMALLEST_ANSWER);
    }

    /// The disk has been looked at.
    pub fn looked(&self, shelf: Shelf) {
        let mut backlog = self.backlog();
        backlog.journal.volume_free_bytes = shelf.volume.map(|volume| volume.free);
        backlog.journal.volume_bytes = shelf.volume.map(|volume| volume.size);
        backlog.shelf = shelf;
    }

    /// How it stands now.
    pub fn snapshot(&self) -> Snapshot {
        let Shared {
            process,
            feeds,
            statistics,
            ..
        } = &*self.0;
        let mut snapshot = process.snapshot(statistics.figures().into_iter().collect());
        let backlog = self.backlog();
        snapshot.not_ready.extend(backlog.cannot_journal());
        let figures = feeds.figures().into_iter();
        snapshot.backup = backlog.is_counted.then(|| BackupStanding {
            feeds: figures.map(|(feed, figures)| status(feed, figures)).collect(),
            streams: backlog.streams(snapshot.taken),
            journal: backlog.journal.clone(),
            suspect_pulls: backlog.counts.suspect_pulls,
        });
        snapshot
    }

    /// What takes snapshots of it.
    pub fn source(&self) -> Source {
        let board = self.clone();
        Arc::new(move || board.snapshot())
    }

    /// What makes the text of its metrics.
    pub fn metrics(&self) -> RenderMetrics {
        render_metrics(self.source(), self.meter())
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.0.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backlog {
    /// Why nothing more can be journaled.
    fn cannot_journal(&self) -> Option<String> {
        let JournalStatus {
            aside_bytes,
            max_bytes,
            ..
        } = self.journal;
        if self.is_blocked {
            return Some(format!(
                "the journal cannot take more: {aside_bytes} of its {max_bytes} bytes (JOURNAL_MAX_BYTES) are answers \
                 that were put aside"
            ));
        }
        let volume = self.shelf.volume?;
        let least = volume.short_of?;
        Some(format!(
            "the journal cannot take more: {} bytes are free on the volume of local state, and nothing is pulled \
             before there are {least}",
            volume.free
        ))
    }

    fn streams(&self, now: Timestamp) -> StreamBacklog {
        let oldest = self.shelf.oldest_pending.filter(|_| self.counts.pending > 0);
        StreamBacklog {
            pending: self.counts.pending,
            oldest_pending_seconds: oldest.map(|named| now.since(named).as_secs_f64()),
            failed: self.counts.failed,
            failed_names: self.shelf.failed_names.clone(),
            missing: self.counts.missing,
        }
    }
}

fn status(feed: Feed, figures: FeedFigures) -> FeedStatus {
    let errors = figures.errors.into_iter();
    FeedStatus {
        feed,
        configured: figures.configured,
        ready: figures.ready,
        behind_since: figures.behind_since,
        last_event: figures.last_event,
        last_bundle: figures.last_bundle,
        last_pull: figures.last_pull,
        oldest_waiting: figures.waiting.oldest,
        waiting_events: figures.waiting.events,
        waiting_bytes: figures.waiting.bytes,
        events: figures.events,
        bundles: figures.bundles,
        suspect_pulls: figures.suspect_pulls,
        backpressure_seconds: figures.backpressure.as_secs_f64(),
        errors: errors.map(|(work, count)| (work.to_owned(), count)).collect(),
        trouble: figures.trouble,
    }
}

#[cfg(test)]
mod tests;
