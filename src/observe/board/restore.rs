//! The board of a restore.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actors::board::Tally;
use actors::restore::progress::{Progress, Total};
use actors::statistics::SourceFigures;
use actors::supervisor::Pulse;
use actors::timestamp::Timestamp;
use tokio::time::Instant;

use super::pace::Pace;
use super::{Process, ProcessBoard};
use crate::observe::snapshot::{Doing, RestoreStanding, Snapshot};

/// Where a restore shows how it stands. Clones share it; threads may differ.
#[derive(Clone, Debug)]
pub struct RestoreBoard(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    process: Process,
    shown: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    progress: Progress,
    pace: Pace,
    /// Objects that were done, and pages and objects that had been looked at, when it was last shown; `None` before the
    /// first time.
    reached: Option<(u64, u64)>,
    last_progress: Option<Timestamp>,
    /// Which start of this restore this is.
    starts: Option<u32>,
    verdict: Option<String>,
}

impl RestoreBoard {
    /// Of a process that restores, with nothing to show yet.
    pub fn new(backup_id: &str, pulse: Pulse, retries: Tally) -> Self {
        Self(Arc::new(Shared {
            process: Process::new(Doing::Restore, backup_id, pulse, retries),
            shown: Mutex::default(),
        }))
    }

    /// So far it has come.
    pub fn show(&self, progress: Progress) {
        let mut shown = self.shown();
        shown.pace.mark(bytes_done(&progress), Instant::now());
        let reached = (objects_done(&progress), progress.looked_at);
        if shown.reached.is_some_and(|before| before != reached) {
            shown.last_progress = Some(Timestamp::now());
        }
        shown.reached = Some(reached);
        shown.progress = progress;
    }

    /// This is the first start of this restore, or a later one that goes on.
    pub fn taken_up(&self, starts: u32) {
        self.shown().starts = Some(starts);
    }

