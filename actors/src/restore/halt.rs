//! Why a restore does not go on. What is done is remembered, and the next start goes on from there.

use crate::fault::{Fault, FaultKind};
use crate::ports::state::StateFault;

/// See the module.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Halt {
    /// The program is being stopped.
    #[error("it was told to stop")]
    Stopped,
    /// Bucket or dispatcher do not work.
    #[error("{0}")]
    Outage(Fault),
    /// Something was found unfit before anything was uploaded; what, and what to do.
    #[error("{0}")]
    Unfit(String),
    /// Local state does not work.
    #[error("{0}")]
    State(#[from] StateFault),
    /// Somebody who works for it is gone.
    #[error("{0} is gone: it has panicked, see above")]
    Lost(&'static str),
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        match fault.kind() {
            FaultKind::Cancelled => Self::Stopped,
            _ => Self::Outage(fault),
        }
    }
}
