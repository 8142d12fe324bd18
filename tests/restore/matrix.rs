//! Every fault that a restore can meet, once and for good: what arrives, what becomes a dead letter, what is told, and
//! how the program ends. One table per request; every cell is a restore of a small backup from its beginning.

mod listings;
mod objects;
mod publishing;
mod uploads;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use actors::feed::Feed;
use sandbox::generator::{Content, Kind};

use crate::bucket::{Event, event, feed};
use crate::program::Ended;
use crate::scene::{EVER, Scene};

/// How many cells run side by side.
const AT_ONCE: usize = 3;

/// The backup that a cell restores, and where.
struct World {
    scene: Scene,
    feed: Feed,
    /// Keys, in the order of the listing.
    streams: Vec<String>,
    /// One of them has more than fits into one buffer; its key as it was first.
    large: String,
    bundles: Vec<(String, Vec<Event>)>,
    /// How many entries a listing has.
    page: Option<usize>,
}

impl World {
    /// Listings have pages as they had before.
    fn pages(&self) {
        self.scene.s3.knobs().set_page(self.page);
    }

    fn new(settings: &[(&str, &str)]) -> Self {
        let scene = Scene::new(&["samples"]).spoilable();
        let scene = settings
            .iter()
            .fold(scene, |scene, (name, value)| scene.set(name, value));
        let put = |content: &[u8]| scene.put_stream("samples", "content", content);
        let mut streams: Vec<String> = (0..5).map(|n| put(format!("binary {n}").as_bytes())).collect();
        let packed = Content {
            seed: 5,
            size: 1_300_000,
            kind: Kind::Packed,
        };
        let mut content = vec![0; 1_300_000];
        packed.read_at(0, &mut content);
        let large = put(&content);
        streams.push(large.clone());
        streams.sort();
        let feed = feed("samples/binary/sourced");
        let mut world = Self {
            scene,
            streams,
            large,
            bundles: Vec::new(),
            page: None,
            feed,
        };
        for bundle in 0..3 {
            let events: Vec<Event> = (0..4)
                .map(|number| event(&world.feed, 4 * bundle + number))
                .collect();
            let key = world.scene.put_bundle(&world.feed, &events);
            world.bundles.push((key, events));
        }
        world
    }

    fn first(&self) -> &str {
        &self.streams[0]
    }

    fn last(&self) -> &str {
        &self.streams[self.streams.len() - 1]
    }

    /// Another event in the place of one of a bundle.
    fn replace(&mut self, bundle: usize, place: usize, event: Event) {
        let (key, events) = &mut self.bundles[bundle];
        std::fs::remove_file(self.scene.object_path(crate::bucket::EVENTS, key)).unwrap();
        events[place] = event;
        *key = self.scene.put_bundle(&self.feed, events);
    }
}

/// What cannot be put back.
#[derive(Clone, Debug)]
enum Lost {
    /// This stream, or this bundle with all its events.
    Object(String),
    /// This event of this bundle.
    Event(usize, usize),
    /// Every event, each by itself.
    EveryEvent,
}

/// What a cell comes to.
#[derive(Clone, Debug)]
enum Outcome {
    /// All is back; exit code 0.
    Complete,
    /// Nothing is lost, but these events (bundle, place) were filtered; exit code 0.
    Filtered(Vec<(usize, usize)>),
    /// It stops; the next start, after the fault, completes.
    Stops,
    /// The others are back, these are dead letters with this in their reasons, and so many events were filtered; exit
    /// code 3.
    Loses(Vec<Lost>, &'static str, Vec<(usize, usize)>),
}

fn loses(lost: Vec<Lost>, reason: &'static str) -> Outcome {
    Outcome::Loses(lost, reason, Vec::new())
}

/// All events.
fn all_events() -> Vec<(usize, usize)> {
    (0..3)
        .flat_map(|bundle| (0..4).map(move |place| (bundle, place)))
        .collect()
}

type Spoil = Box<dyn Fn(&mut World, usize) + Sync>;
type Expect = Box<dyn Fn(&World) -> Outcome + Sync>;

/// A fault, and what a restore comes to that meets it.
struct Row {
    name: String,
    settings: Vec<(&'static str, &'static str)>,
    spoil: Spoil,
    /// When it strikes once; `None` where once is nothing else than for good.
    once: Option<Expect>,
    /// When it strikes for good.
    ever: Option<Expect>,
}

impl Row {
    fn new(name: impl Into<String>, spoil: impl Fn(&mut World, usize) + Sync + 'static) -> Self {
        Self {
            name: name.into(),
            settings: Vec::new(),
            spoil: Box::new(spoil),
            once: None,
            ever: None,
        }
    }

