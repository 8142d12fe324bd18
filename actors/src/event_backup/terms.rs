//! What a feed is given: what it works with, and what is set for it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::board::Board;
use crate::board::feed::FeedSigns;
use crate::fault::Fault;
use crate::feed::Feed;
use crate::journal_room::JournalRoom;
use crate::memory_budget::MemoryBudget;
use crate::object_writer::UploadLog;
use crate::ports::dispatcher::Dispatcher;
use crate::ports::{Bucket, Journal, LocalState};
use crate::retry::RetryPolicy;
use crate::statistics::{SourceCounters, Statistics};
use crate::stop::StopFlag;

/// What a feed works with. Cheap to clone.
#[derive(Clone)]
pub struct FeedPorts {
    /// Where events come from.
    pub dispatcher: Rc<dyn Dispatcher>,
    /// Where bundles go.
    pub bucket: Rc<dyn Bucket>,
    /// Where answers are kept.
    pub journal: Rc<dyn Journal>,
    /// Where facts are kept.
    pub state: Rc<dyn LocalState>,
    /// Remembers multipart uploads.
    pub uploads: Rc<dyn UploadLog>,
    /// Bytes that the journal may hold.
    pub room: JournalRoom,
    /// Bytes of bundles that may be in memory on their way to the bucket. Not shared with the stream workers: a
    /// bundle must not wait behind binaries of gigabytes.
    pub memory: MemoryBudget,
    /// Figures.
    pub statistics: Arc<Statistics>,
    /// What others see of the feeds.
    pub board: Board,
    /// How often a request is tried.
    pub retry: RetryPolicy,
    /// Raised when the stage of events begins.
    pub stop: StopFlag,
    /// How many walks over bulks go on at once; each may need a window of its own.
    pub blocking: Arc<Semaphore>,
    /// How many bundles are joined at once. They wait for the bucket meanwhile, and so must not hold up the walks.
    pub joining: Arc<Semaphore>,
    /// The number of the next answer.
    pub next_seq: Rc<Cell<u64>>,
}

impl FeedPorts {
    pub(super) fn next_seq(&self) -> u64 {
        self.next_seq.replace(self.next_seq.get() + 1)
    }

    pub(super) fn counters(&self, feed: &Feed) -> &SourceCounters {
        self.statistics.of(feed.source())
    }

    pub(super) fn signs(&self, feed: &Feed) -> FeedSigns {
        self.board.feed(feed)
    }

    /// Counts a pull that may have cost events.
    pub(super) fn count_suspect(&self, feed: &Feed) {
        self.counters(feed).suspect_pulls.add(1);
        self.signs(feed).suspected();
    }

    /// Runs a walk over a bulk on the blocking pool, few at a time.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        on_pool(&self.blocking, work).await
    }

    /// Joins and compresses a bundle on the blocking pool, few at a time.
    pub(super) async fn joining<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        on_pool(&self.joining, work).await
    }
}

async fn on_pool<T: Send + 'static>(
    few: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    let permit = Arc::clone(few).acquire_owned().await;
    let done = actix_rt::task::spawn_blocking(move || {
        let _held = permit;
        work()
    });
    done.await
        .map_err(|panic| Fault::corrupt("work", "the blocking pool", panic))
}

/// What is set for one feed.
#[derive(Clone, Debug)]
pub struct FeedRules {
    /// The feed.
    pub feed: Feed,
    /// The name of its consumer; `None` if it is no longer configured and only finishes what was left.
    pub consumer: Option<String>,
    /// See [`Pull::deployment_key`](crate::ports::dispatcher::Pull::deployment_key).
    pub deployment_key: String,
    /// A bundle is written once it has this many events.
    pub batch_size: u64,
    /// Or once this long has passed since the last bundle.
    pub max_age: Duration,
    /// The longest deadline of a pull.
    pub longest_deadline: Duration,
}
