//! *Backup* 4 to 6, and `azul-backup failed-streams`.

use std::path::PathBuf;

use actors::ports::state::{Change, LocalState};
use actors::stream_id::StreamId;
use actors::timestamp::Timestamp;
use azul_backup::adapters::state::SledState;
use sandbox::dispatcher::Body;

use crate::command::{objects, printed};
use crate::scene::{Program, Scene, binary, event, feed, wait_for};

const WHEN: &str = "2025-07-30T06:02:59Z";

fn stream(sha256: &str) -> StreamId {
    StreamId::new("samples", "content", sha256).unwrap()
}

/// An event that names these streams.
fn name(scene: &Scene, key: &str, streams: &[String]) {
    let streams: Vec<_> = streams.iter().map(|sha256| ("content", sha256.clone())).collect();
    scene.dispatcher.append(
        &feed("samples/binary/sourced"),
        [event("samples", "sourced", key, WHEN, &streams)],
    );
}

/// Binaries of which the dispatcher has other bytes: they can never be stored.
fn wrong(scene: &Scene, count: usize) -> Vec<String> {
    let all: Vec<String> = (1..=count).map(|number| format!("{number:064x}")).collect();
    for sha256 in &all {
        scene
            .dispatcher
            .put_stream(&stream(sha256), Body::Given(b"other bytes".as_slice().into()));
    }
    all
}

fn local(scene: &Scene) -> PathBuf {
    scene.folder.path().join("local")
}

/// The rows of local state, as nobody works on it.
fn with_state<A>(scene: &Scene, read: impl AsyncFnOnce(&SledState) -> A) -> A {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(async {
        let state = SledState::open(&local(scene).join("backup")).unwrap();
        let done = read(&state).await;
        state.close().await.unwrap();
        done
    })
}

fn states(scene: &Scene) -> Vec<(String, String)> {
    let of = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap().to_owned();
    let mut rows: Vec<_> = objects(&local(scene), &["failed-streams", "--json"])
        .iter()
        .map(|row| (of(row, "state"), of(row, "sha256")))
        .collect();
    rows.sort();
    rows
}

fn times(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

/// Lets the program run until each of `streams` has failed.
fn one_start(scene: &Scene, streams: &[String]) -> String {
    let mut program = scene.start();
    wait_for("all have failed", &mut program, || {
        let log = program_log(scene);
        streams
            .iter()
            .all(|sha256| log.contains(&format!("{sha256} could not be stored")))
    });
    let (code, log) = program.stop();
    assert_eq!(code, Some(0), "{log}");
    log
}

/// The log of the start that began last.
fn program_log(scene: &Scene) -> String {
    let files = std::fs::read_dir(scene.folder.path()).unwrap();
    let logs = files
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("log-"));
    let newest = logs.max_by_key(|entry| {
        let created = entry.metadata().unwrap().created().unwrap();
        (created, entry.file_name())
    });
    newest.map_or_else(String::new, |entry| {
        std::fs::read_to_string(entry.path()).unwrap()
    })
}

