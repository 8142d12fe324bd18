//! Local state: whether it can be kept where it is to be kept. It is not opened, not locked, and nothing is left in it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Mode;
use super::check::{Check, Outcome, Trial};
use super::mounts::{Mount, mount_of};
use super::terms::Terms;
use super::words::bytes;
use crate::adapters::volume::Volume;
use crate::local_socket::protocol::Question;
use crate::local_socket::{NotAsked, SocketClient};

/// What the README asks for beside the journal and one answer …
const BESIDE: u64 = 50 * 1024 * 1024;

/// … and for each feed beyond this many.
const FEEDS: usize = 8;
const PER_FEED: u64 = 2 * 1024 * 1024;

/// Below it nothing works.
const LEAST: u64 = 32 * 1024 * 1024;

/// How long a process that runs may take to say that it does.
const ASKING: Duration = Duration::from_secs(2);

/// The check of local state.
pub fn check(terms: &Terms) -> Outcome {
    let local_data = &terms.local_data;
    let trial = Trial::new(
        Check::LocalState,
        local_data.display(),
        format_args!("write in {}", local_data.display()),
    );
    const ADVICE: &str =
        "BK__LOCAL_DATA__ROOTDIR has to be a folder that this user can write to, on a volume that stays";
    let there = match nearest(local_data) {
        Ok(there) => there,
        Err(error) => return trial.failed(error, ADVICE),
    };
    let root = terms.state_root();
    let folders = [Some(&there), Some(&root).filter(|root| root.is_dir())];
    for folder in folders.into_iter().flatten() {
        // A file without a name: it is gone whatever happens.
        if let Err(error) = tempfile::tempfile_in(folder) {
            return trial.failed(
                format_args!("{} cannot be written to: {error}", folder.display()),
                ADVICE,
            );
        }
    }
    let mut found = match there == *local_data {
        true => "it can be written".to_owned(),
        false => format!("it is not there yet, and can be made in {}", there.display()),
    };
    let mount = mount_of(&there);
    let volume = Volume::new(&there, terms.feeds);
    let free = match volume.free() {
        Ok(free) => free,
        Err(error) => {
            return trial.failed(
                format_args!("{found}; its volume does not answer: {error}"),
                ADVICE,
            );
        }
    };
    let on = mount
        .as_ref()
        .map_or_else(String::new, |mount| format!(" on {mount}"));
    found.push_str(&format!("; {} are free{on}", bytes(free)));
    if let Some(who) = running(terms.mode, &root) {
        found.push_str(&format!("; {who}"));
    }
    if free < LEAST {
        return trial.failed(
            found,
            format_args!("make room: with less than {} nothing is received", bytes(LEAST)),
        );
    }
    let odd = oddities(terms, &volume, free, mount.as_ref(), &root);
    match odd.is_empty() {
        true => trial.passed(found),
        false => trial.warning(found, odd.join("; ")),
    }
}

/// The folder, or the nearest one above it that is there.
fn nearest(folder: &Path) -> io::Result<PathBuf> {
    let mut at = std::path::absolute(folder)?;
    loop {
        match fs::metadata(&at) {
            Ok(found) if found.is_dir() => return Ok(at),
            Ok(_) => return Err(io::Error::other(format!("{} is not a folder", at.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", at.display()))),
        }
        if !at.pop() {
            return Err(io::ErrorKind::NotFound.into());
        }
    }
}

/// What asks for a look although it works, as what to do.
fn oddities(terms: &Terms, volume: &Volume, free: u64, mount: Option<&Mount>, root: &Path) -> Vec<String> {
    let mut odd = Vec::new();
    if let Some(mount) = mount.filter(|mount| mount.is_fleeting()) {
        odd.push(format!(
            "put it on a volume that survives a restart: {} does not",
            mount.kind
        ));
    }
    if terms.mode == Mode::Backup {
        let feeds = terms.feeds.saturating_sub(FEEDS) as u64;
        let wanted = BESIDE + PER_FEED * feeds + terms.room.journal + terms.room.answer;
        if let Some(shortcoming) = volume.shortcoming(terms.room.journal, terms.room.answer) {
            odd.push(format!(
                "enlarge the volume, or lower BK__JOURNAL_MAX_BYTES: {shortcoming}"
            ));
        // What is there of an earlier start takes a part of it.
        } else if free < wanted && !root.is_dir() {
            odd.push(format!(
                "make room: {} may be needed, {} of them for the journal (BK__JOURNAL_MAX_BYTES)",
                bytes(wanted),
                bytes(terms.room.journal)
            ));
        }
    }
    odd
}

/// Whether a process works on the state: by asking it, and by the system's list of locks. Trying the lock would take it
/// from one that is just starting.
fn running(mode: Mode, root: &Path) -> Option<String> {
    let (client, nothing) = match mode {
        Mode::Backup => (
            SocketClient::of(root),
            Question::FailedStreams {
                after: None,
                limit: 0,
            },
        ),
        Mode::Restore => (
            SocketClient::of_restore(root),
            Question::DeadLetters {
                after: None,
                limit: 0,
            },
        ),
    };
    let name = super::report::name_of(mode);
    match client.with_patience(ASKING).ask(nothing) {
        Err(NotAsked::Nobody(_)) => {}
        _ => return Some(format!("a {name} runs on it, and answers")),
    }
    let lock = root.join("state.lock");
    let inode = fs::metadata(&lock).ok()?.ino();
    let is_locked = fs::read_to_string("/proc/locks")
        .ok()?
        .lines()
        .any(|line| is_lock_of(line, inode));
    // `start 7 commit 12 pid 3`
    let note = fs::read_to_string(&lock).unwrap_or_default();
    is_locked.then(|| format!("a process works on it ({})", note.trim()))
}

/// `1: FLOCK  ADVISORY  WRITE 3 00:2a:1234 0 EOF`
fn is_lock_of(line: &str, inode: u64) -> bool {
    let mut words = line.split_whitespace().skip(1);
    words.next() == Some("FLOCK")
        && words
            .nth(3)
            .and_then(|place| place.rsplit(':').next())
            .is_some_and(|found| found.parse() == Ok(inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_known_by_the_inode_of_its_file() {
        let line = "1: FLOCK  ADVISORY  WRITE 2113 fe:00:130834 0 EOF";
        assert!(is_lock_of(line, 130_834));
        assert!(!is_lock_of(line, 13_083));
        assert!(!is_lock_of(
            "2: POSIX  ADVISORY  WRITE 2113 fe:00:130834 0 EOF",
            130_834
        ));
        assert!(!is_lock_of("", 0));
    }

    #[test]
    fn what_is_not_there_is_looked_for_above() {
        let folder = tempfile::TempDir::new().unwrap();
        let wanted = folder.path().join("a/b");
        assert_eq!(nearest(&wanted).unwrap(), folder.path());
        fs::write(folder.path().join("a"), "").unwrap();
        assert!(nearest(&wanted).is_err());
    }
}
