//! A window that moves over a range of a file: what is walked is in memory, the rest is not.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use super::cursor::{Block, Cursor, WalkError};
use super::scanned::BulkError;

/// How much of a file is in memory, unless one event needs more.
const USUAL: usize = 256 * 1024;

/// The most memory that one event may need. The dispatcher's limit is 3 MiB, before it upgrades an event.
pub(super) const LARGEST_EVENT: usize = 32 * 1024 * 1024;

/// A range of a file, read once from front to back.
pub(super) struct Window<R> {
    reader: R,
    buffer: Vec<u8>,
    /// What is in the buffer and has not been consumed.
    held: Range<usize>,
    /// Where in the file the held bytes begin.
    offset: u64,
    /// Where in the file the range ends.
    end: u64,
    /// Whether the reader stands where the held bytes end.
    in_place: bool,
}

impl<R: Read + Seek> Window<R> {
    pub(super) fn new(reader: R, range: Range<u64>) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            held: 0..0,
            offset: range.start,
            end: range.end.max(range.start),
            in_place: false,
        }
    }

    /// Where in the file the window stands.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether everything has been consumed.
    pub(super) fn is_at_end(&self) -> bool {
        self.offset == self.end
    }

    /// How many bytes have not been consumed.
    pub(super) fn left(&self) -> u64 {
        self.end - self.offset
    }

    /// What is in memory.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.held.clone()]
    }

    /// Moves over `length` bytes that are in memory.
    pub(super) fn consume(&mut self, length: usize) {
        debug_assert!(length <= self.held.len());
        self.held.start += length;
        self.offset += length as u64;
    }

    /// Moves over `length` bytes, in memory or not.
    pub(super) fn skip(&mut self, length: u64) -> Result<(), BulkError> {
        if length > self.left() {
            return Err(self.broken("a block is longer than the bulk"));
        }
        if length <= self.held.len() as u64 {
            self.consume(length as usize);
        } else {
            self.held = 0..0;
            self.offset += length;
            self.in_place = false;
        }
        Ok(())
    }

    /// Takes more of the file into memory; `false` if there is no more.
    pub(super) fn more(&mut self) -> Result<bool, BulkError> {
        let unread = usize::try_from(self.left() - self.held.len() as u64).unwrap_or(usize::MAX);
        if unread == 0 {
            return Ok(false);
        }
        self.make_room(unread)?;
        if !self.in_place {
            let place = self.offset + self.held.len() as u64;
            self.reader
                .seek(SeekFrom::Start(place))
                .map_err(BulkError::Read)?;
            self.in_place = true;
        }
        let until = self.buffer.len().min(self.held.end.saturating_add(unread));
        let room = &mut self.buffer[self.held.end..until];
        let read = loop {
            match self.reader.read(room) {
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => (),
                read => break read.map_err(BulkError::Read)?,
            }
        };
        if read == 0 {
            return Err(BulkError::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        self.held.end += read;
        Ok(true)
    }

    fn make_room(&mut self, unread: usize) -> Result<(), BulkError> {
        if self.held.len() == self.buffer.len() {
            let larger = (self.buffer.len() * 2).max(USUAL);
            if self.buffer.len() >= LARGEST_EVENT {
                return Err(self.broken("an event exceeds 32 MiB"));
            }
            let needed = self.held.len().saturating_add(unread);
            self.buffer.resize(larger.min(needed).min(LARGEST_EVENT), 0);
        }
        self.buffer.copy_within(self.held.clone(), 0);
        self.held = 0..self.held.len();
        Ok(())
    }

    /// Reads a long that is not part of an event.
    pub(super) fn long(&mut self) -> Result<i64, BulkError> {
        self.read(|cursor| cursor.long())
    }

    /// Reads the head of a block.
    pub(super) fn block(&mut self) -> Result<Option<Block>, BulkError> {
        self.read(|cursor| cursor.block())
    }

    fn read<T>(
        &mut self,
        mut read: impl FnMut(&mut Cursor<'_>) -> Result<T, WalkError>,
    ) -> Result<T, BulkError> {
        loop {
            let mut cursor = Cursor::new(self.bytes());
            match read(&mut cursor) {
                Ok(value) => {
                    let length = self.held.len() - cursor.rest().len();
                    self.consume(length);
                    return Ok(value);
                }
                Err(WalkError::Truncated) if self.more()? => (),
                Err(fault) => return Err(self.broken(fault)),
            }
        }
    }

    /// What stands at the window's place cannot be understood.
    pub(super) fn broken(&self, reason: impl ToString) -> BulkError {
        BulkError::NotUnderstood {
            offset: self.offset,
            reason: reason.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_stays_small_over_a_large_range() {
        let file: Vec<u8> = (0..8 * USUAL as u32).map(|index| index as u8).collect();
        let range = 7..file.len() as u64 - 7;
        let mut window = Window::new(io::Cursor::new(&file), range.clone());
        let mut seen = Vec::new();
        while !window.is_at_end() {
            if window.bytes().len() < 1000 && window.more().unwrap() {
                continue;
            }
            let length = window.bytes().len().min(1000);
            seen.extend_from_slice(&window.bytes()[..length]);
            window.consume(length);
        }
        assert!(seen == file[7..file.len() - 7]);
        assert!(window.buffer.len() <= USUAL, "{}", window.buffer.len());
    }

    #[test]
    fn an_event_beyond_the_limit_is_an_error_and_not_an_allocation() {
        let file = vec![0; 2 * LARGEST_EVENT];
        let mut window = Window::new(io::Cursor::new(&file), 0..file.len() as u64);
        let fault = loop {
            match window.more() {
                Ok(more) => assert!(more),
                Err(fault) => break fault,
            }
        };
        assert!(matches!(fault, BulkError::NotUnderstood { .. }), "{fault}");
        assert!(window.buffer.len() <= LARGEST_EVENT);
    }

    #[test]
    fn a_file_shorter_than_its_range_is_a_fault_of_the_disk() {
        let mut window = Window::new(io::Cursor::new([1; 10]), 0..20);
        assert!(window.more().unwrap());
        assert!(matches!(window.more(), Err(BulkError::Read(_))));
    }

    #[test]
    fn skipped_bytes_are_not_read() {
        let mut file = vec![0; 3 * USUAL];
        file[2 * USUAL] = 42;
        let mut window = Window::new(io::Cursor::new(&file), 0..file.len() as u64);
        assert_eq!(window.long().unwrap(), 0);
        window.skip(2 * USUAL as u64 - 1).unwrap();
        assert_eq!(window.long().unwrap(), 21);
        assert!(window.skip(file.len() as u64).is_err());
    }
}
