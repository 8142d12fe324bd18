//! The one thread that writes: takes what was asked for, writes it, syncs once, answers all.
//!
//! When the disk is full everything asked for meanwhile is answered so, and the table is closed and opened again,
//! for sled does not recover by itself; until that succeeds it is tried again with every request, but not more often
//! than every two seconds. Room that was kept back for this is used first. The table is opened and mended before
//! others see it, and nobody waits for that.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actors::fault_point::{self, FaultPoint};
use actors::ports::state::{Change, NamedStreams, PutBack, Revived, StateFault};
use actors::stream_id::StreamId;
use actors::timestamp::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::changes::Changes;
use super::keys;
use super::ledger::{Ledger, Progress};
use super::recorder::Slot;
use super::rows;
use super::table::{Store, Table, fault};

/// Most requests that share one sync.
const GROUP: usize = 100;

/// How long a settled stream waits for others to share its sync: about as long as a sync takes.
const GATHERING: Duration = Duration::from_millis(4);

/// Where an answer goes.
pub type Answer<A> = oneshot::Sender<Result<A, StateFault>>;

/// What a writer is asked for.
pub enum Post<Q> {
    /// A change of rows.
    Request(Q),
    /// To end.
    Close(Answer<()>),
}

/// What the writer of a backup's state is asked for.
pub enum Request {
    Record(Box<Change>, Answer<()>),
    NameStreams(Vec<StreamId>, Timestamp, Answer<NamedStreams>),
    ReviveMissing(Slice, Timestamp, Answer<Revived>),
    PutBack(Vec<StreamId>, Timestamp, Answer<PutBack>),
}

/// Which missing streams are looked at.
pub struct Slice {
    pub(super) after: Option<StreamId>,
    pub(super) limit: usize,
    pub(super) asked_before: Timestamp,
}

/// Answers a request once it is known whether its group is durable.
pub type Reply = Box<dyn FnOnce(Result<(), StateFault>)>;

pub(super) struct Writer<T: Table, M: Ledger> {
    store: Box<dyn Store<Table = T>>,
    table: Slot<T>,
    told: Arc<Mutex<M::Told>>,
    memory: M,
    /// False from a fault on until the table has been opened anew and mended.
    is_whole: bool,
    /// The table is not opened again before.
    not_before: Instant,
}

impl<T: Table, M: Ledger> Writer<T, M> {
    /// Mends what the last start has left, or makes sure that it is as it was closed, and counts this start.
    pub(super) fn new(
        mut store: Box<dyn Store<Table = T>>,
        table: T,
        slot: Slot<T>,
        told: Arc<Mutex<M::Told>>,
        at_start: impl FnOnce(u64) -> M,
    ) -> Result<Self, StateFault> {
        let start = rows::get::<u64>(&table, keys::STARTS)?.unwrap_or(0) + 1;
        let mut memory = at_start(start);
        memory.opened(&table)?;
        let closed: Option<M::Census> = rows::get(&table, keys::CLOSED)?;
        if closed.is_none() {
            memory.mend(&table)?;
        }
        let census = memory.count(&table)?;
        closed.map_or(Ok(()), |closed| M::check(&closed, &census))?;
        let mut changes = Changes {
            table: &table,
            memory: &mut memory,
        };
        changes.put(keys::STARTS, &start)?;
        changes.remove(keys::CLOSED)?;
        changes.commit()?;
        store.note(start, memory.progress().commits);
        *slot.write().unwrap_or_else(PoisonError::into_inner) = Some(table);
        let writer = Self {
            store,
            table: slot,
            told,
            memory,
            is_whole: true,
            not_before: Instant::now(),
        };
        writer.tell();
        Ok(writer)
    }

    pub(super) fn start_number(&mut self) -> u64 {
        self.memory.progress().start
    }

