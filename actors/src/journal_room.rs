//! How much may lie in the journal, shared by all feeds.
//!
//! Answers take room as they come in, and give it back when their file is unlinked. When there is none left, no
//! new pull is sent, and answers that are coming in are not read further: the dispatcher waits, and nothing is
//! lost. One answer alone may be larger than the whole journal, so the *eldest* one goes on all the same when no
//! finished batch is left whose bundle could make room; that keeps the wait free of deadlock, and what goes
//! beyond the bound is one answer.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
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
    /// Bytes of answers that are coming in, eldest first.
    incoming: BTreeMap<u64, u64>,
    next: u64,
    highest: u64,
    /// The program is being stopped: what is in flight is taken in whatever the room.
    stopping: bool,
}

impl Taken {
    fn all(&self) -> u64 {
        self.finished + self.incoming.values().sum::<u64>()
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

    /// Waits until a pull may be sent.
    pub async fn available(&self) {
        self.wait_until(|taken, most| taken.all() < most || taken.stopping)
            .await;
    }

    /// Whether a pull may be sent.
    pub fn is_available(&self) -> bool {
        self.0.taken.borrow().all() < self.0.most
    }

    /// An answer is about to come in. It takes its place in the line with its first byte: a pull of an idle feed
    /// must not be the eldest answer for which all others wait.
    pub fn incoming(&self) -> IncomingRoom {
        IncomingRoom {
            room: self.clone(),
            place: Cell::new(None),
        }
    }

    fn new_place(&self) -> u64 {
        let mut taken = self.0.taken.borrow_mut();
        let place = taken.next;
        taken.next += 1;
        taken.incoming.insert(place, 0);
        place
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

    /// Bytes in the journal, those of unfinished answers included.
    pub fn used(&self) -> u64 {
        self.0.taken.borrow().all()
    }

    /// The most bytes that have been in it.
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

/// The room of one answer that is coming in; given back when dropped.
#[derive(Debug)]
pub struct IncomingRoom {
    room: JournalRoom,
    place: Cell<Option<u64>>,
}

impl IncomingRoom {
    /// Waits until `bytes` more may come in.
    pub async fn take(&self, bytes: u64) {
        let place = self.place.get().unwrap_or_else(|| self.room.new_place());
        self.place.set(Some(place));
        self.room
            .wait_until(|taken, most| {
                let eldest = taken.incoming.keys().next() == Some(&place);
                taken.stopping || taken.all() + bytes <= most || (eldest && taken.finished == 0)
            })
            .await;
        self.room
            .change(|taken| *taken.incoming.entry(place).or_default() += bytes);
    }

    /// The answer is complete: its bytes now are those of a finished batch. Returns how many.
    pub fn finish(self) -> u64 {
        let Some(place) = self.place.take() else { return 0 };
        let mut bytes = 0;
        self.room.change(|taken| {
            bytes = taken.incoming.remove(&place).unwrap_or_default();
            taken.finished += bytes;
        });
        bytes
    }
}

impl Drop for IncomingRoom {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.room.change(|taken| {
                taken.incoming.remove(&place);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn answers_wait_for_finished_batches_to_leave() {
        let room = JournalRoom::new(100);
        let first = room.incoming();
        first.take(80).await;
        first.finish();
        let second = room.incoming();
        assert!(second.take(30).now_or_never().is_none());
        assert!(room.is_available());
        room.give_back(80);
        second.take(30).await;
        assert_eq!((room.used(), room.highest()), (30, 80));
    }

    #[tokio::test]
    async fn the_eldest_answer_goes_on_when_nothing_else_can_make_room() {
        let room = JournalRoom::new(100);
        let (idle, eldest, other) = (room.incoming(), room.incoming(), room.incoming());
        eldest.take(60).await;
        other.take(40).await;
        assert!(other.take(1).now_or_never().is_none());
        eldest.take(500).await;
        assert!(room.available().now_or_never().is_none());
        drop(eldest);
        other.take(1).await;
        drop(idle);
    }

    #[tokio::test]
    async fn a_stop_takes_in_what_is_in_flight() {
        let room = JournalRoom::new(10);
        room.take_finished(10);
        let answer = room.incoming();
        assert!(answer.take(5).now_or_never().is_none());
        room.stopping();
        answer.take(5).await;
        assert_eq!(room.used(), 15);
    }
}
