//! One stream, from the dispatcher into the bucket.
//!
//! 1. A HEAD: what is in the bucket already, and young enough, is not stored again.
//! 2. The download is hashed and compressed while it comes in; what breaks off is resumed at the byte reached,
//!    with hash and compressor as they were.
//! 3. The SHA-256 is compared *before* the object is made visible. A wrong one over a complete body is tried once
//!    more from the first byte; then the stream is [`Corrupt`](FaultKind::Corrupt), which says nothing about
//!    other streams.
//!
//! Memory is reserved between the head and the body of the answer, for the most that this stream can need: a part
//! and what belongs to the compressor, whatever its size. A raised stop flag ends the download at once and drops
//! what was uploaded; an object that only waits for its completion is completed.

use std::rc::Rc;
use std::time::Duration;

use super::hashed_gzip::{HashedGzip, OVERHEAD, PIECE};
use super::progress::Progress;
use super::{StoreStream, StreamOutcome};
use crate::fault::{Fault, FaultKind};
use crate::fault_point::{self, FaultPoint};
use crate::gzip;
use crate::memory_budget::{MemoryBudget, Reservation};
use crate::object_key::ObjectKey;
use crate::object_writer::{Destination, Finished, MOST_ANEW, ObjectWriter, PartPlan, UploadLog};
use crate::ports::bucket::{Bucket, ObjectInfo};
use crate::ports::dispatcher::Dispatcher;
use crate::retry::RetryPolicy;
use crate::stop::StopFlag;
use crate::stream_id::StreamId;
use crate::timestamp::Timestamp;

/// A connection that brought this much before it broke was not a failed attempt: the count starts anew.
const PROGRESS: u64 = 1024 * 1024;

const GET: &str = "get stream";

/// What one worker speaks to.
#[derive(Clone)]
pub struct StreamPorts {
    /// Where binaries come from.
    pub dispatcher: Rc<dyn Dispatcher>,
    /// Where they go.
    pub bucket: Rc<dyn Bucket>,
    /// Knows the open uploads.
    pub uploads: Rc<dyn UploadLog>,
}

/// What holds for all streams.
#[derive(Clone, Debug)]
pub struct StoreTerms {
    /// Applies to each request.
    pub retry: RetryPolicy,
    /// Shared by all who hold content in memory.
    pub budget: MemoryBudget,
    /// Raised when what is under way is to be abandoned.
    pub stop: StopFlag,
    /// Notes what this worker gets done.
    pub progress: Progress,
}

/// Makes sure that a stream is in the bucket; `now` decides what is too old.
pub async fn store_stream(
    ports: &StreamPorts,
    terms: &StoreTerms,
    job: &StoreStream,
    now: Timestamp,
) -> StreamOutcome {
    fault_point::pass(FaultPoint::StreamBegun);
    let key = ObjectKey::Stream(job.stream.clone());
    let there = tokio::select! {
        biased;
        () = terms.stop.raised() => Err(Fault::cancelled("head object", &key)),
        there = terms.retry.run("head object", &key, &terms.stop, || ports.bucket.head(&key)) => there,
    };
    let there = match there {
        // What is shorter than any gzip is not a backup of anything.
        Ok(there) => there.filter(|info| info.size >= gzip::SHORTEST),
        Err(fault) => return StreamOutcome::Failed(fault),
    };
    if there
        .as_ref()
        .is_some_and(|info| is_fresh(info, job.refresh_after, now))
    {
        return StreamOutcome::AlreadyStored;
    }
    let mut outcome = transfer_anew(ports, terms, &job.stream, there.as_ref()).await;
    if let StreamOutcome::Failed(fault) = &outcome
        && fault.kind() == FaultKind::Corrupt
    {
        log::warn!(error:% = fault; "{fault}; trying once more from the first byte");
        outcome = transfer_anew(ports, terms, &job.stream, there.as_ref()).await;
    }
    match outcome {
        StreamOutcome::Missing(fault) if there.is_some() => {
            log::warn!(error:% = fault; "{fault}; the object in the bucket could not be renewed and may age off");
            StreamOutcome::AlreadyStored
        }
        outcome => outcome,
    }
}

