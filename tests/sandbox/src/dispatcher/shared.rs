//! What the handlers of the stand-in share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::broker::{Broker, Fate};
use super::faults::{Call, Fault, Faults};
use super::receipts::{PublishTotals, Published, Receipts, UploadTotals};
use super::streams::Streams;

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When, since the stand-in came into being.
    pub at: Duration,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The query, undecoded.
    pub query: String,
    /// The `User-Agent`.
    pub user_agent: String,
}

/// What happens to events that are published.
#[derive(Clone, Debug, Default)]
pub struct SourceRules {
    /// Events whose `source.timestamp` is older than this many microseconds before now are aged off at once.
    pub expire_micros: BTreeMap<String, i64>,
    /// Filters by name: events of this source (first) are dropped by the filter (second).
    pub filters: Vec<(String, String)>,
    /// Events with this Kafka key are refused for this reason.
    pub refused: BTreeMap<String, String>,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// State of the stand-in; outlives its restarts.
#[derive(Debug)]
pub struct Shared {
    broker: Mutex<Broker>,
    streams: Mutex<Streams>,
    receipts: Mutex<Receipts>,
    forgets: AtomicBool,
    arrivals: Mutex<Vec<Arrival>>,
    faults: Mutex<Faults>,
    ready_at: Mutex<Instant>,
    rules: Mutex<SourceRules>,
    model_version: AtomicI64,
    kafka_hangs: AtomicBool,
    parts_swapped: AtomicBool,
    empty_without_bytes: AtomicBool,
    /// Whether answers that have events are kept back, and how many are.
    hold: watch::Sender<bool>,
    held: AtomicUsize,
    hurry: u32,
    bytes_out: AtomicU64,
    bytes_in: AtomicU64,
    uploads: AtomicUsize,
    uploads_peak: AtomicUsize,
    pub(super) arrival: Notify,
    changes: Mutex<u64>,
    change: Condvar,
    born: Instant,
}

impl Shared {
    pub(super) fn new(dedupe: bool, model_version: i64, hurry: u32) -> Self {
        Self {
            broker: Mutex::new(Broker::new(dedupe)),
            streams: Mutex::default(),
            receipts: Mutex::default(),
            forgets: AtomicBool::new(false),
            arrivals: Mutex::default(),
            faults: Mutex::default(),
            ready_at: Mutex::new(Instant::now()),
            rules: Mutex::default(),
            model_version: AtomicI64::new(model_version),
            kafka_hangs: AtomicBool::new(false),
            parts_swapped: AtomicBool::new(false),
            empty_without_bytes: AtomicBool::new(false),
            hold: watch::Sender::new(false),
            held: AtomicUsize::new(0),
            hurry: hurry.max(1),
            bytes_out: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            uploads: AtomicUsize::new(0),
            uploads_peak: AtomicUsize::new(0),
            arrival: Notify::new(),
            changes: Mutex::default(),
            change: Condvar::new(),
            born: Instant::now(),
        }
    }

    /// Feeds, consumers and the record of who got what.
    pub fn broker(&self) -> MutexGuard<'_, Broker> {
        locked(&self.broker)
    }

