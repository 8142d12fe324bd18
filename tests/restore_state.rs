//! Local state of a restore in sled keeps the promises of the port, and its own: locks, damage, size, and the files
//! beside it.

use std::path::{Path, PathBuf};

use actors::feed::Feed;
use actors::ports::archive::Store;
use actors::ports::restore_state::{
    BundleDone, DeadLetter, EventFigures, LaneMark, RestoreChange, RestoreId, RestoreState,
};
use actors::testkit::conformance::restore_state::{self as promises, Reopen};
use actors::timestamp::Timestamp;
use azul_backup::adapters::restore_state::SledRestoreState;
use azul_backup::adapters::state::SledState;
use bytes::Bytes;
use tempfile::TempDir;

struct InSled {
    root: TempDir,
    state: SledRestoreState,
}

impl InSled {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let state = SledRestoreState::open(root.path()).unwrap();
        Self { root, state }
    }
}

impl Reopen for InSled {
    type State = SledRestoreState;

    fn state(&self) -> &SledRestoreState {
        &self.state
    }

    fn reopen(self) -> Self {
        drop(self.state);
        let state = SledRestoreState::open(self.root.path()).unwrap();
        Self { state, ..self }
    }
}

#[tokio::test]
async fn sled_keeps_the_promises_of_the_state_of_a_restore() {
    promises::all(InSled::new).await;
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn id() -> RestoreId {
    RestoreId {
        bucket: "bucket".to_owned(),
        target: "target".to_owned(),
        selection: "all".to_owned(),
    }
}

fn failed(root: &Path) -> String {
    match SledRestoreState::open(root) {
        Ok(_) => "opened".to_owned(),
        Err(error) => error
            .to_string()
            .replace(&root.display().to_string(), "ROOT")
            .replace(&std::process::id().to_string(), "PID"),
    }
}

/// A restore that has begun, with some checkpoints; closed.
async fn fill(root: &Path) {
    let state = SledRestoreState::open(root).unwrap();
    state.begin(&id(), false, at(1)).await.unwrap();
    for lane in 0..300 {
        let reached = RestoreChange::LaneReached(format!("samples/{lane}"), LaneMark::default());
        state.record(reached).await.unwrap();
    }
    state.close().await.unwrap();
}

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
async fn the_states_of_a_backup_and_of_a_restore_are_open_side_by_side() {
    let root = TempDir::new().unwrap();
    let backup = SledState::open(&root.path().join("backup")).unwrap();
    assert!(!SledRestoreState::is_there(&root.path().join("restore")).unwrap());
    let restore = SledRestoreState::open(&root.path().join("restore")).unwrap();
    assert!(SledRestoreState::is_there(&root.path().join("restore")).unwrap());
    assert_eq!(
        failed(&root.path().join("restore")),
        "local state in ROOT is in use by another process (start 1 commit 1 pid PID): only one can work on it. \
         End the other one, or set another LOCAL_DATA__ROOTDIR"
    );
    restore.close().await.unwrap();
    backup.close().await.unwrap();
}

#[tokio::test]
async fn a_newer_or_damaged_state_is_said_and_left_alone() {
    let root = TempDir::new().unwrap();
    fill(root.path()).await;
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
         directory `state` from a copy, or move it away, and `dead-letters` with it, to begin anew: the next restore \
         then starts from the beginning, which repeats work and loses nothing, but the list of dead letters is \
         forgotten"
    );
    with_database(root.path(), |rows| {
        rows.insert("meta/schema", "1").unwrap();
        rows.insert("meta/commits", "1").unwrap();
    });
    let error = failed(root.path());
    assert!(error.contains("it ends with commit 1, but commit 3"), "{error}");
    with_database(root.path(), |rows| {
        rows.insert("meta/commits", "999").unwrap();
        let lane = rows.scan_prefix("lane/").keys().next().unwrap().unwrap();
        rows.remove(lane).unwrap();
    });
    let error = failed(root.path());
    assert!(
        error.contains("rows are gone since it was closed; lanes: 299 of 300"),
        "{error}"
    );
    std::fs::remove_file(root.path().join("state/db")).unwrap();
    let error = failed(root.path());
    assert!(error.contains("the file `db` is gone from it"), "{error}");
    std::fs::rename(root.path().join("state"), root.path().join("state.bad")).unwrap();
    let state = SledRestoreState::open(root.path()).unwrap();
    assert_eq!(state.unfinished(&id()).unwrap(), None);
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
    let file = root.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(failed(&file).contains("cannot be kept in"), "{}", failed(&file));
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
}

// ---- files beside it ----

fn letter(event: u64) -> DeadLetter {
    DeadLetter {
        store: Store::Events,
        key: "../../samples/binary/mapped/bundle".to_owned(),
        event: Some(event),
        route: None,
        kafka_key: Some("key".to_owned()),
        reason: "refused".to_owned(),
        attempts: 1,
        since: at(1),
        event_bytes: 0,
    }
}

