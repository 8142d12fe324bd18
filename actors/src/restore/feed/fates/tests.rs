use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::restore::test_ports::feed_ports;
use crate::testkit::conformance::target as bulks;
use crate::testkit::{ArchiveCall, FakeArchive, FakeTarget, Gate, MemoryRestoreState, Trouble};

struct Scene {
    archive: FakeArchive,
    target: FakeTarget,
    state: MemoryRestoreState,
    ports: FeedRestorePorts,
}

impl Scene {
    async fn new() -> Self {
        let (archive, target) = (FakeArchive::new(), FakeTarget::new());
        let standing = Standing::new([], [(bulks::feed(), EventFigures::default())]);
        let state = MemoryRestoreState::new();
        let ports = feed_ports(&archive, &target, &standing, &state).await;
        Self {
            archive,
            target,
            state,
            ports,
        }
    }

    /// A bundle of these events, whose name says that there are so many.
    fn plant(&self, second: u32, said: usize, keys: &[&str]) -> String {
        let key = format!("{}/2025-07-30T06:02:{second:02}Z-{said}-k", bulks::feed());
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&bulks::bulk(keys)).unwrap();
        self.archive
            .plant(Store::Events, &key, gzip.finish().unwrap(), Timestamp::default());
        key
    }

    async fn restore(&self) -> EventFigures {
        let rules = FeedRestoreRules {
            feed: bulks::feed(),
            which: WhichBundles::All,
            window: Window::default(),
            keeps: None,
        };
        restore_feed(&self.ports, &rules).await.unwrap();
        let figures = self.state.feed_figures(&bulks::feed()).unwrap();
        assert_eq!(self.ports.standing.progress().all_events(), figures);
        assert!(self.ports.standing.progress().unsound().is_empty());
        figures
    }

    fn reasons(&self) -> Vec<String> {
        let letters = self.state.letters().into_iter();
        letters.map(|(letter, _)| letter.reason).collect()
    }

    fn published(&self) -> Vec<String> {
        let published = self.target.published(&bulks::feed()).into_iter();
        published.map(|event| event.kafka_key).collect()
    }
}

#[actix_rt::test]
async fn a_bundle_that_ages_off_before_its_turn_is_counted_and_no_dead_letter() {
    let scene = Scene::new().await;
    let old = scene.plant(10, 1, &["a"]);
    scene.plant(11, 1, &["b"]);
    let gate = Gate::new();
    let target = FakeArchive::target(Store::Events, &old);
    let hangs = Trouble::hangs(ArchiveCall::Read, &gate).on(target);
    scene.archive.calls().plan(hangs);
    let ages_off = async {
        gate.arrived(1).await;
        scene.archive.lose(Store::Events, &old);
        gate.open();
    };
    let (figures, ()) = tokio::join!(scene.restore(), ages_off);
    assert_eq!((figures.gone, figures.bundles, figures.events), (1, 1, 1));
    assert_eq!(
        (scene.published(), scene.reasons().len()),
        (vec!["b".to_owned()], 0)
    );
}

#[actix_rt::test]
async fn a_bundle_that_is_listed_and_not_given_is_a_dead_letter_with_all_that_its_name_tells() {
    let scene = Scene::new().await;
    let lost = scene.plant(10, 7, &["a"]);
    scene.plant(11, 1, &["b"]);
    let missing = Fault::missing("get object", &lost, "404 NoSuchKey");
    let target = FakeArchive::target(Store::Events, &lost);
    let trouble = Trouble::fails(ArchiveCall::Read, missing).on(target);
    scene.archive.calls().plan(trouble.always());
    let figures = scene.restore().await;
    assert_eq!(
        (figures.gone, figures.unreadable, figures.dead, figures.accepted),
        (0, 1, 7, 1)
    );
    assert!(
        scene.reasons()[0].contains("answers NoSuchKey"),
        "{:?}",
        scene.reasons()
    );
}

#[actix_rt::test]
async fn a_bundle_with_fewer_events_than_its_name_says_is_never_complete() {
    let scene = Scene::new().await;
    scene.plant(10, 5, &["a", "b"]);
    let figures = scene.restore().await;
    assert_eq!(scene.published(), ["a", "b"]);
    assert_eq!((figures.events, figures.accepted, figures.dead), (5, 2, 3));
    assert_eq!(scene.ports.standing.progress().given_up(), 3);
    assert_eq!(scene.ports.standing.progress().misnamed, 1);
    assert!(scene.reasons()[0].contains("holds 2 events, its name says 5"));
}

#[actix_rt::test]
async fn a_bundle_with_more_events_than_its_name_says_is_restored_and_told() {
    let scene = Scene::new().await;
    scene.plant(10, 1, &["a", "b"]);
    let figures = scene.restore().await;
    assert_eq!((figures.events, figures.accepted, figures.dead), (2, 2, 0));
    assert_eq!(scene.ports.standing.progress().misnamed, 1);
    assert!(scene.reasons().is_empty());
}

#[actix_rt::test]
async fn marks_of_folders_are_no_bundles() {
    let scene = Scene::new().await;
    scene.plant(10, 1, &["a"]);
    let marker = format!("{}/", bulks::feed());
    scene
        .archive
        .plant(Store::Events, marker, "", Timestamp::default());
    let figures = scene.restore().await;
    assert_eq!((figures.bundles, figures.unreadable), (1, 0));
    assert_eq!(scene.ports.standing.progress().folder_markers, 1);
}
