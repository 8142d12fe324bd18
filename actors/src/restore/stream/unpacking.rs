//! Gzip that comes in chunks of any size, unpacked into pieces of some 64 KiB, or all at once if it is small.
//!
//! However much a chunk unpacks to, no more than one piece is made at a time: a bomb costs no memory. What was only
//! stored is given as it came ([`members`]); what was compressed is unpacked directly into the piece that is given
//! away. The memory of pieces that nobody holds any more is used again, and what is left of it in the end, with the
//! tables of the unpacker, by the next gzip ([`Leftover`]).

mod at_once;
mod head;
mod members;
mod pieces;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use bytes::Bytes;

use self::at_once::{AtOnce, MOST_PACKED};
use self::members::Members;
use self::pieces::Pieces;

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
pub struct Leftover(Rc<RefCell<Option<Tools>>>);

/// What gzip is unpacked with.
#[derive(Debug, Default)]
struct Tools {
    members: Members,
    pieces: Pieces,
    at_once: AtOnce,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Unpacking {
    /// What there is of it, as long as it may be unpacked at once.
    gathered: Option<Vec<Bytes>>,
    /// All of it has been gathered.
    is_whole: bool,
    /// It was unpacked at once.
    ended: bool,
    tools: Tools,
    leftover: Leftover,
}

impl Unpacking {
    /// Of gzip of this length, where it is known.
    pub(super) fn of_length(length: Option<u64>, leftover: &Leftover) -> Self {
        let is_small = length.is_some_and(|length| length <= MOST_PACKED);
        Self {
            gathered: is_small.then(Vec::new),
            is_whole: false,
            ended: false,
            tools: leftover.0.borrow_mut().take().unwrap_or_default(),
            leftover: leftover.clone(),
        }
    }

    /// Takes the next chunk of the gzip, or that there is none.
    pub(super) fn feed(&mut self, chunk: Option<Bytes>) {
        match (&mut self.gathered, chunk) {
            (Some(gathered), Some(chunk)) => gathered.push(chunk),
            (Some(_), None) => self.is_whole = true,
            (None, chunk) => self.tools.members.feed(chunk),
        }
    }

    /// Unpacks as far as it goes, and not beyond a piece.
    ///
    /// # Errors
    /// It is not gzip, or it breaks off, or it is damaged.
    pub(super) fn next(&mut self) -> io::Result<Step> {
        if self.gathered.is_some() && !self.is_whole {
            return Ok(Step::More);
        }
        if let Some(gathered) = self.gathered.take()
            && let Some(content) = self.unpack_at_once(&gathered)
        {
            return Ok(Step::Piece(content));
        }
        match self.ended {
            true => Ok(Step::End),
            false => self.tools.members.next(&mut self.tools.pieces),
        }
    }

