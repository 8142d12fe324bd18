//! The comparison of two dispatchers sees everything that a restore can get wrong.

mod raw;

use std::path::Path;

use actors::feed::{Feed, Model};
use actors::object_key::BundleKey;
use actors::timestamp::Timestamp;
use raw::{get, post};
use sandbox::comparison::{Allowances, Bundles, Comparison, Kind, Reason, compare};
use sandbox::dispatcher::{Body, Config, RawEvent, StandInDispatcher};
use sandbox::encode;
use sandbox::generator::{Binary, Event, FeedEvents, Shape, World};

/// How many events a bundle has.
const BUNDLE: usize = 4;

/// A bundle: its events, in the version of its bulk.
#[derive(Clone)]
struct Bundle {
    feed: Feed,
    version: i64,
    events: Vec<Event>,
}

/// The first dispatcher, and what is put back of it.
struct Restore {
    first: StandInDispatcher,
    bundles: Vec<Bundle>,
    streams: Vec<Binary>,
}

impl Restore {
    /// One source with ten events in a feed, and ten inserts and deletes.
    fn of_everything() -> Self {
        let mut shape = Shape::new(1, 1, 0)
            .with_events([10, 10, 10, 10, 10])
            .with_sizes(1..=100_000);
        shape.system_events = 10;
        let world = World::new(shape).unwrap();
        let first = StandInDispatcher::start(Config::default()).unwrap();
        first.fill(&world, false);
        Self {
            bundles: world.feeds().iter().flat_map(bundles).collect(),
            streams: world.binaries().cloned().collect(),
            first,
        }
    }

    /// The place of a bundle of a feed.
    fn bundle(&self, feed: &str, number: usize) -> usize {
        let mut of_feed = self.bundles.iter().enumerate();
        let found = of_feed
            .by_ref()
            .filter(|(_, bundle)| bundle.feed == self::feed(feed));
        found.map(|(place, _)| place).nth(number).unwrap()
    }

    /// Puts everything into another dispatcher.
    fn second(&self) -> StandInDispatcher {
        let second = StandInDispatcher::start(Config::default()).unwrap();
        self.put_into(&second);
        second
    }

    fn put_into(&self, second: &StandInDispatcher) {
        for binary in &self.streams {
            upload(second, binary, &binary.content.bytes());
        }
        self.bundles.iter().for_each(|bundle| publish(second, bundle));
    }

    fn compared(&self) -> Comparison {
        self.compared_with(&self.second(), &Allowances::default())
    }

    fn compared_with(&self, second: &StandInDispatcher, allowances: &Allowances) -> Comparison {
        compare(self.first.shared(), second.shared(), allowances)
    }
}

fn feed(name: &str) -> Feed {
    name.parse().unwrap()
}

fn bundles(events: &FeedEvents) -> Vec<Bundle> {
    let all: Vec<Event> = (0..events.len()).map(|number| events.event(number)).collect();
    let bundle = |events: &[Event], feed: &Feed| Bundle {
        feed: feed.clone(),
        version: 6,
        events: events.to_vec(),
    };
    let cut = all.chunks(BUNDLE);
    cut.map(|cut| bundle(cut, events.feed())).collect()
}

fn publish(second: &StandInDispatcher, bundle: &Bundle) {
    let events = bundle.events.iter();
    let events: Vec<Vec<u8>> = events.map(|event| event.encoded(bundle.version)).collect();
    let bulk = encode::bulk(bundle.version, &events, encode::Layout::Sized);
    let path = format!(
        "/api/v2/event?model={}&avro-format=true",
        bundle.feed.model().as_str()
    );
    assert_eq!(post(second.address(), &path, &bulk).status, 200);
}

fn upload(second: &StandInDispatcher, binary: &Binary, content: &[u8]) {
    let path = format!(
        "/api/v3/stream/{}/{}",
        binary.stream.source(),
        binary.stream.label()
    );
    assert_eq!(post(second.address(), &path, content).status, 200);
}

/// The only differences, with their examples.
fn only(comparison: &Comparison, kind: Kind) -> (u64, Vec<String>) {
    assert_eq!(comparison.differences.len(), 1, "{comparison}");
    assert!(!comparison.is_same());
    let told = &comparison.differences[&kind];
    (told.count, told.examples.clone())
}

#[test]
fn what_came_back_whole_and_in_order_is_the_same_and_a_repeat_changes_nothing() {
    let mut restore = Restore::of_everything();
    let whole = restore.compared();
    assert!(whole.is_same(), "{whole}");
    let streams = restore.streams.len() as u64;
    assert_eq!(
        (whole.feeds, whole.events, whole.streams, whole.repeated),
        (7, 70, streams, 0)
    );
    // The last bundle of every feed once more, as after a kill; also of delete events, whose keys are new each time.
    let last: Vec<Bundle> = restore
        .bundles
        .clone()
        .into_iter()
        .filter(|bundle| bundle.events.len() < BUNDLE)
        .collect();
    assert_eq!(last.len(), 7);
    restore.bundles.extend(last);
    let repeated = restore.compared();
    assert!(repeated.is_same(), "{repeated}");
    assert_eq!((repeated.events, repeated.repeated), (70, 14));
}

