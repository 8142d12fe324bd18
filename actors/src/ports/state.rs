//! Local state: the facts that survive a crash, as rows beside the journal's files.
//!
//! Every change is one variant of [`Change`], and is durable when [`LocalState::record`] returns. A change that
//! touches several rows need not be atomic: rows are written in an order in which every prefix is a state that
//! the next start can finish (the new fact first, what it replaces last).

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::bucket::UploadId;
pub use super::feed_times::{FeedPulls, FeedTimes};
use super::journal::BatchFile;
pub use super::suspects::{SUSPECT_GAP, SuspectFeed, SuspectPull, SuspectSpan};
use crate::avro::BulkVersion;
use crate::fault::Fault;
use crate::feed::Feed;
use crate::object_key::{BundleKey, ObjectKey};
use crate::stream_id::StreamId;
use crate::timestamp::Timestamp;

/// "A pull of this feed is outstanding": written before the pull is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullMark {
    /// Which feed.
    pub feed: Feed,
    /// When the pull was about to be sent.
    pub since: Timestamp,
    /// Until when the dispatcher may collect for it, though nobody waits any more.
    #[serde(default)]
    pub until: Timestamp,
}

/// Names a bundle that ends with this event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventName {
    /// When the event happened.
    pub timestamp: Timestamp,
    /// Its Kafka key, as received.
    pub kafka_key: String,
}

/// What a received bulk holds, as a walk over it found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchContents {
    /// The model version that the bulk was read as.
    pub version: BulkVersion,
    /// The number of its events; for an unknown version as far as it can be told.
    pub events: u64,
    /// How many of them fail the validity rules.
    pub invalid: u64,
    /// Where the bulk lies in the journal's file, in bytes.
    pub bulk: Range<u64>,
    /// Where the bulk's array blocks lie in the journal's file: after the version, before the closing 0. What
    /// bundles are joined from. Empty for an unknown version, whose bulk is stored whole.
    pub blocks: Range<u64>,
    /// Timestamp and key of the last valid event, or of the last one where none is valid.
    pub last: EventName,
}

/// One journaled batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchRow {
    /// Its file.
    pub file: BatchFile,
    /// The length of the file in bytes.
    pub bytes: u64,
    /// What it holds.
    pub contents: BatchContents,
    /// Whether all streams that it names are rows of their own by now.
    pub streams_named: bool,
    /// How many of its events, from the front, are safe in the bucket.
    pub taken: u64,
}

impl BatchRow {
    /// Whether nothing of it is needed any more.
    pub fn is_done(&self) -> bool {
        self.streams_named && self.taken >= self.contents.events
    }
}

/// A run of events of one batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The batch, by [`BatchFile::seq`].
    pub seq: u64,
    /// Which of its events, counted from 0.
    pub events: Range<u64>,
}

/// A bundle whose key and bytes are settled, so that a lost acknowledgement or a crash repeats the very same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedBundle {
    /// Its key.
    pub key: BundleKey,
    /// The model version of all its events.
    pub version: BulkVersion,
    /// Its events, in order.
    pub members: Vec<Member>,
    /// How often the members are repeated in it; 1, unless a bundle of one event found its key taken by other
    /// bytes (see `event_backup`).
    pub copies: u32,
}

/// A stream that was named by an event and is not yet safe in the bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingStream {
    /// Its place in the queue; lower ones were named earlier.
    pub ticket: u64,
    /// Which stream.
    pub stream: StreamId,
    /// When it was first named.
    pub named: Timestamp,
    /// How often it has failed, in all starts.
    pub failures: u32,
    /// In how many starts it has failed.
    pub failed_starts: u32,
    /// The start (see [`LocalState::start_number`]) in which it failed last; 0 if it never did.
    pub last_failed_start: u64,
    /// What went wrong last.
    pub last_fault: Option<String>,
    /// Whether an operator put it back: its counts began anew, but what it does is a repetition of what failed
    /// before, and says nothing of the servers.
    #[serde(default)]
    pub put_back: bool,
}

