//! Gzip that lies in memory as a whole, unpacked at once.
//!
//! libdeflate does this half again as fast as what unpacks a stream. It is believed only where all is plain: one
//! member, whole and right, no longer than its end says. Of anything else nothing is said here: the unpacker of
//! streams has the last word then, on several members as on what is damaged.

#![allow(
    unsafe_code,
    reason = "the crate that wraps libdeflate does not tell where a member ends"
)]

use std::ptr::NonNull;

use libdeflate_sys::{
    libdeflate_alloc_decompressor, libdeflate_decompressor, libdeflate_deflate_decompress_ex,
    libdeflate_free_decompressor, libdeflate_gzip_decompress_ex, libdeflate_result_LIBDEFLATE_SUCCESS,
};

/// How long the content of the last member says it is, modulo 2^32: the last four bytes (RFC 1952, 2.3.1).
pub(super) fn announced(gzip: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(*gzip.last_chunk()?);
    usize::try_from(length).ok()
}

/// The tables of an unpacker.
#[derive(Debug)]
pub(super) struct Gunzip(NonNull<libdeflate_decompressor>);

impl Gunzip {
    /// `None` if there is no memory for it.
    pub(super) fn new() -> Option<Self> {
        // SAFETY: it has no conditions; without memory it returns null.
        NonNull::new(unsafe { libdeflate_alloc_decompressor() }).map(Self)
    }

    /// Unpacks `gzip` into `content`; returns how long it is if it is one member, whole and right, that has room there.
    pub(super) fn unpack(&mut self, gzip: &[u8], content: &mut [u8]) -> Option<usize> {
        let (mut taken, mut made) = (0, 0);
        // SAFETY: the tables are ours alone, the places are as long as is said and live through the call, and no byte of
        // `content` is read.
        let result = unsafe {
            libdeflate_gzip_decompress_ex(
                self.0.as_ptr(),
                gzip.as_ptr().cast(),
                gzip.len(),
                content.as_mut_ptr().cast(),
                content.len(),
                &mut taken,
                &mut made,
            )
        };
        (result == libdeflate_result_LIBDEFLATE_SUCCESS && taken == gzip.len()).then_some(made)
    }

    /// Unpacks the blocks of deflate at the beginning of `blocks`; returns how long they are, and how long what they
    /// make, if they come to an end and what they make has room in `content`.
    pub(super) fn inflate(&mut self, blocks: &[u8], content: &mut [u8]) -> Option<(usize, usize)> {
        let (mut taken, mut made) = (0, 0);
        // SAFETY: as above.
        let result = unsafe {
            libdeflate_deflate_decompress_ex(
                self.0.as_ptr(),
                blocks.as_ptr().cast(),
                blocks.len(),
                content.as_mut_ptr().cast(),
                content.len(),
                &mut taken,
                &mut made,
            )
        };
        (result == libdeflate_result_LIBDEFLATE_SUCCESS).then_some((taken, made))
    }
}

impl Drop for Gunzip {
    fn drop(&mut self) {
        // SAFETY: it was allocated by its counterpart, and nobody else has it.
        unsafe { libdeflate_free_decompressor(self.0.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use flate2::bufread::MultiGzDecoder;
    use flate2::write::GzEncoder;
    use flate2::{Compression, GzBuilder};
    use proptest::prelude::*;

    use super::*;

    fn member(content: &[u8], level: u32) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::new(level));
        gzip.write_all(content).unwrap();
        gzip.finish().unwrap()
    }

    fn at_once(gzip: &[u8], room: usize) -> Option<Vec<u8>> {
        let mut content = vec![0; room];
        let length = Gunzip::new().unwrap().unpack(gzip, &mut content)?;
        content.truncate(length);
        Some(content)
    }

    #[test]
    fn one_whole_member_is_unpacked_whatever_its_header_has() {
        let text = b"a text that goes on and on and on and on".repeat(50);
        for level in [0, 1, 6, 9] {
            let gzip = member(&text, level);
            assert_eq!(announced(&gzip), Some(text.len()));
            assert_eq!(at_once(&gzip, text.len()).as_deref(), Some(&text[..]));
        }
        let mut named = GzBuilder::new()
            .filename("bundle")
            .comment("of a test")
            .extra(vec![1, 2, 3, 4])
            .write(Vec::new(), Compression::fast());
        named.write_all(&text).unwrap();
        let named = named.finish().unwrap();
        assert_eq!(at_once(&named, text.len()).as_deref(), Some(&text[..]));
        assert_eq!(at_once(&member(b"", 1), 0).as_deref(), Some(&b""[..]));
    }

    #[test]
    fn of_anything_else_nothing_is_said() {
        let gzip = member(&b"some text".repeat(100), 6);
        assert_eq!(announced(&gzip[..3]), None);
        assert_eq!(at_once(&gzip, 899), None, "no room");
        for cut in 0..gzip.len() {
            assert_eq!(at_once(&gzip[..cut], 900), None, "{cut}");
        }
        let twice = [&gzip[..], &gzip[..]].concat();
        assert_eq!(at_once(&twice, 1800), None, "two members, of one content even");
        assert_eq!(at_once(&[&gzip[..], b"\0"].concat(), 900), None, "more behind it");
    }

    proptest! {
        /// What is said is what the unpacker of streams says: of bytes that are damaged, too.
        #[test]
        fn it_says_what_the_other_unpacker_says(
            content in prop::collection::vec(0u8..7, 0..3000),
            level in 0u32..10,
            damage in prop::option::of((any::<prop::sample::Index>(), 1u8..)),
        ) {
            let mut gzip = member(&content, level);
            if let Some((place, by)) = damage {
                let place = place.index(gzip.len());
                gzip[place] ^= by;
            }
            if let Some(found) = at_once(&gzip, content.len() + 100) {
                let mut other = Vec::new();
                MultiGzDecoder::new(&gzip[..]).read_to_end(&mut other).unwrap();
                prop_assert_eq!(found, other);
            } else {
                prop_assert!(damage.is_some());
            }
        }
    }
}
