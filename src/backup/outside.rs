//! Makes the adapters from the settings: for the thread of the actors, and for each stream worker its own,
//! because neither awc nor rusoto can be shared between runtimes.

use std::rc::Rc;
use std::sync::Arc;

use actors::fault::Fault;
use actors::patient_state::PatientState;
use actors::stream_worker::progress::Progress;
use actors::stream_worker::{StreamPorts, WorkerPorts};

use crate::adapters::bucket::{S3Bucket, S3Config};
use crate::adapters::dispatcher::{AwcDispatcher, DispatcherConfig};
use crate::adapters::http::HttpTimeouts;
use crate::adapters::metered::{Meter, Metered};
use crate::adapters::state::SledState;
use crate::settings::Settings;

/// How to reach the dispatcher and the bucket.
#[derive(Clone, Debug)]
pub(super) struct Outside {
    dispatcher: DispatcherConfig,
    bucket: S3Config,
    meter: Meter,
}

impl Outside {
    /// With a meter for all requests.
    pub(super) fn new(settings: &Settings, meter: &Meter) -> Self {
        let timeouts = HttpTimeouts::default();
        Self {
            meter: meter.clone(),
            dispatcher: DispatcherConfig {
                events: settings.dispatcher.events.clone(),
                streams: settings.dispatcher.streams.clone(),
                streams_consumer: settings.stream_consumer(),
                timeouts,
            },
            bucket: S3Config::of(&settings.bucket, timeouts),
        }
    }

    pub(super) fn dispatcher(&self) -> Result<Metered<AwcDispatcher>, Fault> {
        let dispatcher = AwcDispatcher::new(self.dispatcher.clone())?;
        Ok(self.meter.around(dispatcher))
    }

    pub(super) fn bucket(&self) -> Result<Metered<S3Bucket>, Fault> {
        let bucket = S3Bucket::new(self.bucket.clone())?;
        Ok(self.meter.around(bucket))
    }

    pub(super) fn worker_ports(&self, state: SledState) -> Arc<dyn WorkerPorts> {
        Arc::new(OwnPorts {
            outside: self.clone(),
            state,
        })
    }
}

/// Opens the ports of one worker on its thread.
struct OwnPorts {
    outside: Outside,
    state: SledState,
}

impl WorkerPorts for OwnPorts {
    fn open(&self, progress: &Progress) -> Result<StreamPorts, Fault> {
        let bucket = S3Bucket::noting(self.outside.bucket.clone(), progress.clone())?;
        Ok(StreamPorts {
            dispatcher: Rc::new(self.outside.dispatcher()?),
            bucket: Rc::new(self.outside.meter.around(bucket)),
            uploads: Rc::new(PatientState::new(Rc::new(self.state.clone()))),
        })
    }
}
