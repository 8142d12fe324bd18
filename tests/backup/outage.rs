//! *Nothing is lost* when the bucket goes away and comes back.

use sandbox::generator::{Shape, World};

use crate::aftermath::{is_complete, next_start_completes, stop};
use crate::scene::{Scene, events_of, wait_for};

const CONSUMER: &str = "backup-events-samples-enriched-1";

#[test]
fn a_bucket_that_comes_back_is_caught_up_with_without_a_restart() {
    // Events without binaries: no stream fails, so that the rule of failures in a row is not met.
    let world = World::new(Shape::new(31, 1, 0).with_events([0, 0, 0, 0, 200])).unwrap();
    let mut scene = Scene::new(&["samples"])
        .set("BK__EVENT_BATCH_SIZE", 20)
        .set("BK__RETRY_COUNT", 2);
    scene.dispatcher.adopt(&world, true);
    let enriched = crate::scene::feed("samples/binary/enriched");
    scene.dispatcher.release(&enriched, 40);
    let mut program = scene.start();
    wait_for("the first bundles", &mut program, || {
        scene.events_in_bundles() == 40
    });
    scene.s3.stop();
    scene.dispatcher.release(&enriched, 160);
    wait_for("the outage is told", &mut program, || {
        scene
            .logs()
            .iter()
            .any(|log| log.contains("its events are safe in local state, and the bundle is tried again in"))
    });
    wait_for("events come in all the same", &mut program, || {
        scene.dispatcher.given(CONSUMER).handed_out.len() == 200
    });
    assert_eq!(scene.events_in_bundles(), 40);
    scene.s3.restart().unwrap();
    wait_for("all is caught up with", &mut program, || is_complete(&scene, 200));
    let end = stop(program);
    assert_eq!(end.code, Some(0), "{}", end.log);
    assert!(!end.log.contains("suspect pull of feed"), "{}", end.log);
    assert_eq!(scene.logs().len(), 1, "one start was enough");
}

#[test]
fn a_bucket_that_stays_away_ends_the_backup_and_the_next_start_finishes() {
    let world = World::new(Shape::new(32, 1, 100)).unwrap();
    let mut scene = Scene::new(&["samples"])
        .set("BK__EVENT_BATCH_SIZE", 20)
        .set("BK__RETRY_COUNT", 2);
    let mut program = scene.start();
    wait_for("it has begun", &mut program, || scene.pulls(CONSUMER) > 0);
    scene.s3.stop();
    scene.dispatcher.fill(&world, true);
    assert_eq!(program.wait().code(), Some(1), "{}", program.log());
    let log = program.log();
    assert!(log.contains("too many streams failed in a row"), "{log}");
    assert!(
        !log.contains("working off"),
        "storing is what does not work\n{log}"
    );
    assert!(log.contains("stay pending in local state"), "{log}");
    scene.s3.restart().unwrap();
    next_start_completes(&scene, events_of(&world));
}
