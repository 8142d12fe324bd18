//! One stream, from the bucket into the dispatcher.
//!
//! The object is unpacked and hashed while it is sent, chunk by chunk. The last chunk is held back until the SHA-256
//! of everything is known to be the one of the key: otherwise the request is broken off, and the dispatcher takes
//! nothing for whole. A stream counts as restored only when the dispatcher says that it received the same bytes.
//!
//! Memory does not depend on the size of the binary: it is a few chunks.

mod unpacking;

use std::cell::RefCell;
use std::rc::Rc;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::unpacking::Leftover;
use self::unpacking::{Step, Unpacking};

use crate::fault::{Fault, FaultKind};
use crate::fault_point::{self, FaultPoint};
use crate::ports::archive::{Archive, Store};
use crate::ports::bucket::ByteStream;
use crate::ports::target::Target;
use crate::restore::hashing::{HashBench, StreamHash};
use crate::retry::RetryPolicy;
use crate::stop::StopFlag;
use crate::stream_id::{Sha256, StreamId};
use crate::stream_worker::progress::Progress;

const RESTORE: &str = "restore stream";

/// How often content that cannot be the stream is read again: it may have been damaged on its way.
const READ_AGAIN: u32 = 1;

/// What one worker speaks to.
#[derive(Clone)]
pub struct StreamRestorePorts {
    /// Where binaries come from.
    pub archive: Rc<dyn Archive>,
    /// Where they go.
    pub target: Rc<dyn Target>,
    /// What one stream leaves to the next.
    pub leftover: Leftover,
    /// Where all workers hash.
    pub hashes: HashBench,
}

/// What holds for all streams.
#[derive(Clone, Debug)]
pub struct StreamRestoreTerms {
    /// Applies to each request.
    pub retry: RetryPolicy,
    /// Raised when what is under way is to be abandoned.
    pub stop: StopFlag,
    /// Notes what this worker gets done.
    pub progress: Progress,
}

/// Whether the dispatcher is asked for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// No: it is sent.
    Never,
    /// Yes: it is sent if it is missing.
    First,
    /// Yes, and nothing is sent.
    Only,
}

/// What became of a stream.
#[derive(Clone, Debug)]
pub enum Restored {
    /// Uploaded and verified.
    Uploaded {
        /// Bytes of the binary.
        bytes: u64,
    },
    /// The dispatcher has it already.
    There,
    /// The dispatcher does not have it; it was only asked.
    Absent,
    /// The object is not in the bucket any more.
    Gone,
    /// It cannot be restored, whatever is tried: the object, or what the dispatcher thinks of it, is at fault.
    Dead(Fault),
    /// Bucket or dispatcher do not do what they should; whether this says something of the stream, only others can
    /// show.
    Failed(Fault),
    /// The program is being stopped.
    Stopped,
}

/// Restores the stream `id` from the object `key`, or only asks for it.
pub async fn restore_stream(
    ports: &StreamRestorePorts,
    terms: &StreamRestoreTerms,
    id: &StreamId,
    key: &str,
    ask: Ask,
) -> Restored {
    fault_point::pass(FaultPoint::RestoreStreamBegun);
    let restored = tokio::select! {
        biased;
        () = terms.stop.raised() => return Restored::Stopped,
        restored = restore(ports, terms, id, key, ask) => restored,
    };
    match restored {
        Ok(restored) => restored,
        Err(fault) => match fault.kind() {
            FaultKind::Missing => Restored::Gone,
            FaultKind::Corrupt => Restored::Dead(fault),
            FaultKind::Cancelled => Restored::Stopped,
            FaultKind::Transient | FaultKind::Rejected | FaultKind::Lapsed | FaultKind::NoRoom => {
                Restored::Failed(fault)
            }
        },
    }
}

