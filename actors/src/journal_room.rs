//! How much may lie in the journal, shared by all feeds.
//!
//! Room for an answer is reserved before its pull is sent, as much as the feed's last answer took: so a pull that
//! is in flight comes in without waiting, also when the journal has filled up meanwhile, and when there is no room
//! no new pull is sent. An answer that is larger than expected takes more as it comes in; where there is none it
//! is not read further until a bundle has made room. One answer alone may be larger than the whole journal, so
//! the *eldest* of those that wait goes on all the same when no finished batch is left whose bundle could make
//! room: that keeps the wait free of deadlock, and what goes beyond the bound is one answer.
//!
//! What has been put aside counts as well: it was received, and is not in the bucket. Only an operator can take it
//! away, so where it leaves no room for an answer, pulling stops until then.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use tokio::sync::Notify;

/// The room of the journal in bytes.
#[derive(Clone, Debug)]
pub struct JournalRoom(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    most: u64,
    taken: RefCell<Taken>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    /// Bytes of finished batches.
    finished: u64,
    /// Bytes of what was put aside.
    aside: u64,
    /// Bytes reserved for, or received of, answers that are not finished.
    incoming: BTreeMap<u64, u64>,
    /// Those of them that wait for more, eldest first.
    waiting: BTreeSet<u64>,
    /// Pulls that wait for room.
    unsent: u64,
    next: u64,
    highest: u64,
    /// The program is being stopped: what is in flight is taken in whatever the room.
    stopping: bool,
}

impl Taken {
    fn all(&self) -> u64 {
        self.finished + self.aside + self.reserved()
    }

    fn reserved(&self) -> u64 {
        self.incoming.values().sum()
    }
}

impl JournalRoom {
    /// Room for `most` bytes.
    pub fn new(most: u64) -> Self {
        Self(Rc::new(Shared {
            most,
            taken: RefCell::default(),
            changed: Notify::new(),
        }))
    }

    /// Waits until there is room for an answer of `expected` bytes, and reserves it.
    pub async fn reserve(&self, expected: u64) -> IncomingRoom {
        let expected = expected.min(self.0.most);
        let _counted = self.short();
        self.wait_until(|taken, most| taken.all() + expected <= most || taken.stopping)
            .await;
        let place = self.0.taken.borrow().next;
        self.change(|taken| {
            taken.next += 1;
            taken.incoming.insert(place, expected);
        });
        IncomingRoom {
            room: self.clone(),
            place: Some(place),
            received: Cell::new(0),
        }
    }

    /// A pull waits for room, of whatever kind, until this is dropped.
    pub fn short(&self) -> Short {
        self.change(|taken| taken.unsent += 1);
        Short(self.clone())
    }

    /// Whether what was put aside leaves no room for an answer of `expected` bytes, however many bundles are written.
    pub fn is_blocked(&self, expected: u64) -> bool {
        self.aside() + expected.min(self.0.most) > self.0.most
    }

    /// Bytes of what has been put aside.
    pub fn aside(&self) -> u64 {
        self.0.taken.borrow().aside
    }

    /// This much lies aside now.
    pub fn set_aside(&self, bytes: u64) {
        self.change(|taken| taken.aside = bytes);
    }

    /// The most that it may hold in bytes.
    pub fn most(&self) -> u64 {
        self.0.most
    }

    /// A finished batch of an earlier start.
    pub fn take_finished(&self, bytes: u64) {
        self.change(|taken| taken.finished += bytes);
    }

    /// The file of a finished batch has been unlinked.
    pub fn give_back(&self, bytes: u64) {
        self.change(|taken| taken.finished = taken.finished.saturating_sub(bytes));
    }

    /// From now on what is in flight is taken in whatever the room: a stop must not wait for the bucket.
    pub fn stopping(&self) {
        self.change(|taken| taken.stopping = true);
    }

    /// Whether somebody waits for room: then whatever can be bundled has to be, for nothing else makes any.
    pub fn is_short(&self) -> bool {
        let taken = self.0.taken.borrow();
        taken.unsent > 0 || !taken.waiting.is_empty()
    }

    /// Bytes of finished batches in the journal.
    pub fn used(&self) -> u64 {
        self.0.taken.borrow().finished
    }

    /// Bytes that pulls under way have taken: of each as many as its answer is expected to have, or has by now. With those
    /// [used](Self::used) and those put [aside](Self::aside) they are what finds its bound at [the most](Self::most).
    pub fn reserved(&self) -> u64 {
        self.0.taken.borrow().reserved()
    }

    /// The most bytes that have been in it or reserved.
    pub fn highest(&self) -> u64 {
        self.0.taken.borrow().highest
    }

    fn change(&self, change: impl FnOnce(&mut Taken)) {
        let mut taken = self.0.taken.borrow_mut();
        change(&mut taken);
        taken.highest = taken.highest.max(taken.all());
        drop(taken);
        self.0.changed.notify_waiters();
    }

