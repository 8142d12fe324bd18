use super::*;
use crate::restore::feed::tests::Scene;
use crate::testkit::conformance::target as bulks;
use crate::testkit::{ArchiveCall, FakeArchive, Gate, Trouble};

/// The figures of the feed, when all is done and accounted for.
async fn restored(scene: &Scene) -> EventFigures {
    scene.restore().await.unwrap();
    let figures = scene.figures();
    assert_eq!(scene.ports.standing.progress().all_events(), figures);
    assert!(scene.ports.standing.progress().unsound().is_empty());
    figures
}

fn reasons(scene: &Scene) -> Vec<String> {
    let letters = scene.state.letters().into_iter();
    letters.map(|(letter, _)| letter.reason).collect()
}

fn published(scene: &Scene) -> Vec<String> {
    let published = scene.target.published(&bulks::feed()).into_iter();
    published.map(|event| event.kafka_key).collect()
}

#[actix_rt::test]
async fn a_bundle_that_ages_off_before_its_turn_is_counted_and_no_dead_letter() {
    let scene = Scene::new().await;
    let old = scene.plant_events(10, 1, &["a"]);
    scene.plant_events(11, 1, &["b"]);
    let gate = Gate::new();
    let target = FakeArchive::target(Store::Events, &old);
    let hangs = Trouble::hangs(ArchiveCall::Read, &gate).on(target);
    scene.archive.calls().plan(hangs);
    let ages_off = async {
        gate.arrived(1).await;
        scene.archive.lose(Store::Events, &old);
        gate.open();
    };
    let (figures, ()) = tokio::join!(restored(&scene), ages_off);
    assert_eq!((figures.gone, figures.bundles, figures.events), (1, 1, 1));
    assert_eq!(
        (published(&scene), reasons(&scene).len()),
        (vec!["b".to_owned()], 0)
    );
}

#[actix_rt::test]
async fn a_bundle_that_is_listed_and_not_given_is_a_dead_letter_with_all_that_its_name_tells() {
    let scene = Scene::new().await;
    let lost = scene.plant_events(10, 7, &["a"]);
    scene.plant_events(11, 1, &["b"]);
    let missing = Fault::missing("get object", &lost, "404 NoSuchKey");
    let target = FakeArchive::target(Store::Events, &lost);
    let trouble = Trouble::fails(ArchiveCall::Read, missing).on(target);
    scene.archive.calls().plan(trouble.always());
    let figures = restored(&scene).await;
    assert_eq!(
        (figures.gone, figures.unreadable, figures.dead, figures.accepted),
        (0, 1, 7, 1)
    );
    assert!(
        reasons(&scene)[0].contains("answers NoSuchKey"),
        "{:?}",
        reasons(&scene)
    );
}

#[actix_rt::test]
async fn a_bundle_with_fewer_events_than_its_name_says_is_never_complete() {
    let scene = Scene::new().await;
    scene.plant_events(10, 5, &["a", "b"]);
    let figures = restored(&scene).await;
    assert_eq!(published(&scene), ["a", "b"]);
    assert_eq!((figures.events, figures.accepted, figures.dead), (5, 2, 3));
    assert_eq!(scene.ports.standing.progress().given_up(), 3);
    assert_eq!(scene.ports.standing.progress().misnamed, 1);
    assert!(reasons(&scene)[0].contains("holds 2 events, its name says 5"));
}

#[actix_rt::test]
async fn a_bundle_with_more_events_than_its_name_says_is_restored_and_told() {
    let scene = Scene::new().await;
    scene.plant_events(10, 1, &["a", "b"]);
    let figures = restored(&scene).await;
    assert_eq!((figures.events, figures.accepted, figures.dead), (2, 2, 0));
    assert_eq!(scene.ports.standing.progress().misnamed, 1);
    assert!(reasons(&scene).is_empty());
}

#[actix_rt::test]
async fn marks_of_folders_are_no_bundles() {
    let scene = Scene::new().await;
    scene.plant_events(10, 1, &["a"]);
    let marker = format!("{}/", bulks::feed());
    scene
        .archive
        .plant(Store::Events, marker, "", Timestamp::default());
    let figures = restored(&scene).await;
    assert_eq!((figures.bundles, figures.unreadable), (1, 0));
    assert_eq!(scene.ports.standing.progress().folder_markers, 1);
}
