//! Gzip that comes in chunks of any size, unpacked into pieces of one size.
//!
//! However much a chunk unpacks to, no more than one piece is made at a time: a bomb costs no memory. What comes is
//! unpacked directly into the piece that is given away, and the memory of pieces that nobody holds any more is used
//! again.

use std::collections::VecDeque;
use std::io::{self, BufRead, ErrorKind, Read};

use bytes::{Buf, Bytes, BytesMut};
use flate2::bufread::MultiGzDecoder;

/// The size of a piece; only the first, of something short, has less room, and only the last is not full.
const PIECE: usize = 64 * 1024;

/// The least room of the first piece.
const LEAST: usize = 4 * 1024;

/// Gzip often makes this much less of something.
const USUAL_RATIO: u64 = 4;

/// One piece is held back, one is being sent, one is being made.
const KEPT: usize = 3;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The next bytes of the content.
    Piece(Bytes),
    /// Nothing before more of the gzip has come.
    More,
    /// There is no more.
    End,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Unpacking {
    gunzip: MultiGzDecoder<Arrived>,
    piece: BytesMut,
    filled: usize,
    ended: bool,
    given: VecDeque<Bytes>,
}

impl Unpacking {
    /// Of gzip of this length, where it is known.
    pub(super) fn of_length(length: Option<u64>) -> Self {
        let room = length.unwrap_or(u64::MAX).saturating_mul(USUAL_RATIO);
        let room = usize::try_from(room).unwrap_or(PIECE).clamp(LEAST, PIECE);
        Self {
            gunzip: MultiGzDecoder::new(Arrived::default()),
            piece: BytesMut::zeroed(room),
            filled: 0,
            ended: false,
            given: VecDeque::new(),
        }
    }

    /// Takes the next chunk of the gzip, or that there is none.
    pub(super) fn feed(&mut self, chunk: Option<Bytes>) {
        let arrived = self.gunzip.get_mut();
        match chunk {
            Some(chunk) => arrived.chunk = chunk,
            None => arrived.is_all = true,
        }
    }

    /// Unpacks as far as it goes, and not beyond a piece.
    ///
    /// # Errors
    /// It is not gzip, or it breaks off, or it is damaged.
    pub(super) fn next(&mut self) -> io::Result<Step> {
        while !self.ended && self.filled < self.piece.len() {
            match self.gunzip.read(&mut self.piece[self.filled..]) {
                Ok(0) => self.ended = true,
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Step::More),
                Err(error) => return Err(error),
            }
        }
        Ok(match std::mem::take(&mut self.filled) {
            0 => Step::End,
            filled => Step::Piece(self.give(filled)),
        })
    }

    /// Gives the piece that was made, and takes memory for the next.
    fn give(&mut self, filled: usize) -> Bytes {
        let next = match self.ended {
            true => BytesMut::new(),
            false => self.memory(),
        };
        let mut made = std::mem::replace(&mut self.piece, next).freeze();
        if made.len() == PIECE && self.given.len() < KEPT {
            self.given.push_back(made.clone());
        }
        made.truncate(filled);
        made
    }

    fn memory(&mut self) -> BytesMut {
        let given = self.given.pop_front().map(Bytes::try_into_mut);
        match given {
            Some(Ok(memory)) => memory,
            Some(Err(held)) => {
                self.given.push_front(held);
                BytesMut::zeroed(PIECE)
            }
            None => BytesMut::zeroed(PIECE),
        }
    }
}

/// What has come: it ends only where it is said to end.
#[derive(Debug, Default)]
struct Arrived {
    chunk: Bytes,
    is_all: bool,
}

impl Read for Arrived {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut chunk = self.fill_buf()?;
        let count = chunk.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Arrived {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.chunk.is_empty() && !self.is_all {
            true => Err(ErrorKind::WouldBlock.into()),
            false => Ok(&self.chunk),
        }
    }

    fn consume(&mut self, count: usize) {
        self.chunk.advance(count);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn member(content: &[u8]) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(content).unwrap();
        gzip.finish().unwrap()
    }

    /// Everything that comes out of `gzip` in chunks of `size`; the sizes of pieces beside it.
    fn unpacked(gzip: &[u8], size: usize, length: Option<u64>) -> io::Result<(Vec<u8>, Vec<usize>)> {
        let (mut unpacking, mut chunks) = (Unpacking::of_length(length), gzip.chunks(size));
        let (mut content, mut sizes) = (Vec::new(), Vec::new());
        loop {
            match unpacking.next()? {
                Step::Piece(piece) => {
                    content.extend_from_slice(&piece);
                    sizes.push(piece.len());
                }
                Step::More => unpacking.feed(chunks.next().map(Bytes::copy_from_slice)),
                Step::End => return Ok((content, sizes)),
            }
        }
    }

    fn content(size: usize) -> Vec<u8> {
        (0..size as u64)
            .map(|at| ((at * at) >> 7) as u8 ^ at as u8)
            .collect()
    }

    #[test]
    fn chunks_of_any_size_and_several_members_give_the_content() {
        let (first, second) = (content(200_001), content(70_000));
        let whole = [&first[..], &second].concat();
        let gzip = [member(&first), member(b""), member(&second)].concat();
        for size in [1, 7, 8192, gzip.len()] {
            for length in [None, Some(gzip.len() as u64), Some(0)] {
                assert!(
                    unpacked(&gzip, size, length).unwrap().0 == whole,
                    "{size} {length:?}"
                );
            }
        }
        assert_eq!(unpacked(&member(b""), 5, None).unwrap().0, b"");
    }

    #[test]
    fn a_bomb_comes_in_pieces() {
        let (content, sizes) = unpacked(&member(&vec![0; 20_000_000]), usize::MAX, None).unwrap();
        assert_eq!(content.len(), 20_000_000);
        assert!(sizes.iter().all(|size| *size <= PIECE), "{sizes:?}");
    }

    #[test]
    fn what_breaks_off_or_is_damaged_or_goes_on_as_something_else_is_an_error() {
        let gzip = member(&content(100_000));
        for cut in [0, 1, 9, 10, gzip.len() / 2, gzip.len() - 8, gzip.len() - 1] {
            assert!(unpacked(&gzip[..cut], 4096, None).is_err(), "{cut}");
        }
        let mut damaged = gzip.clone();
        let last = damaged.len() - 5;
        damaged[last] ^= 1;
        assert!(unpacked(&damaged, 4096, None).is_err());
        assert!(unpacked(&[&gzip[..], b"and more of it"].concat(), 4096, None).is_err());
        assert!(unpacked(b"<html>no gzip at all</html>", 4, None).is_err());
    }

    #[test]
    fn memory_is_used_again_once_nobody_holds_it() {
        let gzip = Bytes::from(member(&vec![7; 10 * PIECE]));
        let mut unpacking = Unpacking::of_length(None);
        unpacking.feed(Some(gzip));
        let mut places = std::collections::BTreeSet::new();
        for _ in 0..10 {
            let Step::Piece(piece) = unpacking.next().unwrap() else {
                panic!("a piece is due");
            };
            places.insert(piece.as_ptr() as usize);
        }
        assert!(places.len() <= 3, "{}", places.len());
    }
}
