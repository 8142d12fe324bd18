//! Where files lie and what they are called.

use std::collections::HashSet;
use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use actors::fault_point::{self, FaultPoint};
use actors::feed::Feed;
use actors::ports::journal::BatchFile;
use actors::timestamp::Timestamp;

use super::disk::sync_directory;
use actors::fault::is_no_room;

const SUFFIX: &str = ".answer";

/// Being received.
const PART: &str = ".part";

/// Being received, and held up by the disk.
const HELD: &str = ".held";

/// How much of the name of a feed the name of a file bears.
const MOST_OF_FEED: usize = 150;

/// Names of files and directories below one root.
pub(super) struct Layout {
    journal: PathBuf,
    incoming: PathBuf,
    aside: PathBuf,
    /// Directories that this process knows to be there, durably.
    known: Mutex<HashSet<PathBuf>>,
    received: AtomicU64,
}

fn name_of(file: &BatchFile) -> String {
    format!("{:016}-{}{SUFFIX}", file.seq, file.received.as_micros())
}

/// The file that a name belongs to; none if it is not the name that this file would have.
fn file_of(feed: &Feed, name: &str) -> Option<BatchFile> {
    let (seq, received) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    let file = BatchFile {
        feed: feed.clone(),
        seq: seq.parse().ok()?,
        received: Timestamp::from_micros(received.parse().ok()?),
    };
    (name_of(&file) == name).then_some(file)
}

fn is_not_a_directory(path: &Path) -> io::Error {
    let text = format!("{} is not a directory", path.display());
    io::Error::new(io::ErrorKind::NotADirectory, text)
}

fn report_foreign(entry: &Path) {
    log::warn!("{} is no file of the journal; it is left alone", entry.display());
}

impl Layout {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            journal: root.join("journal"),
            incoming: root.join("incoming"),
            aside: root.join("aside"),
            known: Mutex::default(),
            received: AtomicU64::new(0),
        }
    }

    pub(super) fn journal(&self) -> &Path {
        &self.journal
    }

    /// Makes the directories that are needed at once, and removes what was being received.
    pub(super) fn prepare(&self) -> io::Result<()> {
        for directory in [&self.journal, &self.incoming] {
            make_directory(directory)?;
        }
        for entry in fs::read_dir(&self.incoming)? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let is_file = entry.file_type()?.is_file();
            if is_file && name.ends_with(PART) {
                fs::remove_file(path)?;
            } else if is_file && name.ends_with(HELD) {
                match self.put_held_aside(&path, &name) {
                    // It is as safe where it is; the next start moves it.
                    Err(error) if is_no_room(&error) => {
                        log::warn!(error:% = error; "no room to put {} aside, it stays there: {error}", path.display());
                    }
                    moved => moved?,
                }
            } else {
                report_foreign(&path);
            }
        }
        Ok(())
    }

    /// The program ended before the disk had room for all of it.
    fn put_held_aside(&self, path: &Path, name: &str) -> io::Result<()> {
        make_directory(&self.aside)?;
        let reason = "not whole: it waited for room on the disk when the program ended";
        let place = move_with_reason(path, &self.aside, name, reason)?;
        log::error!(
            error:% = reason; "what came in of an answer ({reason}) is kept at {}: keep it, and report it",
            place.display()
        );
        Ok(())
    }

    pub(super) fn path(&self, file: &BatchFile) -> PathBuf {
        self.journal.join(file.feed.to_string()).join(name_of(file))
    }

    /// A name under which nothing has been received yet.
    pub(super) fn part(&self, file: &BatchFile) -> PathBuf {
        let number = self.received.fetch_add(1, Ordering::Relaxed);
        self.incoming.join(format!("{:016}-{number}{PART}", file.seq))
    }

    /// Gives a file that is being received a name under which the next start keeps it; for people it names the feed.
    pub(super) fn hold_up(&self, part: &Path, file: &BatchFile) -> io::Result<PathBuf> {
        let feed = file.feed.to_string().replace('/', "~");
        let feed: String = feed
            .chars()
            .filter(char::is_ascii_graphic)
            .take(MOST_OF_FEED)
            .collect();
        let name = format!("{:016}-{}.{feed}{HELD}", file.seq, file.received.as_micros());
        let held = self.incoming.join(name);
        rename_to_new(part, &held)?;
        if let Err(error) = sync_directory(&self.incoming) {
            log::warn!(error:% = error; "{} is lost if the power fails now: {error}", held.display());
        }
        Ok(held)
    }

    /// The directory of a feed below `top`; it is there on return, durably.
    fn directory(&self, top: &Path, feed: &Feed) -> io::Result<PathBuf> {
        let whole = top.join(feed.to_string());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(&whole) && whole.is_dir() {
            return Ok(whole);
        }
        let mut directory = top.to_owned();
        make_directory(&directory)?;
        for segment in feed.to_string().split('/') {
            directory.push(segment);
            make_directory(&directory)?;
        }
        known.insert(whole.clone());
        Ok(whole)
    }

    /// Gives a file that has been received and synced its name, and says in which directory; durable once that has
    /// been synced.
    pub(super) fn adopt(&self, part: &Path, file: &BatchFile) -> io::Result<PathBuf> {
        let directory = self.directory(&self.journal, &file.feed)?;
        rename_to_new(part, &directory.join(name_of(file)))?;
        Ok(directory)
    }

    /// Where a file lies, if no symbolic link leads there.
    fn checked_path(&self, file: &BatchFile) -> io::Result<PathBuf> {
        let mut path = self.journal.clone();
        for segment in file.feed.to_string().split('/') {
            path.push(segment);
            if !fs::symlink_metadata(&path)?.is_dir() {
                return Err(is_not_a_directory(&path));
            }
        }
        path.push(name_of(file));
        match fs::symlink_metadata(&path)?.is_file() {
            true => Ok(path),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")),
        }
    }

    pub(super) fn open_file(&self, file: &BatchFile) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NOFOLLOW);
        options.open(self.checked_path(file)?)
    }

    pub(super) fn remove(&self, file: &BatchFile) -> io::Result<()> {
        match self.checked_path(file).and_then(fs::remove_file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Moves a file to where an operator finds it.
    pub(super) fn put_aside(&self, file: &BatchFile, reason: &str) -> io::Result<PathBuf> {
        self.move_aside(&self.checked_path(file)?, file, reason)
    }

    /// The same for what came in of an answer that did not become whole.
    pub(super) fn put_part_aside(&self, part: &Path, file: &BatchFile, reason: &str) -> io::Result<PathBuf> {
        self.move_aside(part, file, reason)
    }

    fn move_aside(&self, path: &Path, file: &BatchFile, reason: &str) -> io::Result<PathBuf> {
        let directory = self.directory(&self.aside, &file.feed)?;
        move_with_reason(path, &directory, &name_of(file), reason)
    }

    /// Bytes of all that has been put aside and not been taken away yet.
    pub(super) fn bytes_aside(&self) -> io::Result<u64> {
        match fs::symlink_metadata(&self.aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            found => bytes_below(&self.aside, &found?),
        }
    }

    /// All files, oldest first per feed, with their lengths.
    pub(super) fn files(&self) -> io::Result<Vec<(BatchFile, u64)>> {
        let mut files = Vec::new();
        for source in directories(&self.journal)? {
            for model in directories(&source)? {
                for action in directories(&model)? {
                    let feed = action.strip_prefix(&self.journal).ok().and_then(Path::to_str);
                    match feed.and_then(|feed| feed.parse().ok()) {
                        Some(feed) => files_of(&feed, &action, &mut files)?,
                        None => report_foreign(&action),
                    }
                }
            }
        }
        files.sort();
        Ok(files)
    }
}

/// Moves a file to a directory under this name; the reason comes first, so that no file lies there without one.
fn move_with_reason(path: &Path, directory: &Path, name: &str, reason: &str) -> io::Result<PathBuf> {
    let place = directory.join(name);
    let text = directory.join(format!("{name}.reason.txt"));
    match write_text(&text, reason) {
        // A full disk has room for a name all the same; the reason is logged too.
        Err(error) if is_no_room(&error) => {
            log::warn!(error:% = error; "{} is not whole: {error}", text.display())
        }
        written => written?,
    }
    fault_point::try_pass(FaultPoint::AsideExplained)?;
    rename_to_new(path, &place)?;
    sync_directory(directory)?;
    Ok(place)
}

fn write_text(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(format!("{text}\n").as_bytes())?;
    file.sync_data()
}

fn bytes_below(path: &Path, found: &fs::Metadata) -> io::Result<u64> {
    if !found.is_dir() {
        return Ok(if found.is_file() { found.len() } else { 0 });
    }
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        // Without following links; what an operator takes away meanwhile is gone.
        match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => bytes += bytes_below(&entry.path(), &found?)?,
        }
    }
    Ok(bytes)
}

