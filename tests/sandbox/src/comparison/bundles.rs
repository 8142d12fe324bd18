//! The time order of the bundles in a bucket, and which events lie in which of them. Read without any code of the
//! program but its names of objects and its schemas.

use std::collections::HashMap;
use std::path::Path;

use actors::feed::Feed;
use actors::object_key::BundleKey;

use crate::audit;
use crate::decode::{self, text};

/// An event that lies in several bundles says nothing about their order.
const SEVERAL: u32 = u32::MAX;

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
        let mut found: Vec<(BundleKey, Vec<Box<str>>)> = Vec::new();
        audit::for_each_bundle(root, prefix, |key, bulk| {
            let events = decode::bulk(key.feed().model(), bulk).map(|decoded| decoded.events);
            let keys = events.iter().flatten();
            let keys = keys.map(|event| text(&event.value, &["kafka_key"]).into());
            found.push((key.clone(), keys.collect()));
        })?;
        found.sort_by_cached_key(|(key, _)| (key.timestamp(), key.to_string()));
        let mut bundles = Self::default();
        for (place, (key, keys)) in (0..).zip(found) {
            let places = bundles.feeds.entry(key.feed().clone()).or_default();
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
