//! What the dispatcher of a cell has: a few events that name a binary each.

use std::sync::OnceLock;

use actors::avro::{ModelVersion, encode};
use actors::feed::{Feed, Model};
use actors::stream_id::{Sha256, StreamId};
use bytes::Bytes;
use serde_json::json;

use crate::dispatcher::{Body, RawEvent, StandInDispatcher};

/// The only source.
pub(super) const SOURCE: &str = "samples";

/// The only feed with events.
const FEED: &str = "samples/binary/sourced";

/// A text that stands in one event only.
pub(super) const MARKER: &str = "marked-version";

/// Beyond one part of an upload, and not to be compressed.
const LARGE: usize = 5 * 1024 * 1024 + 300_000;

/// Events and the binaries that they name, one each.
pub(super) struct World {
    events: Vec<RawEvent>,
    binaries: Vec<(StreamId, Bytes)>,
    /// How many events one pull brings, and one bundle holds.
    pub(super) batch: usize,
}

impl World {
    /// Two pulls of three events, with small binaries.
    pub(super) fn small() -> &'static Self {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(|| Self::of(&[3000; 6], 3))
    }

    /// One pull of two events; the binary of the first is uploaded in parts.
    pub(super) fn large() -> &'static Self {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(|| Self::of(&[LARGE, 3000], 2))
    }

    fn of(sizes: &[usize], batch: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(sizes.len() as u64);
        let mut binary = |size: &usize| {
            let content: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(*size).collect();
            let sha256 = Sha256::of(&content).to_string();
            let stream = StreamId::new(SOURCE, "content", &sha256).expect("a name made of good parts");
            (stream, Bytes::from(content))
        };
        let binaries: Vec<_> = sizes.iter().map(&mut binary).collect();
        let events = binaries.iter().enumerate();
        Self {
            events: events
                .map(|(number, (stream, _))| event(number, stream))
                .collect(),
            binaries,
            batch,
        }
    }

    /// Gives a dispatcher all that there is.
    pub(super) fn fill(&self, dispatcher: &StandInDispatcher) {
        for (stream, content) in &self.binaries {
            dispatcher.put_stream(stream, Body::Given(content.clone()));
        }
        let feed: Feed = FEED.parse().expect("a feed that is written here");
        dispatcher.append(&feed, self.events.clone());
    }

    /// How many events there are, and binaries.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// The key of the stream that the event of this Kafka key names.
    pub(super) fn stream_of(&self, kafka_key: &str) -> Option<String> {
        let place = self
            .events
            .iter()
            .position(|event| event.kafka_key == kafka_key)?;
        self.binaries.get(place).map(|(stream, _)| stream.to_string())
    }

    /// The SHA-256 of the first binary.
    pub(super) fn first_sha256(&self) -> String {
        self.binaries[0].0.sha256().to_string()
    }
}

fn event(number: usize, stream: &StreamId) -> RawEvent {
    let kafka_key = format!("{number:032x}");
    let timestamp = format!("2025-07-30T06:02:{:02}.5Z", number % 60);
    let version = if number == 1 { MARKER } else { "1" };
    let author = json!({"name": "gen", "version": version, "category": "plugin"});
    let sha256 = stream.sha256().to_string();
    let json = json!({
        "model_version": 6,
        "kafka_key": kafka_key,
        "timestamp": timestamp,
        "author": author,
        "action": "sourced",
        "source": {"name": SOURCE, "path": [{"author": author, "action": "sourced", "sha256": sha256}]},
        "entity": {"sha256": sha256, "datastreams": [{"label": stream.label(), "sha256": sha256}]},
    });
    let bytes = encode::event(
        Model::Binary,
        ModelVersion::V6,
        &json,
        &mut encode::Framing::default(),
    );
    RawEvent {
        kafka_key,
        timestamp: timestamp.parse().expect("a time that is written here"),
        bytes: bytes.into(),
    }
}