#[test]
fn five_that_can_never_be_stored_are_set_aside_after_three_starts_and_hold_up_nothing() {
    let scene = Scene::new(&["samples"]);
    let good = binary(&scene, "samples", b"good");
    let bad = wrong(&scene, 5);
    let gone = "f".repeat(64);
    let all = [bad.clone(), vec![good.clone(), gone.clone()]].concat();
    name(&scene, "k", &all);
    for start in 1..=3 {
        let log = one_start(&scene, &bad);
        let aside = times(&log, "is set aside: it failed in 3 starts");
        assert_eq!(aside, if start == 3 { 5 } else { 0 }, "{log}");
        assert_eq!(
            times(
                &log,
                "azul-backup failed-streams lists what is set aside, and with --retry"
            ),
            aside
        );
        if start == 1 {
            let missing = format!("does not have stream samples/content/{gone}: it is remembered as missing");
            assert!(log.contains(&missing), "{log}");
            assert!(
                log.contains("azul-backup failed-streams lists what is missing"),
                "{log}"
            );
        }
    }
    assert_eq!(scene.streams(), [format!("samples/content/{good}")]);
    assert_eq!(scene.events_in_bundles(), 1);

    // Not tried again by itself.
    let downloads = scene.dispatcher.downloads(&stream(&bad[0]));
    let mut program = scene.start();
    wait_for("the feeds are read", &mut program, || {
        scene.pulls("backup-events-samples-sourced-1") > 3
    });
    name(&scene, "k2", &bad);
    wait_for("the next event is stored", &mut program, || {
        scene.events_in_bundles() == 2
    });
    assert_eq!(scene.dispatcher.downloads(&stream(&bad[0])), downloads);

    // Listed while it runs, and put back while it runs: it starts on them at once.
    let mut wanted: Vec<_> = bad
        .iter()
        .map(|sha256| ("failed".to_owned(), sha256.clone()))
        .collect();
    wanted.push(("missing".to_owned(), gone.clone()));
    assert_eq!(states(&scene), wanted);
    for sha256 in &bad[1..] {
        scene
            .dispatcher
            .put_stream(&stream(sha256), Body::Given(b"other bytes".as_slice().into()));
    }
    let table = printed(&local(&scene), &["failed-streams"], 0);
    assert_eq!(table.lines().count(), 1 + 6 + 4, "{table}");
    assert!(
        table.contains("5 failed, 1 missing: events name these streams"),
        "{table}"
    );
    let text = printed(&local(&scene), &["failed-streams", "--retry"], 0);
    assert_eq!(
        text,
        "6 streams were put back and are tried now: 5 that had failed, 1 that were missing.\n"
    );
    wait_for("they are tried", &mut program, || {
        bad.iter()
            .all(|sha256| scene.dispatcher.downloads(&stream(sha256)) > downloads)
    });
    wait_for("what is gone is missing again", &mut program, || {
        states(&scene) == [("missing".to_owned(), gone.clone())]
    });
    let (code, log) = program.stop();
    assert_eq!(code, Some(0), "{log}");

    // Its counts began anew: three starts again, of which one has been.
    let rows = with_state(&scene, async |state| state.pending_from(0, 99).unwrap());
    assert_eq!(rows.len(), 5);
    assert!(
        rows.iter().all(|row| row.failed_starts == 1 && row.put_back),
        "{rows:?}"
    );
}

#[test]
fn what_is_put_back_while_nothing_runs_is_stored_by_the_next_start() {
    let scene = Scene::new(&["samples", "other"]);
    let content = b"it was broken, and is whole again";
    let sha256 = actors::stream_id::Sha256::of(content).to_string();
    let (also, elsewhere) = ("1".repeat(64), "2".repeat(64));
    let other = StreamId::new("other", "content", &elsewhere).unwrap();
    with_state(&scene, async |state| {
        let now = Timestamp::now();
        let fault = "get stream: wrong hash".to_owned();
        let aside = [stream(&sha256), stream(&also), other.clone()];
        state.name_streams(aside.to_vec(), now).await.unwrap();
        for stream in aside {
            let failed = Change::StreamFailed(stream.clone(), fault.clone());
            state.record(failed).await.unwrap();
            state.record(Change::StreamSetAside(stream, now)).await.unwrap();
        }
    });
    let local = local(&scene);
    let of_other = objects(&local, &["failed-streams", "--json", "--source", "other"]);
    assert_eq!(of_other.len(), 1);
    assert_eq!(of_other[0]["stream"], format!("other/content/{elsewhere}"));
    assert_eq!(of_other[0]["tried"], 1);
    let both = [stream(&sha256).to_string(), stream(&also).to_string()];
    let text = printed(&local, &["failed-streams", "--retry", &both[0], &both[1]], 0);
    assert_eq!(
        text,
        "2 streams were put back and are tried when the backup runs again: 2 that had failed, 0 that were missing.\n"
    );
    let again = printed(&local, &["failed-streams", "--retry", "--json", &both[0]], 1);
    assert_eq!(
        again,
        "{\"put_back\":{\"failed\":0,\"missing\":0,\"neither\":1}}\n"
    );
    assert_eq!(states(&scene), [("failed".to_owned(), elsewhere.clone())]);

    binary(&scene, "samples", content);
    let mut program = scene.start();
    wait_for("it is stored", &mut program, || scene.streams().len() == 1);
    assert_eq!(program.stop().0, Some(0));
    assert_eq!(scene.stream(&format!("samples/content/{sha256}")), content);
    assert_eq!(scene.dispatcher.downloads(&other), 0);

    let text = printed(&local, &["failed-streams", "--retry", "--source", "other"], 0);
    assert!(text.starts_with("1 streams were put back"), "{text}");
}

