//! What need not come back, and in which order the rest has to.

use std::collections::{BTreeMap, HashMap};

use actors::feed::Feed;
use serde::Serialize;

use super::Bundles;

/// Why something need not be in the second dispatcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// An event that was handed out in a pull that is recorded as suspect.
    SuspectPull,
    /// An event that a restart of the first dispatcher cost, with no pull in flight.
    LostByDispatcher,
    /// Something that the restore has recorded as a dead letter.
    DeadLetter,
    /// A stream that events name and the first dispatcher does not have.
    NotThere,
    /// A stream of which the first dispatcher has other bytes than its name says.
    WrongBytes,
    /// A stream that is named by no event that was backed up.
    NotNamed,
}

impl Reason {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SuspectPull => "events in suspect pulls",
            Self::LostByDispatcher => "events lost by restarts of the dispatcher",
            Self::DeadLetter => "dead letters of the restore",
            Self::NotThere => "streams that the dispatcher did not have",
            Self::WrongBytes => "streams that were not what their name says",
            Self::NotNamed => "streams named by no event that was backed up",
        }
    }
}

/// What a comparison does not expect in the second dispatcher; nothing, unless it is told. What is there all the same
/// is compared like everything else.
#[derive(Clone, Debug, Default)]
pub struct Allowances {
    events: HashMap<Feed, HashMap<String, Reason>>,
    streams: BTreeMap<String, Reason>,
    bundles: Option<Bundles>,
}

impl Allowances {
    /// An event that need not come back, by its Kafka key.
    pub fn allow_event(&mut self, feed: &Feed, kafka_key: impl Into<String>, reason: Reason) {
        let events = self.events.entry(feed.clone()).or_default();
        events.insert(kafka_key.into(), reason);
    }

    /// A stream (`source/label/sha256`) that need not come back.
    pub fn allow_stream(&mut self, stream: impl Into<String>, reason: Reason) {
        self.streams.insert(stream.into(), reason);
    }

    /// Feeds have to be received in the time order of these bundles. Without them, in that of the events.
    pub fn expect_order_of(&mut self, bundles: Bundles) {
        self.bundles = Some(bundles);
    }

    pub(super) fn event(&self, feed: &Feed, kafka_key: &str) -> Option<Reason> {
        self.events.get(feed)?.get(kafka_key).copied()
    }

    pub(super) fn streams(&self) -> &BTreeMap<String, Reason> {
        &self.streams
    }

    pub(super) fn bundles(&self) -> Option<&Bundles> {
        self.bundles.as_ref()
    }
}
