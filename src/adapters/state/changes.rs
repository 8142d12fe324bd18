//! What each change writes, row by row.
//!
//! The order within a change is the promise: the new fact first, what it replaces last. Whatever prefix of it a
//! crash leaves, [`super::mend`] and a repetition of the change bring about the whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use actors::feed::Feed;
use actors::object_key::BundleKey;
use actors::ports::state::{
    BatchRow, Change, FeedPulls, FeedTimes, SealedBundle, StateCounts, StateFault, SuspectFeed, SuspectPull,
    SuspectSpan,
};
use actors::timestamp::Timestamp;
use serde::Serialize;

use super::census::Census;
use super::keys;
use super::ledger::{Ledger, Progress};
use super::mend::mend;
use super::recorder::Told;
use super::rows;
use super::table::Table;
use super::writer::{Reply, Request, promise};

/// Rows that may be written between two flushes: a long stretch without one has been seen to hang sled.
pub(super) const MOST_UNFLUSHED: u32 = 1000;

/// Spans of suspect pulls that are remembered, over all feeds. Beyond that the newest of a feed is stretched: a
/// dispatcher in trouble for a year must not fill the disk, and a recheck needs to know the span only.
const MOST_SUSPECT_PULLS: u64 = 10_000;

/// What the writer knows besides the rows.
#[derive(Clone, Debug)]
pub struct Memory {
    /// How far the table has come.
    pub(super) progress: Progress,
    /// The ticket that is given next.
    pub(super) next_ticket: u64,
    /// The rows of each kind.
    pub(super) counts: StateCounts,
    /// The suspect pulls of each feed that has any.
    pub(super) suspects: Arc<BTreeMap<Feed, SuspectFeed>>,
}

impl Memory {
    /// The first ticket of a start. Starts are counted durably, so tickets rise over all of them, whatever was
    /// settled before; a start would have to name 2^40 streams to reach into the next one's.
    pub(super) fn at_start(start: u64) -> Self {
        Self {
            progress: Progress::at_start(start),
            next_ticket: start << 40,
            counts: StateCounts::default(),
            suspects: Arc::default(),
        }
    }
}

impl Ledger for Memory {
    type Request = Request;
    type Census = Census;
    type Told = Told;

    fn progress(&mut self) -> &mut Progress {
        &mut self.progress
    }

    fn opened(&mut self, table: &impl Table) -> Result<(), StateFault> {
        self.progress.opened(table)?;
        let mut suspects = BTreeMap::new();
        for span in rows::suspects_after(table, None) {
            note_span(&mut suspects, &span?, 0);
        }
        self.suspects = Arc::new(suspects);
        Ok(())
    }

    fn mend(&mut self, table: &impl Table) -> Result<(), StateFault> {
        mend(table, self)
    }

    fn count(&mut self, table: &impl Table) -> Result<Census, StateFault> {
        let census = Census::of(table)?;
        self.counts = census.counts();
        Ok(census)
    }

    fn census(&self, table: &impl Table) -> Result<Census, StateFault> {
        Census::with(table, self.counts)
    }

    fn check(closed: &Census, found: &Census) -> Result<(), StateFault> {
        closed.check(found)
    }

    fn may_gather(request: &Request) -> bool {
        // Nothing goes on before it but its worker, which many do beside it.
        matches!(request, Request::Record(change, _) if matches!(**change, Change::StreamStored(_)))
    }

    fn perform<T: Table>(
        changes: Result<Changes<'_, T, Self>, StateFault>,
        request: Request,
    ) -> (Result<(), StateFault>, Reply) {
        match request {
            Request::Record(change, answer) => {
                promise(changes.and_then(|mut changes| changes.apply(*change)), answer)
            }
            Request::NameStreams(streams, now, answer) => {
                let outcome = changes.and_then(|mut changes| changes.name_streams(streams, now));
                promise(outcome, answer)
            }
            Request::ReviveMissing(slice, now, answer) => {
                let (after, limit) = (slice.after.as_ref(), slice.limit);
                let outcome = changes
                    .and_then(|mut changes| changes.revive_missing(after, limit, slice.asked_before, now));
                promise(outcome, answer)
            }
            Request::PutBack(streams, now, answer) => {
                let outcome = changes.and_then(|mut changes| changes.put_back(streams, now));
                promise(outcome, answer)
            }
        }
    }

    fn told(&self) -> Told {
        Told {
            counts: self.counts,
            suspects: self.suspects.clone(),
        }
    }
}

