//! One feed with everything that it works with, and what it looks like after a crash.

use std::cell::{Cell, RefCell};
use std::io::Read;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

use super::super::*;
use crate::avro::ModelVersion;
use crate::avro::encode;
use crate::board::Board;
use crate::board::feed::FeedSigns;
use crate::fault::Fault;
use crate::feed::Model;
use crate::hit_cache::{AgeOff, ClaimRules, Claims};
use crate::journal_room::JournalRoom;
use crate::memory_budget::MemoryBudget;
use crate::object_key::ObjectKey;
use crate::patient_state::PatientState;
use crate::ports::LocalState;
use crate::ports::state::SuspectSpan;
use crate::retry::RetryPolicy;
use crate::statistics::Statistics;
use crate::stop::StopFlag;
use crate::stream_id::StreamId;
use crate::stream_worker::{StoreStream, StreamOutcome};
use crate::testkit::{Answer, FakeBucket, FakeDispatcher, Gate, MemoryJournal, MemoryState};

/// Stores every stream as soon as its gate is open, unless there is an outage.
struct FakeWorker {
    gate: Gate,
    outage: Rc<Cell<bool>>,
    stored: Rc<RefCell<Vec<StreamId>>>,
}

impl Actor for FakeWorker {
    type Context = Context<Self>;
}

impl Handler<StoreStream> for FakeWorker {
    type Result = ResponseFuture<StreamOutcome>;

    fn handle(&mut self, job: StoreStream, _: &mut Self::Context) -> Self::Result {
        let (gate, stored, outage) = (
            self.gate.clone(),
            Rc::clone(&self.stored),
            Rc::clone(&self.outage),
        );
        Box::pin(async move {
            gate.pass().await;
            if outage.get() {
                return StreamOutcome::Failed(Fault::transient("head object", &job.stream, "503"));
            }
            stored.borrow_mut().push(job.stream);
            StreamOutcome::Stored {
                bytes_in: 1,
                bytes_out: 1,
            }
        })
    }
}

struct FakeSupervisor(Rc<RefCell<Vec<EndReason>>>);

impl Actor for FakeSupervisor {
    type Context = Context<Self>;
}

impl Handler<Ending> for FakeSupervisor {
    type Result = ();

    fn handle(&mut self, ending: Ending, _: &mut Self::Context) {
        self.0.borrow_mut().push(ending.reason);
    }
}

/// The outside of one feed.
pub(super) struct World {
    pub(super) feed: Feed,
    pub(super) dispatcher: FakeDispatcher,
    pub(super) bucket: FakeBucket,
    pub(super) journal: MemoryJournal,
    pub(super) state: MemoryState,
    pub(super) configured: bool,
    pub(super) batch_size: u64,
    pub(super) stream_gate: Gate,
    pub(super) channel_size: usize,
    /// Bytes that the journal may hold.
    pub(super) room: u64,
    /// Whether streams fail.
    pub(super) outage: Rc<Cell<bool>>,
}

/// A feed that has been started.
pub(super) struct Running {
    pub(super) addr: Addr<EventBackupActor>,
    pub(super) hit_cache: Addr<HitCacheActor>,
    pub(super) stop: StopFlag,
    pub(super) signs: FeedSigns,
    pub(super) statistics: Arc<Statistics>,
    pub(super) endings: Rc<RefCell<Vec<EndReason>>>,
    pub(super) stored: Rc<RefCell<Vec<StreamId>>>,
}

impl World {
    pub(super) fn new() -> Self {
        let stream_gate = Gate::new();
        stream_gate.open();
        Self {
            feed: "samples/binary/sourced".parse().unwrap(),
            dispatcher: FakeDispatcher::new(),
            bucket: FakeBucket::new(),
            journal: MemoryJournal::new(),
            state: MemoryState::new(),
            configured: true,
            batch_size: 20,
            stream_gate,
            channel_size: 100,
            room: 64 << 20,
            outage: Rc::default(),
        }
    }

    /// One answer of so many events, whose streams no worker gets done before the gate is opened.
    pub(super) fn with_streams_held(events: u32) -> Self {
        let world = Self {
            stream_gate: Gate::new(),
            ..Self::new()
        };
        world.dispatcher.answer(
            &world.feed,
            Answer::events(events.into(), &bulk(ModelVersion::V6, 0..events)),
        );
        world
    }

    /// What a kill leaves: the outside as it is, and of the inside only what is durable.
    pub(super) fn crash(&self) -> Self {
        let (journal, state) = (self.journal.reopen(), self.state.reopen());
        Self {
            feed: self.feed.clone(),
            dispatcher: self.dispatcher.clone(),
            bucket: self.bucket.clone(),
            journal,
            state,
            stream_gate: self.stream_gate.clone(),
            outage: Rc::clone(&self.outage),
            ..*self
        }
    }

