//! Gzip that costs next to nothing where nothing can be gained: what shrinks is deflated at the fastest level,
//! what does not (packed malware mostly) is stored as it is.
//!
//! The output is *one* gzip member. Content is cut by offset into segments of [`SEGMENT`] bytes, and each segment
//! is deflated or stored on its own merit (see `segment`), so:
//! * the same content gives the same bytes, however it is handed over: a repeated upload is identical;
//! * the output never exceeds [`bound`] of the content's length, whatever the content is;
//! * at most one segment is held back.

mod segment;

use crc32fast::Hasher;

pub use segment::SEGMENT;
use segment::{SegmentEncoder, stored_length};

/// Magic, deflate, no flags, no time, "fastest algorithm", unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];

/// A final block of fixed codes without any content.
const LAST_BLOCK: [u8; 2] = [0x03, 0x00];

/// CRC-32 and length.
const TRAILER: usize = 8;

/// The length of a gzip of nothing: no gzip is shorter.
pub const SHORTEST: u64 = (HEADER.len() + LAST_BLOCK.len() + TRAILER) as u64;

/// The most bytes that the gzip of `length` bytes can have.
pub fn bound(length: u64) -> u64 {
    let whole = length / SEGMENT as u64;
    let rest = (length % SEGMENT as u64) as usize;
    let segments = whole.saturating_mul(stored_length(SEGMENT) as u64);
    segments.saturating_add(stored_length(rest) as u64 + SHORTEST)
}

/// The most spare bytes that one [`AdaptiveGzip::push`] of at most [`SEGMENT`] bytes, or the end, asks of the output.
pub const LARGEST_STEP: usize = stored_length(SEGMENT) + SHORTEST as usize + 1;

/// Compresses content as it comes in, into a buffer that the caller empties as it likes.
pub struct AdaptiveGzip {
    encoder: SegmentEncoder,
    /// The beginning of the segment that is not complete yet.
    held: Vec<u8>,
    crc: Hasher,
    length: u64,
    begun: bool,
}

impl Default for AdaptiveGzip {
    fn default() -> Self {
        Self::new()
    }
}

impl AdaptiveGzip {
    /// For content of any length.
    pub fn new() -> Self {
        Self {
            encoder: SegmentEncoder::new(),
            held: Vec::new(),
            crc: Hasher::new(),
            length: 0,
            begun: false,
        }
    }

    /// Takes the next bytes, and appends to `out` what is settled by them: at most [`bound`] of their number and
    /// one segment more.
    pub fn push(&mut self, mut content: &[u8], out: &mut Vec<u8>) {
        self.begin(out);
        self.crc.update(content);
        self.length += content.len() as u64;
        if !self.held.is_empty() {
            let (head, tail) = content.split_at(content.len().min(SEGMENT - self.held.len()));
            self.held.extend_from_slice(head);
            content = tail;
            if self.held.len() < SEGMENT {
                return;
            }
            self.encoder.encode(&self.held, out);
            self.held.clear();
        }
        let mut segments = content.chunks_exact(SEGMENT);
        for segment in &mut segments {
            self.encoder.encode(segment, out);
        }
        let rest = segments.remainder();
        if !rest.is_empty() {
            self.held.reserve_exact(SEGMENT - self.held.len());
            self.held.extend_from_slice(rest);
        }
    }

    /// Appends the rest and the trailer.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.begin(out);
        self.encoder.encode(&self.held, out);
        out.extend_from_slice(&LAST_BLOCK);
        out.extend_from_slice(&self.crc.finalize().to_le_bytes());
        // The format keeps the length modulo 2^32.
        out.extend_from_slice(&(self.length as u32).to_le_bytes());
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !self.begun {
            self.begun = true;
            out.extend_from_slice(&HEADER);
        }
    }
}

#[cfg(test)]
mod tests;
