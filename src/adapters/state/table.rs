//! One ordered table of small rows, as sled keeps it; a trait, so that tests can break it anywhere.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use actors::ports::state::StateFault;

use actors::fault::is_no_room;

/// A key and its value.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// An ordered table. What is written is visible at once, durable after [`Table::flush`], and if a crash loses any
/// of it, then only from some write on.
pub trait Table: Send + Sync + 'static {
    /// The value of a key.
    ///
    /// # Errors
    /// See [`StateFault`]; here and below.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateFault>;

    /// Writes a row.
    ///
    /// # Errors
    /// The row may be there or not.
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StateFault>;

    /// Removes a row and says whether there was one.
    ///
    /// # Errors
    /// The row may be there or not.
    fn remove(&self, key: &[u8]) -> Result<bool, StateFault>;

    /// The rows from the first key up to, and without, the second, read as the iterator goes.
    fn range(
        &self,
        range: (Vec<u8>, Vec<u8>),
    ) -> Box<dyn DoubleEndedIterator<Item = Result<KeyValue, StateFault>> + '_>;

    /// Makes everything durable that was written before. Blocks.
    ///
    /// # Errors
    /// What was written since the last flush may be durable or not.
    fn flush(&self) -> Result<(), StateFault>;
}

/// What opens the table, and opens it again after the disk was full.
pub trait Store: Send {
    /// What is opened.
    type Table: Table;

    /// Opens the table; no other handle of it exists.
    ///
    /// # Errors
    /// See [`StateFault`].
    fn open(&mut self) -> Result<Self::Table, StateFault>;

    /// Notes outside of the table how far it has come, now that this is durable in there; what the table shows
    /// at a later start must not be less. Costs no sync: a note that a power cut takes back is an older note.
    fn note(&mut self, start: u64, commit: u64);

    /// Makes room for the table on a disk that is full, if it can.
    fn make_room(&mut self) -> bool;

    /// How long is waited between two times that the table is opened again.
    fn rest(&self) -> Duration {
        Duration::from_secs(2)
    }
}

/// Most that sled may use for cached pages. Rows are read and written once or twice; the log is what counts. With very
/// many rows sled takes more: it drops pages only when it has noted 64 accesses in one of 256 parts of its cache, so up
/// to 16,384 pages of a dozen rows stay, some 60 MiB, however small this is and however many rows there are.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;

/// How often, in milliseconds, sled looks for garbage. A look clears one segment of half a MiB, the one nearest to the
/// front of the file. With the 500 ms that sled takes by itself segments were filled faster than cleared: those further
/// back were never reached, each was kept by one or two rows that stay, and the file grew for as long as there was work.
/// At this pace it stays small however fast the writer is. A look also syncs the file: that costs little where
/// nothing was written.
const LOOK_FOR_GARBAGE_EVERY_MS: u64 = 50;

/// The default tree of a sled database.
pub struct SledTable(sled::Db);

impl SledTable {
    /// Opens the database in `directory`. sled panics over some kinds of damage: that is an error like any other.
    pub(super) fn open(directory: &Path) -> Result<Self, sled::Error> {
        let open = || {
            sled::Config::new()
                .path(directory)
                .cache_capacity(CACHE_BYTES)
                .flush_every_ms(Some(LOOK_FOR_GARBAGE_EVERY_MS))
                .open()
        };
        match catch_unwind(AssertUnwindSafe(open)) {
            Ok(opened) => opened.map(Self),
            Err(panic) => Err(sled::Error::ReportableBug(panic_text(panic.as_ref()))),
        }
    }

    /// Whether there is no row at all.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a text").to_owned()
}

/// What a failed call of an open database means.
pub fn fault(error: sled::Error) -> StateFault {
    match error {
        sled::Error::Io(error) if is_no_room(&error) => StateFault::Full(error.to_string()),
        other => StateFault::Broken(other.to_string()),
    }
}

impl Table for SledTable {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateFault> {
        let value = self.0.get(key).map_err(fault)?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StateFault> {
        self.0.insert(key, value).map(drop).map_err(fault)
    }

    fn remove(&self, key: &[u8]) -> Result<bool, StateFault> {
        self.0.remove(key).map(|value| value.is_some()).map_err(fault)
    }

    fn range(
        &self,
        (from, to): (Vec<u8>, Vec<u8>),
    ) -> Box<dyn DoubleEndedIterator<Item = Result<KeyValue, StateFault>> + '_> {
        let rows = self.0.range(from..to);
        Box::new(rows.map(|row| match row {
            Ok((key, value)) => Ok((key.to_vec(), value.to_vec())),
            Err(error) => Err(fault(error)),
        }))
    }

    fn flush(&self) -> Result<(), StateFault> {
        self.0.flush().map(drop).map_err(fault)
    }
}
