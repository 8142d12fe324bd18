//! Who is to be asked for a sign of life, and who has owed one for too long.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// The book of questions that have not been answered: at most one to each.
#[derive(Debug)]
pub(super) struct Heartbeats<W> {
    owed: BTreeMap<W, Instant>,
    looked: Option<Instant>,
    patience: Duration,
    rhythm: Duration,
}

/// What a look shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Look<W> {
    /// Those who owe nothing and are to be asked now.
    pub(super) ask: Vec<W>,
    /// Who has owed an answer for longer than is allowed, and for how long.
    pub(super) silent: Option<(W, Duration)>,
}

impl<W: Ord + Clone> Heartbeats<W> {
    /// An answer may take `patience`; there is a look every `rhythm`.
    pub(super) fn new(patience: Duration, rhythm: Duration) -> Self {
        Self {
            owed: BTreeMap::new(),
            looked: None,
            patience,
            rhythm,
        }
    }

    /// Looks at everybody who is watched.
    pub(super) fn look(&mut self, everybody: impl IntoIterator<Item = W>, now: Instant) -> Look<W> {
        let away = self
            .looked
            .replace(now)
            .is_some_and(|last| now - last > 3 * self.rhythm);
        if away {
            // Who asks was held up itself (a machine put to sleep): so were those who are to answer.
            self.owed.values_mut().for_each(|asked| *asked = now);
        }
        let mut look = Look {
            ask: Vec::new(),
            silent: None,
        };
        for who in everybody {
            match self.owed.get(&who) {
                Some(asked) if now - *asked >= self.patience => {
                    look.silent.get_or_insert((who, now - *asked));
                }
                Some(_) => {}
                None => {
                    self.owed.insert(who.clone(), now);
                    look.ask.push(who);
                }
            }
        }
        look
    }

    /// Whether everybody who was asked has answered; not before anybody was.
    pub(super) fn nobody_owes(&self) -> bool {
        self.looked.is_some() && self.owed.is_empty()
    }

    /// It has answered.
    pub(super) fn answered(&mut self, who: &W) {
        self.owed.remove(who);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn heartbeats() -> Heartbeats<u8> {
        Heartbeats::new(30 * S, 2 * S)
    }

    #[test]
    fn nobody_is_asked_twice_before_it_has_answered() {
        let (mut beats, now) = (heartbeats(), Instant::now());
        assert_eq!(beats.look([1, 2], now).ask, [1, 2]);
        beats.answered(&2);
        assert_eq!(beats.look([1, 2], now + 2 * S).ask, [2]);
    }

    #[test]
    fn it_is_known_when_all_have_answered() {
        let (mut beats, now) = (heartbeats(), Instant::now());
        assert!(!beats.nobody_owes(), "nobody has been asked");
        beats.look([1, 2], now);
        beats.answered(&1);
        assert!(!beats.nobody_owes());
        beats.answered(&2);
        assert!(beats.nobody_owes());
    }

    #[test]
    fn who_owes_an_answer_for_too_long_is_lost() {
        let (mut beats, begun) = (heartbeats(), Instant::now());
        for second in (0..30).step_by(2) {
            assert_eq!(beats.look([1, 2], begun + second * S).silent, None);
            beats.answered(&1);
        }
        assert_eq!(beats.look([1, 2], begun + 30 * S).silent, Some((2, 30 * S)));
    }

    #[test]
    fn who_was_held_up_itself_accuses_nobody() {
        let (mut beats, begun) = (heartbeats(), Instant::now());
        beats.look([1], begun);
        assert_eq!(beats.look([1], begun + 3600 * S).silent, None);
        assert_eq!(beats.look([1], begun + 3602 * S).silent, None);
    }
}
