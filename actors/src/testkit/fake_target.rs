//! A dispatcher that is written to: it answers as the real one does, by a rule that decides the fate of each event.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use sha2::Digest;

use super::calls::Calls;
use super::lock;
use crate::avro::ModelVersion;
use crate::avro::cursor::Cursor;
use crate::avro::walk::walk_event;
use crate::fault::Fault;
use crate::feed::{Feed, Model};
use crate::ports::archive::Store;
use crate::ports::bucket::ByteStream;
use crate::ports::target::{Published, Received, Refused, Target};
use crate::stream_id::{Sha256, StreamId};
use crate::timestamp::Timestamp;

/// The calls of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetCall {
    /// [`Target::publish`]; its target is the feed.
    Publish,
    /// [`Target::upload`]; its target is the stream. Trouble before its effect leaves the content unread.
    Upload,
    /// [`Target::exists`]; its target is the stream.
    Exists,
    /// [`Target::probe`]; its target is `streams` or `events`.
    Probe,
}

/// An event as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Its key in Kafka.
    pub kafka_key: String,
    /// When it happened.
    pub timestamp: Timestamp,
    /// Whether our own rules find it valid.
    pub is_valid: bool,
    /// Its bytes, as they stood in the bulk.
    pub bytes: Bytes,
}

/// What becomes of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventFate {
    /// It goes to Kafka.
    Produced,
    /// It ends the bulk without a word, and all that follow it are dropped with it.
    Invalid,
    /// A filter of this name drops it, which shows only if nothing else is left.
    Filtered(String),
    /// It is older than its source keeps, which shows only if nothing else is left.
    AgedOff,
    /// It is refused by name, for this reason.
    Refused(String),
    /// Kafka does not take it; the others are produced, and the answer is a 500.
    TooLarge,
    /// The whole bulk does not decode because of it.
    Undecodable,
}

/// The largest message that Kafka takes.
const LARGEST_MESSAGE: usize = 3_145_728;

type Rule = Box<dyn Fn(&Arrived) -> EventFate + Send>;

/// A target in memory; a clone is the same one. Streams are kept as size and hash only.
///
/// Unless a test gives it another rule, an event is invalid where our own rules say so, and too large beyond what
/// Kafka takes.
#[derive(Clone)]
pub struct FakeTarget {
    calls: Calls<TargetCall>,
    held: Arc<Mutex<Held>>,
}

struct Held {
    rule: Rule,
    published: HashMap<Feed, Vec<Arrived>>,
    requests: Vec<(Feed, usize)>,
    streams: HashMap<StreamId, u64>,
    uploads: Vec<StreamId>,
    says: HashMap<StreamId, Received>,
    claims_all: bool,
}

impl Default for FakeTarget {
    fn default() -> Self {
        let held = Held {
            rule: Box::new(usual),
            published: HashMap::new(),
            requests: Vec::new(),
            streams: HashMap::new(),
            uploads: Vec::new(),
            says: HashMap::new(),
            claims_all: false,
        };
        Self {
            calls: Calls::default(),
            held: Arc::new(Mutex::new(held)),
        }
    }
}

fn usual(event: &Arrived) -> EventFate {
    match event.is_valid {
        false => EventFate::Invalid,
        true if event.bytes.len() > LARGEST_MESSAGE => EventFate::TooLarge,
        true => EventFate::Produced,
    }
}

impl FakeTarget {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Its calls, and the trouble with them.
    pub fn calls(&self) -> &Calls<TargetCall> {
        &self.calls
    }

    /// Decides the fate of each event from now on; `None` leaves it to the usual rule. Events after an invalid one
    /// are not asked about.
    pub fn rule(&self, rule: impl Fn(&Arrived) -> Option<EventFate> + Send + 'static) {
        lock(&self.held).rule = Box::new(move |event| rule(event).unwrap_or_else(|| usual(event)));
    }

    /// What was published to a feed and produced, in order, repeats included.
    pub fn published(&self, feed: &Feed) -> Vec<Arrived> {
        lock(&self.held).published.get(feed).cloned().unwrap_or_default()
    }

    /// Every bulk that arrived, in order: its feed, and how many events it had (0 where it does not decode).
    pub fn requests(&self) -> Vec<(Feed, usize)> {
        lock(&self.held).requests.clone()
    }

