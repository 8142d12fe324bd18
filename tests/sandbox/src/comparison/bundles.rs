//! The time order of the bundles in a bucket, and which events lie in which of them. Read without any code of the
//! program but its names of objects and its schemas.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use actors::feed::Feed;
use actors::object_key::BundleKey;
use actors::timestamp::Timestamp;

use crate::audit;
use crate::decode::{self, text};

/// An event that lies in several bundles says nothing about their order.
const SEVERAL: u32 = u32::MAX;

/// Bundles sort by their time, then by their keys.
type InTime = (Timestamp, String);

/// The events of a bundle, by their keys.
type Held = (Feed, Vec<Box<str>>);

/// For every event the place of its bundle in the time order of its feed.
#[derive(Clone, Debug, Default)]
pub struct Bundles {
    feeds: HashMap<Feed, HashMap<Box<str>, u32>>,
}

impl Bundles {
    /// Those of the bucket `{prefix}-events` below `root`; what cannot be read is left out, and the events of bulks of
    /// an unknown version, too.
    ///
    /// # Errors
    /// A folder or a file cannot be read.
    pub fn read(root: &Path, prefix: &str) -> anyhow::Result<Self> {
        let mut found: BTreeMap<InTime, Held> = BTreeMap::new();
        audit::for_each_bundle(root, prefix, |key: &BundleKey, bulk| {
            let events = decode::bulk(key.feed().model(), bulk).map(|decoded| decoded.events);
            let keys = events.iter().flatten();
            let keys = keys.map(|event| text(&event.value, &["kafka_key"]).into());
            found.insert(
                (key.timestamp(), key.to_string()),
                (key.feed().clone(), keys.collect()),
            );
        })?;
        let mut bundles = Self::default();
        for (place, (feed, keys)) in (0..).zip(found.into_values()) {
            let places = bundles.feeds.entry(feed).or_default();
            for key in keys {
                places
                    .entry(key)
                    .and_modify(|known| *known = SEVERAL)
                    .or_insert(place);
            }
        }
        Ok(bundles)
    }

    /// The place of the bundle of an event; none where it lies in no bundle, or in several.
    pub(super) fn place(&self, feed: &Feed, kafka_key: &str) -> Option<i64> {
        let place = *self.feeds.get(feed)?.get(kafka_key)?;
        (place != SEVERAL).then_some(i64::from(place))
    }
}
