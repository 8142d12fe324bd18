//! Brings binaries from the bucket into the dispatcher, one at a time per worker, many workers side by side.
//!
//! As with the backup's workers: a job always comes to an answer, a panic included, and the queue of the
//! `SyncArbiter` has no bound, so the sender keeps the number of jobs that are out within its own.

use std::sync::Arc;

use actix::{Actor, Handler, Message, MessageResult, SyncContext};

use super::stream::{Ask, Restored, StreamRestorePorts, StreamRestoreTerms, restore_stream};
use crate::fault::{Fault, FaultKind};
use crate::stream_id::StreamId;
use crate::stream_worker::progress::Progress;
use crate::workbench::Workbench;

/// Opens the ports of one worker, on its thread and inside its runtime.
pub trait RestoreWorkerPorts: Send + Sync {
    /// Called with the first stream of a worker, and after a panic.
    ///
    /// # Errors
    /// They cannot be opened; the stream fails with this, and the next one tries again.
    fn open(&self, progress: &Progress) -> Result<StreamRestorePorts, Fault>;
}

/// "Make sure that the dispatcher has this stream."
#[derive(Clone, Debug, Message, PartialEq, Eq)]
#[rtype(result = "Restored")]
pub struct RestoreStream {
    /// Which one.
    pub stream: StreamId,
    /// The key of its object, as listed.
    pub key: String,
    /// Whether the dispatcher is asked for it.
    pub ask: Ask,
}

/// One of the workers; lives on a thread of a `SyncArbiter`.
pub struct RestoreWorker {
    terms: StreamRestoreTerms,
    bench: Workbench<StreamRestorePorts>,
}

impl RestoreWorker {
    /// Opens nothing yet.
    pub fn new(ports: Arc<dyn RestoreWorkerPorts>, terms: StreamRestoreTerms) -> Self {
        let progress = terms.progress.clone();
        let open = move || ports.open(&progress);
        Self {
            bench: Workbench::new("restore stream", terms.stop.clone(), open),
            terms,
        }
    }

    fn settle(&mut self, job: &RestoreStream) -> Restored {
        let Self { terms, bench } = self;
        terms.progress.begin(&job.stream);
        let restored = bench.run(&job.key, async |ports| {
            restore_stream(ports, terms, &job.stream, &job.key, job.ask).await
        });
        terms.progress.end();
        restored.unwrap_or_else(|fault| match fault.kind() {
            FaultKind::Cancelled => Restored::Stopped,
            _ => Restored::Failed(fault),
        })
    }
}

impl Actor for RestoreWorker {
    type Context = SyncContext<Self>;
}

impl Drop for RestoreWorker {
    fn drop(&mut self) {
        self.terms.progress.leave();
    }
}

impl Handler<RestoreStream> for RestoreWorker {
    type Result = MessageResult<RestoreStream>;

    fn handle(&mut self, job: RestoreStream, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.settle(&job))
    }
}
