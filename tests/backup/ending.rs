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
