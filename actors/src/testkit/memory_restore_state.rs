//! Local state of a restore in memory: what was recorded survives [`MemoryRestoreState::reopen`].

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;

use super::calls::Calls;
use super::lock;
use crate::feed::Feed;
use crate::ports::archive::Store;
use crate::ports::restore_state::{
    BundleDone, DeadLetter, EventFigures, LaneMark, LaneName, LetterPlace, RestoreChange, RestoreId,
    RestoreState, Route, Unfinished,
};
use crate::ports::state::StateFault;
use crate::timestamp::Timestamp;

/// The calls that may be troubled. The target of `Record` is the name of the change (`LaneReached`), that of
/// `LetterEvent` the key of the object; `Begin` has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RestoreCall {
    /// [`RestoreState::begin`]
    Begin,
    /// [`RestoreState::record`]
    Record,
    /// [`RestoreState::letter_event`]
    LetterEvent,
}

/// Local state of a restore in memory.
#[derive(Clone)]
pub struct MemoryRestoreState {
    calls: Calls<RestoreCall, StateFault>,
    changes: Arc<Mutex<Vec<RestoreChange>>>,
    /// Which of the restores has begun in this start.
    begun: Arc<Mutex<Option<Begun>>>,
    rows: Arc<Mutex<Rows>>,
    start: u64,
}

#[derive(Clone)]
struct Begun {
    name: String,
    route: Route,
    is_finished: bool,
}

/// What survives.
struct Rows {
    starts: u64,
    restores: BTreeMap<String, Restore>,
    letters: BTreeMap<LetterPlace, (DeadLetter, Option<Bytes>)>,
}

/// One that is not finished.
struct Restore {
    unfinished: Unfinished,
    lanes: BTreeMap<LaneName, LaneMark>,
    done: BTreeMap<BundleName, EventFigures>,
}

type BundleName = (Feed, Timestamp, String, u64);

impl Default for MemoryRestoreState {
    fn default() -> Self {
        Self::new()
    }
}

/// Sorts as store, key and event do.
fn place(letter: &DeadLetter) -> LetterPlace {
    let mut place = vec![u8::from(letter.store == Store::Events)];
    place.extend_from_slice(letter.key.as_bytes());
    // What follows the key always has the same length: no two letters have the same place.
    place.extend([0, u8::from(letter.event.is_some())]);
    place.extend(letter.event.unwrap_or(0).to_be_bytes());
    let route = letter.route.iter();
    place.extend(route.flat_map(|route| format!("{}\0{}", route.bucket, route.target).into_bytes()));
    LetterPlace(place)
}

fn none_begun() -> StateFault {
    StateFault::Broken("no restore has begun, or it is finished".to_owned())
}

fn name(id: &RestoreId) -> String {
    format!("{id:?}")
}

impl MemoryRestoreState {
    /// An empty one, at its first start.
    pub fn new() -> Self {
        let rows = Rows {
            starts: 1,
            restores: BTreeMap::new(),
            letters: BTreeMap::new(),
        };
        Self {
            calls: Calls::default(),
            changes: Arc::default(),
            begun: Arc::default(),
            rows: Arc::new(Mutex::new(rows)),
            start: 1,
        }
    }

    /// The state as the next start finds it; every handle of this start fails from now on.
    #[must_use]
    pub fn reopen(&self) -> Self {
        let mut rows = lock(&self.rows);
        rows.starts += 1;
        Self {
            calls: Calls::default(),
            changes: Arc::default(),
            begun: Arc::default(),
            rows: self.rows.clone(),
            start: rows.starts,
        }
    }

    /// Its calls, and the trouble with them.
    pub fn calls(&self) -> &Calls<RestoreCall, StateFault> {
        &self.calls
    }

    /// The changes that took effect in this start, in their order.
    pub fn changes(&self) -> Vec<RestoreChange> {
        lock(&self.changes).clone()
    }

