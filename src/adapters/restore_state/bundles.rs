//! Done bundles: rows of up to [`FULL`], in the order of time, as the leaves of a tree are.
//!
//! A bundle has a [`Position`] in its feed: its timestamp, and a hash of its key and size. A row is called after the
//! position that it begins with, and holds all that is done up to where the next row begins; so it takes one look to
//! find a bundle, however many there are of the same hour or instant. The first row of a feed begins before
//! everything. Bundles mostly come in their order: then a row is filled, and the next is begun. One that comes late goes
//! into its row; if that is full it is halved, the upper half first. After a crash in between the upper half lies in both
//! rows: what a row holds beyond the beginning of the next one does not count, and goes at the next start.

use actors::fault_point::FaultPoint;
use actors::feed::Feed;
use actors::ports::restore_state::{BundleDone, EventFigures};
use actors::ports::state::StateFault;
use actors::timestamp::Timestamp;
use sha2::{Digest, Sha256};

use super::checkpoints::Writing;
use super::keys;
use super::rows::{BundlesRow, DoneEntry, decode_bundles, encode_bundles};
use crate::adapters::state::table::Table;
use crate::adapters::state::writer::pass;

/// Most bundles of a row. A row is rewritten whole with each: more are fewer rows, and longer ones.
pub(super) const FULL: usize = 32;

/// Where a bundle lies among those of its feed. Two that differ in key or size have two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position(pub(super) [u8; Self::LENGTH]);

impl Position {
    /// Of the timestamp, and of the hash.
    pub(super) const LENGTH: usize = 8 + 16;

    /// Before everything.
    pub(super) const FIRST: Self = Self([0; Self::LENGTH]);

    pub(super) fn of(timestamp: Timestamp, key: &str, size: u64) -> Self {
        let hash = Sha256::new().chain_update(key).chain_update(size.to_be_bytes());
        // With the sign turned over negative numbers sort before the others.
        let time = timestamp.as_micros().cast_unsigned() ^ (1 << 63);
        let mut position = Self::FIRST;
        let (first, second) = position.0.split_at_mut(8);
        first.copy_from_slice(&time.to_be_bytes());
        second.copy_from_slice(&hash.finalize()[..16]);
        position
    }
}

/// The row that holds the position if any does, with its key.
fn row_of(
    table: &impl Table,
    run: u64,
    feed: &Feed,
    position: &Position,
) -> Result<Option<(Vec<u8>, BundlesRow)>, StateFault> {
    let last = table.range(keys::bundles_up_to(run, feed, position)).next_back();
    let Some((key, value)) = last.transpose()? else {
        return Ok(None);
    };
    let row = decode_bundles(&key, &value)?;
    Ok(Some((key, row)))
}

fn place(row: &[DoneEntry], position: &Position) -> Result<usize, usize> {
    row.binary_search_by(|entry| entry.position.cmp(position))
}

/// What became of a bundle, if it is done.
pub(super) fn done(
    table: &impl Table,
    run: u64,
    feed: &Feed,
    position: &Position,
) -> Result<Option<EventFigures>, StateFault> {
    let row = row_of(table, run, feed, position)?;
    Ok(row.and_then(|(_, row)| {
        let place = place(&row, position).ok()?;
        Some(row[place].figures)
    }))
}

impl<T: Table> Writing<'_, T> {
    /// Adds the bundle to its row; the same one again takes the place of the first.
    pub(super) fn bundle_done(&mut self, bundle: &BundleDone) -> Result<(), StateFault> {
        let run = self.memory.run()?;
        let feed = &bundle.feed;
        let position = Position::of(bundle.timestamp, &bundle.key, bundle.size);
        let entry = DoneEntry {
            position,
            figures: bundle.figures,
        };
        let mut known = EventFigures::default();
        match row_of(self.table, run, feed, &position)? {
            None => self.put_bundles(keys::bundles(run, feed, &Position::FIRST), &[entry], true)?,
            Some((key, mut row)) => match place(&row, &position) {
                Ok(place) => {
                    known = std::mem::replace(&mut row[place], entry).figures;
                    self.put_bundles(key, &row, false)?;
                }
                Err(place) if row.len() < FULL => {
                    row.insert(place, entry);
                    self.put_bundles(key, &row, false)?;
                }
                Err(place) if place == row.len() => {
                    self.put_bundles(keys::bundles(run, feed, &position), &[entry], true)?;
                }
                Err(place) => {
                    row.insert(place, entry);
                    let upper = row.split_off(row.len() / 2);
                    let upper_key = keys::bundles(run, feed, &upper[0].position);
                    self.put_bundles(upper_key, &upper, true)?;
                    pass(FaultPoint::RestoreRowHalved)?;
                    self.put_bundles(key, &row, false)?;
                }
            },
        }
        self.memory.add_up(feed, &known, &bundle.figures);
        Ok(())
    }

    fn put_bundles(&mut self, key: Vec<u8>, row: &[DoneEntry], is_new: bool) -> Result<(), StateFault> {
        self.put_bytes(&key, &encode_bundles(row))?;
        self.memory.counts.bundle_rows += u64::from(is_new);
        Ok(())
    }

    /// Takes out of each row what lies in the next one too. Both are read from end to end, in the order in which they
    /// lie.
    pub(super) fn finish_halving(&mut self) -> Result<(), StateFault> {
        let mut last: Option<(Vec<u8>, BundlesRow)> = None;
        for row in self.table.range(keys::BUNDLES.range()) {
            let (key, value) = row?;
            let row = decode_bundles(&key, &value)?;
            if let Some((before, mut held)) = last.take()
                && is_of_one_feed(&before, &key)
                && let Some((_, begins)) = keys::bundles_of(&key)
            {
                let end = held.partition_point(|entry| entry.position < begins);
                if end < held.len() {
                    held.truncate(end);
                    self.put_bytes(&before, &encode_bundles(&held))?;
                }
            }
            last = Some((key, row));
        }
        Ok(())
    }
}

fn is_of_one_feed(a: &[u8], b: &[u8]) -> bool {
    let feed = |key: &[u8]| {
        key.len()
            .checked_sub(Position::LENGTH)
            .map(|end| key[..end].to_vec())
    };
    feed(a) == feed(b)
}
