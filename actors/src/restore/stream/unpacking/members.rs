//! Gzip as it comes: members, each of blocks of deflate (RFC 1951, 3.2).
//!
//! What a member begins with of *stored* blocks, as packed binaries mostly are, is given as it came, without a copy.
//! From its first block of another kind on, a member is left to the library, with what it may look back at.
//!
//! A member's length is compared; its CRC-32 is not, which would cost as much again as all else that is done to a
//! stored block. Whoever unpacks a stream compares the SHA-256 of the whole before its last bytes are let go: content
//! that has passed is right, and content that has not is not, whatever the CRC says.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};

use bytes::{Buf, Bytes};
use flate2::{Decompress, FlushDecompress, Status};

use super::Step;
use super::head::head_length;
use super::pieces::Pieces;

/// How far back a block may look.
const WINDOW: usize = 32 * 1024;

/// From this length on, stored bytes are given as they are; what is shorter is put together.
const WORTH_GIVING: usize = 4 * 1024;

/// A last block of fixed codes with nothing in it, which ends what was stored.
const NOTHING: [u8; 2] = [0x03, 0x00];

/// Type, and length twice.
const STORED_HEADER: usize = 5;

/// CRC-32 and length.
const TRAILER: usize = 8;

/// See the module.
#[derive(Debug)]
pub(super) struct Members {
    inflate: Decompress,
    arrived: Bytes,
    is_all: bool,
    at: At,
    /// Bytes of content of this member.
    made: u64,
    /// What was stored last, as far as a block may look back.
    window: VecDeque<Bytes>,
    window_length: usize,
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// Where a member may begin: the first has to.
    Head {
        first: bool,
    },
    /// Where a block begins, with a byte.
    Block,
    /// Within a stored block.
    Stored {
        left: usize,
        last: bool,
    },
    /// In the hands of the library.
    Inflating,
    Trailer,
}

impl Default for Members {
    fn default() -> Self {
        Self::with(Decompress::new(false))
    }
}

impl Members {
    fn with(inflate: Decompress) -> Self {
        Self {
            inflate,
            arrived: Bytes::new(),
            is_all: false,
            at: At::Head { first: true },
            made: 0,
            window: VecDeque::new(),
            window_length: 0,
        }
    }

    /// The tables of the library for the next gzip.
    pub(super) fn leave(self) -> Self {
        Self::with(self.inflate)
    }

    /// Takes the next chunk, or that there is none.
    pub(super) fn feed(&mut self, chunk: Option<Bytes>) {
        match chunk {
            None => self.is_all = true,
            Some(chunk) if self.arrived.is_empty() => self.arrived = chunk,
            // The few bytes of something that the chunk before had only the beginning of.
            Some(chunk) => self.arrived = [&self.arrived[..], &chunk].concat().into(),
        }
    }

