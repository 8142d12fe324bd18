//! Local state of a restore: how far it has come, and what it could not put back.
//!
//! Checkpoints belong to one restore ([`RestoreId`]) that is not finished. Figures are part of the checkpoints that
//! they belong to, so that what is repeated after a crash is not counted twice. Dead letters belong to no restore:
//! they outlive it, and can be recorded and settled by whoever has begun none.
//!
//! Figures stop at the largest number, for what a name in a bucket tells may be any.
//!
//! Every [`RestoreChange`] takes effect as one: a crash leaves all of it or nothing, but for bytes that nobody names.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::archive::Store;
use super::state::StateFault;
use crate::feed::Feed;
use crate::stream_id::Sha256;
use crate::timestamp::Timestamp;

/// Which restore: whatever differs here has checkpoints of its own. All text without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreId {
    /// Endpoint, buckets and folder.
    pub bucket: String,
    /// The dispatcher's URLs.
    pub target: String,
    /// What was selected, in one form whatever the order of options.
    pub selection: String,
}

impl RestoreId {
    /// From where to where it goes.
    pub fn route(&self) -> Route {
        Route {
            bucket: self.bucket.clone(),
            target: self.target.clone(),
        }
    }
}

/// From where to where something was to be put back, as in [`RestoreId`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Endpoint, buckets and folder.
    pub bucket: String,
    /// The dispatcher's URLs.
    pub target: String,
}

/// A restore that has begun and is not finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// When its first start began.
    pub begun: Timestamp,
    /// How many starts it has had, this one included.
    pub starts: u32,
}

/// A range of keys of the bucket of streams, worked off in their order: `{source}/{label}/` and its bounds.
pub type LaneName = String;

/// How far a lane has come, and what became of its objects up to there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneMark {
    /// Everything up to this key is done.
    pub key: String,
    /// What was done up to there, in all starts.
    pub figures: StreamFigures,
    /// Which keys of before the restore were gone through up to there, in all starts.
    #[serde(default)]
    pub passed: KeyCensus,
}

/// Tells whether two sets of keys are the same, in whatever order they come: how many there are, and the sum of a hash
/// of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCensus {
    /// How many.
    pub count: u64,
    /// The first eight bytes of the SHA-256 of each, added up.
    pub sum: u64,
}

impl KeyCensus {
    /// Takes one more key.
    pub fn take(&mut self, key: &str) {
        let first = Sha256::of(key.as_bytes()).as_bytes().first_chunk().copied();
        let hash = first.map_or(0, u64::from_be_bytes);
        *self += Self { count: 1, sum: hash };
    }
}

impl std::ops::AddAssign for KeyCensus {
    fn add_assign(&mut self, more: Self) {
        self.count += more.count;
        self.sum = self.sum.wrapping_add(more.sum);
    }
}

/// What became of stream objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamFigures {
    /// Uploaded and verified.
    pub restored: u64,
    /// The dispatcher had them already (`--skip-existing`, or the last pass).
    pub there: u64,
    /// Not in the bucket any more when their turn came: aged off since they were listed.
    pub gone: u64,
    /// Given up; each is a dead letter.
    pub dead: u64,
    /// Bytes of objects done with, as stored.
    pub bytes: u64,
}

impl StreamFigures {
    /// How many objects.
    pub fn objects(&self) -> u64 {
        self.restored + self.there + self.gone + self.dead
    }
}

impl std::ops::AddAssign for StreamFigures {
    fn add_assign(&mut self, more: Self) {
        self.restored = self.restored.saturating_add(more.restored);
        self.there = self.there.saturating_add(more.there);
        self.gone = self.gone.saturating_add(more.gone);
        self.dead = self.dead.saturating_add(more.dead);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }
}

impl std::iter::Sum for StreamFigures {
    fn sum<I: Iterator<Item = Self>>(figures: I) -> Self {
        figures.fold(Self::default(), |mut sum, figures| {
            sum += figures;
            sum
        })
    }
}

