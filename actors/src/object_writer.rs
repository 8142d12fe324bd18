//! Writes one object: all of it becomes visible under its key at once, or nothing does.
//!
//! * What is smaller than a part is one PUT. More is a multipart upload, in parts of equal size, and only
//!   [`ObjectWriter::finish`] makes an object of them. Nobody ever sees a part of an object.
//! * That uploads of a key may be open is in the [`UploadLog`] before the bucket is asked to begin one; then it is
//!   there with its id, until it is complete or aborted. What a crash, or a writer dropped half-way, leaves open is
//!   aborted at the next start, and what a lost answer left open without an id is searched for
//!   ([`upload_sweep`](crate::upload_sweep)).
//! * An upload that somebody else has aborted is [lapsed](FaultKind::Lapsed): its parts are gone, and the caller
//!   begins anew with a writer of its own, [`MOST_ANEW`] times.
//! * Each call is tried again as the policy says. When the answer to the completion is lost, a HEAD decides: an
//!   object of our size, other than the one that was there before, is taken for ours. It may be that of another
//!   process that shares the bucket: so the upload is aborted all the same, and the caller is told
//!   ([`Proof::Found`]), for whom equal keys may not mean equal content.
//! * One part is held in memory, and what one step of the compressor adds to it.

use std::cell::Cell;
use std::rc::Rc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::fault::{Fault, FaultKind};
use crate::fault_point::{self, FaultPoint};
use crate::gzip;
use crate::object_key::ObjectKey;
use crate::ports::bucket::{Bucket, MOST_PARTS, ObjectInfo, PartTag, SMALLEST_PART, UploadId};
use crate::ports::state::OpenUpload;
use crate::retry::RetryPolicy;
use crate::stop::StopFlag;
use crate::timestamp::Timestamp;

/// Aimed at when the length is known: some below [`MOST_PARTS`].
const PARTS_PLANNED: u64 = 9_000;

/// How often an object whose upload lapsed is begun anew.
pub const MOST_ANEW: u32 = 3;

/// Remembers which multipart uploads are open, or may be, so that none is forgotten by a crash.
#[async_trait(?Send)]
pub trait UploadLog {
    /// Durable on return: an upload is about to begin, or has begun and nothing has been sent yet.
    ///
    /// # Errors
    /// It could not be remembered; the upload is not begun then, or aborted.
    async fn begun(&self, upload: &OpenUpload) -> Result<(), Fault>;

    /// It is complete, or aborted, or never began.
    ///
    /// # Errors
    /// It stays in the log, and will be aborted once more, which does no harm.
    async fn ended(&self, upload: &OpenUpload) -> Result<(), Fault>;

    /// Which start of the program this is (see
    /// [`LocalState::start_number`](crate::ports::state::LocalState::start_number)).
    fn this_start(&self) -> u64;
}

/// Where objects go, and how often that is tried.
#[derive(Clone)]
pub struct Destination {
    /// The bucket.
    pub bucket: Rc<dyn Bucket>,
    /// Knows the open uploads.
    pub uploads: Rc<dyn UploadLog>,
    /// Applies to each call.
    pub retry: RetryPolicy,
    /// Ends the waits between two tries.
    pub stop: StopFlag,
}

/// How large parts are, and how much is held, for an object that may become `longest` bytes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartPlan {
    part: usize,
    capacity: usize,
}

impl PartPlan {
    /// `None` where the length cannot be told.
    pub fn new(longest: Option<u64>) -> Self {
        let longest = longest.unwrap_or(u64::MAX);
        let smallest = SMALLEST_PART as u64;
        let part = match longest {
            u64::MAX => smallest,
            longest => longest.div_ceil(PARTS_PLANNED).max(smallest),
        };
        let capacity = longest.saturating_add(1).min(part + gzip::LARGEST_STEP as u64);
        Self {
            part: usize::try_from(part).unwrap_or(usize::MAX),
            capacity: usize::try_from(capacity).unwrap_or(usize::MAX),
        }
    }

    /// The bytes that a writer holds at most, given that it is drained after each step of the compressor.
    pub fn memory(&self) -> u64 {
        // What is left over of a full buffer is copied while the part is on its way.
        (self.capacity + gzip::LARGEST_STEP.min(self.capacity)) as u64
    }
}

/// An object that is being written.
pub struct ObjectWriter {
    to: Destination,
    key: ObjectKey,
    plan: PartPlan,
    replaces: Option<ObjectInfo>,
    buffer: Vec<u8>,
    sent: u64,
    upload: Option<Upload>,
}