    /// It has ended, with this sentence.
    pub fn ended(&self, verdict: &impl ToString) {
        self.shown().verdict = Some(verdict.to_string());
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProcessBoard for RestoreBoard {
    fn process(&self) -> &Process {
        &self.0.process
    }

    fn snapshot(&self) -> Snapshot {
        let shown = self.shown();
        let mut snapshot = self.0.process.snapshot(sources(&shown.progress));
        let bytes_done = bytes_done(&shown.progress);
        let bytes_total = bytes_total(&shown.progress);
        let left = bytes_total.map(|total| total.saturating_sub(bytes_done));
        snapshot.restore = Some(RestoreStanding {
            bytes_done,
            bytes_total,
            eta_seconds: left.and_then(|left| shown.pace.seconds_for(left)),
            last_progress: shown.last_progress,
            starts: shown.starts,
            dead_letters: shown.progress.given_up(),
            verdict: shown.verdict.clone(),
            progress: shown.progress.clone(),
        });
        snapshot
    }
}

fn bytes_done(progress: &Progress) -> u64 {
    progress.all_streams().bytes + progress.all_events().bytes
}

fn objects_done(progress: &Progress) -> u64 {
    let bundles = progress.all_events();
    progress.all_streams().objects() + bundles.bundles + bundles.unreadable + bundles.gone
}

/// Known once everything has been counted.
fn bytes_total(progress: &Progress) -> Option<u64> {
    let totals = progress.streams.iter().map(|source| source.total);
    let mut totals = totals
        .chain(progress.feeds.iter().map(|feed| feed.total))
        .peekable();
    totals.peek()?;
    let totals: Option<Vec<Total>> = totals.collect();
    Some(totals?.iter().map(|total| total.bytes).sum())
}

/// Per source, in the words that a backup has for it.
fn sources(progress: &Progress) -> BTreeMap<String, SourceFigures> {
    let mut sources = BTreeMap::<String, SourceFigures>::new();
    for source in &progress.streams {
        let figures = sources.entry(source.source.to_string()).or_default();
        figures.streams_ok += source.figures.restored;
        figures.streams_present += source.figures.there;
        figures.streams_missing += source.figures.gone;
        figures.streams_failed += source.figures.dead;
        figures.bytes_in += source.figures.bytes;
    }
    for feed in &progress.feeds {
        let figures = sources.entry(feed.feed.source().to_string()).or_default();
        figures.bundles += feed.figures.bundles;
        figures.events_ok += feed.figures.accepted + feed.figures.filtered;
        figures.events_failed += feed.figures.refused + feed.figures.dead;
        figures.bytes_in += feed.figures.bytes;
    }
    sources
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actors::feed::{Feed, SourceName};
    use actors::ports::restore_state::{EventFigures, StreamFigures};
    use actors::restore::standing::Standing;

    use super::*;

    fn standing() -> Standing {
        let samples = SourceName::new("samples").unwrap();
        let feed: Feed = "samples/binary/sourced".parse().unwrap();
        let streams = StreamFigures {
            restored: 5,
            bytes: 500,
            ..StreamFigures::default()
        };
        let events = EventFigures {
            bundles: 1,
            events: 20,
            accepted: 19,
            refused: 1,
            bytes: 100,
            ..EventFigures::default()
        };
        Standing::new([(samples, streams)], [(feed, events)])
    }

    fn total(bytes: u64) -> Option<Total> {
        let (objects, events) = (1, 1);
        Some(Total {
            objects,
            events,
            bytes,
        })
    }

    fn restored(board: &RestoreBoard) -> RestoreStanding {
        board.snapshot().restore.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_total_is_told_once_all_is_counted_and_a_time_once_there_is_a_rate() {
        let board = RestoreBoard::new("1", Pulse::default(), Tally::default());
        let standing = standing();
        board.show(standing.progress());
        standing.update(|progress| progress.streams[0].total = total(1500));
        board.show(standing.progress());
        let half_counted = restored(&board);
        assert_eq!((half_counted.bytes_done, half_counted.bytes_total), (600, None));
        assert_eq!(
            half_counted.last_progress, None,
            "nothing has come to its end yet"
        );
        standing.update(|progress| progress.feeds[0].total = total(100));
        tokio::time::advance(Duration::from_secs(20)).await;
        standing.update(|progress| {
            progress.streams[0].figures.restored += 1;
            progress.streams[0].figures.bytes += 200;
        });
        board.show(standing.progress());
        let counted = restored(&board);
        assert_eq!((counted.bytes_done, counted.bytes_total), (800, Some(1600)));
        assert_eq!(counted.eta_seconds, Some(80.0), "10 bytes a second");
        assert!(counted.last_progress.is_some());
        assert_eq!((counted.dead_letters, counted.verdict), (1, None));
        board.ended(&"everything is back");
        assert_eq!(restored(&board).verdict.as_deref(), Some("everything is back"));
    }

    #[test]
    fn a_last_pass_that_finds_nothing_to_do_makes_progress_as_long_as_it_lists_and_looks() {
        let board = RestoreBoard::new("1", Pulse::default(), Tally::default());
        let standing = standing();
        board.show(standing.progress());
        board.show(standing.progress());
        assert_eq!(restored(&board).last_progress, None, "nothing moves");
        standing.update(|progress| progress.looked_at += 1);
        board.show(standing.progress());
        let first = restored(&board).last_progress;
        assert!(first.is_some());
        board.show(standing.progress());
        assert_eq!(restored(&board).last_progress, first, "it stands still");
        standing.update(|progress| progress.looked_at += 1);
        board.show(standing.progress());
        assert!(restored(&board).last_progress > first);
    }

    #[test]
    fn which_start_of_a_restore_it_is_is_told_once_local_state_says_so() {
        let board = RestoreBoard::new("1", Pulse::default(), Tally::default());
        assert_eq!(restored(&board).starts, None);
        board.taken_up(3);
        assert_eq!(restored(&board).starts, Some(3));
    }

    #[test]
    fn what_became_of_a_source_is_told_in_the_words_of_a_backup() {
        let board = RestoreBoard::new("1", Pulse::default(), Tally::default());
        board.show(standing().progress());
        let figures = board.snapshot().sources["samples"];
        assert_eq!((figures.streams_ok, figures.events_ok), (5, 19));
        assert_eq!((figures.events_failed, figures.bytes_in), (1, 600));
    }
}