impl PendingStream {
    /// Never tried yet.
    pub fn new(ticket: u64, stream: StreamId, named: Timestamp) -> Self {
        Self {
            ticket,
            stream,
            named,
            failures: 0,
            failed_starts: 0,
            last_failed_start: 0,
            last_fault: None,
            put_back: false,
        }
    }
}

/// A stream that the dispatcher did not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingStream {
    /// Which stream.
    pub stream: StreamId,
    /// When it was first found missing.
    pub since: Timestamp,
    /// When the dispatcher was asked last.
    pub asked: Timestamp,
    /// How often it was asked.
    pub times: u32,
}

/// When a stream that was missing is asked for once more.
pub const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(24 * 3600);

impl MissingStream {
    /// Whether it is time to ask for it once more: it was asked for last before `asked_before`, and never yet a
    /// day after it was first found missing. Other events that named it meanwhile do not stand in for that.
    pub fn wants_second_look(&self, asked_before: Timestamp) -> bool {
        self.asked < asked_before && self.asked < self.since.after(ASKED_AGAIN_AFTER)
    }
}

/// A stream that is not tried again by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedStream {
    /// Which stream.
    pub stream: StreamId,
    /// When it was first named.
    pub named: Timestamp,
    /// When it was set aside.
    pub since: Timestamp,
    /// How often it was tried.
    pub failures: u32,
    /// What went wrong last.
    pub fault: String,
}

/// A multipart upload that is open, or may be: what a crash leaves open is aborted at the next start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OpenUpload {
    /// Whether it lies in the bucket of events.
    pub bundle: bool,
    /// The key of the object, as text.
    pub key: String,
    /// What the bucket called the upload. `None`: uploads of this key may have begun whose ids are not known.
    pub upload: Option<String>,
    /// When it was logged; the beginning of time in rows of earlier versions.
    #[serde(default)]
    pub since: Timestamp,
    /// In which start (see [`LocalState::start_number`]) it was logged; 0 in rows of earlier versions.
    #[serde(default)]
    pub start: u64,
}

impl OpenUpload {
    /// The upload `id` of the object `key`, logged in this start.
    pub fn new(key: &ObjectKey, id: &UploadId, start: u64, since: Timestamp) -> Self {
        Self {
            upload: Some(id.0.clone()),
            ..Self::in_doubt(key, start, since)
        }
    }

    /// Uploads of the object `key` that may have begun in this start.
    pub fn in_doubt(key: &ObjectKey, start: u64, since: Timestamp) -> Self {
        Self {
            bundle: matches!(key, ObjectKey::Bundle(_)),
            key: key.to_string(),
            upload: None,
            since,
            start,
        }
    }

    /// What tells this row from the others of its object: the id, or the time where there is none.
    pub fn name(&self) -> String {
        match &self.upload {
            Some(id) => id.clone(),
            None => format!("/{}", self.since.as_micros()),
        }
    }

    /// Whose upload it is.
    ///
    /// # Errors
    /// The text is not a key.
    pub fn object_key(&self) -> Result<ObjectKey, Fault> {
        let parsed = if self.bundle {
            let key = self.key.parse::<BundleKey>();
            key.map(ObjectKey::Bundle).map_err(|error| error.to_string())
        } else {
            let key = self.key.parse::<StreamId>();
            key.map(ObjectKey::Stream).map_err(|error| error.to_string())
        };
        parsed.map_err(|error| Fault::corrupt("abort upload", &self.key, error))
    }
}

