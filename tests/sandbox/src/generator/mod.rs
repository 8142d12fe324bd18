//! Realistic Azul events and binaries from a seed: the same seed gives the same bytes, and any event and any
//! range of any binary can be made by itself, so that two million events and binaries of a gigabyte need no room.
//!
//! Every binary is named three times: its content by a `sourced`, an `extracted` and an `augmented` event, what
//! was derived from it by two `augmented` events and a `mapped` one. So two of three stream references repeat.

pub mod content;
pub mod event;
mod events;

use std::ops::RangeInclusive;
use std::sync::Arc;

use actors::feed::{Action, Feed, Model, SourceName};
use actors::stream_id::StreamId;

pub use content::{Content, Kind, mix};
pub use event::{Event, UNKNOWN_VERSION};

/// Labels of what is derived from binaries.
pub const DERIVED_LABELS: [&str; 9] = [
    "text",
    "report",
    "pcap",
    "safe_png",
    "screenshot",
    "cape_report",
    "assemblyline",
    "deob_js",
    "decompiled_cs",
];

/// What is to be generated.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The same seed, the same bytes.
    pub seed: u64,
    /// Names of the sources.
    pub sources: Vec<String>,
    /// Events of each source, by action in the order of [`Action::BINARY`].
    pub per_action: [u64; 5],
    /// Insert events, and as many delete events.
    pub system_events: u64,
    /// Sizes of binaries: one of these ranges, each as likely as its weight says.
    pub sizes: Vec<(u32, RangeInclusive<u64>)>,
    /// Kinds of binaries, in turn.
    pub kinds: Vec<Kind>,
    /// Bytes that every binary event carries in its `info`, for large events.
    pub info_bytes: usize,
}

impl Shape {
    /// `sources` sources with `events` events each, most of them `enriched` as in a real repository, and three
    /// binaries for every twenty events.
    pub fn new(seed: u64, sources: usize, events: u64) -> Self {
        let tenth = events / 10;
        Self {
            seed,
            sources: SOURCES
                .iter()
                .cycle()
                .take(sources)
                .enumerate()
                .map(source_name)
                .collect(),
            per_action: [tenth, tenth, tenth, tenth, events - 4 * tenth],
            system_events: events / 50,
            sizes: vec![
                (60, 200..=20_000),
                (30, 20_000..=120_000),
                (9, 120_000..=400_000),
                (1, 400_000..=1_500_000),
            ],
            kinds: vec![Kind::Text, Kind::Executable, Kind::Packed],
            info_bytes: 0,
        }
    }

    /// All binaries with a size out of `sizes`.
    #[must_use]
    pub fn with_sizes(mut self, sizes: RangeInclusive<u64>) -> Self {
        self.sizes = vec![(1, sizes)];
        self
    }

    /// Events of each source by action: sourced, extracted, augmented, mapped, enriched.
    #[must_use]
    pub fn with_events(mut self, per_action: [u64; 5]) -> Self {
        self.per_action = per_action;
        self
    }

    fn size(&self, choice: u64) -> u64 {
        let total: u64 = self.sizes.iter().map(|(weight, _)| u64::from(*weight)).sum();
        let mut at = choice % total.max(1);
        for (weight, range) in &self.sizes {
            if at < u64::from(*weight) {
                return range.start() + (choice >> 16) % (range.end() - range.start() + 1);
            }
            at -= u64::from(*weight);
        }
        0
    }
}

const SOURCES: [&str; 6] = [
    "samples",
    "virustotal",
    "incidents",
    "honeypots",
    "email",
    "tasking",
];

fn source_name((number, name): (usize, &&str)) -> String {
    match number / SOURCES.len() {
        0 => (*name).to_owned(),
        round => format!("{name}{round}"),
    }
}

/// A binary under one of the names by which events ask for it.
#[derive(Clone, Debug)]
pub struct Binary {
    /// Source, label and SHA-256.
    pub stream: StreamId,
    /// Its bytes.
    pub content: Content,
}

/// The binaries of one source.
#[derive(Debug)]
struct Pool {
    source: String,
    contents: Vec<Binary>,
    derived: Vec<Binary>,
}

/// Everything that a shape describes, with the hashes of all binaries worked out.
#[derive(Debug)]
pub struct World {
    shape: Shape,
    pools: Vec<Pool>,
}

impl World {
    /// Makes all binaries once, to hash them.
    ///
    /// # Errors
    /// A source of the shape has a name that cannot be one.
    pub fn new(shape: Shape) -> anyhow::Result<Arc<Self>> {
        let pools = (0u64..)
            .zip(&shape.sources)
            .map(|(number, source)| Pool::new(&shape, number, source))
            .collect::<anyhow::Result<_>>()?;
        Ok(Arc::new(Self { shape, pools }))
    }

