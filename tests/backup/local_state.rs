//! Local state, or a part of it, that cannot be used: said with what to do, and never begun anew without a word.

use std::fs;
use std::path::{Path, PathBuf};

use sandbox::generator::{Shape, World};
use sandbox::s3::{Failure, Operation};
use sandbox::small_disk::{enter, make_read_only};

use crate::scene::{Program, Scene, event, feed, wait_for};

const BACKING_UP: &str = "backing up 7 feeds";

/// A program that has been started and stopped once, and has left events that it could not write.
fn with_leftovers(scene: &Scene) -> PathBuf {
    let world = World::new(Shape::new(4, 1, 0).with_events([0, 0, 0, 0, 40])).unwrap();
    scene.dispatcher.fill(&world, true);
    scene
        .s3
        .knobs()
        .fail_next(Operation::PutObject, usize::MAX, Failure::Status(503));
    let mut program = scene.start();
    wait_for("events are journaled", &mut program, || {
        scene.logs()[0].contains("its events are safe in local state")
    });
    let (code, log) = program.stop();
    assert_eq!(code, Some(0), "{log}");
    scene.s3.knobs().reset();
    scene.folder.path().join("local/backup")
}

/// Starts it, which must end by itself with 1 and touch nothing; twice, for the second start must not find anything
/// begun anew by the first.
fn is_refused(scene: &Scene, database: &Path, text: &str) {
    let before = fs::read(database).ok();
    for _ in 0..2 {
        let mut program = scene.start();
        assert_eq!(program.wait().code(), Some(1), "{}", program.log());
        let log = program.log();
        assert!(
            log.contains("the backup could not be started: local state"),
            "{log}"
        );
        assert!(log.contains(text), "{log}");
        assert!(!log.contains(BACKING_UP), "{log}");
        assert!(fs::read(database).ok() == before, "left as it was");
    }
    assert!(scene.bundles().is_empty(), "nothing was done");
}

fn scene() -> Scene {
    Scene::new(&["samples"])
        .set("BK__EVENT_BATCH_SIZE", 20)
        .set("BK__RETRY_COUNT", 1)
}

fn goes_on(scene: &Scene) -> String {
    let mut program = scene.start();
    wait_for("what was left is in the bucket", &mut program, || {
        scene.events_in_bundles() == 40
    });
    let (code, log) = program.stop();
    assert_eq!(code, Some(0), "{log}");
    log
}

#[test]
fn state_that_another_process_has_is_refused_and_that_process_goes_on() {
    let scene = scene();
    let root = with_leftovers(&scene);
    scene.s3.knobs().set_hang(false);
    let mut first = scene.start();
    wait_for("it runs", &mut first, || {
        scene.logs().iter().filter(|log| log.contains(BACKING_UP)).count() == 2
    });
    let mut second = scene.start();
    assert_eq!(second.wait().code(), Some(1), "{}", second.log());
    let log = second.log();
    let said = format!("local state in {} is in use by another process", root.display());
    assert!(log.contains(&said) && log.contains("End the other one"), "{log}");
    wait_for("the first one goes on", &mut first, || {
        scene.events_in_bundles() == 40
    });
    assert_eq!(first.stop().0, Some(0));
}

#[test]
fn a_database_that_is_damaged_is_refused_until_it_is_moved_away() {
    let scene = scene();
    let root = with_leftovers(&scene);
    let database = root.join("state/db");
    let whole = fs::read(&database).unwrap();
    fs::write(&database, vec![0xa5; whole.len()]).unwrap();
    is_refused(&scene, &database, &root.join("state").display().to_string());
    fs::remove_file(&database).unwrap();
    is_refused(
        &scene,
        &database,
        "the file `db` is gone from it. What to do: restore",
    );
    // What the text says: received events are adopted.
    fs::rename(root.join("state"), root.join("state.bad")).unwrap();
    let log = goes_on(&scene);
    assert!(
        log.contains("beginning anew") && log.contains("it is adopted"),
        "{log}"
    );
}

#[test]
fn state_of_a_newer_version_is_refused_and_the_newer_version_goes_on() {
    let scene = scene();
    let root = with_leftovers(&scene);
    let set_layout = |layout: &str| {
        let database = sled::open(root.join("state")).unwrap();
        database.insert("meta/schema", layout).unwrap();
        database.flush().unwrap();
    };
    set_layout("2");
    is_refused(
        &scene,
        &root.join("none"),
        "has layout 2, written by a newer version of this program; this one knows layout 1. Run the newer version",
    );
    set_layout("1");
    goes_on(&scene);
}

#[test]
fn state_that_cannot_be_written_is_refused() {
    let Some(disk) = enter("local_state::state_that_cannot_be_written_is_refused", "96m").unwrap() else {
        return;
    };
    let scene = scene().set("BK__LOCAL_DATA__ROOTDIR", disk.display());
    with_leftovers(&scene);
    make_read_only(&disk).unwrap();
    let text = "It needs a directory that this user can write to (LOCAL_DATA__ROOTDIR)";
    is_refused(&scene, &disk.join("backup/state/db"), text);
}

// ---- one file of the journal ----

/// The journaled files of a feed.
fn journaled(root: &Path, feed: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root.join("journal").join(feed)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn says(program: &Program, text: &str) -> bool {
    program.log().contains(text)
}

#[test]
fn a_damaged_file_of_the_journal_is_put_aside_and_everything_else_goes_on() {
    let scene = scene();
    let root = with_leftovers(&scene);
    let enriched = "samples/binary/enriched";
    let files = journaled(&root, enriched);
    let damaged = fs::read(&files[0]).unwrap();
    let events = scene.dispatcher.shared().broker().places(&feed(enriched)).len() as u64;
    assert_eq!(events, 40);
    fs::write(&files[0], &damaged[..damaged.len() / 2]).unwrap();
    let mut program = scene.start();
    wait_for("it is told", &mut program, || {
        program_says(&scene, "cannot be read")
    });
    wait_for("the other batch is in the bucket", &mut program, || {
        scene.events_in_bundles() == 20
    });
    // The feed goes on, and so do the others.
    for (action, key) in [("enriched", "a"), ("sourced", "b")] {
        let event = event("samples", action, key, "2025-07-30T06:02:59Z", &[]);
        scene
            .dispatcher
            .append(&feed(&format!("samples/binary/{action}")), [event]);
    }
    wait_for("new events are in the bucket", &mut program, || {
        scene.events_in_bundles() == 22
    });
    assert!(says(&program, "check the volume, keep the file, and report it"));
    let (code, log) = program.stop();
    assert_eq!(code, Some(0), "{log}");
    let aside = root
        .join("aside")
        .join(enriched)
        .join(files[0].file_name().unwrap());
    assert_eq!(fs::read(aside).unwrap(), damaged[..damaged.len() / 2]);
    assert!(log.contains("1 suspect pulls"), "{log}");
    assert!(log.contains(" put aside; remembered"), "{log}");
}

fn program_says(scene: &Scene, text: &str) -> bool {
    scene.logs().iter().any(|log| log.contains(text))
}
