use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, Context, Handler, MessageResult};
use actors::avro::ModelVersion;
use actors::avro::encode::{self, Framing};
use actors::event_backup::{EventBackupActor, FeedPorts, FeedRules, recover};
use actors::fault::Fault;
use actors::feed::Model;
use actors::hit_cache::{AgeOff, ClaimRules, Claims, HitCacheActor};
use actors::memory_budget::MemoryBudget;
use actors::patient_state::PatientState;
use actors::retry::RetryPolicy;
use actors::stop::StopFlag;
use actors::stream_worker::{StoreStream, StreamOutcome};
use actors::supervisor::{Ending, Stage};
use actors::testkit::{Answer, BucketCall, FakeBucket, FakeDispatcher, MemoryJournal, MemoryState, Trouble};
use futures_util::FutureExt as _;
use serde_json::json;
use tokio::sync::Semaphore;

use super::*;

const S: Duration = Duration::from_secs(1);

fn feed() -> Feed {
    "samples/binary/sourced".parse().unwrap()
}

fn board() -> BackupBoard {
    let pulse = Pulse::default();
    let board = BackupBoard::new("1", &[feed()], pulse.clone(), Tally::default());
    board.state_opened();
    board.begun();
    pulse.beat(Stage::Running);
    board
}

#[test]
fn a_journal_that_cannot_take_more_is_not_ready_and_says_why() {
    let board = board();
    assert_eq!(board.snapshot().not_ready, [""; 0]);
    let room = JournalRoom::new(1 << 20);
    room.set_aside(1 << 20);
    board.counted(StateCounts::default(), &room);
    let not_ready = board.snapshot().not_ready;
    assert!(not_ready[0].contains("put aside"), "{not_ready:?}");
    room.set_aside(0);
    room.take_finished(1 << 20);
    board.counted(StateCounts::default(), &room);
    assert_eq!(board.snapshot().not_ready, [""; 0], "bundles make room");
    let volume = |free, short_of| Shelf {
        volume: Some(Look {
            free,
            size: 1000,
            short_of,
        }),
        ..Shelf::default()
    };
    board.looked(volume(10, Some(20)));
    let not_ready = board.snapshot().not_ready;
    assert!(not_ready[0].contains("10 bytes are free"), "{not_ready:?}");
    board.looked(volume(500, None));
    let snapshot = board.snapshot();
    assert_eq!(snapshot.not_ready, [""; 0]);
    let journal = snapshot.backup.unwrap().journal;
    assert_eq!(
        (journal.volume_free_bytes, journal.volume_bytes),
        (Some(500), Some(1000))
    );
}

#[tokio::test]
async fn a_journal_that_is_full_is_told_as_full_whatever_takes_its_room() {
    let (board, room) = (board(), JournalRoom::new(100));
    room.take_finished(30);
    room.set_aside(15);
    let coming = room.reserve(25).await;
    coming.take(40).await;
    let expected = room.reserve(15).await;
    assert!(room.reserve(1).now_or_never().is_none(), "feeds wait");
    board.counted(StateCounts::default(), &room);
    let journal = board.snapshot().backup.unwrap().journal;
    assert_eq!(
        (journal.bytes, journal.reserved_bytes, journal.aside_bytes),
        (30, 55, 15)
    );
    assert_eq!((journal.taken_bytes, journal.max_bytes), (100, 100));
    drop((coming, expected));
}

#[test]
fn nothing_is_told_of_what_waits_before_local_state_has_been_read() {
    let board = board();
    assert!(board.snapshot().backup.is_none());
    board.counted(StateCounts::default(), &JournalRoom::new(7));
    assert_eq!(board.snapshot().backup.unwrap().journal.max_bytes, 7);
}

