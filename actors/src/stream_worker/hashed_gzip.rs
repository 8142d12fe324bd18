//! What happens to the bytes of a binary on their way: hashed as they came, then compressed, piece by piece while
//! they are in the processor's cache.

use sha2::Digest;

use crate::gzip::{AdaptiveGzip, SEGMENT};
use crate::stream_id::Sha256;

/// The longest piece for [`HashedGzip::push`]: it settles at most one segment.
pub const PIECE: usize = SEGMENT;

/// Memory beside the output: the compressor's state (330 KiB), the segment that it holds back, and the chunk that
/// is being read.
pub const OVERHEAD: u64 = 640 * 1024;

/// SHA-256 and gzip of one binary.
#[derive(Default)]
pub struct HashedGzip {
    sha256: sha2::Sha256,
    gzip: AdaptiveGzip,
    length: u64,
}

impl HashedGzip {
    /// For the first byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece, of at most [`PIECE`] bytes if the growth of `out` is to be bounded.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.sha256.update(piece);
        self.gzip.push(piece, out);
        self.length += piece.len() as u64;
    }

    /// How many bytes it has taken.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends the rest of the gzip, and tells the SHA-256 of all that was taken.
    pub fn finish(self, out: &mut Vec<u8>) -> Sha256 {
        self.gzip.finish(out);
        Sha256::from_bytes(self.sha256.finalize().into())
    }
}
