//! What lay on local disk, and what lay in the bucket, at any time: seen from outside, whatever the program says.
//!
//! An answer is on local disk from the instant at which its file has its name. So the journal's directory is looked
//! into every few milliseconds, and once more when the program is dead, and every file found gets a second name (a
//! hard link) in a folder of the witness's own, where the program cannot unlink it. What has such a name is a fact
//! that the program has to answer for. A file that comes and goes between two looks is not missed for good: what it
//! held has to be in the bucket, or it was handed out and lost, which the audit sees from the dispatcher's side.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use actors::feed::Feed;
use actors::stream_id::Sha256;

use crate::audit::{Unit, units_of};

/// How often the journal is looked into.
const EVERY: Duration = Duration::from_millis(4);

/// Looks at the journal below `{local}/backup` until it is dropped.
pub struct Witness {
    journal: PathBuf,
    kept: PathBuf,
    looked: Arc<Mutex<BTreeMap<PathBuf, Feed>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What a file of the journal holds.
#[derive(Debug)]
pub enum Held {
    /// Events, as they are backed up.
    Units(BTreeSet<Unit>),
    /// Nothing that can be understood: it has to be put aside as it is.
    NotUnderstood(Sha256),
}

impl Witness {
    /// Begins to look; `kept` is a folder of its own, on the same file system.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn of(local: &Path, kept: &Path) -> io::Result<Self> {
        fs::create_dir_all(kept)?;
        let mut witness = Self {
            journal: local.join("backup/journal"),
            kept: kept.to_owned(),
            looked: Arc::default(),
            over: Arc::default(),
            thread: None,
        };
        let (journal, kept) = (witness.journal.clone(), witness.kept.clone());
        let (looked, over) = (Arc::clone(&witness.looked), Arc::clone(&witness.over));
        witness.thread = Some(
            std::thread::Builder::new()
                .name("witness".to_owned())
                .spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        if let Err(error) = look(&journal, &kept, &looked) {
                            log::error!("the witness cannot look: {error}");
                        }
                        std::thread::sleep(EVERY);
                    }
                })?,
        );
        Ok(witness)
    }

    /// Looks now; returns how many files lie in the journal.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn look(&self) -> io::Result<usize> {
        look(&self.journal, &self.kept, &self.looked)
    }

    /// What was seen so far.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn seen(&self) -> io::Result<Vec<Held>> {
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let held = |(file, feed): (&PathBuf, &Feed)| Ok(held(feed, &fs::read(file)?));
        looked.iter().map(held).collect()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the witness panicked");
        }
    }
}

/// Gives every file of the journal a second name.
fn look(journal: &Path, kept: &Path, looked: &Mutex<BTreeMap<PathBuf, Feed>>) -> io::Result<usize> {
    let mut count = 0;
    for (file, feed) in files(journal)? {
        count += 1;
        let Some(name) = file.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let second = kept.join(format!("{}+{name}", feed.to_string().replace('/', "+")));
        let mut looked = looked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Vacant(unseen) = looked.entry(second) {
            match fs::hard_link(&file, unseen.key()) {
                Ok(()) => drop(unseen.insert(feed)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(count)
}

/// The files that have their name, with their feeds. Directories may come and go meanwhile.
fn files(journal: &Path) -> io::Result<Vec<(PathBuf, Feed)>> {
    let mut files = Vec::new();
    for source in entries(journal)? {
        for model in entries(&source)? {
            for action in entries(&model)? {
                let feed = action.strip_prefix(journal).ok().and_then(Path::to_str);
                let Some(feed) = feed.and_then(|feed| feed.parse::<Feed>().ok()) else {
                    continue;
                };
                files.extend(entries(&action)?.into_iter().map(|file| (file, feed.clone())));
            }
        }
    }
    Ok(files)
}

/// What lies in a directory; nothing if it is not there.
pub(super) fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
    }
}

/// What the body of an answer holds, read without any code of the program but its schemas.
fn held(feed: &Feed, body: &[u8]) -> Held {
    match bulk_in(body) {
        Some([]) => Held::Units(BTreeSet::new()),
        Some(bulk) => Held::Units(units_of(feed, bulk).into_iter().collect()),
        None => Held::NotUnderstood(Sha256::of(body)),
    }
}

/// The part named `events` of a multipart body.
fn bulk_in(body: &[u8]) -> Option<&[u8]> {
    let line = body.windows(2).position(|two| two == b"\r\n")?;
    let delimiter = [b"\r\n", &body[..line]].concat();
    if !body.starts_with(b"--") {
        return None;
    }
    let find = |from: usize, what: &[u8]| {
        let at = body[from..].windows(what.len()).position(|part| part == what)?;
        Some(from + at)
    };
    let named = find(0, b"name=\"events\"")?;
    let begin = find(named, b"\r\n\r\n")? + 4;
    // Looked for from the end of the part's head, one byte back: an empty part has nothing between the two.
    let end = find(begin - 2, &delimiter)?;
    Some(&body[begin..end.max(begin)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_are_found_wherever_they_stand() {
        let info = "--x\r\nContent-Disposition: form-data; name=\"info\"\r\n\r\n{}\r\n";
        let events = "--x\r\nContent-Disposition: form-data; name=\"events\"\r\n\r\nBULK\r\n";
        for body in [
            format!("{info}{events}--x--\r\n"),
            format!("{events}{info}--x--\r\n"),
        ] {
            assert_eq!(bulk_in(body.as_bytes()), Some(b"BULK".as_slice()));
        }
        assert_eq!(bulk_in(format!("<html>{info}{events}--x--").as_bytes()), None);
        assert_eq!(bulk_in(format!("{info}--x--\r\n").as_bytes()), None);
    }

    #[test]
    fn a_file_that_was_seen_once_cannot_be_unlinked_any_more() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("local/backup/journal/samples/binary/sourced");
        fs::create_dir_all(&folder).unwrap();
        let witness = Witness::of(&root.path().join("local"), &root.path().join("kept")).unwrap();
        fs::write(folder.join("1.answer"), b"nonsense").unwrap();
        assert_eq!(witness.look().unwrap(), 1);
        fs::remove_file(folder.join("1.answer")).unwrap();
        assert_eq!(witness.look().unwrap(), 0);
        let seen = witness.seen().unwrap();
        assert!(matches!(&seen[..], [Held::NotUnderstood(sha256)] if *sha256 == Sha256::of(b"nonsense")));
    }
}
