//! Crashes between any two rows, full disks, rows that are halved.

use std::cell::Cell;
use std::path::Path;

use actors::feed::Feed;
use actors::ports::archive::Store as Bucket;
use actors::ports::restore_state::{
    BundleDone, DeadLetter, EventFigures, LaneMark, RestoreChange, RestoreId, RestoreState, StreamFigures,
};
use actors::ports::state::StateFault;
use actors::testkit::MemoryRestoreState;
use actors::testkit::conformance::restore_state::{self as promises, Reopen};
use actors::timestamp::Timestamp;
use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;

use super::RestoreRecorder;
use super::bundles::FULL;
use super::keys;
use crate::adapters::state::table::{Store, Table};
use crate::adapters::state::test_table::{Disk, MapTable, Write};

type State = RestoreRecorder<MapTable>;

fn open(disk: &Disk, root: &Path) -> State {
    let mut store = disk.clone();
    let table = store.open().unwrap();
    State::start(Box::new(store), table, root).unwrap()
}

struct OnDisk {
    root: TempDir,
    disk: Disk,
    state: State,
}

impl OnDisk {
    fn new() -> Self {
        let (root, disk) = (TempDir::new().unwrap(), Disk::default());
        let state = open(&disk, root.path());
        Self { root, disk, state }
    }
}

impl Reopen for OnDisk {
    type State = State;

    fn state(&self) -> &State {
        &self.state
    }

    fn reopen(self) -> Self {
        drop(self.state);
        let state = open(&self.disk, self.root.path());
        Self { state, ..self }
    }
}

