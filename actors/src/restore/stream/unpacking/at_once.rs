//! What is small is gathered, and unpacked at once, if it is one member, whole, and as long as it says.

use bytes::{Bytes, BytesMut};

use super::head::head_length;
use crate::restore::gunzip::{Gunzip, announced};

/// The most bytes of gzip that are gathered.
pub(super) const MOST_PACKED: u64 = 512 * 1024;

/// The most bytes of content that are unpacked at once.
const MOST: usize = 1024 * 1024;

/// What a member ends with: CRC-32 and length.
const TRAILER: usize = 8;

/// The least memory that is taken.
const LEAST: usize = 4 * 1024;

/// Unpacks what has been gathered; its memory is used again.
#[derive(Debug, Default)]
pub(super) struct AtOnce {
    gunzip: Option<Gunzip>,
    packed: Vec<u8>,
    content: Bytes,
}

impl AtOnce {
    /// The content of these chunks of a gzip; `None` if it is not as plain as it takes.
    pub(super) fn unpack(&mut self, chunks: &[Bytes]) -> Option<Bytes> {
        let packed = match chunks {
            [whole] => whole,
            chunks => {
                self.packed.clear();
                chunks
                    .iter()
                    .for_each(|chunk| self.packed.extend_from_slice(chunk));
                &self.packed[..]
            }
        };
        let length = announced(packed).filter(|length| *length <= MOST)?;
        if self.gunzip.is_none() {
            self.gunzip = Gunzip::new();
        }
        let mut content = memory(std::mem::take(&mut self.content), length);
        let is_made = inflated(self.gunzip.as_mut()?, packed, &mut content[..length]);
        self.content = content.freeze();
        is_made.then(|| self.content.slice(..length))
    }
}

/// Whether `packed` is one member, and `content` all that it holds. As of all streams, its CRC-32 is not asked for.
fn inflated(gunzip: &mut Gunzip, packed: &[u8], content: &mut [u8]) -> bool {
    let Ok(Some(head)) = head_length(packed) else {
        return false;
    };
    let Some(blocks) = packed.len().checked_sub(head + TRAILER) else {
        return false;
    };
    gunzip.inflate(&packed[head..][..blocks], content) == Some((blocks, content.len()))
}

/// What is left, if nobody holds it any more and it is enough; or new memory.
fn memory(left: Bytes, length: usize) -> BytesMut {
    match left.try_into_mut() {
        Ok(left) if left.len() >= length => left,
        _ => BytesMut::zeroed(length.next_power_of_two().max(LEAST)),
    }
}
