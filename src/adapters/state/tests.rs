//! Crashes between any two rows, full disks, and groups.

use actors::avro::{BulkVersion, ModelVersion};
use actors::feed::Feed;
use actors::object_key::BundleKey;
use actors::ports::journal::BatchFile;
use actors::ports::state::{
    BatchContents, BatchRow, Change, EventName, FeedPulls, FeedTimes, LocalState, Member, OpenUpload,
    PullMark, SealedBundle, StateFault, SuspectPull, SuspectSpan,
};
use actors::stream_id::StreamId;
use actors::testkit::MemoryState;
use actors::testkit::conformance::state::{self as promises, Reopen};
use actors::timestamp::Timestamp;
use proptest::prelude::*;

use super::Recorder;
use super::changes::MOST_UNFLUSHED;
use super::table::Store;
use super::test_table::{Disk, MapTable};

struct OnDisk {
    disk: Disk,
    state: Recorder<MapTable>,
}

fn open(disk: &Disk) -> Recorder<MapTable> {
    let mut store = disk.clone();
    let table = store.open().unwrap();
    Recorder::start(Box::new(store), table).unwrap()
}

impl OnDisk {
    fn new() -> Self {
        let disk = Disk::default();
        let state = open(&disk);
        Self { disk, state }
    }
}

impl Reopen for OnDisk {
    type State = Recorder<MapTable>;

    fn state(&self) -> &Self::State {
        &self.state
    }

    fn reopen(self) -> Self {
        drop(self.state);
        let state = open(&self.disk);
        Self { state, ..self }
    }
}

