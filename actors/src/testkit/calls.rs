//! Every call of a fake passes here: recorded, counted while it runs, troubled.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::lock;
use super::trouble::{Ill, Trouble};
use crate::fault::Fault;

/// The calls that a fake has been asked for. `C` says which operation.
pub struct Calls<C, F = Fault> {
    book: Arc<Mutex<Book<C, F>>>,
    total: Arc<watch::Sender<usize>>,
}

struct Book<C, F> {
    log: Vec<(C, String)>,
    running: HashMap<C, Running>,
    troubles: Vec<Trouble<C, F>>,
}

#[derive(Clone, Copy, Default)]
struct Running {
    now: usize,
    most: usize,
}

impl<C, F> Clone for Calls<C, F> {
    fn clone(&self) -> Self {
        Self {
            book: self.book.clone(),
            total: self.total.clone(),
        }
    }
}

impl<C, F> Default for Calls<C, F> {
    fn default() -> Self {
        let book = Book {
            log: Vec::new(),
            running: HashMap::new(),
            troubles: Vec::new(),
        };
        Self {
            book: Arc::new(Mutex::new(book)),
            total: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl<C: Copy + Eq + Hash + fmt::Debug, F: Clone> Calls<C, F> {
    /// Plans trouble; of several that fit a call each befalls it, in the order in which they were planned.
    pub fn plan(&self, trouble: Trouble<C, F>) {
        lock(&self.book).troubles.push(trouble);
    }

    /// Forgets all planned trouble. Calls that wait at a gate go on waiting.
    pub fn calm(&self) {
        lock(&self.book).troubles.clear();
    }

    /// All calls so far, with their targets, in the order in which they began.
    pub fn log(&self) -> Vec<(C, String)> {
        lock(&self.book).log.clone()
    }

    /// How many calls of this kind have begun.
    pub fn count(&self, call: C) -> usize {
        lock(&self.book)
            .log
            .iter()
            .filter(|(made, _)| *made == call)
            .count()
    }

    /// How many calls of this kind on this target have begun.
    pub fn count_on(&self, call: C, target: &impl fmt::Display) -> usize {
        let target = target.to_string();
        lock(&self.book)
            .log
            .iter()
            .filter(|(made, on)| *made == call && *on == target)
            .count()
    }

    /// How many calls of this kind are running.
    pub fn running(&self, call: C) -> usize {
        lock(&self.book)
            .running
            .get(&call)
            .map_or(0, |running| running.now)
    }

    /// How many calls of this kind have run at once, at most.
    pub fn most_at_once(&self, call: C) -> usize {
        lock(&self.book)
            .running
            .get(&call)
            .map_or(0, |running| running.most)
    }

    /// Waits until `count` calls of this kind have begun.
    pub async fn begun(&self, call: C, count: usize) {
        let mut total = self.total.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = total.wait_for(|_| self.count(call) >= count).await;
    }

    /// Makes a call whose effect is instantaneous.
    pub(super) async fn make<T>(
        &self,
        call: C,
        target: &impl fmt::Display,
        effect: impl FnOnce() -> Result<T, F>,
    ) -> Result<T, F> {
        let running = self.begin(call, target);
        running.before().await?;
        let done = effect()?;
        running.after().await?;
        Ok(done)
    }

    /// As [`Calls::make`], for a call that blocks; it cannot be held at a gate.
    pub(super) fn make_now<T>(
        &self,
        call: C,
        target: &impl fmt::Display,
        effect: impl FnOnce() -> Result<T, F>,
    ) -> Result<T, F> {
        let running = self.begin(call, target);
        running.befall_now(&running.before)?;
        let done = effect()?;
        running.befall_now(&running.after)?;
        Ok(done)
    }

    /// Begins a call of several steps; it runs until what is returned is dropped.
    pub(super) fn begin(&self, call: C, target: &impl fmt::Display) -> RunningCall<C, F> {
        let target = target.to_string();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        {
            let mut book = lock(&self.book);
            for trouble in &mut book.troubles {
                match trouble.befall(&call, &target) {
                    Some((false, ill)) => before.push(ill),
                    Some((true, ill)) => after.push(ill),
                    None => {}
                }
            }
            book.troubles.retain(|trouble| !trouble.is_over());
            book.log.push((call, target));
            let running = book.running.entry(call).or_default();
            running.now += 1;
            running.most = running.most.max(running.now);
        }
        self.total.send_modify(|total| *total += 1);
        RunningCall {
            calls: self.clone(),
            call,
            before,
            after,
        }
    }
}

/// A call that has begun, and the trouble that it meets.
pub(super) struct RunningCall<C: Eq + Hash, F> {
    calls: Calls<C, F>,
    call: C,
    before: Vec<Ill<F>>,
    after: Vec<Ill<F>>,
}

impl<C: Copy + Eq + Hash + fmt::Debug, F: Clone> RunningCall<C, F> {
    pub(super) async fn before(&self) -> Result<(), F> {
        self.befall(&self.before).await
    }

    pub(super) async fn after(&self) -> Result<(), F> {
        self.befall(&self.after).await
    }

    async fn befall(&self, ills: &[Ill<F>]) -> Result<(), F> {
        for ill in ills {
            match ill {
                Ill::Fails(fault) => return Err(fault.clone()),
                Ill::Waits(gate) => gate.pass().await,
                Ill::Panics => panic!("planned panic in {:?}", self.call),
            }
        }
        Ok(())
    }

    fn befall_now(&self, ills: &[Ill<F>]) -> Result<(), F> {
        match ills.first() {
            None => Ok(()),
            Some(Ill::Fails(fault)) => Err(fault.clone()),
            Some(Ill::Waits(_)) => panic!("{:?} blocks and cannot be held at a gate", self.call),
            Some(Ill::Panics) => panic!("planned panic in {:?}", self.call),
        }
    }
}

impl<C: Eq + Hash, F> Drop for RunningCall<C, F> {
    fn drop(&mut self) {
        if let Some(running) = lock(&self.calls.book).running.get_mut(&self.call) {
            running.now -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gate::Gate;
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    enum Call {
        Put,
        Get,
    }

    fn fault() -> Fault {
        Fault::transient("put", "a", "planned")
    }

    #[tokio::test]
    async fn trouble_befalls_as_many_calls_as_planned_and_no_other() {
        let calls = Calls::default();
        calls.plan(Trouble::fails(Call::Put, fault()).on("a").sparing(1).times(2));
        let mut outcomes = Vec::new();
        for (call, target) in [
            (Call::Put, "a"),
            (Call::Get, "a"),
            (Call::Put, "b"),
            (Call::Put, "a"),
            (Call::Put, "a"),
            (Call::Put, "a"),
        ] {
            outcomes.push(calls.make(call, &target, || Ok(())).await.is_ok());
        }
        assert_eq!(outcomes, [true, true, true, false, false, true]);
        assert_eq!(calls.count(Call::Put), 5);
        assert_eq!(calls.count_on(Call::Put, &"a"), 4);
    }

    #[tokio::test]
    async fn a_lost_answer_has_had_its_effect() {
        let calls = Calls::default();
        calls.plan(Trouble::loses_the_answer(Call::Put, fault()));
        let mut put = false;
        let answer = calls.make(Call::Put, &"a", || {
            put = true;
            Ok(())
        });
        assert!(answer.await.is_err());
        assert!(put);
    }

    #[tokio::test]
    async fn a_held_call_runs_until_the_gate_opens() {
        let (calls, gate) = (Calls::<Call>::default(), Gate::new());
        calls.plan(Trouble::hangs(Call::Put, &gate).times(2));
        let two = async {
            tokio::join!(
                calls.make(Call::Put, &"a", || Ok(())),
                calls.make(Call::Put, &"b", || Ok(()))
            )
        };
        let watcher = async {
            gate.arrived(2).await;
            let running = calls.running(Call::Put);
            gate.open();
            running
        };
        let ((a, b), running) = tokio::join!(two, watcher);
        assert!(a.is_ok() && b.is_ok());
        assert_eq!((running, calls.running(Call::Put)), (2, 0));
        assert_eq!(calls.most_at_once(Call::Put), 2);
    }
}
