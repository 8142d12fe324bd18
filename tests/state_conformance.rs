//! Local state in sled keeps the promises of the port, and its own: kill -9, locks, damage.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use actors::ports::state::{Change, FeedTimes, LocalState, PullMark};
use actors::stream_id::StreamId;
use actors::testkit::conformance::state::{self as promises, Reopen};
use actors::timestamp::Timestamp;
use azul_backup::adapters::state::{OpenError, SledState};
use tempfile::TempDir;

struct InSled {
    root: TempDir,
    state: SledState,
}

impl InSled {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let state = SledState::open(root.path()).unwrap();
        Self { root, state }
    }
}

impl Reopen for InSled {
    type State = SledState;

    fn state(&self) -> &SledState {
        &self.state
    }

    fn reopen(self) -> Self {
        drop(self.state);
        let state = SledState::open(self.root.path()).unwrap();
        Self { state, ..self }
    }
}

#[tokio::test]
async fn sled_keeps_the_promises_of_local_state() {
    promises::all(InSled::new).await;
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn stream(number: u64) -> StreamId {
    StreamId::new("samples", "content", &format!("{number:064x}")).unwrap()
}

fn failed(root: &Path) -> String {
    match SledState::open(root) {
        Ok(_) => "opened".to_owned(),
        Err(error) => error
            .to_string()
            .replace(&root.display().to_string(), "ROOT")
            .replace(&std::process::id().to_string(), "PID"),
    }
}

/// Names the streams 0 to `count`, and closes.
async fn fill(root: &Path, count: u64) {
    let state = SledState::open(root).unwrap();
    for number in (0..count).step_by(50) {
        let streams = (number..count.min(number + 50)).map(stream).collect();
        state.name_streams(streams, at(1)).await.unwrap();
    }
    state.close().await.unwrap();
}

// ---- one process only, places that cannot be used ----

#[tokio::test]
async fn a_state_in_use_is_not_opened_twice() {
    let in_sled = InSled::new();
    let root = in_sled.root.path();
    assert_eq!(
        failed(root),
        "local state in ROOT is in use by another process (start 1 commit 1 pid PID): only one can work on it. \
         End the other one, or set another LOCAL_DATA__ROOTDIR"
    );
    in_sled.state.close().await.unwrap();
    assert_eq!(SledState::open(root).unwrap().start_number(), 2);
}

#[test]
fn a_root_that_cannot_be_written_to_is_said() {
    let root = TempDir::new().unwrap();
    let file = root.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let error = SledState::open(&file).err().unwrap();
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error}");
    assert!(error.to_string().contains("LOCAL_DATA__ROOTDIR"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let root = TempDir::new().unwrap();
    let directory = root.path().join("state");
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("letters.txt"), "precious").unwrap();
    assert_eq!(
        failed(root.path()),
        "ROOT/state is not local state of this program: it holds `letters.txt`. Move it away, or set another \
         LOCAL_DATA__ROOTDIR"
    );
    assert_eq!(std::fs::read(directory.join("letters.txt")).unwrap(), b"precious");
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);

    std::fs::remove_dir_all(&directory).unwrap();
    std::fs::write(&directory, "precious").unwrap();
    assert!(failed(root.path()).contains("it is not a directory"));

    std::fs::remove_file(&directory).unwrap();
    std::fs::create_dir(&directory).unwrap();
    assert_eq!(
        failed(root.path()),
        "opened",
        "an empty directory holds nothing to lose"
    );
}

// ---- never silently anew ----

fn with_database(root: &Path, act: impl FnOnce(&sled::Db)) {
    let database = loop {
        // The database may take a moment to be let go of.
        match sled::open(root.join("state")) {
            Ok(database) => break database,
            Err(_) => std::thread::yield_now(),
        }
    };
    act(&database);
    database.flush().unwrap();
}

#[tokio::test]
async fn a_newer_or_missing_version_is_said() {
    let root = TempDir::new().unwrap();
    fill(root.path(), 3).await;
    with_database(root.path(), |rows| drop(rows.insert("meta/schema", "2").unwrap()));
    assert_eq!(
        failed(root.path()),
        "local state in ROOT/state has layout 2, written by a newer version of this program; this one knows \
         layout 1. Run the newer version"
    );
    with_database(root.path(), |rows| drop(rows.remove("meta/schema").unwrap()));
    assert_eq!(
        failed(root.path()),
        "local state in ROOT/state is damaged: it has rows, but its version is gone. What to do: restore the \
         directory `state` from a copy, or move it away to begin anew: received events in `journal` are then adopted, \
         but streams that were waiting, and the lists of failed and missing streams, are forgotten"
    );
    with_database(root.path(), |rows| rows.clear().unwrap());
    assert!(failed(root.path()).contains("the database is empty, without even its version"));
    with_database(root.path(), |rows| {
        rows.insert("meta/schema", "1").unwrap();
        rows.insert("meta/commits", "99").unwrap();
        rows.insert("queue/12345678", "{}").unwrap();
    });
    let error = failed(root.path());
    assert!(
        error.contains("the row `queue/12345678` cannot be read"),
        "{error}"
    );
}

