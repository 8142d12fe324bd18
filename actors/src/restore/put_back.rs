//! What an earlier restore gave up, and this one has put back, is a dead letter no more. A letter goes *before* the mark,
//! or the row of the bundle, that says that the object is done: a crash between the two repeats the object, and no letter
//! of something that is back outlives the restore that put it back. Letters of other routes stay: there it is not back.

use super::halt::Halt;
use crate::ports::archive::Store;
use crate::ports::restore_state::{RestoreChange, RestoreState};

/// Settles the letters of an object that are back: `is_back` tells of its events, and with `None` of all of it.
pub(super) async fn settle(
    state: &dyn RestoreState,
    store: Store,
    key: &str,
    is_back: impl Fn(Option<u64>) -> bool,
) -> Result<(), Halt> {
    // Mostly there is none at all.
    if state.letter_count() == 0 {
        return Ok(());
    }
    for letter in state.letters_of(store, key)? {
        if is_back(letter.event) {
            log::info!(key:% = key; "{key} was a dead letter, and is put back");
            state.record(RestoreChange::LetterSettled(letter)).await?;
        }
    }
    Ok(())
}
