//! One feed in Kafka: its events in order, made on demand, encoded ahead of time, or given as bytes.

use std::sync::Arc;

use actors::avro::ModelVersion;
use actors::feed::{Feed, Model};
use actors::timestamp::Timestamp;
use bytes::Bytes;

use crate::generator::FeedEvents;
use crate::upgrade::upgraded;

/// An event given as bytes.
#[derive(Clone, Debug)]
pub struct RawEvent {
    /// Its key in Kafka.
    pub kafka_key: String,
    /// When it happened.
    pub timestamp: Timestamp,
    /// The event as it is put into bulks, whatever their version.
    pub bytes: Bytes,
}

/// Names one event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventRef {
    /// Where it lies.
    pub feed: Feed,
    /// Its key in Kafka.
    pub kafka_key: String,
    /// When it happened.
    pub timestamp: Timestamp,
}

/// Where the bytes of an event come from.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// It is made when it is asked for.
    Made(Arc<FeedEvents>, u64),
    /// It was encoded ahead of time.
    Ready(Bytes),
    /// It was published in this version.
    Published(Model, ModelVersion, Bytes),
}

impl Origin {
    /// Appends the event as `version` writes it.
    pub(super) fn encode(&self, out: &mut Vec<u8>, version: i64) {
        match self {
            Self::Made(events, number) => events.event(*number).encode(out, version),
            Self::Ready(bytes) => out.extend_from_slice(bytes),
            Self::Published(model, from, bytes) => {
                let known = ModelVersion::ALL.into_iter();
                let newest = known.filter(|known| known.number() <= version).max();
                let event = newest.and_then(|to| upgraded(*model, *from, to, bytes));
                out.extend_from_slice(event.as_deref().unwrap_or(bytes));
            }
        }
    }
}

#[derive(Debug)]
enum Entry {
    Made(Arc<FeedEvents>, u32),
    Raw(Box<RawEvent>),
    Published(Box<(ModelVersion, RawEvent)>),
}

/// Events of a generated feed, encoded ahead of time in one version.
#[derive(Debug)]
struct Arena {
    version: i64,
    bytes: Bytes,
    ends: Vec<usize>,
}

impl Arena {
    fn new(events: &FeedEvents, version: i64) -> Self {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for number in 0..events.len() {
            events.event(number).encode(&mut bytes, version);
            ends.push(bytes.len());
        }
        Self {
            version,
            bytes: bytes.into(),
            ends,
        }
    }

    fn event(&self, number: usize) -> Bytes {
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        self.bytes.slice(start..self.ends[number])
    }
}

/// The events of one feed that are visible, and those that are still to be released.
#[derive(Debug)]
pub(super) struct Log {
    feed: Feed,
    made: Option<Arc<FeedEvents>>,
    released: u64,
    arena: Option<Arena>,
    entries: Vec<Entry>,
}

impl Log {
    pub(super) fn new(feed: Feed) -> Self {
        Self {
            feed,
            made: None,
            released: 0,
            arena: None,
            entries: Vec::new(),
        }
    }

    pub(super) fn feed(&self) -> &Feed {
        &self.feed
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn append(&mut self, events: impl IntoIterator<Item = RawEvent>) {
        self.entries
            .extend(events.into_iter().map(|event| Entry::Raw(Box::new(event))));
    }

    /// An event that was published in this version: it is stored as it is, and upgraded on its way out.
    pub(super) fn publish(&mut self, version: ModelVersion, event: RawEvent) {
        self.entries.push(Entry::Published(Box::new((version, event))));
    }

    pub(super) fn adopt(&mut self, events: FeedEvents, ahead: Option<i64>) {
        self.arena = ahead.map(|version| Arena::new(&events, version));
        self.made = Some(Arc::new(events));
    }

    pub(super) fn release(&mut self, count: u64) {
        let Some(events) = &self.made else {
            return;
        };
        let until = events.len().min(self.released.saturating_add(count));
        let made = |number| Entry::Made(Arc::clone(events), number as u32);
        self.entries.extend((self.released..until).map(made));
        self.released = until;
    }

    pub(super) fn event(&self, offset: u32) -> EventRef {
        let (kafka_key, timestamp) = match &self.entries[offset as usize] {
            Entry::Raw(event) => (event.kafka_key.clone(), event.timestamp),
            Entry::Published(published) => (published.1.kafka_key.clone(), published.1.timestamp),
            Entry::Made(events, number) => {
                let event = events.event(u64::from(*number));
                (
                    event.kafka_key().to_owned(),
                    Timestamp::from_micros(event.timestamp()),
                )
            }
        };
        EventRef {
            feed: self.feed.clone(),
            kafka_key,
            timestamp,
        }
    }

    pub(super) fn kafka_key(&self, offset: u32) -> String {
        self.event(offset).kafka_key
    }

    pub(super) fn origin(&self, offset: u32, version: i64) -> Origin {
        match (&self.entries[offset as usize], &self.arena) {
            (Entry::Raw(event), _) => Origin::Ready(event.bytes.clone()),
            (Entry::Published(published), _) => {
                Origin::Published(self.feed.model(), published.0, published.1.bytes.clone())
            }
            (Entry::Made(_, number), Some(arena)) if arena.version == version => {
                Origin::Ready(arena.event(*number as usize))
            }
            (Entry::Made(events, number), _) => Origin::Made(Arc::clone(events), u64::from(*number)),
        }
    }
}
