//! One segment after the other, each as deflate blocks that end on a byte border.
//!
//! A segment that follows one that shrank well is deflated straight away, with the window of the earlier ones.
//! Any other is *probed* first: a few slices of it are deflated, and if they do not shrink, the segment is stored.
//! A segment that had been deflated but did not shrink after all is taken back and stored, so that no input, not
//! even one made for the purpose, comes out longer than stored.
//!
//! Stored blocks are written here and are unknown to the compressor: before it goes on after one it starts anew,
//! because its distances would otherwise reach back across bytes that it has not seen.

use flate2::{Compress, Compression, FlushCompress, Status};

/// How much content is decided about at once: two stored blocks, filled.
pub const SEGMENT: usize = 2 * LONGEST_STORED;

/// The most content of one stored block.
const LONGEST_STORED: usize = 65_535;

/// Its type, and its length twice.
const STORED_HEADER: usize = 5;

/// How many slices of a segment are probed, and how long they are. Level 1 takes in random bytes at about
/// 100 MB/s: an eighth of a segment costs little, and is enough to see text, code or padding between packed parts.
const SLICES: usize = 4;
const SLICE: usize = 4096;

/// The length of `length` bytes when stored.
pub(super) const fn stored_length(length: usize) -> usize {
    length + length.div_ceil(LONGEST_STORED) * STORED_HEADER
}

/// What the compressor remembers of the content before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Window {
    /// Nothing.
    Empty,
    /// All that was written since it started, and that shrank well.
    Continues,
    /// Something else than what was written.
    Stale,
}

/// Turns segments into deflate blocks.
pub(super) struct SegmentEncoder {
    compress: Compress,
    window: Window,
}

impl SegmentEncoder {
    pub(super) fn new() -> Self {
        Self {
            compress: Compress::new(Compression::fast(), false),
            window: Window::Empty,
        }
    }

    /// Appends the blocks of `segment`, at most [`stored_length`] bytes; of an empty one, none.
    pub(super) fn encode(&mut self, segment: &[u8], out: &mut Vec<u8>) {
        // One byte more, so that a full output always means "longer than stored".
        out.reserve(stored_length(segment.len()) + 1);
        let likely = self.window == Window::Continues || self.shrinks(segment, out);
        if !(likely && self.deflate(segment, out)) {
            store(segment, out);
        }
    }

    /// Whether it is worth the time to deflate the segment, judged by a sample of it.
    fn shrinks(&mut self, segment: &[u8], out: &mut Vec<u8>) -> bool {
        if segment.len() <= SLICES * SLICE {
            return !segment.is_empty();
        }
        self.start_anew();
        let begin = out.len();
        let stride = (segment.len() - SLICE) / (SLICES - 1);
        let whole = (0..SLICES).all(|slice| {
            let flush = if slice + 1 == SLICES {
                FlushCompress::Sync
            } else {
                FlushCompress::None
            };
            self.compress_into(&segment[slice * stride..][..SLICE], out, flush)
        });
        let sampled = out.len() - begin;
        out.truncate(begin);
        self.window = Window::Stale;
        // Less than 3% is not worth the time, neither now nor at a restore.
        whole && sampled < SLICES * SLICE * 97 / 100
    }

    /// Deflates the segment; `false` and nothing written if it comes out longer than stored.
    fn deflate(&mut self, segment: &[u8], out: &mut Vec<u8>) -> bool {
        if self.window != Window::Continues {
            self.start_anew();
        }
        let begin = out.len();
        let whole = self.compress_into(segment, out, FlushCompress::Sync);
        let deflated = out.len() - begin;
        if !whole || deflated > stored_length(segment.len()) {
            out.truncate(begin);
            self.window = Window::Stale;
            return false;
        }
        self.window = if deflated < segment.len() * 9 / 10 {
            Window::Continues
        } else {
            Window::Stale
        };
        true
    }

    /// Appends `content` deflated; `false` if the spare capacity of `out` is used up, or the compressor balks.
    fn compress_into(&mut self, content: &[u8], out: &mut Vec<u8>, flush: FlushCompress) -> bool {
        let before = self.compress.total_in();
        let status = self.compress.compress_vec(content, out, flush);
        let taken = self.compress.total_in() - before;
        matches!(status, Ok(Status::Ok)) && taken == content.len() as u64 && out.len() < out.capacity()
    }

    fn start_anew(&mut self) {
        if self.window != Window::Empty {
            self.compress.reset();
            self.window = Window::Empty;
        }
    }
}

/// Appends `content` as stored blocks.
fn store(content: &[u8], out: &mut Vec<u8>) {
    for block in content.chunks(LONGEST_STORED) {
        // A chunk is never longer than the constant, which fits.
        let length = block.len() as u16;
        out.push(0);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
}