#[test]
fn an_empty_list_says_so() {
    let scene = Scene::new(&["samples"]);
    with_state(&scene, async |_| ());
    let local = local(&scene);
    assert_eq!(
        printed(&local, &["failed-streams"], 0),
        "No stream is set aside, and none is missing.\n"
    );
    assert_eq!(printed(&local, &["failed-streams", "--json"], 0), "");
    assert_eq!(
        printed(&local, &["failed-streams", "--retry"], 0),
        "Nothing was put back: no stream is set aside, and none is missing.\n"
    );
}

#[test]
fn a_missing_stream_is_asked_for_once_more_after_a_day_and_not_earlier() {
    let scene = Scene::new(&["samples"]);
    let (old, young) = ("1".repeat(64), "2".repeat(64));
    let hours_ago = |hours: i64| Timestamp::from_micros(Timestamp::now().as_micros() - hours * 3_600_000_000);
    with_state(&scene, async |state| {
        for (sha256, hours) in [(&old, 25), (&young, 23)] {
            let missing = Change::StreamMissing(stream(sha256), hours_ago(hours));
            state.record(missing).await.unwrap();
        }
    });
    let pulls = || scene.pulls("backup-events-samples-sourced-1");
    for _ in 0..2 {
        let before = pulls();
        let mut program = scene.start();
        wait_for("the old one is asked for", &mut program, || {
            scene.dispatcher.downloads(&stream(&old)) == 1
        });
        wait_for("the feeds are read", &mut program, || pulls() > before);
        assert_eq!(program.stop().0, Some(0));
    }
    assert_eq!(scene.dispatcher.downloads(&stream(&old)), 1);
    assert_eq!(scene.dispatcher.downloads(&stream(&young)), 0);
    let tried = |row: &serde_json::Value| row["tried"].as_u64().unwrap();
    let rows = objects(&local(&scene), &["failed-streams", "--json"]);
    assert_eq!(rows.iter().map(tried).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn a_reader_that_goes_away_and_thousands_of_rows_are_nothing_to_stumble_over() {
    let scene = Scene::new(&["samples"]);
    with_state(&scene, async |state| {
        let missing = (0..3000).map(|number| {
            let stream = stream(&format!("{number:064x}"));
            state.record(Change::StreamMissing(stream, Timestamp::from_micros(1)))
        });
        futures_util::future::join_all(missing).await;
    });
    let mut program: Program = scene.start();
    wait_for("it is served", &mut program, || {
        local(&scene).join("backup/socket/backup.sock").exists()
    });
    let rows = objects(&local(&scene), &["failed-streams", "--json"]);
    assert_eq!(rows.len(), 3000);
    let shell = format!(
        "{} failed-streams --json | head -n 2; exit ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_azul-backup")
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &shell])
        .env("BK__LOCAL_DATA__ROOTDIR", local(&scene))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 2);
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(program.stop().0, Some(0));
}