#[tokio::test]
async fn keeps_the_promises_of_the_state_of_a_restore() {
    promises::all(OnDisk::new).await;
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn feed() -> Feed {
    "samples/binary/sourced".parse().unwrap()
}

fn id(number: u8) -> RestoreId {
    RestoreId {
        bucket: "bucket".to_owned(),
        target: "target".to_owned(),
        selection: format!("selection {number}"),
    }
}

fn bundle(time: i64) -> BundleDone {
    BundleDone {
        feed: feed(),
        timestamp: at(time),
        key: format!("key {time}"),
        size: 7,
        figures: EventFigures {
            bundles: 1,
            events: 10,
            accepted: 10,
            bytes: 7,
            ..EventFigures::default()
        },
    }
}

fn letter(event: u64) -> DeadLetter {
    DeadLetter {
        store: Bucket::Events,
        key: "samples/binary/sourced/bundle".to_owned(),
        event: Some(event),
        // Its own, not that of whichever restore has begun.
        route: Some(id(0).route()),
        kafka_key: None,
        reason: "refused".to_owned(),
        attempts: 1,
        since: at(3),
        event_bytes: 0,
    }
}

/// One thing that is asked of the state.
#[derive(Clone, Debug)]
enum Step {
    Begin(u8, bool),
    Record(RestoreChange),
}

impl Step {
    async fn ask(&self, state: &impl RestoreState) -> Result<(), StateFault> {
        match self.clone() {
            Self::Begin(number, from_start) => state.begin(&id(number), from_start, at(1)).await.map(drop),
            Self::Record(change) => state.record(change).await,
        }
    }

    /// Whether it is about the restore that has begun.
    fn is_checkpoint(&self) -> bool {
        use RestoreChange::{BundleDone, Finished, LaneReached};
        matches!(self, Self::Record(LaneReached(..) | BundleDone(_) | Finished))
    }
}

fn step() -> impl Strategy<Value = Step> {
    let reached = (0..3_u8, 0..9_u64).prop_map(|(lane, restored)| {
        let figures = StreamFigures {
            restored,
            ..StreamFigures::default()
        };
        let key = format!("key {restored}");
        RestoreChange::LaneReached(
            format!("lane {lane}"),
            LaneMark {
                key,
                figures,
                ..LaneMark::default()
            },
        )
    });
    let given_up = (0..3_u64, proptest::option::of("[a-c]{1,4}"))
        .prop_map(|(event, bytes)| RestoreChange::GivenUp(letter(event), bytes.map(Bytes::from)));
    let change = prop_oneof![
        3 => reached,
        3 => (0..6_i64).prop_map(|time| RestoreChange::BundleDone(bundle(time))),
        3 => given_up,
        2 => (0..3_u64).prop_map(|event| RestoreChange::LetterSettled(letter(event))),
        1 => Just(RestoreChange::Finished),
    ];
    prop_oneof![
        1 => (0..2_u8, any::<bool>()).prop_map(|(number, from_start)| Step::Begin(number, from_start)),
        4 => change.prop_map(Step::Record),
    ]
}

/// What one restore has come to; begins it to see.
#[derive(Clone, Debug, PartialEq)]
struct Course {
    begun: Timestamp,
    lanes: Vec<(String, LaneMark)>,
    done: Vec<Option<EventFigures>>,
    sum: EventFigures,
}

async fn course(state: &impl RestoreState, number: u8) -> Option<Course> {
    state.unfinished(&id(number)).unwrap()?;
    let begun = state.begin(&id(number), false, at(99)).await.unwrap().begun;
    let is_done = |time| {
        let bundle = bundle(time);
        state
            .done(&bundle.feed, bundle.timestamp, &bundle.key, bundle.size)
            .unwrap()
    };
    Some(Course {
        begun,
        lanes: state.lanes("").unwrap(),
        done: (0..40).map(is_done).collect(),
        sum: state.feed_figures(&feed()).unwrap(),
    })
}

/// What has to be the same whether a change was interrupted and repeated, or not. How often something was tried is not
/// among it: a repetition counts.
#[derive(Clone, Debug, PartialEq)]
struct Facts {
    courses: [Option<Course>; 2],
    letters: Vec<(DeadLetter, Option<Bytes>)>,
}

async fn facts(state: &impl RestoreState) -> Facts {
    let mut letters = Vec::new();
    for (_, letter) in state.letters_from(None, 99).unwrap() {
        let event = state.letter_event(&letter).await.unwrap();
        letters.push((
            DeadLetter {
                attempts: 0,
                ..letter
            },
            event,
        ));
    }
    assert_eq!(state.letter_count(), letters.len() as u64);
    Facts {
        courses: [course(state, 0).await, course(state, 1).await],
        letters,
    }
}

impl Facts {
    /// Without the length of an event, which the row tells after the file.
    fn but_for_lengths(mut self) -> Self {
        self.letters
            .iter_mut()
            .for_each(|(letter, _)| letter.event_bytes = 0);
        self
    }

    fn events(&self) -> usize {
        self.letters.iter().filter(|(_, event)| event.is_some()).count()
    }
}

fn copy_of(root: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    if let Ok(files) = std::fs::read_dir(root.join("dead-letters")) {
        std::fs::create_dir(copy.path().join("dead-letters")).unwrap();
        for file in files {
            let file = file.unwrap();
            let to = copy.path().join("dead-letters").join(file.file_name());
            std::fs::copy(file.path(), to).unwrap();
        }
    }
    copy
}

fn files(root: &Path) -> usize {
    std::fs::read_dir(root.join("dead-letters")).map_or(0, Iterator::count)
}

/// The rows of runs that no restore has.
fn rows_of_nobody(state: &State) -> usize {
    let live = |table: &MapTable| -> Vec<u64> {
        let rows = table.range(keys::RESTORES.range()).map(|row| row.unwrap());
        let row = |(_, value): (_, Vec<u8>)| serde_json::from_slice::<serde_json::Value>(&value).unwrap();
        rows.map(|row_| row(row_)["run"].as_u64().unwrap()).collect()
    };
    let count = |table: &MapTable| {
        let live = live(table);
        let of_nobody = |kind: keys::Kind| {
            let rows = table.range(kind.range());
            let run = rows.map(|row| keys::run_of(kind, &row.unwrap().0).unwrap());
            run.filter(|run| !live.contains(run)).count()
        };
        Ok(of_nobody(keys::LANES) + of_nobody(keys::BUNDLES))
    };
    state.rows.read(count).unwrap()
}

fn wait<F: Future>(future: F) -> F::Output {
    futures_util::FutureExt::now_or_never(future).expect("memory does not make anybody wait")
}

/// Opens what a crash has left, and sees either all of the last change or nothing; then repeats it.
async fn goes_on(
    writes: &[Write],
    root: &Path,
    current: Option<u8>,
    last: &Step,
    before: &Facts,
    after: &Facts,
) -> Result<(), TestCaseError> {
    let root = copy_of(root);
    let state = open(&Disk::of(writes), root.path());
    prop_assert_eq!(rows_of_nobody(&state), 0);
    let seen = facts(&state).await;
    prop_assert_eq!(files(root.path()), seen.events(), "files that no row needs");
    let seen_in_short = seen.clone().but_for_lengths();
    let is_whole = seen == *before || seen == *after;
    let is_newer_event = matches!(last, Step::Record(RestoreChange::GivenUp(..)))
        && seen_in_short == after.clone().but_for_lengths();
    prop_assert!(
        is_whole || is_newer_event,
        "{:?} of {:?} and {:?}",
        seen,
        before,
        after
    );
    drop(state);

    let state = open(&Disk::of(writes), root.path());
    if let Some(number) = current.filter(|_| last.is_checkpoint()) {
        state.begin(&id(number), false, at(1)).await.unwrap();
    }
    last.ask(&state).await.unwrap();
    prop_assert_eq!(&facts(&state).await, after, "repeated");
    prop_assert_eq!(rows_of_nobody(&state), 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever prefix of the last change arrives on the disk: the next start sees all of it or nothing, and
    /// repeating it brings about the same facts as if there had been no crash.
    #[test]
    fn a_change_that_a_crash_cut_short_is_there_or_not_and_can_be_repeated(
        before in proptest::collection::vec(step(), 0..14),
        last in step(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (root, disk) = (TempDir::new().unwrap(), Disk::default());
        let state = open(&disk, root.path());
        let yardstick = MemoryRestoreState::new();
        let current = Cell::new(None);
        let ask = |step: &Step| {
            if step.is_checkpoint() && current.get().is_none() {
                return false;
            }
            runtime.block_on(step.ask(&state)).unwrap();
            wait(step.ask(&yardstick)).unwrap();
            match step {
                Step::Begin(number, _) => current.set(Some(*number)),
                Step::Record(RestoreChange::Finished) => current.set(None),
                Step::Record(_) => {}
            }
            true
        };
        for step in &before {
            ask(step);
        }
        let of_last = disk.writes().len();
        let known = wait(facts(&yardstick));
        let files_before = copy_of(root.path());
        // What the yardstick shows is seen by beginning.
        if let Some(number) = current.get() {
            wait(yardstick.begin(&id(number), false, at(1))).unwrap();
        }
        let begun = current.get();
        prop_assume!(ask(&last));
        let after = wait(facts(&yardstick));
        drop(state);
        let writes = disk.writes();
        let is_settled = matches!(last, Step::Record(RestoreChange::LetterSettled(_)));
        for arrived in of_last..=writes.len() {
            let some = &writes[..arrived];
            let all_arrived = arrived == writes.len();
            // The file comes before the row, and goes after it.
            if arrived == of_last || is_settled {
                runtime.block_on(goes_on(some, files_before.path(), begun, &last, &known, &after))?;
            }
            if all_arrived || !is_settled {
                runtime.block_on(goes_on(some, root.path(), begun, &last, &known, &after))?;
            }
        }
    }
}

/// A row of done bundles is halved: whatever arrives of it, every bundle counts once.
#[tokio::test]
async fn a_row_that_a_crash_has_left_half_halved_counts_no_bundle_twice() {
    let on_disk = OnDisk::new();
    on_disk.state.begin(&id(0), false, at(1)).await.unwrap();
    let times: Vec<i64> = (0..=FULL as i64).filter(|time| *time != 5).collect();
    for time in &times {
        on_disk
            .state
            .record(RestoreChange::BundleDone(bundle(*time)))
            .await
            .unwrap();
    }
    let known = on_disk.disk.writes().len();
    let last = Step::Record(RestoreChange::BundleDone(bundle(5)));
    last.ask(&on_disk.state).await.unwrap();
    let after = facts(&on_disk.state).await;
    assert_eq!(after.courses[0].as_ref().unwrap().sum.bundles, FULL as u64 + 1);
    let writes = on_disk.disk.writes();
    let before = facts(&open(&Disk::of(&writes[..known]), on_disk.root.path())).await;
    assert_eq!(before.courses[0].as_ref().unwrap().sum.bundles, FULL as u64);
    for arrived in known..=writes.len() {
        let root = on_disk.root.path();
        let gone_on = goes_on(&writes[..arrived], root, Some(0), &last, &before, &after).await;
        gone_on.unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_fails_what_was_asked_and_counts_nothing_twice() {
    for room in 0..5 {
        let on_disk = OnDisk::new();
        let (state, disk) = (&on_disk.state, &on_disk.disk);
        state.begin(&id(0), false, at(1)).await.unwrap();
        state.record(RestoreChange::BundleDone(bundle(1))).await.unwrap();
        disk.leave_room(Some(room));
        let steps = (2..6).map(|time| state.record(RestoreChange::BundleDone(bundle(time))));
        let done = futures_util::future::join_all(steps).await;
        assert!(
            done.iter().any(|done| matches!(done, Err(StateFault::Full(_)))),
            "{done:?}"
        );
        disk.leave_room(None);
        for time in 2..6 {
            state
                .record(RestoreChange::BundleDone(bundle(time)))
                .await
                .unwrap();
        }
        assert_eq!(state.feed_figures(&feed()).unwrap().bundles, 5);
        // That it is finished can be said again too.
        disk.leave_room(Some(room));
        let finished = state.record(RestoreChange::Finished).await;
        disk.leave_room(None);
        state.record(RestoreChange::Finished).await.unwrap();
        assert_eq!(state.unfinished(&id(0)).unwrap(), None, "{finished:?}");
        assert_eq!(rows_of_nobody(state), 0);
        let on_disk = on_disk.reopen();
        assert_eq!(rows_of_nobody(&on_disk.state), 0);
        assert_eq!(on_disk.state.begin(&id(0), false, at(2)).await.unwrap().starts, 1);
    }
}

#[tokio::test]
async fn a_restore_that_could_not_begin_has_not_begun() {
    let on_disk = OnDisk::new();
    let (state, disk) = (&on_disk.state, &on_disk.disk);
    disk.leave_room(Some(0));
    let begun = state.begin(&id(0), false, at(1)).await;
    assert!(matches!(begun, Err(StateFault::Full(_))), "{begun:?}");
    disk.leave_room(None);
    let reached = RestoreChange::LaneReached("lane".to_owned(), LaneMark::default());
    let refused = state.record(reached.clone()).await;
    assert!(matches!(refused, Err(StateFault::Broken(_))), "{refused:?}");
    // Refused, it has cost nobody anything.
    state.begin(&id(0), false, at(1)).await.unwrap();
    state.record(reached).await.unwrap();
}

#[tokio::test]
async fn rows_of_bundles_stay_short_and_are_few_where_they_come_in_order() {
    let on_disk = OnDisk::new();
    let state = &on_disk.state;
    state.begin(&id(0), false, at(1)).await.unwrap();
    let count = 10 * FULL as i64;
    for time in 0..count {
        state
            .record(RestoreChange::BundleDone(bundle(time)))
            .await
            .unwrap();
    }
    let lengths = || {
        let rows = |table: &MapTable| {
            let rows = table.range(keys::BUNDLES.range());
            Ok(rows.map(|row| row.unwrap().1.len()).collect::<Vec<_>>())
        };
        state.rows.read(rows).unwrap()
    };
    assert_eq!(lengths().len(), 10);
    for time in 0..count {
        let late = BundleDone {
            key: format!("late {time}"),
            ..bundle(time)
        };
        state.record(RestoreChange::BundleDone(late)).await.unwrap();
    }
    assert!(lengths().len() <= 40, "{} rows", lengths().len());
    assert!(lengths().iter().all(|length| *length < 4096), "{:?}", lengths());
    assert_eq!(state.feed_figures(&feed()).unwrap().bundles, 20 * FULL as u64);
}

#[tokio::test]
async fn what_a_letter_says_is_remembered_in_short() {
    let on_disk = OnDisk::new();
    let long = "ü".repeat(100_000);
    let letter = DeadLetter {
        reason: long.clone(),
        kafka_key: Some(long),
        ..letter(1)
    };
    on_disk
        .state
        .record(RestoreChange::GivenUp(letter, None))
        .await
        .unwrap();
    let (_, letter) = on_disk.state.letters_from(None, 1).unwrap().remove(0);
    assert_eq!(letter.reason.chars().count(), 1001);
    assert_eq!(letter.kafka_key.unwrap().chars().count(), 1001);
}
