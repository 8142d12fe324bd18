//! Ends the process where nothing inside it can: a thread of its own, which shares nothing with the actors but
//! their pulse.
//!
//! * The pulse stands still for [`Limits::silence`]: the actors' thread is blocked, or the supervisor is gone.
//! * A signal came, and the process is still there [`Limits::after_signal`] later: a stage does not end. The watchdog
//!   listens to signals by itself, for the thread that is to obey them may be the one that is blocked.
//! * The last stage is over, and the process is still there [`Limits::after_end`] later: what comes after it hangs.
//!   What is known to take its time then (the last scrape of a restore) holds a [`Reprieve`], which this time begins
//!   after, and which ends by itself after [`Limits::reprieve`].
//!
//! It says what it knows and ends the process: with 1, unless all stages are over and ended in good order, for then
//! nothing has failed, however slow the machine is. Nothing is lost by that: whatever was received is durable before
//! anything is built on it, so an end at any instant is one that the next start finishes, like a `kill -9`.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use actors::stream_worker::progress::Crew;
use actors::supervisor::{Pulse, Stage};
use tokio::time::Instant;

use super::signals::Signals;
use crate::exit::Exit;

/// What the process may take beyond the stages after a signal, before it is ended by force.
pub(crate) const GRACE: Duration = crate::settings::STOP_GRACE;

/// How often it looks.
const TICK: Duration = Duration::from_millis(200);

/// How long the last line may take: the log itself may be what hangs.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long is waited.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// For a beat of the pulse.
    pub(crate) silence: Duration,
    /// For the end after the first signal.
    pub(crate) after_signal: Duration,
    /// For the end after the last stage.
    pub(crate) after_end: Duration,
    /// For whoever asks for more time after the last stage.
    pub(crate) reprieve: Duration,
}

/// Asks for more time after the last stage. Clones share it; threads may differ.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reprieve(Arc<AtomicBool>);

/// More time, for as long as it is kept.
#[derive(Debug)]
pub(crate) struct Held(Reprieve);

impl Reprieve {
    /// More time from now on.
    pub(crate) fn hold(&self) -> Held {
        self.0.store(true, Ordering::SeqCst);
        Held(self.clone())
    }

    fn is_held(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::SeqCst);
    }
}

/// What it looks at.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) pulse: Pulse,
    pub(crate) crew: Crew,
    pub(crate) reprieve: Reprieve,
}

/// Watches from now on until the process is gone. Where it comes to that, `end` is called on the watchdog's thread.
///
/// Somebody who obeys signals listens to them already: one that only the watchdog heard would have no other end than
/// by force.
///
/// # Errors
/// There is no thread for it, or it cannot listen to signals.
pub(crate) fn start(
    limits: Limits,
    watched: Watched,
    _obeyed: &Signals,
    end: impl FnOnce(Exit) + Send + 'static,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listens = {
        let _inside = runtime.enter();
        Signals::listen()
    };
    let mut signals = match listens {
        Ok(signals) => signals,
        Err(error) => {
            // Whoever is inside another one must not wait for it.
            runtime.shutdown_background();
            return Err(error);
        }
    };
    let watch = move || {
        let signalled = async || {
            signals.next().await;
        };
        let verdict = runtime.block_on(verdict(limits, &watched.pulse, &watched.reprieve, signalled));
        let exit = exit(&watched.pulse);
        say(verdict.told(&watched, exit));
        end(exit);
    };
    std::thread::Builder::new()
        .name("watchdog".to_owned())
        .spawn(watch)?;
    Ok(())
}

/// Watches until there is something to end.
async fn verdict(
    limits: Limits,
    pulse: &Pulse,
    reprieve: &Reprieve,
    mut signalled: impl AsyncFnMut(),
) -> Verdict {
    let mut patience = Patience::new(limits, Instant::now());
    loop {
        tokio::select! {
            () = signalled() => patience.signal(Instant::now()),
            () = tokio::time::sleep(TICK) => {}
        }
        if let Some(verdict) = patience.look(Instant::now(), pulse, reprieve) {
            return verdict;
        }
    }
}

/// What a process that is ended by force ends with.
fn exit(pulse: &Pulse) -> Exit {
    match pulse.ended_in_good_order() {
        true => Exit::Done,
        false => Exit::Failed,
    }
}