/// One change of the facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A pull is about to be sent.
    PullMarked(PullMark),
    /// A pull ended without a batch to journal; `Some` if it may have cost events.
    PullEnded(Feed, Option<SuspectPull>),
    /// A batch is in its file, since then; the mark of its feed goes with it.
    BatchJournaled(BatchRow, Timestamp),
    /// So the pulls of these feeds stand.
    PullsNoted(Vec<FeedPulls>),
    /// Something may have been lost, whatever became of the pull.
    PullSuspected(SuspectPull),
    /// All streams that a batch names are pending by now.
    StreamsNamed(Feed, u64),
    /// A bundle's key and members are settled; replaces an earlier seal of the same feed.
    BundleSealed(SealedBundle),
    /// The sealed bundle of this feed is in the bucket, since then: its members count as taken, the seal goes.
    BundleWritten(BundleKey, Timestamp),
    /// The file of a batch has been unlinked.
    BatchRemoved(Feed, u64),
    /// A stream is safe in the bucket: whatever was remembered of it goes.
    StreamStored(StreamId),
    /// The dispatcher does not have the stream. One that is set aside stays what it is.
    StreamMissing(StreamId, Timestamp),
    /// A stream failed, at this start, for a reason of its own; it stays pending under its ticket.
    StreamFailed(StreamId, String),
    /// A stream could not be stored because the bucket or the dispatcher did not work, which says nothing of the
    /// stream: it stays pending under its ticket, and the start does not count against it.
    StreamDelayed(StreamId, String),
    /// A pending stream is moved to the failed ones; whether it was missing before is forgotten.
    StreamSetAside(StreamId, Timestamp),
    /// A multipart upload has begun, or is about to.
    UploadBegun(OpenUpload),
    /// It is complete, or aborted, or never began.
    UploadEnded(OpenUpload),
}

/// What became of streams that were named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamedStreams {
    /// How many are pending since this call.
    pub added: u32,
    /// How many were pending already, are set aside as failed, or were found missing less than
    /// [`MISSING_REST`] ago.
    pub dropped: u32,
    /// The highest ticket among those pending; `None` if none is.
    pub last_ticket: Option<u64>,
}

/// What became of streams that an operator wants to be tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutBack {
    /// How many were set aside.
    pub failed: u32,
    /// How many were missing.
    pub missing: u32,
    /// How many were neither.
    pub neither: u32,
    /// The highest ticket among those that are pending now; `None` if none was put back.
    pub last_ticket: Option<u64>,
}

/// One slice of a look through the missing streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revived {
    /// How many are pending since this call.
    pub count: u64,
    /// After which stream the next slice begins; `None`: all have been looked at.
    pub next: Option<StreamId>,
}

/// How long a stream that was missing is not asked for again when another event names it.
pub const MISSING_REST: Duration = Duration::from_secs(3600);

/// How many rows there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateCounts {
    /// Streams not yet safe in the bucket.
    pub pending: u64,
    /// Streams that the dispatcher did not have.
    pub missing: u64,
    /// Streams set aside.
    pub failed: u64,
    /// Spans of pulls that may have cost events; one span may stand for many pulls.
    pub suspect_pulls: u64,
}

/// Local state failed; what was asked for may not be durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateFault {
    /// There is no room on the disk: goes on by itself when there is.
    #[error("local state: no room on the disk: {0}")]
    Full(String),
    /// Anything else: the program has to end.
    #[error("local state: {0}")]
    Broken(String),
}

/// Rows that survive a crash. Reads see every change whose [`LocalState::record`] has returned.
#[async_trait(?Send)]
pub trait LocalState {
    /// Makes a change durable, and only then returns. Changes of one caller take effect in their order.
    ///
    /// # Errors
    /// See [`StateFault`].
    async fn record(&self, change: Change) -> Result<(), StateFault>;

    /// Makes streams pending that are not yet; each gets the next ticket. Durable on return.
    ///
    /// # Errors
    /// See [`StateFault`].
    async fn name_streams(&self, streams: Vec<StreamId>, now: Timestamp) -> Result<NamedStreams, StateFault>;

    /// Looks at up to `limit` missing streams that follow `after` (all of them, from the first, over several
    /// calls), and puts those that [want a second look](MissingStream::wants_second_look) back among the pending
    /// ones, each with the next ticket.
    ///
    /// # Errors
    /// See [`StateFault`].
    async fn revive_missing(
        &self,
        after: Option<StreamId>,
        limit: usize,
        asked_before: Timestamp,
        now: Timestamp,
    ) -> Result<Revived, StateFault>;