    pub(super) async fn start(&self) -> Running {
        let statistics = Statistics::new([self.feed.source().clone()]);
        let board = Board::of(self.configured.then(|| self.feed.clone()));
        let (endings, stored, stop) = (Rc::default(), Rc::default(), StopFlag::default());
        let supervisor = FakeSupervisor(Rc::clone(&endings)).start().recipient();
        let state = PatientState::new(Rc::new(self.state.clone()));
        let ports = FeedPorts {
            dispatcher: Rc::new(self.dispatcher.clone()),
            bucket: Rc::new(self.bucket.clone()),
            journal: Rc::new(self.journal.clone()),
            state: Rc::new(state.clone()),
            uploads: Rc::new(state),
            room: JournalRoom::new(self.room),
            memory: MemoryBudget::new(64 << 20),
            statistics: Arc::clone(&statistics),
            board: board.clone(),
            retry: RetryPolicy {
                attempts: 2,
                average_delay: Duration::from_millis(500),
                retries: Default::default(),
            },
            stop: stop.clone(),
            blocking: Arc::new(Semaphore::new(2)),
            joining: Arc::new(Semaphore::new(2)),
            next_seq: Rc::default(),
        };
        recall(&ports).await.unwrap();
        tokio::task::spawn_local(keep_noting(ports.clone()));
        let mut leftovers = recover(&ports).await.unwrap();
        let rules = ClaimRules {
            cache_size: std::num::NonZeroUsize::new(1000).unwrap(),
            most_waiting: self.channel_size,
            most_out: 1,
            failures_in_row: 5,
        };
        let worker = FakeWorker {
            gate: self.stream_gate.clone(),
            outage: Rc::clone(&self.outage),
            stored: Rc::clone(&stored),
        }
        .start();
        let hit_cache = HitCacheActor::new(
            Claims::new(rules, self.state.start_number()),
            self.state.highest_ticket().unwrap(),
            Rc::clone(&ports.state),
            worker.recipient(),
            supervisor.clone(),
            Arc::clone(&statistics),
            AgeOff::default(),
        );
        let rules = FeedRules {
            feed: self.feed.clone(),
            consumer: self
                .configured
                .then(|| "backup-events-samples-sourced-1".to_owned()),
            deployment_key: "recovery".to_owned(),
            batch_size: self.batch_size,
            max_age: Duration::from_secs(600),
            longest_deadline: Duration::from_secs(10),
        };
        let left = leftovers.remove(&self.feed).unwrap_or_default();
        let hit_cache = hit_cache.start();
        let addr = EventBackupActor::new(rules, left, ports, hit_cache.clone(), supervisor).start();
        Running {
            addr,
            hit_cache,
            stop,
            signs: board.feed(&self.feed),
            statistics,
            endings,
            stored,
        }
    }

    /// The keys of the bundles in the bucket without the prefix of the feed, and how many events each has.
    pub(super) fn bundles(&self) -> Vec<(String, u64)> {
        let prefix = format!("{}/", self.feed);
        let bundle = |key: ObjectKey| match key {
            ObjectKey::Bundle(key) => Some((key.to_string().replace(&prefix, ""), key.count())),
            ObjectKey::Stream(_) => None,
        };
        self.bucket.keys().into_iter().filter_map(bundle).collect()
    }

    /// The bulk in the bundle with this name.
    pub(super) fn bulk(&self, name: &str) -> Vec<u8> {
        let key = ObjectKey::Bundle(format!("{}/{name}", self.feed).parse().unwrap());
        let mut bulk = Vec::new();
        let content = self.bucket.content(&key).unwrap();
        flate2::read::MultiGzDecoder::new(&*content)
            .read_to_end(&mut bulk)
            .unwrap();
        bulk
    }

    pub(super) fn suspects(&self) -> Vec<SuspectSpan> {
        self.state.suspect_pulls().unwrap()
    }
}

impl Running {
    /// An orderly end, as the supervisor asks for it.
    pub(super) async fn quiesce(&self) -> Quiesced {
        self.stop.raise();
        self.addr.send(Quiesce).await.unwrap()
    }

    pub(super) fn figures(&self) -> crate::statistics::SourceFigures {
        self.statistics.total()
    }
}

pub(super) async fn locally(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

pub(super) async fn seconds(count: u64) {
    tokio::time::sleep(Duration::from_secs(count)).await;
}

pub(super) fn stream(number: u32) -> StreamId {
    StreamId::new("samples", "content", &format!("{number:064x}")).unwrap()
}

/// Events with these numbers, each naming the stream of its number.
pub(super) fn events(version: ModelVersion, numbers: std::ops::Range<u32>) -> Vec<Vec<u8>> {
    let author = json!({"name": "gen", "version": "1", "category": "plugin"});
    let event = |number: u32| {
        let sha256 = format!("{number:064x}");
        let json = json!({
            "model_version": version.number(),
            "kafka_key": format!("key-{number}"),
            "timestamp": format!("2025-07-30T06:02:{:02}.5Z", number % 60),
            "author": author,
            "action": "sourced",
            "source": {"name": "samples", "path": [{"author": author, "action": "sourced", "sha256": sha256}]},
            "entity": {"sha256": sha256, "datastreams": [{"label": "content", "sha256": sha256}]},
        });
        encode::event(Model::Binary, version, &json, &mut encode::Framing::default())
    };
    numbers.map(event).collect()
}

pub(super) fn bulk(version: ModelVersion, numbers: std::ops::Range<u32>) -> Vec<u8> {
    encode::bulk(
        version,
        &events(version, numbers),
        &mut encode::Framing::default(),
    )
}