    /// All dead letters with their events, in memory.
    pub fn letters(&self) -> Vec<(DeadLetter, Option<Bytes>)> {
        lock(&self.rows).letters.values().cloned().collect()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Rows) -> Result<T, StateFault>) -> Result<T, StateFault> {
        let mut rows = lock(&self.rows);
        if rows.starts == self.start {
            act(&mut rows)
        } else {
            Err(StateFault::Broken("opened anew by a later start".to_owned()))
        }
    }

    fn with_begun<T>(&self, act: impl FnOnce(&mut Restore) -> T) -> Result<T, StateFault> {
        let begun = lock(&self.begun).clone().filter(|begun| !begun.is_finished);
        self.with(
            |rows| match begun.and_then(|begun| rows.restores.get_mut(&begun.name)) {
                Some(restore) => Ok(act(restore)),
                None => Err(none_begun()),
            },
        )
    }

    fn route(&self) -> Option<Route> {
        lock(&self.begun).as_ref().map(|begun| begun.route.clone())
    }

    fn begin_now(&self, id: &RestoreId, from_start: bool, now: Timestamp) -> Result<Unfinished, StateFault> {
        let unfinished = self.with(|rows| {
            if from_start {
                rows.restores.remove(&name(id));
            }
            let restore = rows.restores.entry(name(id)).or_insert_with(|| Restore {
                unfinished: Unfinished {
                    begun: now,
                    starts: 0,
                },
                lanes: BTreeMap::new(),
                done: BTreeMap::new(),
            });
            restore.unfinished.starts += 1;
            Ok(restore.unfinished.clone())
        })?;
        *lock(&self.begun) = Some(Begun {
            name: name(id),
            route: id.route(),
            is_finished: false,
        });
        Ok(unfinished)
    }

    fn apply(&self, change: RestoreChange) -> Result<(), StateFault> {
        match change {
            RestoreChange::LaneReached(lane, mark) => {
                self.with_begun(|restore| drop(restore.lanes.insert(lane, mark)))
            }
            RestoreChange::BundleDone(done) => self.with_begun(|restore| {
                let BundleDone {
                    feed,
                    timestamp,
                    key,
                    size,
                    figures,
                } = done;
                restore.done.insert((feed, timestamp, key, size), figures);
            }),
            RestoreChange::GivenUp(mut letter, event) => self.with(|rows| {
                letter.route = letter.route.or_else(|| self.route());
                rows.give_up(letter, event);
                Ok(())
            }),
            RestoreChange::LetterSettled(letter) => self.with(|rows| {
                rows.letters.remove(&place(&letter));
                Ok(())
            }),
            RestoreChange::Finished => self.with(|rows| {
                let mut begun = lock(&self.begun);
                let begun = begun.as_mut().ok_or_else(none_begun)?;
                begun.is_finished = true;
                rows.restores.remove(&begun.name);
                Ok(())
            }),
        }
    }
}

impl Rows {
    fn give_up(&mut self, mut letter: DeadLetter, event: Option<Bytes>) {
        let place = place(&letter);
        let (attempts, kept) = match self.letters.remove(&place) {
            Some((known, kept)) => (known.attempts, kept),
            None => (0, None),
        };
        letter.attempts = letter.attempts.saturating_add(attempts);
        let event = event.filter(|event| !event.is_empty()).or(kept);
        letter.event_bytes = event.as_ref().map_or(0, |event| event.len() as u64);
        self.letters.insert(place, (letter, event));
    }
}

/// The variant's name, for troubles to be aimed at.
struct ChangeName<'a>(&'a RestoreChange);

impl fmt::Display for ChangeName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            RestoreChange::LaneReached(..) => "LaneReached",
            RestoreChange::BundleDone(_) => "BundleDone",
            RestoreChange::GivenUp(..) => "GivenUp",
            RestoreChange::LetterSettled(_) => "LetterSettled",
            RestoreChange::Finished => "Finished",
        })
    }
}

#[async_trait(?Send)]
impl RestoreState for MemoryRestoreState {
    async fn begin(
        &self,
        id: &RestoreId,
        from_start: bool,
        now: Timestamp,
    ) -> Result<Unfinished, StateFault> {
        let effect = || self.begin_now(id, from_start, now);
        self.calls.make(RestoreCall::Begin, &"", effect).await
    }

    fn unfinished(&self, id: &RestoreId) -> Result<Option<Unfinished>, StateFault> {
        self.with(|rows| {
            let restore = rows.restores.get(&name(id));
            Ok(restore.map(|restore| restore.unfinished.clone()))
        })
    }

    async fn record(&self, change: RestoreChange) -> Result<(), StateFault> {
        let name = ChangeName(&change).to_string();
        let effect = || {
            self.apply(change.clone())?;
            lock(&self.changes).push(change);
            Ok(())
        };
        self.calls.make(RestoreCall::Record, &name, effect).await
    }

