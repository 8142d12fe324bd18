//! What each change means, on plain maps: the yardstick for every implementation of the port.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use crate::feed::Feed;
use crate::object_key::BundleKey;
use crate::ports::state::{
    BatchRow, Change, FailedStream, FeedTimes, MISSING_REST, MissingStream, NamedStreams, OpenUpload,
    PendingStream, PullMark, PutBack, Revived, SealedBundle, StateCounts, SuspectFeed, SuspectPull,
    SuspectSpan,
};
use crate::stream_id::StreamId;
use crate::timestamp::Timestamp;

/// All rows of one state.
#[derive(Clone, Default)]
pub(super) struct Rows {
    pub(super) starts: u64,
    pub(super) marks: BTreeMap<Feed, PullMark>,
    pub(super) batches: BTreeMap<(Feed, u64), BatchRow>,
    pub(super) sealed: BTreeMap<Feed, SealedBundle>,
    pub(super) times: BTreeMap<Feed, FeedTimes>,
    pub(super) pending: BTreeMap<u64, PendingStream>,
    tickets: HashMap<StreamId, u64>,
    last_ticket: u64,
    pub(super) missing: BTreeMap<StreamId, MissingStream>,
    pub(super) failed: BTreeMap<StreamId, FailedStream>,
    pub(super) suspects: BTreeMap<(Feed, Timestamp), SuspectSpan>,
    pub(super) uploads: BTreeMap<(bool, String, String), OpenUpload>,
}