#[test]
fn the_oldest_stream_is_told_as_long_as_one_is_pending() {
    let board = board();
    let pending = |pending| StateCounts {
        pending,
        failed: 1,
        ..StateCounts::default()
    };
    board.counted(pending(2), &JournalRoom::new(1));
    board.looked(Shelf {
        oldest_pending: Some(Timestamp::now().before(60 * S)),
        failed_names: vec!["samples/content/00".to_owned()],
        volume: None,
    });
    let streams = |board: &BackupBoard| board.snapshot().backup.unwrap().streams;
    let told = streams(&board);
    assert!(told.oldest_pending_seconds.unwrap() >= 60.0, "{told:?}");
    assert_eq!((told.pending, told.failed, told.failed_names.len()), (2, 1, 1));
    board.counted(pending(0), &JournalRoom::new(1));
    assert_eq!(streams(&board).oldest_pending_seconds, None);
}

#[test]
fn suspect_pulls_are_told_as_pulls_and_as_the_spans_that_remember_them() {
    let board = board();
    let counts = StateCounts {
        suspect_pulls: 2,
        ..StateCounts::default()
    };
    let suspect = |pulls| SuspectFeed {
        feed: feed(),
        pulls,
        since: Timestamp::from_micros(1),
        until: Timestamp::from_micros(2),
    };
    board.suspected(&[suspect(300), suspect(12)]);
    board.counted(counts, &JournalRoom::new(1));
    let backup = board.snapshot().backup.unwrap();
    assert_eq!((backup.suspect_pulls, backup.suspect_pulls_in_all), (2, 312));
}

/// Stores every other stream, and fails with the rest.
struct FakeWorker(u64);

impl Actor for FakeWorker {
    type Context = Context<Self>;
}

impl Handler<StoreStream> for FakeWorker {
    type Result = MessageResult<StoreStream>;

    fn handle(&mut self, job: StoreStream, _: &mut Self::Context) -> Self::Result {
        self.0 += 1;
        MessageResult(match self.0 % 2 {
            0 => StreamOutcome::Failed(Fault::corrupt("get stream", job.stream, "another hash")),
            _ => StreamOutcome::Stored {
                bytes_in: 10,
                bytes_out: 5,
            },
        })
    }
}

struct FakeSupervisor;

impl Actor for FakeSupervisor {
    type Context = Context<Self>;
}

impl Handler<Ending> for FakeSupervisor {
    type Result = ();

    fn handle(&mut self, ending: Ending, _: &mut Self::Context) {
        panic!("nothing ends here: {}", ending.reason);
    }
}

fn bulk(numbers: std::ops::Range<u32>) -> Vec<u8> {
    let author = json!({"name": "gen", "version": "1", "category": "plugin"});
    let event = |number: u32| {
        let sha256 = format!("{number:064x}");
        let json = json!({
            "model_version": ModelVersion::V6.number(),
            "kafka_key": format!("key-{number}"),
            "timestamp": format!("2025-07-30T06:02:{:02}.5Z", number % 60),
            "author": author,
            "action": "sourced",
            "source": {"name": "samples", "path": [{"author": author, "action": "sourced", "sha256": sha256}]},
            "entity": {"sha256": sha256, "datastreams": [{"label": "content", "sha256": sha256}]},
        });
        encode::event(Model::Binary, ModelVersion::V6, &json, &mut Framing::default())
    };
    let events: Vec<_> = numbers.map(event).collect();
    encode::bulk(ModelVersion::V6, &events, &mut Framing::default())
}

