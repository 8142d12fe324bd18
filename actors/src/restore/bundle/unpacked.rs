//! The bytes of a bulk, in memory or in a file without a name, and how they get there.

use std::fs::File;
use std::io::{self, Cursor, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use flate2::bufread::MultiGzDecoder;

use crate::ports::journal::ReadSeek;
use crate::restore::arrived::Arrived;
use crate::restore::bundle_memory::BundleMemory;
use crate::restore::gunzip::{Gunzip, announced};

/// The most bytes of one unpacked bundle that are kept in memory.
const IN_MEMORY: usize = 4 * 1024 * 1024;

/// The least memory that is taken.
const LEAST: usize = 64 * 1024;

/// Gzip often makes this much less of events.
const USUAL_RATIO: usize = 8;

/// The most bytes of gzip that are gathered and unpacked at once.
pub(super) const AT_ONCE: usize = 512 * 1024;

/// It has more bytes than it may have. A few kilobytes of gzip can have gigabytes in them, and would fill the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it unpacks to more than {0} bytes")]
pub(super) struct TooMuch(pub(super) u64);

/// Unpacks what comes, directly to where it is to lie: what is small at once. `size` is that of the gzip, as far as it
/// is known; `most` is what it may have in it.
///
/// # Errors
/// It is not gzip, breaks off, or is damaged; it is [`TooMuch`]; the file cannot be written.
pub(super) fn unpack(
    mut packed: impl Iterator<Item = Bytes>,
    (size, most): (u64, u64),
    left: &BundleMemory,
    spool: &Path,
) -> io::Result<Unpacked> {
    let gathered = gather(&mut packed, size);
    if let Some(unpacked) = at_once(&gathered, left) {
        return Ok(Unpacked::Memory(unpacked));
    }
    let mut packed = [Bytes::from(gathered)].into_iter().chain(packed);
    let room = usize::try_from(size)
        .unwrap_or(IN_MEMORY)
        .saturating_mul(USUAL_RATIO);
    let mut memory = left.take(room.clamp(LEAST, IN_MEMORY));
    let mut gunzip = MultiGzDecoder::new(Arrived::default());
    let (mut filled, mut file, mut spooled) = (0, None, 0);
    loop {
        if filled == memory.len() && !grow(&mut memory) {
            let file = match &mut file {
                Some(file) => file,
                None => file.insert(tempfile::tempfile_in(spool)?),
            };
            spooled += spool_out(file, &memory[..std::mem::take(&mut filled)])?;
        }
        match gunzip.read(&mut memory[filled..]) {
            Ok(0) => break,
            Ok(count) => {
                filled += count;
                if spooled + filled as u64 > most {
                    return Err(io::Error::other(TooMuch(most)));
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => gunzip.get_mut().take(packed.next()),
            Err(error) => return Err(error),
        }
    }
    if let Some(mut file) = file {
        spooled += spool_out(&mut file, &memory[..filled])?;
        left.leave(memory.freeze());
        return Ok(Unpacked::File(Arc::new(file), spooled));
    }
    Ok(Unpacked::Memory(InMemory {
        memory: memory.freeze(),
        length: filled,
        left_to: left.clone(),
    }))
}

/// What is small, to its end, or until it is more than it should be.
fn gather(packed: &mut impl Iterator<Item = Bytes>, size: u64) -> Vec<u8> {
    let mut gathered = Vec::new();
    while gathered.len().max(usize::try_from(size).unwrap_or(usize::MAX)) <= AT_ONCE
        && let Some(chunk) = packed.next()
    {
        gathered.extend_from_slice(&chunk);
    }
    gathered
}

/// What is plain, and has room in memory.
fn at_once(gzip: &[u8], left: &BundleMemory) -> Option<InMemory> {
    let length = announced(gzip).filter(|length| *length <= IN_MEMORY)?;
    let mut memory = left.take(length.max(LEAST));
    if memory.len() < length {
        memory.resize(length.next_power_of_two(), 0);
    }
    let made = Gunzip::new().and_then(|mut gunzip| gunzip.unpack(gzip, &mut memory[..length]));
    let memory = memory.freeze();
    if made.is_none() {
        left.leave(memory);
        return None;
    }
    made.map(|length| InMemory {
        memory,
        length,
        left_to: left.clone(),
    })
}

/// Makes room for more, if there may be more of it.
fn grow(memory: &mut BytesMut) -> bool {
    let length = (2 * memory.len()).clamp(LEAST, IN_MEMORY);
    let grows = length > memory.len();
    if grows {
        memory.resize(length, 0);
    }
    grows
}

fn spool_out(file: &mut File, content: &[u8]) -> io::Result<u64> {
    file.write_all(content)?;
    Ok(content.len() as u64)
}

/// The bytes of a bulk.
pub(super) enum Unpacked {
    Memory(InMemory),
    File(Arc<File>, u64),
}

/// The beginning of a piece of memory, which is left to others afterwards.
pub(super) struct InMemory {
    memory: Bytes,
    length: usize,
    left_to: BundleMemory,
}

impl InMemory {
    pub(super) fn bytes(&self) -> Bytes {
        self.memory.slice(..self.length)
    }
}

impl Drop for InMemory {
    fn drop(&mut self) {
        self.left_to.leave(std::mem::take(&mut self.memory));
    }
}

impl Unpacked {
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Memory(bulk) => bulk.length as u64,
            Self::File(_, length) => *length,
        }
    }

    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self, Self::Memory(_))
    }

    pub(super) fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Memory(bulk) => {
                let bytes = &bulk.memory[..bulk.length];
                let place = usize::try_from(at)
                    .ok()
                    .and_then(|at| bytes.get(at..at + into.len()));
                into.copy_from_slice(place.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
            Self::File(file, _) => file.read_exact_at(into, at),
        }
    }

    pub(super) fn reader(&self) -> Box<dyn ReadSeek> {
        match self {
            Self::Memory(bulk) => Box::new(Cursor::new(bulk.bytes())),
            Self::File(file, length) => Box::new(FileAt {
                file: Arc::clone(file),
                at: 0,
                length: *length,
            }),
        }
    }
}

