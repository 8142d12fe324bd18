//! Avro's primitives, read from the front of a slice. Nothing is allocated, whatever a length claims.

/// Why bytes could not be walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    /// The bytes end before the datum does: more of them could help.
    #[error("ends too early")]
    Truncated,
    /// More bytes would not help.
    #[error("{0}")]
    Corrupt(&'static str),
}

/// The longest encoding of a long.
const LONGEST_LONG: usize = 10;

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The bytes not read yet; a position is told by their number.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// A signed number, in zigzag.
    #[inline]
    pub(crate) fn long(&mut self) -> Result<i64, WalkError> {
        self.varint().map(zigzag)
    }

    /// At most 64 bits, 7 of them in each byte. Nearly all numbers of an event have one byte or two.
    #[inline]
    fn varint(&mut self) -> Result<u64, WalkError> {
        let (raw, rest) = match self.rest {
            [first, rest @ ..] if *first < 0x80 => (u64::from(*first), rest),
            [first, second, rest @ ..] if *second < 0x80 => {
                (u64::from(first & 0x7f) | u64::from(*second) << 7, rest)
            }
            _ => return self.longer_varint(),
        };
        self.rest = rest;
        Ok(raw)
    }

    fn longer_varint(&mut self) -> Result<u64, WalkError> {
        let mut raw = 0;
        for (index, byte) in self.rest.iter().take(LONGEST_LONG).enumerate() {
            raw |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                if index + 1 == LONGEST_LONG && *byte > 1 {
                    return Err(WalkError::Corrupt(BEYOND_64_BITS));
                }
                self.rest = &self.rest[index + 1..];
                return Ok(raw);
            }
        }
        if self.rest.len() < LONGEST_LONG {
            Err(WalkError::Truncated)
        } else {
            Err(WalkError::Corrupt(BEYOND_64_BITS))
        }
    }

    /// The content of a string or of bytes. That a string is UTF-8 is not checked: Azul's encoder does not.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], WalkError> {
        let zigzagged = self.varint()?;
        if zigzagged & 1 == 1 {
            return Err(WalkError::Corrupt("a length is negative"));
        }
        let length = usize::try_from(zigzagged >> 1).map_err(|_| WalkError::Truncated)?;
        self.take(length)
    }

    /// A value of fixed size.
    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], WalkError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(WalkError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Steps over `count` strings.
    #[inline]
    pub(crate) fn skip_strings(&mut self, count: usize) -> Result<(), WalkError> {
        for _ in 0..count {
            self.bytes()?;
        }
        Ok(())
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, WalkError> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(WalkError::Corrupt("a boolean is neither 0 nor 1")),
        }
    }

    /// The head of an array's or map's next block; `None` at the closing 0.
    #[inline]
    pub(crate) fn block(&mut self) -> Result<Option<Block>, WalkError> {
        let count = self.long()?;
        if count == 0 {
            return Ok(None);
        }
        let size = if count < 0 { Some(self.size()?) } else { None };
        Ok(Some(Block {
            count: count.unsigned_abs(),
            size,
        }))
    }

    #[inline]
    fn size(&mut self) -> Result<u64, WalkError> {
        u64::try_from(self.long()?).map_err(|_| WalkError::Corrupt(NEGATIVE_SIZE))
    }

    /// Walks the items of an array or a map, block by block. A block's size is held against what its items take,
    /// and never used to skip.
    #[inline]
    pub(crate) fn each(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), WalkError>,
    ) -> Result<(), WalkError> {
        while let Some(block) = self.block()? {
            let before = self.rest.len();
            for _ in 0..block.count {
                item(self)?;
            }
            let taken = (before - self.rest.len()) as u64;
            if block.size.is_some_and(|size| size != taken) {
                return Err(WalkError::Corrupt(WRONG_SIZE));
            }
        }
        Ok(())
    }
}

/// The reason when a number takes more bits than a long has.
pub(crate) const BEYOND_64_BITS: &str = "a number exceeds 64 bits";

/// The reason when a block claims to take less than nothing.
pub(crate) const NEGATIVE_SIZE: &str = "the size of a block is negative";

/// The reason when the items of a block do not take what its head says.
pub(crate) const WRONG_SIZE: &str = "the size of a block is not that of its items";

/// The head of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// How many items.
    pub(crate) count: u64,
    /// How many bytes they take, where the encoder said so.
    pub(crate) size: Option<u64>,
}

fn zigzag(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

/// Appends a long.
pub(crate) fn write_long(value: i64, out: &mut Vec<u8>) {
    let mut raw = ((value << 1) ^ (value >> 63)) as u64;
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_of_more_than_64_bits_is_corrupt_and_a_cut_one_truncated() {
        let overflow = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        assert!(matches!(
            Cursor::new(&overflow).long(),
            Err(WalkError::Corrupt(_))
        ));
        let endless = [0x80; 11];
        assert!(matches!(Cursor::new(&endless).long(), Err(WalkError::Corrupt(_))));
        for cut in 0..10 {
            assert_eq!(Cursor::new(&endless[..cut]).long(), Err(WalkError::Truncated));
        }
    }

    #[test]
    fn a_claimed_length_allocates_nothing_and_asks_for_more() {
        let mut claimed = Vec::new();
        write_long(i64::MAX, &mut claimed);
        assert_eq!(Cursor::new(&claimed).bytes(), Err(WalkError::Truncated));
        claimed.clear();
        write_long(-1, &mut claimed);
        assert!(matches!(
            Cursor::new(&claimed).bytes(),
            Err(WalkError::Corrupt(_))
        ));
    }

    #[test]
    fn a_block_whose_size_lies_is_corrupt() {
        for (bytes, fine) in [
            (&[3, 4, 0, 0, 0][..], true),
            (&[3, 2, 0, 0, 0], false),
            (&[3, 6, 0, 0, 0], false),
            (&[4, 0, 0, 1, 2, 0, 0], true),
        ] {
            let mut cursor = Cursor::new(bytes);
            assert_eq!(cursor.each(|c| c.bytes().map(drop)).is_ok(), fine, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn every_long_is_read_as_written(value: i64, cut in 0..10usize) {
            let mut bytes = Vec::new();
            write_long(value, &mut bytes);
            prop_assert_eq!(Cursor::new(&bytes).long(), Ok(value));
            let cut = cut.min(bytes.len() - 1);
            prop_assert_eq!(Cursor::new(&bytes[..cut]).long(), Err(WalkError::Truncated));
        }
    }
}
