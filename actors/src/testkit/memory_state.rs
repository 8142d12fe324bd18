//! Local state in memory: what was recorded survives [`MemoryState::reopen`].

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::calls::Calls;
use super::lock;
use super::state_rows::Rows;
use crate::feed::Feed;
use crate::ports::state::{
    BatchRow, Change, FailedStream, FeedTimes, LocalState, MissingStream, NamedStreams, OpenUpload,
    PendingStream, PullMark, PutBack, Revived, SealedBundle, StateCounts, StateFault, SuspectFeed,
    SuspectSpan,
};
use crate::stream_id::StreamId;
use crate::timestamp::Timestamp;

/// The calls that change local state. The target of `Record` is the name of the change (`BatchJournaled`);
/// the others have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StateCall {
    /// [`LocalState::record`]
    Record,
    /// [`LocalState::name_streams`]
    NameStreams,
    /// [`LocalState::revive_missing`]
    ReviveMissing,
    /// [`LocalState::put_back`]
    PutBack,
    /// Whatever reads rows; its target is the method's name. Cannot be held at a gate.
    Read,
}

/// Local state in memory.
#[derive(Clone)]
pub struct MemoryState {
    calls: Calls<StateCall, StateFault>,
    changes: Arc<Mutex<Vec<Change>>>,
    rows: Arc<Mutex<Rows>>,
    start: u64,
}

impl Default for MemoryState {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryState {
    /// An empty one, at its first start.
    pub fn new() -> Self {
        let rows = Rows::at_start(1);
        Self {
            calls: Calls::default(),
            changes: Arc::default(),
            rows: Arc::new(Mutex::new(rows)),
            start: 1,
        }
    }

    /// The state as the next start finds it; every handle of this start fails from now on.
    #[must_use]
    pub fn reopen(&self) -> Self {
        let mut rows = lock(&self.rows);
        rows.starts += 1;
        Self {
            calls: Calls::default(),
            changes: Arc::default(),
            rows: self.rows.clone(),
            start: rows.starts,
        }
    }

    /// Its calls, and the trouble with them.
    pub fn calls(&self) -> &Calls<StateCall, StateFault> {
        &self.calls
    }

    /// The changes that took effect in this start, in their order.
    pub fn changes(&self) -> Vec<Change> {
        lock(&self.changes).clone()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Rows) -> T) -> Result<T, StateFault> {
        let mut rows = lock(&self.rows);
        if rows.starts == self.start {
            Ok(act(&mut rows))
        } else {
            Err(StateFault::Broken("opened anew by a later start".to_owned()))
        }
    }

    fn read<T>(&self, method: &str, act: impl FnOnce(&Rows) -> T) -> Result<T, StateFault> {
        self.calls
            .make_now(StateCall::Read, &method, || self.with(|rows| act(rows)))
    }
}

/// The rows that follow `after`.
fn beyond<K: Ord, R: Clone>(rows: &BTreeMap<K, R>, after: Option<&K>, limit: usize) -> Vec<R> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let rows = rows.range((from, Bound::Unbounded)).take(limit);
    rows.map(|(_, row)| row.clone()).collect()
}

/// The variant's name, for troubles to be aimed at.
struct ChangeName<'a>(&'a Change);

impl fmt::Display for ChangeName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Change::PullMarked(_) => "PullMarked",
            Change::PullEnded(..) => "PullEnded",
            Change::BatchJournaled(..) => "BatchJournaled",
            Change::PullsNoted(_) => "PullsNoted",
            Change::PullSuspected(_) => "PullSuspected",
            Change::StreamsNamed(..) => "StreamsNamed",
            Change::BundleSealed(_) => "BundleSealed",
            Change::BundleWritten(..) => "BundleWritten",
            Change::BatchRemoved(..) => "BatchRemoved",
            Change::StreamStored(_) => "StreamStored",
            Change::StreamMissing(..) => "StreamMissing",
            Change::StreamFailed(..) => "StreamFailed",
            Change::StreamDelayed(..) => "StreamDelayed",
            Change::StreamSetAside(..) => "StreamSetAside",
            Change::UploadBegun(_) => "UploadBegun",
            Change::UploadEnded(_) => "UploadEnded",
        })
    }
}

#[async_trait(?Send)]
impl LocalState for MemoryState {
    async fn record(&self, change: Change) -> Result<(), StateFault> {
        let name = ChangeName(&change).to_string();
        let effect = || {
            self.with(|rows| rows.apply(change.clone()))?;
            lock(&self.changes).push(change);
            Ok(())
        };
        self.calls.make(StateCall::Record, &name, effect).await
    }

