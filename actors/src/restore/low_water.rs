//! The key up to which everything is done, while many are worked on at once and end in any order.
//!
//! Keys are begun in the order of the listing. The mark never passes one that is not done: a restart that goes on
//! behind it repeats at most what was in flight, and skips nothing. Nobody waits for anybody: there is no barrier.

use std::collections::VecDeque;

/// See the module. `K` is the key, `O` what became of it; what is in flight is held, no more.
#[derive(Debug)]
pub struct LowWater<K, O> {
    /// Begun and not passed by the mark, in order.
    open: VecDeque<(K, Option<O>)>,
    /// The ticket of the first of them.
    first: u64,
}

/// Stands for a key that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

impl<K, O> Default for LowWater<K, O> {
    fn default() -> Self {
        Self {
            open: VecDeque::new(),
            first: 0,
        }
    }
}

impl<K, O> LowWater<K, O> {
    /// Work on `key` begins; the listing gave it after all others so far.
    pub fn begin(&mut self, key: K) -> Ticket {
        self.open.push_back((key, None));
        Ticket(self.first + self.open.len() as u64 - 1)
    }

    /// A key is done, for the first time. What the mark passes now is taken with [`LowWater::pass`].
    pub fn done(&mut self, ticket: Ticket, outcome: O) {
        let place = ticket.0.checked_sub(self.first);
        let place = place.and_then(|place| usize::try_from(place).ok());
        if let Some((_, open @ None)) = place.and_then(|place| self.open.get_mut(place)) {
            *open = Some(outcome);
        }
    }

    /// Moves the mark over the next key, if that is done: everything up to this key is.
    pub fn pass(&mut self) -> Option<(K, O)> {
        self.open.front()?.1.as_ref()?;
        self.first += 1;
        let (key, outcome) = self.open.pop_front()?;
        outcome.map(|outcome| (key, outcome))
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

    fn passed(water: &mut LowWater<usize, usize>) -> Vec<usize> {
        let passed = std::iter::from_fn(|| water.pass());
        passed
            .map(|(key, outcome)| {
                assert_eq!(outcome, key * 2);
                key
            })
            .collect()
    }

    proptest! {
        #[test]
        fn the_mark_never_passes_an_unfinished_key(order in Just((0..40_usize).collect::<Vec<_>>()).prop_shuffle()) {
            let mut water = LowWater::default();
            let tickets: Vec<Ticket> = (0..40).map(|key| water.begin(key)).collect();
            let (mut finished, mut mark) = ([false; 40], Vec::new());
            for index in order {
                finished[index] = true;
                water.done(tickets[index], index * 2);
                mark.extend(passed(&mut water));
                let expected = finished.iter().take_while(|done| **done).count();
                prop_assert_eq!(&mark, &(0..expected).collect::<Vec<_>>());
                prop_assert_eq!(water.span(), 40 - expected);
            }
        }
    }

    #[test]
    fn a_key_that_is_done_twice_moves_nothing() {
        let mut water = LowWater::default();
        let (first, second) = (water.begin(1), water.begin(2));
        water.done(first, 2);
        assert_eq!(passed(&mut water), [1]);
        water.done(first, 7);
        assert!(passed(&mut water).is_empty());
        water.done(second, 4);
        water.done(second, 7);
        assert_eq!(passed(&mut water), [2]);
        assert_eq!(water.span(), 0);
    }
}