fn files(root: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(root.join("dead-letters")).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn the_events_of_letters_are_files_whose_names_come_from_nobody() {
    let in_sled = InSled::new();
    let (state, root) = (&in_sled.state, in_sled.root.path());
    for event in 0..3 {
        let bytes = Bytes::from(vec![event as u8; 100]);
        state
            .record(RestoreChange::GivenUp(letter(event), Some(bytes)))
            .await
            .unwrap();
    }
    for file in files(root) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let stem = name.strip_suffix(".event").unwrap();
        assert!(
            stem.len() == 64 && stem.bytes().all(|digit| digit.is_ascii_hexdigit()),
            "{name}"
        );
    }
    assert_eq!(files(root).len(), 3);
    state
        .record(RestoreChange::LetterSettled(letter(1)))
        .await
        .unwrap();
    // Files go before the next change is made.
    state
        .record(RestoreChange::LetterSettled(letter(9)))
        .await
        .unwrap();
    assert_eq!(files(root).len(), 2);
    // What a crash leaves, and what is not ours.
    let directory = root.join("dead-letters");
    let name = "0".repeat(64);
    for name in [
        format!("{name}.event"),
        format!("{name}.tmp"),
        "notes.txt".to_owned(),
    ] {
        std::fs::write(directory.join(name), "something").unwrap();
    }
    let in_sled = in_sled.reopen();
    let left = files(in_sled.root.path());
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(left.contains(&directory.join("notes.txt")));
    for event in [0, 2] {
        let kept = in_sled.state.letter_event(&letter(event)).await.unwrap();
        assert_eq!(kept.unwrap(), vec![event as u8; 100]);
    }
}

#[tokio::test]
async fn an_event_that_is_gone_or_damaged_is_said() {
    let in_sled = InSled::new();
    let (state, root) = (&in_sled.state, in_sled.root.path());
    let event = Some(Bytes::from_static(b"event"));
    state
        .record(RestoreChange::GivenUp(letter(1), event))
        .await
        .unwrap();
    let file = files(root).remove(0);
    let mut content = std::fs::read(&file).unwrap();
    *content.last_mut().unwrap() ^= 1;
    std::fs::write(&file, &content).unwrap();
    let fault = state.letter_event(&letter(1)).await.unwrap_err().to_string();
    assert!(fault.contains("the file is damaged"), "{fault}");
    std::fs::write(&file, "short").unwrap();
    let fault = state.letter_event(&letter(1)).await.unwrap_err().to_string();
    assert!(fault.contains("the file is damaged"), "{fault}");
    std::fs::remove_file(&file).unwrap();
    let fault = state.letter_event(&letter(1)).await.unwrap_err().to_string();
    assert!(fault.contains(&file.display().to_string()), "{fault}");
}

// ---- size ----

fn size_of(directory: &Path) -> u64 {
    let sizes = std::fs::read_dir(directory).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            size_of(&entry.path())
        } else {
            metadata.len()
        }
    });
    sizes.sum()
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn bundle(feed: &Feed, number: u64) -> BundleDone {
    let timestamp = at(number as i64 * 60_000_000);
    BundleDone {
        feed: feed.clone(),
        timestamp,
        key: format!("{feed}/{timestamp}-1000-{number:064x}.avro.gz"),
        size: 200_000 + number,
        figures: EventFigures {
            bundles: 1,
            events: 1000,
            accepted: 990,
            filtered: 10,
            bytes: 200_000 + number,
            ..EventFigures::default()
        },
    }
}

/// The longer form: `AZUL_BACKUP_TEST_BUNDLES=1000000 cargo test --test restore_state done_bundles -- --nocapture`.
#[tokio::test]
async fn done_bundles_take_little_on_the_disk_and_nothing_in_memory() {
    let count = std::env::var("AZUL_BACKUP_TEST_BUNDLES").map_or(100_000_u64, |count| count.parse().unwrap());
    let feeds: Vec<Feed> = (0..100)
        .map(|number| format!("source{number}/binary/mapped").parse().unwrap())
        .collect();
    let per_feed = count / feeds.len() as u64;
    let (in_sled, before) = (InSled::new(), resident_kib());
    let (state, mut most) = (&in_sled.state, 0);
    state.begin(&id(), false, at(1)).await.unwrap();
    for number in 0..per_feed {
        let done = feeds
            .iter()
            .map(|feed| state.record(RestoreChange::BundleDone(bundle(feed, number))));
        let done = futures_util::future::join_all(done).await;
        assert!(done.iter().all(Result::is_ok));
        if number % 100 == 0 {
            most = most.max(size_of(in_sled.root.path()));
        }
    }
    most = most.max(size_of(in_sled.root.path()));
    let grown = resident_kib().saturating_sub(before) / 1024;
    println!(
        "{count} bundles: {} MiB on disk at most, {grown} MiB of memory more",
        most >> 20
    );
    let in_sled = in_sled.reopen();
    let state = &in_sled.state;
    state.begin(&id(), false, at(2)).await.unwrap();
    println!("reopened: {} MiB on disk", size_of(in_sled.root.path()) >> 20);
    for (feed, number) in feeds
        .iter()
        .zip([0, 1, per_feed / 2, per_feed - 1].into_iter().cycle())
    {
        assert_eq!(state.feed_figures(feed).unwrap().bundles, per_feed);
        let bundle = bundle(feed, number);
        let found = state
            .done(feed, bundle.timestamp, &bundle.key, bundle.size)
            .unwrap();
        assert_eq!(found, Some(bundle.figures));
    }
    assert!(most < (16 << 20) + count * 320, "{} MiB on disk", most >> 20);
    assert!(grown < 64, "{grown} MiB of memory more");
    state.record(RestoreChange::Finished).await.unwrap();
    assert_eq!(state.unfinished(&id()).unwrap(), None);
}
