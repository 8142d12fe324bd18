//! What the system remembers of a file is not always what is on the disk.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::Advice;

/// Makes the system forget what it has read or written of a file: after a write to the disk that failed it goes on
/// showing the bytes that are not there, and takes them for written.
pub(super) fn forget(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    // What was written a moment ago may still be held by the system for the first time.
    for _ in 0..2 {
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{IoSliceMut, Write};

    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    use super::*;

    /// Whether the first bytes of a file can be read without the disk; an error where that cannot be told.
    fn is_remembered(path: &Path) -> rustix::io::Result<bool> {
        let file = File::open(path).unwrap();
        let mut bytes = [0; 16];
        let read = preadv2(
            &file,
            &mut [IoSliceMut::new(&mut bytes)],
            0,
            ReadWriteFlags::NOWAIT,
        );
        match read {
            Ok(read) => Ok(read == bytes.len()),
            Err(Errno::AGAIN) => Ok(false),
            Err(error) => Err(error),
        }
    }

    #[test]
    fn what_is_forgotten_is_read_from_the_disk() {
        let folder = tempfile::TempDir::new().unwrap();
        let [path, other] = ["db", "other"].map(|name| folder.path().join(name));
        for path in [&path, &other] {
            let mut file = File::create(path).unwrap();
            file.write_all(&[7; 100_000]).unwrap();
            file.sync_all().unwrap();
        }
        // A file system in memory has no other place for it.
        let file = File::open(&other).unwrap();
        for _ in 0..2 {
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        }
        if is_remembered(&other) != Ok(false) {
            println!("skipped: this file system forgets nothing, or does not tell");
            return;
        }
        assert_eq!(is_remembered(&path), Ok(true));
        let is_forgotten = (0..20).any(|_| {
            forget(&path).unwrap();
            is_remembered(&path) == Ok(false)
        });
        assert!(is_forgotten);
        assert_eq!(std::fs::read(&path).unwrap(), [7; 100_000]);
    }
}
