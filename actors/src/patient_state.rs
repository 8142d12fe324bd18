//! Local state that waits for room: a full disk holds the program up, and ends nothing.

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;

use crate::fault::Fault;
use crate::feed::Feed;
use crate::object_writer::UploadLog;
use crate::ports::LocalState;
use crate::ports::state::{
    BatchRow, Change, FailedStream, FeedTimes, MissingStream, NamedStreams, OpenUpload, PendingStream,
    PullMark, PutBack, Revived, SealedBundle, StateCounts, StateFault, SuspectFeed, SuspectSpan,
};
use crate::stream_id::StreamId;
use crate::timestamp::Timestamp;

/// How long is waited before a full disk is tried again.
const WAIT: Duration = Duration::from_secs(2);

/// How many waits go by between two log lines.
const WAITS_PER_LINE: u32 = 30;

/// Wraps another implementation: writes that find no room are repeated until they find some. Reads are not, for whoever
/// reads may have other things to do meanwhile: see [`read_patiently`].
#[derive(Clone)]
pub struct PatientState(Rc<dyn LocalState>);

impl PatientState {
    /// Around `state`.
    pub fn new(state: Rc<dyn LocalState>) -> Self {
        Self(state)
    }
}

/// Repeats `attempt` while there is no room.
async fn patiently<T>(attempt: impl AsyncFn() -> Result<T, StateFault>) -> Result<T, StateFault> {
    for waits in 0.. {
        match attempt().await {
            Err(fault @ StateFault::Full(_)) => {
                if waits % WAITS_PER_LINE == 0 {
                    log::error!(
                        error:% = fault; "{fault}; waiting for room, nothing is pulled meanwhile: make room on the volume"
                    );
                }
                tokio::time::sleep(WAIT).await;
            }
            Ok(done) if waits > 0 => {
                log::info!("local state: there is room again");
                return Ok(done);
            }
            other => return other,
        }
    }
    unreachable!("the loop above ends by returning")
}

/// Reads, and waits for as long as a full disk keeps rows from being read: for a start, which cannot go on without them.
///
/// # Errors
/// Local state is broken.
pub async fn read_patiently<T>(read: impl Fn() -> Result<T, StateFault>) -> Result<T, StateFault> {
    patiently(async || read()).await
}

#[async_trait(?Send)]
impl LocalState for PatientState {
    async fn record(&self, change: Change) -> Result<(), StateFault> {
        patiently(async || self.0.record(change.clone()).await).await
    }

    async fn name_streams(&self, streams: Vec<StreamId>, now: Timestamp) -> Result<NamedStreams, StateFault> {
        patiently(async || self.0.name_streams(streams.clone(), now).await).await
    }

    async fn revive_missing(
        &self,
        after: Option<StreamId>,
        limit: usize,
        asked_before: Timestamp,
        now: Timestamp,
    ) -> Result<Revived, StateFault> {
        patiently(async || {
            self.0
                .revive_missing(after.clone(), limit, asked_before, now)
                .await
        })
        .await
    }

    async fn put_back(&self, streams: Vec<StreamId>, now: Timestamp) -> Result<PutBack, StateFault> {
        patiently(async || self.0.put_back(streams.clone(), now).await).await
    }

    fn start_number(&self) -> u64 {
        self.0.start_number()
    }

    fn marks(&self) -> Result<Vec<PullMark>, StateFault> {
        self.0.marks()
    }

    fn batches(&self) -> Result<Vec<BatchRow>, StateFault> {
        self.0.batches()
    }

    fn sealed(&self) -> Result<Vec<SealedBundle>, StateFault> {
        self.0.sealed()
    }

    fn feed_times(&self) -> Result<Vec<FeedTimes>, StateFault> {
        self.0.feed_times()
    }

    fn pending_from(&self, from: u64, limit: usize) -> Result<Vec<PendingStream>, StateFault> {
        self.0.pending_from(from, limit)
    }

    fn highest_ticket(&self) -> Result<Option<u64>, StateFault> {
        self.0.highest_ticket()
    }

    fn failed_from(&self, after: Option<&StreamId>, limit: usize) -> Result<Vec<FailedStream>, StateFault> {
        self.0.failed_from(after, limit)
    }

    fn missing_from(&self, after: Option<&StreamId>, limit: usize) -> Result<Vec<MissingStream>, StateFault> {
        self.0.missing_from(after, limit)
    }

    fn suspects_from(
        &self,
        after: Option<(&Feed, Timestamp)>,
        limit: usize,
    ) -> Result<Vec<SuspectSpan>, StateFault> {
        self.0.suspects_from(after, limit)
    }

    fn suspect_feeds(&self) -> Vec<SuspectFeed> {
        self.0.suspect_feeds()
    }

    fn open_uploads(&self) -> Result<Vec<OpenUpload>, StateFault> {
        self.0.open_uploads()
    }

    fn counts(&self) -> StateCounts {
        self.0.counts()
    }
}

#[async_trait(?Send)]
impl UploadLog for PatientState {
    async fn begun(&self, upload: &OpenUpload) -> Result<(), Fault> {
        self.remember(Change::UploadBegun(upload.clone()), upload).await
    }

    async fn ended(&self, upload: &OpenUpload) -> Result<(), Fault> {
        self.remember(Change::UploadEnded(upload.clone()), upload).await
    }

    fn this_start(&self) -> u64 {
        self.start_number()
    }
}

impl PatientState {
    async fn remember(&self, change: Change, upload: &OpenUpload) -> Result<(), Fault> {
        let recorded = self.record(change).await;
        recorded.map_err(|fault| Fault::rejected("remember upload", &upload.key, fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{MemoryState, StateCall, Trouble};

    #[tokio::test(start_paused = true)]
    async fn a_full_disk_is_waited_out() {
        let memory = MemoryState::new();
        memory
            .calls()
            .plan(Trouble::fails(StateCall::Record, StateFault::Full("0 bytes left".into())).times(5));
        let state = PatientState::new(Rc::new(memory.clone()));
        let mark = PullMark {
            feed: "system/insert/default".parse().unwrap(),
            since: Timestamp::default(),
            until: Timestamp::default(),
        };
        let begun = tokio::time::Instant::now();
        state.record(Change::PullMarked(mark.clone())).await.unwrap();
        assert_eq!(memory.marks().unwrap(), [mark]);
        assert_eq!(begun.elapsed(), 5 * WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn rows_that_a_full_disk_hides_are_waited_for() {
        let memory = MemoryState::new();
        let full = Trouble::fails(StateCall::Read, StateFault::Full("it is being opened".into()));
        memory.calls().plan(full.times(5));
        let begun = tokio::time::Instant::now();
        assert_eq!(read_patiently(|| memory.marks()).await, Ok(vec![]));
        assert_eq!(begun.elapsed(), 5 * WAIT);
    }

    #[tokio::test]
    async fn what_is_broken_is_told_at_once() {
        let memory = MemoryState::new();
        memory.calls().plan(Trouble::fails(
            StateCall::Record,
            StateFault::Broken("damaged".into()),
        ));
        let state = PatientState::new(Rc::new(memory));
        let mark = PullMark {
            feed: "system/insert/default".parse().unwrap(),
            since: Timestamp::default(),
            until: Timestamp::default(),
        };
        assert_eq!(
            state.record(Change::PullMarked(mark)).await,
            Err(StateFault::Broken("damaged".into()))
        );
    }
}
