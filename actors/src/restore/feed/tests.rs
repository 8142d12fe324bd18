use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::restore::publishing;
use crate::restore::test_ports::feed_ports;
use crate::testkit::conformance::target::{bulk, feed};
use crate::testkit::{EventFate, FakeArchive, FakeTarget, MemoryRestoreState};

/// A feed between fakes; what its parts are tested in, too.
pub(super) struct Scene {
    pub(super) archive: FakeArchive,
    pub(super) target: FakeTarget,
    pub(super) state: MemoryRestoreState,
    pub(super) ports: FeedRestorePorts,
}

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000_000);

impl Scene {
    pub(super) async fn new() -> Self {
        Self::of(FakeArchive::new(), FakeTarget::new(), MemoryRestoreState::new()).await
    }

    async fn of(archive: FakeArchive, target: FakeTarget, state: MemoryRestoreState) -> Self {
        let standing = Standing::new([], [(feed(), EventFigures::default())]);
        let ports = feed_ports(&archive, &target, &standing, &state).await;
        Self {
            archive,
            target,
            state,
            ports,
        }
    }

    /// The next start of the same restore.
    async fn next_start(self) -> Self {
        Self::of(self.archive, self.target, self.state.reopen()).await
    }

    /// The bundle of this second, with so many events whose Kafka keys begin with `name`.
    fn plant(&self, second: u32, name: &str, count: usize) -> String {
        let keys: Vec<String> = (0..count).map(|number| format!("{name}{number}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        self.plant_events(second, count, &keys)
    }

    /// A bundle of the events of these Kafka keys, whose name says that there are so many.
    pub(super) fn plant_events(&self, second: u32, said: usize, keys: &[&str]) -> String {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&bulk(keys)).unwrap();
        self.plant_bytes(second, said, gzip.finish().unwrap())
    }

    fn plant_bytes(&self, second: u32, count: usize, content: Vec<u8>) -> String {
        let (minute, second) = (second / 60, second % 60);
        let key = format!("{}/2025-08-01T00:{minute:02}:{second:02}Z-{count}-key", feed());
        self.archive.plant(Store::Events, key.clone(), content, NOW);
        key
    }

    /// The dispatcher takes none of these.
    fn refuse(&self, is_refused: impl Fn(&str) -> bool + Send + 'static) {
        self.target
            .rule(move |event| is_refused(&event.kafka_key).then_some(EventFate::Undecodable));
    }

    pub(super) async fn restore(&self) -> Result<(), Halt> {
        self.restore_within(Window::default()).await
    }

    async fn restore_within(&self, window: Window) -> Result<(), Halt> {
        let rules = FeedRestoreRules {
            feed: feed(),
            which: WhichBundles::All,
            window,
            keeps: None,
        };
        restore_feed(&self.ports, &rules).await
    }

    pub(super) fn figures(&self) -> EventFigures {
        self.state.feed_figures(&feed()).unwrap()
    }

    /// Keys and events of the dead letters.
    fn dead(&self) -> Vec<(String, Option<u64>)> {
        let letters = self.state.letters().into_iter();
        letters.map(|(letter, _)| (letter.key, letter.event)).collect()
    }

    /// What arrived, without repeats.
    fn arrived(&self) -> Vec<String> {
        let mut arrived: Vec<String> = Vec::new();
        for event in self.target.published(&feed()) {
            if !arrived.contains(&event.kafka_key) {
                arrived.push(event.kafka_key);
            }
        }
        arrived
    }
}

fn events_of(key: &str, count: u64) -> Vec<(String, Option<u64>)> {
    (0..count).map(|event| (key.to_owned(), Some(event))).collect()
}

fn named(names: &[(&str, usize)]) -> Vec<String> {
    let names = names.iter();
    names
        .flat_map(|(name, count)| (0..*count).map(move |number| format!("{name}{number}")))
        .collect()
}

fn outage(restored: Result<(), Halt>) -> String {
    match restored {
        Err(Halt::Outage(fault)) => fault.to_string(),
        other => panic!("no outage: {other:?}"),
    }
}

#[actix_rt::test]
async fn a_dispatcher_that_takes_no_events_any_more_stops_the_restore_and_none_is_given_up() {
    let scene = Scene::new().await;
    scene.plant(1, "a", 20);
    scene.plant(2, "b", 20);
    scene.plant(3, "c", 20);
    let is_away = AtomicBool::new(false);
    scene.refuse(move |key| is_away.fetch_or(key.starts_with('b'), Ordering::SeqCst) || key.starts_with('b'));
    let why = outage(scene.restore().await);
    assert!(
        why.contains("does not decode") && why.contains("not taken any more"),
        "{why}"
    );
    assert_eq!((scene.dead(), scene.figures().bundles), (Vec::new(), 1));
    assert!(
        scene.target.requests().len() < 25,
        "{:?}",
        scene.target.requests()
    );
    // Later everything is back.
    scene.target.rule(|_| None);
    let scene = scene.next_start().await;
    scene.restore().await.unwrap();
    assert_eq!(scene.arrived(), named(&[("a", 20), ("b", 20), ("c", 20)]));
    assert_eq!((scene.dead(), scene.figures().accepted), (Vec::new(), 60));
}

#[actix_rt::test]
async fn the_last_events_of_a_bundle_are_not_given_up_before_the_witness_is_asked() {
    let scene = Scene::new().await;
    scene.plant(1, "a", 4);
    let is_away = AtomicBool::new(false);
    // The last event, and all that come after it.
    scene.refuse(move |key| is_away.fetch_or(key == "a3", Ordering::SeqCst) || key == "a3");
    // What comes before it in the same bulk is taken first.
    scene.plant(0, "first", 1);
    outage(scene.restore().await);
    assert_eq!((scene.dead(), scene.figures().bundles), (Vec::new(), 1));
}

#[actix_rt::test]
async fn events_that_are_not_taken_while_others_are_are_dead_letters() {
    let scene = Scene::new().await;
    scene.plant(1, "a", 20);
    let bad = scene.plant(2, "b", 20);
    scene.plant(3, "c", 20);
    scene.refuse(|key| key.starts_with('b'));
    scene.restore().await.unwrap();
    assert_eq!(scene.dead(), events_of(&bad, 20));
    assert_eq!(scene.arrived(), named(&[("a", 20), ("c", 20)]));
    let repeats = scene.target.published(&feed()).len() - 40;
    let witness = scene.target.published(&feed())[20].kafka_key.clone();
    assert_eq!((witness.as_str(), repeats), ("a19", 4), "every fifth time");
}

#[actix_rt::test]
async fn a_bundle_of_which_nothing_is_taken_is_given_up_when_others_are() {
    let scene = Scene::new().await;
    let bad = scene.plant(1, "b", 3);
    scene.plant(2, "a", 3);
    scene.refuse(|key| key.starts_with('b'));
    scene.restore().await.unwrap();
    assert_eq!(scene.dead(), events_of(&bad, 3));
    assert_eq!(scene.arrived(), named(&[("a", 3)]));
    let figures = scene.figures();
    assert_eq!((figures.bundles, figures.accepted, figures.dead), (2, 3, 3));
}

#[actix_rt::test]
async fn a_feed_that_begins_with_bad_bundles_is_not_stuck_at_them() {
    let scene = Scene::new().await;
    let bad = Vec::from_iter((1..=9).map(|second| scene.plant(second, "b", 1)));
    scene.plant(10, "a", 2);
    scene.refuse(|name| name.starts_with('b'));
    scene.restore().await.unwrap();
    assert_eq!(scene.arrived(), named(&[("a", 2)]));
    let mut dead = scene.dead();
    dead.sort();
    let expected: Vec<_> = bad.iter().flat_map(|key| events_of(key, 1)).collect();
    assert_eq!((dead, scene.figures().events), (expected, 11));
}

#[actix_rt::test]
async fn a_dispatcher_that_takes_nothing_of_many_bundles_stops_the_restore() {
    let scene = Scene::new().await;
    let most = publishing::MOST_IN_ROW;
    (1..=most + 5).for_each(|second| drop(scene.plant(second, &format!("b{second}-"), 1)));
    scene.refuse(|_| true);
    let why = outage(scene.restore().await);
    assert!(why.contains("of 100 bundles in a row nothing was taken"), "{why}");
    let dead = scene.dead().len();
    assert!(
        dead < most as usize,
        "{dead}: the first and the last of them are not given up"
    );
    // The next start goes on with the others.
    scene.target.rule(|_| None);
    let scene = scene.next_start().await;
    scene.restore().await.unwrap();
    assert_eq!(scene.dead().len(), dead);
    assert_eq!(scene.arrived().len(), most as usize + 5 - dead);
    assert!(scene.arrived().contains(&"b1-0".to_owned()));
}

#[actix_rt::test]
async fn where_nothing_else_is_left_what_is_in_doubt_is_given_up() {
    let scene = Scene::new().await;
    let bad = [scene.plant(1, "b", 2), scene.plant(2, "c", 2)];
    scene.refuse(|_| true);
    scene.restore().await.unwrap();
    assert_eq!(
        scene.dead(),
        [events_of(&bad[0], 2), events_of(&bad[1], 2)].concat()
    );
    assert_eq!(scene.figures().dead, 4);
}

#[actix_rt::test]
async fn what_unpacks_to_more_than_a_bundle_can_have_is_a_dead_letter_and_the_others_go_on() {
    let scene = Scene::new().await;
    let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), 65 << 20), &mut bomb).unwrap();
    let key = scene.plant_bytes(1, 1, bomb.finish().unwrap());
    scene.plant(2, "a", 2);
    scene.restore().await.unwrap();
    assert_eq!(
        (scene.dead(), scene.arrived()),
        (vec![(key, None)], named(&[("a", 2)]))
    );
    let (letter, _) = scene.state.letters().remove(0);
    let said = "unpacks to more than 67108864 bytes: no bundle of 1 events has that";
    assert!(letter.reason.contains(said), "{}", letter.reason);
}

