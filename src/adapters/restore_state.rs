//! Local state of a restore in sled, beside that of the backup and with the same guarantees ([`super::state`], whose
//! writer, groups, locks and mending at a start these are).
//!
//! # The promise
//! * What has been recorded is on disk. Every change is one row that counts: a crash leaves all of it or nothing.
//! * A restore that is finished, or begun from the start, is never taken up again: its checkpoints hang on the number
//!   of its run, and the one row that tells the number goes first. What then belongs to no run is cleared away, by the
//!   next start if need be.
//! * Memory does not grow with what has been restored. Done bundles lie in rows of up to 32, in the order of time, of
//!   which one is read for a look and one is written for a bundle (`bundles`); on disk one takes some 100 bytes.
//! * The event of a dead letter is a file of its own, for sled never gives back the room of large values. The file is
//!   durable before the row that needs it, and goes after it; a file that no row needs goes at a start. Its name is a
//!   hash, never text from outside.
//!
//! ```text
//! {root}/state.lock, state/   as for the backup
//! {root}/dead-letters/        the events of dead letters
//! ```

mod bundles;
mod census;
mod checkpoints;
mod keys;
mod letter_files;
mod letters;
mod recorder;
mod rows;

#[cfg(test)]
mod tests;

use std::path::Path;

use actors::ports::restore_state::DeadLetter;
use actors::ports::state::StateFault;
use bytes::Bytes;

use super::state::OpenError;
use super::state::open;
use super::state::table::SledTable;
use super::volume::Volume;

use letter_files::LetterFiles;
pub use recorder::RestoreRecorder;

/// Local state of a restore in a sled database.
pub type SledRestoreState = RestoreRecorder<SledTable>;

const FRESH_START: &str = "restore the directory `state` from a copy, or move it away, and `dead-letters` with it, to begin \
                           anew: the next restore then starts from the beginning, which repeats work and loses \
                           nothing, but the list of dead letters is forgotten";

impl SledRestoreState {
    /// Whether there is a state below `root`, or at least something in its place.
    ///
    /// # Errors
    /// It is not local state, or its directory cannot be read.
    pub fn is_there(root: &Path) -> Result<bool, OpenError> {
        open::is_there(root).map_err(|error| error.advising(FRESH_START))
    }

    /// Opens the state below `root`, or begins one where there has never been any, and finishes what a crash has
    /// interrupted. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`]: their texts are for operators.
    pub fn open(root: &Path) -> Result<Self, OpenError> {
        let opened = || {
            let (store, table) = open::open(root, Volume::with(root, 0, 0))?;
            Self::start(Box::new(store), table, root).map_err(|fault| OpenError::of(fault, root))
        };
        opened().map_err(|error| error.advising(FRESH_START))
    }

    /// The event that is kept with a letter of the state below `root`, whoever works on that state: the file is beside
    /// it. Blocks.
    ///
    /// # Errors
    /// It is not there, or is not what was kept.
    pub fn event_beside(root: &Path, letter: &DeadLetter) -> Result<Bytes, StateFault> {
        LetterFiles::below(root).read(&keys::letter(letter))
    }
}
