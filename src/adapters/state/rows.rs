//! Rows as the port knows them, out of a table.

use actors::ports::state::{BatchRow, MissingStream, PendingStream, StateFault, SuspectPull};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::keys::{self, Kind};
use super::table::Table;

/// The row under `key`.
pub(super) fn get<R: DeserializeOwned>(table: &impl Table, key: &[u8]) -> Result<Option<R>, StateFault> {
    let value = table.get(key)?;
    value.map(|value| decode(key, &value)).transpose()
}

pub(super) fn encode(row: &impl Serialize) -> Result<Vec<u8>, StateFault> {
    serde_json::to_vec(row).map_err(|error| StateFault::Broken(format!("a row cannot be written: {error}")))
}

pub(super) fn decode<R: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<R, StateFault> {
    serde_json::from_slice(value).map_err(|error| {
        let key = key.escape_ascii();
        StateFault::Broken(format!("the row `{key}` cannot be read: {error}"))
    })
}

/// All rows of a range of keys, read as the iterator goes.
pub(super) fn range<R: DeserializeOwned>(
    table: &impl Table,
    range: (Vec<u8>, Vec<u8>),
) -> impl DoubleEndedIterator<Item = Result<R, StateFault>> + '_ {
    let rows = table.range(range);
    rows.map(|row| row.and_then(|(key, value)| decode(&key, &value)))
}

/// All rows of one kind.
pub(super) fn all<R: DeserializeOwned>(table: &impl Table, kind: Kind) -> Result<Vec<R>, StateFault> {
    range(table, kind.range()).collect()
}

/// Journaled batches by feed and in the order of receipt.
pub(super) fn batches(table: &impl Table) -> Result<Vec<BatchRow>, StateFault> {
    let mut rows: Vec<BatchRow> = all(table, keys::BATCHES)?;
    // The keys follow the text of the feed, which is another order.
    rows.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(rows)
}

/// Suspect pulls of all feeds, oldest first.
pub(super) fn suspects(table: &impl Table) -> Result<Vec<SuspectPull>, StateFault> {
    let mut rows: Vec<SuspectPull> = all(table, keys::SUSPECTS)?;
    rows.sort_by(|a, b| (a.since, &a.feed).cmp(&(b.since, &b.feed)));
    Ok(rows)
}

/// Pending streams from a ticket on, in their order.
pub(super) fn pending(table: &impl Table, from: u64, limit: usize) -> Result<Vec<PendingStream>, StateFault> {
    range(table, keys::queue_from(from)).take(limit).collect()
}

/// The highest ticket of all.
pub(super) fn highest_ticket(table: &impl Table) -> Result<Option<u64>, StateFault> {
    let last = range::<PendingStream>(table, keys::QUEUE.range()).next_back();
    Ok(last.transpose()?.map(|row| row.ticket))
}

/// Streams that were missing and want a second look.
pub(super) fn missing_again(
    table: &impl Table,
    asked_before: actors::timestamp::Timestamp,
) -> impl Iterator<Item = Result<MissingStream, StateFault>> + '_ {
    range::<MissingStream>(table, keys::MISSING.range()).filter(move |row| {
        row.as_ref()
            .map_or(true, |row| row.wants_second_look(asked_before))
    })
}
