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

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Handler, Message, MessageResult, SyncContext};

use crate::fault::Fault;
use crate::stream_id::StreamId;
use crate::timestamp::Timestamp;

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
        matches!(self, Self::Failed(fault) if fault.is_transient())
    }

    /// Whether the stream is safe in the bucket.
    pub fn is_safe(&self) -> bool {
        matches!(self, Self::Stored { .. } | Self::AlreadyStored)
    }
}

/// One of the workers; lives on a thread of a `SyncArbiter`.
pub struct StreamWorker {
    ports: Arc<dyn WorkerPorts>,
    terms: StoreTerms,
    opened: Option<Opened>,
}

impl StreamWorker {
    /// Opens nothing yet.
    pub fn new(ports: Arc<dyn WorkerPorts>, terms: StoreTerms) -> Self {
        Self {
            ports,
            terms,
            opened: None,
        }
    }

    /// Works on one stream, come what may.
    fn settle(&mut self, job: &StoreStream) -> StreamOutcome {
        self.terms.progress.begin(&job.stream);
        let outcome = self.outcome(job);
        self.terms.progress.end();
        outcome
    }

    fn outcome(&mut self, job: &StoreStream) -> StreamOutcome {
        match catch_unwind(AssertUnwindSafe(|| self.work(job))) {
            Ok(outcome) => outcome,
            Err(panic) => {
                let said = panic_text(&*panic);
                log::error!("a worker panicked at stream {}: {said}", job.stream);
                let opened = self.opened.take();
                // What panicked once may panic again when it is dropped.
                if catch_unwind(AssertUnwindSafe(|| drop(opened))).is_err() {
                    log::error!("a worker panicked again when its ports were closed");
                }
                StreamOutcome::Failed(Fault::rejected(
                    "store stream",
                    &job.stream,
                    format_args!("panicked: {said}"),
                ))
            }
        }
    }

    fn work(&mut self, job: &StoreStream) -> StreamOutcome {
        if self.terms.stop.is_raised() {
            return StreamOutcome::Failed(Fault::cancelled("store stream", &job.stream));
        }
        let opened = match &self.opened {
            Some(opened) => opened,
            None => match Opened::new(&*self.ports, &self.terms.progress) {
                Ok(opened) => self.opened.insert(opened),
                Err(fault) => return StreamOutcome::Failed(fault),
            },
        };
        opened.store(&self.terms, job)
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

/// What a worker has open.
struct Opened {
    /// `None` only while dropped.
    ports: Option<StreamPorts>,
    runtime: actix_rt::Runtime,
}

impl Opened {
    fn new(ports: &dyn WorkerPorts, progress: &Progress) -> Result<Self, Fault> {
        let runtime = actix_rt::Runtime::new()
            .map_err(|error| Fault::transient("start a runtime", "stream worker", error))?;
        let ports = runtime.block_on(async { ports.open(progress) })?;
        Ok(Self {
            ports: Some(noting(ports, progress)),
            runtime,
        })
    }

    fn store(&self, terms: &StoreTerms, job: &StoreStream) -> StreamOutcome {
        let ports = self.ports.as_ref().expect("the ports are there until the drop");
        self.runtime.block_on(async {
            // While the worker was idle nobody looked at its connections: let the runtime see which were closed.
            tokio::task::yield_now().await;
            store_stream(ports, terms, job, Timestamp::now()).await
        })
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // Connections may want to say good-bye, for which they need their runtime.
        let ports = self.ports.take();
        self.runtime.block_on(async { drop(ports) });
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests;
