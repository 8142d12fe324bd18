//! Brings binaries from the dispatcher into the bucket, one at a time per worker, many workers side by side.
//!
//! A stream is [`StreamOutcome::Stored`] only when all of its bytes were read, their SHA-256 is the one that was
//! asked for, and the bucket has confirmed the whole object; see [`store`] for how. Whatever else happens is told
//! in the outcome, a panic included: a worker never takes its thread with it, and answers every message. One that
//! gets nothing done any more is found out by whoever watches its [`progress`].
//!
//! Workers run under a `SyncArbiter`, whose queue has no bound: the sender keeps the number of messages that are
//! out within its own. Each worker has a runtime and ports of its own, because connections belong to the runtime
//! that opened them. They are opened with the first stream, and anew after a panic.

pub mod hashed_gzip;
pub mod progress;
pub mod store;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Handler, Message, MessageResult, SyncContext};

use crate::fault::Fault;
use crate::stream_id::StreamId;
use crate::timestamp::Timestamp;
use crate::workbench::Workbench;

use progress::{Progress, noting};
pub use store::{StoreTerms, StreamPorts, store_stream};

/// Opens the ports of one worker, on its thread and inside its runtime.
pub trait WorkerPorts: Send + Sync {
    /// Called with the first stream of a worker, and after a panic. What is sent to the bucket is to be noted as
    /// progress; the rest is noted by the worker.
    ///
    /// # Errors
    /// They cannot be opened; the stream fails with this, and the next one tries again.
    fn open(&self, progress: &Progress) -> Result<StreamPorts, Fault>;
}

/// "Make sure that this stream is in the bucket."
#[derive(Clone, Debug, Message, PartialEq, Eq)]
#[rtype(result = "StreamOutcome")]
pub struct StoreStream {
    /// Which one.
    pub stream: StreamId,
    /// Store it again if the object is older than this, because its source ages off; `None`: never.
    pub refresh_after: Option<Duration>,
}

/// What became of a [`StoreStream`].
#[derive(Clone, Debug)]
pub enum StreamOutcome {
    /// It is in the bucket, written and verified just now.
    Stored {
        /// Bytes of the binary.
        bytes_in: u64,
        /// Bytes of the object.
        bytes_out: u64,
    },
    /// It was in the bucket.
    AlreadyStored,
    /// The dispatcher does not have it (any more).
    Missing(Fault),
    /// It is not in the bucket, or not known to be; nothing half-written is.
    Failed(Fault),
}

impl StreamOutcome {
    /// Whether it says that the bucket or the dispatcher does not work, rather than something about this stream.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Failed(fault) if fault.is_outage())
    }

    /// Whether the stream is safe in the bucket.
    pub fn is_safe(&self) -> bool {
        matches!(self, Self::Stored { .. } | Self::AlreadyStored)
    }
}

/// One of the workers; lives on a thread of a `SyncArbiter`.
pub struct StreamWorker {
    terms: StoreTerms,
    bench: Workbench<StreamPorts>,
}

impl StreamWorker {
    /// Opens nothing yet.
    pub fn new(ports: Arc<dyn WorkerPorts>, terms: StoreTerms) -> Self {
        let progress = terms.progress.clone();
        let open = move || Ok(noting(ports.open(&progress)?, &progress));
        Self {
            bench: Workbench::new("store stream", terms.stop.clone(), open),
            terms,
        }
    }

    /// Works on one stream, come what may.
    fn settle(&mut self, job: &StoreStream) -> StreamOutcome {
        let Self { terms, bench } = self;
        terms.progress.begin(&job.stream);
        let outcome = bench.run(&job.stream, async |ports| {
            store_stream(ports, terms, job, Timestamp::now()).await
        });
        terms.progress.end();
        outcome.unwrap_or_else(StreamOutcome::Failed)
    }
}

impl Actor for StreamWorker {
    type Context = SyncContext<Self>;
}

impl Drop for StreamWorker {
    fn drop(&mut self) {
        self.terms.progress.leave();
    }
}

impl Handler<StoreStream> for StreamWorker {
    type Result = MessageResult<StoreStream>;

    fn handle(&mut self, job: StoreStream, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.settle(&job))
    }
}

#[cfg(test)]
mod tests;
