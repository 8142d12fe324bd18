//! The journal's files: one per answer of the dispatcher, byte for byte as it came in.
//!
//! A file holds the *whole body* of a 200 (the multipart with its `info` and `events`), so that it explains
//! itself: what is found without a row at a start can be adopted, and what cannot be understood is not lost.
//! A file comes into being by write, fdatasync, rename and an fsync of its directory, and goes by unlink.

use std::io::{Read, Seek};

use async_trait::async_trait;

use super::dispatcher::AnswerSink;
use crate::fault::Fault;
use crate::feed::Feed;
use crate::timestamp::Timestamp;

/// The name of one file: its feed, and a number that rises in the order of receipt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct BatchFile {
    /// Whose events it holds.
    pub feed: Feed,
    /// Rises with every answer received, over all feeds and starts.
    pub seq: u64,
    /// When the answer was asked for.
    pub received: Timestamp,
}

/// What can be read and sought: an opened journal file.
pub trait ReadSeek: Read + Seek + Send {}

impl<T: Read + Seek + Send> ReadSeek for T {}

/// Why an answer is not known to be safe.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotKept {
    /// It is not in the journal: gone, or put aside.
    #[error("{0}")]
    Lost(Fault),
    /// It has its name in the journal, and may lose it if the power fails. The next start adopts it; in this one nobody
    /// may take it for safe, nor for lost.
    #[error("it is in the journal, but not known to be durable: {0}")]
    Doubtful(Fault),
}

impl NotKept {
    /// What went wrong.
    pub fn fault(&self) -> &Fault {
        let (Self::Lost(fault) | Self::Doubtful(fault)) = self;
        fault
    }
}

/// A file that is being received. Dropped without [`IncomingAnswer::keep`], it is gone, or put aside as by
/// [`IncomingAnswer::give_up`].
#[async_trait(?Send)]
pub trait IncomingAnswer: AnswerSink {
    /// Makes it durable under its final name; returns after the directory has been synced.
    ///
    /// A full disk is waited out.
    ///
    /// # Errors
    /// The disk is failing: the answer is *not* safe. See [`NotKept`].
    async fn keep(self: Box<Self>) -> Result<(), NotKept>;

    /// The answer broke off, for this reason. What came in of it goes, unless it was held up by a full disk: then it
    /// is put aside, for the disk and not the dispatcher may be why it broke off. Says where, and how many bytes.
    ///
    /// # Errors
    /// The disk is failing.
    async fn give_up(self: Box<Self>, reason: &str) -> Result<Option<(String, u64)>, Fault>;
}

/// Files of received answers.
#[async_trait(?Send)]
pub trait Journal {
    /// Opens the file of an answer that is about to come in. Costs nothing until the first byte.
    ///
    /// # Errors
    /// The disk is full ([`FaultKind::NoRoom`](crate::fault::FaultKind::NoRoom)) or failing: then nothing must be
    /// pulled.
    async fn receive(&self, file: &BatchFile) -> Result<Box<dyn IncomingAnswer>, Fault>;

    /// Opens a file for reading; blocking, for the blocking pool.
    ///
    /// # Errors
    /// The file is gone or cannot be read.
    fn open(&self, file: &BatchFile) -> Result<Box<dyn ReadSeek>, Fault>;

    /// A handle that opens files on another thread.
    fn opener(&self) -> std::sync::Arc<dyn JournalOpener>;

    /// Unlinks a file; one that is gone already counts as unlinked.
    ///
    /// # Errors
    /// The disk is failing.
    async fn remove(&self, file: &BatchFile) -> Result<(), Fault>;

    /// Moves a file out of the journal to where an operator finds it, and says where that is.
    ///
    /// # Errors
    /// The disk is failing; the file stays.
    async fn put_aside(&self, file: &BatchFile, reason: &str) -> Result<String, Fault>;

    /// Bytes of all that has been put aside, in this start and earlier ones, and not been taken away by an operator.
    ///
    /// # Errors
    /// The directory cannot be read.
    async fn bytes_aside(&self) -> Result<u64, Fault>;

    /// All files, oldest first per feed, with their lengths in bytes; at a start.
    ///
    /// # Errors
    /// The directory cannot be read.
    fn files(&self) -> Result<Vec<(BatchFile, u64)>, Fault>;
}

/// Opens journal files on any thread.
pub trait JournalOpener: Send + Sync {
    /// See [`Journal::open`].
    ///
    /// # Errors
    /// The file is gone or cannot be read.
    fn open(&self, file: &BatchFile) -> Result<Box<dyn ReadSeek>, Fault>;
}
