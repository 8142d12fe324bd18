//! How a backup ended, or why it did not begin, and what is said of it.

use std::time::Duration;

use actors::fault::Fault;
use actors::ports::StateFault;
use actors::supervisor::{EndReason, Ended};

use super::identity::NotOurs;
use crate::adapters::state::{OpenError, SledState};
use crate::exit::Exit;
use crate::observe::server::NotServed;
use crate::process::watchdog;
use crate::settings::Settings;

/// Says how it ended.
pub(super) fn tell(ended: &Result<Ended, StartFault>) -> Exit {
    match ended {
        Ok(Ended {
            reason: EndReason::Signal,
            given_up,
        }) => {
            match given_up {
                false => log::info!("the backup ended in good order"),
                true => log::warn!(
                    "the backup ended after a signal, without all that it waited for: that is in local state, and the \
                     next start finishes it"
                ),
            }
            Exit::Done
        }
        Ok(Ended { reason, .. }) => {
            log::error!(
                error:% = reason; "the backup ended because {reason}; what is unfinished is in local state, and the next start finishes it"
            );
            Exit::Failed
        }
        Err(StartFault::Stopped) => {
            log::info!("the backup ended in good order, before it had begun");
            Exit::Done
        }
        Err(StartFault::Left(budget)) => {
            log::warn!(
                "the backup ended before it had begun; local state was not closed within {budget:.0?}: what it \
                 acknowledged is durable"
            );
            Exit::Done
        }
        Err(fault) => {
            log::error!(error:% = fault; "the backup could not be started: {fault}");
            Exit::Failed
        }
    }
}

/// Why a backup could not be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartFault {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Outside(#[from] Fault),
    #[error(transparent)]
    State(#[from] StateFault),
    #[error(transparent)]
    Identity(#[from] NotOurs),
    #[error("signals cannot be received: {0}")]
    Signals(std::io::Error),
    #[error("there is no thread for the watchdog: {0}")]
    Watchdog(std::io::Error),
    #[error(transparent)]
    NotServed(#[from] NotServed),
    #[error("local state could not be opened: {0}")]
    Opening(tokio::task::JoinError),
    #[error("a signal came before it had begun")]
    Stopped,
    #[error("a signal came before it had begun, and local state was not closed within {0:?}")]
    Left(Duration),
}

/// A signal came while local state was opened or put in order, or the bucket made ready: what that was at is left
/// behind, and what `opened` brings is closed, if there is time for both.
pub(super) async fn stopped_before_it_began(
    settings: &Settings,
    opened: impl Future<Output = Result<SledState, StartFault>>,
) -> ! {
    let budget = settings.stages.state;
    log::info!("ending before it had begun: waiting for local state to be closed, for at most {budget:.0?}");
    let closed = async { Ok::<_, StartFault>(opened.await?.close().await?) };
    let ended = match tokio::time::timeout(budget, closed).await {
        Ok(Ok(())) => StartFault::Stopped,
        Ok(Err(fault)) => fault,
        Err(_late) => StartFault::Left(budget),
    };
    watchdog::end_process(tell(&Err(ended)))
}