/// An object that has become visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its length.
    pub bytes: u64,
    /// What says so.
    pub proof: Proof,
}

/// How it is known that an object is in the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The bucket has acknowledged it.
    Acknowledged,
    /// The answer was lost, and an object of this length lies there that was not there before: whoever wrote it.
    Found,
}

/// The multipart upload of an object that does not fit into one part.
struct Upload {
    id: UploadId,
    row: OpenUpload,
    parts: Vec<PartTag>,
}

impl ObjectWriter {
    /// Begins to write `key`; sends nothing yet. `replaces` is what lies under the key already, if anything.
    pub fn new(to: Destination, key: ObjectKey, plan: PartPlan, replaces: Option<ObjectInfo>) -> Self {
        Self {
            to,
            key,
            plan,
            replaces,
            buffer: Vec::with_capacity(plan.capacity),
            sent: 0,
            upload: None,
        }
    }

    /// Where the next bytes are appended. [`ObjectWriter::drain`] has to be called every
    /// [`LARGEST_STEP`](gzip::LARGEST_STEP) bytes, or the buffer grows.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Sends what fills a part.
    ///
    /// # Errors
    /// The object cannot be written; [`ObjectWriter::abort`] is what is left to do.
    pub async fn drain(&mut self) -> Result<(), Fault> {
        while self.buffer.len() >= self.plan.part {
            self.begin().await?;
            self.send_part().await?;
        }
        Ok(())
    }

    /// Sends the rest and makes the object visible.
    ///
    /// # Errors
    /// Nothing became visible that was not complete; the upload has been aborted.
    pub async fn finish(mut self) -> Result<Finished, Fault> {
        match self.finish_whole().await {
            Ok(proof) => Ok(Finished {
                bytes: self.sent,
                proof,
            }),
            Err(fault) => {
                self.abort().await;
                Err(fault)
            }
        }
    }

    /// Drops what has been sent. What cannot be dropped now stays in the log, for the next start.
    pub async fn abort(mut self) {
        self.abort_upload().await;
    }

    async fn abort_upload(&mut self) {
        let Some(upload) = self.upload.take() else { return };
        let (key, to) = (&self.key, &self.to);
        let aborted = to
            .retry
            .run("abort upload", key, &to.stop, || {
                to.bucket.abort_upload(key, &upload.id)
            })
            .await;
        match aborted {
            Ok(()) => {
                fault_point::pass(FaultPoint::UploadAborted);
                end_in_log(to, &upload.row).await;
            }
            Err(fault) => log::warn!(error:% = fault; "{fault}; the upload stays open until the next start"),
        }
    }

    async fn finish_whole(&mut self) -> Result<Proof, Fault> {
        self.drain().await?;
        if self.upload.is_none() {
            self.put().await?;
            return Ok(Proof::Acknowledged);
        }
        if !self.buffer.is_empty() {
            self.send_part().await?;
        }
        fault_point::pass(FaultPoint::UploadSent);
        let proof = self.complete().await?;
        fault_point::pass(FaultPoint::UploadComplete);
        match proof {
            Proof::Acknowledged => {
                if let Some(upload) = self.upload.take() {
                    end_in_log(&self.to, &upload.row).await;
                }
            }
            // What was found may be another process's, and our upload still open.
            Proof::Found => self.abort_upload().await,
        }
        Ok(proof)
    }

    async fn put(&mut self) -> Result<(), Fault> {
        let content = Bytes::from(std::mem::take(&mut self.buffer));
        let (key, to) = (&self.key, &self.to);
        to.retry
            .run("put object", key, &to.stop, || {
                to.bucket.put(key, content.clone())
            })
            .await
            .map_err(|fault| not_ours(fault, key))?;
        self.sent = content.len() as u64;
        Ok(())
    }