    fn once(mut self, expect: impl Fn(&World) -> Outcome + Sync + 'static) -> Self {
        self.once = Some(Box::new(expect));
        self
    }

    fn ever(mut self, expect: impl Fn(&World) -> Outcome + Sync + 'static) -> Self {
        self.ever = Some(Box::new(expect));
        self
    }

    /// Passes when it struck once.
    fn passes(self) -> Self {
        self.once(|_| Outcome::Complete)
    }

    /// Stops the restore when it strikes for good.
    fn stops(self) -> Self {
        self.ever(|_| Outcome::Stops)
    }

    fn set(mut self, name: &'static str, value: &'static str) -> Self {
        self.settings.push((name, value));
        self
    }

    fn run(&self, times: usize, expect: &Expect) -> Result<(), String> {
        let mut world = World::new(&self.settings);
        (self.spoil)(&mut world, times);
        let expected = expect(&world);
        let cell = format!(
            "{}, {}",
            self.name,
            if times == EVER { "for good" } else { "once" }
        );
        let mut ended = world.scene.restore(&[]);
        if matches!(expected, Outcome::Stops) {
            if ended.code != Some(1) {
                return Err(format!("{cell}: {:?} instead of 1\n{}", ended.code, ended.log));
            }
            if !ended.letters.is_empty() {
                return Err(format!("{cell}: dead letters {:?}\n{}", ended.lost(), ended.log));
            }
            world.scene.heal();
            world.pages();
            ended = world.scene.restore(&[]);
        }
        let mut wrong = world.wrong(&ended, &expected);
        if !world.scene.has_struck() {
            wrong.push("nothing was spoiled".to_owned());
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "{cell}: {}\n{}\n{}",
                wrong.join("; "),
                ended.told,
                ended.log
            )),
        }
    }
}