/// A file read by several, each at a place of its own.
struct FileAt {
    file: Arc<File>,
    at: u64,
    length: u64,
}

impl Read for FileAt {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(into, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for FileAt {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn unpacked(content: &[u8], chunk: usize, left: &BundleMemory) -> io::Result<Unpacked> {
        let mut gzip = Vec::new();
        for member in content.chunks(content.len() / 2 + 1) {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(member).unwrap();
            gzip.extend(encoder.finish().unwrap());
        }
        let chunks = gzip.chunks(chunk).map(Bytes::copy_from_slice);
        unpack(chunks, (100, u64::MAX), left, &std::env::temp_dir())
    }

    fn content(size: usize) -> Vec<u8> {
        (0..size as u64).map(|at| ((at * at) >> 9) as u8).collect()
    }

    #[test]
    fn what_is_unpacked_is_the_content_wherever_it_lies() {
        let left = BundleMemory::default();
        for size in [
            1,
            LEAST,
            LEAST + 1,
            700_000,
            IN_MEMORY,
            IN_MEMORY + 1,
            2 * IN_MEMORY + 9,
        ] {
            for chunk in [65_536, usize::MAX] {
                let content = content(size);
                let unpacked = unpacked(&content, chunk, &left).unwrap();
                assert_eq!(unpacked.is_in_memory(), size < IN_MEMORY, "{size}");
                assert_eq!(unpacked.length(), size as u64);
                let mut read = Vec::new();
                unpacked.reader().read_to_end(&mut read).unwrap();
                assert!(read == content, "{size}");
                let mut end = [0; 1];
                unpacked.read_at(size as u64 - 1, &mut end).unwrap();
                assert_eq!(end[0], content[size - 1]);
                assert!(
                    unpacked.read_at(size as u64, &mut end).is_err(),
                    "nothing of an earlier one"
                );
            }
        }
    }

    #[test]
    fn the_memory_of_a_bundle_is_that_of_the_next() {
        let left = BundleMemory::default();
        let place = |unpacked: &Unpacked| match unpacked {
            Unpacked::Memory(bulk) => bulk.memory.as_ptr(),
            Unpacked::File(..) => panic!("it is small"),
        };
        let first = unpacked(&content(1000), 100, &left).unwrap();
        let at = place(&first);
        drop(first);
        assert_eq!(place(&unpacked(&content(5000), 100, &left).unwrap()), at);
    }

    /// Of an object that is said to be small, what comes is bounded by nobody else.
    #[test]
    fn no_more_is_gathered_than_may_be() {
        let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
        let mut taken = 0;
        let endless = std::iter::from_fn(|| {
            taken += chunk.len();
            assert!(taken < 4 * AT_ONCE, "it gathers for ever");
            Some(chunk.clone())
        });
        let left = BundleMemory::default();
        assert!(unpack(endless, (100, u64::MAX), &left, &std::env::temp_dir()).is_err());
        assert!(taken <= AT_ONCE + 2 * chunk.len(), "{taken}");
    }

    #[test]
    fn memory_in_which_nothing_was_unpacked_at_once_is_left() {
        const ODD: usize = 2 * LEAST + 17;
        let left = BundleMemory::default();
        left.leave(BytesMut::zeroed(ODD).freeze());
        for _ in 0..3 {
            let content = content(3000);
            let unpacked = unpacked(&content, usize::MAX, &left).unwrap();
            assert_eq!(unpacked.length(), 3000, "of two members");
        }
        assert_eq!(left.take(1).len(), ODD);
    }

    #[test]
    fn what_breaks_off_or_is_no_gzip_is_an_error() {
        let left = BundleMemory::default();
        for gzip in [&b""[..], b"\x1f\x8b\x08", b"<html>no gzip at all</html>"] {
            let chunks = Some(Bytes::from_static(gzip)).into_iter();
            assert!(unpack(chunks, (3, u64::MAX), &left, Path::new("/nowhere")).is_err());
        }
    }

    #[test]
    fn no_more_is_spooled_than_a_bundle_may_have() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        io::copy(&mut io::repeat(0).take(20 << 20), &mut encoder).unwrap();
        let bomb = Bytes::from(encoder.finish().unwrap());
        let left = BundleMemory::default();
        let unpack = |most: u64| {
            unpack(
                [bomb.clone()].into_iter(),
                (100, most),
                &left,
                &std::env::temp_dir(),
            )
        };
        assert_eq!(unpack(20 << 20).unwrap().length(), 20 << 20);
        let fault = unpack((20 << 20) - 1).err().unwrap();
        let too_much = fault.get_ref().and_then(|fault| fault.downcast_ref::<TooMuch>());
        assert_eq!(too_much, Some(&TooMuch((20 << 20) - 1)), "{fault}");
    }
}