    async fn name_streams(&self, streams: Vec<StreamId>, now: Timestamp) -> Result<NamedStreams, StateFault> {
        let effect = || self.with(|rows| rows.name_streams(streams, now));
        self.calls.make(StateCall::NameStreams, &"", effect).await
    }

    async fn revive_missing(
        &self,
        after: Option<StreamId>,
        limit: usize,
        asked_before: Timestamp,
        now: Timestamp,
    ) -> Result<Revived, StateFault> {
        let effect = || self.with(|rows| rows.revive_missing(after.as_ref(), limit, asked_before, now));
        self.calls.make(StateCall::ReviveMissing, &"", effect).await
    }

    async fn put_back(&self, streams: Vec<StreamId>, now: Timestamp) -> Result<PutBack, StateFault> {
        let effect = || self.with(|rows| rows.put_back(streams, now));
        self.calls.make(StateCall::PutBack, &"", effect).await
    }

    fn start_number(&self) -> u64 {
        self.start
    }

    fn marks(&self) -> Result<Vec<PullMark>, StateFault> {
        self.read("marks", |rows| rows.marks.values().cloned().collect())
    }

    fn batches(&self) -> Result<Vec<BatchRow>, StateFault> {
        self.read("batches", |rows| rows.batches.values().cloned().collect())
    }

    fn sealed(&self) -> Result<Vec<SealedBundle>, StateFault> {
        self.read("sealed", |rows| rows.sealed.values().cloned().collect())
    }

    fn feed_times(&self) -> Result<Vec<FeedTimes>, StateFault> {
        self.read("feed_times", |rows| rows.times.values().cloned().collect())
    }

    fn pending_from(&self, from: u64, limit: usize) -> Result<Vec<PendingStream>, StateFault> {
        self.read("pending_from", |rows| {
            rows.pending
                .range(from..)
                .take(limit)
                .map(|(_, row)| row.clone())
                .collect()
        })
    }

    fn highest_ticket(&self) -> Result<Option<u64>, StateFault> {
        self.read("highest_ticket", |rows| rows.pending.keys().next_back().copied())
    }

    fn failed_from(&self, after: Option<&StreamId>, limit: usize) -> Result<Vec<FailedStream>, StateFault> {
        self.read("failed_from", |rows| beyond(&rows.failed, after, limit))
    }

    fn missing_from(&self, after: Option<&StreamId>, limit: usize) -> Result<Vec<MissingStream>, StateFault> {
        self.read("missing_from", |rows| beyond(&rows.missing, after, limit))
    }

    fn suspects_from(
        &self,
        after: Option<(&Feed, Timestamp)>,
        limit: usize,
    ) -> Result<Vec<SuspectSpan>, StateFault> {
        let after = after.map(|(feed, since)| (feed.clone(), since));
        self.read("suspects_from", |rows| {
            beyond(&rows.suspects, after.as_ref(), limit)
        })
    }

    fn suspect_feeds(&self) -> Vec<SuspectFeed> {
        lock(&self.rows).suspect_feeds()
    }

    fn open_uploads(&self) -> Result<Vec<OpenUpload>, StateFault> {
        self.read("open_uploads", |rows| rows.uploads.values().cloned().collect())
    }

    fn counts(&self) -> StateCounts {
        lock(&self.rows).counts()
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance::state::{self, Reopen};
    use super::*;

    struct InMemory(MemoryState);

    impl Reopen for InMemory {
        type State = MemoryState;

        fn state(&self) -> &MemoryState {
            &self.0
        }

        fn reopen(self) -> Self {
            Self(self.0.reopen())
        }
    }

    #[tokio::test]
    async fn keeps_the_promises_of_local_state() {
        state::all(|| InMemory(MemoryState::new())).await;
    }

    #[tokio::test]
    async fn a_handle_of_an_earlier_start_does_no_more_harm() {
        let first = MemoryState::new();
        let second = first.reopen();
        let feed: crate::feed::Feed = "samples/binary/mapped".parse().unwrap();
        let mark = PullMark {
            feed,
            since: Timestamp::from_micros(1),
            until: Timestamp::from_micros(2),
        };
        assert!(first.record(Change::PullMarked(mark)).await.is_err());
        assert_eq!(second.marks().unwrap(), []);
    }
}
