//! The lock file: one process at a time, and a witness of how far the database has come.
//!
//! sled takes the first part of its log that it cannot read for the end of it, and forgets what follows (seen in
//! one of five damaged files). So each group of changes has a number, which is noted here once the group is
//! durable: a database that shows less than was noted has lost something.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a process that holds the lock is given to end.
const HAND_OVER: Duration = Duration::from_millis(500);

/// A note always has this length, so that a shorter one leaves nothing of a longer one.
const LENGTH: usize = 80;

/// How far the state has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::adapters) struct Note {
    /// The start that wrote it.
    pub(in crate::adapters) start: u64,
    /// The last group of changes that is known to be durable.
    pub(in crate::adapters) commit: u64,
}

impl Note {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let mut number = |name: &str| {
            (words.next()? == name)
                .then(|| words.next()?.parse().ok())
                .flatten()
        };
        Some(Self {
            start: number("start")?,
            commit: number("commit")?,
        })
    }
}

/// Why there is no lock.
pub(in crate::adapters) enum NoLock {
    /// Another process has it; what it has noted, for people.
    Held(String),
    /// The file cannot be used.
    Unusable(io::Error),
}

/// The lock file, locked until this is dropped.
pub(in crate::adapters) struct Lock {
    file: File,
    noted: Option<Note>,
}

impl Lock {
    /// Locks the file, which comes into being if need be. Waits a moment for a process that is just ending.
    pub(in crate::adapters) fn take(path: &Path) -> Result<Self, NoLock> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.custom_flags(libc::O_NOFOLLOW);
        let mut file = options.open(path).map_err(NoLock::Unusable)?;
        let locked = lock_soon(&file);
        let mut text = String::new();
        // Without a legible note nothing is known, and nothing is lost.
        let _ = Read::by_ref(&mut file)
            .take(LENGTH as u64)
            .read_to_string(&mut text);
        match locked {
            Ok(()) => {
                let noted = Note::parse(&text);
                Ok(Self { file, noted })
            }
            Err(TryLockError::WouldBlock) => Err(NoLock::Held(text.trim_end().to_owned())),
            Err(TryLockError::Error(error)) => Err(NoLock::Unusable(error)),
        }
    }

    /// What was noted last, before this process.
    pub(in crate::adapters) fn noted(&self) -> Option<Note> {
        self.noted
    }

    /// Replaces the note; without a sync, for an older note only sees less.
    pub(in crate::adapters) fn note(&self, note: Note) -> io::Result<()> {
        let Note { start, commit } = note;
        let text = format!("start {start} commit {commit} pid {}", std::process::id());
        let line = format!("{text:<width$}\n", width = LENGTH - 1);
        self.file.write_all_at(line.as_bytes(), 0)
    }
}

fn lock_soon(file: &File) -> Result<(), TryLockError> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if begun.elapsed() < HAND_OVER => {
                std::thread::sleep(Duration::from_millis(20));
            }
            locked => return locked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_found_by_the_next_holder() {
        let root = tempfile::TempDir::new().unwrap();
        let path = root.path().join("lock");
        let last = Note { start: 7, commit: 12 };
        let take = || Lock::take(&path).ok().expect("it is free");
        assert_eq!(take().noted(), None);
        let holder = take();
        holder
            .note(Note {
                start: u64::MAX,
                commit: u64::MAX,
            })
            .unwrap();
        holder.note(last).unwrap();
        assert!(
            matches!(Lock::take(&path), Err(NoLock::Held(text)) if text.starts_with("start 7 commit 12 pid "))
        );
        drop(holder);
        assert_eq!(take().noted(), Some(last));
        std::fs::write(&path, "garbage").unwrap();
        assert_eq!(take().noted(), None);
    }
}
