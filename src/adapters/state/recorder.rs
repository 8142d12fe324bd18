//! The port, over a table: changes go to the writer, reads to the table.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};
use std::thread::JoinHandle;
use std::time::Duration;

use actors::feed::Feed;
use actors::ports::state::{
    BatchRow, Change, FailedStream, FeedTimes, LocalState, MissingStream, NamedStreams, OpenUpload,
    PendingStream, PullMark, PutBack, Revived, SealedBundle, StateCounts, StateFault, SuspectFeed,
    SuspectSpan,
};
use actors::stream_id::StreamId;
use actors::timestamp::Timestamp;
use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use super::changes::Memory;
use super::keys;
use super::ledger::Ledger;
use super::rows;
use super::table::{Store, Table};
use super::writer::{Answer, Post, Request, Slice, Writer};

/// Requests that may wait for the writer; callers wait beyond it.
const QUEUE: usize = 1024;

/// How long the end of the writer is waited for when the state is dropped without [`Recorder::close`].
const LAST_WAIT: Duration = Duration::from_secs(5);

/// The table, while it is open. The writer holds the lock for writing only while it puts a table in or takes one out.
pub(super) type Slot<T> = Arc<RwLock<Option<T>>>;

/// What the writer tells of the rows, so that nobody has to read them for it.
#[derive(Default)]
pub struct Told {
    pub(super) counts: StateCounts,
    pub(super) suspects: Arc<BTreeMap<Feed, SuspectFeed>>,
}

/// Local state in a table. Clones are the same state, and may be used from any thread.
pub struct Recorder<T, M: Ledger = Memory> {
    shared: Arc<Shared<T, M>>,
}

struct Shared<T, M: Ledger> {
    table: Slot<T>,
    told: Arc<Mutex<M::Told>>,
    start: u64,
    requests: mpsc::WeakSender<Post<M::Request>>,
    writer: Mutex<Option<Running<M>>>,
}

/// The writer's thread. It ends when the sender is gone.
struct Running<M: Ledger> {
    _sender: mpsc::Sender<Post<M::Request>>,
    thread: JoinHandle<()>,
    /// Closed by the end of the thread.
    ended: std::sync::mpsc::Receiver<()>,
}

impl<T, M: Ledger> Clone for Recorder<T, M> {
    fn clone(&self) -> Self {
        let shared = self.shared.clone();
        Self { shared }
    }
}

fn closed() -> StateFault {
    StateFault::Broken("it is closed".to_owned())
}