/// What became of the events of a bundle, or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventFigures {
    /// Bundles.
    pub bundles: u64,
    /// Bundles that could not be read at all; each is a dead letter, and the events that its name tells are `dead`.
    pub unreadable: u64,
    /// Bundles that were not in the bucket any more when their turn came: aged off since they were listed.
    pub gone: u64,
    /// In the bundles, as far as they were selected: the sum of the four below.
    pub events: u64,
    /// Decoded and found valid by the dispatcher.
    pub accepted: u64,
    /// Refused by name; each is a dead letter.
    pub refused: u64,
    /// Filtered, or older than the source keeps.
    pub filtered: u64,
    /// Given up; each is a dead letter.
    pub dead: u64,
    /// Bytes of objects done with, as stored.
    pub bytes: u64,
}

impl std::ops::AddAssign for EventFigures {
    fn add_assign(&mut self, more: Self) {
        self.bundles = self.bundles.saturating_add(more.bundles);
        self.unreadable = self.unreadable.saturating_add(more.unreadable);
        self.gone = self.gone.saturating_add(more.gone);
        self.events = self.events.saturating_add(more.events);
        self.accepted = self.accepted.saturating_add(more.accepted);
        self.refused = self.refused.saturating_add(more.refused);
        self.filtered = self.filtered.saturating_add(more.filtered);
        self.dead = self.dead.saturating_add(more.dead);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }
}

impl std::ops::SubAssign for EventFigures {
    fn sub_assign(&mut self, less: Self) {
        self.bundles = self.bundles.saturating_sub(less.bundles);
        self.unreadable = self.unreadable.saturating_sub(less.unreadable);
        self.gone = self.gone.saturating_sub(less.gone);
        self.events = self.events.saturating_sub(less.events);
        self.accepted = self.accepted.saturating_sub(less.accepted);
        self.refused = self.refused.saturating_sub(less.refused);
        self.filtered = self.filtered.saturating_sub(less.filtered);
        self.dead = self.dead.saturating_sub(less.dead);
        self.bytes = self.bytes.saturating_sub(less.bytes);
    }
}

impl std::iter::Sum for EventFigures {
    fn sum<I: Iterator<Item = Self>>(figures: I) -> Self {
        figures.fold(Self::default(), |mut sum, figures| {
            sum += figures;
            sum
        })
    }
}

/// A bundle whose events have all come to their fate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleDone {
    /// Its feed.
    pub feed: Feed,
    /// The time in its name.
    pub timestamp: Timestamp,
    /// Its key as listed.
    pub key: String,
    /// Its size as listed: another size is another bundle.
    pub size: u64,
    /// What became of it.
    pub figures: EventFigures,
}

/// What could not be put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Which bucket.
    pub store: Store,
    /// The key of the object, as listed.
    pub key: String,
    /// Which of its events, counted from 0; `None` for the whole object.
    pub event: Option<u64>,
    /// From where to where it was to be put back: of the same event each route has a letter of its own. Whoever records
    /// a letter need not know it: without one it is that of the restore that has begun. Letters of earlier versions have
    /// none.
    #[serde(default)]
    pub route: Option<Route>,
    /// The Kafka key of the event, where it could be read.
    pub kafka_key: Option<String>,
    /// Why.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was given up last.
    pub since: Timestamp,
    /// The length of the event's bytes that are kept beside it, as a bulk of one event; 0 if none are. Whoever
    /// records a letter need not know it: it follows from what is recorded with it.
    pub event_bytes: u64,
}

impl DeadLetter {
    /// A whole object that is given up now.
    pub fn of_object(store: Store, key: &str, reason: impl ToString, attempts: u32) -> Self {
        Self {
            store,
            key: key.to_owned(),
            event: None,
            route: None,
            kafka_key: None,
            reason: reason.to_string(),
            attempts,
            since: Timestamp::now(),
            event_bytes: 0,
        }
    }
}

