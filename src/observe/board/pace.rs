//! How fast a restore goes, and so how long it may still take.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How far apart two marks are at least.
const STEP: Duration = Duration::from_secs(10);

/// So many are kept: five minutes.
const MOST: usize = 30;

/// Bytes done, now and then in the last minutes.
#[derive(Debug, Default)]
pub(super) struct Pace {
    marks: VecDeque<(Instant, u64)>,
    /// Bytes a second; unknown while nothing moves.
    rate: Option<f64>,
}

impl Pace {
    /// So many bytes are done by now.
    pub(super) fn mark(&mut self, bytes: u64, now: Instant) {
        if let Some((since, before)) = self.marks.front()
            && now - *since >= STEP
        {
            let done = bytes.saturating_sub(*before) as f64;
            self.rate = Some(done / (now - *since).as_secs_f64()).filter(|rate| *rate > 0.0);
        }
        if self.marks.back().is_none_or(|(last, _)| now - *last >= STEP) {
            if self.marks.len() >= MOST {
                self.marks.pop_front();
            }
            self.marks.push_back((now, bytes));
        }
    }

    /// How many seconds so many bytes will take.
    pub(super) fn seconds_for(&self, bytes: u64) -> Option<f64> {
        match bytes {
            0 => Some(0.0),
            bytes => self.rate.map(|rate| bytes as f64 / rate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn the_time_left_is_reckoned_from_the_last_minutes_and_unknown_while_nothing_moves() {
        let (mut pace, begun) = (Pace::default(), Instant::now());
        pace.mark(0, begun);
        pace.mark(500, begun + S);
        assert_eq!(pace.seconds_for(1), None, "too early to tell");
        assert_eq!(pace.seconds_for(0), Some(0.0));
        for second in 2..=600 {
            pace.mark(u64::from(second) * 100, begun + second * S);
        }
        assert_eq!(pace.seconds_for(1000), Some(10.0));
        assert_eq!(pace.marks.len(), MOST);
        for second in 601..=1200 {
            pace.mark(60_000, begun + second * S);
        }
        assert_eq!(pace.seconds_for(1000), None, "it stands still");
    }
}
