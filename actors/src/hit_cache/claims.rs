//! Decides which stream is downloaded next, and which request for one is dropped.
//!
//! A stream is *known* only once it is safe in the bucket: a crash forgets claims, never facts. What has been
//! named lies as a row in local state, in the order of its ticket; of these at most `most_waiting` are held in
//! memory. The *cursor* is the ticket up to which rows have been read: a feed whose last ticket is below it has
//! had all its streams admitted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use crate::ports::state::PendingStream;
use crate::stream_id::StreamId;

/// The wait before a failed stream is tried again in the same run; it doubles with each failure.
const FIRST_RETRY: Duration = Duration::from_secs(30);

/// The longest wait before a failed stream is tried again.
const LONGEST_RETRY: Duration = Duration::from_secs(30 * 60);

/// The most failed streams for which a retry in the same run is remembered; the others wait for the next start.
const MOST_RETRIES: usize = 10_000;

/// In how many starts a stream may fail before it is set aside.
const FAILED_STARTS: u32 = 3;

/// Bounds of the cache.
#[derive(Clone, Debug)]
pub struct ClaimRules {
    /// Streams remembered as safe.
    pub cache_size: NonZeroUsize,
    /// Requests that may wait in memory.
    pub most_waiting: usize,
    /// Jobs that may be out: the number of workers.
    pub most_out: usize,
    /// Failures in a row, with no success in between, that end the backup.
    pub failures_in_row: u32,
}

/// How a job ended, as far as the queue is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Safe in the bucket.
    Safe,
    /// The dispatcher does not have it.
    Missing,
    /// The bucket or the dispatcher did not work.
    ServerFailed,
    /// They work, and take nothing from who asks: wrong keys, no such bucket. To end would change nothing.
    Denied,
    /// Something is wrong with this one stream.
    StreamFailed,
    /// Given up because of a stop: the row stays as it was.
    Cancelled,
}

/// What becomes of the row of a stream that has been settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFate {
    /// It goes: the stream is safe.
    Stored,
    /// It is remembered as missing.
    Missing,
    /// It stays pending, with one more failure that counts against it.
    Failed,
    /// It stays pending; the servers are to blame.
    Delayed,
    /// It is moved to the failed streams, for good.
    SetAside,
    /// It stays as it is.
    Untouched,
}

/// The queue of streams and the memory of what is safe.
#[derive(Debug)]
pub struct Claims {
    rules: ClaimRules,
    known: LruCache<StreamId, Instant>,
    waiting: VecDeque<PendingStream>,
    out: BTreeMap<u64, PendingStream>,
    retries: BTreeSet<(Instant, u64)>,
    retry_failures: BTreeMap<u64, u32>,
    cursor: u64,
    failures: u32,
    start: u64,
}

impl Claims {
    /// Nothing known, nothing waiting; `start` is the number of this start.
    pub fn new(rules: ClaimRules, start: u64) -> Self {
        Self {
            known: LruCache::new(rules.cache_size),
            rules,
            waiting: VecDeque::new(),
            out: BTreeMap::new(),
            retries: BTreeSet::new(),
            retry_failures: BTreeMap::new(),
            cursor: 0,
            failures: 0,
            start,
        }
    }

    /// Whether a request for `stream` can be dropped: it has been safe for no longer than `fresh`, where the
    /// source ages off. What is safe for longer has to be looked at in the bucket, lest it expire there while
    /// events go on naming it.
    pub fn is_known(&mut self, stream: &StreamId, now: Instant, fresh: Option<Duration>) -> bool {
        self.known
            .get(stream)
            .is_some_and(|since| fresh.is_none_or(|fresh| now.duration_since(*since) < fresh))
    }

    /// From which ticket on rows are to be read, and how many at most. `None`: there is no room.
    pub fn wants_rows(&self) -> Option<(u64, usize)> {
        let room = self.rules.most_waiting.saturating_sub(self.waiting.len());
        (room > 0).then_some((self.cursor, room))
    }

    /// Takes in rows that were read from the cursor on, in their order. Rows below it are in the queue already.
    pub fn admit(&mut self, rows: Vec<PendingStream>) {
        for row in rows {
            if row.ticket >= self.cursor {
                self.cursor = row.ticket + 1;
                self.waiting.push_back(row);
            }
        }
    }

    /// There are no rows left between the cursor and `ticket`: they have been settled, or never were.
    pub fn admitted_through(&mut self, ticket: u64) {
        self.cursor = self.cursor.max(ticket + 1);
    }

    /// Whether all streams up to and including `ticket` have been admitted.
    pub fn admitted(&self, ticket: u64) -> bool {
        ticket < self.cursor
    }

    /// Whether every stream up to and including `ticket` has been tried since the start.
    pub fn tried(&self, ticket: u64) -> bool {
        let untried = |ticket: &u64| !self.retry_failures.contains_key(ticket);
        self.admitted(ticket)
            && self
                .waiting
                .iter()
                .all(|row| row.ticket > ticket || !untried(&row.ticket))
            && !self.out.range(..=ticket).any(|(ticket, _)| untried(ticket))
    }