impl World {
    /// What differs from what is expected of a restore that has ended.
    fn wrong(&self, ended: &Ended, expected: &Outcome) -> Vec<String> {
        let nothing = (Vec::new(), "", Vec::new());
        let (lost, reason, filtered) = match expected.clone() {
            Outcome::Complete | Outcome::Stops => nothing,
            Outcome::Filtered(filtered) => (Vec::new(), "", filtered),
            Outcome::Loses(lost, reason, filtered) => (lost, reason, filtered),
        };
        let code = if lost.is_empty() { 0 } else { 3 };
        let mut wrong = Vec::new();
        let mut same = |what: &str, found: &dyn std::fmt::Debug, expected: &dyn std::fmt::Debug| {
            let (found, expected) = (format!("{found:?}"), format!("{expected:?}"));
            if found != expected {
                wrong.push(format!("{what}: {found} instead of {expected}"));
            }
        };
        same("exit code", &ended.code, &Some(code));
        if ended.told.is_null() {
            return wrong;
        }
        let letters = self.letters(&lost);
        same("dead letters", &of_letters(ended), &letters);
        let unexplained = ended.lost().into_iter().filter(|(.., why)| !why.contains(reason));
        same(
            "other reasons",
            &unexplained.collect::<Vec<_>>(),
            &Vec::<()>::new(),
        );

        let gone = |key: &str| letters.iter().any(|(letter, _)| letter == key);
        let streams = |keys: &[String]| {
            let keys = keys.iter().filter(|key| !gone(key));
            keys.map(|key| plain(key).to_owned()).collect::<Vec<_>>()
        };
        same(
            "streams",
            &streams(&self.scene.uploaded()),
            &streams(&self.streams),
        );
        let dead = self.streams.iter().filter(|key| gone(key)).count() as u64;
        same(
            "streams told",
            &ended.streams(),
            &[self.streams.len() as u64 - dead, 0, dead],
        );

        let mut keys = Vec::new();
        let mut unread = 0;
        for (bundle, (key, events)) in self.bundles.iter().enumerate() {
            let whole = letters.contains(&(key.clone(), None));
            unread += u64::from(whole);
            let events = events.iter().enumerate().filter(|(place, _)| {
                let event = (key.clone(), Some(*place as u64));
                !whole && !letters.contains(&event) && !filtered.contains(&(bundle, *place))
            });
            keys.extend(events.map(|(_, event)| event.kafka_key.clone()));
        }
        same("events", &self.scene.published(&self.feed), &keys);
        let [events, accepted, refused, told_filtered, dead] = ended.events();
        same(
            "events told",
            &(events, accepted, told_filtered),
            &(12, keys.len(), filtered.len()),
        );
        same(
            "events told as lost",
            &(refused + dead),
            &(12 - keys.len() - filtered.len()),
        );
        same("bundles unread", &ended.figure("all_events/unreadable"), &unread);
        same("sums hold", &ended.told["sums_hold"].as_bool(), &Some(true));
        for (letter, event) in &ended.letters {
            let kept = event.as_ref().map(|event| event.len() as u64).unwrap_or_default();
            let own = letter.event.and_then(|event| {
                let (_, events) = self.bundles.iter().find(|(key, _)| *key == letter.key)?;
                Some(&events[usize::try_from(event).unwrap()].bytes)
            });
            let whole = own.is_none_or(|own| {
                event
                    .as_ref()
                    .is_some_and(|kept| kept.windows(own.len()).any(|part| part == own))
            });
            same("event kept", &(kept == letter.event_bytes, whole), &(true, true));
        }
        wrong
    }

    /// The letters that should be there: key and event.
    fn letters(&self, lost: &[Lost]) -> Vec<(String, Option<u64>)> {
        let mut letters = Vec::new();
        for lost in lost {
            match lost {
                Lost::Object(key) => letters.push((key.clone(), None)),
                Lost::Event(bundle, place) => {
                    letters.push((self.bundles[*bundle].0.clone(), Some(*place as u64)));
                }
                Lost::EveryEvent => letters.extend(
                    all_events()
                        .into_iter()
                        .map(|(bundle, place)| (self.bundles[bundle].0.clone(), Some(place as u64))),
                ),
            }
        }
        letters.sort();
        letters
    }
}

/// A key without what says how it is stored.
fn plain(key: &str) -> &str {
    key.trim_end_matches(".aesc1")
}

fn of_letters(ended: &Ended) -> Vec<(String, Option<u64>)> {
    let letters = ended.letters.iter();
    let mut letters: Vec<_> = letters
        .map(|(letter, _)| (letter.key.clone(), letter.event))
        .collect();
    letters.sort();
    letters
}

/// Runs all cells of a table side by side, and tells of all that are wrong.
fn run(rows: Vec<Row>) {
    let cells: Vec<_> = rows
        .iter()
        .flat_map(|row| {
            let once = row.once.iter().map(move |expect| (row, 1, expect));
            once.chain(row.ever.iter().map(move |expect| (row, EVER, expect)))
        })
        .collect();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|threads| {
        for _ in 0..AT_ONCE {
            threads.spawn(|| {
                while let Some((row, times, expect)) = cells.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if let Err(why) = row.run(*times, expect) {
                        wrong.lock().unwrap().push(why);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{} of {} cells are wrong:\n\n{}",
        wrong.len(),
        cells.len(),
        wrong.join("\n\n")
    );
}
