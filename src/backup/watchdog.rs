//! Ends the process where nothing inside it can: a thread of its own, which shares nothing with the actors but
//! their pulse.
//!
//! * The pulse stands still for [`Limits::silence`]: the actors' thread is blocked, or the supervisor is gone.
//! * A signal came, and the process is still there [`Limits::after_signal`] later: a stage, or what comes after
//!   the last one, does not end. The watchdog listens to signals by itself, for the thread that is to obey them
//!   may be the one that is blocked.
//!
//! Either way it says what it knows and ends the process with 1. Nothing is lost by that: whatever was received is
//! durable before anything is built on it, so an end at any instant is one that the next start finishes, like a
//! `kill -9`.

use std::fmt;
use std::io;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use actors::stream_worker::progress::Crew;
use actors::supervisor::Pulse;

use super::signals::Signals;
use crate::exit::Exit;

/// What the process may take beyond the stages after a signal, before it is ended by force.
pub(super) const GRACE: Duration = crate::settings::STOP_GRACE;

/// How often it looks.
const TICK: Duration = Duration::from_millis(200);

/// How long the last line may take: the log itself may be what hangs.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long is waited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// For a beat of the pulse.
    pub(super) silence: Duration,
    /// For the end after the first signal.
    pub(super) after_signal: Duration,
}

/// What it looks at.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) pulse: Pulse,
    pub(super) crew: Crew,
}

/// Watches from now on until the process is gone. Where it comes to that, `end` is called on the watchdog's thread.
///
/// # Errors
/// There is no thread for it, or it cannot listen to signals.
pub(super) fn start(limits: Limits, watched: Watched, end: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (listening, listens) = mpsc::channel();
    let watch = move || {
        let told = runtime.block_on(async {
            let mut signals = match Signals::listen() {
                Ok(signals) => signals,
                Err(error) => {
                    drop(listening.send(Err(error)));
                    return None;
                }
            };
            drop(listening.send(Ok(())));
            let mut patience = Patience::new(limits, Instant::now());
            loop {
                tokio::select! {
                    _ = signals.next() => patience.signal(Instant::now()),
                    () = tokio::time::sleep(TICK) => {}
                }
                if let Some(verdict) = patience.look(Instant::now(), watched.pulse.beats()) {
                    return Some(verdict.told(&watched));
                }
            }
        });
        if let Some(told) = told {
            say(told);
            end();
        }
    };
    std::thread::Builder::new()
        .name("watchdog".to_owned())
        .spawn(watch)?;
    listens.recv().map_err(io::Error::other)?
}

/// Ends the process at once, whatever its threads are at.
#[expect(
    clippy::disallowed_methods,
    reason = "threads that hang cannot be joined: whoever waits for them hangs too"
)]
pub(super) fn end_process(exit: Exit) -> ! {
    std::process::exit(exit.code().into())
}

/// Logs from a thread of its own, and does not wait for ever.
fn say(told: String) {
    let (said, done) = mpsc::channel();
    let say = move || {
        log::error!("{told}");
        // Whoever waited may have given up.
        let _ = said.send(());
    };
    if std::thread::Builder::new().spawn(say).is_ok() {
        // A log that hangs keeps nobody from the end.
        let _ = done.recv_timeout(LAST_WORDS);
    }
}

/// Why the process has to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// No beat for so long.
    Silent(Duration),
    /// Still there so long after a signal.
    Overdue(Duration),
}

impl Verdict {
    fn told(self, watched: &Watched) -> String {
        format!(
            "watchdog: {self}; it was last seen in stage {}, with {} streams under way; the process is ended now with \
             exit code 1. Nothing that was received is lost: local state is durable at every instant, and the next \
             start finishes what is in it",
            watched.pulse.stage(),
            watched.crew.out().len()
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(time) => write!(
                f,
                "the thread of the actors has given no sign of life for {time:.0?}"
            ),
            Self::Overdue(time) => write!(f, "the process has not ended within {time:.1?} of a signal"),
        }
    }
}

/// What has been seen so far.
#[derive(Debug)]
struct Patience {
    limits: Limits,
    beats: u64,
    since: Instant,
    looked: Instant,
    signal: Option<Instant>,
}

impl Patience {
    fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            beats: 0,
            since: now,
            looked: now,
            signal: None,
        }
    }

    fn signal(&mut self, now: Instant) {
        self.signal.get_or_insert(now);
    }

    fn look(&mut self, now: Instant, beats: u64) -> Option<Verdict> {
        // Who watches was held up itself (a process that was stopped): so was who is watched.
        let away = now - self.looked > self.limits.silence / 2;
        self.looked = now;
        if beats != self.beats || away {
            (self.beats, self.since) = (beats, now);
        }
        if let Some(signal) = self.signal
            && now - signal >= self.limits.after_signal
        {
            return Some(Verdict::Overdue(now - signal));
        }
        // Before the first beat local state is being put in order, which may take its time.
        let silent = now - self.since;
        (self.beats > 0 && silent >= self.limits.silence).then_some(Verdict::Silent(silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn patience(now: Instant) -> Patience {
        let limits = Limits {
            silence: 60 * S,
            after_signal: 30 * S,
        };
        Patience::new(limits, now)
    }

    #[test]
    fn a_pulse_that_stands_still_for_a_minute_is_the_end() {
        let begun = Instant::now();
        let mut patience = patience(begun);
        for second in 1..1000 {
            assert_eq!(patience.look(begun + second * S, 0), None, "it has not begun");
        }
        for second in 1000..1060 {
            assert_eq!(patience.look(begun + second * S, 1), None);
        }
        let verdict = patience.look(begun + 1060 * S, 1);
        assert_eq!(verdict, Some(Verdict::Silent(60 * S)));
    }

    #[test]
    fn a_pulse_that_beats_is_never_the_end_and_neither_is_a_process_that_was_stopped() {
        let begun = Instant::now();
        let mut patience = patience(begun);
        for second in 1..1000 {
            assert_eq!(patience.look(begun + second * S, u64::from(second / 50)), None);
        }
        assert_eq!(patience.look(begun + 100_000 * S, 19), None);
        assert_eq!(patience.look(begun + 100_001 * S, 19), None);
    }

    #[test]
    fn the_first_signal_sets_the_time_of_the_end_whatever_the_pulse() {
        let begun = Instant::now();
        let mut patience = patience(begun);
        patience.signal(begun);
        patience.signal(begun + 29 * S);
        assert_eq!(patience.look(begun + 29 * S, 5), None);
        assert_eq!(patience.look(begun + 30 * S, 6), Some(Verdict::Overdue(30 * S)));
    }

    #[test]
    fn a_thread_that_is_blocked_does_not_keep_the_process_alive() {
        let limits = Limits {
            silence: 8 * TICK,
            after_signal: 60 * S,
        };
        let pulse = Pulse::default();
        let watched = Watched {
            pulse: pulse.clone(),
            crew: Crew::of(1),
        };
        let (ends, end) = mpsc::channel();
        start(limits, watched, move || ends.send(()).unwrap()).unwrap();
        for _ in 0..5 {
            pulse.beat(actors::supervisor::Stage::Running);
            assert_eq!(end.recv_timeout(TICK), Err(mpsc::RecvTimeoutError::Timeout));
        }
        assert_eq!(end.recv_timeout(60 * S), Ok(()));
    }
}