/// Whether the object need not be written again before age-off could take it. An unknown age is too old.
fn is_fresh(info: &ObjectInfo, refresh_after: Option<Duration>, now: Timestamp) -> bool {
    match (refresh_after, info.last_modified) {
        (None, _) => true,
        (Some(age), Some(written)) => now.since(written) <= age,
        (Some(_), None) => false,
    }
}

/// As [`transfer`], and anew where the upload lapsed on the way. If that does not end it is an outage: it says
/// nothing of the stream.
async fn transfer_anew(
    ports: &StreamPorts,
    terms: &StoreTerms,
    stream: &StreamId,
    there: Option<&ObjectInfo>,
) -> StreamOutcome {
    for begun in 0.. {
        match transfer(ports, terms, stream, there).await {
            StreamOutcome::Failed(fault) if fault.kind() == FaultKind::Lapsed && begun < MOST_ANEW => {
                log::info!("{fault}; the upload was aborted by somebody else, and is begun anew");
            }
            StreamOutcome::Failed(fault) if fault.kind() == FaultKind::Lapsed => {
                let fault = Fault::transient(fault.operation(), stream, fault.detail());
                return StreamOutcome::Failed(fault);
            }
            outcome => return outcome,
        }
    }
    unreachable!("the last time returns")
}

/// Downloads and writes the stream once, from the first byte to the last.
async fn transfer(
    ports: &StreamPorts,
    terms: &StoreTerms,
    stream: &StreamId,
    there: Option<&ObjectInfo>,
) -> StreamOutcome {
    let mut transfer = Transfer {
        ports,
        terms,
        stream,
        there,
        content: HashedGzip::new(),
        sink: None,
    };
    let read = tokio::select! {
        biased;
        () = terms.stop.raised() => Err(Broken::Content(Fault::cancelled(GET, stream))),
        read = transfer.read_all() => read,
    };
    let outcome = match read {
        Ok(()) => return transfer.settle().await,
        Err(Broken::Download(fault)) if fault.kind() == FaultKind::Missing => StreamOutcome::Missing(fault),
        Err(Broken::Download(fault) | Broken::Upload(fault) | Broken::Content(fault)) => {
            StreamOutcome::Failed(fault)
        }
    };
    if let Some(sink) = transfer.sink {
        sink.writer.abort().await;
    }
    outcome
}

/// Why a stream was not read to its end.
enum Broken {
    /// The dispatcher's side; if transient, the download goes on where it broke.
    Download(Fault),
    /// The bucket's side, which has been tried often enough.
    Upload(Fault),
    /// What came cannot be the stream, or is no longer wanted.
    Content(Fault),
}

/// A download under way.
struct Transfer<'a> {
    ports: &'a StreamPorts,
    terms: &'a StoreTerms,
    stream: &'a StreamId,
    there: Option<&'a ObjectInfo>,
    content: HashedGzip,
    /// There since the first answer.
    sink: Option<Sink>,
}

/// Where the content goes, and what its answer said of it.
struct Sink {
    writer: ObjectWriter,
    /// How long the whole stream is, where the dispatcher said so.
    announced: Option<u64>,
    _memory: Reservation,
}

