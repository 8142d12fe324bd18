//! Bundles are joined from bulks, and bulks split between bundles, without an event being decoded or encoded.
//!
//! A bundle is a bulk: the version (absent in version 4), blocks of events, a closing 0. A batch that goes into it
//! as a whole gives its blocks as they are; of a part of a batch the events' own bytes are framed anew. An event's
//! bytes are never altered. A version 4 bundle begins with a negative number, by which it is recognised: a batch
//! whose first block has no size is framed anew there. A bulk of an unknown version is a bundle of its own, byte
//! for byte.
//!
//! The same arguments give the same bytes, however often a crash repeats them.

use std::io::{SeekFrom, Write};
use std::ops::Range;

use super::bulk::{BulkError, EventReader};
use super::cursor::write_long;
use super::window::Window;
use super::{BulkVersion, ModelVersion};
use crate::fault::Fault;
use crate::feed::Model;
use crate::ports::journal::ReadSeek;
use crate::ports::state::BatchContents;

/// What one batch gives to a bundle.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// What the batch holds.
    pub contents: &'a BatchContents,
    /// Which of its events, counted from 0.
    pub events: Range<u64>,
}

impl Part<'_> {
    fn is_whole(&self) -> bool {
        self.events == (0..self.contents.events)
    }
}

/// Opens the journal file of the part with this index. Files are open one at a time.
pub type Open<'a> = dyn FnMut(usize) -> Result<Box<dyn ReadSeek>, Fault> + 'a;

/// How many bytes are copied at once, and how many events' bytes are gathered for one block.
const CHUNK: usize = 64 * 1024;

/// Writes the bundle that consists of `parts`, in their order, and these `copies` times over.
///
/// # Errors
/// [`BulkError::CannotJoin`] if a part is of another version, or if a bulk of an unknown version is not alone;
/// otherwise what fails in reading and writing. `out` then holds half a bundle.
pub fn write_bundle(
    model: Model,
    version: BulkVersion,
    parts: &[Part<'_>],
    copies: u32,
    open: &mut Open<'_>,
    out: &mut dyn Write,
) -> Result<(), BulkError> {
    if parts.iter().any(|part| part.contents.version != version) {
        return Err(BulkError::CannotJoin);
    }
    let version = match (version, parts) {
        (BulkVersion::Known(version), _) => version,
        (BulkVersion::Unknown(_), [part]) if copies == 1 => {
            let mut reader = open(0).map_err(BulkError::Open)?;
            return copy(&mut *reader, part.contents.bulk.clone(), out);
        }
        (BulkVersion::Unknown(_), _) => return Err(BulkError::CannotJoin),
    };
    if version.is_written_in_bulks() {
        write(out, |head| write_long(version.number(), head))?;
    }
    for _ in 0..copies {
        for (index, part) in parts.iter().enumerate() {
            if !part.events.is_empty() {
                let mut reader = open(index).map_err(BulkError::Open)?;
                write_part(model, version, part, &mut *reader, out)?;
            }
        }
    }
    write(out, |end| write_long(0, end))
}

/// A bulk of the events whose bytes, one after the other, are `events`.
///
/// Its one block tells its size, so that it is recognised whatever its version.
pub fn bulk_of(version: ModelVersion, count: u64, events: &[u8]) -> Vec<u8> {
    const HEAD: usize = 32;
    let mut bulk = Vec::with_capacity(events.len() + HEAD);
    if version.is_written_in_bulks() {
        write_long(version.number(), &mut bulk);
    }
    if count > 0 {
        write_long(-i64::try_from(count).unwrap_or(i64::MAX), &mut bulk);
        write_long(i64::try_from(events.len()).unwrap_or(i64::MAX), &mut bulk);
        bulk.extend_from_slice(events);
    }
    write_long(0, &mut bulk);
    bulk
}

fn write_part(
    model: Model,
    version: ModelVersion,
    part: &Part<'_>,
    reader: &mut dyn ReadSeek,
    out: &mut dyn Write,
) -> Result<(), BulkError> {
    let blocks = part.contents.blocks.clone();
    if part.is_whole() && (version.is_written_in_bulks() || begins_with_a_size(reader, blocks.clone())?) {
        copy(reader, blocks, out)
    } else {
        frame_anew(model, part, reader, out)
    }
}

fn begins_with_a_size(reader: &mut dyn ReadSeek, blocks: Range<u64>) -> Result<bool, BulkError> {
    Ok(Window::new(reader, blocks).long()? < 0)
}

/// Writes the events of a part as blocks with sizes.
fn frame_anew(
    model: Model,
    part: &Part<'_>,
    reader: &mut dyn ReadSeek,
    out: &mut dyn Write,
) -> Result<(), BulkError> {
    let mut events = EventReader::new(model, part.contents, reader);
    let mut block = FramedBlock::default();
    let mut index = 0;
    while index < part.events.end {
        let gathered = events.next(|found| {
            index = found.index + 1;
            if part.events.contains(&found.index) {
                block.gather(found.bytes);
            }
        })?;
        if gathered.is_none() {
            return Err(BulkError::NotUnderstood {
                offset: part.contents.blocks.end,
                reason: format!("there is no event {index}"),
            });
        }
        if block.events.len() >= CHUNK {
            block.flush(out)?;
        }
    }
    block.flush(out)
}

/// A block that is being made of events.
#[derive(Default)]
struct FramedBlock {
    count: i64,
    events: Vec<u8>,
}

impl FramedBlock {
    fn gather(&mut self, event: &[u8]) {
        self.count += 1;
        self.events.extend_from_slice(event);
    }

    fn flush(&mut self, out: &mut dyn Write) -> Result<(), BulkError> {
        if self.count > 0 {
            write(out, |head| {
                write_long(-self.count, head);
                write_long(self.events.len() as i64, head);
            })?;
            out.write_all(&self.events).map_err(BulkError::Write)?;
            self.count = 0;
            self.events.clear();
        }
        Ok(())
    }
}

fn write(out: &mut dyn Write, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), BulkError> {
    let mut encoded = Vec::with_capacity(20);
    encode(&mut encoded);
    out.write_all(&encoded).map_err(BulkError::Write)
}

fn copy(reader: &mut dyn ReadSeek, range: Range<u64>, out: &mut dyn Write) -> Result<(), BulkError> {
    reader
        .seek(SeekFrom::Start(range.start))
        .map_err(BulkError::Read)?;
    let mut chunk = vec![0; CHUNK];
    let mut left = range.end - range.start;
    while left > 0 {
        let length = left.min(CHUNK as u64) as usize;
        reader.read_exact(&mut chunk[..length]).map_err(BulkError::Read)?;
        out.write_all(&chunk[..length]).map_err(BulkError::Write)?;
        left -= length as u64;
    }
    Ok(())
}
