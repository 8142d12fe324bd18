//! Whether the program lives, and whether it is ready: what `/livez` and `/readyz` say.
//!
//! **Alive** means that the actors answer each other. The supervisor's [`Pulse`] beats once a second for as long as its
//! thread turns, and the supervisor itself ends the program when an actor owes it a sign of life; so a pulse that beats
//! speaks for all of them. Neither the bucket nor the dispatcher is asked: a restart does not repair them.
//! * Before the first beat the program is alive, however long that takes: local state is being put in order, of which
//!   there may be much, or the bucket is away. Whoever killed it for that would have it begin the same again, for ever.
//!   The watchdog sees it the same way; `/readyz` says that it is still starting.
//! * After it: the last beat is younger than a limit, which is half of what the watchdog grants. The watchdog, which
//!   ends the process with a reason in the log, comes first where Kubernetes wants a few failures in a row, and
//!   Kubernetes where the watchdog hangs too.
//! * After the last stage it is alive: what is still to be done (the last scrape of a restore) is the watchdog's to limit.
//! * A process that was stopped (SIGSTOP, a laptop that slept) is not dead when it wakes up: who looks was held up too.
//!
//! **Ready** means that the program does what it is there for: what [`Snapshot::not_ready`] has nothing to say about. In
//! any stage but `running` it is not, whoever filled the snapshot.

use std::fmt;
use std::time::{Duration, Instant};

use actors::supervisor::{Pulse, Stage};

use super::snapshot::Snapshot;

/// The stage in which a program does what it is there for.
const RUNNING: &str = "running";

/// Whether the actors answer each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// They have not begun.
    Starting,
    /// They do; so long ago they did last.
    Beating(Duration),
    /// The last stage is over.
    Ended,
    /// They do not, for so long.
    Silent(Duration),
}

impl Life {
    /// Whether nothing has to be done about it.
    pub fn is_alive(self) -> bool {
        !matches!(self, Self::Silent(_))
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("alive: starting"),
            Self::Beating(ago) => write!(f, "alive: the actors' thread gave a sign of life {ago:.1?} ago"),
            Self::Ended => f.write_str("alive: ending, all stages are over"),
            Self::Silent(time) => write!(
                f,
                "not alive: the actors' thread has given no sign of life for {time:.0?}"
            ),
        }
    }
}

/// The pulse, as somebody sees it who looks at it again and again.
#[derive(Clone, Debug)]
pub struct Signs {
    pulse: Pulse,
    limit: Duration,
    beats: u64,
    since: Instant,
    looked: Instant,
}

impl Signs {
    /// `limit`: how long the pulse may stand still. Whoever looks does so at least eight times as often.
    pub fn new(pulse: Pulse, limit: Duration, now: Instant) -> Self {
        Self {
            pulse,
            limit,
            beats: 0,
            since: now,
            looked: now,
        }
    }

    /// How often to look.
    pub fn every(&self) -> Duration {
        (self.limit / 8).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }

    /// How it stands now.
    pub fn look(&mut self, now: Instant) -> Life {
        let beats = self.pulse.beats();
        let was_held_up = now - self.looked > self.limit / 2;
        self.looked = now;
        if beats != self.beats || was_held_up {
            (self.beats, self.since) = (beats, now);
        }
        let silent = now - self.since;
        match self.pulse.stage() {
            Stage::Ended => Life::Ended,
            _ if beats == 0 => Life::Starting,
            _ if silent < self.limit => Life::Beating(silent),
            _ => Life::Silent(silent),
        }
    }
}

/// What keeps the program from being ready.
pub fn not_ready(snapshot: &Snapshot) -> Vec<String> {
    let mut reasons = snapshot.not_ready.clone();
    if reasons.is_empty() && snapshot.stage != RUNNING {
        reasons.push(format!("stage: {}", snapshot.stage));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);
    const LIMIT: Duration = Duration::from_secs(30);

    fn looked_every_second(signs: &mut Signs, from: Instant, seconds: u32) -> Vec<Life> {
        (1..=seconds)
            .map(|second| signs.look(from + second * S))
            .collect()
    }

    #[test]
    fn a_start_is_alive_however_long_it_takes() {
        let (begun, pulse) = (Instant::now(), Pulse::default());
        let mut signs = Signs::new(pulse.clone(), LIMIT, begun);
        let seen = looked_every_second(&mut signs, begun, 10_000);
        assert!(seen.iter().all(|life| *life == Life::Starting));
        pulse.beat(Stage::Running);
        assert!(matches!(signs.look(begun + 10_001 * S), Life::Beating(_)));
    }

    #[test]
    fn a_pulse_that_stands_still_for_the_limit_is_not_alive_until_it_beats_again() {
        let (begun, pulse) = (Instant::now(), Pulse::default());
        let mut signs = Signs::new(pulse.clone(), LIMIT, begun);
        pulse.beat(Stage::Running);
        let seen = looked_every_second(&mut signs, begun, 60);
        let alive = seen.iter().filter(|life| life.is_alive()).count();
        assert_eq!(alive, 30, "{seen:?}");
        assert_eq!(seen[59], Life::Silent(59 * S));
        pulse.beat(Stage::Events);
        assert!(signs.look(begun + 61 * S).is_alive());
    }

    #[test]
    fn who_was_held_up_itself_does_not_call_others_dead() {
        let (begun, pulse) = (Instant::now(), Pulse::default());
        let mut signs = Signs::new(pulse.clone(), LIMIT, begun);
        pulse.beat(Stage::Running);
        assert!(signs.look(begun + S).is_alive());
        assert!(signs.look(begun + 10_000 * S).is_alive());
        assert!(signs.look(begun + 10_001 * S).is_alive());
    }

    #[test]
    fn after_the_last_stage_it_is_alive_for_the_watchdog_limits_what_comes_then() {
        let (begun, pulse) = (Instant::now(), Pulse::default());
        let mut signs = Signs::new(pulse.clone(), LIMIT, begun);
        pulse.end(true);
        let seen = looked_every_second(&mut signs, begun, 300);
        assert!(seen.iter().all(|life| *life == Life::Ended));
    }
}