impl Rows {
    pub(super) fn at_start(number: u64) -> Self {
        Self {
            starts: number,
            ..Self::default()
        }
    }

    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::PullMarked(mark) => {
                self.marks.insert(mark.feed.clone(), mark);
            }
            Change::PullEnded(feed, suspect) => {
                suspect.into_iter().for_each(|pull| self.suspect(pull));
                self.marks.remove(&feed);
            }
            Change::PullSuspected(pull) => self.suspect(pull),
            Change::BatchJournaled(row, now) => {
                self.times_of(&row.file.feed).event = Some(now);
                if self
                    .marks
                    .get(&row.file.feed)
                    .is_some_and(|mark| mark.since == row.file.received)
                {
                    self.marks.remove(&row.file.feed);
                }
                self.batches.insert((row.file.feed.clone(), row.file.seq), row);
            }
            Change::PullsNoted(feeds) => {
                for pulls in &feeds {
                    self.times_of(&pulls.feed).take(pulls);
                }
            }
            Change::StreamsNamed(feed, seq) => {
                if let Some(row) = self.batches.get_mut(&(feed, seq)) {
                    row.streams_named = true;
                }
            }
            Change::BundleSealed(bundle) => {
                self.sealed.insert(bundle.key.feed().clone(), bundle);
            }
            Change::BundleWritten(key, now) => self.bundle_written(&key, now),
            Change::BatchRemoved(feed, seq) => {
                self.batches.remove(&(feed, seq));
            }
            Change::UploadBegun(upload) => {
                self.uploads.insert(upload_key(&upload), upload);
            }
            Change::UploadEnded(upload) => {
                self.uploads.remove(&upload_key(&upload));
            }
            Change::StreamStored(_)
            | Change::StreamMissing(..)
            | Change::StreamFailed(..)
            | Change::StreamDelayed(..)
            | Change::StreamSetAside(..) => self.apply_to_stream(change),
        }
    }

    fn apply_to_stream(&mut self, change: Change) {
        match change {
            Change::StreamStored(stream) => {
                self.take_pending(&stream);
                self.missing.remove(&stream);
                self.failed.remove(&stream);
            }
            Change::StreamMissing(stream, now) => {
                self.take_pending(&stream);
                if self.failed.contains_key(&stream) {
                    return;
                }
                let row = self.missing.entry(stream.clone()).or_insert(MissingStream {
                    stream,
                    since: now,
                    asked: now,
                    times: 0,
                });
                row.asked = now;
                row.times += 1;
            }
            Change::StreamFailed(stream, fault) => {
                let start = self.starts;
                if let Some(row) = self.failed_once_more(&stream, fault) {
                    row.failed_starts += u32::from(row.last_failed_start != start);
                    row.last_failed_start = start;
                }
            }
            Change::StreamDelayed(stream, fault) => {
                self.failed_once_more(&stream, fault);
            }
            Change::StreamSetAside(stream, now) => {
                if let Some(row) = self.take_pending(&stream) {
                    let failed = FailedStream {
                        stream: stream.clone(),
                        named: row.named,
                        since: now,
                        failures: row.failures,
                        fault: row.last_fault.unwrap_or_default(),
                    };
                    self.missing.remove(&stream);
                    self.failed.insert(stream, failed);
                }
            }
            _ => {}
        }
    }

    fn failed_once_more(&mut self, stream: &StreamId, fault: String) -> Option<&mut PendingStream> {
        let row = self.pending.get_mut(self.tickets.get(stream)?)?;
        row.failures += 1;
        row.last_fault = Some(fault);
        Some(row)
    }

    fn suspect(&mut self, pull: SuspectPull) {
        let (first, this) = (Timestamp::from_micros(i64::MIN), pull.since);
        let before = self
            .suspects
            .range_mut((pull.feed.clone(), first)..=(pull.feed.clone(), this))
            .next_back();
        if before.is_none_or(|(_, span)| !span.takes(&pull)) {
            self.suspects.insert((pull.feed.clone(), this), pull.into());
        }
    }

    pub(super) fn suspect_feeds(&self) -> Vec<SuspectFeed> {
        let mut feeds: Vec<SuspectFeed> = Vec::new();
        for span in self.suspects.values() {
            let pulls = match feeds.last() {
                Some(feed) if feed.feed == span.feed => feeds.pop().map_or(0, |feed| feed.pulls),
                _ => 0,
            };
            feeds.push(SuspectFeed {
                feed: span.feed.clone(),
                pulls: pulls + span.pulls,
                since: span.since,
                until: span.until,
            });
        }
        feeds
    }

    fn times_of(&mut self, feed: &Feed) -> &mut FeedTimes {
        let times = self.times.entry(feed.clone());
        times.or_insert_with(|| FeedTimes::unknown(feed.clone()))
    }

    fn bundle_written(&mut self, key: &BundleKey, now: Timestamp) {
        if self
            .sealed
            .get(key.feed())
            .is_none_or(|bundle| bundle.key != *key)
        {
            return;
        }
        self.times_of(key.feed()).bundle = Some(now);
        for member in self
            .sealed
            .remove(key.feed())
            .into_iter()
            .flat_map(|bundle| bundle.members)
        {
            if let Some(row) = self.batches.get_mut(&(key.feed().clone(), member.seq)) {
                row.taken = row.taken.max(member.events.end);
            }
        }
    }

    fn take_pending(&mut self, stream: &StreamId) -> Option<PendingStream> {
        let ticket = self.tickets.remove(stream)?;
        self.pending.remove(&ticket)
    }

    fn add_pending(&mut self, stream: StreamId, now: Timestamp) -> u64 {
        self.last_ticket += 1;
        let row = PendingStream::new(self.last_ticket, stream.clone(), now);
        self.pending.insert(self.last_ticket, row);
        self.tickets.insert(stream, self.last_ticket);
        self.last_ticket
    }

    pub(super) fn name_streams(&mut self, streams: Vec<StreamId>, now: Timestamp) -> NamedStreams {
        let mut named = NamedStreams::default();
        for stream in streams {
            let resting = self
                .missing
                .get(&stream)
                .is_some_and(|row| now.since(row.asked) < MISSING_REST);
            let ticket = match self.tickets.get(&stream) {
                Some(ticket) => Some(*ticket),
                None if resting || self.failed.contains_key(&stream) => None,
                None => {
                    named.added += 1;
                    named.last_ticket = named.last_ticket.max(Some(self.add_pending(stream, now)));
                    continue;
                }
            };
            named.dropped += 1;
            named.last_ticket = named.last_ticket.max(ticket);
        }
        named
    }

    pub(super) fn revive_missing(
        &mut self,
        after: Option<&StreamId>,
        limit: usize,
        asked_before: Timestamp,
        now: Timestamp,
    ) -> Revived {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let slice = self.missing.range((from, Bound::Unbounded)).take(limit);
        let seen: Vec<MissingStream> = slice.map(|(_, row)| row.clone()).collect();
        let mut revived = Revived {
            count: 0,
            next: (seen.len() == limit)
                .then(|| seen.last().map(|row| row.stream.clone()))
                .flatten(),
        };
        for row in seen {
            let is_idle = !self.tickets.contains_key(&row.stream) && !self.failed.contains_key(&row.stream);
            if is_idle && row.wants_second_look(asked_before) {
                self.add_pending(row.stream, now);
                revived.count += 1;
            }
        }
        revived
    }

    pub(super) fn put_back(&mut self, streams: Vec<StreamId>, now: Timestamp) -> PutBack {
        let mut put_back = PutBack::default();
        for stream in streams {
            let was_missing = self.missing.remove(&stream).is_some();
            match self.failed.remove(&stream) {
                Some(_) => put_back.failed += 1,
                None if was_missing => put_back.missing += 1,
                None => {
                    put_back.neither += 1;
                    continue;
                }
            }
            let ticket = match self.tickets.get(&stream) {
                Some(ticket) => *ticket,
                None => self.add_pending(stream.clone(), now),
            };
            let row = PendingStream::new(ticket, stream, now);
            self.pending.insert(
                ticket,
                PendingStream {
                    put_back: true,
                    ..row
                },
            );
            put_back.last_ticket = put_back.last_ticket.max(Some(ticket));
        }
        put_back
    }

    pub(super) fn counts(&self) -> StateCounts {
        StateCounts {
            pending: self.pending.len() as u64,
            missing: self.missing.len() as u64,
            failed: self.failed.len() as u64,
            suspect_pulls: self.suspects.len() as u64,
        }
    }
}

fn upload_key(upload: &OpenUpload) -> (bool, String, String) {
    (upload.bundle, upload.key.clone(), upload.name())
}
