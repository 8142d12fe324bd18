//! Rows as the port knows them, out of a table.

use actors::feed::Feed;
use actors::ports::state::{
    BatchRow, FailedStream, FeedTimes, MissingStream, PendingStream, StateFault, SuspectSpan,
};
use actors::stream_id::StreamId;
use actors::timestamp::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::keys::{self, Kind};
use super::table::Table;

/// The row under `key`.
///
/// # Errors
/// See [`StateFault`]; here and below.
pub fn get<R: DeserializeOwned>(table: &impl Table, key: &[u8]) -> Result<Option<R>, StateFault> {
    let value = table.get(key)?;
    value.map(|value| decode(key, &value)).transpose()
}

/// The value of a row.
///
/// # Errors
/// As above.
pub fn encode(row: &impl Serialize) -> Result<Vec<u8>, StateFault> {
    serde_json::to_vec(row).map_err(|error| StateFault::Broken(format!("a row cannot be written: {error}")))
}

/// The row that is the value of `key`.
///
/// # Errors
/// As above.
pub fn decode<R: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<R, StateFault> {
    serde_json::from_slice(value).map_err(|error| {
        let key = key.escape_ascii();
        StateFault::Broken(format!("the row `{key}` cannot be read: {error}"))
    })
}

/// All rows of a range of keys, read as the iterator goes.
pub fn range<R: DeserializeOwned>(
    table: &impl Table,
    range: (Vec<u8>, Vec<u8>),
) -> impl DoubleEndedIterator<Item = Result<R, StateFault>> + '_ {
    let rows = table.range(range);
    rows.map(|row| row.and_then(|(key, value)| decode(&key, &value)))
}

/// All rows of one kind.
///
/// # Errors
/// As above.
pub fn all<R: DeserializeOwned>(table: &impl Table, kind: Kind) -> Result<Vec<R>, StateFault> {
    range(table, kind.range()).collect()
}

/// Journaled batches by feed and in the order of receipt.
pub(super) fn batches(table: &impl Table) -> Result<Vec<BatchRow>, StateFault> {
    let mut rows: Vec<BatchRow> = all(table, keys::BATCHES)?;
    // The keys follow the text of the feed, which is another order.
    rows.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(rows)
}

/// When each feed last had an event, a bundle and a pull, and since when it has been behind; by feed.
pub(super) fn feed_times(table: &impl Table) -> Result<Vec<FeedTimes>, StateFault> {
    let mut rows: Vec<FeedTimes> = all(table, keys::TIMES)?;
    rows.sort_by(|a, b| a.feed.cmp(&b.feed));
    Ok(rows)
}

/// What follows the row `after` within `range`, if one is given.
fn beyond<R: DeserializeOwned>(
    table: &impl Table,
    (first, end): (Vec<u8>, Vec<u8>),
    after: Option<Vec<u8>>,
) -> impl DoubleEndedIterator<Item = Result<R, StateFault>> + '_ {
    let next = |mut after: Vec<u8>| {
        after.push(0);
        after
    };
    range(table, (after.map_or(first, next), end))
}

/// Streams set aside, after the one given.
pub(super) fn failed_after(
    table: &impl Table,
    after: Option<&StreamId>,
) -> impl Iterator<Item = Result<FailedStream, StateFault>> {
    beyond(table, keys::FAILED.range(), after.map(keys::failed))
}

/// Streams that were missing, after the one given.
pub(super) fn missing_after(
    table: &impl Table,
    after: Option<&StreamId>,
) -> impl Iterator<Item = Result<MissingStream, StateFault>> {
    beyond(table, keys::MISSING.range(), after.map(keys::missing))
}

/// Spans of suspect pulls, feed by feed, after the one given.
pub(super) fn suspects_after(
    table: &impl Table,
    after: Option<(&Feed, Timestamp)>,
) -> impl Iterator<Item = Result<SuspectSpan, StateFault>> {
    let after = after.map(|(feed, since)| keys::suspect(feed, since));
    beyond(table, keys::SUSPECTS.range(), after)
}

/// The last span of suspect pulls of this feed that began at `since` or before.
pub(super) fn suspect_before(
    table: &impl Table,
    feed: &Feed,
    since: Timestamp,
) -> Result<Option<SuspectSpan>, StateFault> {
    let (first, _) = keys::suspects_of(feed);
    let mut end = keys::suspect(feed, since);
    end.push(0);
    range(table, (first, end)).next_back().transpose()
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
