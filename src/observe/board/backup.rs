//! The board of a backup.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actors::board::feed::FeedFigures;
use actors::board::{Board, Tally};
use actors::feed::{Feed, SourceName};
use actors::journal_room::JournalRoom;
use actors::ports::state::{StateCounts, SuspectFeed};
use actors::statistics::Statistics;
use actors::supervisor::Pulse;
use actors::timestamp::Timestamp;

use super::{Process, ProcessBoard};
use crate::adapters::volume::Look;
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
    /// Those in the spans that `counts` has.
    suspect_pulls: u64,
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

    /// So much waits.
    pub fn counted(&self, counts: StateCounts, room: &JournalRoom) {
        let mut backlog = self.backlog();
        backlog.is_counted = true;
        backlog.counts = counts;
        backlog.journal = JournalStatus {
            bytes: room.used(),
            reserved_bytes: room.reserved(),
            aside_bytes: room.aside(),
            taken_bytes: room.used() + room.reserved() + room.aside(),
            max_bytes: room.most(),
            ..backlog.journal
        };
        backlog.is_blocked = room.is_blocked(SMALLEST_ANSWER);
    }

    /// These feeds have suspect pulls.
    pub fn suspected(&self, feeds: &[SuspectFeed]) {
        self.backlog().suspect_pulls = feeds.iter().map(|feed| feed.pulls).sum();
    }

    /// The disk has been looked at.
    pub fn looked(&self, shelf: Shelf) {
        let mut backlog = self.backlog();
        backlog.journal.volume_free_bytes = shelf.volume.map(|volume| volume.free);
        backlog.journal.volume_bytes = shelf.volume.map(|volume| volume.size);
        backlog.shelf = shelf;
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.0.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProcessBoard for BackupBoard {
    fn process(&self) -> &Process {
        &self.0.process
    }

    fn snapshot(&self) -> Snapshot {
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
            suspect_pulls_in_all: backlog.suspect_pulls,
        });
        snapshot
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