impl<T: Table, M: Ledger> Recorder<T, M> {
    /// Counts this start, mends the rows, and starts the writer, which begins with what `at_start` makes of the
    /// number of this start.
    pub(in crate::adapters) fn start_with(
        store: Box<dyn Store<Table = T>>,
        table: T,
        at_start: impl FnOnce(u64) -> M,
    ) -> Result<Self, StateFault> {
        let slot: Slot<T> = Arc::default();
        let told = Arc::<Mutex<M::Told>>::default();
        let mut writer = Writer::new(store, table, slot.clone(), told.clone(), at_start)?;
        let start = writer.start_number();
        let (sender, requests) = mpsc::channel(QUEUE);
        let (alive, ended) = std::sync::mpsc::channel();
        let weak = sender.downgrade();
        let run = move || {
            writer.run(requests);
            drop(alive);
        };
        let thread = std::thread::Builder::new().name("local state".to_owned());
        let thread = thread
            .spawn(run)
            .map_err(|error| StateFault::Broken(format!("no thread for it: {error}")))?;
        let running = Running {
            _sender: sender,
            thread,
            ended,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                table: slot,
                told,
                start,
                requests: weak,
                writer: Mutex::new(Some(running)),
            }),
        })
    }

    /// Works off what has been asked for, makes it durable, and lets go of the files. Every later call fails. Waits
    /// without a limit: the deadline is the caller's.
    ///
    /// # Errors
    /// See [`StateFault`]; what had been acknowledged before is durable all the same.
    pub async fn close(&self) -> Result<(), StateFault> {
        let flushed = self.post(Post::Close).await;
        let writer = self.shared.take_writer();
        if let Some(Running { thread, .. }) = writer {
            // It has said its last word: there is nothing left for it to do but to return.
            let _ = thread.join();
        }
        flushed
    }

    /// Asks the writer, and waits for its answer.
    pub(in crate::adapters) async fn ask<A>(
        &self,
        request: impl FnOnce(Answer<A>) -> M::Request,
    ) -> Result<A, StateFault> {
        self.post(|answer| Post::Request(request(answer))).await
    }

    async fn post<A>(&self, post: impl FnOnce(Answer<A>) -> Post<M::Request>) -> Result<A, StateFault> {
        let (answer, answered) = oneshot::channel();
        let Some(requests) = self.shared.requests.upgrade() else {
            return Err(closed());
        };
        requests.send(post(answer)).await.map_err(|_| closed())?;
        drop(requests);
        let ended = |_| StateFault::Broken("its writer has ended before its time".to_owned());
        answered.await.map_err(ended)?
    }

    /// Reads rows, from any thread.
    pub(in crate::adapters) fn read<A>(
        &self,
        read: impl FnOnce(&T) -> Result<A, StateFault>,
    ) -> Result<A, StateFault> {
        // Never waits: whoever reads may be the thread of the actors.
        let table = match self.shared.table.try_read() {
            Ok(table) => table,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(StateFault::Full("it is just being opened again".to_owned()));
            }
        };
        match table.as_ref() {
            Some(table) => read(table),
            None if self.shared.requests.strong_count() == 0 => Err(closed()),
            None => Err(StateFault::Full("it waits to be opened again".to_owned())),
        }
    }

    /// What the writer tells of the rows.
    pub(in crate::adapters) fn told<A>(&self, look: impl FnOnce(&M::Told) -> A) -> A {
        look(&self.shared.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T: Table> Recorder<T> {
    /// Counts this start, mends the rows, and starts the writer.
    pub(super) fn start(store: Box<dyn Store<Table = T>>, table: T) -> Result<Self, StateFault> {
        Self::start_with(store, table, Memory::at_start)
    }
}

impl<T, M: Ledger> Shared<T, M> {
    fn take_writer(&self) -> Option<Running<M>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<T, M: Ledger> Drop for Shared<T, M> {
    fn drop(&mut self) {
        let Some(Running {
            _sender,
            thread,
            ended,
        }) = self.take_writer()
        else {
            return;
        };
        drop(_sender);
        match ended.recv_timeout(LAST_WAIT) {
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                log::warn!(
                    "local state is still busy after {LAST_WAIT:?}; what it has acknowledged is durable"
                );
            }
            _ => drop(thread.join()),
        }
    }
}

#[async_trait(?Send)]
impl<T: Table> LocalState for Recorder<T> {
    async fn record(&self, change: Change) -> Result<(), StateFault> {
        self.ask(|answer| Request::Record(Box::new(change), answer)).await
    }

    async fn name_streams(&self, streams: Vec<StreamId>, now: Timestamp) -> Result<NamedStreams, StateFault> {
        self.ask(|answer| Request::NameStreams(streams, now, answer))
            .await
    }

    async fn revive_missing(
        &self,
        after: Option<StreamId>,
        limit: usize,
        asked_before: Timestamp,
        now: Timestamp,
    ) -> Result<Revived, StateFault> {
        let slice = Slice {
            after,
            limit,
            asked_before,
        };
        self.ask(|answer| Request::ReviveMissing(slice, now, answer))
            .await
    }

    async fn put_back(&self, streams: Vec<StreamId>, now: Timestamp) -> Result<PutBack, StateFault> {
        self.ask(|answer| Request::PutBack(streams, now, answer)).await
    }

    fn start_number(&self) -> u64 {
        self.shared.start
    }

    fn marks(&self) -> Result<Vec<PullMark>, StateFault> {
        self.read(|table| rows::all(table, keys::MARKS))
    }

    fn batches(&self) -> Result<Vec<BatchRow>, StateFault> {
        self.read(rows::batches)
    }

    fn sealed(&self) -> Result<Vec<SealedBundle>, StateFault> {
        self.read(|table| rows::all(table, keys::SEALS))
    }

    fn feed_times(&self) -> Result<Vec<FeedTimes>, StateFault> {
        self.read(rows::feed_times)
    }

    fn pending_from(&self, from: u64, limit: usize) -> Result<Vec<PendingStream>, StateFault> {
        self.read(|table| rows::pending(table, from, limit))
    }

    fn highest_ticket(&self) -> Result<Option<u64>, StateFault> {
        self.read(rows::highest_ticket)
    }

    fn failed_from(&self, after: Option<&StreamId>, limit: usize) -> Result<Vec<FailedStream>, StateFault> {
        self.read(|table| rows::failed_after(table, after).take(limit).collect())
    }

    fn missing_from(&self, after: Option<&StreamId>, limit: usize) -> Result<Vec<MissingStream>, StateFault> {
        self.read(|table| rows::missing_after(table, after).take(limit).collect())
    }

    fn suspects_from(
        &self,
        after: Option<(&Feed, Timestamp)>,
        limit: usize,
    ) -> Result<Vec<SuspectSpan>, StateFault> {
        self.read(|table| rows::suspects_after(table, after).take(limit).collect())
    }

    fn suspect_feeds(&self) -> Vec<SuspectFeed> {
        let suspects = self.told(|told| told.suspects.clone());
        suspects.values().cloned().collect()
    }

    fn open_uploads(&self) -> Result<Vec<OpenUpload>, StateFault> {
        self.read(|table| rows::all(table, keys::UPLOADS))
    }

    fn counts(&self) -> StateCounts {
        self.told(|told| told.counts)
    }
}