#[test]
fn a_dispatcher_that_keeps_only_hashes_is_compared_by_them() {
    let mut restore = Restore::of_everything();
    let second = StandInDispatcher::start(Config::default()).unwrap();
    second.shared().set_forgets(true);
    restore.put_into(&second);
    let whole = restore.compared_with(&second, &Allowances::default());
    assert!(whole.is_same(), "{whole}");
    assert_eq!((whole.events, whole.streams), (70, restore.streams.len() as u64));
    restore.bundles.truncate(1);
    restore.streams.truncate(1);
    let second = StandInDispatcher::start(Config::default()).unwrap();
    second.shared().set_forgets(true);
    restore.put_into(&second);
    assert!(!restore.compared_with(&second, &Allowances::default()).is_same());
}

#[test]
fn an_event_that_did_not_come_back_is_told_whatever_its_model() {
    for (name, number) in [
        ("samples/binary/enriched", 0),
        ("system/insert/default", 1),
        ("system/delete/default", 2),
    ] {
        let mut restore = Restore::of_everything();
        let place = restore.bundle(name, number);
        let skipped = restore.bundles[place].events.pop().unwrap();
        let (count, examples) = only(&restore.compared(), Kind::EventMissing);
        let told = format!("{name} {}", skipped.kafka_key());
        assert_eq!((count, examples), (1, vec![told]));
    }
}

#[test]
fn of_many_differences_a_few_are_told_and_all_counted() {
    let mut restore = Restore::of_everything();
    restore
        .bundles
        .retain(|bundle| bundle.feed.model() != Model::Binary);
    let (count, examples) = only(&restore.compared(), Kind::EventMissing);
    assert_eq!((count, examples.len()), (50, 5));
    let text = restore.compared().to_string();
    assert!(
        text.contains("50 events did not come back") && text.ends_with("; and 45 more\n"),
        "{text}"
    );
}

#[test]
fn an_event_that_nobody_had_is_told() {
    let restore = Restore::of_everything();
    let second = restore.second();
    let foreign = World::new(Shape::new(2, 1, 0).with_events([1, 0, 0, 0, 0])).unwrap();
    bundles(&foreign.feeds()[0])
        .iter()
        .for_each(|bundle| publish(&second, bundle));
    let found = restore.compared_with(&second, &Allowances::default());
    assert_eq!(found.count(Kind::EventSurplus), 1, "{found}");
    assert_eq!(found.events, 70);
    // Nor may it hold what was never published.
    let second = restore.second();
    let appended = RawEvent {
        kafka_key: restore.bundles[0].events[0].kafka_key().to_owned(),
        timestamp: Timestamp::default(),
        bytes: Vec::new().into(),
    };
    second.append(&restore.bundles[0].feed, [appended]);
    let found = restore.compared_with(&second, &Allowances::default());
    assert_eq!(only(&found, Kind::EventSurplus).0, 1);
}

#[test]
fn an_event_that_is_not_the_same_byte_for_byte_is_told() {
    for name in ["samples/binary/sourced", "system/delete/default"] {
        let mut restore = Restore::of_everything();
        let place = restore.bundle(name, 1);
        match &mut restore.bundles[place].events[2] {
            Event::Binary(event) => event.entity.hashes.md5.push('0'),
            Event::Delete(event) => event.author.security.push('0'),
            Event::Insert(_) => unreachable!("not one of these feeds"),
        }
        let (count, examples) = only(&restore.compared(), Kind::EventDiffers);
        assert_eq!(count, 1);
        assert!(
            examples[0].contains("other bytes than in version 6"),
            "{examples:?}"
        );
    }
}

#[test]
fn an_event_is_published_in_a_version_in_which_it_was_handed_out() {
    let mut restore = Restore::of_everything();
    let place = restore.bundle("samples/binary/sourced", 2);
    restore.bundles[place].version = 5;
    assert!(restore.compared().is_same(), "nobody was handed anything");
    let pull = |name: &str| {
        let path = format!(
            "/api/v2/event/binary/passive?name={name}&version=3.0.0&avro-format=true&count=1000&deadline=1\
             &r-historic=true&r-source=samples&r-action=sourced"
        );
        assert_eq!(get(restore.first.address(), &path).status, 200);
    };
    pull("six");
    let (count, examples) = only(&restore.compared(), Kind::EventDiffers);
    assert_eq!(count, 2);
    assert!(examples[0].ends_with("published in version 5, in which it was never handed out"));
    restore.first.shared().set_model_version(5);
    pull("five");
    assert!(restore.compared().is_same());
}