    fn lane(&self, lane: &str) -> Result<Option<LaneMark>, StateFault> {
        self.with_begun(|restore| restore.lanes.get(lane).cloned())
    }

    fn lanes(&self, prefix: &str) -> Result<Vec<(LaneName, LaneMark)>, StateFault> {
        self.with_begun(|restore| {
            let lanes = restore.lanes.iter();
            lanes
                .filter(|(name, _)| name.starts_with(prefix))
                .map(|(name, mark)| (name.clone(), mark.clone()))
                .collect()
        })
    }

    fn done(
        &self,
        feed: &Feed,
        timestamp: Timestamp,
        key: &str,
        size: u64,
    ) -> Result<Option<EventFigures>, StateFault> {
        let name = (feed.clone(), timestamp, key.to_owned(), size);
        self.with_begun(|restore| restore.done.get(&name).copied())
    }

    fn feed_figures(&self, feed: &Feed) -> Result<EventFigures, StateFault> {
        self.with_begun(|restore| {
            let done = restore.done.iter().filter(|((of, ..), _)| of == feed);
            done.map(|(_, figures)| *figures).sum()
        })
    }

    fn letters_from(
        &self,
        after: Option<&LetterPlace>,
        limit: usize,
    ) -> Result<Vec<(LetterPlace, DeadLetter)>, StateFault> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.with(|rows| {
            let letters = rows.letters.range((from, Bound::Unbounded)).take(limit);
            Ok(letters
                .map(|(place, (letter, _))| (place.clone(), letter.clone()))
                .collect())
        })
    }

    fn letters_of(&self, store: Store, key: &str) -> Result<Vec<DeadLetter>, StateFault> {
        let Some(route) = self.route() else {
            return Ok(Vec::new());
        };
        self.with(|rows| {
            let letters = rows.letters.values().map(|(letter, _)| letter);
            let of_it = letters.filter(|letter| {
                letter.store == store && letter.key == key && letter.route.as_ref() == Some(&route)
            });
            Ok(of_it.cloned().collect())
        })
    }

    async fn letter_event(&self, letter: &DeadLetter) -> Result<Option<Bytes>, StateFault> {
        let effect = || {
            self.with(|rows| {
                let found = rows.letters.get(&place(letter));
                Ok(found.and_then(|(_, event)| event.clone()))
            })
        };
        self.calls
            .make(RestoreCall::LetterEvent, &letter.key, effect)
            .await
    }

    fn letter_count(&self) -> u64 {
        lock(&self.rows).letters.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::super::Trouble;
    use super::super::conformance::restore_state::{self, Reopen};
    use super::*;

    struct InMemory(MemoryRestoreState);

    impl Reopen for InMemory {
        type State = MemoryRestoreState;

        fn state(&self) -> &MemoryRestoreState {
            &self.0
        }

        fn reopen(self) -> Self {
            Self(self.0.reopen())
        }
    }

    #[tokio::test]
    async fn keeps_the_promises_of_the_state_of_a_restore() {
        restore_state::all(|| InMemory(MemoryRestoreState::new())).await;
    }

    fn id() -> RestoreId {
        RestoreId {
            bucket: "bucket".to_owned(),
            target: "target".to_owned(),
            selection: "all".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_handle_of_an_earlier_start_does_no_more_harm() {
        let first = MemoryRestoreState::new();
        first
            .begin(&id(), false, Timestamp::from_micros(1))
            .await
            .unwrap();
        let second = first.reopen();
        assert!(first.record(RestoreChange::Finished).await.is_err());
        assert!(second.unfinished(&id()).unwrap().is_some());
    }

    #[tokio::test]
    async fn a_lost_answer_has_its_effect() {
        let state = MemoryRestoreState::new();
        state
            .begin(&id(), false, Timestamp::from_micros(1))
            .await
            .unwrap();
        let fault = StateFault::Full("planned".to_owned());
        let trouble = Trouble::loses_the_answer(RestoreCall::Record, fault.clone()).on("LaneReached");
        state.calls().plan(trouble);
        let reached = RestoreChange::LaneReached("samples/".to_owned(), LaneMark::default());
        assert_eq!(state.record(reached).await, Err(fault));
        assert!(state.lane("samples/").unwrap().is_some());
    }
}