    /// Works until it is asked to close, or until nobody can ask it any more; then lets go of the table.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Post<M::Request>>) {
        while let Some(first) = requests.blocking_recv() {
            let mut close = None;
            let mut replies = Vec::new();
            let mut made = self.reopen_if_closed();
            if matches!(&first, Post::Request(request) if M::may_gather(request)) {
                std::thread::sleep(GATHERING);
            }
            let mut next = Some(first);
            while let Some(post) = next {
                let request = match post {
                    Post::Request(request) => request,
                    Post::Close(answer) => {
                        close = Some(answer);
                        break;
                    }
                };
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
                error:% = fault; "{fault}; local state is not closed in good order, but what it acknowledged is durable"
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
        let closed = self.change(|changes| {
            let census = changes.memory.census(changes.table)?;
            changes.put(keys::CLOSED, &census)?;
            changes.commit()?;
            pass(FaultPoint::StateClosing)
        });
        if closed.is_ok() {
            self.note();
        }
        self.close_table();
        closed
    }

    /// Writes the rows of one request, unless the group has failed already.
    fn perform(
        &mut self,
        request: M::Request,
        so_far: Result<(), StateFault>,
    ) -> (Result<(), StateFault>, Reply) {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let changes = so_far.and_then(|()| match table.as_ref() {
            Some(table) => Ok(Changes {
                table,
                memory: &mut self.memory,
            }),
            None => Err(waits()),
        });
        M::perform(changes, request)
    }

    fn note(&mut self) {
        let Progress { start, commits, .. } = *self.memory.progress();
        self.store.note(start, commits);
    }

    fn change<A>(
        &mut self,
        act: impl FnOnce(&mut Changes<'_, T, M>) -> Result<A, StateFault>,
    ) -> Result<A, StateFault> {
        match self.table.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(table) => act(&mut Changes {
                table,
                memory: &mut self.memory,
            }),
            None => Err(waits()),
        }
    }

    /// Syncs what was written, and answers all.
    fn finish(&mut self, written: Result<(), StateFault>, replies: Vec<Reply>) -> Result<(), StateFault> {
        let made = written
            .and_then(|()| pass(FaultPoint::StateWritten))
            .and_then(|()| self.change(|changes| changes.commit()))
            .and_then(|()| pass(FaultPoint::StateFlushed));
        if made.is_ok() {
            self.note();
            // It is open, or it could not have been written to.
            let _ = self.change(|changes| {
                changes.memory.committed(changes.table);
                Ok(())
            });
        }
        if let Err(fault) = &made {
            self.is_whole = false;
            log::warn!(error:% = fault; "{fault}; {} changes are not recorded", replies.len());
            if matches!(fault, StateFault::Full(_)) {
                self.close_table();
                if self.store.make_room() {
                    self.not_before = Instant::now();
                }
                // Readers need it; whoever wants to write will see the same fault again.
                let _ = self.reopen_if_closed();
            }
        }
        self.tell();
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
            return Err(waits());
        }
        let reopened = self.reopen();
        self.not_before = Instant::now() + self.store.rest();
        reopened
    }

    fn reopen(&mut self) -> Result<(), StateFault> {
        let table = self.store.open()?;
        pass(FaultPoint::StateReopened)?;
        self.memory.opened(&table)?;
        self.memory.mend(&table)?;
        self.memory.count(&table)?;
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Some(table);
        self.is_whole = true;
        Ok(())
    }

    /// The table is dropped, which takes its time, when nobody has to wait for it any more.
    fn close_table(&self) {
        let table = self.table.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(table);
    }

    fn tell(&self) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = self.memory.told();
    }
}

fn waits() -> StateFault {
    StateFault::Full("it waits to be opened again".to_owned())
}

/// Marks an instant at which sled may fail.
///
/// # Errors
/// Where the environment asks for one.
pub fn pass(point: FaultPoint) -> Result<(), StateFault> {
    fault_point::try_pass(point).map_err(|error| fault(sled::Error::Io(error)))
}

/// Keeps what was done until it is durable.
pub fn promise<A: 'static>(
    outcome: Result<A, StateFault>,
    answer: Answer<A>,
) -> (Result<(), StateFault>, Reply) {
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
