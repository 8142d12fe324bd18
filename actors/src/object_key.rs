//! What an object is called in the backup bucket, and how such a name is read back.
//!
//! * a stream: `{source}/{label}/{sha256}` in the bucket of streams;
//! * a bundle: `{source}/{model}/{action}/{timestamp}-{count}-{kafka_key}` in the bucket of events.
//!
//! The layout is shared with Azul's Go tool: either can restore what the other wrote.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::feed::Feed;
use crate::path_segment::path_segment;
use crate::stream_id::{Sha256, StreamId};
use crate::timestamp::Timestamp;

/// The key of one object; its variant says which of the two buckets it lies in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ObjectKey {
    /// A gzipped binary.
    Stream(StreamId),
    /// A gzipped Avro bulk.
    Bundle(BundleKey),
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(stream) => stream.fmt(f),
            Self::Bundle(bundle) => bundle.fmt(f),
        }
    }
}

impl From<StreamId> for ObjectKey {
    fn from(stream: StreamId) -> Self {
        Self::Stream(stream)
    }
}

impl From<BundleKey> for ObjectKey {
    fn from(bundle: BundleKey) -> Self {
        Self::Bundle(bundle)
    }
}

/// The key of a bundle: its feed, and timestamp and Kafka key of its last valid event with the number of all
/// events in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BundleKey {
    feed: Feed,
    timestamp: Timestamp,
    count: u64,
    kafka_key: Arc<str>,
}

impl BundleKey {
    /// Names a bundle of `count` events of `feed` after the event that ends it. A Kafka key that cannot stand in
    /// an object's key is represented by the SHA-256 of its bytes.
    pub fn new(feed: Feed, timestamp: Timestamp, count: u64, kafka_key: &str) -> Self {
        let kafka_key = match path_segment("kafka_key", kafka_key) {
            Ok(()) => kafka_key.into(),
            Err(_) => Sha256::of(kafka_key.as_bytes()).to_string().into(),
        };
        Self {
            feed,
            timestamp,
            count,
            kafka_key,
        }
    }

    /// The feed whose events it holds.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// When its last valid event happened; bundles are restored in this order.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// The number of all events in it.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The Kafka key of its last valid event; empty where the Go tool found none.
    pub fn kafka_key(&self) -> &str {
        &self.kafka_key
    }
}

impl fmt::Display for BundleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}-{}-{}",
            self.feed, self.timestamp, self.count, self.kafka_key
        )
    }
}

/// The text is not the key of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not the key of a bundle (source/model/action/timestamp-count-kafka_key)", .0.escape_debug())]
pub struct NotABundleKey(String);

impl FromStr for BundleKey {
    type Err = NotABundleKey;

    fn from_str(text: &str) -> Result<Self, NotABundleKey> {
        let parse = || {
            let (feed, name) = text.rsplit_once('/')?;
            let (timestamp, rest) = name.split_once("Z-")?;
            let (count, kafka_key) = rest.split_once('-')?;
            let kafka_key = if kafka_key.is_empty() {
                kafka_key
            } else {
                path_segment("kafka_key", kafka_key).ok().map(|()| kafka_key)?
            };
            Some(Self {
                feed: feed.parse().ok()?,
                timestamp: format!("{timestamp}Z").parse().ok()?,
                count: count.parse().ok()?,
                kafka_key: kafka_key.into(),
            })
        };
        parse().ok_or_else(|| NotABundleKey(text.to_owned()))
    }
}

impl TryFrom<String> for BundleKey {
    type Error = NotABundleKey;

    fn try_from(text: String) -> Result<Self, NotABundleKey> {
        text.parse()
    }
}

impl From<BundleKey> for String {
    fn from(key: BundleKey) -> Self {
        key.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_go_tool_are_met_to_the_letter() {
        for text in [
            "samples/binary/extracted/2025-07-30T06:02:59.867075Z-20-dede7be1557d3d4aad1ac5bea8668cbf",
            "system/insert/default/2025-08-06T02:07:00Z-20-5f20c337c6a4a48ac03b74b8959553fa",
            "samples/binary/mapped/2025-07-07T05:13:35.1932Z-3-ab-cd",
            "samples/binary/mapped/0001-01-01T00:00:00Z-3-",
        ] {
            assert_eq!(text.parse::<BundleKey>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_text_is_not_a_bundle() {
        for text in [
            "",
            "samples/binary/mapped/2025Z-3-a",
            "samples/binary/mapped/x",
            "samples/2025-08-06T02:07:00Z-1-a",
        ] {
            assert!(text.parse::<BundleKey>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_hostile_kafka_key_stays_in_its_place() {
        let feed: Feed = "samples/binary/mapped".parse().unwrap();
        let key = BundleKey::new(feed, Timestamp::from_micros(0), 1, "../../etc");
        assert_eq!(key.to_string().matches('/').count(), 3);
        assert_eq!(key.to_string().parse::<BundleKey>().unwrap(), key);
    }
}