    pub(super) fn streams(&self) -> MutexGuard<'_, Streams> {
        locked(&self.streams)
    }

    /// `source/label/sha256` of all streams that it has.
    pub fn stream_keys(&self) -> std::collections::BTreeSet<String> {
        self.streams().bodies.keys().cloned().collect()
    }

    /// All streams that it has.
    pub(crate) fn bodies(&self) -> BTreeMap<String, super::streams::Body> {
        self.streams().bodies.clone()
    }

    /// The size of a stream that it has; `source/label/sha256`.
    pub fn stream_size(&self, key: &str) -> Option<u64> {
        self.streams().bodies.get(key).map(super::streams::Body::size)
    }

    pub(super) fn receipts(&self) -> MutexGuard<'_, Receipts> {
        locked(&self.receipts)
    }

    /// The events of a feed that were published and went to Kafka, in the order in which they were received.
    pub fn published(&self, feed: &actors::feed::Feed) -> Published {
        self.receipts().of(feed)
    }

    /// The feeds to which anything was published.
    pub fn published_feeds(&self) -> Vec<actors::feed::Feed> {
        self.receipts().feeds()
    }

    /// Counts over all that was published.
    pub fn publish_totals(&self) -> PublishTotals {
        self.receipts().published
    }

    /// Counts over all that was uploaded.
    pub fn upload_totals(&self) -> UploadTotals {
        self.receipts().uploaded
    }

    /// From now on keeps only names, sizes and hashes of what is written to it: for runs that write gigabytes.
    pub fn set_forgets(&self, forgets: bool) {
        self.forgets.store(forgets, Ordering::SeqCst);
    }

    pub(crate) fn forgets(&self) -> bool {
        self.forgets.load(Ordering::SeqCst)
    }

    pub(super) fn rules(&self) -> MutexGuard<'_, SourceRules> {
        locked(&self.rules)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        locked(&self.faults)
    }

    pub(super) fn fault(&self, call: Call) -> Option<Fault> {
        self.faults().take(call)
    }

    pub(super) fn settle(&self, pull: u64, fate: Fate) {
        self.broker().settle(pull, fate);
        self.changed();
    }

    pub(super) fn ready_at(&self) -> Instant {
        *locked(&self.ready_at)
    }

    pub(super) fn set_ready_after(&self, wait: Duration) {
        *locked(&self.ready_at) = Instant::now() + wait;
        self.arrival.notify_waiters();
    }

    pub(super) fn arrived(&self, arrival: Arrival) {
        locked(&self.arrivals).push(arrival);
        self.changed();
    }

    pub(super) fn age(&self) -> Duration {
        self.born.elapsed()
    }

    /// Every request so far.
    pub fn arrivals(&self) -> Vec<Arrival> {
        locked(&self.arrivals).clone()
    }

    pub(super) fn model_version(&self) -> i64 {
        self.model_version.load(Ordering::SeqCst)
    }

    /// How long a pull with this deadline is kept open.
    pub(super) fn hurried(&self, deadline: Duration) -> Duration {
        deadline / self.hurry
    }

    pub(super) fn kafka_hangs(&self) -> bool {
        self.kafka_hangs.load(Ordering::SeqCst)
    }

    pub(super) fn parts_swapped(&self) -> bool {
        self.parts_swapped.load(Ordering::SeqCst)
    }

    pub(super) fn empty_without_bytes(&self) -> bool {
        self.empty_without_bytes.load(Ordering::SeqCst)
    }

    pub(super) fn count_bytes_out(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes of bodies that were handed to connections.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out.load(Ordering::Relaxed)
    }

    pub(super) fn count_bytes_in(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes of bodies that have come in, whatever became of them.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Ordering::Relaxed)
    }

    pub(super) fn upload_begins(&self) {
        let now = self.uploads.fetch_add(1, Ordering::Relaxed) + 1;
        self.uploads_peak.fetch_max(now, Ordering::Relaxed);
    }

    pub(super) fn upload_ends(&self) {
        self.uploads.fetch_sub(1, Ordering::Relaxed);
    }

    /// The most uploads that were under way at once.
    pub fn uploads_at_once(&self) -> usize {
        self.uploads_peak.load(Ordering::Relaxed)
    }

    /// How many streams it has.
    pub fn stream_count(&self) -> usize {
        self.streams().bodies.len()
    }

    /// Serves bulks of this model version from now on, as after an upgrade of Azul.
    pub fn set_model_version(&self, version: i64) {
        self.model_version.store(version, Ordering::SeqCst);
    }

    /// With Kafka hanging, pulls are answered with no events and `ready:true`, publishing is not answered.
    pub fn set_kafka_hangs(&self, hangs: bool) {
        self.kafka_hangs.store(hangs, Ordering::SeqCst);
        self.arrival.notify_waiters();
    }

    /// Sends the part with the events before the one with the information.
    pub fn set_parts_swapped(&self, swapped: bool) {
        self.parts_swapped.store(swapped, Ordering::SeqCst);
    }

    /// Answers without events have an events part of no bytes at all, instead of an empty array.
    pub fn set_empty_without_bytes(&self, without: bool) {
        self.empty_without_bytes.store(without, Ordering::SeqCst);
    }

    /// Something that a test may wait for has happened.
    /// Keeps answers that have events back, whole, until this is called with false.
    pub fn hold_answers(&self, hold: bool) {
        self.hold.send_replace(hold);
    }

    /// How many answers are kept back.
    pub fn held_answers(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Returns when answers are not kept back.
    pub(super) async fn pass_hold(&self) {
        let mut hold = self.hold.subscribe();
        self.held.fetch_add(1, Ordering::Relaxed);
        // The sender lives in `self`.
        let _ = hold.wait_for(|hold| !hold).await;
        self.held.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn changed(&self) {
        *locked(&self.changes) += 1;
        self.change.notify_all();
    }

    /// Waits until `reached` holds; looks whenever something has happened. False after `longest`.
    pub fn wait_until(&self, longest: Duration, mut reached: impl FnMut(&Self) -> bool) -> bool {
        let end = std::time::Instant::now() + longest;
        loop {
            let seen = *locked(&self.changes);
            if reached(self) {
                return true;
            }
            let changes = locked(&self.changes);
            let left = end.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self
                .change
                .wait_timeout_while(changes, left, |changes| *changes == seen);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }
}