#[tokio::test]
async fn keeps_the_promises_of_local_state() {
    promises::all(OnDisk::new).await;
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn feed() -> Feed {
    "samples/binary/sourced".parse().unwrap()
}

fn stream(number: u32) -> StreamId {
    StreamId::new("samples", "content", &format!("{number:064x}")).unwrap()
}

fn streams(numbers: std::ops::Range<u32>) -> Vec<StreamId> {
    numbers.map(stream).collect()
}

fn batch(seq: u64) -> BatchRow {
    BatchRow {
        file: BatchFile {
            feed: feed(),
            seq,
            received: at(1),
        },
        bytes: 100,
        contents: BatchContents {
            version: BulkVersion::Known(ModelVersion::V6),
            events: 10,
            invalid: 0,
            bulk: 1..99,
            blocks: 2..98,
            last: EventName {
                timestamp: at(2),
                kafka_key: "key".to_owned(),
            },
        },
        streams_named: false,
        taken: 0,
    }
}

fn bundle(from: u64) -> SealedBundle {
    let members = (from..from + 2).map(|seq| Member { seq, events: 0..10 });
    SealedBundle {
        key: BundleKey::new(feed(), at(2), 20, "key"),
        version: BulkVersion::Known(ModelVersion::V6),
        members: members.collect(),
        copies: 1,
    }
}

fn suspect(since: i64) -> SuspectPull {
    SuspectPull {
        feed: feed(),
        since: at(since),
        until: at(since + 1),
        reason: "500".to_owned(),
    }
}

/// One thing that is asked of local state.
#[derive(Clone, Debug)]
enum Step {
    Record(Change),
    Name(Vec<StreamId>),
    Revive,
    PutBack(Vec<StreamId>),
}

impl Step {
    async fn ask(&self, state: &impl LocalState) -> Result<(), StateFault> {
        match self.clone() {
            Self::Record(change) => state.record(change).await,
            Self::Name(streams) => state.name_streams(streams, at(5)).await.map(drop),
            Self::Revive => state.revive_missing(None, 99, at(100), at(6)).await.map(drop),
            Self::PutBack(streams) => state.put_back(streams, at(9)).await.map(drop),
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let seq = 0..3_u64;
    let number = 0..4_u32;
    let upload = OpenUpload {
        key: "k".to_owned(),
        bundle: true,
        upload: Some("u".to_owned()),
        since: at(4),
        start: 3,
    };
    let change = prop_oneof![
        Just(Change::PullMarked(PullMark {
            feed: feed(),
            since: at(1),
            until: at(2),
        })),
        (0..3_i64).prop_map(|since| Change::PullEnded(feed(), Some(suspect(since)))),
        seq.clone()
            .prop_map(|seq| Change::BatchJournaled(batch(seq), at(4))),
        (0..3_i64).prop_map(|last| {
            Change::PullsNoted(vec![FeedPulls {
                feed: feed(),
                last: Some(at(last)),
                behind_since: (last > 0).then(|| at(last)),
            }])
        }),
        seq.clone().prop_map(|seq| Change::StreamsNamed(feed(), seq)),
        seq.clone().prop_map(|from| Change::BundleSealed(bundle(from))),
        Just(Change::BundleWritten(bundle(0).key, at(5))),
        seq.prop_map(|seq| Change::BatchRemoved(feed(), seq)),
        number
            .clone()
            .prop_map(|number| Change::StreamStored(stream(number))),
        number
            .clone()
            .prop_map(|number| Change::StreamMissing(stream(number), at(7))),
        number
            .clone()
            .prop_map(|number| Change::StreamFailed(stream(number), "time-out".to_owned())),
        number
            .clone()
            .prop_map(|number| Change::StreamSetAside(stream(number), at(8))),
        Just(Change::UploadBegun(upload.clone())),
        Just(Change::UploadEnded(upload)),
    ];
    prop_oneof![
        4 => change.prop_map(Step::Record),
        2 => proptest::collection::vec(number.clone().prop_map(stream), 1..4).prop_map(Step::Name),
        1 => Just(Step::Revive),
        1 => proptest::collection::vec(number.prop_map(stream), 1..4).prop_map(Step::PutBack),
    ]
}

/// Events are sealed once: what counts as taken is never in a seal again.
fn is_possible(step: &Step, state: &impl LocalState) -> bool {
    let Step::Record(Change::BundleSealed(bundle)) = step else {
        return true;
    };
    let batches = state.batches().unwrap();
    let taken = batches.iter().filter(|row| row.taken > 0);
    taken
        .into_iter()
        .all(|row| bundle.members.iter().all(|member| member.seq != row.file.seq))
}

/// What has to be the same whether a change was interrupted and repeated, or not. How often a stream was asked for
/// is not among it: a repetition counts.
#[derive(Debug, PartialEq)]
struct Facts {
    marks: Vec<PullMark>,
    batches: Vec<BatchRow>,
    sealed: Vec<SealedBundle>,
    times: Vec<FeedTimes>,
    suspects: Vec<SuspectSpan>,
    uploads: Vec<OpenUpload>,
    pending: Vec<StreamId>,
    missing: Vec<StreamId>,
    failed: Vec<StreamId>,
    counts: [u64; 3],
}

fn facts(state: &impl LocalState) -> Facts {
    let mut pending: Vec<_> = state
        .pending_from(0, 99)
        .unwrap()
        .into_iter()
        .map(|row| row.stream)
        .collect();
    pending.sort();
    let counts = state.counts();
    Facts {
        marks: state.marks().unwrap(),
        batches: state.batches().unwrap(),
        sealed: state.sealed().unwrap(),
        times: state.feed_times().unwrap(),
        suspects: state.suspect_pulls().unwrap(),
        uploads: state.open_uploads().unwrap(),
        pending,
        missing: state
            .missing()
            .unwrap()
            .into_iter()
            .map(|row| row.stream)
            .collect(),
        failed: state
            .failed()
            .unwrap()
            .into_iter()
            .map(|row| row.stream)
            .collect(),
        counts: [counts.pending, counts.missing, counts.failed],
    }
}

fn nothing_is_half_done(state: &impl LocalState) -> bool {
    let (sealed, batches) = (state.sealed().unwrap(), state.batches().unwrap());
    let taken: Vec<u64> = batches
        .iter()
        .filter(|row| row.taken > 0)
        .map(|row| row.file.seq)
        .collect();
    let is_taken = |bundle: &SealedBundle| bundle.members.iter().any(|member| taken.contains(&member.seq));
    let facts = facts(state);
    let is_both = facts.failed.iter().any(|stream| facts.pending.contains(stream));
    !sealed.iter().any(is_taken) && !is_both
}

fn wait<F: Future>(future: F) -> F::Output {
    futures_util::FutureExt::now_or_never(future).expect("memory does not make anybody wait")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever prefix of the last change arrives on the disk: the next start has all changes before it, and
    /// repeating it brings about the same facts as if there had been no crash.
    #[test]
    fn a_change_that_a_crash_cut_short_is_finished_by_repeating_it(
        before in proptest::collection::vec(step(), 0..12),
        last in step(),
    ) {
        is_finished_by_repeating_it(&before, &last)?;
    }
}

/// The same for a change whose rows depend on each other, which steps by chance seldom come to.
#[test]
fn a_bundle_that_is_written_is_noted_with_its_time_wherever_a_crash_cuts_it_short() {
    let before = [
        Change::BatchJournaled(batch(0), at(4)),
        Change::BatchJournaled(batch(1), at(4)),
        Change::BundleSealed(bundle(0)),
    ];
    let last = Step::Record(Change::BundleWritten(bundle(0).key, at(5)));
    is_finished_by_repeating_it(&before.map(Step::Record), &last).unwrap();
}

fn is_finished_by_repeating_it(before: &[Step], last: &Step) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let disk = Disk::default();
    let state = open(&disk);
    let yardstick = MemoryState::new();
    for step in before {
        if !is_possible(step, &yardstick) {
            continue;
        }
        runtime.block_on(step.ask(&state)).unwrap();
        wait(step.ask(&yardstick)).unwrap();
    }
    prop_assert_eq!(facts(&state), facts(&yardstick));
    prop_assume!(is_possible(last, &yardstick));
    let known = disk.writes().len();
    runtime.block_on(last.ask(&state)).unwrap();
    wait(last.ask(&yardstick)).unwrap();
    prop_assert_eq!(facts(&state), facts(&yardstick));
    drop(state);
    let writes = disk.writes();
    for arrived in known..=writes.len() {
        let state = open(&Disk::of(&writes[..arrived]));
        prop_assert!(nothing_is_half_done(&state));
        runtime.block_on(last.ask(&state)).unwrap();
        prop_assert_eq!(
            facts(&state),
            facts(&yardstick),
            "with {} of {} rows",
            arrived,
            writes.len()
        );
        // Not every change is repeated; then too, whatever is named later is not forgotten.
        let state = open(&Disk::of(&writes[..arrived]));
        runtime
            .block_on(state.name_streams(streams(0..4), at(i64::MAX)))
            .unwrap();
        let facts = facts(&state);
        let is_kept = |stream: &StreamId| facts.pending.contains(stream) || facts.failed.contains(stream);
        prop_assert!(
            streams(0..4).iter().all(is_kept),
            "with {} of {} rows",
            arrived,
            writes.len()
        );
    }
    Ok(())
}

#[tokio::test]
async fn changes_made_at_once_share_a_sync_and_thousands_of_rows_do_not() {
    let disk = Disk::default();
    let state = open(&disk);
    state.name_streams(streams(0..5000), at(1)).await.unwrap();
    assert!(
        disk.most_unflushed() <= MOST_UNFLUSHED as usize,
        "{}",
        disk.most_unflushed()
    );
    let before = disk.flushes();
    // Whatever the writer finds waiting it takes together, and it cannot have found less than this in all.
    let stored = streams(0..5000)
        .into_iter()
        .map(|stream| state.record(Change::StreamStored(stream)));
    for result in futures_util::future::join_all(stored).await {
        result.unwrap();
    }
    let syncs = disk.flushes() - before;
    assert!(syncs < 1000, "{syncs} syncs for 5000 changes");
    assert_eq!(state.counts().pending, 0);
}

#[tokio::test]
async fn a_full_disk_fails_what_was_asked_and_ends_by_itself() {
    for room in 0..8 {
        let disk = Disk::default();
        let state = open(&disk);
        state.name_streams(streams(0..2), at(1)).await.unwrap();
        disk.leave_room(Some(room));
        let named = state.name_streams(streams(0..9), at(1)).await;
        assert!(matches!(named, Err(StateFault::Full(_))), "{named:?}");
        assert_eq!(
            state.counts().pending,
            2,
            "nothing that is not durable is counted"
        );
        assert_eq!(state.pending_from(0, 99).unwrap().len(), 2);
        assert!(matches!(
            state.record(Change::StreamStored(stream(0))).await,
            Err(StateFault::Full(_))
        ));
        disk.leave_room(None);
        let named = state.name_streams(streams(0..9), at(1)).await.unwrap();
        assert_eq!((named.added, named.dropped), (7, 2));
        drop(state);
        let state = open(&disk);
        assert_eq!(state.counts().pending, 9);
        assert_eq!(state.start_number(), 2, "reopening is not a start");
    }
}

#[tokio::test]
async fn readers_do_not_wait_while_it_is_opened_again() {
    let disk = Disk::default();
    let state = open(&disk);
    state.name_streams(streams(0..2), at(1)).await.unwrap();
    let opening = disk.opening();
    let held = opening.lock().unwrap();
    disk.leave_room(Some(0));
    let naming = state.name_streams(streams(2..3), at(1));
    tokio::pin!(naming);
    let (tell, told) = std::sync::mpsc::channel();
    let reader = state.clone();
    std::thread::spawn(move || {
        while reader.marks().is_ok() {}
        tell.send(reader.marks()).unwrap();
    });
    assert_eq!(
        futures_util::FutureExt::now_or_never(&mut naming),
        None,
        "it is asked for"
    );
    let seen = told.recv_timeout(std::time::Duration::from_secs(20));
    assert!(matches!(seen, Ok(Err(StateFault::Full(_)))), "{seen:?}");
    drop(held);
    assert!(matches!(naming.await, Err(StateFault::Full(_))));
    assert_eq!(state.pending_from(0, 99).unwrap().len(), 2);
}

#[tokio::test]
async fn it_is_not_opened_again_with_every_request() {
    let disk = Disk::default();
    disk.set_rest(std::time::Duration::from_secs(3600));
    let state = open(&disk);
    disk.leave_room(Some(0));
    for _ in 0..20 {
        let named = state.name_streams(streams(0..2), at(1)).await;
        assert!(matches!(named, Err(StateFault::Full(_))), "{named:?}");
    }
    assert_eq!(disk.opened(), 2, "at the start, and once since then");
}

#[tokio::test]
async fn room_that_is_kept_back_is_used_when_there_is_no_other() {
    let disk = Disk::default();
    disk.set_rest(std::time::Duration::from_secs(3600));
    disk.reserve(1000);
    let state = open(&disk);
    disk.leave_room(Some(0));
    let named = state.name_streams(streams(0..2), at(1)).await;
    assert!(matches!(named, Err(StateFault::Full(_))), "{named:?}");
    let named = state.name_streams(streams(0..2), at(1)).await.unwrap();
    assert_eq!(named.added, 2);
    disk.leave_room(Some(0));
    disk.reserve(1000);
    let before = disk.opened();
    assert_eq!(state.close().await, Ok(()), "an end in good order");
    assert_eq!(disk.opened(), before + 1);
    assert_eq!(open(&disk).counts().pending, 2);
}

#[tokio::test]
async fn an_end_in_good_order_is_told_so_whatever_became_of_what_was_asked_with_it() {
    let disk = Disk::default();
    let state = open(&disk);
    state.name_streams(streams(0..2), at(1)).await.unwrap();
    // The writer is held in the middle of one request: the next two share a group.
    let opening = disk.opening();
    let held = opening.lock().unwrap();
    disk.leave_room(Some(0));
    let first = state.name_streams(streams(2..3), at(1));
    let (second, closing) = (state.name_streams(streams(3..4), at(1)), state.close());
    tokio::pin!(first, second, closing);
    assert_eq!(futures_util::FutureExt::now_or_never(&mut first), None);
    while disk.opened() < 2 {
        std::thread::yield_now();
    }
    disk.reserve(1000);
    assert_eq!(futures_util::FutureExt::now_or_never(&mut second), None);
    assert_eq!(futures_util::FutureExt::now_or_never(&mut closing), None);
    drop(held);
    let (first, second, closed) = tokio::join!(first, second, closing);
    assert!(matches!(first, Err(StateFault::Full(_))), "{first:?}");
    assert!(matches!(second, Err(StateFault::Full(_))), "{second:?}");
    assert_eq!(closed, Ok(()));
    assert_eq!(open(&disk).counts().pending, 2);
}

#[tokio::test]
async fn a_closed_state_says_so_and_has_kept_everything() {
    let disk = Disk::default();
    let state = open(&disk);
    let clone = state.clone();
    let named = state.name_streams(streams(0..3), at(1));
    let (named, closed) = tokio::join!(named, clone.close());
    assert_eq!((named.unwrap().added, closed), (3, Ok(())));
    let fault = state.record(Change::StreamStored(stream(0))).await.unwrap_err();
    assert_eq!(fault.to_string(), "local state: it is closed");
    assert_eq!(state.marks().unwrap_err(), fault);
    assert_eq!(clone.close().await, Err(fault));
    assert_eq!(open(&disk).counts().pending, 3);
}

#[tokio::test]
async fn suspect_pulls_beyond_their_bound_stretch_the_newest() {
    let disk = Disk::default();
    let state = open(&disk);
    let record = |since| {
        let pull = SuspectPull {
            reason: format!("reason {since}"),
            ..suspect(since)
        };
        state.record(Change::PullSuspected(pull))
    };
    let recorded = futures_util::future::join_all((0..10_000).map(record)).await;
    assert!(recorded.iter().all(Result::is_ok));
    record(20_000).await.unwrap();
    record(-5).await.unwrap();
    record(-5).await.unwrap();
    let rows = state.suspect_pulls().unwrap();
    assert_eq!(rows.len(), 10_000);
    assert_eq!(rows.iter().map(|row| row.pulls).sum::<u64>(), 10_002);
    assert_eq!(state.suspect_feeds()[0].pulls, 10_002);
    let since = rows.iter().map(|row| row.since.as_micros()).min();
    let until = rows.iter().map(|row| row.until.as_micros()).max();
    assert_eq!((since, until), (Some(-5), Some(20_001)));
}

#[tokio::test]
async fn a_fault_is_remembered_in_short() {
    let state = open(&Disk::default());
    state.name_streams(streams(0..1), at(1)).await.unwrap();
    let long = "ü".repeat(100_000);
    state.record(Change::StreamFailed(stream(0), long)).await.unwrap();
    let row = state.pending_from(0, 1).unwrap().remove(0);
    assert_eq!(row.last_fault.unwrap().chars().count(), 1001);
}
