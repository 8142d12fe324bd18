//! A file that is being received, without its name yet.
//!
//! Bytes are written at positions that are counted here, so that a write that found no room goes on at the byte it had
//! come to, and neither repeats nor skips any. A sync that failed says nothing of what it had been asked to sync: the
//! bytes are written once more, compared with their checksum, before it is tried again.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use actors::fault_point::{FaultPoint, try_pass};
use actors::ports::journal::BatchFile;

use super::disk::sync_directory;
use super::layout::Layout;

/// What is read back at once.
const BLOCK: usize = 256 * 1024;

/// Dropped, it is gone; unless the disk held it up, or it has been given its name.
pub(super) struct Part {
    layout: Arc<Layout>,
    batch: BatchFile,
    path: PathBuf,
    file: File,
    length: u64,
    checksum: crc32fast::Hasher,
    /// A sync has failed since the last that did not.
    is_doubtful: bool,
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
        Ok(Self {
            layout: Arc::clone(layout),
            batch: batch.clone(),
            path,
            file,
            length: 0,
            checksum: crc32fast::Hasher::new(),
            is_doubtful: false,
            is_synced: false,
            named_in: None,
            held_up: None,
        })
    }

    /// Writes as much of `bytes` as the disk takes, and says how much that was.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.file.write_at(bytes, self.length) {
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

    fn write_again(&self) -> io::Result<()> {
        let (mut block, mut at, mut checksum) = (vec![0; BLOCK], 0, crc32fast::Hasher::new());
        while at < self.length {
            let most = usize::try_from(self.length - at).unwrap_or(BLOCK).min(BLOCK);
            self.file.read_exact_at(&mut block[..most], at)?;
            checksum.update(&block[..most]);
            self.file.write_all_at(&block[..most], at)?;
            at += most as u64;
        }
        if checksum.finalize() == self.checksum.clone().finalize() {
            return Ok(());
        }
        let text = "what was written is not what can be read back";
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }

    /// From now on it is put aside if it never becomes whole; if the program ends first, by the next start.
    pub(super) fn hold_up(&mut self, why: &str) {
        if self.held_up.is_some() {
            return;
        }
        self.held_up = Some(why.to_owned());
        if self.named_in.is_none() {
            match self.layout.hold_up(&self.path, &self.batch) {
                Ok(path) => self.path = path,
                Err(error) => log::warn!("{} is lost if the program ends now: {error}", self.path.display()),
            }
        }
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
                log::warn!("{} is left until the next start: {error}", self.path.display());
            }
            return;
        };
        let reason = format!("not whole, {} bytes came in: {why}", self.length);
        match self.put_aside(&reason) {
            Ok(place) => log::error!(
                "feed {}: an answer could not be journaled ({reason}); it is kept at {}: keep it, and report it",
                self.batch.feed,
                place.display()
            ),
            Err(error) => log::error!(
                "feed {}: an answer could not be journaled ({reason}), nor put aside: {error}; it is at {} until the \
                 next start",
                self.batch.feed,
                self.path.display()
            ),
        }
    }
}