/// Starts one feed over fakes, which writes on the board.
async fn start(board: &BackupBoard, dispatcher: &FakeDispatcher, bucket: &FakeBucket) -> FeedPorts {
    let state = PatientState::new(Rc::new(MemoryState::new()));
    let ports = FeedPorts {
        dispatcher: Rc::new(board.meter().around(dispatcher.clone())),
        bucket: Rc::new(board.meter().around(bucket.clone())),
        journal: Rc::new(MemoryJournal::new()),
        state: Rc::new(state.clone()),
        uploads: Rc::new(state),
        room: JournalRoom::new(1 << 20),
        memory: MemoryBudget::new(64 << 20),
        statistics: board.statistics(),
        board: board.feeds(),
        retry: RetryPolicy {
            attempts: 2,
            average_delay: S,
            retries: board.0.process.retries.clone(),
        },
        stop: StopFlag::default(),
        blocking: Arc::new(Semaphore::new(2)),
        joining: Arc::new(Semaphore::new(2)),
        next_seq: Rc::default(),
    };
    let left = recover(&ports).await.unwrap().remove(&feed()).unwrap_or_default();
    let rules = ClaimRules {
        cache_size: NonZeroUsize::MIN,
        most_waiting: 100,
        most_out: 1,
        failures_in_row: 1000,
    };
    let supervisor = FakeSupervisor.start().recipient();
    let hit_cache = HitCacheActor::new(
        Claims::new(rules, ports.state.start_number()),
        None,
        Rc::clone(&ports.state),
        FakeWorker(0).start().recipient(),
        supervisor.clone(),
        board.statistics(),
        AgeOff::default(),
    );
    let rules = FeedRules {
        feed: feed(),
        consumer: Some("backup".to_owned()),
        deployment_key: "recovery".to_owned(),
        batch_size: 20,
        max_age: 600 * S,
        longest_deadline: 10 * S,
    };
    EventBackupActor::new(rules, left, ports.clone(), hit_cache.start(), supervisor).start();
    ports
}

/// All series of counters, and of the histogram, with their values.
fn counters(text: &str) -> BTreeMap<String, f64> {
    let is_gauge = |name: &str| text.contains(&format!("# TYPE {name} gauge\n"));
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let series = lines.map(|line| line.rsplit_once(' ').unwrap());
    let counters = series.filter(|(series, _)| !is_gauge(series.split('{').next().unwrap_or_default()));
    counters
        .map(|(series, value)| (series.to_owned(), value.parse().unwrap()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn counters_count_what_is_done_and_never_fall() {
    let run = async {
        let (board, dispatcher, bucket) = (board(), FakeDispatcher::new(), FakeBucket::new());
        for batch in 0..10 {
            dispatcher.answer(&feed(), Answer::events(20, &bulk(batch * 20..batch * 20 + 20)));
            let trouble = [
                Answer::refused("503"),
                Answer::suspect("500"),
                Answer::body("text/html", "no answer"),
            ];
            dispatcher.answer(&feed(), trouble[batch as usize % 3].clone());
        }
        let away = Fault::transient("put object", "fake", "503");
        for spared in [0, 5] {
            let away = Trouble::fails(BucketCall::Put, away.clone()).sparing(spared);
            bucket.calls().plan(away.times(2));
        }
        let ports = start(&board, &dispatcher, &bucket).await;
        let render = board.metrics();
        let mut before = BTreeMap::new();
        for _ in 0..120 {
            tokio::time::sleep(5 * S).await;
            board.counted(ports.state.counts(), &ports.room);
            let now = counters(&render());
            for (series, value) in &before {
                assert!(now.get(series) >= Some(value), "{series} fell from {value}");
            }
            before = now;
        }
        let of_feed = |name: &str| before[&format!("{name}{{source=\"samples\",feed=\"{}\"}}", feed())];
        assert_eq!(of_feed("azul_backup_feed_events_total"), 200.0);
        assert_eq!(of_feed("azul_backup_feed_bundles_total"), 10.0);
        assert_eq!(
            before["recovery_backup_stats{source=\"samples\",stat=\"events-ok\"}"],
            200.0
        );
        assert!(before["recovery_backup_stats{source=\"samples\",stat=\"streams-fail\"}"] >= 100.0);
        assert!(before["azul_backup_retries_total{operation=\"put object\"}"] >= 2.0);
        assert_eq!(before["recovery_backup_object_error{keyword=\"transient\"}"], 4.0);
        let pulls = "recovery_streams_op_duration_count{method=\"dispatcher-pull\",result=\"ok\"}";
        assert!(before[pulls] >= 13.0);
    };
    tokio::task::LocalSet::new().run_until(run).await;
}
