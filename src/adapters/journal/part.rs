//! A file that is being received, without its name yet.
//!
//! Bytes are written at positions that are counted here, so that a write that found no room goes on at the byte it had
//! come to, and neither repeats nor skips any.
//!
//! A sync that fails may cost what it was asked to sync: the system drops it from its memory. So a full disk is met
//! before that, while the caller still has the bytes: room is taken for them before they are written; where that
//! cannot be done, they are synced at once. After a sync that failed all the same, the bytes are read back, compared
//! with their checksum and written once more; if they are not what they were, that is said.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use actors::fault_point::{FaultPoint, try_pass};
use actors::ports::journal::BatchFile;

use super::disk::sync_directory;
use super::layout::Layout;
use super::medium::Medium;
use actors::fault::is_no_room;

#[cfg(test)]
mod tests;

/// What is read back at once.
const BLOCK: usize = 256 * 1024;

/// The least that room is taken for, if there is none for more.
const LEAST: usize = 4096;

/// Dropped, it is gone; unless the disk held it up, or it has been given its name.
pub(super) struct Part {
    layout: Arc<Layout>,
    batch: BatchFile,
    path: PathBuf,
    /// Whether `path` is one under which the next start keeps it.
    bears_held_name: bool,
    file: Box<dyn Medium>,
    /// Whether room can be taken before bytes are written; if not, they are synced as they are.
    takes_room: bool,
    length: u64,
    checksum: crc32fast::Hasher,
    /// A sync has failed since the last that did not.
    is_doubtful: bool,
    /// What can be read back is not what was written.
    is_damaged: bool,
    is_synced: bool,
    /// The directory in which it has its name.
    named_in: Option<PathBuf>,
    /// Why it is to be kept even if it never becomes whole: it came in, and the disk did not take it.
    held_up: Option<String>,
}

impl Part {
    pub(super) fn create(layout: &Arc<Layout>, batch: &BatchFile) -> io::Result<Self> {
        let path = layout.part(batch);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).open(&path)?;
        Ok(Self::on(Box::new(file), path, layout, batch))
    }

    fn on(file: Box<dyn Medium>, path: PathBuf, layout: &Arc<Layout>, batch: &BatchFile) -> Self {
        Self {
            layout: Arc::clone(layout),
            batch: batch.clone(),
            path,
            bears_held_name: false,
            file,
            takes_room: true,
            length: 0,
            checksum: crc32fast::Hasher::new(),
            is_doubtful: false,
            is_damaged: false,
            is_synced: false,
            named_in: None,
            held_up: None,
        }
    }

    /// Writes as much of `bytes` as the disk has room for, and says how much that was. What it has not said so of, the
    /// caller has to keep.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.try_write(bytes) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                self.checksum.update(&bytes[..written]);
                self.length += written as u64;
                Ok(written)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = self.take_room(bytes.len())?;
        let written = self.file.write_at(&bytes[..most], self.length)?;
        if !self.takes_room {
            self.file.sync_data()?;
        }
        Ok(written)
    }

    /// How many of `length` bytes there is room for.
    fn take_room(&mut self, length: usize) -> io::Result<usize> {
        let mut most = length;
        while self.takes_room {
            match self.file.take_room(self.length, most as u64) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::Unsupported => self.takes_room = false,
                Err(error) if is_no_room(&error) && most > LEAST => most = (most / 2).max(LEAST),
                Err(error) => return Err(error),
            }
        }
        Ok(most)
    }

    /// Makes it durable under its name; goes on where the last attempt ended.
    pub(super) fn keep(&mut self) -> io::Result<()> {
        if !self.is_synced {
            try_pass(FaultPoint::AnswerWritten)?;
            self.sync()?;
            self.is_synced = true;
        }
        try_pass(FaultPoint::AnswerSynced)?;
        let directory = match &self.named_in {
            Some(directory) => directory.clone(),
            None => self.layout.adopt(&self.path, &self.batch)?,
        };
        self.named_in = Some(directory.clone());
        try_pass(FaultPoint::AnswerRenamed)?;
        sync_directory(&directory)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.is_doubtful {
            self.write_again()?;
        }
        self.is_doubtful = true;
        self.file.sync_data()?;
        self.is_doubtful = false;
        Ok(())
    }

    fn write_again(&mut self) -> io::Result<()> {
        let (mut block, mut at, mut checksum) = (vec![0; BLOCK], 0, crc32fast::Hasher::new());
        while at < self.length {
            let most = usize::try_from(self.length - at).unwrap_or(BLOCK).min(BLOCK);
            let block = &mut block[..most];
            if let Err(error) = self.file.read_exact_at(block, at) {
                self.is_damaged = true;
                return Err(error);
            }
            checksum.update(block);
            self.write_all_at(block, at)?;
            at += most as u64;
        }
        if checksum.finalize() == self.checksum.clone().finalize() {
            return Ok(());
        }
        self.is_damaged = true;
        let text = "what was written is not what can be read back";
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }

    fn write_all_at(&self, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.write_at(bytes, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => (bytes, at) = (&bytes[written..], at + written as u64),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// From now on it is put aside if it never becomes whole; if the program ends first, by the next start.
    /// Called again, it makes up for what failed the last time.
    pub(super) fn hold_up(&mut self, why: &str) {
        let is_first = self.held_up.is_none();
        self.held_up.get_or_insert_with(|| why.to_owned());
        if self.named_in.is_some() || self.bears_held_name {
            return;
        }
        match self.layout.hold_up(&self.path, &self.batch) {
            Ok(path) => (self.path, self.bears_held_name) = (path, true),
            Err(error) if is_first => {
                log::warn!(error:% = error; "{} is lost if the program ends now: {error}", self.path.display());
            }
            Err(_as_before) => {}
        }
    }

    /// Whether it has the name under which the next start adopts it, be that durable or not.
    pub(super) fn has_its_name(&self) -> bool {
        self.named_in.is_some()
    }

    /// Whether a sync has failed, so that what came in may not be what is on the disk.
    pub(super) fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }

    pub(super) fn is_held_up(&self) -> bool {
        self.held_up.is_some()
    }

    /// Moves it to where an operator finds it, and says where that is.
    pub(super) fn put_aside(&mut self, reason: &str) -> io::Result<PathBuf> {
        let place = self.layout.put_part_aside(&self.path, &self.batch, reason)?;
        self.held_up = None;
        Ok(place)
    }

    fn is_gone(&self) -> bool {
        !self.path.exists()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.named_in.is_some() || self.is_gone() {
            return;
        }
        let Some(why) = self.held_up.take() else {
            if let Err(error) = fs::remove_file(&self.path) {
                log::warn!(error:% = error; "{} is left until the next start: {error}", self.path.display());
            }
            return;
        };
        let what = match (self.is_damaged, self.is_doubtful) {
            (true, _) => "damaged: what was written is not what can be read back",
            (false, true) => "perhaps damaged, for the disk has failed to keep it",
            (false, false) => "not whole",
        };
        let reason = format!("{what}, {} bytes came in: {why}", self.length);
        match self.put_aside(&reason) {
            Ok(place) => log::error!(
                feed:% = self.batch.feed, error:% = reason; "feed {}: an answer could not be journaled ({reason}); it is kept at {}: keep it, and report it",
                self.batch.feed,
                place.display()
            ),
            Err(error) => log::error!(
                feed:% = self.batch.feed, error:% = reason; "feed {}: an answer could not be journaled ({reason}), nor put aside: {error}; it is at {} until the \
                 next start",
                self.batch.feed,
                self.path.display()
            ),
        }
    }
}