impl Transfer<'_> {
    /// Reads to the end, over as many connections as it takes.
    async fn read_all(&mut self) -> Result<(), Broken> {
        let mut backoff = self.terms.retry.backoff();
        let mut counted_from = 0;
        loop {
            let fault = match self.read_on().await {
                Err(Broken::Download(fault)) if fault.is_transient() => fault,
                done => return done,
            };
            let reached = self.content.length();
            if reached - counted_from >= PROGRESS {
                counted_from = reached;
                backoff = self.terms.retry.backoff();
            }
            if reached > 0 {
                log::debug!("{}: resuming at byte {reached} after: {fault}", self.stream);
            }
            backoff
                .pause(fault, GET, self.stream, &self.terms.stop)
                .await
                .map_err(Broken::Download)?;
        }
    }

    /// Reads on from where the last connection broke.
    async fn read_on(&mut self) -> Result<(), Broken> {
        // A connection may break after the last byte; a range past the end would be refused.
        if self
            .sink
            .as_ref()
            .is_some_and(|sink| sink.announced == Some(self.content.length()))
        {
            return Ok(());
        }
        let from = self.content.length();
        let mut body = self
            .ports
            .dispatcher
            .download(self.stream, from)
            .await
            .map_err(Broken::Download)?;
        let announced = body.length().map(|length| length.saturating_add(from));
        if self.sink.is_none() {
            self.sink = Some(self.open_sink(announced).await);
        }
        let sink = self.sink.as_mut().expect("opened with the first answer");
        sink.agree(self.stream, announced)?;
        while let Some(chunk) = body.chunk().await.map_err(Broken::Download)? {
            fault_point::pass(FaultPoint::StreamComing);
            let reached = self.content.length() + chunk.len() as u64;
            if sink.announced.is_some_and(|whole| reached > whole) {
                let detail = format_args!("{reached} bytes came, more than announced");
                return Err(Broken::Content(Fault::corrupt(GET, self.stream, detail)));
            }
            for piece in chunk.chunks(PIECE) {
                self.content.push(piece, sink.writer.buffer());
                sink.writer.drain().await.map_err(Broken::Upload)?;
            }
        }
        let reached = self.content.length();
        match sink.announced {
            Some(whole) if reached < whole => {
                let detail = format_args!("the body ended after {reached} of {whole} bytes");
                Err(Broken::Download(Fault::transient(GET, self.stream, detail)))
            }
            _ => Ok(()),
        }
    }

    /// Waits for the memory that a stream of this length needs.
    async fn open_sink(&self, announced: Option<u64>) -> Sink {
        let plan = PartPlan::new(announced.map(gzip::bound));
        let memory = self.terms.budget.reserve(plan.memory() + OVERHEAD);
        let memory = self.terms.progress.waiting(memory).await;
        let to = Destination {
            bucket: Rc::clone(&self.ports.bucket),
            uploads: Rc::clone(&self.ports.uploads),
            retry: self.terms.retry.clone(),
            stop: self.terms.stop.clone(),
        };
        let key = ObjectKey::Stream(self.stream.clone());
        Sink {
            writer: ObjectWriter::new(to, key, plan, self.there.cloned()),
            announced,
            _memory: memory,
        }
    }

    /// Makes the object visible if its content is the stream.
    async fn settle(self) -> StreamOutcome {
        let Sink {
            mut writer, _memory, ..
        } = self.sink.expect("what was read to its end has been opened");
        let bytes_in = self.content.length();
        let found = self.content.finish(writer.buffer());
        if found != *self.stream.sha256() {
            writer.abort().await;
            let detail = format_args!("the SHA-256 of its {bytes_in} bytes is {found}");
            return StreamOutcome::Failed(Fault::corrupt(GET, self.stream, detail));
        }
        match writer.finish().await {
            // Whoever wrote what lies there: the key is the hash of the content.
            Ok(Finished { bytes: bytes_out, .. }) => {
                fault_point::pass(FaultPoint::StreamPut);
                StreamOutcome::Stored { bytes_in, bytes_out }
            }
            Err(fault) => StreamOutcome::Failed(fault),
        }
    }
}

impl Sink {
    /// Compares the whole length that an answer announces with what an earlier one did.
    fn agree(&mut self, stream: &StreamId, announced: Option<u64>) -> Result<(), Broken> {
        match (self.announced, announced) {
            (Some(before), Some(now)) if before != now => {
                let detail = format_args!("it was {before} bytes long, and is {now} after a resume");
                Err(Broken::Content(Fault::corrupt(GET, stream, detail)))
            }
            _ => {
                self.announced = self.announced.or(announced);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