    async fn wait_until(&self, ready: impl Fn(&Taken, u64) -> bool) {
        loop {
            let changed = self.0.changed.notified();
            if ready(&self.0.taken.borrow(), self.0.most) {
                return;
            }
            changed.await;
        }
    }
}

/// A pull that waits for room; it may give up waiting. See [`JournalRoom::short`].
#[derive(Debug)]
pub struct Short(JournalRoom);

impl Drop for Short {
    fn drop(&mut self) {
        self.0.change(|taken| taken.unsent -= 1);
    }
}

/// The room of one answer that is coming in; given back when dropped.
#[derive(Debug)]
pub struct IncomingRoom {
    room: JournalRoom,
    /// Gone once the answer is finished.
    place: Option<u64>,
    received: Cell<u64>,
}

impl IncomingRoom {
    /// Waits until `bytes` more may come in.
    pub async fn take(&self, bytes: u64) {
        let Some(place) = self.place else { return };
        let received = self.received.get() + bytes;
        self.received.set(received);
        let held = self
            .room
            .0
            .taken
            .borrow()
            .incoming
            .get(&place)
            .copied()
            .unwrap_or_default();
        if received <= held {
            return;
        }
        let more = received - held;
        self.room.change(|taken| {
            taken.waiting.insert(place);
        });
        self.room
            .wait_until(|taken, most| {
                let eldest = taken.waiting.first() == Some(&place);
                taken.stopping || taken.all() + more <= most || (eldest && taken.finished == 0)
            })
            .await;
        self.room.change(|taken| {
            taken.waiting.remove(&place);
            taken.incoming.insert(place, received);
        });
    }

    /// The answer is complete: what it has received now is a finished batch.
    pub fn finish(mut self) {
        if let Some(place) = self.place.take() {
            let received = self.received.get();
            self.room.change(|taken| {
                taken.incoming.remove(&place);
                taken.finished += received;
            });
        }
    }
}

impl Drop for IncomingRoom {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.room.change(|taken| {
                taken.incoming.remove(&place);
                taken.waiting.remove(&place);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_pull_waits_for_room_and_one_in_flight_comes_in() {
        let room = JournalRoom::new(100);
        let first = room.reserve(40).await;
        let second = room.reserve(40).await;
        assert!(room.reserve(40).now_or_never().is_none());
        first.take(40).await;
        first.finish();
        room.take_finished(20);
        assert!(!room.is_short());
        let mut waiting = Box::pin(room.reserve(1));
        assert!(waiting.as_mut().now_or_never().is_none(), "full");
        assert_eq!(room.used() + room.reserved(), room.most(), "and is seen to be");
        assert!(room.is_short());
        drop(waiting);
        second.take(40).await;
        second.finish();
        assert_eq!((room.used(), room.highest()), (100, 100));
        room.give_back(40);
        room.reserve(40).await;
    }

    #[tokio::test]
    async fn what_was_expected_and_did_not_come_is_given_back() {
        let room = JournalRoom::new(100);
        let answer = room.reserve(100).await;
        answer.take(10).await;
        answer.finish();
        assert_eq!(room.used(), 10);
        room.reserve(90).await;
    }

    #[tokio::test]
    async fn an_answer_larger_than_expected_waits_for_bundles() {
        let room = JournalRoom::new(100);
        room.take_finished(60);
        let answer = room.reserve(10).await;
        assert!(answer.take(50).now_or_never().is_none());
        let answer = room.reserve(10).await;
        let mut taking = Box::pin(answer.take(50));
        assert!(taking.as_mut().now_or_never().is_none());
        room.give_back(60);
        taking.await;
    }

    #[tokio::test]
    async fn the_eldest_that_waits_goes_on_when_nothing_else_can_make_room() {
        let room = JournalRoom::new(100);
        let (idle, eldest, other) = (
            room.reserve(10).await,
            room.reserve(40).await,
            room.reserve(40).await,
        );
        eldest.take(500).await;
        let mut taking = Box::pin(other.take(41));
        assert!(
            taking.as_mut().now_or_never().is_some(),
            "it is the eldest of those that wait now"
        );
        drop((idle, eldest));
    }

    #[tokio::test]
    async fn what_lies_aside_takes_room_until_an_operator_takes_it_away() {
        let room = JournalRoom::new(100);
        room.set_aside(95);
        assert!(room.is_blocked(10) && !room.is_blocked(5));
        assert_eq!((room.aside(), room.used()), (95, 0));
        let mut waiting = Box::pin(room.reserve(10));
        assert!(waiting.as_mut().now_or_never().is_none());
        room.set_aside(0);
        waiting.await;
    }

    #[tokio::test]
    async fn a_stop_takes_in_what_is_in_flight() {
        let room = JournalRoom::new(10);
        let answer = room.reserve(1).await;
        room.take_finished(9);
        let mut taking = Box::pin(answer.take(5));
        assert!(taking.as_mut().now_or_never().is_none());
        room.stopping();
        taking.await;
    }
}
