//! What a member of gzip begins with (RFC 1952, 2.3).

use std::io::{self, ErrorKind};

/// Magic, and the one method there is.
const BEGIN: [u8; 3] = [0x1f, 0x8b, 8];

/// What every head has: [`BEGIN`], flags, time, how hard was tried, system.
const FIXED: usize = 10;

const HEAD_CRC: u8 = 0b10;
const EXTRA: u8 = 0b100;
const NAME: u8 = 0b1000;
const COMMENT: u8 = 0b1_0000;
const RESERVED: u8 = 0b1110_0000;

/// The longest head that is waited for: names are short, and an extra field of its longest is 64 KiB.
const LONGEST: usize = 128 * 1024;

/// The length of the head that `gzip` begins with; `None` if it goes on beyond.
///
/// # Errors
/// It is none, or absurdly long.
pub(super) fn head_length(gzip: &[u8]) -> io::Result<Option<usize>> {
    let begun = gzip.len().min(BEGIN.len());
    if gzip[..begun] != BEGIN[..begun] {
        return Err(invalid("it does not begin as gzip does"));
    }
    let Some(flags) = gzip.get(3) else {
        return Ok(None);
    };
    if flags & RESERVED != 0 {
        return Err(invalid("the head of the gzip has flags that there are not"));
    }
    match end(gzip, *flags) {
        None if gzip.len() > LONGEST => Err(invalid("the head of the gzip does not end")),
        end => Ok(end),
    }
}

fn end(gzip: &[u8], flags: u8) -> Option<usize> {
    let has = |flag| flags & flag != 0;
    let mut at = FIXED;
    if has(EXTRA) {
        let length: [u8; 2] = gzip.get(at..at + 2)?.try_into().ok()?;
        at += 2 + usize::from(u16::from_le_bytes(length));
    }
    for text in [NAME, COMMENT] {
        if has(text) {
            at += gzip.get(at..)?.iter().position(|byte| *byte == 0)? + 1;
        }
    }
    if has(HEAD_CRC) {
        at += 2;
    }
    (at <= gzip.len()).then_some(at)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use flate2::GzBuilder;

    use super::*;

    #[test]
    fn a_head_ends_where_its_fields_do() {
        let plain = GzBuilder::new();
        let named = GzBuilder::new().filename("a name");
        let full = GzBuilder::new()
            .filename("a name")
            .comment("a comment")
            .extra(vec![0, 1, 2, 3, 0, 8]);
        for (builder, length) in [(plain, 10), (named, 17), (full, 10 + 8 + 7 + 10)] {
            let gzip = builder.write(Vec::new(), Default::default()).finish().unwrap();
            for cut in 0..length {
                assert_eq!(head_length(&gzip[..cut]).unwrap(), None, "{cut}");
            }
            assert_eq!(head_length(&gzip).unwrap(), Some(length));
        }
        let with_crc = [0x1f, 0x8b, 8, HEAD_CRC, 0, 0, 0, 0, 0, 3, 7, 7, 1];
        assert_eq!(head_length(&with_crc).unwrap(), Some(12));
    }

    #[test]
    fn what_is_no_head_is_told_at_its_first_byte_that_is_wrong() {
        for wrong in [&b"<"[..], &[0x1f, 0x8c], &[0x1f, 0x8b, 7], &[0x1f, 0x8b, 8, 0x20]] {
            head_length(wrong).unwrap_err();
        }
        let mut endless = vec![b'x'; LONGEST];
        endless[..10].copy_from_slice(&[0x1f, 0x8b, 8, NAME, 0, 0, 0, 0, 0, 3]);
        assert_eq!(head_length(&endless).unwrap(), None);
        endless.push(b'x');
        head_length(&endless).unwrap_err();
    }
}