/// Makes a directory, and its entry durable also if it is there: who made it may not have come so far.
fn make_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if !fs::symlink_metadata(path)?.is_dir() {
                return Err(is_not_a_directory(path));
            }
        }
        Err(error) => return Err(error),
    }
    path.parent().map_or(Ok(()), sync_directory)
}

/// Renames, but never over another file; nobody else makes files here (see the lock).
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    match fs::symlink_metadata(to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(from, to),
        Err(error) => Err(error),
        Ok(_) => {
            let text = format!("{} is there already", to.display());
            Err(io::Error::new(io::ErrorKind::AlreadyExists, text))
        }
    }
}

/// The directories in a directory; everything else in it is reported.
fn directories(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let (directories, others) = split(directory, |entry| Ok(entry.file_type()?.is_dir()))?;
    others.iter().for_each(|entry| report_foreign(&entry.path()));
    Ok(directories.iter().map(DirEntry::path).collect())
}

fn split(
    directory: &Path,
    wanted: impl Fn(&DirEntry) -> io::Result<bool>,
) -> io::Result<(Vec<DirEntry>, Vec<DirEntry>)> {
    let (mut right, mut others) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if wanted(&entry)? {
            right.push(entry);
        } else {
            others.push(entry);
        }
    }
    Ok((right, others))
}

fn files_of(feed: &Feed, directory: &Path, files: &mut Vec<(BatchFile, u64)>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let file = name.to_str().and_then(|name| file_of(feed, name));
        match file {
            // Of the entry itself: a symbolic link is none of ours, wherever it points.
            Some(file) if entry.file_type()?.is_file() => files.push((file, entry.metadata()?.len())),
            _ => report_foreign(&entry.path()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_files_only_if_it_is_written_the_same_way() {
        let feed: Feed = "samples/binary/mapped".parse().unwrap();
        for (seq, micros) in [(0, 0), (1, i64::MIN), (u64::MAX, i64::MAX)] {
            let file = BatchFile {
                feed: feed.clone(),
                seq,
                received: Timestamp::from_micros(micros),
            };
            assert_eq!(file_of(&feed, &name_of(&file)), Some(file));
        }
        for name in [
            "",
            "1-2.answer",
            "0000000000000001-2",
            "0000000000000001-02.answer",
            "+000000000000001-2.answer",
            "0000000000000001-2.answer.bak",
            "0000000000000001-.answer",
        ] {
            assert_eq!(file_of(&feed, name), None, "{name}");
        }
    }
}
