//! Finishes at a start what a crash has interrupted.
//!
//! | found | so | done |
//! | --- | --- | --- |
//! | a place in the queue without its name | the stream was being named, or settled | named: it stays pending |
//! | a name without its place in the queue | the stream was being settled | the name goes |
//! | a stream that is pending or missing, and set aside | it was being set aside, or put back | it is set aside |
//! | a seal of which a member counts as taken | its bundle was being noted as written | noted, the seal goes |
//!
//! Everything else that a crash can leave is finished by repeating the change: a mark beside its batch is a pull
//! that is suspected without need, a missing stream that is still pending is asked for once more.

use std::hash::{Hash, Hasher};

use actors::ports::state::{BatchRow, FailedStream, PendingStream, SealedBundle, StateFault};

use super::changes::{Changes, Memory};
use super::keys;
use super::rows;
use super::table::Table;

/// Mends the rows; durable on return.
pub(super) fn mend(table: &impl Table, memory: &mut Memory) -> Result<(), StateFault> {
    let mut changes = Changes { table, memory };
    changes.finish_seals()?;
    changes.finish_queue()?;
    changes.finish_setting_aside()?;
    changes.commit()
}

impl<T: Table> Changes<'_, T> {
    fn finish_seals(&mut self) -> Result<(), StateFault> {
        let batches = rows::batches(self.table)?;
        for sealed in rows::all::<SealedBundle>(self.table, keys::SEALS)? {
            let is_taken = |row: &&BatchRow| {
                row.file.feed == *sealed.key.feed()
                    && sealed.members.iter().any(|member| {
                        member.seq == row.file.seq
                            && !member.events.is_empty()
                            && member.events.end <= row.taken
                    })
            };
            if let Some(row) = batches.iter().find(is_taken) {
                log::info!(key:% = sealed.key; "{} is written: batch {} says so", sealed.key, row.file.seq);
                self.take_members(&sealed)?;
            }
        }
        Ok(())
    }

    /// Holds the names against the queue. Both are read from end to end, in the order in which they lie: looking up
    /// each name costs ten times as much. So this keeps 16 bytes a pending stream in memory.
    fn finish_queue(&mut self) -> Result<(), StateFault> {
        let mut queue: Vec<(u64, Option<u64>)> = Vec::new();
        for row in rows::range::<PendingStream>(self.table, keys::QUEUE.range()) {
            let row = row?;
            queue.push((row.ticket, Some(hash(&keys::stream(&row.stream)))));
        }
        for named in self.table.range(keys::STREAMS.range()) {
            let (name, ticket) = named?;
            let ticket: u64 = rows::decode(&name, &ticket)?;
            let place = queue.binary_search_by_key(&ticket, |(ticket, _)| *ticket).ok();
            match place.map(|place| &mut queue[place].1) {
                Some(nameless) if *nameless == Some(hash(&name)) => *nameless = None,
                _ => self.remove(&name).map(drop)?,
            }
        }
        let nameless = queue.into_iter().filter(|(_, name)| name.is_some());
        nameless
            .into_iter()
            .try_for_each(|(ticket, _)| self.finish_naming(ticket))
    }

    fn finish_naming(&mut self, ticket: u64) -> Result<(), StateFault> {
        let Some(row) = rows::get::<PendingStream>(self.table, &keys::queue(ticket))? else {
            return Ok(());
        };
        let name = keys::stream(&row.stream);
        match self.table.get(&name)? {
            None => self.put(&name, &ticket),
            // Named twice: a crash cannot bring this about, but one place in the queue is enough for it.
            Some(_) => self.remove(&keys::queue(ticket)).map(drop),
        }
    }

    fn finish_setting_aside(&mut self) -> Result<(), StateFault> {
        for failed in rows::range::<FailedStream>(self.table, keys::FAILED.range()) {
            let stream = failed?.stream;
            if self.table.get(&keys::missing(&stream))?.is_some() {
                self.remove(&keys::missing(&stream))?;
            }
            let name = keys::stream(&stream);
            if let Some(ticket) = rows::get(self.table, &name)? {
                self.remove(&keys::queue(ticket))?;
                self.remove(&name)?;
            }
        }
        Ok(())
    }
}

fn hash(name: &[u8]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}