    /// The size of a stream that it has.
    pub fn stream(&self, stream: &StreamId) -> Option<u64> {
        lock(&self.held).streams.get(stream).copied()
    }

    /// How many different streams it has.
    pub fn streams(&self) -> HashSet<StreamId> {
        lock(&self.held).streams.keys().cloned().collect()
    }

    /// Every upload that was taken, in order, repeats included.
    pub fn uploads(&self) -> Vec<StreamId> {
        lock(&self.held).uploads.clone()
    }

    /// Has a stream of this size already.
    pub fn hold(&self, stream: &StreamId, size: u64) {
        lock(&self.held).streams.insert(stream.clone(), size);
    }

    /// Says of every stream that it has it, as what stands before a dispatcher may.
    pub fn claim_all(&self, claims: bool) {
        lock(&self.held).claims_all = claims;
    }

    /// Says that it received this, whatever it is sent as `stream`.
    pub fn says(&self, stream: &StreamId, received: Received) {
        lock(&self.held).says.insert(stream.clone(), received);
    }
}

impl Held {
    fn publish(&mut self, feed: &Feed, bulk: &Bytes) -> Published {
        let events = events(feed.model(), bulk);
        self.requests
            .push((feed.clone(), events.as_ref().map_or(0, Vec::len)));
        let not_taken = |reason: &str| Published::NotTaken {
            reason: reason.to_owned(),
        };
        let Some(events) = events else {
            return not_taken("does not decode");
        };
        let mut fates: Vec<EventFate> = events.iter().map(|event| (self.rule)(event)).collect();
        if fates.contains(&EventFate::Undecodable) {
            return not_taken("does not decode");
        }
        let invalid = fates.iter().position(|fate| *fate == EventFate::Invalid);
        fates.truncate(invalid.unwrap_or(fates.len()));
        let (sent, judged) = (events.len(), fates.len() as u64);
        let filtered = |fate: &EventFate| matches!(fate, EventFate::Filtered(_) | EventFate::AgedOff);
        if fates.iter().all(filtered) {
            return all_filtered(&fates);
        }
        let (mut refused, mut produced, mut too_large) = (Vec::new(), 0, 0);
        for (event, fate) in events.into_iter().zip(fates) {
            match fate {
                EventFate::Produced => {
                    produced += 1;
                    self.published.entry(feed.clone()).or_default().push(event);
                }
                EventFate::Refused(reason) => refused.push(Refused {
                    kafka_key: Some(event.kafka_key),
                    reason,
                }),
                EventFate::TooLarge => too_large += 1,
                _ => {}
            }
        }
        if too_large > 0 {
            let reason =
                format!("successfully submitted {produced}/{sent} events: message too large for kafka");
            return Published::NotProduced { reason };
        }
        let failed = refused.len() as u64;
        Published::Took {
            ok: judged - failed,
            failed,
            refused,
        }
    }
}

fn all_filtered(fates: &[EventFate]) -> Published {
    if fates.contains(&EventFate::AgedOff) {
        let detail = "all events are older than their source keeps".to_owned();
        return Published::AgedOff { detail };
    }
    Published::Filtered {
        accounted: fates.len() as u64,
        detail: format!("all events were filtered out: {fates:?}"),
    }
}

/// The events of a bulk of whatever known version; `None` if it is none.
fn events(model: Model, bulk: &Bytes) -> Option<Vec<Arrived>> {
    let mut named = Cursor::new(bulk);
    let first = named.long().ok()?;
    let version = [ModelVersion::V5, ModelVersion::V6]
        .into_iter()
        .find(|version| version.number() == first);
    let as_named = version.and_then(|version| array(model, version, bulk, named));
    as_named.or_else(|| array(model, ModelVersion::V4, bulk, Cursor::new(bulk)))
}

fn array(model: Model, version: ModelVersion, bulk: &Bytes, mut at: Cursor<'_>) -> Option<Vec<Arrived>> {
    let mut events = Vec::new();
    while let Some(block) = at.block().ok()? {
        for _ in 0..block.count {
            let start = bulk.len() - at.rest().len();
            let (event, length) = walk_event(model, version, at.rest()).ok()?;
            at.take(length).ok()?;
            events.push(Arrived {
                kafka_key: event.kafka_key().into_owned(),
                timestamp: event.timestamp,
                is_valid: event.validity().is_ok(),
                bytes: bulk.slice(start..start + length),
            });
        }
    }
    at.rest().is_empty().then_some(events)
}

