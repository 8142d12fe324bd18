//! What every long-running mode of the program has around its actors: it obeys signals, tells of panics, and is ended
//! from outside where nothing inside can end it.

pub(crate) mod panics;
pub(crate) mod signals;
pub(crate) mod watchdog;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actors::fault_point;
use actors::ports::state::StateFault;
use actors::stream_worker::progress::Crew;
use actors::supervisor::{CloseState, Pulse, StageBudgets};

use self::signals::Signals;
use crate::local_socket::{LocalSocket, SocketPlace};
use crate::observe::Source;
use crate::observe::server::{NotServed, Server, Views};

/// The socket for commands, where it could be made; a mode can do without.
pub(crate) fn offered(served: io::Result<LocalSocket>, place: &SocketPlace) -> Option<LocalSocket> {
    let warn = |error: &io::Error| {
        log::warn!(
            error:% = error; "commands cannot reach this process, only what it leaves behind: the socket {} cannot be made: {error}",
            place.path().display()
        );
    };
    served.inspect_err(warn).ok()
}

/// Closes local state, and its socket before it: who asks then is to find nobody, rather than a state that is closed.
pub(crate) fn closing<F>(
    socket: Rc<RefCell<Option<LocalSocket>>>,
    close: impl FnOnce() -> F + 'static,
) -> CloseState
where
    F: Future<Output = Result<(), StateFault>> + 'static,
{
    Box::new(move || {
        drop(socket.take());
        Box::pin(close())
    })
}

/// How long the actors' thread may give no sign of life.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// How long the end of a restore may wait for the last scrape of its metrics.
pub(crate) const LAST_SCRAPE: Duration = Duration::from_secs(300);

/// What watches over the actors from outside.
pub(crate) struct Watching {
    pub(crate) pulse: Pulse,
    pub(crate) crew: Crew,
    pub(crate) panics: panics::Panics,
    pub(crate) reprieve: watchdog::Reprieve,
}

impl Watching {
    /// The watchdog begins after somebody listens to `signals` who obeys them.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(crate) fn begin(workers: usize, budgets: &StageBudgets, signals: &Signals) -> io::Result<Self> {
        let watching = Self {
            pulse: Pulse::default(),
            crew: Crew::of(workers),
            panics: panics::Panics::listen(),
            reprieve: watchdog::Reprieve::default(),
        };
        let limits = watchdog::Limits {
            silence: fault_point::hurried(LONGEST_SILENCE),
            after_signal: budgets.after_a_signal() + watchdog::GRACE,
            after_end: watchdog::GRACE,
            reprieve: LAST_SCRAPE + watchdog::GRACE,
        };
        let watched = watchdog::Watched {
            pulse: watching.pulse.clone(),
            crew: watching.crew.clone(),
            reprieve: watching.reprieve.clone(),
        };
        watchdog::start(limits, watched, signals, |exit| watchdog::end_process(exit))?;
        Ok(watching)
    }

    /// Serves metrics, health and status for as long as what is returned is kept, unless that is switched off.
    ///
    /// # Errors
    /// See [`Server::start`].
    pub(crate) fn serve(
        &self,
        listen: Option<SocketAddr>,
        snapshot: Source,
        metrics: Arc<dyn Fn() -> String + Send + Sync>,
    ) -> Result<Option<Server>, NotServed> {
        let Some(listen) = listen else {
            log::info!("BK__METRICS_LISTEN is off: metrics, health and status are not served");
            return Ok(None);
        };
        let views = Views {
            snapshot,
            metrics,
            pulse: self.pulse.clone(),
            longest_silence: fault_point::hurried(LONGEST_SILENCE) / 2,
        };
        Server::start(listen, views).map(Some)
    }
}
