//! Bulks of a version that this program does not know: stored whole, never joined, and told as far as they can be.
//!
//! What is assumed of a newer version is only what all versions so far have in common: the bulk is its version and
//! an array of events, and an event begins with its version, its Kafka key and its timestamp. Where even that does
//! not hold the bulk is named by the time of receipt and its SHA-256. Nothing here fails because a bulk is newer.

use std::io::{Read, Seek};
use std::ops::Range;

use sha2::{Digest, Sha256};

use super::BulkVersion;
use super::cursor::Cursor;
use super::scanned::{BulkError, Scanned, nothing};
use super::window::Window;
use crate::ports::journal::ReadSeek;
use crate::ports::state::EventName;
use crate::timestamp::Timestamp;

/// The longest Kafka key that is believed to be one.
const LONGEST_KEY: usize = 1024;

/// What can be told of the bulk; `first` is its first number, and where that ends.
pub(super) fn scan(
    reader: &mut dyn ReadSeek,
    bulk: Range<u64>,
    first: Option<(i64, u64)>,
    received: Timestamp,
) -> Result<Scanned, BulkError> {
    let mut scanned = nothing(bulk.clone(), received);
    scanned.names_streams = true;
    scanned.contents.blocks = bulk.start..bulk.start;
    let (version, array) = first.unwrap_or((0, bulk.end));
    scanned.contents.version = BulkVersion::Unknown(version);
    let array = array..bulk.end;
    let (events, doubt) = count(reader, array.clone())?;
    scanned.contents.events = events;
    scanned.doubt = doubt;
    if events == 0 {
        return Ok(scanned);
    }
    match first_event(reader, array, version)? {
        Some(name) => {
            scanned.first = Some(name.timestamp);
            scanned.contents.last = name;
        }
        None => scanned.contents.last.kafka_key = digest(reader, bulk)?,
    }
    Ok(scanned)
}

/// The number of events, and where the array stops making sense. Blocks with a size are stepped over; one without
/// ends the count, its own events included. What holds anything but an empty array counts as one event at least.
fn count(reader: &mut dyn ReadSeek, array: Range<u64>) -> Result<(u64, Option<String>), BulkError> {
    let length = array.end - array.start;
    let mut window = Window::new(reader, array);
    let mut events: u64 = 0;
    let doubt = loop {
        match next_block(&mut window) {
            Ok(Some((count, stepped_over))) => {
                events = events.saturating_add(count);
                if !stepped_over {
                    break None;
                }
            }
            Ok(None) if events == 0 => return Ok((0, None)),
            Ok(None) => break None,
            Err(BulkError::NotUnderstood { offset, reason }) => {
                break Some(format!("at byte {offset}, {reason}"));
            }
            Err(fault) => return Err(fault),
        }
    };
    // An event takes a byte at least: a greater number is no number of events.
    Ok((events.clamp(1, length.max(1)), doubt))
}

/// The count of the next block, and whether it could be stepped over; `None` at the end of the array, which is
/// the end of the bulk.
fn next_block<R: Read + Seek>(window: &mut Window<R>) -> Result<Option<(u64, bool)>, BulkError> {
    match window.block()? {
        Some(block) => {
            if let Some(size) = block.size {
                window.skip(size)?;
            }
            Ok(Some((block.count, block.size.is_some())))
        }
        None if window.is_at_end() => Ok(None),
        None => Err(window.broken("there are bytes after the last event")),
    }
}

/// Names the first event, if it begins as events of all versions do.
fn first_event(
    reader: &mut dyn ReadSeek,
    array: Range<u64>,
    version: i64,
) -> Result<Option<EventName>, BulkError> {
    let mut window = Window::new(reader, array);
    while window.bytes().len() < 2 * LONGEST_KEY && window.more()? {}
    Ok(leading_fields(window.bytes(), version))
}

fn leading_fields(bytes: &[u8], version: i64) -> Option<EventName> {
    let mut cursor = Cursor::new(bytes);
    cursor.block().ok()??;
    let own_version = cursor.long().ok()?;
    let kafka_key = std::str::from_utf8(cursor.bytes().ok()?).ok()?;
    let timestamp = Timestamp::from_micros(cursor.long().ok()?);
    let plausible = own_version == version
        && !kafka_key.is_empty()
        && kafka_key.len() <= LONGEST_KEY
        && timestamp.to_string().parse() == Ok(timestamp);
    plausible.then(|| EventName {
        timestamp,
        kafka_key: kafka_key.to_owned(),
    })
}

/// The SHA-256 of the bulk, in hex.
fn digest(reader: &mut dyn ReadSeek, bulk: Range<u64>) -> Result<String, BulkError> {
    let mut hash = Sha256::new();
    let mut window = Window::new(reader, bulk);
    while window.more()? {
        hash.update(window.bytes());
        window.consume(window.bytes().len());
    }
    Ok(hex::encode(hash.finalize()))
}