async fn restore(
    ports: &StreamRestorePorts,
    terms: &StreamRestoreTerms,
    id: &StreamId,
    key: &str,
    ask: Ask,
) -> Result<Restored, Fault> {
    let StreamRestoreTerms { retry, stop, .. } = terms;
    if ask != Ask::Never {
        let exists = || ports.target.exists(id);
        match (retry.run("head stream", id, stop, exists).await?, ask) {
            (true, _) => return Ok(Restored::There),
            (false, Ask::Only) => return Ok(Restored::Absent),
            (false, _) => {}
        }
    }
    let mut damaged = 0;
    loop {
        let transfer = || transfer(ports, &terms.progress, id, key);
        match retry.run(RESTORE, &key, stop, transfer).await {
            Err(fault) if fault.kind() == FaultKind::Corrupt && damaged < READ_AGAIN => {
                damaged += 1;
                log::warn!(error:% = fault; "{fault}; reading it once more");
            }
            Err(fault) if fault.kind() == FaultKind::Corrupt => {
                return Err(fault.tried(damaged + 1, Default::default()));
            }
            transferred => return transferred.map(|bytes| Restored::Uploaded { bytes }),
        }
    }
}

/// Sends the object once; returns how many bytes the binary has.
async fn transfer(
    ports: &StreamRestorePorts,
    progress: &Progress,
    id: &StreamId,
    key: &str,
) -> Result<u64, Fault> {
    let object = ports.archive.read(Store::Streams, key).await;
    progress.step();
    let sent = Rc::new(RefCell::new(Sent::default()));
    let object = object?;
    let content = Unpacked {
        unpacking: Unpacking::of_length(object.length(), &ports.leftover),
        object,
        held_back: None,
        hash: Some(ports.hashes.begin()),
        key: key.to_owned(),
        id: id.clone(),
        sent: Rc::clone(&sent),
        progress: progress.clone(),
    };
    let received = ports.target.upload(id, Box::new(content)).await;
    progress.step();
    let received = received?;
    let sent = sent.borrow();
    if !sent.complete {
        // An answer came before all was sent: it speaks of something else.
        let detail = "the dispatcher says it received the stream before all of it was sent";
        return Err(Fault::transient(RESTORE, key, detail));
    }
    if received.sha256 != *id.sha256() || received.size != sent.bytes {
        let detail = format_args!(
            "the dispatcher says it received {} bytes with the SHA-256 {}; {} bytes were sent",
            received.size, received.sha256, sent.bytes
        );
        return Err(Fault::corrupt(RESTORE, key, detail));
    }
    fault_point::pass(FaultPoint::RestoreStreamSent);
    Ok(sent.bytes)
}

/// What was given to the dispatcher.
#[derive(Debug, Default)]
struct Sent {
    bytes: u64,
    complete: bool,
}

/// The binary, from its object.
struct Unpacked {
    object: Box<dyn ByteStream>,
    unpacking: Unpacking,
    held_back: Option<Bytes>,
    /// Of all that was made; `None` at the end.
    hash: Option<StreamHash>,
    key: String,
    id: StreamId,
    sent: Rc<RefCell<Sent>>,
    progress: Progress,
}

#[async_trait(?Send)]
impl ByteStream for Unpacked {
    fn length(&self) -> Option<u64> {
        None
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            let next = self.next().await?;
            let Some(mut hash) = self.hash.take() else {
                return Ok(None);
            };
            let Some(next) = next else {
                self.verify(hash.finish())?;
                self.sent.borrow_mut().complete = true;
                return Ok(self.held_back.take());
            };
            hash.take(next.clone());
            self.hash = Some(hash);
            self.sent.borrow_mut().bytes += next.len() as u64;
            if let Some(before) = self.held_back.replace(next) {
                return Ok(Some(before));
            }
        }
    }
}

impl Unpacked {
    fn verify(&self, found: Sha256) -> Result<(), Fault> {
        if found == *self.id.sha256() {
            return Ok(());
        }
        let detail = format_args!(
            "the SHA-256 of its {} bytes, unpacked, is {found}",
            self.sent.borrow().bytes
        );
        Err(Fault::corrupt(RESTORE, &self.key, detail))
    }

    /// The next bytes of the binary; `None` after the last.
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let damaged = |error: std::io::Error| {
            let detail = format_args!("it is not the gzip it should be, or damaged: {error}");
            Fault::corrupt(RESTORE, &self.key, detail)
        };
        loop {
            match self.unpacking.next().map_err(damaged)? {
                Step::Piece(piece) => return Ok(Some(piece)),
                Step::End => return Ok(None),
                Step::More => {
                    let chunk = self.object.chunk().await;
                    self.progress.step();
                    self.unpacking.feed(chunk?);
                }
            }
        }
    }
}
