//! What a received bulk holds, found by walking over it in bounded memory.
//!
//! A bulk is its model version (absent in version 4), the blocks of its array of events, and a closing 0. Which
//! version it has follows from its first number and from what can be walked:
//!
//! | first number | the bulk is |
//! | --- | --- |
//! | negative | version 4, or not understood |
//! | 5, 6 | that version if the whole walks as such, else as below |
//! | any other | version 4 if the whole walks as such, else of an unknown version: see [`super::newer`] |
//!
//! Nothing that was received is dropped: a bulk that is not understood is an error for the caller, who puts the
//! file aside.

use std::io::{Read, Seek};
use std::ops::{ControlFlow, Range};

use super::cursor::{WRONG_SIZE, WalkError};
use super::newer;
use super::scanned::nothing;
pub use super::scanned::{BulkError, InvalidEvent, MOST_TOLD, Scanned};
use super::walk::{EventView, walk_event};
use super::window::Window;
use super::{BulkVersion, ModelVersion};
use crate::feed::{Feed, Model};
use crate::ports::journal::ReadSeek;
use crate::ports::state::{BatchContents, EventName};
use crate::timestamp::Timestamp;

/// Reads the bulk of `feed` that lies at `bulk` in a journal file. A bulk without events, or without any bytes,
/// is named after `received`, as is one of an unknown version whose first event cannot be read.
///
/// # Errors
/// [`BulkError::Read`], or [`BulkError::NotUnderstood`] for a version 4 bulk that does not end where it should.
pub fn scan(
    feed: &Feed,
    reader: &mut dyn ReadSeek,
    bulk: Range<u64>,
    received: Timestamp,
) -> Result<Scanned, BulkError> {
    scan_seeing(feed, reader, bulk, received, &mut |_| {})
}