/// Ends the process at once, whatever its threads are at.
#[expect(
    clippy::disallowed_methods,
    reason = "threads that hang cannot be joined: whoever waits for them hangs too"
)]
pub(crate) fn end_process(exit: Exit) -> ! {
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
    /// Still there so long after the last stage.
    Lingering(Duration),
}

impl Verdict {
    fn told(self, watched: &Watched, exit: Exit) -> String {
        format!(
            "watchdog: {self}; it was last seen in stage {}, with {} streams under way; the process is ended now with \
             exit code {}. Nothing that was received is lost: local state is durable at every instant, and the next \
             start finishes what is in it",
            watched.pulse.stage(),
            watched.crew.out().len(),
            exit.code()
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
            Self::Lingering(time) => write!(
                f,
                "the process has not ended by itself within {time:.1?} of its last stage"
            ),
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
    ended: Option<Instant>,
    /// When there was last a reprieve.
    reprieved: Option<Instant>,
}

impl Patience {
    fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            beats: 0,
            since: now,
            looked: now,
            signal: None,
            ended: None,
            reprieved: None,
        }
    }

    fn signal(&mut self, now: Instant) {
        self.signal.get_or_insert(now);
    }

    fn look(&mut self, now: Instant, pulse: &Pulse, reprieve: &Reprieve) -> Option<Verdict> {
        let beats = pulse.beats();
        // Who watches was held up itself (a process that was stopped): so was who is watched.
        let away = now - self.looked > self.limits.silence / 2;
        self.looked = now;
        if beats != self.beats || away {
            (self.beats, self.since) = (beats, now);
        }
        let after =
            |since: Option<Instant>, limit| since.map(|since| now - since).filter(|time| *time >= limit);
        if let Some(time) = after(self.signal, self.limits.after_signal) {
            return Some(Verdict::Overdue(time));
        }
        if pulse.stage() == Stage::Ended {
            let ended = *self.ended.get_or_insert(now);
            if reprieve.is_held() && now - ended < self.limits.reprieve {
                self.reprieved = Some(now);
            }
            let since = self.reprieved.or(Some(ended));
            return after(since, self.limits.after_end).map(Verdict::Lingering);
        }
        // Before the first beat local state is being put in order, which may take its time.
        let silent = now - self.since;
        (self.beats > 0 && silent >= self.limits.silence).then_some(Verdict::Silent(silent))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    const LIMITS: Limits = Limits {
        silence: Duration::from_secs(60),
        after_signal: Duration::from_secs(30),
        after_end: Duration::from_secs(2),
        reprieve: Duration::from_secs(300),
    };

    /// How long it takes, in virtual time, until the watchdog ends a process; it gets a signal after `signal`.
    async fn ended(pulse: &Pulse, signal: Option<Duration>) -> (Verdict, Duration) {
        ended_with(pulse, &Reprieve::default(), signal).await
    }

    /// The same with a reprieve.
    async fn ended_with(pulse: &Pulse, reprieve: &Reprieve, signal: Option<Duration>) -> (Verdict, Duration) {
        let begun = Instant::now();
        let (at, told) = (signal.map(|signal| begun + signal), Cell::new(false));
        let signalled = async || match at {
            Some(at) if !told.get() => {
                tokio::time::sleep_until(at).await;
                told.set(true);
            }
            _ => std::future::pending().await,
        };
        let verdict = tokio::time::timeout(10_000 * S, verdict(LIMITS, pulse, reprieve, signalled));
        (verdict.await.expect("it ends the process"), begun.elapsed())
    }

    /// Beats once a second for `beats` seconds, and is blocked then.
    fn beating(pulse: &Pulse, beats: u32) {
        let pulse = pulse.clone();
        tokio::spawn(async move {
            for _ in 0..beats {
                pulse.beat(Stage::Running);
                tokio::time::sleep(S).await;
            }
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_pulse_that_stands_still_for_a_minute_is_the_end() {
        let pulse = Pulse::default();
        beating(&pulse, 1000);
        let (verdict, after) = ended(&pulse, None).await;
        assert!(matches!(verdict, Verdict::Silent(_)), "{verdict}");
        assert!((1059 * S..1061 * S).contains(&after), "{after:?}");
        assert_eq!(exit(&pulse), Exit::Failed);
    }

    #[test]
    fn neither_a_start_that_takes_long_nor_a_process_that_was_stopped_is_the_end() {
        let (begun, pulse) = (Instant::now(), Pulse::default());
        let mut patience = Patience::new(LIMITS, begun);
        for second in 1..1000 {
            assert_eq!(
                patience.look(begun + second * S, &pulse, &Reprieve::default()),
                None,
                "it has not begun"
            );
        }
        pulse.beat(Stage::Running);
        assert_eq!(
            patience.look(begun + 1000 * S, &pulse, &Reprieve::default()),
            None
        );
        assert_eq!(
            patience.look(begun + 100_000 * S, &pulse, &Reprieve::default()),
            None
        );
        assert_eq!(
            patience.look(begun + 100_001 * S, &pulse, &Reprieve::default()),
            None
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_signal_sets_the_time_of_the_end_whatever_the_pulse() {
        let pulse = Pulse::default();
        beating(&pulse, 1000);
        let (verdict, after) = ended(&pulse, Some(100 * S)).await;
        assert!(matches!(verdict, Verdict::Overdue(_)), "{verdict}");
        assert!((130 * S..131 * S).contains(&after), "{after:?}");
        assert_eq!(exit(&pulse), Exit::Failed);
        let mut patience = Patience::new(LIMITS, Instant::now());
        let begun = Instant::now();
        patience.signal(begun);
        patience.signal(begun + 29 * S);
        assert!(
            patience
                .look(begun + 30 * S, &pulse, &Reprieve::default())
                .is_some(),
            "a second one changes nothing"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_last_stage_there_is_a_grace_and_the_exit_code_is_that_of_the_stages() {
        for (in_good_order, expected) in [(true, Exit::Done), (false, Exit::Failed)] {
            let pulse = Pulse::default();
            let ending = pulse.clone();
            tokio::spawn(async move {
                tokio::time::sleep(5 * S).await;
                ending.end(in_good_order);
            });
            let (verdict, after) = ended(&pulse, Some(S)).await;
            assert!(matches!(verdict, Verdict::Lingering(_)), "{verdict}");
            assert!((7 * S..8 * S).contains(&after), "{after:?}");
            assert_eq!(exit(&pulse), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reprieve_puts_the_grace_off_but_not_for_ever_and_not_beyond_the_time_after_a_signal() {
        for (held, signal, expected) in [
            (100 * S, None, 102 * S),
            (10_000 * S, None, 302 * S),
            (10_000 * S, Some(200 * S), 230 * S),
        ] {
            let (pulse, reprieve) = (Pulse::default(), Reprieve::default());
            pulse.end(false);
            let kept = reprieve.hold();
            tokio::spawn(async move {
                tokio::time::sleep(held).await;
                drop(kept);
            });
            let (verdict, after) = ended_with(&pulse, &reprieve, signal).await;
            assert!((expected..expected + S).contains(&after), "{verdict} {after:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_grace_never_goes_beyond_the_time_after_a_signal() {
        let pulse = Pulse::default();
        let ending = pulse.clone();
        tokio::spawn(async move {
            tokio::time::sleep(30 * S).await;
            ending.end(true);
        });
        let (verdict, after) = ended(&pulse, Some(S)).await;
        assert!(matches!(verdict, Verdict::Overdue(_)), "{verdict}");
        assert!((31 * S..32 * S).contains(&after), "{after:?}");
        assert_eq!(exit(&pulse), Exit::Done, "all stages are over");
    }

    #[tokio::test]
    async fn a_thread_that_is_blocked_does_not_keep_the_process_alive() {
        let limits = Limits {
            silence: 8 * TICK,
            ..LIMITS
        };
        let pulse = Pulse::default();
        let watched = Watched {
            pulse: pulse.clone(),
            crew: Crew::of(1),
            reprieve: Reprieve::default(),
        };
        let (ends, end) = mpsc::channel();
        let signals = Signals::listen().unwrap();
        start(limits, watched, &signals, move |exit| ends.send(exit).unwrap()).unwrap();
        pulse.beat(Stage::Running);
        // This thread is blocked from here on.
        assert_eq!(end.recv_timeout(60 * S), Ok(Exit::Failed));
    }
}