    /// Begins the multipart upload if there is none yet.
    async fn begin(&mut self) -> Result<(), Fault> {
        if self.upload.is_some() {
            return Ok(());
        }
        let (key, to) = (&self.key, &self.to);
        let in_doubt = OpenUpload::in_doubt(key, to.uploads.this_start(), Timestamp::now());
        to.uploads.begun(&in_doubt).await?;
        fault_point::pass(FaultPoint::UploadExpected);
        let answers_lost = Cell::new(false);
        let begun = to
            .retry
            .run("begin upload", key, &to.stop, || async {
                let begun = to.bucket.begin_upload(key).await;
                let lost = begun.as_ref().is_err_and(may_have_begun);
                answers_lost.set(answers_lost.get() || lost);
                begun
            })
            .await;
        let id = match begun {
            Ok(id) => id,
            Err(fault) => {
                if !answers_lost.get() {
                    end_in_log(to, &in_doubt).await;
                }
                return Err(not_ours(fault, key));
            }
        };
        fault_point::pass(FaultPoint::UploadBegun);
        let row = OpenUpload::new(key, &id, to.uploads.this_start(), Timestamp::now());
        // Kept before it is logged, so that a log that fails leaves something to abort.
        let upload = self.upload.insert(Upload {
            id,
            row,
            parts: Vec::new(),
        });
        to.uploads.begun(&upload.row).await?;
        fault_point::pass(FaultPoint::UploadNoted);
        // Where an answer was lost there may be another upload: it stays in doubt until the bucket was asked.
        if !answers_lost.get() {
            end_in_log(to, &in_doubt).await;
        }
        Ok(())
    }

    /// Sends one part of the buffer; all of it if there is less.
    async fn send_part(&mut self) -> Result<(), Fault> {
        let (key, to) = (&self.key, &self.to);
        let upload = self.upload.as_mut().expect("an upload begins before its parts");
        let number = upload.parts.len() as u64 + 1;
        if number > MOST_PARTS {
            return Err(Fault::rejected(
                "upload part",
                key,
                "the object has too many parts",
            ));
        }
        let number = number as i64;
        let rest = self.buffer.split_off(self.plan.part.min(self.buffer.len()));
        let content = Bytes::from(std::mem::take(&mut self.buffer));
        let tag = to
            .retry
            .run("upload part", key, &to.stop, || {
                to.bucket.upload_part(key, &upload.id, number, content.clone())
            })
            .await
            .map_err(|fault| not_ours(fault, key))?;
        fault_point::pass(FaultPoint::PartSent);
        upload.parts.push(tag);
        self.sent += content.len() as u64;
        self.buffer = emptied(content).unwrap_or_else(|| Vec::with_capacity(self.plan.capacity));
        self.buffer.extend_from_slice(&rest);
        Ok(())
    }

    async fn complete(&self) -> Result<Proof, Fault> {
        let (key, to) = (&self.key, &self.to);
        let upload = self
            .upload
            .as_ref()
            .expect("an upload begins before it is complete");
        to.retry
            .run("complete upload", key, &to.stop, || async {
                let answer = to
                    .bucket
                    .complete_upload(key, &upload.id, &upload.parts, self.sent)
                    .await;
                match answer {
                    // The upload is unknown, or it is unknown what became of it: the answer to an earlier
                    // completion may be what was lost.
                    Err(fault) if may_be_complete(&fault) => match to.bucket.head(key).await? {
                        Some(info) if self.is_written(&info) => Ok(Proof::Found),
                        _ => Err(not_ours(fault, key)),
                    },
                    answer => answer.map(|()| Proof::Acknowledged),
                }
            })
            .await
    }

    /// Whether what lies under the key may be what has been written, and is not what was there before.
    fn is_written(&self, info: &ObjectInfo) -> bool {
        info.size == self.sent && self.replaces.as_ref() != Some(info)
    }
}

/// The allocation of a part that has been sent, if nobody holds on to it: the next part goes there.
fn emptied(content: Bytes) -> Option<Vec<u8>> {
    let mut content = content.try_into_mut().ok()?;
    content.clear();
    Some(content.into())
}

/// Whether the bucket may have begun an upload all the same.
fn may_have_begun(fault: &Fault) -> bool {
    !matches!(fault.kind(), FaultKind::Rejected | FaultKind::Missing)
}

/// Whether the object may be there all the same.
fn may_be_complete(fault: &Fault) -> bool {
    matches!(
        fault.kind(),
        FaultKind::Transient | FaultKind::Missing | FaultKind::Lapsed
    )
}

/// A 404 on a write says that the bucket is gone: not that what is backed up is missing.
fn not_ours(fault: Fault, key: &ObjectKey) -> Fault {
    if fault.kind() == FaultKind::Missing {
        Fault::transient(fault.operation(), key, fault.detail())
    } else {
        fault
    }
}

async fn end_in_log(to: &Destination, row: &OpenUpload) {
    if let Err(fault) = to.uploads.ended(row).await {
        log::warn!(error:% = fault; "{fault}; the upload is aborted once more at the next start, which does no harm");
    }
}

#[cfg(test)]
pub(crate) mod tests;
