//! What the units of a restore work with where they are tested.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::bundle_memory::BundleMemory;
use super::feed::FeedRestorePorts;
use super::listed_key::Form;
use super::publishing::witness::Witnesses;
use super::standing::Standing;
use crate::ports::restore_state::{RestoreId, RestoreState as _};
use crate::retry::RetryPolicy;
use crate::stop::StopFlag;
use crate::testkit::{FakeArchive, FakeTarget, MemoryRestoreState};
use crate::timestamp::Timestamp;

/// Begins a restore, or goes on with it.
pub(super) async fn begin(state: &MemoryRestoreState) {
    let id = RestoreId {
        bucket: "b".to_owned(),
        target: "t".to_owned(),
        selection: "s".to_owned(),
    };
    let now = Timestamp::from_micros(1_000_000_000_000_000);
    state.begin(&id, false, now).await.unwrap();
}

/// Once more, and at once.
pub(super) fn twice() -> RetryPolicy {
    RetryPolicy {
        attempts: 2,
        average_delay: Duration::from_millis(1),
        retries: Default::default(),
    }
}

/// These fakes, and a state in which a restore has begun.
pub(super) async fn feed_ports(
    archive: &FakeArchive,
    target: &FakeTarget,
    standing: &Standing,
    state: &MemoryRestoreState,
) -> FeedRestorePorts {
    begin(state).await;
    FeedRestorePorts {
        archive: Rc::new(archive.clone()),
        target: Rc::new(target.clone()),
        state: Rc::new(state.clone()),
        standing: standing.clone(),
        retry: twice(),
        stop: StopFlag::default(),
        requests: Arc::new(Semaphore::new(1)),
        spool: std::env::temp_dir(),
        memory: BundleMemory::default(),
        prefer: Form::Plain,
        readable: Rc::default(),
        witnesses: Witnesses::default(),
    }
}
