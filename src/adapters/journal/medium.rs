//! What a file that is being received asks of the disk; a trait, so that a test can be a disk that fails.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::FallocateFlags;

/// An open file.
pub(super) trait Medium: Send {
    /// Takes room for `length` bytes from `at` on, whether they are written or not.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`]: room cannot be taken here without writing.
    fn take_room(&self, at: u64, length: u64) -> io::Result<()>;

    /// As [`FileExt::write_at`].
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize>;

    /// As [`FileExt::read_exact_at`].
    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()>;

    /// As [`File::sync_data`].
    fn sync_data(&self) -> io::Result<()>;
}

impl Medium for File {
    fn take_room(&self, at: u64, length: u64) -> io::Result<()> {
        match rustix::fs::fallocate(self, FallocateFlags::KEEP_SIZE, at, length) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                Err(io::ErrorKind::Unsupported.into())
            }
            taken => Ok(taken?),
        }
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, at)
    }

    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, bytes, at)
    }

    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
    }
}