/// The same; `see` is shown each event on the way. Where the bulk turns out to be of another version, it begins anew
/// with event 0, or, where that version is unknown, shows none of it: then what was shown before means nothing.
///
/// # Errors
/// As for [`scan`].
pub fn scan_seeing(
    feed: &Feed,
    reader: &mut dyn ReadSeek,
    bulk: Range<u64>,
    received: Timestamp,
    see: &mut dyn FnMut(&Found<'_>),
) -> Result<Scanned, BulkError> {
    if bulk.is_empty() {
        return Ok(nothing(bulk, received));
    }
    let mut window = Window::new(&mut *reader, bulk.clone());
    let first = match window.long() {
        Err(BulkError::NotUnderstood { .. }) => return newer::scan(reader, bulk, None, received),
        first => first?,
    };
    let after_first = window.offset();
    let claimed = [ModelVersion::V5, ModelVersion::V6]
        .into_iter()
        .find(|version| version.number() == first);
    let mut doubt = None;
    if let Some(version) = claimed {
        match scan_as((feed.model(), version), reader, &bulk, after_first, received, see) {
            Err(BulkError::NotUnderstood { offset, reason }) => {
                doubt = Some(format!(
                    "version {first} in name only: at byte {offset}, {reason}"
                ));
            }
            scanned => return scanned,
        }
    }
    let as_v4 = (feed.model(), ModelVersion::V4);
    match scan_as(as_v4, reader, &bulk, bulk.start, received, see) {
        Err(BulkError::NotUnderstood { .. }) if first >= 0 => {
            let mut scanned = newer::scan(reader, bulk, Some((first, after_first)), received)?;
            scanned.doubt = doubt.or(scanned.doubt);
            Ok(scanned)
        }
        scanned => scanned,
    }
}

impl Scanned {
    /// Counts one event; returns whether it is valid.
    fn saw(&mut self, event: &EventView<'_>) -> bool {
        self.contents.events += 1;
        self.first.get_or_insert(event.timestamp);
        self.names_streams = self.names_streams || event.streams().next_raw().is_some();
        self.malformed_streams += event.streams().count_malformed();
        let Err(reason) = event.validity() else {
            return true;
        };
        self.contents.invalid += 1;
        if self.told.len() < MOST_TOLD {
            self.told.push(InvalidEvent {
                kafka_key: event.kafka_key().into_owned(),
                reason: reason.to_string(),
            });
        }
        false
    }
}

fn scan_as(
    (model, version): (Model, ModelVersion),
    reader: &mut dyn ReadSeek,
    bulk: &Range<u64>,
    blocks: u64,
    received: Timestamp,
    see: &mut dyn FnMut(&Found<'_>),
) -> Result<Scanned, BulkError> {
    let mut scanned = nothing(bulk.clone(), received);
    let mut naming = Naming::default();
    let mut events = EventReader::over(model, version, reader, blocks..bulk.end);
    while events
        .next(|found| {
            let valid = scanned.saw(&found.event);
            naming.saw(&found.event, valid);
            see(&found);
        })?
        .is_some()
    {}
    scanned.contents.version = BulkVersion::Known(version);
    scanned.contents.blocks = blocks..events.blocks_end();
    if let Some(name) = naming.name() {
        scanned.contents.last = name;
    }
    Ok(scanned)
}

/// Finds the last valid event, or the last one where none is valid.
#[derive(Default)]
struct Naming {
    timestamp: Timestamp,
    kafka_key: Vec<u8>,
    any: bool,
    any_valid: bool,
}

impl Naming {
    fn saw(&mut self, event: &EventView<'_>, valid: bool) {
        if valid || !self.any_valid {
            self.any = true;
            self.any_valid |= valid;
            self.timestamp = event.timestamp;
            self.kafka_key.clear();
            self.kafka_key.extend_from_slice(event.kafka_key);
        }
    }

    fn name(self) -> Option<EventName> {
        self.any.then(|| EventName {
            timestamp: self.timestamp,
            kafka_key: String::from_utf8_lossy(&self.kafka_key).into_owned(),
        })
    }
}

/// One event of a bulk.
#[derive(Debug)]
pub struct Found<'a> {
    /// Its number in the bulk, from 0.
    pub index: u64,
    /// What is needed of it.
    pub event: EventView<'a>,
    /// Where it lies in the file.
    pub place: Range<u64>,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// The events of a bulk, one after the other, in bounded memory. It may be kept from one event to the next, so
/// that a batch can be dealt with in portions.
pub struct EventReader<R> {
    window: Window<R>,
    model: Model,
    version: Option<ModelVersion>,
    index: u64,
    left_in_block: u64,
    block_end: Option<u64>,
    blocks_end: Option<u64>,
}

impl<R: Read + Seek> EventReader<R> {
    /// Over the events of a batch that has been scanned. One of an unknown version, or without events, yields
    /// none.
    pub fn new(model: Model, contents: &BatchContents, reader: R) -> Self {
        match contents.version {
            BulkVersion::Known(version) if contents.events > 0 => {
                Self::over(model, version, reader, contents.blocks.start..contents.bulk.end)
            }
            _ => Self {
                blocks_end: Some(contents.blocks.end),
                version: None,
                ..Self::over(model, ModelVersion::V6, reader, 0..0)
            },
        }
    }

    /// Over the blocks, and the closing 0, that lie at `range`.
    pub(super) fn over(model: Model, version: ModelVersion, reader: R, range: Range<u64>) -> Self {
        Self {
            window: Window::new(reader, range),
            model,
            version: Some(version),
            index: 0,
            left_in_block: 0,
            block_end: None,
            blocks_end: None,
        }
    }

    /// Where the last block ended; where the reader stands, before it has been reached.
    pub(super) fn blocks_end(&self) -> u64 {
        self.blocks_end.unwrap_or_else(|| self.window.offset())
    }

    /// Shows the next event to `see` and moves past it; `None` after the last, when all bytes of the bulk have
    /// been accounted for.
    ///
    /// # Errors
    /// [`BulkError::Read`], [`BulkError::NotUnderstood`].
    pub fn next<T>(&mut self, see: impl FnOnce(Found<'_>) -> T) -> Result<Option<T>, BulkError> {
        let Some(version) = self.version.filter(|_| self.blocks_end.is_none()) else {
            return Ok(None);
        };
        if self.left_in_block == 0 && !self.enter_block()? {
            return Ok(None);
        }
        let start = self.window.offset();
        let (seen, length) = loop {
            let bytes = self.window.bytes();
            let fault = match walk_event(self.model, version, bytes) {
                Ok((event, length)) => {
                    let found = Found {
                        index: self.index,
                        event,
                        place: start..start + length as u64,
                        bytes: &bytes[..length],
                    };
                    break (see(found), length);
                }
                Err(fault) => fault,
            };
            if fault != WalkError::Truncated || !self.window.more()? {
                let index = self.index;
                return Err(self.window.broken(format!("event {index}: {fault}")));
            }
        };
        self.window.consume(length);
        self.left_in_block -= 1;
        self.index += 1;
        Ok(Some(seen))
    }

    /// Ends the present block and enters the next; `false` after the closing 0.
    fn enter_block(&mut self) -> Result<bool, BulkError> {
        let here = self.window.offset();
        if self.block_end.take().is_some_and(|end| end != here) {
            return Err(self.window.broken(WRONG_SIZE));
        }
        let Some(block) = self.window.block()? else {
            if !self.window.is_at_end() {
                return Err(self.window.broken("there are bytes after the last event"));
            }
            self.blocks_end = Some(here);
            return Ok(false);
        };
        self.left_in_block = block.count;
        self.block_end = block.size.map(|size| self.window.offset().saturating_add(size));
        Ok(true)
    }
}

/// Shows every event of a batch to `visit`, with its bytes and its place, until it breaks. For an unknown version
/// there is nothing to show.
///
/// # Errors
/// See [`EventReader::next`].
pub fn visit_events(
    model: Model,
    reader: &mut dyn ReadSeek,
    contents: &BatchContents,
    visit: &mut dyn FnMut(&Found<'_>) -> ControlFlow<()>,
) -> Result<(), BulkError> {
    let mut events = EventReader::new(model, contents, reader);
    while let Some(ControlFlow::Continue(())) = events.next(|found| visit(&found))? {}
    Ok(())
}

/// Names a bundle that ends with the last of `events` (counted from 0) of a batch: after the last valid event of
/// the range, else after its last one. The whole of a batch, and any part of an unknown version's, is named after
/// the batch.
///
/// # Errors
/// See [`EventReader::next`].
pub fn name_after(
    model: Model,
    reader: &mut dyn ReadSeek,
    contents: &BatchContents,
    events: Range<u64>,
) -> Result<EventName, BulkError> {
    let mut naming = Naming::default();
    if events != (0..contents.events) {
        visit_events(model, reader, contents, &mut |found| {
            if found.index >= events.end {
                return ControlFlow::Break(());
            }
            if found.index >= events.start {
                naming.saw(&found.event, found.event.validity().is_ok());
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(naming.name().unwrap_or_else(|| contents.last.clone()))
}
