//! The one thread that writes: takes what was asked for, writes it, syncs once, answers all.
//!
//! When the disk is full everything asked for meanwhile is answered so, and the table is closed and opened again,
//! for sled does not recover by itself; until that succeeds it is tried again with every request, but not more often
//! than every two seconds. Room that was kept back for this is used first. The table is opened and mended before
//! others see it, and nobody waits for that.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use actors::fault_point::{self, FaultPoint};
use actors::ports::state::{Change, NamedStreams, PutBack, Revived, StateFault};
use actors::stream_id::StreamId;
use actors::timestamp::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::census::Census;
use super::changes::{Changes, Memory};
use super::keys;
use super::mend::mend;
use super::recorder::{SharedCounts, Slot, Told};
use super::rows;
use super::table::{Store, Table, fault};

/// Most requests that share one sync.
const GROUP: usize = 100;

/// How long a settled stream waits for others to share its sync: about as long as a sync takes.
const GATHERING: Duration = Duration::from_millis(4);

/// Where an answer goes.
pub(super) type Answer<A> = oneshot::Sender<Result<A, StateFault>>;

/// What the writer is asked for.
pub(super) enum Request {
    Record(Box<Change>, Answer<()>),
    NameStreams(Vec<StreamId>, Timestamp, Answer<NamedStreams>),
    ReviveMissing(Slice, Timestamp, Answer<Revived>),
    PutBack(Vec<StreamId>, Timestamp, Answer<PutBack>),
    Close(Answer<()>),
}

/// Which missing streams are looked at.
pub(super) struct Slice {
    pub(super) after: Option<StreamId>,
    pub(super) limit: usize,
    pub(super) asked_before: Timestamp,
}

impl Request {
    /// Whether it may wait for others of its kind: nothing goes on before it but its worker, which many do beside it.
    fn may_gather(&self) -> bool {
        matches!(self, Self::Record(change, _) if matches!(**change, Change::StreamStored(_)))
    }
}

/// Answers a request once it is known whether its group is durable.
type Reply = Box<dyn FnOnce(Result<(), StateFault>)>;

pub(super) struct Writer<T: Table> {
    store: Box<dyn Store<Table = T>>,
    table: Slot<T>,
    counts: SharedCounts,
    memory: Memory,
    /// False from a fault on until the table has been opened anew and mended.
    is_whole: bool,
    /// The table is not opened again before.
    not_before: Instant,
}

impl<T: Table> Writer<T> {
    /// Mends what the last start has left, or makes sure that it is as it was closed, and counts this start.
    pub(super) fn new(
        mut store: Box<dyn Store<Table = T>>,
        table: T,
        slot: Slot<T>,
        counts: SharedCounts,
    ) -> Result<Self, StateFault> {
        let start = rows::get::<u64>(&table, keys::STARTS)?.unwrap_or(0) + 1;
        let mut memory = Memory::at_start(start);
        memory.opened(&table)?;
        let closed: Option<Census> = rows::get(&table, keys::CLOSED)?;
        if closed.is_none() {
            mend(&table, &mut memory)?;
        }
        let census = Census::of(&table)?;
        closed.map_or(Ok(()), |closed| closed.check(&census))?;
        memory.counts = census.counts();
        let mut changes = Changes {
            table: &table,
            memory: &mut memory,
        };
        changes.put(keys::STARTS, &start)?;
        changes.remove(keys::CLOSED)?;
        changes.commit()?;
        store.note(start, memory.commits);
        *slot.write().unwrap_or_else(PoisonError::into_inner) = Some(table);
        let writer = Self {
            store,
            table: slot,
            counts,
            memory,
            is_whole: true,
            not_before: Instant::now(),
        };
        writer.publish_counts();
        Ok(writer)
    }

    pub(super) fn start_number(&self) -> u64 {
        self.memory.start
    }