    /// Unpacks what has been gathered at once, or leaves it to the other.
    fn unpack_at_once(&mut self, gathered: &[Bytes]) -> Option<Bytes> {
        let content = self.tools.at_once.unpack(gathered);
        self.ended = content.is_some();
        if !self.ended {
            self.tools.members.feed(Some(gathered.concat().into()));
            self.tools.members.feed(None);
        }
        content.filter(|content| !content.is_empty())
    }
}

impl Drop for Unpacking {
    fn drop(&mut self) {
        let Tools {
            members,
            pieces,
            at_once,
        } = std::mem::take(&mut self.tools);
        *self.leftover.0.borrow_mut() = Some(Tools {
            members: members.leave(),
            pieces: pieces.leave(),
            at_once,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use flate2::bufread::MultiGzDecoder;
    use flate2::write::GzEncoder;
    use flate2::{Compress, Compression, FlushCompress};
    use proptest::prelude::*;

    use super::pieces::PIECE;
    use super::*;

    fn member(content: &[u8]) -> Vec<u8> {
        level(content, Compression::fast())
    }

    fn level(content: &[u8], level: Compression) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), level);
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
    fn what_is_small_comes_at_once_whatever_its_chunks() {
        let leftover = Leftover::default();
        for content in [content(1), content(3 * PIECE), content(400_000), Vec::new()] {
            let gzip = member(&content);
            for size in [1000, 65_536, usize::MAX] {
                let unpacked = unpacked_with(&leftover, &gzip, size, Some(gzip.len() as u64));
                let at_once = Vec::from_iter((!content.is_empty()).then_some(content.len()));
                assert_eq!(unpacked.unwrap(), (content.clone(), at_once), "{size}");
            }
        }
    }

    #[test]
    fn what_is_large_or_of_unknown_size_is_unpacked_as_it_comes() {
        // Hardly any of it is packed.
        let random = |at: u64| {
            let mixed = (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            ((mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 56) as u8
        };
        let gzip = member(&(0..MOST_PACKED + 50_000).map(random).collect::<Vec<_>>());
        assert!(gzip.len() as u64 > MOST_PACKED);
        for length in [None, Some(gzip.len() as u64)] {
            let mut unpacking = Unpacking::of_length(length, &Leftover::default());
            unpacking.feed(Some(Bytes::copy_from_slice(&gzip[..2 * PIECE])));
            let next = unpacking.next().unwrap();
            assert!(matches!(next, Step::Piece(_)), "{length:?}");
        }
    }

    #[test]
    fn a_bomb_comes_in_pieces() {
        let gzip = member(&vec![0; 20_000_000]);
        for length in [None, Some(gzip.len() as u64)] {
            let (content, sizes) = unpacked(&gzip, usize::MAX, length).unwrap();
            assert_eq!(content.len(), 20_000_000);
            assert!(sizes.iter().all(|size| *size <= PIECE), "{sizes:?}");
        }
    }

    #[test]
    fn what_breaks_off_or_is_damaged_or_goes_on_as_something_else_is_an_error() {
        let stored = level(&content(100_000), Compression::none());
        for gzip in [member(&content(100_000)), stored] {
            for length in [None, Some(3)] {
                for cut in [
                    0,
                    1,
                    9,
                    10,
                    11,
                    14,
                    gzip.len() / 2,
                    gzip.len() - 8,
                    gzip.len() - 1,
                ] {
                    assert!(unpacked(&gzip[..cut], 4096, length).is_err(), "{cut}");
                }
                for damaged in [0, 3, 12, gzip.len() - 1] {
                    let mut gzip = gzip.clone();
                    gzip[damaged] ^= 0x20;
                    assert!(unpacked(&gzip, 4096, length).is_err(), "{damaged}");
                }
                assert!(unpacked(&[&gzip[..], b"and more of it"].concat(), 4096, length).is_err());
            }
        }
        assert!(unpacked(b"<html>no gzip at all</html>", 4, None).is_err());
    }

    #[test]
    fn a_crc_says_nothing_against_content_that_its_hash_will_speak_for() {
        let content = content(100_000);
        let mut gzip = member(&content);
        let crc = gzip.len() - 8;
        gzip[crc] ^= 1;
        for length in [None, Some(3)] {
            assert!(unpacked(&gzip, 4096, length).unwrap().0 == content);
        }
    }

    #[test]
    fn what_is_stored_is_given_without_a_copy() {
        let content = content(400_000);
        let gzip = Bytes::from(level(&content, Compression::none()));
        let mut unpacking = Unpacking::of_length(None, &Leftover::default());
        let within = gzip.as_ptr_range();
        unpacking.feed(Some(gzip));
        let mut given = 0;
        while let Step::Piece(piece) = unpacking.next().unwrap() {
            assert!(within.contains(&piece.as_ptr()));
            assert!(piece == content[given..given + piece.len()]);
            given += piece.len();
        }
        assert_eq!(given, content.len());
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
            assert!(whole(&level(&long, Compression::none())).unwrap() == long);
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
        assert!(leftover.0.borrow().is_some());
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

    #[test]
    fn so_is_that_of_what_comes_at_once() {
        let leftover = Leftover::default();
        let unpacked = |size| {
            let gzip = member(&content(size));
            let mut unpacking = Unpacking::of_length(Some(gzip.len() as u64), &leftover);
            unpacking.feed(Some(gzip.into()));
            unpacking.feed(None);
            match unpacking.next().unwrap() {
                Step::Piece(piece) => piece,
                step => panic!("{step:?}"),
            }
        };
        let (first, second) = (unpacked(100_000), unpacked(90_000));
        assert_ne!(second.as_ptr(), first.as_ptr(), "somebody holds it");
        let place = second.as_ptr();
        drop((first, second));
        assert_eq!(unpacked(80_000).as_ptr(), place);
    }

    /// One member of blocks of every kind: the library's own, at several levels, and stored ones of any length.
    fn mixed(segments: &[(u8, Vec<u8>)]) -> (Vec<u8>, Vec<u8>) {
        let (mut content, mut gzip) = (Vec::new(), vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
        for (kind, segment) in segments {
            match kind {
                0 => {
                    let length = segment.len() as u16;
                    gzip.push(0);
                    gzip.extend_from_slice(&length.to_le_bytes());
                    gzip.extend_from_slice(&(!length).to_le_bytes());
                    gzip.extend_from_slice(segment);
                }
                kind => {
                    // It looks back at what came before, whatever kind that was of.
                    let mut deflate = Compress::new(Compression::new(u32::from(*kind)), false);
                    let window = content.len().saturating_sub(32 * 1024);
                    if content.len() > window {
                        deflate.set_dictionary(&content[window..]).unwrap();
                    }
                    let mut made = Vec::with_capacity(segment.len() + 1000);
                    deflate
                        .compress_vec(segment, &mut made, FlushCompress::Sync)
                        .unwrap();
                    gzip.extend_from_slice(&made);
                }
            }
            content.extend_from_slice(segment);
        }
        gzip.extend_from_slice(&[0x03, 0x00]);
        gzip.extend_from_slice(&crc32fast::hash(&content).to_le_bytes());
        gzip.extend_from_slice(&(content.len() as u32).to_le_bytes());
        (gzip, content)
    }

    fn segments() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
        let segment = prop_oneof![
            prop::collection::vec(0u8..4, 0..3000),
            prop::collection::vec(any::<u8>(), 0..9000),
            (0u8..9, 0usize..60_000).prop_map(|(byte, length)| vec![byte; length]),
        ];
        prop::collection::vec((0u8..10, segment), 0..6)
    }

    proptest! {
        /// The library has the last word on what the content of a gzip is.
        #[test]
        fn it_gives_what_the_library_gives(
            members in prop::collection::vec(segments(), 1..3),
            chunk in prop_oneof![1usize..20, 1000usize..100_000],
            is_small in any::<bool>(),
        ) {
            let gzip = members.iter().map(|segments| mixed(segments).0).collect::<Vec<_>>().concat();
            let mut expected = Vec::new();
            MultiGzDecoder::new(&gzip[..]).read_to_end(&mut expected).unwrap();
            let length = is_small.then_some(gzip.len() as u64);
            prop_assert!(unpacked(&gzip, chunk, length).unwrap().0 == expected);
        }

        /// Whatever is damaged, it ends, and takes for whole nothing of which the library takes another content.
        #[test]
        fn what_is_damaged_is_no_other_content_than_the_library_s(
            segments in segments(),
            places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            chunk in 1usize..5000,
            is_small in any::<bool>(),
        ) {
            let (mut gzip, _) = mixed(&segments);
            for (place, byte) in places {
                let place = place.index(gzip.len());
                gzip[place] = byte;
            }
            let mut expected = Vec::new();
            let library = MultiGzDecoder::new(&gzip[..]).read_to_end(&mut expected);
            let ours = unpacked(&gzip, chunk, is_small.then_some(gzip.len() as u64));
            if let (Ok(_), Ok((content, _))) = (&library, &ours) {
                prop_assert!(*content == expected);
            }
            prop_assert!(ours.is_ok() || library.is_err(), "{:?}", ours.err());
        }
    }
}
