//! Memory for what is unpacked, piece by piece, that is used again once nobody holds it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// The size of a piece, of which only the last is not full. With what HTTP puts around it, it is less than 64 KiB,
/// which is the most that the system sends as one.
pub(super) const PIECE: usize = 63 * 1024;

/// One piece is being made, one is held back, one is being sent, some have still to be hashed.
const KEPT: usize = 10;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// The one that is being made, or nothing.
    piece: BytesMut,
    filled: usize,
    given: VecDeque<Bytes>,
    /// For the next pieces.
    left: Vec<BytesMut>,
}

impl Pieces {
    /// Where the next bytes of the piece go; never empty.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.piece.is_empty() {
            self.piece = self.memory();
        }
        &mut self.piece[self.filled..]
    }

    /// So many bytes have been put into [`Pieces::room`]; gives the piece if it is full.
    pub(super) fn filled(&mut self, count: usize) -> Option<Bytes> {
        self.filled += count;
        match self.filled == PIECE {
            true => self.give(),
            false => None,
        }
    }

    /// Gives what there is of a piece.
    pub(super) fn give(&mut self) -> Option<Bytes> {
        let filled = std::mem::take(&mut self.filled);
        if filled == 0 {
            return None;
        }
        let mut made = std::mem::take(&mut self.piece).freeze();
        if self.given.len() < KEPT {
            self.given.push_back(made.clone());
        }
        made.truncate(filled);
        Some(made)
    }

    fn memory(&mut self) -> BytesMut {
        let given = self.given.pop_front().map(Bytes::try_into_mut);
        if let Some(Ok(memory)) = given {
            return memory;
        }
        if let Some(Err(held)) = given {
            self.given.push_front(held);
        }
        self.left.pop().unwrap_or_else(|| BytesMut::zeroed(PIECE))
    }

    /// What the next gzip can use of it.
    pub(super) fn leave(mut self) -> Self {
        let given = self.given.drain(..).filter_map(|piece| piece.try_into_mut().ok());
        let mut left = self.left;
        left.extend(given.chain([self.piece]));
        left.retain(|piece| piece.len() == PIECE);
        left.truncate(KEPT);
        Self {
            left,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(pieces: &mut Pieces, byte: u8) -> Bytes {
        let room = pieces.room();
        room.fill(byte);
        let count = room.len();
        pieces.filled(count).unwrap()
    }

    #[test]
    fn what_somebody_holds_is_not_written_over() {
        let mut pieces = Pieces::default();
        let held = full(&mut pieces, 1);
        for byte in 2..20 {
            drop(full(&mut pieces, byte));
        }
        let mut pieces = pieces.leave();
        for byte in 20..40 {
            drop(full(&mut pieces, byte));
        }
        assert!(held.iter().all(|byte| *byte == 1));
    }

    #[test]
    fn what_nobody_holds_is_used_again() {
        let mut pieces = Pieces::default();
        let mut places = std::collections::BTreeSet::new();
        for byte in 0..50 {
            places.insert(full(&mut pieces, byte).as_ptr());
            pieces = if byte % 7 == 0 { pieces.leave() } else { pieces };
        }
        assert!(places.len() <= 2, "{}", places.len());
        let kept: Vec<Bytes> = (0..50).map(|byte| full(&mut pieces, byte)).collect();
        drop(kept);
        assert!((1..=KEPT).contains(&pieces.leave().left.len()));
    }

    #[test]
    fn a_piece_that_is_not_full_is_as_long_as_what_was_put_in() {
        let mut pieces = Pieces::default();
        assert_eq!(pieces.give(), None);
        pieces.room()[..3].copy_from_slice(b"abc");
        assert_eq!(pieces.filled(3), None);
        pieces.room()[..2].copy_from_slice(b"de");
        assert_eq!(pieces.filled(2), None);
        assert_eq!(pieces.give().as_deref(), Some(&b"abcde"[..]));
        assert_eq!(pieces.give(), None);
    }
}
