//! SIGTERM and SIGINT ask for the end; a second one asks for it now.

use std::io;

use actix::Recipient;
use actors::supervisor::{EndReason, Ending};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end the program. From the moment they are listened to, they do not kill it.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one, and returns its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Waits for the next one, and tells of it.
    pub(crate) async fn told(&mut self) {
        log::info!("received {}", self.next().await);
    }

    /// Tells the supervisor of every one from now on.
    pub(crate) fn forward_to(mut self, supervisor: Recipient<Ending>) {
        actix_rt::spawn(async move {
            loop {
                self.told().await;
                if supervisor
                    .send(Ending {
                        reason: EndReason::Signal,
                    })
                    .await
                    .is_err()
                {
                    return;
                }
            }
        });
    }
}
