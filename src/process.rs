//! What every long-running mode of the program has around its actors: it obeys signals, tells of panics, and is ended
//! from outside where nothing inside can end it.

pub(crate) mod panics;
pub(crate) mod signals;
pub(crate) mod watchdog;

use std::io;
use std::time::Duration;

use actors::fault_point;
use actors::stream_worker::progress::Crew;
use actors::supervisor::{Pulse, StageBudgets};

use self::signals::Signals;

/// How long the actors' thread may give no sign of life.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// What watches over the actors from outside.
pub(crate) struct Watching {
    pub(crate) pulse: Pulse,
    pub(crate) crew: Crew,
    pub(crate) panics: panics::Panics,
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
        };
        let limits = watchdog::Limits {
            silence: fault_point::hurried(LONGEST_SILENCE),
            after_signal: budgets.after_a_signal() + watchdog::GRACE,
            after_end: watchdog::GRACE,
        };
        let watched = watchdog::Watched {
            pulse: watching.pulse.clone(),
            crew: watching.crew.clone(),
        };
        watchdog::start(limits, watched, signals, |exit| watchdog::end_process(exit))?;
        Ok(watching)
    }
}
