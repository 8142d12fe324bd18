//! What lies in the bucket before and while it is restored, and what has to become of it. Objects are written
//! straight into the folders that are the buckets, and deleted from them; every one is whole when it appears.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actors::feed::{Feed, SourceName};
use actors::object_key::BundleKey;
use actors::ports::archive::Store;
use actors::stream_id::Sha256;
use actors::timestamp::Timestamp;
use fastrand::Rng;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::encode::{self, Layout};
use crate::generator::{Event, World};

/// The buckets' names, without their last word.
const BUCKETS: &str = "azul-backup-1";

/// How long before the restore the backup was made.
const LONG_AGO: Duration = Duration::from_secs(7 * 24 * 3600);

/// More than Kafka takes, in a field that the dispatcher decodes.
const TOO_LARGE: usize = 3_200_000;

/// What has to become of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The dispatcher has it.
    Accepted,
    /// The dispatcher refuses it by name.
    Refused,
    /// The dispatcher drops it, or cannot take it.
    Dead,
}

/// An event of a bundle.
#[derive(Clone, Debug)]
pub struct Inside {
    /// Its key.
    pub kafka_key: String,
    /// Of its bytes.
    pub sha256: Sha256,
    /// What has to become of it.
    pub fate: Fate,
}

/// What an object holds.
#[derive(Clone, Debug)]
pub enum Holds {
    /// A binary.
    Stream,
    /// Something in the bucket of streams that cannot be restored.
    BadStream,
    /// Events.
    Bundle {
        /// Its feed.
        feed: Feed,
        /// The time in its name.
        timestamp: Timestamp,
        /// In their order.
        events: Vec<Inside>,
    },
    /// Something in the bucket of events that cannot be restored.
    BadBundle {
        /// Its feed.
        feed: Feed,
        /// How many events its name tells.
        count: u64,
    },
}

/// Where an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// Not in the bucket yet.
    ToCome,
    /// In the bucket.
    There,
    /// It came when the last pass of the present start had begun: that one may or may not meet it.
    CameTooLate,
    /// It was in the bucket.
    Vanished,
}

/// An object of the bucket.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// What it holds.
    pub holds: Holds,
    /// Where it is.
    pub at: Whereabouts,
    /// Whether it came into the bucket when the restore had begun: its feed need not be in order then.
    pub came_late: bool,
    packed: Arc<[u8]>,
}

impl Object {
    fn new(key: String, holds: Holds, packed: Vec<u8>) -> Self {
        Self {
            key,
            holds,
            at: Whereabouts::ToCome,
            came_late: false,
            packed: packed.into(),
        }
    }

    /// In which bucket.
    pub fn store(&self) -> Store {
        match self.holds {
            Holds::Stream | Holds::BadStream => Store::Streams,
            Holds::Bundle { .. } | Holds::BadBundle { .. } => Store::Events,
        }
    }

    /// Whether all of it can be restored.
    pub fn is_good(&self) -> bool {
        match &self.holds {
            Holds::Stream => true,
            Holds::Bundle { events, .. } => events.iter().all(|event| event.fate == Fate::Accepted),
            Holds::BadStream | Holds::BadBundle { .. } => false,
        }
    }

    /// The name of its bucket.
    pub fn bucket(&self) -> String {
        let word = match self.store() {
            Store::Streams => "streams",
            Store::Events => "events",
        };
        format!("{BUCKETS}-{word}")
    }
}

/// How much of what there is to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flaws {
    /// Events that are invalid under the dispatcher's rules.
    pub invalid: usize,
    /// Events that the dispatcher refuses by name.
    pub refused: usize,
    /// Events that are larger than Kafka takes.
    pub too_large: usize,
    /// Streams that are not what their name says.
    pub bad_streams: usize,
    /// Bundles that do not unpack.
    pub bad_bundles: usize,
    /// Objects whose keys are not those of a backup, in each bucket.
    pub strays: usize,
}

impl Flaws {
    /// One of everything.
    pub const ONE_OF_EACH: Self = Self {
        invalid: 1,
        refused: 1,
        too_large: 1,
        bad_streams: 1,
        bad_bundles: 1,
        strays: 1,
    };
}