/// Rows as they were written before the times of feeds were noted.
#[tokio::test]
async fn a_state_without_the_times_of_feeds_is_opened_and_has_them_from_then_on() {
    const BATCH: &str = r#"{"file":{"feed":"samples/binary/sourced","seq":7,"received":3},"bytes":1000,"contents":
        {"version":{"known":"v6"},"events":10,"invalid":1,"bulk":{"start":100,"end":900},
        "blocks":{"start":101,"end":899},"last":{"timestamp":9,"kafka_key":"key"}},"streams_named":true,"taken":0}"#;
    const CLOSED: &str = r#"{"few":{"marks":0,"batches":1,"seals":0,"uploads":0},"names":0,
        "streams":{"pending":0,"missing":0,"failed":0,"suspect_pulls":0}}"#;
    let root = TempDir::new().unwrap();
    fill(root.path(), 0).await;
    with_database(root.path(), |rows| {
        let key = [&b"batch/samples/binary/sourced/"[..], &7_u64.to_be_bytes()].concat();
        rows.insert(key, BATCH).unwrap();
        rows.insert("meta/closed", CLOSED).unwrap();
    });
    let state = SledState::open(root.path()).unwrap();
    assert_eq!(state.feed_times(), Ok(vec![]));
    let [row] = &state.batches().unwrap()[..] else {
        panic!("{:?}", state.batches());
    };
    let journaled = Change::BatchJournaled(row.clone(), at(12));
    state.record(journaled).await.unwrap();
    state.close().await.unwrap();
    let state = SledState::open(root.path()).unwrap();
    let times = FeedTimes {
        event: Some(at(12)),
        ..FeedTimes::unknown(row.file.feed.clone())
    };
    assert_eq!(state.feed_times(), Ok(vec![times.clone()]));
    // Times as they were noted before those of pulls were.
    state.close().await.unwrap();
    with_database(root.path(), |rows| {
        let old = r#"{"feed":"samples/binary/sourced","event":12,"bundle":null}"#;
        rows.insert("times/samples/binary/sourced", old).unwrap();
    });
    let state = SledState::open(root.path()).unwrap();
    assert_eq!(state.feed_times(), Ok(vec![times]));
    // The former version counts no times, and finds its own way through them.
    state.close().await.unwrap();
    with_database(root.path(), |rows| {
        let closed = rows.get("meta/closed").unwrap().unwrap();
        let closed: serde_json::Value = serde_json::from_slice(&closed).unwrap();
        assert_eq!(closed, serde_json::from_str::<serde_json::Value>(CLOSED).unwrap());
    });
}

#[tokio::test]
async fn a_database_that_went_back_in_time_is_not_taken_for_the_present() {
    let root = TempDir::new().unwrap();
    fill(root.path(), 3).await;
    with_database(root.path(), |rows| {
        drop(rows.insert("meta/commits", "1").unwrap())
    });
    let error = failed(root.path());
    assert!(
        error.contains("damaged: it ends with commit 1, but commit 3 was on disk"),
        "{error}"
    );
    with_database(root.path(), |rows| {
        rows.insert("meta/commits", "3").unwrap();
        rows.remove([&b"queue/"[..], &(1_u64 << 40).to_be_bytes()].concat())
            .unwrap();
    });
    let error = failed(root.path());
    assert!(
        error.contains("rows are gone since it was closed; pending streams: 2 of 3"),
        "{error}"
    );
    // Moved away, it is begun anew.
    std::fs::rename(root.path().join("state"), root.path().join("state.bad")).unwrap();
    let state = SledState::open(root.path()).unwrap();
    assert_eq!((state.start_number(), state.counts().pending), (1, 0));
}

#[tokio::test]
async fn a_database_without_its_file_or_with_garbage_in_it_is_damaged() {
    for damage in ["removed", "emptied", "halved", "garbage", "directory"] {
        let root = TempDir::new().unwrap();
        fill(root.path(), 300).await;
        let file = root.path().join("state/db");
        let content = std::fs::read(&file).unwrap();
        match damage {
            "removed" => std::fs::remove_file(&file).unwrap(),
            "emptied" => std::fs::write(&file, "").unwrap(),
            "halved" => std::fs::write(&file, &content[..content.len() / 2]).unwrap(),
            "garbage" => std::fs::write(&file, vec![0xa5; content.len()]).unwrap(),
            _ => {
                std::fs::remove_file(&file).unwrap();
                std::fs::create_dir(&file).unwrap();
            }
        }
        let error = failed(root.path());
        assert!(
            error.starts_with("local state ") && error.contains(" ROOT/state"),
            "{damage}: {error}"
        );
    }
}

