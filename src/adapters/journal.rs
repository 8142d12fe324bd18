//! The journal's files on the local disk.
//!
//! # The promise
//! * What [`IncomingAnswer::keep`] has acknowledged is on disk under its name:
//!   written, fdatasync, renamed, its directory synced. Before, there is nothing under that name; a file is never
//!   written over.
//! * An answer costs nothing before its first byte. All answers together hold at most [`BUFFERS`] in memory: one that
//!   finds no buffer free writes each chunk as it comes, and so never waits for another.
//! * Where the disk has no room, an answer waits and goes on when there is some; no new one is begun below the floor of
//!   the [`Volume`]. What has come in is never thrown away for want of room.
//! * What is not of the journal is left alone: reported, never deleted, never followed if it is a symbolic link.
//!
//! ```text
//! {root}/journal/{source}/{model}/{action}/{seq}-{received, µs}.answer
//! {root}/incoming/*.part      being received; what a crash leaves goes at the next start
//! {root}/incoming/*.held      being received, and held up by the disk: the next start puts it aside
//! {root}/aside/{source}/…     not understood, not readable, or not whole because the disk had no room; beside each a
//!                             text that says why
//! {root}/journal.lock         held by the process that uses the journal
//! ```
//! Received files are not below `journal/`, where any name may be the name of a source.
//!
//! Everything that blocks is done on the runtime's blocking threads, one block of at most 256 KiB at a time.

mod disk;
mod incoming;
mod layout;
mod medium;
mod part;

use std::path::Path;
use std::sync::Arc;

use actors::fault::Fault;
use actors::memory_budget::MemoryBudget;
use actors::ports::journal::{BatchFile, IncomingAnswer, Journal, JournalOpener, ReadSeek};
use async_trait::async_trait;

use super::state::{Lock, NoLock};
use super::volume::Volume;
use disk::blocking;
use incoming::IncomingFile;
use layout::Layout;

/// What all answers that are being received may hold in memory, in bytes.
pub const BUFFERS: u64 = 16 * 1024 * 1024;

/// Files of received answers below a root directory.
pub struct FileJournal {
    layout: Arc<Layout>,
    volume: Arc<Volume>,
    buffers: MemoryBudget,
    /// Dropped with the journal: files that are being received do not hold it.
    _lock: Lock,
}

impl FileJournal {
    /// Opens the journal below `root`, and removes what an earlier start had begun to receive. Blocks.
    ///
    /// # Errors
    /// Another process has it, or the directory cannot be used.
    pub fn open(root: &Path) -> Result<Self, Fault> {
        Self::with_buffers(root, BUFFERS)
    }

    /// As [`FileJournal::open`], on a volume that is shared with local state.
    ///
    /// # Errors
    /// See [`FileJournal::open`].
    pub fn open_on(volume: Arc<Volume>, root: &Path) -> Result<Self, Fault> {
        Self::with(volume, root, BUFFERS)
    }

    /// As [`FileJournal::open`], with another bound on the memory of all answers together, in bytes.
    ///
    /// # Errors
    /// See [`FileJournal::open`].
    pub fn with_buffers(root: &Path, bytes: u64) -> Result<Self, Fault> {
        Self::with(Volume::with(root, 0, 0), root, bytes)
    }

    fn with(volume: Arc<Volume>, root: &Path, bytes: u64) -> Result<Self, Fault> {
        const OPERATION: &str = "open journal";
        let faulty = |error| disk::fault(OPERATION, root.display(), error);
        std::fs::create_dir_all(root).map_err(faulty)?;
        let lock = Lock::take(&root.join("journal.lock")).map_err(|none| match none {
            NoLock::Held(_) => Fault::rejected(OPERATION, root.display(), "in use by another process"),
            NoLock::Unusable(error) => faulty(error),
        })?;
        let layout = Layout::new(root);
        layout.prepare().map_err(faulty)?;
        Ok(Self {
            layout: Arc::new(layout),
            volume,
            buffers: MemoryBudget::new(bytes),
            _lock: lock,
        })
    }

    /// The memory of answers that are being received.
    pub fn buffers(&self) -> &MemoryBudget {
        &self.buffers
    }
}

#[async_trait(?Send)]
impl Journal for FileJournal {
    async fn receive(&self, file: &BatchFile) -> Result<Box<dyn IncomingAnswer>, Fault> {
        let volume = Arc::clone(&self.volume);
        blocking("receive answer", &file.feed, move || volume.check_for_pull()).await?;
        let (layout, volume, buffers) = (self.layout.clone(), self.volume.clone(), self.buffers.clone());
        Ok(Box::new(IncomingFile::new(layout, volume, buffers, file.clone())))
    }

    fn open(&self, file: &BatchFile) -> Result<Box<dyn ReadSeek>, Fault> {
        Layout::open(&self.layout, file)
    }

    fn opener(&self) -> Arc<dyn JournalOpener> {
        self.layout.clone()
    }

    /// Without a sync of the directory: a file that a power cut brings back is found without a row, adopted and
    /// backed up once more, which is allowed.
    async fn remove(&self, file: &BatchFile) -> Result<(), Fault> {
        let (layout, file) = (self.layout.clone(), file.clone());
        let target = file.feed.clone();
        blocking("remove answer", &target, move || layout.remove(&file)).await
    }

    async fn put_aside(&self, file: &BatchFile, reason: &str) -> Result<String, Fault> {
        let (layout, file, reason) = (self.layout.clone(), file.clone(), reason.to_owned());
        let target = file.feed.clone();
        let place = blocking("put answer aside", &target, move || {
            layout.put_aside(&file, &reason)
        })
        .await?;
        Ok(place.display().to_string())
    }

    async fn bytes_aside(&self) -> Result<u64, Fault> {
        let layout = self.layout.clone();
        blocking("measure answers put aside", &"aside", move || {
            layout.bytes_aside()
        })
        .await
    }

    fn files(&self) -> Result<Vec<(BatchFile, u64)>, Fault> {
        let files = self.layout.files();
        files.map_err(|error| disk::fault("list journal", self.layout.journal().display(), error))
    }
}

impl JournalOpener for Layout {
    fn open(&self, file: &BatchFile) -> Result<Box<dyn ReadSeek>, Fault> {
        let opened = self.open_file(file);
        let opened = opened.map_err(|error| disk::fault("open answer", self.path(file).display(), error))?;
        Ok(Box::new(opened))
    }
}
