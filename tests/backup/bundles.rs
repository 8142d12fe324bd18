//! *Backup* 1, 2 and 7, *Journal and bundles*: events come into bundles, byte for byte, under the right keys.

use std::collections::BTreeSet;

use sandbox::generator::{Shape, World};
use sandbox::s3::{Failure, Operation};

use crate::scene::{Scene, event, events_of, feed, wait_for};

#[test]
fn everything_comes_into_the_bucket() {
    let world = World::new(Shape::new(1, 2, 200)).unwrap();
    let scene = Scene::new(&["samples", "virustotal"]).set("BK__EVENT_BATCH_SIZE", 20);
    scene.dispatcher.fill(&world, true);
    let mut program = scene.start();
    let streams: BTreeSet<String> = world.binaries().map(|binary| binary.stream.to_string()).collect();
    wait_for("every event is in a bundle", &mut program, || {
        scene.events_in_bundles() == events_of(&world)
    });
    wait_for("every stream is stored", &mut program, || {
        scene.streams().len() == streams.len()
    });
    let (code, log) = program.stop();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(scene.streams().into_iter().collect::<BTreeSet<_>>(), streams);
    for key in &streams {
        let sha256 = actors::stream_id::Sha256::of(&scene.stream(key)).to_string();
        assert!(key.ends_with(&sha256), "{key}");
    }
    for given in world.feeds() {
        let bundles = scene.bundles();
        let of_feed = bundles
            .iter()
            .filter(|key| key.starts_with(&format!("{}/", given.feed())));
        let bytes: Vec<Vec<u8>> = of_feed.map(|key| scene.bundle(key)).collect();
        for number in 0..given.len() {
            let encoded = given.event(number).encoded(6);
            let found = bytes
                .iter()
                .any(|bulk| memchr::memmem::find(bulk, &encoded).is_some());
            assert!(
                found,
                "event {number} of {} is in no bundle byte for byte",
                given.feed()
            );
        }
    }
    assert_eq!(scene.s3.counters().seen().written_again(), Vec::<&str>::new());
}

#[test]
fn keys_have_as_many_fractional_digits_as_needed() {
    let scene = Scene::new(&["samples"]).set("BK__EVENT_BATCH_SIZE", 20);
    let ends = [
        "2025-07-30T06:02:59.867075Z",
        "2025-07-30T11:00:40Z",
        "2025-07-07T05:13:35.1932Z",
    ];
    let mut program = scene.start();
    for (bundle, end) in ends.iter().enumerate() {
        let key = |number: usize| format!("{bundle:016x}{number:016x}");
        let first =
            (0..19).map(|number| event("samples", "enriched", &key(number), "2025-01-01T00:00:00Z", &[]));
        let last = event("samples", "enriched", &key(19), end, &[]);
        scene
            .dispatcher
            .append(&feed("samples/binary/enriched"), first.chain([last]));
        wait_for("the bundle", &mut program, || scene.bundles().len() == bundle + 1);
    }
    let expected: BTreeSet<String> = ends
        .iter()
        .enumerate()
        .map(|(bundle, end)| format!("samples/binary/enriched/{end}-20-{bundle:016x}{:016x}", 19))
        .collect();
    assert_eq!(scene.bundles().into_iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!(program.stop().0, Some(0));
}

#[test]
fn a_quiet_source_is_written_after_its_age_and_its_streams_before() {
    let scene = Scene::new(&["samples"]).set("BK__EVENT_BATCH_MAX_AGE", "1h");
    let sha256 = crate::scene::binary(&scene, "samples", b"quiet");
    let mut program = scene.start();
    let one = event(
        "samples",
        "sourced",
        "k",
        "2025-07-30T06:02:59Z",
        &[("content", sha256.clone())],
    );
    scene.dispatcher.append(&feed("samples/binary/sourced"), [one]);
    wait_for("the stream is stored", &mut program, || {
        scene.streams().len() == 1
    });
    assert!(scene.bundles().is_empty(), "one event is no full bundle");
    assert_eq!(scene.stream(&format!("samples/content/{sha256}")), b"quiet");
    let (code, log) = program.stop();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(
        scene.bundles(),
        ["samples/binary/sourced/2025-07-30T06:02:59Z-1-k"]
    );
}

#[test]
fn versions_are_never_mixed_and_a_newer_one_is_stored() {
    let scene = Scene::new(&["samples"]);
    let world = World::new(Shape::new(3, 1, 100)).unwrap();
    scene.dispatcher.adopt(&world, false);
    let enriched = feed("samples/binary/enriched");
    let mut program = scene.start();
    for (round, version) in [4, 5, 6, 7].into_iter().enumerate() {
        scene.dispatcher.shared().set_model_version(version);
        scene.dispatcher.release(&enriched, 10);
        wait_for("the events of this version", &mut program, || {
            scene.events_in_bundles() == 10 * (round as u64 + 1)
        });
    }
    let (code, log) = program.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(
        log.contains("model version 7, which this program does not know"),
        "{log}"
    );
    let firsts: BTreeSet<i8> = scene
        .bundles()
        .iter()
        .map(|key| {
            let first = scene.bundle(key)[0];
            if first & 1 == 1 {
                4
            } else {
                (first >> 1).cast_signed()
            }
        })
        .collect();
    assert_eq!(firsts, [4, 5, 6, 7].into());
}

#[test]
fn a_bundle_that_could_not_be_written_is_finished_by_the_next_start() {
    let world = World::new(Shape::new(4, 1, 100).with_events([0, 0, 0, 0, 50])).unwrap();
    let scene = Scene::new(&["samples"]).set("BK__EVENT_BATCH_SIZE", 20);
    scene.dispatcher.fill(&world, true);
    scene
        .s3
        .knobs()
        .fail_next(Operation::PutObject, usize::MAX, Failure::Status(503));
    let mut program = scene.start();
    wait_for("the failure is told", &mut program, || {
        program_says(&scene, "its events are safe in local state")
    });
    let (code, log) = program.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(
        log.contains("stay in local state; the next start writes them"),
        "{log}"
    );
    assert!(scene.bundles().is_empty());

    scene.s3.knobs().reset();
    let fewer = Scene::sources_instead(scene, &["other"]);
    let mut program = fewer.start();
    wait_for("what was left is written", &mut program, || {
        fewer.events_in_bundles() >= 20
    });
    let (code, log) = program.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("is not configured any more"), "{log}");
}

fn program_says(scene: &Scene, text: &str) -> bool {
    scene.logs().iter().any(|log| log.contains(text))
}

#[test]
fn a_lost_acknowledgement_neither_loses_nor_doubles_anything() {
    let world = World::new(Shape::new(5, 1, 100)).unwrap();
    let scene = Scene::new(&["samples"]).set("BK__EVENT_BATCH_SIZE", 20);
    scene.dispatcher.fill(&world, true);
    scene
        .s3
        .knobs()
        .fail_next(Operation::PutObject, 10, Failure::StatusAfter(500));
    let mut program = scene.start();
    wait_for("every event is in a bundle", &mut program, || {
        scene.events_in_bundles() >= events_of(&world)
    });
    let (code, log) = program.stop();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(scene.events_in_bundles(), events_of(&world));
}
