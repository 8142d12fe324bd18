//! Local state in sled: rows that survive kill -9, a full disk and whatever else ends the process.
//!
//! # The promise
//! * What [`LocalState::record`](actors::ports::LocalState::record) has acknowledged is on disk: written, and the log of sled synced.
//! * The rows of one change are written in an order in which every prefix can be finished: `mend` does so at the
//!   next start. Changes take effect in the order in which they are recorded.
//! * State that cannot be read is never taken for empty: see [`OpenError`]. Rows that sled has lost from a damaged file
//!   without a word are missed at the next start: all that something depends on after an orderly end, the latest after any.
//! * The database takes a few MiB, and about twice its rows where there are many; what a peak of rows took is given
//!   back while the program works on.
//! * A full disk is [`StateFault::Full`](actors::ports::StateFault::Full), after the reserve of the
//!   [`Volume`] has been used; as soon as there is room again, so is local state. Reads do
//!   not wait for it to be opened again: they are told `Full` meanwhile.
//!
//! # How
//! One thread of its own (`writer`) makes all changes: it takes what has been asked for meanwhile, writes it row
//! by row, syncs once, and answers all (group commit). Reads come from any thread, and may see a change a little
//! before it is durable.
//!
//! sled 0.34 has ways of its own, all of them seen: many concurrent `flush_async` deadlock, large batches and large
//! values leave garbage for ever, other garbage is collected by the clock and by default more slowly than it is made, long
//! stretches without a flush may hang, and after a full disk every call fails until the database has been opened
//! again. So there is one blocking flush from one place, single calls of small rows, a collection that keeps pace with
//! the writer, a flush every 1000 rows at the latest, and a database that the writer can reopen.

mod cached;
mod census;
pub(super) mod changes;
pub(super) mod keys;
pub(super) mod ledger;
mod lock;
mod mend;
pub(super) mod open;
pub(super) mod recorder;
pub(super) mod rows;
pub(super) mod streams;
pub(super) mod table;
pub(super) mod writer;

#[cfg(test)]
pub(super) mod test_table;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use super::volume::Volume;
pub(super) use lock::{Lock, NoLock};
pub use open::OpenError;
pub use recorder::Recorder;
pub use table::SledTable;

/// Local state in a sled database.
pub type SledState = Recorder<SledTable>;

impl SledState {
    /// Whether there is a state below `root`, or at least something in its place.
    ///
    /// # Errors
    /// It is not local state, or its directory cannot be read.
    pub fn is_there(root: &Path) -> Result<bool, OpenError> {
        open::is_there(root)
    }

    /// Opens the state below `root`, or begins one where there has never been any, and finishes what a crash has
    /// interrupted. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`]: their texts are for operators.
    pub fn open(root: &Path) -> Result<Self, OpenError> {
        Self::open_on(Volume::with(root, 0, 0), root)
    }

    /// As [`SledState::open`], with the reserve of a volume, which is used where there is no room, and made where
    /// there is.
    ///
    /// # Errors
    /// See [`SledState::open`].
    pub fn open_on(volume: Arc<Volume>, root: &Path) -> Result<Self, OpenError> {
        let opened = match Self::open_once(&volume, root) {
            Err(OpenError::Full { .. }) if volume.lend() => Self::open_once(&volume, root),
            opened => opened,
        }?;
        volume.hold();
        Ok(opened)
    }

    fn open_once(volume: &Arc<Volume>, root: &Path) -> Result<Self, OpenError> {
        let (store, table) = open::open(root, Arc::clone(volume))?;
        Recorder::start(Box::new(store), table).map_err(|fault| OpenError::of(fault, root))
    }
}
