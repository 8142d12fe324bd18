//! The promises of [`Target`], over a dispatcher that behaves as the real one was seen to.

use std::collections::VecDeque;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::json;

use crate::avro::ModelVersion;
use crate::avro::encode::{self, Framing};
use crate::fault::{Fault, FaultKind};
use crate::feed::{Feed, Model};
use crate::ports::bucket::ByteStream;
use crate::ports::target::{Published, Refused, Target};
use crate::stream_id::{Sha256, StreamId};

/// A target, and the dispatcher behind it.
pub trait Receiver {
    /// What is put to the test.
    type Target: Target;

    /// The target.
    fn target(&self) -> &Self::Target;

    /// The Kafka keys of what the dispatcher has taken for a feed, in order.
    fn received(&self, feed: &Feed) -> Vec<String>;

    /// All events are dropped by a filter of this name from now on.
    fn filter(&self, name: &'static str);

    /// All events are older than their source keeps from now on.
    fn age_off(&self);

    /// The event of this key is refused from now on.
    fn refuse(&self, kafka_key: &'static str, reason: &'static str);
}

/// Runs the suite; `make` makes an empty dispatcher.
pub async fn all<R: Receiver>(make: impl Fn() -> R) {
    a_bulk_of_any_known_version_is_taken_in_order(make()).await;
    a_repeat_is_taken_again(make()).await;
    an_invalid_event_ends_the_bulk_without_a_word(make()).await;
    what_does_not_decode_is_not_taken(make()).await;
    one_event_too_large_does_not_keep_the_others(make()).await;
    what_is_filtered_or_aged_off_is_told_when_nothing_else_is_left(make()).await;
    a_refused_event_is_named(make()).await;
    an_uploaded_binary_is_there(make()).await;
    content_that_is_not_what_it_says_is_corrupt(make()).await;
    content_that_fails_leaves_nothing(make()).await;
}

/// The feed of these events.
pub fn feed() -> Feed {
    "samples/binary/mapped".parse().expect("a feed")
}

fn event(version: ModelVersion, key: &str, padding: usize) -> Vec<u8> {
    let author = json!({ "name": if key == "invalid" { "" } else { "somebody" } });
    let node = json!({
        "author": { "name": "somebody" }, "action": "mapped", "sha256": "5c".repeat(32),
        "timestamp": "2025-08-01T00:00:00Z",
    });
    let info = if padding > 0 {
        json!("x".repeat(padding))
    } else {
        json!(null)
    };
    let event = json!({
        "model_version": version.number(), "kafka_key": key, "timestamp": "2025-08-01T00:00:00Z",
        "author": author, "action": "mapped", "entity": { "sha256": "5c".repeat(32), "info": info },
        "source": { "name": "samples", "path": [node], "timestamp": "2025-08-01T00:00:00Z" },
    });
    encode::event(Model::Binary, version, &event, &mut Framing::default())
}

fn bulk_of(version: ModelVersion, events: &[Vec<u8>]) -> Bytes {
    encode::bulk(version, events, &mut Framing::default()).into()
}

/// A bulk of events with these Kafka keys; the one named `invalid` is so.
pub fn bulk(keys: &[&str]) -> Vec<u8> {
    let events = keys.iter().map(|key| event(ModelVersion::V6, key, 0));
    bulk_of(ModelVersion::V6, &events.collect::<Vec<_>>()).into()
}

async fn publish(receiver: &impl Receiver, keys: &[&str]) -> Published {
    let published = receiver.target().publish(&feed(), bulk(keys).into()).await;
    published.expect("an answer about the events")
}

fn took(ok: u64) -> Published {
    Published::Took {
        ok,
        failed: 0,
        refused: Vec::new(),
    }
}

async fn a_bulk_of_any_known_version_is_taken_in_order(receiver: impl Receiver) {
    let mut expected = Vec::new();
    for version in ModelVersion::ALL {
        let keys = ["c", "a", "b"].map(|key| format!("{key}{}", version.number()));
        let events: Vec<_> = keys.iter().map(|key| event(version, key, 0)).collect();
        let published = receiver
            .target()
            .publish(&feed(), bulk_of(version, &events))
            .await;
        assert_eq!(published.expect("an answer"), took(3), "{version:?}");
        expected.extend(keys);
    }
    assert_eq!(receiver.received(&feed()), expected);
}

async fn a_repeat_is_taken_again(receiver: impl Receiver) {
    for _ in 0..2 {
        assert_eq!(publish(&receiver, &["a", "b"]).await, took(2));
    }
    assert_eq!(receiver.received(&feed()), ["a", "b", "a", "b"]);
}

async fn an_invalid_event_ends_the_bulk_without_a_word(receiver: impl Receiver) {
    assert_eq!(publish(&receiver, &["a", "b", "invalid", "c"]).await, took(2));
    let first = publish(&receiver, &["invalid", "c"]).await;
    assert!(
        matches!(first, Published::Filtered { accounted: 0, .. }),
        "{first:?}"
    );
    assert_eq!(receiver.received(&feed()), ["a", "b"]);
}

async fn what_does_not_decode_is_not_taken(receiver: impl Receiver) {
    let whole = bulk(&["a", "b"]);
    let unknown = [&[14], &whole[1..]].concat();
    for bad in [&whole[..whole.len() - 2], b"\x80garbage", b"", &unknown] {
        let bulk = Bytes::copy_from_slice(bad);
        let published = receiver.target().publish(&feed(), bulk).await;
        let published = published.expect("an answer about the events");
        assert!(matches!(published, Published::NotTaken { .. }), "{published:?}");
    }
    assert_eq!(receiver.received(&feed()), [""; 0]);
}

async fn one_event_too_large_does_not_keep_the_others(receiver: impl Receiver) {
    let sized = [("a", 0), ("large", 3_200_000), ("b", 0)];
    let events = sized.map(|(key, padding)| event(ModelVersion::V6, key, padding));
    let bulk = bulk_of(ModelVersion::V6, &events);
    let published = receiver.target().publish(&feed(), bulk).await;
    let published = published.expect("an answer about the events");
    assert!(
        matches!(published, Published::NotProduced { .. }),
        "{published:?}"
    );
    assert_eq!(receiver.received(&feed()), ["a", "b"]);
}

async fn what_is_filtered_or_aged_off_is_told_when_nothing_else_is_left(receiver: impl Receiver) {
    receiver.filter("too, deep: 3");
    let filtered = publish(&receiver, &["a", "b"]).await;
    assert!(
        matches!(filtered, Published::Filtered { accounted: 2, .. }),
        "{filtered:?}"
    );
    let hidden = publish(&receiver, &["a", "invalid", "b"]).await;
    assert!(
        matches!(hidden, Published::Filtered { accounted: 1, .. }),
        "{hidden:?}"
    );
    receiver.age_off();
    for keys in [&["a", "b"][..], &["a", "invalid", "b"]] {
        let aged_off = publish(&receiver, keys).await;
        assert!(matches!(aged_off, Published::AgedOff { .. }), "{aged_off:?}");
    }
    assert_eq!(receiver.received(&feed()), [""; 0]);
}

async fn a_refused_event_is_named(receiver: impl Receiver) {
    receiver.refuse("b", "not welcome");
    let refused = vec![Refused {
        kafka_key: Some("b".to_owned()),
        reason: "not welcome".to_owned(),
    }];
    assert_eq!(
        publish(&receiver, &["a", "b", "c"]).await,
        Published::Took {
            ok: 2,
            failed: 1,
            refused
        }
    );
    assert_eq!(receiver.received(&feed()), ["a", "c"]);
}

/// Content in chunks, which may fail at its end.
struct Chunks(VecDeque<Bytes>, Option<Fault>);

impl Chunks {
    fn of(content: &[u8], end: Option<Fault>) -> Box<Self> {
        let chunks = content.chunks(50_000).map(Bytes::copy_from_slice);
        Box::new(Self(chunks.collect(), end))
    }
}

#[async_trait(?Send)]
impl ByteStream for Chunks {
    fn length(&self) -> Option<u64> {
        None
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        match (self.0.pop_front(), self.1.take()) {
            (Some(chunk), end) => {
                self.1 = end;
                Ok(Some(chunk))
            }
            (None, Some(fault)) => Err(fault),
            (None, None) => Ok(None),
        }
    }
}

/// Small and large ones.
fn contents() -> [Vec<u8>; 3] {
    [1, 100_000, 2_500_000].map(|size: u32| (0..size).map(|n| (n % 251) as u8).collect())
}

fn named(content: &[u8]) -> StreamId {
    let sha256 = Sha256::of(content).to_string();
    StreamId::new("samples", "content", &sha256).expect("a stream")
}

async fn an_uploaded_binary_is_there(receiver: impl Receiver) {
    for content in contents() {
        let stream = named(&content);
        assert!(!receiver.target().exists(&stream).await.expect("an answer"));
        let received = receiver
            .target()
            .upload(&stream, Chunks::of(&content, None))
            .await;
        let received = received.expect("it is taken");
        assert_eq!(
            (received.sha256, received.size),
            (*stream.sha256(), content.len() as u64)
        );
        assert!(receiver.target().exists(&stream).await.expect("an answer"));
    }
}

async fn content_that_is_not_what_it_says_is_corrupt(receiver: impl Receiver) {
    for content in contents().into_iter().chain([Vec::new()]) {
        let stream = named(b"something else");
        let upload = receiver.target().upload(&stream, Chunks::of(&content, None));
        let fault = upload.await.expect_err("it is not what it says");
        assert_eq!(fault.kind(), FaultKind::Corrupt, "{fault}");
        assert!(!receiver.target().exists(&stream).await.expect("an answer"));
    }
}

async fn content_that_fails_leaves_nothing(receiver: impl Receiver) {
    for content in contents() {
        let stream = named(&content);
        let own = Fault::corrupt("gunzip", "key", "the content's own");
        let upload = receiver.target().upload(&stream, Chunks::of(&content, Some(own)));
        let fault = upload.await.expect_err("its content failed");
        assert_eq!(fault.to_string(), "gunzip key: the content's own");
        assert!(!receiver.target().exists(&stream).await.expect("an answer"));
    }
}
