//! The events of dead letters, one file each: a digest, then the bulk of one event.
//!
//! A file is called after the key of the row that needs it, hashed. It vouches for itself: a crash between a file that
//! took the place of another and its row leaves the older length in the row, and the newer event, whole, in the file.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use actors::fault_point::{self, FaultPoint};
use actors::ports::state::StateFault;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::keys;
use super::rows::LetterRow;
use crate::adapters::state::rows;
use crate::adapters::state::table::Table;
use actors::fault::is_no_room;

/// The length of the digest at the beginning of a file.
const DIGEST: usize = 32;

/// The largest file that is read: an event has 3 MiB at most.
const LARGEST: u64 = 64 << 20;

const SUFFIX: &str = ".event";

/// The directory of the files. All calls block.
#[derive(Clone, Debug)]
pub(super) struct LetterFiles {
    directory: PathBuf,
}

/// What a failed call of the disk means.
fn fault(path: &Path, error: io::Error) -> StateFault {
    let text = format!("the event of a dead letter, {}: {error}", path.display());
    match is_no_room(&error) {
        true => StateFault::Full(text),
        false => StateFault::Broken(text),
    }
}

fn name(letter: &[u8]) -> String {
    format!("{}{SUFFIX}", hex::encode(Sha256::digest(letter)))
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

impl LetterFiles {
    /// Those of the state below `root`.
    pub(super) fn below(root: &Path) -> Self {
        let directory = root.join("dead-letters");
        Self { directory }
    }

    fn path(&self, letter: &[u8]) -> PathBuf {
        self.directory.join(name(letter))
    }

    /// Makes the event of the letter under this key durable, in place of an earlier one.
    pub(super) fn keep(&self, letter: &[u8], event: &[u8]) -> Result<(), StateFault> {
        let path = self.path(letter);
        self.keep_at(&path, event).map_err(|error| fault(&path, error))
    }

    fn keep_at(&self, path: &Path, event: &[u8]) -> io::Result<()> {
        match fs::create_dir(&self.directory) {
            Ok(()) => self.directory.parent().map_or(Ok(()), sync)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let unfinished = path.with_extension("tmp");
        let mut file = File::create(&unfinished)?;
        file.write_all(&Sha256::digest(event))?;
        file.write_all(event)?;
        fault_point::try_pass(FaultPoint::RestoreLetterWritten)?;
        file.sync_data()?;
        fs::rename(&unfinished, path)?;
        sync(&self.directory)?;
        fault_point::try_pass(FaultPoint::RestoreLetterKept)
    }

    /// The event of the letter under this key, which is to be there.
    pub(super) fn read(&self, letter: &[u8]) -> Result<Bytes, StateFault> {
        let path = self.path(letter);
        let content = read_whole(&path).map_err(|error| fault(&path, error))?;
        match content.split_at_checked(DIGEST) {
            Some((digest, event)) if *digest == *Sha256::digest(event) => {
                Ok(Bytes::from(content).split_off(DIGEST))
            }
            _ => {
                let text = "it is not what was written: the file is damaged";
                Err(fault(&path, io::Error::new(io::ErrorKind::InvalidData, text)))
            }
        }
    }

    /// The row of the letter is gone for good, unless there is a new one.
    pub(super) fn forget(&self, table: &impl Table, letter: &[u8]) {
        if !matches!(table.get(letter), Ok(None)) {
            return;
        }
        let path = self.path(letter);
        let removed =
            fault_point::try_pass(FaultPoint::RestoreLetterForgotten).and_then(|()| fs::remove_file(&path));
        if let Err(error) = removed {
            log::warn!("{}; a later start removes it", fault(&path, error));
        }
    }

    /// Removes the files that no row needs: what a crash has left. Keeps 8 bytes a letter in memory.
    pub(super) fn sweep(&self, table: &impl Table) -> Result<(), StateFault> {
        let at_directory = |error| fault(&self.directory, error);
        let files = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            files => files.map_err(at_directory)?,
        };
        let mut needed = BTreeSet::new();
        for row in table.range(keys::LETTERS.range()) {
            let (key, value) = row?;
            if rows::decode::<LetterRow>(&key, &value)?.event_bytes > 0 {
                needed.insert(short(&name(&key)));
            }
        }
        for file in files {
            let file = file.map_err(at_directory)?;
            let name = file.file_name();
            let Some(name) = name.to_str() else { continue };
            let is_needed = name.ends_with(SUFFIX) && needed.contains(&short(name));
            if is_ours(name) && !is_needed {
                fs::remove_file(file.path()).map_err(|error| fault(&file.path(), error))?;
            }
        }
        Ok(())
    }
}

/// The beginning of the name: of two that share it one is kept for nothing.
fn short(name: &str) -> u64 {
    let digits = name
        .get(..16)
        .and_then(|digits| u64::from_str_radix(digits, 16).ok());
    digits.unwrap_or(0)
}

fn is_ours(name: &str) -> bool {
    let stem = name.strip_suffix(SUFFIX).or_else(|| name.strip_suffix(".tmp"));
    stem.is_some_and(|stem| stem.len() == 64 && stem.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

fn read_whole(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if length > LARGEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it has {length} bytes, which no event has"),
        ));
    }
    let mut content = Vec::new();
    file.take(LARGEST).read_to_end(&mut content)?;
    Ok(content)
}
