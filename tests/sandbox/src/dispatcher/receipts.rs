//! What was written to the dispatcher, in the order in which it was received, repeats included.

use std::collections::{BTreeMap, HashSet};

use actors::avro::ModelVersion;
use actors::feed::Feed;
use actors::stream_id::Sha256;
use actors::timestamp::Timestamp;

/// An event that was published and went to Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its key, as the publisher sent it: what repeats have in common.
    pub kafka_key: Box<str>,
    /// When it happened.
    pub timestamp: Timestamp,
    /// The version of the bulk in which it was sent.
    pub version: ModelVersion,
    /// The hash of its bytes as they were sent, in the version in which they were sent.
    pub sha256: Sha256,
    /// In which of the requests that published something, counted from 0.
    pub request: u64,
}

/// Counts over all that was published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishTotals {
    /// Requests that arrived whole, whatever became of them.
    pub requests: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Events that went to Kafka, repeats included.
    pub events: u64,
}

/// Counts over all that was uploaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UploadTotals {
    /// Requests that began, whatever became of them.
    pub requests: u64,
    /// Uploads that were taken, repeats included.
    pub taken: u64,
    /// Bytes of what was taken.
    pub bytes: u64,
}

/// All receipts of one feed.
#[derive(Clone, Debug, Default)]
pub struct Published(pub Vec<Receipt>);

impl Published {
    /// Without repeats: of the events with the same key and the same bytes the first.
    pub fn distinct(&self) -> Vec<&Receipt> {
        let mut seen = HashSet::new();
        let mut distinct: Vec<&Receipt> = self.0.iter().collect();
        distinct.retain(|receipt| {
            let Receipt {
                kafka_key, sha256, ..
            } = *receipt;
            seen.insert((kafka_key, *sha256))
        });
        distinct
    }

    /// The first event that is older than one that was received before it, repeats left out.
    pub fn inversion(&self) -> Option<(&Receipt, &Receipt)> {
        let distinct = self.distinct();
        let mut pairs = distinct.windows(2);
        pairs
            .find(|pair| pair[1].timestamp < pair[0].timestamp)
            .map(|pair| (pair[0], pair[1]))
    }
}

/// The record.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    feeds: BTreeMap<Feed, Vec<Receipt>>,
    pub(super) published: PublishTotals,
    pub(super) uploaded: UploadTotals,
}

impl Receipts {
    /// A request with a body of so many bytes; returns its number.
    pub(super) fn request(&mut self, bytes: usize) -> u64 {
        self.published.bytes += bytes as u64;
        self.published.requests += 1;
        self.published.requests - 1
    }

    pub(super) fn event(&mut self, feed: &Feed, receipt: Receipt) {
        self.published.events += 1;
        match self.feeds.get_mut(feed) {
            Some(receipts) => receipts.push(receipt),
            None => drop(self.feeds.insert(feed.clone(), vec![receipt])),
        }
    }

    pub(super) fn of(&self, feed: &Feed) -> Published {
        Published(self.feeds.get(feed).cloned().unwrap_or_default())
    }

    pub(super) fn feeds(&self) -> Vec<Feed> {
        self.feeds.keys().cloned().collect()
    }
}
