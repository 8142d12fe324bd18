//! How long the next pull may stay open, and when it may be sent.
//!
//! The deadline is what bounds the damage of a kill: what a dispatcher has collected for a client that is gone is
//! lost. So it is one second after a batch with events, and doubles up to its longest while a feed is idle.

use std::time::Duration;

/// The deadline while events flow.
const SHORTEST: Duration = Duration::from_secs(1);

/// The wait after a first failed pull; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait after failed pulls.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The pace of one feed.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    deadline: Duration,
    longest: Duration,
    failures: u32,
}

impl Pace {
    /// Starts as if events had just flowed.
    pub(super) fn new(longest: Duration) -> Self {
        Self {
            deadline: SHORTEST,
            longest: longest.max(SHORTEST),
            failures: 0,
        }
    }

    /// The deadline of the next pull.
    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// A pull brought events: pull again at once.
    pub(super) fn brought_events(&mut self) {
        self.deadline = SHORTEST;
        self.failures = 0;
    }

    /// A pull brought none after `took`. The wait is zero when the dispatcher kept to the deadline; one that
    /// answers at once must not be asked in a hot loop.
    pub(super) fn brought_none(&mut self, took: Duration) -> Duration {
        let wait = (self.deadline / 2).saturating_sub(took);
        self.deadline = (self.deadline * 2).min(self.longest);
        self.failures = 0;
        wait
    }

    /// A pull failed; wait this long, or as long as the dispatcher asked.
    pub(super) fn failed(&mut self, asked: Option<Duration>) -> Duration {
        let wait = FIRST_WAIT
            .saturating_mul(1 << self.failures.min(6))
            .min(LONGEST_WAIT);
        self.failures += 1;
        self.deadline = SHORTEST;
        asked.unwrap_or_default().max(wait).min(LONGEST_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn deadlines_are_short_while_events_flow_and_double_while_idle() {
        let mut pace = Pace::new(10 * S);
        let mut seen = vec![pace.deadline()];
        for _ in 0..5 {
            assert_eq!(pace.brought_none(pace.deadline()), Duration::ZERO);
            seen.push(pace.deadline());
        }
        assert_eq!(seen, [S, 2 * S, 4 * S, 8 * S, 10 * S, 10 * S]);
        pace.brought_events();
        assert_eq!(pace.deadline(), S);
    }

    #[test]
    fn an_empty_answer_ahead_of_its_deadline_is_no_hot_loop() {
        let mut pace = Pace::new(10 * S);
        assert_eq!(pace.brought_none(Duration::ZERO), S / 2);
        assert_eq!(pace.brought_none(Duration::ZERO), S);
    }

    #[test]
    fn failures_wait_longer_and_longer_and_obey_the_dispatcher() {
        let mut pace = Pace::new(10 * S);
        let waits: Vec<_> = (0..8).map(|_| pace.failed(None).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        pace.brought_events();
        assert_eq!(pace.failed(Some(7 * S)), 7 * S);
    }
}