/// All objects that there are, will be and have been.
#[derive(Debug)]
pub struct Stock {
    /// In no order.
    pub objects: Vec<Object>,
    root: PathBuf,
}

impl Stock {
    /// All of a world: each feed in bundles of up to `bundle` events, and its binaries. Nothing is in the bucket, whose
    /// folder is `root`, yet.
    ///
    /// # Errors
    /// A name cannot be one.
    pub fn of(
        world: &Arc<World>,
        bundle: usize,
        flaws: Flaws,
        root: &Path,
        rng: &mut Rng,
    ) -> anyhow::Result<Self> {
        let mut objects = Vec::new();
        for binary in world.binaries() {
            let key = binary.stream.to_string();
            objects.push(Object::new(key, Holds::Stream, gzip(&binary.content.bytes())?));
        }
        spoil_streams(&mut objects, flaws.bad_streams, rng)?;
        let mut bundles = Vec::new();
        for feed in world.feeds() {
            let mut events: Vec<Event> = (0..feed.len()).map(|number| feed.event(number)).collect();
            while !events.is_empty() {
                let count = rng.usize(1..=bundle).min(events.len());
                let rest = events.split_off(count);
                bundles.push((feed.feed().clone(), std::mem::replace(&mut events, rest)));
            }
        }
        let mut fates: Vec<Vec<Fate>> = bundles
            .iter()
            .map(|(_, events)| vec![Fate::Accepted; events.len()])
            .collect();
        spoil_events(&mut bundles, &mut fates, flaws, rng);
        let from = objects.len();
        for ((feed, events), fates) in bundles.iter().zip(fates) {
            objects.push(bundle_of(feed, events, &fates, *one_of(rng, &[4, 5, 6, 6]))?);
        }
        spoil_bundles(&mut objects[from..], flaws.bad_bundles, rng);
        for number in 0..flaws.strays {
            let source = SourceName::new(one_of::<String>(rng, &world.shape().sources))?;
            let key = *one_of(rng, &["content/no hash", "content/0", "no label"]);
            let key = format!("{source}/{key} {number}");
            objects.push(Object::new(key, Holds::BadStream, gzip(b"stray")?));
            let feed = Feed::of_source(&source)
                .next()
                .into_iter()
                .chain(Feed::of_system());
            let feeds: Vec<Feed> = feed.collect();
            let feed = one_of(rng, &feeds).clone();
            let key = format!("{feed}/no bundle {number}");
            objects.push(Object::new(
                key,
                Holds::BadBundle { feed, count: 0 },
                gzip(b"stray")?,
            ));
        }
        Ok(Self {
            objects,
            root: root.to_owned(),
        })
    }

    /// Puts an object into the bucket: as one that has been there for long, unless it comes `late`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&mut self, number: usize, late: bool) -> io::Result<()> {
        let path = self.path(&self.objects[number]);
        let coming = self.root.with_extension(format!("coming-{number}"));
        std::fs::write(&coming, &self.objects[number].packed)?;
        if !late {
            // Older than what a last pass looks at: else it would make good what a mark has passed.
            let written = std::fs::File::options().write(true).open(&coming)?;
            written.set_modified(SystemTime::now() - LONG_AGO)?;
        }
        std::fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
        std::fs::rename(coming, path)?;
        let object = &mut self.objects[number];
        (object.at, object.came_late) = (Whereabouts::There, late);
        Ok(())
    }

    /// Deletes an object from the bucket.
    ///
    /// # Errors
    /// It cannot be deleted.
    pub fn vanish(&mut self, number: usize) -> io::Result<()> {
        std::fs::remove_file(self.path(&self.objects[number]))?;
        self.objects[number].at = Whereabouts::Vanished;
        Ok(())
    }

    fn path(&self, object: &Object) -> PathBuf {
        self.root.join(object.bucket()).join(&object.key)
    }

    /// The numbers of the objects that `are` so.
    pub fn numbers(&self, are: impl Fn(&Object) -> bool) -> Vec<usize> {
        let numbers = (0..self.objects.len()).filter(|number| are(&self.objects[*number]));
        numbers.collect()
    }

    /// The keys of all events that the dispatcher is to refuse by name.
    pub fn refused(&self) -> BTreeSet<String> {
        let mut refused = BTreeSet::new();
        for object in &self.objects {
            if let Holds::Bundle { events, .. } = &object.holds {
                let of_bundle = events.iter().filter(|event| event.fate == Fate::Refused);
                refused.extend(of_bundle.map(|event| event.kafka_key.clone()));
            }
        }
        refused
    }
}

