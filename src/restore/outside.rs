//! Makes the adapters of a restore from its settings: for the thread of the actors, and for each worker its own,
//! because no connection can be shared between runtimes.

use std::rc::Rc;
use std::sync::Arc;

use actors::fault::Fault;
use actors::restore::hashing::HashBench;
use actors::restore::stream::{Leftover, StreamRestorePorts};
use actors::restore::worker::RestoreWorkerPorts;
use actors::stream_worker::progress::Progress;

use crate::adapters::bucket::{S3Archive, S3Config};
use crate::adapters::dispatcher::{HttpTarget, TargetConfig};
use crate::adapters::http::HttpTimeouts;
use crate::adapters::metered::{Meter, Metered};
use crate::settings::{ReadingSide, RestoreSettings};

/// How to reach the backup and the dispatcher.
#[derive(Clone, Debug)]
pub(super) struct Outside {
    bucket: S3Config,
    reading: ReadingSide,
    hashes: HashBench,
    target: TargetConfig,
    meter: Meter,
}

impl Outside {
    pub(super) fn new(settings: &RestoreSettings) -> Self {
        let dispatcher = &settings.dispatcher;
        Self {
            target: TargetConfig::new(
                dispatcher.events.clone(),
                dispatcher.streams.clone(),
                settings.backup_id.as_str(),
            ),
            bucket: S3Config::of(&settings.bucket, HttpTimeouts::default()),
            reading: settings.reading.clone(),
            hashes: HashBench::default(),
            meter: Meter::default(),
        }
    }

    /// The same, with all requests noted by `meter`.
    pub(super) fn metered(self, meter: &Meter) -> Self {
        let meter = meter.clone();
        Self { meter, ..self }
    }

    pub(super) fn archive(&self) -> Result<Metered<S3Archive>, Fault> {
        let archive = S3Archive::new(self.bucket.clone(), &self.reading)?;
        Ok(self.meter.around(archive))
    }

    pub(super) fn target(&self) -> Result<Metered<HttpTarget>, Fault> {
        let target = HttpTarget::new(self.target.clone())?;
        Ok(self.meter.around(target))
    }

    pub(super) fn worker_ports(&self) -> Arc<dyn RestoreWorkerPorts> {
        Arc::new(self.clone())
    }
}

impl RestoreWorkerPorts for Outside {
    fn open(&self, progress: &Progress) -> Result<StreamRestorePorts, Fault> {
        let archive = S3Archive::noting(self.bucket.clone(), &self.reading, progress.clone())?;
        let target = HttpTarget::noting(self.target.clone(), progress.clone())?;
        Ok(StreamRestorePorts {
            archive: Rc::new(self.meter.around(archive)),
            target: Rc::new(self.meter.around(target)),
            leftover: Leftover::default(),
            hashes: self.hashes.clone(),
        })
    }
}