/// sled takes what it cannot read for the end of its log: we do not.
#[tokio::test]
async fn whatever_part_of_the_database_is_damaged_nothing_is_lost_without_a_word() {
    const STREAMS: u64 = 2000;
    const PLACES: usize = 12;
    let root = TempDir::new().unwrap();
    fill(root.path(), STREAMS).await;
    let content = std::fs::read(root.path().join("state/db")).unwrap();
    let mut errors = 0;
    for place in 0..PLACES {
        let at = content.len() / PLACES * place;
        let mut flipped = content.clone();
        flipped[at..at + 64].iter_mut().for_each(|byte| *byte ^= 0x55);
        for damaged in [&flipped[..], &content[..at]] {
            let copy = TempDir::new().unwrap();
            let entries = [root.path().join("state"), root.path().join("state.lock")];
            let copied = Command::new("cp")
                .arg("-r")
                .args(entries)
                .arg(copy.path())
                .status();
            assert!(copied.unwrap().success());
            std::fs::write(copy.path().join("state/db"), damaged).unwrap();
            match SledState::open(copy.path()) {
                Ok(state) => assert_eq!(state.counts().pending, STREAMS, "{at} of {}", content.len()),
                Err(_) => errors += 1,
            }
        }
    }
    assert!(
        errors >= PLACES,
        "cutting off is always found out; {errors} errors"
    );
}

#[tokio::test]
async fn a_start_that_was_killed_while_sled_wrote_a_snapshot_is_no_damage() {
    let root = TempDir::new().unwrap();
    fill(root.path(), 300).await;
    let unfinished = root.path().join("state/snap.00000000FFFFFFFF.generating");
    std::fs::write(&unfinished, "half").unwrap();
    assert_eq!(SledState::open(root.path()).unwrap().counts().pending, 300);
}

// ---- kill -9 ----

/// Set for a child process: the root in which it records until it is killed.
const CHILD: &str = "AZUL_BACKUP_TEST_RECORDS_IN";

/// Not a test of its own: what the child process of the next one does.
#[tokio::test]
async fn child_process_that_records_until_it_is_killed() {
    let Some(root) = std::env::var_os(CHILD) else {
        return;
    };
    let state = SledState::open(root.as_ref()).unwrap();
    let start = state.start_number();
    let recorders = (0..4).map(|task| {
        let state = &state;
        async move {
            for number in (task..u64::MAX).step_by(4) {
                let number = start * 1_000_000 + number;
                let feed = format!("s{number}/binary/mapped").parse().unwrap();
                let mark = PullMark {
                    feed,
                    since: at(1),
                    until: at(2),
                };
                state.name_streams(vec![stream(number)], at(1)).await.unwrap();
                state.record(Change::PullMarked(mark)).await.unwrap();
                if number.is_multiple_of(5) {
                    state.record(Change::StreamStored(stream(number))).await.unwrap();
                }
                println!("ack {number}");
            }
        }
    });
    futures_util::future::join_all(recorders).await;
}

fn start_child(root: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "child_process_that_records_until_it_is_killed",
            "--nocapture",
        ])
        .env(CHILD, root)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let root = TempDir::new().unwrap();
    let mut acknowledged = Vec::new();
    for round in 1..=6_usize {
        let mut child = start_child(root.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let enough = 1 + round * round * 40;
        let number = |line: String| {
            line.rsplit_once("ack ")
                .and_then(|(_, number)| number.parse::<u64>().ok())
        };
        let mut seen: Vec<u64> = lines
            .by_ref()
            .map_while(Result::ok)
            .filter_map(number)
            .take(enough)
            .collect();
        child.kill().unwrap();
        child.wait().unwrap();
        seen.extend(lines.map_while(Result::ok).filter_map(number));
        assert!(seen.len() >= enough);
        acknowledged.extend(seen);
    }
    let state = SledState::open(root.path()).unwrap();
    assert_eq!(state.start_number(), 7);
    let pending: std::collections::HashSet<StreamId> = state
        .pending_from(0, usize::MAX)
        .unwrap()
        .into_iter()
        .map(|row| row.stream)
        .collect();
    let marks: std::collections::HashSet<String> = state
        .marks()
        .unwrap()
        .into_iter()
        .map(|mark| mark.feed.to_string())
        .collect();
    for number in acknowledged {
        assert!(
            marks.contains(&format!("s{number}/binary/mapped")),
            "the mark of {number} is lost"
        );
        assert_eq!(
            pending.contains(&stream(number)),
            !number.is_multiple_of(5),
            "the stream {number}"
        );
    }
    assert_eq!(state.counts().pending, pending.len() as u64);
}