pub(super) fn one_of<'a, T>(rng: &mut Rng, choices: &'a [T]) -> &'a T {
    &choices[rng.usize(..choices.len())]
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes)?;
    packed.finish()
}

/// Other bytes than the name says, no gzip, and a gzip that breaks off, in turn.
fn spoil_streams(objects: &mut [Object], count: usize, rng: &mut Rng) -> io::Result<()> {
    let mut numbers: Vec<usize> = (0..objects.len()).collect();
    rng.shuffle(&mut numbers);
    for (turn, number) in numbers.into_iter().take(count).enumerate() {
        let object = &mut objects[number];
        object.holds = Holds::BadStream;
        object.packed = match turn % 3 {
            0 => gzip(b"other bytes than its name says")?.into(),
            1 => b"no gzip at all".as_slice().into(),
            _ => object.packed[..object.packed.len() - 5].into(),
        };
    }
    Ok(())
}

fn spoil_bundles(objects: &mut [Object], count: usize, rng: &mut Rng) {
    let mut numbers: Vec<usize> = (0..objects.len()).collect();
    rng.shuffle(&mut numbers);
    // What is spoiled already stays: its letters are planted.
    numbers.retain(|number| objects[*number].is_good());
    for number in numbers.into_iter().take(count) {
        let object = &mut objects[number];
        if let Holds::Bundle { feed, events, .. } = &object.holds {
            let (feed, count) = (feed.clone(), events.len() as u64);
            object.holds = Holds::BadBundle { feed, count };
            object.packed = b"no gzip at all".as_slice().into();
        }
    }
}

type Events = (Feed, Vec<Event>);

fn spoil_events(bundles: &mut [Events], fates: &mut [Vec<Fate>], flaws: Flaws, rng: &mut Rng) {
    let kinds = [
        (flaws.invalid, Fate::Dead, spoil as fn(&mut Event) -> bool),
        (flaws.refused, Fate::Refused, |_| true),
        (flaws.too_large, Fate::Dead, swell),
    ];
    for (count, fate, change) in kinds {
        let mut left = count;
        while left > 0 {
            let bundle = rng.usize(..bundles.len());
            let event = rng.usize(..fates[bundle].len());
            if fates[bundle][event] == Fate::Accepted && change(&mut bundles[bundle].1[event]) {
                fates[bundle][event] = fate;
                left -= 1;
            }
        }
    }
}

/// Makes an event invalid.
fn spoil(event: &mut Event) -> bool {
    match event {
        Event::Binary(event) => event.author.name.clear(),
        Event::Insert(event) => event.parent_sha256.clear(),
        Event::Delete(event) => event.author.name.clear(),
    }
    true
}

/// Makes an event larger than Kafka takes.
fn swell(event: &mut Event) -> bool {
    match event {
        Event::Binary(event) => {
            event.entity.info = vec![b'x'; TOO_LARGE];
            true
        }
        Event::Insert(_) | Event::Delete(_) => false,
    }
}

fn bundle_of(feed: &Feed, events: &[Event], fates: &[Fate], version: i64) -> anyhow::Result<Object> {
    let encoded: Vec<Vec<u8>> = events.iter().map(|event| event.encoded(version)).collect();
    let inside = events.iter().zip(&encoded).zip(fates);
    let inside = inside.map(|((event, bytes), fate)| Inside {
        kafka_key: event.kafka_key().to_owned(),
        sha256: Sha256::of(bytes),
        fate: *fate,
    });
    let last = events
        .last()
        .ok_or_else(|| anyhow::anyhow!("a bundle without events"))?;
    let timestamp = Timestamp::from_micros(last.timestamp());
    let key = BundleKey::new(feed.clone(), timestamp, events.len() as u64, last.kafka_key());
    let holds = Holds::Bundle {
        feed: feed.clone(),
        timestamp,
        events: inside.collect(),
    };
    let bulk = encode::bulk(version, &encoded, Layout::Sized);
    Ok(Object::new(key.to_string(), holds, gzip(&bulk)?))
}