#[test]
fn a_stream_less_one_more_and_one_with_other_bytes_are_told() {
    let mut restore = Restore::of_everything();
    let dropped = restore.streams.pop().unwrap();
    let missing = restore.compared();
    assert_eq!(
        only(&missing, Kind::StreamMissing),
        (1, vec![dropped.stream.to_string()])
    );
    restore.streams.push(dropped.clone());
    let second = restore.second();
    let mut content = dropped.content.bytes();
    *content.last_mut().unwrap() ^= 1;
    second.put_stream(&dropped.stream, Body::Given(content.clone().into()));
    let found = restore.compared_with(&second, &Allowances::default());
    let (count, examples) = only(&found, Kind::StreamDiffers);
    assert_eq!(count, 1);
    assert!(
        examples[0].starts_with(&dropped.stream.to_string()),
        "{examples:?}"
    );
    content.push(0);
    let second = restore.second();
    upload(&second, &dropped, &content);
    assert_eq!(
        restore
            .compared_with(&second, &Allowances::default())
            .count(Kind::StreamSurplus),
        1
    );
}

#[test]
fn an_inversion_is_told_and_so_is_an_old_bundle_that_comes_last() {
    let name = "samples/binary/mapped";
    let mut restore = Restore::of_everything();
    let place = restore.bundle(name, 0);
    restore.bundles.swap(place, place + 1);
    let (count, examples) = only(&restore.compared(), Kind::Inversion);
    assert_eq!(count, 1);
    assert!(examples[0].starts_with(name), "{examples:?}");
    // Not even if what came too early comes once more.
    let early = restore.bundles[place].clone();
    restore.bundles.insert(place + 2, early);
    assert_eq!(only(&restore.compared(), Kind::Inversion).0, 1);
    restore.bundles.remove(place + 2);
    restore.bundles.swap(place, place + 1);
    let again = restore.bundles[place].clone();
    restore.bundles.insert(place + 2, again);
    assert_eq!(only(&restore.compared(), Kind::Inversion).0, 1);
    // Once what follows is repeated too, nobody can tell.
    let next = restore.bundles[place + 1].clone();
    restore.bundles.insert(place + 3, next);
    assert!(restore.compared().is_same());
}

#[test]
fn the_order_is_that_of_the_bundles_by_time_and_not_by_name() {
    let bucket = tempfile::tempdir().unwrap();
    let name = "samples/binary/sourced";
    let mut restore = Restore::of_everything();
    let place = restore.bundle(name, 0);
    // The second bundle is called as if it were older, with a name that comes later: `…09.9Z` lists before `…09Z`.
    for (bundle, timestamp) in [
        (place, "2025-07-30T06:02:09.9Z"),
        (place + 1, "2025-07-30T06:02:09Z"),
    ] {
        store(bucket.path(), &restore.bundles[bundle], timestamp);
    }
    let compared = |restore: &Restore| {
        let mut allowances = Allowances::default();
        allowances.expect_order_of(Bundles::read(bucket.path(), "backup").unwrap());
        restore.compared_with(&restore.second(), &allowances)
    };
    assert_eq!(only(&compared(&restore), Kind::Inversion).0, 1);
    restore.bundles.swap(place, place + 1);
    let found = compared(&restore);
    assert!(found.is_same(), "{found}");
}

fn store(bucket: &Path, bundle: &Bundle, timestamp: &str) {
    let timestamp: Timestamp = timestamp.parse().unwrap();
    let last = bundle.events.last().unwrap();
    let key = BundleKey::new(
        bundle.feed.clone(),
        timestamp,
        bundle.events.len() as u64,
        last.kafka_key(),
    );
    let path = bucket.join("backup-events").join(key.to_string());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let events: Vec<Vec<u8>> = bundle.events.iter().map(|event| event.encoded(6)).collect();
    let file = std::fs::File::create(path).unwrap();
    let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, &encode::bulk(6, &events, encode::Layout::Sized)).unwrap();
    packed.finish().unwrap();
}

#[test]
fn what_the_backup_could_not_have_is_told_apart_and_only_that() {
    let mut restore = Restore::of_everything();
    let place = restore.bundle("samples/binary/extracted", 0);
    let lost = restore.bundles.remove(place);
    let stream = restore.streams.pop().unwrap().stream;
    let absent = "samples/content/that-nobody-has";
    let mut allowances = Allowances::default();
    for event in &lost.events[1..] {
        allowances.allow_event(&lost.feed, event.kafka_key(), Reason::SuspectPull);
    }
    allowances.allow_stream(stream.to_string(), Reason::NotNamed);
    allowances.allow_stream(absent, Reason::NotThere);
    let found = restore.compared_with(&restore.second(), &allowances);
    let (count, examples) = only(&found, Kind::EventMissing);
    let told = format!("{} {}", lost.feed, lost.events[0].kafka_key());
    assert_eq!((count, examples), (1, vec![told]));
    assert_eq!(found.excused[&Reason::SuspectPull], 3);
    assert_eq!(
        (found.excused[&Reason::NotNamed], found.excused[&Reason::NotThere]),
        (1, 1)
    );
    assert_eq!((found.events, found.all_excused()), (66, 5));
    // What is there all the same is compared like everything else.
    restore.bundles.insert(place, lost);
    let found = restore.compared_with(&restore.second(), &allowances);
    assert!(found.is_same(), "{found}");
    assert_eq!(
        (found.events, found.excused.get(&Reason::SuspectPull)),
        (70, None)
    );
}
