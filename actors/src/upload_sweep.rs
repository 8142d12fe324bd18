//! Aborts the multipart uploads that nobody is going to complete: they take room in the bucket, and nobody sees them.
//!
//! * What an earlier start left open under its id is aborted by its id.
//! * Where an answer was lost, or a kill came between the answer and the row, there may be uploads whose ids nobody
//!   knows: the bucket is asked which uploads of that very key are open, and all of them are aborted. One of them
//!   may belong to another process that shares the bucket and writes the same object: it begins anew (see
//!   [`object_writer`](crate::object_writer)).
//! * A request whose answer was lost may have its effect late. So a key stays in doubt until it was asked for once
//!   more when the doubt was [`SETTLED`] old, at a later start if need be.
//! * What this run itself is writing is left alone, by its id and by its key. Which rows are its own is told by the
//!   number of the start, for the clock may be set back meanwhile.
//!
//! What cannot be aborted stays in the log, for the next time. A crash at any instant repeats an abort, which does
//! no harm.

use std::rc::Rc;
use std::time::Duration;

use crate::fault::Fault;
use crate::fault_point::{self, FaultPoint};
use crate::object_writer::UploadLog;
use crate::ports::bucket::{Bucket, UploadId};
use crate::ports::state::{LocalState, OpenUpload, StateFault};
use crate::timestamp::Timestamp;

/// How long after it was sent a request is taken to be done with, whatever became of its answer. Longer than all
/// attempts of one request together.
pub const SETTLED: Duration = Duration::from_secs(3600);

/// Sweeps, as often as it is told to.
pub struct UploadSweep {
    bucket: Rc<dyn Bucket>,
    state: Rc<dyn LocalState>,
    log: Rc<dyn UploadLog>,
}

/// What one sweep came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Uploads aborted.
    pub aborted: u64,
    /// Rows that stay in the log, those of this run left aside.
    pub left: u64,
}

impl UploadSweep {
    /// Over the log that `state` keeps, and `log` writes.
    pub fn new(bucket: Rc<dyn Bucket>, state: Rc<dyn LocalState>, log: Rc<dyn UploadLog>) -> Self {
        Self { bucket, state, log }
    }

    /// Goes through the log once. Faults of the bucket are logged, and do not keep the rest from being tried.
    ///
    /// # Errors
    /// Local state failed.
    pub async fn run(&self, now: Timestamp) -> Result<Swept, StateFault> {
        let mut swept = Swept::default();
        for row in self.state.open_uploads()? {
            if self.is_own(&row) && (row.upload.is_some() || now.since(row.since) < SETTLED) {
                continue;
            }
            match self.settle(&row, now, &mut swept.aborted).await {
                Ok(true) => {}
                Ok(false) => swept.left += 1,
                Err(fault) => {
                    swept.left += 1;
                    log::warn!(error:% = fault, key:% = row.key; "{fault}; open uploads of {} are aborted another time", row.key);
                }
            }
        }
        Ok(swept)
    }

    fn is_own(&self, row: &OpenUpload) -> bool {
        row.start == self.state.start_number()
    }

    /// Aborts what the row tells of; true if the row is gone.
    async fn settle(&self, row: &OpenUpload, now: Timestamp, aborted: &mut u64) -> Result<bool, Fault> {
        let key = row.object_key()?;
        let open = match &row.upload {
            Some(id) => vec![UploadId(id.clone())],
            None => match self.bucket.list_uploads(&key).await? {
                // Asked first, looked up after: an upload that this run began meanwhile is in the log by now.
                Some(_) if self.is_written_now(row)? => return Ok(false),
                Some(open) => open,
                None => {
                    log::warn!(
                        key:% = key; "an upload of {key} may have been left open, and the bucket does not list uploads; if \
                         there is one it does no harm but takes room: let the bucket abort incomplete uploads \
                         by a lifecycle rule"
                    );
                    Vec::new()
                }
            },
        };
        for id in &open {
            log::info!(key:% = key; "an upload of {key} that nobody is going to complete is aborted");
            self.bucket.abort_upload(&key, id).await?;
            *aborted += 1;
            fault_point::pass(FaultPoint::LeftoverAborted);
        }
        let may_follow = row.upload.is_none() && now.since(row.since) < SETTLED;
        if !may_follow {
            self.log.ended(row).await?;
        }
        Ok(!may_follow)
    }

    /// Whether this run is writing an object under the key of `row`, or has failed to abort its upload.
    fn is_written_now(&self, row: &OpenUpload) -> Result<bool, Fault> {
        let rows = self.state.open_uploads();
        let rows = rows.map_err(|fault| Fault::rejected("look up uploads", &row.key, fault))?;
        let same = rows
            .iter()
            .filter(|other| (other.bundle, &other.key) == (row.bundle, &row.key));
        Ok(same.into_iter().any(|other| other != row && self.is_own(other)))
    }
}

#[cfg(test)]
mod tests;