    /// Unpacks as far as it goes, and not beyond a piece.
    ///
    /// # Errors
    /// It is not gzip, or it breaks off, or it is damaged.
    pub(super) fn next(&mut self, pieces: &mut Pieces) -> io::Result<Step> {
        loop {
            let step = match self.at {
                At::Head { first } => match (first, self.is_all && self.arrived.is_empty()) {
                    (false, true) => Some(pieces.give().map_or(Step::End, Step::Piece)),
                    _ => self.head()?,
                },
                At::Block => self.block()?,
                At::Stored { left: 0, last } => {
                    self.at = if last { At::Trailer } else { At::Block };
                    None
                }
                At::Stored { left, last } => self.stored(left, last, pieces)?,
                At::Inflating => self.inflating(pieces)?,
                At::Trailer => self.trailer()?,
            };
            if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    /// That there has to be more, unless there is none.
    fn more(&self) -> io::Result<Option<Step>> {
        match self.is_all {
            true => Err(io::Error::new(ErrorKind::UnexpectedEof, "the gzip breaks off")),
            false => Ok(Some(Step::More)),
        }
    }

    fn head(&mut self) -> io::Result<Option<Step>> {
        let Some(length) = head_length(&self.arrived)? else {
            return self.more();
        };
        self.arrived.advance(length);
        self.at = At::Block;
        self.made = 0;
        self.window.clear();
        self.window_length = 0;
        Ok(None)
    }

    fn block(&mut self) -> io::Result<Option<Step>> {
        let Some(kind) = self.arrived.first() else {
            return self.more();
        };
        let (last, stored) = (kind & 1 == 1, kind & 0b110 == 0);
        if stored {
            let Some(header) = self.arrived.first_chunk::<STORED_HEADER>() else {
                return self.more();
            };
            let [_, length @ .., x, y] = *header;
            let (length, again) = (u16::from_le_bytes(length), u16::from_le_bytes([x, y]));
            if length != !again {
                return Err(invalid("the length of a stored block is damaged"));
            }
            self.arrived.advance(STORED_HEADER);
            let left = usize::from(length);
            self.at = At::Stored { left, last };
            return Ok(None);
        }
        match self.arrived.first_chunk() {
            None => return self.more(),
            Some(&NOTHING) => {
                self.arrived.advance(NOTHING.len());
                self.at = At::Trailer;
            }
            Some(_) => self.begin_inflating()?,
        }
        Ok(None)
    }

    fn begin_inflating(&mut self) -> io::Result<()> {
        self.inflate.reset(false);
        if !self.window.is_empty() {
            let window = Vec::from(std::mem::take(&mut self.window)).concat();
            let window = &window[window.len().saturating_sub(WINDOW)..];
            self.inflate.set_dictionary(window)?;
        }
        self.at = At::Inflating;
        Ok(())
    }

    fn stored(&mut self, left: usize, last: bool, pieces: &mut Pieces) -> io::Result<Option<Step>> {
        if self.arrived.is_empty() {
            return self.more();
        }
        let length = left.min(self.arrived.len());
        if length >= WORTH_GIVING {
            // What was put together before comes before.
            if let Some(piece) = pieces.give() {
                return Ok(Some(Step::Piece(piece)));
            }
            let stored = self.take_stored(length, left, last);
            return Ok(Some(Step::Piece(stored)));
        }
        let room = pieces.room();
        let length = length.min(room.len());
        room[..length].copy_from_slice(&self.arrived[..length]);
        self.take_stored(length, left, last);
        Ok(pieces.filled(length).map(Step::Piece))
    }

    fn take_stored(&mut self, length: usize, left: usize, last: bool) -> Bytes {
        let stored = self.arrived.split_to(length);
        let left = left - length;
        self.at = At::Stored { left, last };
        self.made += length as u64;
        self.window_length += length;
        self.window.push_back(stored.clone());
        while let Some(oldest) = self.window.front()
            && self.window_length - oldest.len() >= WINDOW
        {
            self.window_length -= oldest.len();
            self.window.pop_front();
        }
        stored
    }

    fn inflating(&mut self, pieces: &mut Pieces) -> io::Result<Option<Step>> {
        let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self
            .inflate
            .decompress(&self.arrived, pieces.room(), FlushDecompress::None)?;
        let taken = self.inflate.total_in() - before_in;
        let made = self.inflate.total_out() - before_out;
        self.arrived.advance(taken as usize);
        self.made += made;
        let piece = pieces.filled(made as usize).map(Step::Piece);
        if status == Status::StreamEnd {
            self.at = At::Trailer;
            return Ok(piece);
        }
        match (piece, taken + made) {
            (Some(piece), _) => Ok(Some(piece)),
            // It wants more than there is.
            (None, 0) => self.more(),
            (None, _) => Ok(None),
        }
    }

    fn trailer(&mut self) -> io::Result<Option<Step>> {
        let Some([_, _, _, _, length @ ..]) = self.arrived.first_chunk::<TRAILER>() else {
            return self.more();
        };
        // modulo 2^32 (RFC 1952, 2.3.1)
        if u32::from_le_bytes(*length) != self.made as u32 {
            return Err(invalid("its content is not as long as it says"));
        }
        self.arrived.advance(TRAILER);
        self.at = At::Head { first: false };
        Ok(None)
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