/// One change of the facts. Durable when [`RestoreState::record`] returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreChange {
    /// A lane has come so far.
    LaneReached(LaneName, LaneMark),
    /// A bundle is done. The same one again (feed, timestamp, key and size) counts once, with its last figures.
    BundleDone(BundleDone),
    /// Something was given up, with the bulk of one event that it is, if it is one. Replaces an earlier letter of
    /// the same store, key, event and route, adds to its attempts, and keeps its event where it brings none (or an empty
    /// one).
    GivenUp(DeadLetter, Option<bytes::Bytes>),
    /// A letter was put back after all: the one of the same store, key, event and route, with its event.
    LetterSettled(DeadLetter),
    /// This restore is finished: its checkpoints go, its dead letters stay. Whoever was not told may say it again;
    /// whatever else is recorded of it later is refused.
    Finished,
}

/// The place of a dead letter in the order of letters; opaque.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LetterPlace(pub Vec<u8>);

/// Rows that survive a crash. Reads see every change whose [`RestoreState::record`] has returned.
#[async_trait(?Send)]
pub trait RestoreState {
    /// Takes up the unfinished restore of this id, or begins one (always, if `from_start`, which drops its
    /// checkpoints). Checkpoints of other ids stay.
    ///
    /// # Errors
    /// See [`StateFault`].
    async fn begin(&self, id: &RestoreId, from_start: bool, now: Timestamp)
    -> Result<Unfinished, StateFault>;

    /// What an unfinished restore of this id has come to, without taking it up; for a plan.
    ///
    /// # Errors
    /// See [`StateFault`].
    fn unfinished(&self, id: &RestoreId) -> Result<Option<Unfinished>, StateFault>;

    /// Makes a change durable, and only then returns. Checkpoints are those of the restore that has
    /// [begun](RestoreState::begin), here and in what reads them. Changes of one caller take effect in their order.
    ///
    /// # Errors
    /// See [`StateFault`]; broken for a checkpoint when none has begun, or it is finished.
    async fn record(&self, change: RestoreChange) -> Result<(), StateFault>;

    /// How far a lane has come.
    ///
    /// # Errors
    /// See [`StateFault`].
    fn lane(&self, lane: &str) -> Result<Option<LaneMark>, StateFault>;

    /// The marks of all lanes whose names begin with `prefix`.
    ///
    /// # Errors
    /// See [`StateFault`].
    fn lanes(&self, prefix: &str) -> Result<Vec<(LaneName, LaneMark)>, StateFault>;

    /// What became of a bundle, if it is done.
    ///
    /// # Errors
    /// See [`StateFault`].
    fn done(
        &self,
        feed: &Feed,
        timestamp: Timestamp,
        key: &str,
        size: u64,
    ) -> Result<Option<EventFigures>, StateFault>;

    /// The sum over all bundles of a feed that are done; cheap enough for every minute.
    ///
    /// # Errors
    /// See [`StateFault`].
    fn feed_figures(&self, feed: &Feed) -> Result<EventFigures, StateFault>;

    /// Up to `limit` dead letters of all restores that follow `after`, with their places; in the order of store, key
    /// and event.
    ///
    /// # Errors
    /// See [`StateFault`].
    fn letters_from(
        &self,
        after: Option<&LetterPlace>,
        limit: usize,
    ) -> Result<Vec<(LetterPlace, DeadLetter)>, StateFault>;

    /// The dead letters of one object, that of the whole first, as far as their route is that of the restore that has
    /// begun; none where none has.
    ///
    /// # Errors
    /// See [`StateFault`].
    fn letters_of(&self, store: Store, key: &str) -> Result<Vec<DeadLetter>, StateFault>;

    /// The bulk of one event that is kept with the letter of this store, key, event and route; `None` if there is none, or
    /// no such letter.
    ///
    /// # Errors
    /// See [`StateFault`]; broken if it should be there and is not, or is not what was kept.
    async fn letter_event(&self, letter: &DeadLetter) -> Result<Option<bytes::Bytes>, StateFault>;

    /// How many dead letters there are, of all restores; cheap enough for every minute.
    fn letter_count(&self) -> u64;
}
