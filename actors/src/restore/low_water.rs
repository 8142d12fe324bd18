//! The key up to which everything is done, while many are worked on at once and end in any order.
//!
//! Keys are begun in the order of the listing. The mark never passes one that is not done: a restart that goes on
//! behind it repeats at most what was in flight, and skips nothing. Nobody waits for anybody: there is no barrier.

use std::collections::VecDeque;

/// See the module. `K` is the key; what is in flight is held, no more.
#[derive(Debug)]
pub struct LowWater<K> {
    /// Begun and not passed by the mark, in order.
    open: VecDeque<(K, bool)>,
    /// The ticket of the first of them.
    first: u64,
}

/// Stands for a key that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

impl<K> Default for LowWater<K> {
    fn default() -> Self {
        Self {
            open: VecDeque::new(),
            first: 0,
        }
    }
}

impl<K> LowWater<K> {
    /// Work on `key` begins; the listing gave it after all others so far.
    pub fn begin(&mut self, key: K) -> Ticket {
        self.open.push_back((key, false));
        Ticket(self.first + self.open.len() as u64 - 1)
    }

    /// A key is done. Returns the new mark if it moves: everything up to this key is done.
    pub fn done(&mut self, ticket: Ticket) -> Option<K> {
        let place = usize::try_from(ticket.0.checked_sub(self.first)?).ok()?;
        self.open.get_mut(place)?.1 = true;
        let mut mark = None;
        while self.open.front().is_some_and(|(_, done)| *done) {
            mark = self.open.pop_front().map(|(key, _)| key);
            self.first += 1;
        }
        mark
    }

    /// How many keys lie between the mark and the last that was begun, done or not: what a caller has to bound.
    pub fn span(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_mark_never_passes_an_unfinished_key(order in Just((0..40_usize).collect::<Vec<_>>()).prop_shuffle()) {
            let mut water = LowWater::default();
            let tickets: Vec<Ticket> = (0..40).map(|key| water.begin(key)).collect();
            let (mut finished, mut mark) = ([false; 40], None);
            for index in order {
                finished[index] = true;
                mark = water.done(tickets[index]).or(mark);
                let expected = finished.iter().take_while(|done| **done).count();
                prop_assert_eq!(mark.map_or(0, |key| key + 1), expected);
                prop_assert_eq!(water.span(), 40 - expected);
            }
        }
    }

    #[test]
    fn a_key_that_is_done_twice_moves_nothing() {
        let mut water = LowWater::default();
        let (first, second) = (water.begin("a"), water.begin("b"));
        assert_eq!(water.done(first), Some("a"));
        assert_eq!(water.done(first), None);
        assert_eq!(water.done(second), Some("b"));
        assert_eq!(water.span(), 0);
    }
}
