//! What lies in the bucket: made by hand, and written straight into its files.

use std::io::Write;
use std::path::PathBuf;

use actors::avro::{ModelVersion, encode};
use actors::encryption::{AesKey, HEADER, encrypted};
use actors::feed::{Feed, Model};
use actors::stream_id::Sha256;
use actors::timestamp::Timestamp;
use flate2::Compression;
use flate2::write::GzEncoder;
use sandbox::encode::{Layout, bulk};
use serde_json::{Value, json};

use crate::scene::Scene;

/// The bucket of streams.
pub const STREAMS: &str = "azul-backup-1-streams";

/// The bucket of events.
pub const EVENTS: &str = "azul-backup-1-events";

/// The configured part of the key of what is encrypted here.
pub const AES_KEY: &str = "0123456789abcdefghijklmn";

pub fn feed(text: &str) -> Feed {
    text.parse().unwrap()
}

pub fn gzip(content: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(content).unwrap();
    gzip.finish().unwrap()
}

/// As it lies in the bucket under a key that ends with `.aesc1`.
pub fn sealed(plain: &[u8]) -> Vec<u8> {
    encrypted(&AesKey::parse(AES_KEY).unwrap(), &[7; HEADER], plain)
}

/// An event that is valid, unless `change` makes it otherwise.
pub struct Event {
    pub kafka_key: String,
    pub timestamp: Timestamp,
    pub bytes: Vec<u8>,
}

/// The event number `number` of a feed, `number` seconds after the first, in this version.
pub fn event_in(feed: &Feed, version: ModelVersion, number: u64, change: impl FnOnce(&mut Value)) -> Event {
    let kafka_key = format!("{number:032x}");
    let timestamp = Timestamp::from_micros(1_753_855_379_000_000 + 1_000_000 * number.cast_signed());
    let author = json!({"name": "gen", "version": "1", "category": "plugin"});
    let sha256 = "a".repeat(64);
    let action = feed.action().as_str();
    let mut event = json!({
        "model_version": version.number(),
        "kafka_key": kafka_key,
        "timestamp": timestamp.to_string(),
        "author": author,
        "action": action,
    });
    event["entity"] = match feed.model() {
        Model::Binary => {
            let node = json!({"author": author, "action": action, "sha256": sha256});
            event["source"] = json!({"name": feed.source().as_str(), "path": [node]});
            let labels: &[&str] = match action {
                "enriched" => &[],
                "mapped" => &["text"],
                "augmented" => &["content", "text"],
                _ => &["content"],
            };
            let streams: Vec<_> = labels
                .iter()
                .map(|label| json!({"label": label, "sha256": sha256}))
                .collect();
            json!({"sha256": sha256, "datastreams": streams})
        }
        Model::Insert => json!({
            "original_source": "samples",
            "parent_sha256": sha256,
            "child_history": {"sha256": sha256, "action": "extracted", "author": author},
        }),
        Model::Delete => json!({"reason": "by hand"}),
    };
    change(&mut event);
    let framing = &mut encode::Framing::default();
    Event {
        kafka_key,
        timestamp,
        bytes: encode::event(feed.model(), version, &event, framing),
    }
}

/// The same in the newest version, and nothing changed.
pub fn event(feed: &Feed, number: u64) -> Event {
    event_in(feed, ModelVersion::V6, number, |_| {})
}

/// The same, that happened then.
pub fn event_at(feed: &Feed, number: u64, time: &str) -> Event {
    let event = event_in(feed, ModelVersion::V6, number, |event| {
        event["timestamp"] = time.into()
    });
    Event {
        timestamp: time.parse().unwrap(),
        ..event
    }
}

/// The key of a bundle that ends with this event.
pub fn bundle_key(feed: &Feed, last: &Event, count: usize) -> String {
    format!("{feed}/{}-{count}-{}", last.timestamp, last.kafka_key)
}

impl Scene {
    pub fn object_path(&self, bucket: &str, key: &str) -> PathBuf {
        self.s3.object_path(bucket, key)
    }

    /// Writes an object, whatever it is.
    pub fn put(&self, bucket: &str, key: &str, bytes: &[u8]) {
        let path = self.object_path(bucket, key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Writes a binary as a backup does; returns its key.
    pub fn put_stream(&self, source: &str, label: &str, content: &[u8]) -> String {
        let key = format!("{source}/{label}/{}", Sha256::of(content));
        self.put(STREAMS, &key, &gzip(content));
        key
    }

    /// Writes a bundle as a backup does; returns its key.
    pub fn put_bundle(&self, feed: &Feed, events: &[Event]) -> String {
        self.put_bundle_of(feed, 6, events)
    }

    /// The same in this model version.
    pub fn put_bundle_of(&self, feed: &Feed, version: i64, events: &[Event]) -> String {
        let bytes: Vec<&[u8]> = events.iter().map(|event| event.bytes.as_slice()).collect();
        let key = bundle_key(feed, events.last().unwrap(), events.len());
        self.put(EVENTS, &key, &gzip(&bulk(version, &bytes, Layout::Sized)));
        key
    }
}
