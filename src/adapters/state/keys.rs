//! How rows are called. A key is a word, a slash and the name of the row; numbers are big-endian, so that rows are
//! read in their order.
//!
//! | key | row |
//! | --- | --- |
//! | `meta/schema`, `meta/starts`, `meta/commits` | version of this layout, number of starts, of groups of changes |
//! | `meta/closed` | how many rows there were when it was closed; gone while it is open |
//! | `mark/{feed}` | a pull is outstanding |
//! | `batch/{feed}/{seq}` | a journaled batch |
//! | `seal/{feed}` | a sealed bundle |
//! | `times/{feed}` | when the feed last had an event, a bundle and a pull, and since when it has been behind |
//! | `queue/{ticket}` | a pending stream |
//! | `stream/{stream}` | the ticket of a pending stream |
//! | `missing/{stream}`, `failed/{stream}` | a stream that is missing, or set aside |
//! | `suspect/{feed}/{since}` | a pull that may have cost events |
//! | `upload/{bucket}/{key}/{upload}` | a multipart upload that is open |
//! | `upload/{bucket}/{key}//{since}` | uploads of this key may have begun |

use actors::feed::Feed;
use actors::ports::state::OpenUpload;
use actors::stream_id::StreamId;
use actors::timestamp::Timestamp;

/// The version of the layout of rows.
pub const SCHEMA: &[u8] = b"meta/schema";
/// The number of starts.
pub const STARTS: &[u8] = b"meta/starts";
/// The number of groups of changes.
pub const COMMITS: &[u8] = b"meta/commits";
/// How many rows there were when it was closed.
pub const CLOSED: &[u8] = b"meta/closed";

/// The word that begins the keys of one kind of row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub &'static str);

pub(super) const MARKS: Kind = Kind("mark");
pub(super) const BATCHES: Kind = Kind("batch");
pub(super) const SEALS: Kind = Kind("seal");
pub(super) const TIMES: Kind = Kind("times");
pub(super) const QUEUE: Kind = Kind("queue");
pub(super) const STREAMS: Kind = Kind("stream");
pub(super) const MISSING: Kind = Kind("missing");
pub(super) const FAILED: Kind = Kind("failed");
pub(super) const SUSPECTS: Kind = Kind("suspect");
pub(super) const UPLOADS: Kind = Kind("upload");

impl Kind {
    /// The first key of this kind, and the first beyond it.
    pub fn range(self) -> (Vec<u8>, Vec<u8>) {
        prefix_range(format!("{}/", self.0).into_bytes())
    }

    /// The key of one row.
    pub fn key(self, name: &str) -> Vec<u8> {
        format!("{}/{name}", self.0).into_bytes()
    }
}

/// Everything that begins with `prefix`, whose last byte is not the highest: a slash, or text.
pub fn prefix_range(prefix: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    let mut end = prefix.clone();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    (prefix, end)
}

/// `number` after `prefix`.
pub fn numbered(mut prefix: Vec<u8>, number: u64) -> Vec<u8> {
    prefix.extend_from_slice(&number.to_be_bytes());
    prefix
}

pub(super) fn mark(feed: &Feed) -> Vec<u8> {
    MARKS.key(&feed.to_string())
}

pub(super) fn batch(feed: &Feed, seq: u64) -> Vec<u8> {
    numbered(BATCHES.key(&format!("{feed}/")), seq)
}

pub(super) fn seal(feed: &Feed) -> Vec<u8> {
    SEALS.key(&feed.to_string())
}

pub(super) fn times(feed: &Feed) -> Vec<u8> {
    TIMES.key(&feed.to_string())
}

pub(super) fn queue(ticket: u64) -> Vec<u8> {
    numbered(QUEUE.key(""), ticket)
}

/// The queue from `ticket` on.
pub(super) fn queue_from(ticket: u64) -> (Vec<u8>, Vec<u8>) {
    (queue(ticket), QUEUE.range().1)
}

pub(super) fn stream(stream: &StreamId) -> Vec<u8> {
    STREAMS.key(&stream.to_string())
}

pub(super) fn missing(stream: &StreamId) -> Vec<u8> {
    MISSING.key(&stream.to_string())
}

pub(super) fn failed(stream: &StreamId) -> Vec<u8> {
    FAILED.key(&stream.to_string())
}

pub(super) fn suspect(feed: &Feed, since: Timestamp) -> Vec<u8> {
    // With the sign turned over negative numbers sort before the others.
    let since = since.as_micros().cast_unsigned() ^ (1 << 63);
    numbered(SUSPECTS.key(&format!("{feed}/")), since)
}

pub(super) fn suspects_of(feed: &Feed) -> (Vec<u8>, Vec<u8>) {
    prefix_range(SUSPECTS.key(&format!("{feed}/")))
}

pub(super) fn upload(upload: &OpenUpload) -> Vec<u8> {
    let bucket = if upload.bundle { "events" } else { "streams" };
    UPLOADS.key(&format!("{bucket}/{}/{}", upload.key, upload.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_number_and_not_by_text() {
        let feed: Feed = "samples/binary/mapped".parse().unwrap();
        assert!(batch(&feed, 9) < batch(&feed, 10));
        assert!(batch(&feed, u64::MAX) < BATCHES.range().1);
        assert!(queue(255) < queue(256) && queue(u64::MAX) < QUEUE.range().1);
        let since = |micros| suspect(&feed, Timestamp::from_micros(micros));
        assert!(since(i64::MIN) < since(-1) && since(-1) < since(0) && since(0) < since(i64::MAX));
        let (first, beyond) = suspects_of(&feed);
        assert!(first <= since(i64::MIN) && since(i64::MAX) < beyond);
    }

    #[test]
    fn a_feed_whose_name_begins_like_another_is_another() {
        let feeds = ["a/binary/mapped", "a!/binary/mapped", "ab/binary/mapped"];
        let [a, others @ ..] = feeds.map(|feed| feed.parse::<Feed>().unwrap());
        let (first, beyond) = suspects_of(&a);
        for other in others {
            let key = suspect(&other, Timestamp::from_micros(0));
            assert!(key < first || key >= beyond, "{other}");
        }
    }
}
