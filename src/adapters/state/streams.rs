//! What changes about streams write.
//!
//! A pending stream is two rows: its place in the queue, and its ticket by name. The queue is the fact, the name is
//! found again from it ([`super::mend`]); so the row in the queue comes first and goes first.

use actors::ports::state::{
    FailedStream, MISSING_REST, MissingStream, NamedStreams, PendingStream, PutBack, Revived, StateFault,
};
use actors::stream_id::StreamId;
use actors::timestamp::Timestamp;

use super::changes::Changes;
use super::keys;
use super::rows;
use super::table::Table;

/// Most characters of a fault that are remembered; the text may quote an answer from outside.
const LONGEST_FAULT: usize = 1000;

impl<T: Table> Changes<'_, T> {
    /// See [`actors::ports::LocalState::name_streams`].
    pub(super) fn name_streams(
        &mut self,
        streams: Vec<StreamId>,
        now: Timestamp,
    ) -> Result<NamedStreams, StateFault> {
        let mut named = NamedStreams::default();
        for stream in streams {
            let ticket = match self.ticket(&stream)? {
                None if self.wants_no_asking(&stream, now)? => {
                    named.dropped += 1;
                    None
                }
                None => {
                    named.added += 1;
                    Some(self.add_pending(stream, now)?)
                }
                ticket => {
                    named.dropped += 1;
                    ticket
                }
            };
            named.last_ticket = named.last_ticket.max(ticket);
        }
        Ok(named)
    }

    /// See [`actors::ports::LocalState::revive_missing`].
    pub(super) fn revive_missing(
        &mut self,
        after: Option<&StreamId>,
        limit: usize,
        asked_before: Timestamp,
        now: Timestamp,
    ) -> Result<Revived, StateFault> {
        let (mut revived, mut seen, mut last) = (Revived::default(), 0, None);
        for row in rows::missing_after(self.table, after).take(limit) {
            let row = row?;
            seen += 1;
            last = Some(row.stream.clone());
            // One that was set aside meanwhile is not tried again by itself.
            if row.wants_second_look(asked_before)
                && self.table.get(&keys::failed(&row.stream))?.is_none()
                && self.ticket(&row.stream)?.is_none()
            {
                self.add_pending(row.stream, now)?;
                revived.count += 1;
            }
        }
        revived.next = last.filter(|_| seen == limit);
        Ok(revived)
    }

    /// See [`actors::ports::LocalState::put_back`]. The place in the queue comes first: a crash leaves the stream
    /// where it was, or pending.
    pub(super) fn put_back(&mut self, streams: Vec<StreamId>, now: Timestamp) -> Result<PutBack, StateFault> {
        let mut put_back = PutBack::default();
        for stream in streams {
            let (failed, missing) = (keys::failed(&stream), keys::missing(&stream));
            let was_failed = self.table.get(&failed)?.is_some();
            if !was_failed && self.table.get(&missing)?.is_none() {
                put_back.neither += 1;
                continue;
            }
            let ticket = match self.ticket(&stream)? {
                Some(ticket) => ticket,
                None => self.next_ticket(),
            };
            let row = PendingStream {
                put_back: true,
                ..PendingStream::new(ticket, stream, now)
            };
            self.put_pending(&row)?;
            self.forget_failed(&failed)?;
            self.forget_missing(&missing)?;
            put_back.failed += u32::from(was_failed);
            put_back.missing += u32::from(!was_failed);
            put_back.last_ticket = put_back.last_ticket.max(Some(ticket));
        }
        Ok(put_back)
    }

    fn forget_failed(&mut self, key: &[u8]) -> Result<(), StateFault> {
        self.memory.counts.failed -= u64::from(self.remove(key)?);
        Ok(())
    }

    fn forget_missing(&mut self, key: &[u8]) -> Result<(), StateFault> {
        self.memory.counts.missing -= u64::from(self.remove(key)?);
        Ok(())
    }

    fn ticket(&self, stream: &StreamId) -> Result<Option<u64>, StateFault> {
        rows::get(self.table, &keys::stream(stream))
    }

    fn wants_no_asking(&self, stream: &StreamId, now: Timestamp) -> Result<bool, StateFault> {
        if self.table.get(&keys::failed(stream))?.is_some() {
            return Ok(true);
        }
        let missing: Option<MissingStream> = rows::get(self.table, &keys::missing(stream))?;
        Ok(missing.is_some_and(|row| now.since(row.asked) < MISSING_REST))
    }

    fn next_ticket(&mut self) -> u64 {
        self.memory.next_ticket += 1;
        self.memory.next_ticket - 1
    }

    fn add_pending(&mut self, stream: StreamId, now: Timestamp) -> Result<u64, StateFault> {
        let row = PendingStream::new(self.next_ticket(), stream, now);
        self.put_pending(&row)?;
        Ok(row.ticket)
    }

    /// Under its ticket, which may be in the queue already.
    fn put_pending(&mut self, row: &PendingStream) -> Result<(), StateFault> {
        let (place, name) = (keys::queue(row.ticket), keys::stream(&row.stream));
        let is_new = self.table.get(&place)?.is_none();
        self.put(&place, row)?;
        self.memory.counts.pending += u64::from(is_new);
        if is_new {
            self.put(&name, &row.ticket)?;
        }
        Ok(())
    }

    fn pending(&self, stream: &StreamId) -> Result<Option<PendingStream>, StateFault> {
        match self.ticket(stream)? {
            Some(ticket) => rows::get(self.table, &keys::queue(ticket)),
            None => Ok(None),
        }
    }

    /// The stream waits no longer.
    pub(super) fn remove_pending(&mut self, stream: &StreamId) -> Result<(), StateFault> {
        let Some(ticket) = self.ticket(stream)? else {
            return Ok(());
        };
        if self.remove(&keys::queue(ticket))? {
            self.memory.counts.pending -= 1;
        }
        self.remove(&keys::stream(stream)).map(drop)
    }

    pub(super) fn stream_stored(&mut self, stream: &StreamId) -> Result<(), StateFault> {
        self.remove_pending(stream)?;
        self.forget_missing(&keys::missing(stream))?;
        self.forget_failed(&keys::failed(stream))
    }

    pub(super) fn stream_missing(&mut self, stream: StreamId, now: Timestamp) -> Result<(), StateFault> {
        if self.table.get(&keys::failed(&stream))?.is_some() {
            return self.remove_pending(&stream);
        }
        let key = keys::missing(&stream);
        let known: Option<MissingStream> = rows::get(self.table, &key)?;
        self.memory.counts.missing += u64::from(known.is_none());
        let row = MissingStream {
            since: known.as_ref().map_or(now, |row| row.since),
            asked: now,
            times: known.map_or(0, |row| row.times).saturating_add(1),
            stream,
        };
        self.put(&key, &row)?;
        self.remove_pending(&row.stream)
    }

    /// `blamed`: the start counts against the stream.
    pub(super) fn stream_failed(
        &mut self,
        stream: &StreamId,
        fault: String,
        blamed: bool,
    ) -> Result<(), StateFault> {
        let Some(mut row) = self.pending(stream)? else {
            return Ok(());
        };
        row.failures = row.failures.saturating_add(1);
        if blamed {
            row.failed_starts += u32::from(row.last_failed_start != self.memory.progress.start);
            row.last_failed_start = self.memory.progress.start;
        }
        row.last_fault = Some(shortened(fault));
        self.put(&keys::queue(row.ticket), &row)
    }

    pub(super) fn stream_set_aside(&mut self, stream: &StreamId, now: Timestamp) -> Result<(), StateFault> {
        let Some(pending) = self.pending(stream)? else {
            return Ok(());
        };
        let row = FailedStream {
            stream: pending.stream,
            named: pending.named,
            since: now,
            failures: pending.failures,
            fault: pending.last_fault.unwrap_or_default(),
        };
        let key = keys::failed(stream);
        let is_new = self.table.get(&key)?.is_none();
        self.put(&key, &row)?;
        self.memory.counts.failed += u64::from(is_new);
        self.forget_missing(&keys::missing(stream))?;
        self.remove_pending(stream)
    }
}

/// No longer than [`LONGEST_FAULT`].
pub fn shortened(fault: String) -> String {
    match fault.char_indices().nth(LONGEST_FAULT) {
        Some((end, _)) => format!("{}…", &fault[..end]),
        None => fault,
    }
}
