//! A disk that fills up under the running program: nothing that was received is dropped, and it goes on by itself.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandbox::generator::{Shape, World};
use sandbox::small_disk::{enter, fill_up};

use crate::scene::{Program, Scene, feed, wait_for};

const CONSUMER: &str = "backup-events-samples-enriched-1";

const ENRICHED: &str = "samples/binary/enriched";

/// What the volume has, and of it the reserve.
const DISK: &str = "96m";
const RESERVE: u64 = 16 << 20;

/// Large events that name no streams.
fn events(count: u64) -> Arc<World> {
    let mut shape = Shape::new(11, 1, 0).with_events([0, 0, 0, 0, count]);
    shape.info_bytes = 100_000;
    World::new(shape).unwrap()
}

fn scene(disk: &Path) -> Scene {
    Scene::new(&["samples"])
        .set("BK__LOCAL_DATA__ROOTDIR", disk.display())
        .set("BK__EVENT_PULL_DEADLINE", "8s")
        .set("BK__EVENT_BATCH_SIZE", 40)
}

const HELD_UP: &str = "there is no room for the answer that is coming in";

/// A program whose pull is open, on a disk with too little room for what comes into it then.
fn held_up(scene: &Scene, disk: &Path) -> (Program, std::path::PathBuf) {
    scene.dispatcher.adopt(&events(40), true);
    scene.dispatcher.shared().hold_answers(true);
    scene.dispatcher.release(&feed(ENRICHED), 40);
    let mut program = scene.start();
    wait_for("an answer is under way", &mut program, || {
        scene.dispatcher.shared().held_answers() == 1
    });
    let filler = fill_up(disk, 300_000).unwrap();
    scene.dispatcher.shared().hold_answers(false);
    let log = scene.logs();
    assert_eq!(log.len(), 1);
    wait_for("it waits for room", &mut program, || {
        scene.logs()[0].contains(HELD_UP)
    });
    (program, filler)
}

#[test]
fn an_answer_that_finds_no_room_waits_and_goes_on_without_a_restart() {
    let test = "full_disk::an_answer_that_finds_no_room_waits_and_goes_on_without_a_restart";
    let Some(disk) = enter(test, DISK).unwrap() else {
        return;
    };
    let scene = scene(&disk);
    let (mut program, filler) = held_up(&scene, &disk);
    let (begun, pulls) = (Instant::now(), scene.pulls(CONSUMER));
    while begun.elapsed() < Duration::from_secs(2) {
        assert_eq!(scene.pulls(CONSUMER), pulls, "no more is pulled meanwhile");
        assert_eq!(scene.events_in_bundles(), 0);
        std::thread::sleep(Duration::from_millis(100));
    }
    std::fs::remove_file(filler).unwrap();
    wait_for("all events are in the bucket", &mut program, || {
        scene.events_in_bundles() == 40
    });
    let (code, log) = program.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("there is room again"), "{log}");
    assert!(!log.contains("suspect pull of"), "{log}");
    let given = scene.dispatcher.given(CONSUMER);
    assert_eq!((given.handed_out.len(), given.lost_to_client.len()), (40, 0));
    assert!(!disk.join("backup/aside").exists());
    assert_eq!(disk.join("backup/reserve").metadata().unwrap().len(), RESERVE);
}

#[test]
fn a_disk_full_of_our_own_journal_empties_itself_when_the_bucket_works() {
    const EVENTS: u64 = 1000;
    let test = "full_disk::a_disk_full_of_our_own_journal_empties_itself_when_the_bucket_works";
    let Some(disk) = enter(test, DISK).unwrap() else {
        return;
    };
    let scene = scene(&disk);
    scene.dispatcher.adopt(&events(EVENTS), true);
    let mut program = scene.start();
    wait_for("it runs", &mut program, || scene.pulls(CONSUMER) > 0);
    scene.s3.knobs().set_hang(true);
    scene.dispatcher.release(&feed(ENRICHED), EVENTS);
    let short = format!("feed {ENRICHED}: waits for room on the disk");
    wait_for("the journal has filled the disk", &mut program, || {
        scene.logs()[0].contains(&short)
    });
    let handed_out = scene.dispatcher.given(CONSUMER).handed_out.len();
    assert!(
        (300..EVENTS as usize).contains(&handed_out),
        "{handed_out} events"
    );
    // What was left for local state goes to somebody else, and stays there: it may have to use its reserve.
    let filler = fill_up(&disk, 0).unwrap();
    scene.s3.knobs().set_hang(false);
    wait_for("all events are in the bucket", &mut program, || {
        scene.events_in_bundles() >= EVENTS
    });
    assert!(filler.exists());
    let (code, log) = program.stop();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(scene.events_in_bundles(), EVENTS);
    assert!(!log.contains("suspect pull of"), "{log}");
    assert!(!disk.join("backup/aside").exists());
    assert_eq!(disk.join("backup/reserve").metadata().unwrap().len(), RESERVE);
}

#[test]
fn no_pull_is_sent_while_the_disk_is_short_of_room() {
    let test = "full_disk::no_pull_is_sent_while_the_disk_is_short_of_room";
    let Some(disk) = enter(test, DISK).unwrap() else {
        return;
    };
    let scene = scene(&disk);
    scene.dispatcher.adopt(&events(40), true);
    scene.dispatcher.release(&feed(ENRICHED), 40);
    let filler = fill_up(&disk, 40 << 20).unwrap();
    let mut program = scene.start();
    wait_for("all feeds wait", &mut program, || {
        let log = scene.logs().concat();
        let waits = log
            .split("feed ")
            .filter_map(|text| text.split_once(": waits for room on the disk"));
        let feeds: BTreeSet<&str> = waits.map(|(feed, _)| feed).collect();
        feeds.len() == 7
    });
    assert_eq!(scene.dispatcher.shared().broker().answers().count(), 0);
    assert!(program.log().contains("make some, or enlarge the volume"));
    std::fs::remove_file(filler).unwrap();
    wait_for("it goes on", &mut program, || scene.events_in_bundles() == 40);
    let (code, log) = program.stop();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_stop_on_a_full_disk_ends_in_time_tells_what_is_missing_and_leaves_the_mark() {
    let test = "full_disk::a_stop_on_a_full_disk_ends_in_time_tells_what_is_missing_and_leaves_the_mark";
    let Some(disk) = enter(test, DISK).unwrap() else {
        return;
    };
    let scene = scene(&disk).set("BK__STAGE_EVENTS", "2s");
    let (program, filler) = held_up(&scene, &disk);
    let (code, log) = program.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(
        log.contains("stage events did not end within 2.0s") && log.contains(HELD_UP),
        "{log}"
    );
    std::fs::remove_file(filler).unwrap();
    let mut program = scene.start();
    wait_for("the mark is found", &mut program, || {
        program_says(&scene, "it was in flight when the program ended")
    });
    wait_for("it runs", &mut program, || {
        let logs = scene.logs();
        logs.iter().filter(|log| log.contains("backing up")).count() == 2
    });
    let (code, log) = program.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains(" put aside; remembered"), "{log}");
    // Whether its end left the process the time for it, or the next start did it.
    let kept = bytes_below(&disk.join("backup/aside"));
    assert!(kept > 100_000, "what came in is kept: {kept}");
}

fn bytes_below(directory: &Path) -> u64 {
    let sizes = std::fs::read_dir(directory).unwrap().map(|entry| {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => bytes_below(&entry.path()),
            false => entry.metadata().unwrap().len(),
        }
    });
    sizes.sum()
}

fn program_says(scene: &Scene, text: &str) -> bool {
    scene.logs().iter().any(|log| log.contains(text))
}