    /// What it was made from.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// All binaries.
    pub fn binaries(&self) -> impl Iterator<Item = &Binary> {
        self.pools
            .iter()
            .flat_map(|pool| pool.contents.iter().chain(&pool.derived))
    }

    /// All feeds that have events.
    pub fn feeds(self: &Arc<Self>) -> Vec<FeedEvents> {
        let mut feeds = Vec::new();
        for (number, pool) in self.pools.iter().enumerate() {
            let Ok(source) = SourceName::new(&pool.source) else {
                continue;
            };
            for (feed, count) in Feed::of_source(&source).zip(self.shape.per_action) {
                feeds.push(FeedEvents {
                    world: Arc::clone(self),
                    pool: number,
                    feed,
                    count,
                });
            }
        }
        for feed in Feed::of_system() {
            feeds.push(FeedEvents {
                world: Arc::clone(self),
                pool: 0,
                feed,
                count: self.shape.system_events,
            });
        }
        feeds.retain(|feed| feed.count > 0);
        feeds
    }
}

impl Pool {
    fn new(shape: &Shape, number: u64, source: &str) -> anyhow::Result<Self> {
        let [sourced, extracted, augmented, mapped, _] = shape.per_action;
        let contents = sourced.max(extracted).max(augmented);
        let derived = augmented.max(mapped).div_ceil(2);
        let binary = |place: u64, label: &str| {
            let seed = mix(shape.seed ^ number << 40, place);
            let size = shape.size(mix(seed, 1));
            let kind = shape.kinds[(place % shape.kinds.len() as u64) as usize];
            let content = Content { seed, size, kind };
            let stream = StreamId::new(source, label, &content.sha256().to_string())?;
            anyhow::Ok(Binary { stream, content })
        };
        let label = |place: u64| DERIVED_LABELS[(place % DERIVED_LABELS.len() as u64) as usize];
        Ok(Self {
            source: source.to_owned(),
            contents: (0..contents)
                .map(|place| binary(place, "content"))
                .collect::<Result<_, _>>()?,
            derived: (0..derived)
                .map(|place| binary(contents + place, label(place)))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// The events of one feed, each made on demand.
#[derive(Clone, Debug)]
pub struct FeedEvents {
    world: Arc<World>,
    pool: usize,
    feed: Feed,
    count: u64,
}

impl FeedEvents {
    /// Which feed.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// How many events there are.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Event `number`, counted from 0.
    pub fn event(&self, number: u64) -> Event {
        let word = self.feed.model() as u64 * 8 + self.feed.action() as u64;
        let maker = events::Maker {
            shape: &self.world.shape,
            seed: mix(
                self.world.shape.seed ^ ((self.pool as u64) << 48 | word << 40),
                number,
            ),
            number,
        };
        match self.feed.model() {
            Model::Binary => maker.binary(&self.feed, &self.streams(number)),
            Model::Insert => maker.insert(),
            Model::Delete => maker.delete(),
        }
    }

    /// The binaries that event `number` names.
    pub fn streams(&self, number: u64) -> Vec<&Binary> {
        let Some(pool) = self.world.pools.get(self.pool) else {
            return Vec::new();
        };
        let content = |shift: u64| {
            let count = pool.contents.len() as u64;
            pool.contents
                .get(((number + shift * count / 3) % count.max(1)) as usize)
        };
        let derived = |place: u64| {
            pool.derived
                .get((place % pool.derived.len().max(1) as u64) as usize)
        };
        match self.feed.action() {
            Action::Sourced => content(0).into_iter().collect(),
            Action::Extracted => content(1).into_iter().collect(),
            Action::Augmented => content(2).into_iter().chain(derived(number)).collect(),
            Action::Mapped if number.is_multiple_of(2) => derived(number / 2).into_iter().collect(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn two_of_three_references_repeat_and_every_binary_is_named() {
        let world = World::new(Shape::new(1, 2, 400).with_sizes(1..=50)).unwrap();
        let mut named: BTreeMap<String, u32> = BTreeMap::new();
        for feed in world.feeds() {
            for number in 0..feed.len() {
                for binary in feed.streams(number) {
                    *named.entry(binary.stream.to_string()).or_default() += 1;
                }
            }
        }
        assert_eq!(named.len(), world.binaries().count());
        assert_eq!(named.len(), 2 * 60);
        assert!(named.values().all(|times| *times == 3), "{named:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let encoded = |seed| {
            let world = World::new(Shape::new(seed, 1, 40).with_sizes(1..=50)).unwrap();
            let mut out = Vec::new();
            for feed in world.feeds() {
                (0..feed.len()).for_each(|number| feed.event(number).encode(&mut out, 6));
            }
            out
        };
        assert_eq!(encoded(1), encoded(1));
        assert_ne!(encoded(1), encoded(2));
    }
}
