//! How it ends, and what it says when it cannot begin.

use sandbox::generator::{Shape, World};

use crate::scene::{Scene, wait_for};

#[test]
fn the_stages_of_a_stop_come_in_their_order() {
    let world = World::new(Shape::new(7, 1, 100)).unwrap();
    let scene = Scene::new(&["samples"]);
    scene.dispatcher.fill(&world, true);
    let mut program = scene.start();
    wait_for("something is stored", &mut program, || {
        !scene.streams().is_empty()
    });
    let (code, log) = program.stop();
    assert_eq!(code, Some(0), "{log}");
    let stages: Vec<&str> = log
        .lines()
        .filter_map(|line| {
            line.split_once("shutdown: stage ")
                .and_then(|(_, rest)| rest.split_once(" begins"))
        })
        .map(|(stage, _)| stage)
        .collect();
    assert_eq!(stages, ["events", "hit cache", "streams", "local state"]);
    assert!(log.contains("final statistics"), "{log}");
}

#[test]
fn a_second_process_on_the_same_state_is_refused_with_a_reason() {
    let scene = Scene::new(&["samples"]);
    let mut first = scene.start();
    wait_for("it runs", &mut first, || {
        scene.logs().iter().any(|log| log.contains("backing up"))
    });
    let mut second = scene.start();
    assert_eq!(second.wait().code(), Some(1), "{}", second.log());
    assert!(second.log().contains("another process"), "{}", second.log());
    assert_eq!(first.stop().0, Some(0));
}

#[test]
fn no_secret_is_ever_logged() {
    let world = World::new(Shape::new(8, 1, 50)).unwrap();
    let scene = Scene::new(&["samples"])
        .set("RUST_LOG", "trace")
        .set("BK__RETRY_COUNT", 1);
    scene.dispatcher.fill(&world, true);
    let mut program = scene.start();
    wait_for("something is stored", &mut program, || {
        !scene.streams().is_empty()
    });
    let (_, log) = program.stop();
    assert!(
        !log.contains(&scene.s3.config().secret_key),
        "the secret key is in the log"
    );
}

#[test]
fn a_bucket_that_is_away_at_the_start_is_told_and_ends_with_1() {
    let mut scene = Scene::new(&["samples"]).set("BK__RETRY_COUNT", 2);
    scene.s3.stop();
    let mut program = scene.start();
    assert_eq!(program.wait().code(), Some(1));
    let log = program.log();
    assert!(
        log.contains("the backup could not be started") && log.contains("attempts"),
        "{log}"
    );
}

#[test]
fn a_signal_before_it_has_begun_ends_in_good_order() {
    let mut scene = Scene::new(&["samples"])
        .set("BK__RETRY_COUNT", 100)
        .set("BK__RETRY_AVERAGE_DELAY_MS", 1000);
    scene.s3.stop();
    let mut program = scene.start();
    wait_for("it waits for the bucket", &mut program, || {
        scene
            .logs()
            .iter()
            .any(|log| log.contains("prepare") || log.contains("attempt 2"))
    });
    let (code, log) = program.stop();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_second_signal_ends_at_once_and_leaves_a_mark() {
    let scene = Scene::new(&["samples"]).set("BK__EVENT_PULL_DEADLINE", "15s");
    let consumer = "backup-events-samples-sourced-1";
    let mut program = scene.start();
    // 1 s, 2 s, 4 s, then one that stays open for 8 s: longer than a second signal may take.
    wait_for("a long pull is open", &mut program, || scene.pulls(consumer) == 4);
    program.signal("-TERM");
    wait_for("the first signal", &mut program, || {
        scene.logs().iter().any(|log| log.contains("stage events begins"))
    });
    program.signal("-TERM");
    assert_eq!(program.wait().code(), Some(0), "{}", program.log());
    assert!(
        program.log().contains("a second signal: ending now"),
        "{}",
        program.log()
    );
    assert!(!program.log().contains("stage events ended"), "{}", program.log());
    let mut program = scene.start();
    wait_for("the mark is found", &mut program, || {
        scene
            .logs()
            .iter()
            .any(|log| log.contains("it was in flight when the program ended"))
    });
    assert_eq!(program.stop().0, Some(0));
}

#[test]
fn local_state_of_another_backup_is_refused() {
    let scene = Scene::new(&["samples"]);
    let mut program = scene.start();
    wait_for("it runs", &mut program, || {
        scene.logs().iter().any(|log| log.contains("backing up"))
    });
    assert_eq!(program.stop().0, Some(0));
    let scene = scene.set("BK__BACKUP_ID", 2);
    let mut program = scene.start();
    assert_eq!(program.wait().code(), Some(1));
    let log = program.log();
    assert!(
        log.contains("azul-backup-1-events") && log.contains("BK__LOCAL_DATA__ROOTDIR of its own"),
        "{log}"
    );
}

#[test]
fn machines_read_one_json_object_a_line() {
    let scene = Scene::new(&["samples"]).set("BED__LOG_PRETTY", "false");
    let mut program = scene.start();
    wait_for("it runs", &mut program, || {
        scene.logs().iter().any(|log| log.contains("backing up"))
    });
    let (_, log) = program.stop();
    let statistics = log.lines().filter(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["message"] == "final statistics" && line["events_ok"] == 0
    });
    assert_eq!(statistics.count(), 2, "{log}");
}