/// Notes the newest span of its feed, of which `known` pulls have been noted before.
fn note_span(suspects: &mut BTreeMap<Feed, SuspectFeed>, newest: &SuspectSpan, known: u64) {
    let feed = suspects
        .entry(newest.feed.clone())
        .or_insert_with(|| SuspectFeed {
            feed: newest.feed.clone(),
            pulls: 0,
            since: newest.since,
            until: newest.until,
        });
    feed.pulls += newest.pulls.saturating_sub(known);
    if newest.since >= feed.since {
        (feed.since, feed.until) = (newest.since, newest.until);
    }
}

/// Makes changes in a table.
pub struct Changes<'a, T, M = Memory> {
    /// Where.
    pub table: &'a T,
    /// What is known besides the rows.
    pub memory: &'a mut M,
}

impl<T: Table> Changes<'_, T> {
    /// Writes all rows of one change; durable after the next flush.
    pub(super) fn apply(&mut self, change: Change) -> Result<(), StateFault> {
        match change {
            Change::PullMarked(mark) => self.put(&keys::mark(&mark.feed), &mark),
            Change::PullEnded(feed, suspect) => {
                if let Some(suspect) = suspect {
                    self.suspect(suspect)?;
                }
                self.remove(&keys::mark(&feed)).map(drop)
            }
            Change::PullSuspected(suspect) => self.suspect(suspect),
            Change::BatchJournaled(row, now) => {
                self.put(&keys::batch(&row.file.feed, row.file.seq), &row)?;
                self.note_time(&row.file.feed, |times| times.event = Some(now))?;
                self.remove_mark_of(&row)
            }
            Change::PullsNoted(feeds) => self.pulls_noted(&feeds),
            Change::StreamsNamed(feed, seq) => self.change_batch(&feed, seq, |row| row.streams_named = true),
            Change::BundleSealed(bundle) => self.put(&keys::seal(bundle.key.feed()), &bundle),
            Change::BundleWritten(key, now) => self.bundle_written(&key, now),
            Change::BatchRemoved(feed, seq) => self.remove(&keys::batch(&feed, seq)).map(drop),
            Change::StreamStored(stream) => self.stream_stored(&stream),
            Change::StreamMissing(stream, now) => self.stream_missing(stream, now),
            Change::StreamFailed(stream, fault) => self.stream_failed(&stream, fault, true),
            Change::StreamDelayed(stream, fault) => self.stream_failed(&stream, fault, false),
            Change::StreamSetAside(stream, now) => self.stream_set_aside(&stream, now),
            Change::UploadBegun(upload) => self.put(&keys::upload(&upload), &upload),
            Change::UploadEnded(upload) => self.remove(&keys::upload(&upload)).map(drop),
        }
    }

    /// The mark of the pull that brought the batch goes; that of a later one, which an adopted batch may meet, stays.
    fn remove_mark_of(&mut self, row: &BatchRow) -> Result<(), StateFault> {
        let key = keys::mark(&row.file.feed);
        let mark: Option<actors::ports::state::PullMark> = rows::get(self.table, &key)?;
        match mark.is_some_and(|mark| mark.since == row.file.received) {
            true => self.remove(&key).map(drop),
            false => Ok(()),
        }
    }

    fn suspect(&mut self, pull: SuspectPull) -> Result<(), StateFault> {
        let before = rows::suspect_before(self.table, &pull.feed, pull.since)?;
        if let Some(mut span) = before {
            let known = span.pulls;
            if span.takes(&pull) {
                return self.put_span(&span, known);
            }
        }
        if self.memory.counts.suspect_pulls >= MOST_SUSPECT_PULLS && self.stretch_newest(&pull)? {
            return Ok(());
        }
        self.memory.counts.suspect_pulls += 1;
        self.put_span(&pull.into(), 0)
    }

    fn put_span(&mut self, span: &SuspectSpan, known: u64) -> Result<(), StateFault> {
        self.put(&keys::suspect(&span.feed, span.since), span)?;
        note_span(Arc::make_mut(&mut self.memory.suspects), span, known);
        Ok(())
    }

    /// Lets the newest suspect pull of the feed cover this one as well; false if the feed has none.
    fn stretch_newest(&mut self, pull: &SuspectPull) -> Result<bool, StateFault> {
        let newest = rows::range::<SuspectSpan>(self.table, keys::suspects_of(&pull.feed)).next_back();
        let Some(mut newest) = newest.transpose()? else {
            return Ok(false);
        };
        let (since, known) = (newest.since, newest.pulls);
        newest.stretch(pull);
        newest.reason.clone_from(&pull.reason);
        self.put_span(&newest, known)?;
        if newest.since != since {
            self.remove(&keys::suspect(&newest.feed, since))?;
        }
        Ok(true)
    }

    fn change_batch(
        &mut self,
        feed: &Feed,
        seq: u64,
        change: impl FnOnce(&mut BatchRow),
    ) -> Result<(), StateFault> {
        let key = keys::batch(feed, seq);
        let Some(mut row) = rows::get::<BatchRow>(self.table, &key)? else {
            return Ok(());
        };
        change(&mut row);
        self.put(&key, &row)
    }

    /// In the same group as the fact, so that it costs no sync of its own.
    fn note_time(&mut self, feed: &Feed, note: impl FnOnce(&mut FeedTimes)) -> Result<(), StateFault> {
        let mut times = self.times_of(feed)?;
        note(&mut times);
        self.put(&keys::times(feed), &times)
    }

    fn pulls_noted(&mut self, feeds: &[FeedPulls]) -> Result<(), StateFault> {
        for pulls in feeds {
            let mut times = self.times_of(&pulls.feed)?;
            if times.take(pulls) {
                self.put(&keys::times(&pulls.feed), &times)?;
            }
        }
        Ok(())
    }

    fn times_of(&self, feed: &Feed) -> Result<FeedTimes, StateFault> {
        let times: Option<FeedTimes> = rows::get(self.table, &keys::times(feed))?;
        Ok(times.unwrap_or_else(|| FeedTimes::unknown(feed.clone())))
    }

    fn bundle_written(&mut self, key: &BundleKey, now: Timestamp) -> Result<(), StateFault> {
        let sealed: Option<SealedBundle> = rows::get(self.table, &keys::seal(key.feed()))?;
        match sealed.filter(|sealed| sealed.key == *key) {
            Some(sealed) => {
                // First, for `mend` does not know when it was.
                self.note_time(key.feed(), |times| times.bundle = Some(now))?;
                self.take_members(&sealed)
            }
            None => Ok(()),
        }
    }

    /// The members count as taken, then the seal goes. Also what finishes this after a crash in between.
    pub(super) fn take_members(&mut self, sealed: &SealedBundle) -> Result<(), StateFault> {
        let feed = sealed.key.feed();
        for member in &sealed.members {
            self.change_batch(feed, member.seq, |row| {
                row.taken = row.taken.max(member.events.end)
            })?;
        }
        self.remove(&keys::seal(feed)).map(drop)
    }
}

