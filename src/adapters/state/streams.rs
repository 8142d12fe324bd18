//! What changes about streams write.
//!
//! A pending stream is two rows: its place in the queue, and its ticket by name. The queue is the fact, the name is
//! found again from it ([`super::mend`]); so the row in the queue comes first and goes first.

use actors::ports::state::{
    FailedStream, MISSING_REST, MissingStream, NamedStreams, PendingStream, StateFault,
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
        asked_before: Timestamp,
        now: Timestamp,
    ) -> Result<u64, StateFault> {
        let mut revived = 0;
        for row in rows::missing_again(self.table, asked_before) {
            let stream = row?.stream;
            // One that was set aside meanwhile is not tried again by itself.
            let is_failed = self.table.get(&keys::failed(&stream))?.is_some();
            if !is_failed && self.ticket(&stream)?.is_none() {
                self.add_pending(stream, now)?;
                revived += 1;
            }
        }
        Ok(revived)
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

    fn add_pending(&mut self, stream: StreamId, now: Timestamp) -> Result<u64, StateFault> {
        let ticket = self.memory.next_ticket;
        self.memory.next_ticket += 1;
        let name = keys::stream(&stream);
        let row = PendingStream {
            ticket,
            stream,
            named: now,
            failures: 0,
            failed_starts: 0,
            last_failed_start: 0,
            last_fault: None,
        };
        self.put(&keys::queue(ticket), &row)?;
        self.put(&name, &ticket)?;
        self.memory.counts.pending += 1;
        Ok(ticket)
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
        if self.remove(&keys::missing(stream))? {
            self.memory.counts.missing -= 1;
        }
        if self.remove(&keys::failed(stream))? {
            self.memory.counts.failed -= 1;
        }
        Ok(())
    }

    pub(super) fn stream_missing(&mut self, stream: StreamId, now: Timestamp) -> Result<(), StateFault> {
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
            row.failed_starts += u32::from(row.last_failed_start != self.memory.start);
            row.last_failed_start = self.memory.start;
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
        self.remove_pending(stream)
    }
}

fn shortened(fault: String) -> String {
    match fault.char_indices().nth(LONGEST_FAULT) {
        Some((end, _)) => format!("{}…", &fault[..end]),
        None => fault,
    }
}
