//! When open uploads are swept up: at the start, for a bounded time, and every now and then while the backup runs.

use std::rc::Rc;
use std::time::Duration;

use actors::event_backup::FeedPorts;
use actors::ports::StateFault;
use actors::stop::StopFlag;
use actors::timestamp::Timestamp;
use actors::upload_sweep::UploadSweep;

/// A bucket that hangs does not hold up a start for longer.
const AT_START: Duration = Duration::from_secs(30);

/// How often what is in doubt, or could not be aborted, is looked at again.
const EVERY: Duration = Duration::from_secs(15 * 60);

/// The sweeps of one run.
#[derive(Clone)]
pub(super) struct Uploads {
    sweep: Rc<UploadSweep>,
    stop: StopFlag,
}

impl Uploads {
    /// With the ports of the feeds.
    pub(super) fn of(ports: &FeedPorts) -> Self {
        let (bucket, state, log) = (&ports.bucket, &ports.state, &ports.uploads);
        let sweep = UploadSweep::new(Rc::clone(bucket), Rc::clone(state), Rc::clone(log));
        Self {
            sweep: Rc::new(sweep),
            stop: ports.stop.clone(),
        }
    }

    /// Aborts what earlier starts left open, as far as time, and a full disk, allow.
    ///
    /// # Errors
    /// Local state is broken.
    pub(super) async fn abort_left(&self) -> Result<(), StateFault> {
        match tokio::time::timeout(AT_START, self.sweep.run(Timestamp::now())).await {
            Ok(Err(StateFault::Full(detail))) => {
                log::warn!(
                    error:% = detail; "uploads that an earlier start left open are looked up while the backup runs: no room on the \
                     disk ({detail})"
                );
                Ok(())
            }
            Ok(swept) => swept.map(drop),
            Err(_) => {
                log::warn!(
                    "uploads that an earlier start left open could not all be aborted within {AT_START:?}; it is tried again while the backup runs"
                );
                Ok(())
            }
        }
    }

    /// Goes on until the backup is told to stop.
    pub(super) fn keep_sweeping(self) {
        actix::spawn(async move {
            loop {
                tokio::select! {
                    () = self.stop.raised() => return,
                    () = tokio::time::sleep(EVERY) => {}
                }
                let swept = tokio::select! {
                    () = self.stop.raised() => return,
                    swept = self.sweep.run(Timestamp::now()) => swept,
                };
                if let Err(fault) = swept {
                    log::warn!(error:% = fault; "open uploads could not be looked up: {fault}");
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use actors::patient_state::PatientState;
    use actors::ports::state::{Change, OpenUpload};
    use actors::ports::{Bucket, LocalState};
    use actors::stream_id::StreamId;
    use actors::testkit::{BucketCall, FakeBucket, Gate, MemoryState, StateCall, Trouble};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_disk_does_not_keep_the_backup_from_starting() {
        let (bucket, state) = (FakeBucket::new(), MemoryState::new());
        let kept = Rc::new(PatientState::new(Rc::new(state.clone())));
        let uploads = Uploads {
            sweep: Rc::new(UploadSweep::new(Rc::new(bucket), kept.clone(), kept)),
            stop: StopFlag::default(),
        };
        let fails = |fault| state.calls().plan(Trouble::fails(StateCall::Read, fault));
        fails(StateFault::Full("it is being opened".to_owned()));
        assert_eq!(uploads.abort_left().await, Ok(()));
        let broken = StateFault::Broken("damaged".to_owned());
        fails(broken.clone());
        assert_eq!(uploads.abort_left().await, Err(broken));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_that_hangs_holds_up_a_start_for_a_bounded_time() {
        let (bucket, state) = (FakeBucket::new(), MemoryState::new());
        let key = StreamId::new("samples", "content", &"ab".repeat(32))
            .unwrap()
            .into();
        let id = bucket.begin_upload(&key).await.unwrap();
        let row = OpenUpload::new(&key, &id, 0, Timestamp::default());
        state.record(Change::UploadBegun(row.clone())).await.unwrap();
        bucket
            .calls()
            .plan(Trouble::hangs(BucketCall::AbortUpload, &Gate::new()));
        let kept = Rc::new(PatientState::new(Rc::new(state.clone())));
        let uploads = Uploads {
            sweep: Rc::new(UploadSweep::new(Rc::new(bucket.clone()), kept.clone(), kept)),
            stop: StopFlag::default(),
        };
        let begun = tokio::time::Instant::now();
        uploads.abort_left().await.unwrap();
        assert_eq!(begun.elapsed(), AT_START);
        assert_eq!(state.open_uploads().unwrap(), [row]);
        // The next one is not held up, and the row goes.
        uploads.abort_left().await.unwrap();
        assert_eq!(
            (bucket.open_uploads(), state.open_uploads().unwrap()),
            (vec![], vec![])
        );
    }
}
