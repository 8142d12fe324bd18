//! What the bucket lists and does not give, what is no stream, and a dispatcher that cannot be asked.

use super::*;
use crate::testkit::{ArchiveCall, Trouble};

#[actix_rt::test]
async fn what_the_bucket_lists_and_does_not_give_is_a_dead_letter() {
    let scene = Scene::new().await;
    let mut keys = scene.plant("content", 3);
    for key in &keys {
        scene.workers.will(key, Restored::Gone);
    }
    scene.restore().await.unwrap();
    let mut dead = scene.dead();
    dead.sort();
    keys.sort();
    assert_eq!(dead, keys);
    assert_eq!((scene.figures().gone, scene.figures().dead), (0, 3));
    let letters = scene.state.letters();
    assert!(
        letters
            .iter()
            .all(|(letter, _)| letter.reason.contains("NoSuchKey"))
    );
}

#[actix_rt::test]
async fn where_the_bucket_cannot_be_listed_again_no_mark_passes_what_it_did_not_give() {
    let scene = Scene::new().await;
    let keys = scene.plant("content", 1);
    scene.workers.will(&keys[0], Restored::Gone);
    let fault = Fault::transient("list objects", &keys[0], "503");
    let target = FakeArchive::target(Store::Streams, &keys[0]);
    let trouble = Trouble::fails(ArchiveCall::List, fault).on(target);
    scene.archive.calls().plan(trouble.times(9));
    assert!(matches!(scene.restore().await, Err(Halt::Outage(_))));
    assert_eq!(
        (scene.figures(), scene.dead().len()),
        (StreamFigures::default(), 0)
    );
}

#[actix_rt::test]
async fn where_the_dispatcher_cannot_be_asked_the_last_pass_sends_and_counts_nothing_twice() {
    let scene = Scene::new().await;
    let mut keys = scene.plant("content", 3);
    scene.restore().await.unwrap();
    scene.workers.jobs();
    let pass = Pass::Last {
        since: NOW,
        asks: false,
    };
    scene.go_through(pass).await.unwrap();
    let mut jobs = scene.workers.jobs();
    jobs.sort();
    keys.sort();
    assert_eq!((jobs, scene.figures().restored), (keys, 3));
}

#[actix_rt::test]
async fn marks_of_folders_are_passed_over_and_with_hashes_whatever_else_lies_there() {
    let scene = Scene::new().await;
    let keys = scene.plant("content", 1);
    for marker in ["samples/", "samples/content/", "samples/empty/"] {
        scene.archive.plant(Store::Streams, marker, "", NOW);
    }
    scene.restore().await.unwrap();
    assert_eq!((scene.workers.jobs(), scene.dead().len()), (keys.clone(), 0));
    scene.archive.plant(Store::Streams, "samples/README", "x", NOW);
    let which = WhichStreams::Labels {
        labels: Vec::new(),
        hashes: vec![*keys[0].parse::<StreamId>().unwrap().sha256()].into(),
    };
    restore_source(&scene.ports, &source(), which, FIRST)
        .await
        .unwrap();
    assert!(scene.dead().is_empty());
}