    /// Hands out the next job, if a worker is free.
    pub fn next_job(&mut self) -> Option<PendingStream> {
        if self.out.len() >= self.rules.most_out {
            return None;
        }
        let row = self.waiting.pop_front()?;
        self.out.insert(row.ticket, row.clone());
        Some(row)
    }

    /// Takes a job back, once what became of its row is durable.
    pub fn settle(&mut self, ticket: u64, settled: Settled, now: Instant) -> RowFate {
        let Some(row) = self.out.remove(&ticket) else {
            return RowFate::Untouched;
        };
        let fate = self.fate(&row, settled);
        let first_failure = row.failures == 0 && !row.put_back && !self.retry_failures.contains_key(&ticket);
        match settled {
            Settled::Safe | Settled::Missing => self.failures = 0,
            Settled::ServerFailed if first_failure => self.failures += 1,
            Settled::ServerFailed | Settled::Denied | Settled::StreamFailed | Settled::Cancelled => {}
        }
        match fate {
            RowFate::Stored => {
                self.known.put(row.stream, now);
            }
            RowFate::Failed | RowFate::Delayed => self.retry_later(ticket, now),
            RowFate::Missing | RowFate::SetAside | RowFate::Untouched => {}
        }
        if !matches!(fate, RowFate::Failed | RowFate::Delayed) {
            self.retry_failures.remove(&ticket);
        }
        fate
    }

    /// What becomes of the row of a job that ended so.
    pub fn fate(&self, row: &PendingStream, settled: Settled) -> RowFate {
        let failed_before = row.failed_starts > 0 && row.last_failed_start < self.start;
        match settled {
            Settled::Safe => RowFate::Stored,
            Settled::Missing if failed_before => RowFate::SetAside,
            Settled::Missing => RowFate::Missing,
            Settled::Cancelled => RowFate::Untouched,
            // Neither an outage of a few minutes nor a wrong key may set healthy streams aside, however often the
            // program starts in it.
            Settled::ServerFailed | Settled::Denied => RowFate::Delayed,
            Settled::StreamFailed => {
                if self.failed_starts(row, settled) >= FAILED_STARTS {
                    RowFate::SetAside
                } else {
                    RowFate::Failed
                }
            }
        }
    }

    /// In how many starts a stream has failed, once a job that ended so is counted.
    pub fn failed_starts(&self, row: &PendingStream, settled: Settled) -> u32 {
        let counts = settled == Settled::StreamFailed && row.last_failed_start != self.start;
        row.failed_starts + u32::from(counts)
    }

    fn retry_later(&mut self, ticket: u64, now: Instant) {
        let failures = self.retry_failures.get(&ticket).copied().unwrap_or_default();
        if self.retry_failures.len() >= MOST_RETRIES && failures == 0 {
            return;
        }
        let wait = FIRST_RETRY
            .saturating_mul(1 << failures.min(10))
            .min(LONGEST_RETRY);
        self.retry_failures.insert(ticket, failures + 1);
        self.retries.insert((now + wait, ticket));
    }

    /// The tickets whose time has come, as far as there is room; their rows are to be read and given to
    /// [`Claims::retry`].
    pub fn due_retries(&mut self, now: Instant) -> Vec<u64> {
        // Half of the room is left to streams that have not been tried yet: what fails must not hold them up.
        let room = (self.rules.most_waiting / 2).saturating_sub(self.waiting.len());
        let due: Vec<_> = self
            .retries
            .iter()
            .take_while(|(at, _)| *at <= now)
            .take(room)
            .copied()
            .collect();
        for entry in &due {
            self.retries.remove(entry);
        }
        due.into_iter().map(|(_, ticket)| ticket).collect()
    }

    /// Tickets that were due and could not be read: their time comes again at `at`.
    pub fn postpone(&mut self, tickets: &[u64], at: Instant) {
        self.retries.extend(tickets.iter().map(|ticket| (at, *ticket)));
    }

    /// Puts a failed stream, whose time has come, back into the queue.
    pub fn retry(&mut self, row: PendingStream) {
        self.waiting.push_back(row);
    }

    /// The row of a ticket that was due is gone: somebody else settled it.
    pub fn forget(&mut self, ticket: u64) {
        self.retry_failures.remove(&ticket);
    }

    /// When the next failed stream is due.
    pub fn next_retry(&self) -> Option<Instant> {
        self.retries.first().map(|(at, _)| *at)
    }

    /// Whether so many streams failed in a row that the backup has to end.
    pub fn too_many_failures(&self) -> bool {
        self.failures >= self.rules.failures_in_row
    }

    /// Drops the queue, which stays in local state. Jobs that are out are not touched.
    pub fn abandon_waiting(&mut self) -> usize {
        let abandoned = self.waiting.len();
        self.waiting.clear();
        abandoned
    }

    /// Requests waiting in memory.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Jobs that may be out.
    pub fn most_out(&self) -> usize {
        self.rules.most_out
    }

    /// Jobs that are out.
    pub fn out(&self) -> usize {
        self.out.len()
    }
}

#[cfg(test)]
mod tests;
