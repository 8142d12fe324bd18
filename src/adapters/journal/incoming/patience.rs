//! When an answer that found no room is tried again.

use std::time::Duration;

/// How often it is looked whether there is more room.
pub(super) const LOOK: Duration = Duration::from_millis(500);

/// The longest time between two tries: not all that runs out is told by the free room.
const LONGEST: Duration = Duration::from_secs(30);

/// How long after a line in the log the next one is written.
const PER_LINE: Duration = Duration::from_secs(60);

/// A try may read and write all that came in once more: it is made when there is more room than at the last one, and
/// without that after ever longer waits.
#[derive(Debug)]
pub(super) struct Patience {
    free: Option<u64>,
    waited: Duration,
    wait: Duration,
    told: Option<Duration>,
    all: Duration,
}

impl Patience {
    /// After the first try that found no room.
    pub(super) fn new() -> Self {
        Self {
            free: None,
            waited: Duration::ZERO,
            wait: LOOK,
            told: None,
            all: Duration::ZERO,
        }
    }

    /// A try found no room; so many bytes are free.
    pub(super) fn failed(&mut self, free: Option<u64>) {
        (self.free, self.waited) = (free, Duration::ZERO);
    }

    /// Whether to try again, now that [`LOOK`] has gone by once more and so many bytes are free.
    pub(super) fn is_over(&mut self, free: Option<u64>) -> bool {
        self.all += LOOK;
        self.waited += LOOK;
        if free > self.free {
            self.wait = LOOK;
            return true;
        }
        let is_over = self.waited >= self.wait;
        if is_over {
            self.wait = (self.wait * 2).min(LONGEST);
        }
        is_over
    }

    /// Whether it is time to tell of it.
    pub(super) fn tells(&mut self) -> bool {
        let tells = self.told.is_none_or(|told| self.all >= told + PER_LINE);
        if tells {
            self.told = Some(self.all);
        }
        tells
    }

    /// How long was waited in all.
    pub(super) fn all(&self) -> Duration {
        self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The looks at which it was tried again, of so many.
    fn tries(patience: &mut Patience, looks: u32, free: impl Fn(u32) -> Option<u64>) -> Vec<u32> {
        let mut tried = Vec::new();
        for look in 1..=looks {
            if patience.is_over(free(look)) {
                tried.push(look);
                patience.failed(free(look));
            }
        }
        tried
    }

    #[test]
    fn without_more_room_it_is_tried_ever_more_seldom() {
        for free in [Some(7), None] {
            let mut patience = Patience::new();
            patience.failed(free);
            let tried = tries(&mut patience, 247, |_| free);
            assert_eq!(tried, [1, 3, 7, 15, 31, 63, 123, 183, 243]);
            assert_eq!(patience.all(), LOOK * 247);
        }
    }

    #[test]
    fn more_room_is_tried_at_once() {
        let mut patience = Patience::new();
        patience.failed(Some(7));
        let tried = tries(&mut patience, 110, |look| Some(if look < 100 { 7 } else { 8 }));
        assert_eq!(tried, [1, 3, 7, 15, 31, 63, 100, 101, 103, 107]);
    }

    #[test]
    fn it_is_told_at_once_and_then_every_minute() {
        let mut patience = Patience::new();
        let told = (0..300).filter(|_| {
            let told = patience.tells();
            patience.is_over(None);
            told
        });
        assert_eq!(told.collect::<Vec<_>>(), [0, 120, 240]);
    }
}