impl<T: Table, M: Ledger> Changes<'_, T, M> {
    /// Writes a row.
    ///
    /// # Errors
    /// See [`StateFault`]; here and below.
    pub fn put(&mut self, key: &[u8], row: &impl Serialize) -> Result<(), StateFault> {
        self.put_bytes(key, &rows::encode(row)?)
    }

    /// Writes a row of a form of its own.
    ///
    /// # Errors
    /// As above.
    pub fn put_bytes(&mut self, key: &[u8], value: &[u8]) -> Result<(), StateFault> {
        self.table.put(key, value)?;
        self.count_write()
    }

    /// Removes a row and says whether there was one.
    ///
    /// # Errors
    /// As above.
    pub fn remove(&mut self, key: &[u8]) -> Result<bool, StateFault> {
        let was_there = self.table.remove(key)?;
        self.count_write()?;
        Ok(was_there)
    }

    fn count_write(&mut self) -> Result<(), StateFault> {
        let progress = self.memory.progress();
        progress.written += 1;
        progress.unflushed += 1;
        if progress.unflushed < MOST_UNFLUSHED {
            return Ok(());
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), StateFault> {
        self.memory.progress().unflushed = 0;
        self.table.flush()
    }

    /// Makes everything durable, under the next number if there is anything.
    ///
    /// # Errors
    /// As above.
    pub fn commit(&mut self) -> Result<(), StateFault> {
        if self.memory.progress().written == 0 {
            return Ok(());
        }
        let next = self.memory.progress().commits + 1;
        self.put(keys::COMMITS, &next)?;
        self.flush()?;
        self.memory.progress().written = 0;
        self.memory.progress().commits = next;
        Ok(())
    }
}