#[async_trait(?Send)]
impl Target for FakeTarget {
    async fn publish(&self, feed: &Feed, bulk: Bytes) -> Result<Published, Fault> {
        let publish = || Ok(lock(&self.held).publish(feed, &bulk));
        self.calls.make(TargetCall::Publish, feed, publish).await
    }

    async fn upload(&self, stream: &StreamId, mut content: Box<dyn ByteStream>) -> Result<Received, Fault> {
        const UPLOAD: &str = "upload stream";
        let running = self.calls.begin(TargetCall::Upload, stream);
        running.before().await?;
        let (mut hash, mut size) = (sha2::Sha256::new(), 0);
        while let Some(chunk) = content.chunk().await? {
            hash.update(&chunk);
            size += chunk.len() as u64;
        }
        let sha256 = Sha256::from_bytes(hash.finalize().into());
        if size == 0 {
            return Err(Fault::corrupt(UPLOAD, stream, "400: no content in request body"));
        }
        if sha256 != *stream.sha256() {
            let detail = format!("400: sha256 mismatch: calc: {sha256}");
            return Err(Fault::corrupt(UPLOAD, stream, detail));
        }
        let said = {
            let mut held = lock(&self.held);
            held.streams.insert(stream.clone(), size);
            held.uploads.push(stream.clone());
            held.says.get(stream).cloned()
        };
        running.after().await?;
        Ok(said.unwrap_or(Received { sha256, size }))
    }

    async fn probe(&self, sent: Store) -> Result<(), Fault> {
        let target = match sent {
            Store::Streams => "streams",
            Store::Events => "events",
        };
        self.calls.make(TargetCall::Probe, &target, || Ok(())).await
    }

    async fn exists(&self, stream: &StreamId) -> Result<bool, Fault> {
        let has = || {
            let held = lock(&self.held);
            Ok(held.claims_all || held.streams.contains_key(stream))
        };
        self.calls.make(TargetCall::Exists, stream, has).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance::target::{self as promises, Receiver};
    use super::*;
    use crate::testkit::Trouble;

    struct Fake(FakeTarget);

    impl Receiver for Fake {
        type Target = FakeTarget;

        fn target(&self) -> &FakeTarget {
            &self.0
        }

        fn received(&self, feed: &Feed) -> Vec<String> {
            let published = self.0.published(feed);
            published.into_iter().map(|event| event.kafka_key).collect()
        }

        fn filter(&self, name: &'static str) {
            self.0
                .rule(move |event| event.is_valid.then(|| EventFate::Filtered(name.to_owned())));
        }

        fn age_off(&self) {
            self.0.rule(|event| event.is_valid.then_some(EventFate::AgedOff));
        }

        fn refuse(&self, kafka_key: &'static str, reason: &'static str) {
            self.0.rule(move |event| {
                (event.kafka_key == kafka_key).then(|| EventFate::Refused(reason.to_owned()))
            });
        }
    }

    #[tokio::test]
    async fn a_target_in_memory_keeps_the_promises_of_the_port() {
        promises::all(|| Fake(FakeTarget::new())).await;
    }

    #[tokio::test]
    async fn a_lost_answer_has_had_its_effect_and_trouble_before_has_none() {
        let target = FakeTarget::new();
        let feed = promises::feed();
        let fault = || Fault::transient("publish", "a", "planned");
        target.calls().plan(Trouble::fails(TargetCall::Publish, fault()));
        target
            .calls()
            .plan(Trouble::loses_the_answer(TargetCall::Publish, fault()).sparing(1));
        let bulk: Bytes = promises::bulk(&["a"]).into();
        for received in [0, 1, 2] {
            let published = target.publish(&feed, bulk.clone()).await;
            assert_eq!(published.is_ok(), received == 2);
            assert_eq!(target.published(&feed).len(), received);
        }
        assert_eq!(target.requests(), [(feed.clone(), 1), (feed, 1)]);
    }
}