#[actix_rt::test]
async fn a_name_that_tells_more_events_than_there_are_numbers_spoils_no_sum() {
    let scene = Scene::new().await;
    for second in 1..=3 {
        let key = format!("{}/2025-08-01T00:00:{second:02}Z-{}-x", feed(), u64::MAX);
        scene.archive.plant(Store::Events, key, "no gzip at all", NOW);
    }
    scene.plant(4, "a", 2);
    scene.restore().await.unwrap();
    let figures = scene.figures();
    assert_eq!((figures.unreadable, figures.accepted), (3, 2));
    assert_eq!(figures.events, figures.dead + 2);
    let mut most = EventFigures {
        events: u64::MAX,
        dead: u64::MAX,
        ..figures
    };
    most += figures;
    assert_eq!((most.events, most.dead, most.accepted), (u64::MAX, u64::MAX, 4));
    let progress = scene.ports.standing.progress();
    assert!(progress.unsound().is_empty() && progress.given_up() > 0);
}

#[actix_rt::test]
async fn a_bundle_that_cannot_be_told_by_time_is_taken_whole_on_the_day_of_its_name_only() {
    for (until, is_taken) in [("2025-08-01", false), ("2025-08-01T00:00:01Z", true)] {
        let scene = Scene::new().await;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        // A version that nobody knows.
        gzip.write_all(b"\x0e no events that could be walked").unwrap();
        scene.plant_bytes(2, 3, gzip.finish().unwrap());
        let window = Window {
            since: None,
            until: Some(crate::restore::selection::moment(until).unwrap()),
            every_bundle: false,
        };
        scene.restore_within(window).await.unwrap();
        assert_eq!(scene.target.requests().len(), usize::from(is_taken), "{until}");
        assert_eq!(scene.dead().len(), usize::from(is_taken), "{until}");
        let (figures, not_wanted) = (
            scene.figures(),
            scene.ports.standing.progress().feeds[0].not_wanted,
        );
        let expected = if is_taken { (1, 3, 0) } else { (1, 0, 3) };
        assert_eq!((figures.bundles, figures.events, not_wanted), expected, "{until}");
    }
}

#[actix_rt::test]
async fn what_a_later_restore_puts_back_is_a_dead_letter_no_more() {
    let scene = Scene::new().await;
    scene.plant(1, "a", 4);
    let key = scene.plant(2, "b", 4);
    let damaged = scene.plant_bytes(3, 2, b"no gzip".to_vec());
    scene.refuse(|key| ["b1", "b3"].contains(&key));
    scene.restore().await.unwrap();
    let letters = [
        (damaged.clone(), None),
        (key.clone(), Some(1)),
        (key.clone(), Some(3)),
    ];
    let mut dead = scene.dead();
    dead.sort();
    let mut expected = letters.to_vec();
    expected.sort();
    assert_eq!(dead, expected);
    scene.ports.state.record(RestoreChange::Finished).await.unwrap();
    // One event is taken now, and the other bundle is whole.
    scene.refuse(|key| key == "b3");
    let scene = scene.next_start().await;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&bulk(&["c0", "c1"])).unwrap();
    scene.plant_bytes(3, 2, gzip.finish().unwrap());
    scene.restore().await.unwrap();
    assert_eq!(scene.dead(), [(key, Some(3))]);
}