    /// Works until it is asked to close, or until nobody can ask it any more; then lets go of the table.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let mut close = None;
            let mut replies = Vec::new();
            let mut made = self.reopen_if_closed();
            if first.may_gather() {
                std::thread::sleep(GATHERING);
            }
            let mut next = Some(first);
            while let Some(request) = next {
                if let Request::Close(answer) = request {
                    close = Some(answer);
                    break;
                }
                let (outcome, reply) = self.perform(request, made);
                made = outcome;
                replies.push(reply);
                let more = replies.len() < GROUP;
                next = more.then(|| requests.try_recv().ok()).flatten();
            }
            // Everybody has been told of their own; what else became of the group is no fault of the end.
            let _told = self.finish(made, replies);
            if let Some(answer) = close {
                // Whoever asked may have given up waiting: that is its own affair.
                let _ = answer.send(self.close());
                return;
            }
        }
        if let Err(fault) = self.close() {
            log::warn!(
                "{fault}; local state is not closed in good order, but what it acknowledged is durable"
            );
        }
    }

    /// Writes down what there is, and lets go of the table. A full disk gets one more try, with room that was kept back.
    fn close(&mut self) -> Result<(), StateFault> {
        // There is no later.
        self.not_before = Instant::now();
        match self.reopen_if_closed().and_then(|()| self.close_once()) {
            Err(StateFault::Full(_)) if self.store.make_room() => {
                self.reopen()?;
                self.close_once()
            }
            closed => closed,
        }
    }

    /// Writes down what there is, unless a change may be half made, and lets go of the table.
    fn close_once(&mut self) -> Result<(), StateFault> {
        if !self.is_whole {
            self.close_table();
            let text = "a change may be half made; the next start puts it in order";
            return Err(StateFault::Broken(text.to_owned()));
        }
        let counts = self.memory.counts;
        let closed = self.change(|changes| {
            let census = Census::with(changes.table, counts)?;
            changes.put(keys::CLOSED, &census)?;
            changes.commit()?;
            pass(FaultPoint::StateClosing)
        });
        if closed.is_ok() {
            self.store.note(self.memory.start, self.memory.commits);
        }
        self.close_table();
        closed
    }

    /// Writes the rows of one request, unless the group has failed already.
    fn perform(
        &mut self,
        request: Request,
        so_far: Result<(), StateFault>,
    ) -> (Result<(), StateFault>, Reply) {
        match request {
            Request::Record(change, answer) => {
                let outcome = so_far.and_then(|()| self.change(|changes| changes.apply(*change)));
                promise(outcome, answer)
            }
            Request::NameStreams(streams, now, answer) => {
                let outcome = so_far.and_then(|()| self.change(|changes| changes.name_streams(streams, now)));
                promise(outcome, answer)
            }
            Request::ReviveMissing(slice, now, answer) => {
                let (after, limit) = (slice.after.as_ref(), slice.limit);
                let outcome = so_far.and_then(|()| {
                    self.change(|changes| changes.revive_missing(after, limit, slice.asked_before, now))
                });
                promise(outcome, answer)
            }
            Request::PutBack(streams, now, answer) => {
                let outcome = so_far.and_then(|()| self.change(|changes| changes.put_back(streams, now)));
                promise(outcome, answer)
            }
            Request::Close(answer) => promise(so_far, answer),
        }
    }

    fn change<A>(
        &mut self,
        act: impl FnOnce(&mut Changes<'_, T>) -> Result<A, StateFault>,
    ) -> Result<A, StateFault> {
        match self.table.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(table) => act(&mut Changes {
                table,
                memory: &mut self.memory,
            }),
            None => Err(StateFault::Full("it waits to be opened again".to_owned())),
        }
    }

    /// Syncs what was written, and answers all.
    fn finish(&mut self, written: Result<(), StateFault>, replies: Vec<Reply>) -> Result<(), StateFault> {
        let made = written
            .and_then(|()| pass(FaultPoint::StateWritten))
            .and_then(|()| self.change(|changes| changes.commit()))
            .and_then(|()| pass(FaultPoint::StateFlushed));
        if made.is_ok() {
            self.store.note(self.memory.start, self.memory.commits);
        }
        if let Err(fault) = &made {
            self.is_whole = false;
            log::warn!("{fault}; {} changes are not recorded", replies.len());
            if matches!(fault, StateFault::Full(_)) {
                self.close_table();
                if self.store.make_room() {
                    self.not_before = Instant::now();
                }
                // Readers need it; whoever wants to write will see the same fault again.
                let _ = self.reopen_if_closed();
            }
        }
        self.publish_counts();
        for reply in replies {
            reply(made.clone());
        }
        made
    }

    /// After a full disk sled fails for good; opened again it goes on.
    fn reopen_if_closed(&mut self) -> Result<(), StateFault> {
        let is_open = self
            .table
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some();
        if is_open {
            return Ok(());
        }
        if Instant::now() < self.not_before {
            return Err(StateFault::Full("it waits to be opened again".to_owned()));
        }
        let reopened = self.reopen();
        self.not_before = Instant::now() + self.store.rest();
        reopened
    }

    fn reopen(&mut self) -> Result<(), StateFault> {
        let table = self.store.open()?;
        pass(FaultPoint::StateReopened)?;
        self.memory.opened(&table)?;
        mend(&table, &mut self.memory)?;
        self.memory.counts = Census::of(&table)?.counts();
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Some(table);
        self.is_whole = true;
        Ok(())
    }

    /// The table is dropped, which takes its time, when nobody has to wait for it any more.
    fn close_table(&self) {
        let table = self.table.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(table);
    }

    fn publish_counts(&self) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = Told {
            counts: self.memory.counts,
            suspects: self.memory.suspects.clone(),
        };
    }
}

/// Marks an instant at which sled may fail.
fn pass(point: FaultPoint) -> Result<(), StateFault> {
    fault_point::try_pass(point).map_err(|error| fault(sled::Error::Io(error)))
}

/// Keeps what was done until it is durable.
fn promise<A: 'static>(outcome: Result<A, StateFault>, answer: Answer<A>) -> (Result<(), StateFault>, Reply) {
    // Whoever asked may have given up waiting: that is its own affair.
    match outcome {
        Ok(done) => {
            let reply = move |made: Result<(), StateFault>| drop(answer.send(made.map(|()| done)));
            (Ok(()), Box::new(reply))
        }
        Err(fault) => {
            let own = fault.clone();
            (Err(fault), Box::new(move |_| drop(answer.send(Err(own)))))
        }
    }
}
