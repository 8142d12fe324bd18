//! Gzip that comes in chunks of any size, unpacked into pieces of one size.
//!
//! However much a chunk unpacks to, no more than one piece is made at a time: a bomb costs no memory. What comes is
//! unpacked directly into the piece that is given away. The memory of pieces that nobody holds any more is used
//! again, and what is left of it in the end, with the tables of the unpacker, by the next gzip ([`Leftover`]).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, BufRead, ErrorKind, Read};
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use flate2::bufread::GzDecoder;

use crate::restore::arrived::Arrived;

/// The size of a piece; only the first, of something short, has less room, and only the last is not full. With what
/// HTTP puts around it, it is less than 64 KiB, which is the most that the system sends as one.
const PIECE: usize = 63 * 1024;

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

/// What one unpacking leaves to the next. For one that goes on at a time; others begin with nothing.
#[derive(Clone, Debug, Default)]
pub struct Leftover(Rc<RefCell<Option<Left>>>);

#[derive(Debug)]
struct Left {
    gunzip: GzDecoder<Arrived>,
    pieces: Vec<BytesMut>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Unpacking {
    /// `None` only once it is dropped.
    gunzip: Option<GzDecoder<Arrived>>,
    piece: BytesMut,
    filled: usize,
    ended: bool,
    given: VecDeque<Bytes>,
    /// Of an earlier gzip, for the next pieces.
    pieces: Vec<BytesMut>,
    leftover: Leftover,
}

impl Unpacking {
    /// Of gzip of this length, where it is known.
    pub(super) fn of_length(length: Option<u64>, leftover: &Leftover) -> Self {
        let (gunzip, mut pieces) = match leftover.0.borrow_mut().take() {
            Some(left) => (left.gunzip, left.pieces),
            None => (GzDecoder::new(Arrived::default()), Vec::new()),
        };
        let room = length.unwrap_or(u64::MAX).saturating_mul(USUAL_RATIO);
        let room = usize::try_from(room).unwrap_or(PIECE).clamp(LEAST, PIECE);
        Self {
            gunzip: Some(gunzip),
            piece: pieces.pop().unwrap_or_else(|| BytesMut::zeroed(room)),
            filled: 0,
            ended: false,
            given: VecDeque::new(),
            pieces,
            leftover: leftover.clone(),
        }
    }

    /// Takes the next chunk of the gzip, or that there is none.
    pub(super) fn feed(&mut self, chunk: Option<Bytes>) {
        if let Some(gunzip) = &mut self.gunzip {
            gunzip.get_mut().take(chunk);
        }
    }

    /// Unpacks as far as it goes, and not beyond a piece.
    ///
    /// # Errors
    /// It is not gzip, or it breaks off, or it is damaged.
    pub(super) fn next(&mut self) -> io::Result<Step> {
        let Some(gunzip) = &mut self.gunzip else {
            return Ok(Step::End);
        };
        while !self.ended && self.filled < self.piece.len() {
            let read = match gunzip.read(&mut self.piece[self.filled..]) {
                Ok(0) => goes_on(gunzip).map(|goes_on| self.ended = !goes_on),
                Ok(count) => {
                    self.filled += count;
                    Ok(())
                }
                Err(error) => Err(error),
            };
            match read {
                Ok(()) => {}
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
        if let Some(Ok(memory)) = given {
            return memory;
        }
        if let Some(Err(held)) = given {
            self.given.push_front(held);
        }
        self.pieces.pop().unwrap_or_else(|| BytesMut::zeroed(PIECE))
    }
}

/// Where a member has ended: whether another follows.
fn goes_on(gunzip: &mut GzDecoder<Arrived>) -> io::Result<bool> {
    if gunzip.get_mut().fill_buf()?.is_empty() {
        return Ok(false);
    }
    let rest = std::mem::take(gunzip.get_mut());
    gunzip.reset(rest);
    Ok(true)
}

impl Drop for Unpacking {
    fn drop(&mut self) {
        let Some(mut gunzip) = self.gunzip.take() else {
            return;
        };
        gunzip.reset(Arrived::default());
        let mut pieces = std::mem::take(&mut self.pieces);
        let given = self.given.drain(..).filter_map(|piece| piece.try_into_mut().ok());
        pieces.extend(given.chain([std::mem::take(&mut self.piece)]));
        pieces.retain(|piece| piece.len() == PIECE);
        pieces.truncate(KEPT);
        *self.leftover.0.borrow_mut() = Some(Left { gunzip, pieces });
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
        unpacked_with(&Leftover::default(), gzip, size, length)
    }

    fn unpacked_with(
        leftover: &Leftover,
        gzip: &[u8],
        size: usize,
        length: Option<u64>,
    ) -> io::Result<(Vec<u8>, Vec<usize>)> {
        let (mut unpacking, mut chunks) = (Unpacking::of_length(length, leftover), gzip.chunks(size));
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
    fn the_next_gzip_uses_what_is_left_whatever_became_of_the_one_before() {
        let leftover = Leftover::default();
        let (long, short) = (content(5 * PIECE + 11), content(100));
        let gzip = member(&long);
        let whole = |gzip: &[u8]| unpacked_with(&leftover, gzip, 5000, Some(3)).map(|(content, _)| content);
        for _ in 0..3 {
            assert!(whole(&gzip).unwrap() == long);
            assert!(whole(&member(&short)).unwrap() == short);
            whole(&gzip[..gzip.len() / 2]).unwrap_err();
            whole(&[&gzip[..], b"and more of it"].concat()).unwrap_err();
            whole(b"no gzip").unwrap_err();
            whole(b"").unwrap_err();
        }
        let mut abandoned = Unpacking::of_length(None, &leftover);
        abandoned.feed(Some(gzip.clone().into()));
        let held = abandoned.next().unwrap();
        drop(abandoned);
        assert!(whole(&gzip).unwrap() == long);
        assert!(
            matches!(held, Step::Piece(piece) if *piece == long[..PIECE]),
            "nobody writes over it"
        );
        let left = leftover.0.borrow();
        let left = left.as_ref().unwrap();
        assert!((1..=KEPT).contains(&left.pieces.len()), "{}", left.pieces.len());
        assert!(left.pieces.iter().all(|piece| piece.len() == PIECE));
    }

    #[test]
    fn memory_is_used_again_once_nobody_holds_it() {
        let gzip = Bytes::from(member(&vec![7; 10 * PIECE]));
        let mut unpacking = Unpacking::of_length(None, &Leftover::default());
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