    /// Puts streams that are set aside or missing back among the pending ones, each with the next ticket and with
    /// its counts begun anew; they are neither failed nor missing any more. Some hundred at most. Durable on return.
    ///
    /// # Errors
    /// See [`StateFault`].
    async fn put_back(&self, streams: Vec<StreamId>, now: Timestamp) -> Result<PutBack, StateFault>;

    /// Which start of the program this is, counted from 1 over the life of the state.
    fn start_number(&self) -> u64;

    /// Pulls that were outstanding.
    ///
    /// # Errors
    /// See [`StateFault`].
    fn marks(&self) -> Result<Vec<PullMark>, StateFault>;

    /// Journaled batches, by feed and in the order of receipt.
    ///
    /// # Errors
    /// See [`StateFault`].
    fn batches(&self) -> Result<Vec<BatchRow>, StateFault>;

    /// Sealed bundles that are not known to be in the bucket; at most one per feed.
    ///
    /// # Errors
    /// See [`StateFault`].
    fn sealed(&self) -> Result<Vec<SealedBundle>, StateFault>;

    /// When each feed last had an event, a bundle and a pull, and since when it has been behind, by feed; as far as it was
    /// noted, which earlier versions did not.
    ///
    /// # Errors
    /// See [`StateFault`].
    fn feed_times(&self) -> Result<Vec<FeedTimes>, StateFault>;

    /// Pending streams with a ticket of at least `from`, in their order.
    ///
    /// # Errors
    /// See [`StateFault`].
    fn pending_from(&self, from: u64, limit: usize) -> Result<Vec<PendingStream>, StateFault>;

    /// The highest ticket among the pending streams; `None` if none is pending.
    ///
    /// # Errors
    /// See [`StateFault`].
    fn highest_ticket(&self) -> Result<Option<u64>, StateFault>;

    /// Up to `limit` streams set aside that follow `after`, in an order of the state's own.
    ///
    /// # Errors
    /// See [`StateFault`].
    fn failed_from(&self, after: Option<&StreamId>, limit: usize) -> Result<Vec<FailedStream>, StateFault>;

    /// Up to `limit` streams that the dispatcher did not have that follow `after`, in an order of the state's own.
    ///
    /// # Errors
    /// See [`StateFault`].
    fn missing_from(&self, after: Option<&StreamId>, limit: usize) -> Result<Vec<MissingStream>, StateFault>;

    /// Up to `limit` spans of pulls that may have cost events that follow the one of this feed and
    /// [`SuspectSpan::since`]; feed by feed, those of a feed oldest first.
    ///
    /// # Errors
    /// See [`StateFault`].
    fn suspects_from(
        &self,
        after: Option<(&Feed, Timestamp)>,
        limit: usize,
    ) -> Result<Vec<SuspectSpan>, StateFault>;

    /// The suspect pulls of each feed that has any, by feed; cheap enough for every minute.
    fn suspect_feeds(&self) -> Vec<SuspectFeed>;

    /// All streams set aside, in memory: where there are known to be few.
    ///
    /// # Errors
    /// See [`StateFault`].
    fn failed(&self) -> Result<Vec<FailedStream>, StateFault> {
        self.failed_from(None, usize::MAX)
    }

    /// All streams that the dispatcher did not have, in memory: where there are known to be few.
    ///
    /// # Errors
    /// See [`StateFault`].
    fn missing(&self) -> Result<Vec<MissingStream>, StateFault> {
        self.missing_from(None, usize::MAX)
    }

    /// All spans of pulls that may have cost events, oldest first, in memory.
    ///
    /// # Errors
    /// See [`StateFault`].
    fn suspect_pulls(&self) -> Result<Vec<SuspectSpan>, StateFault> {
        let mut spans = self.suspects_from(None, usize::MAX)?;
        spans.sort_by(|a, b| (a.since, &a.feed).cmp(&(b.since, &b.feed)));
        Ok(spans)
    }

    /// Multipart uploads that are open, or may be.
    ///
    /// # Errors
    /// See [`StateFault`].
    fn open_uploads(&self) -> Result<Vec<OpenUpload>, StateFault>;

    /// How many rows there are of each kind; cheap enough for every minute.
    fn counts(&self) -> StateCounts;
}
