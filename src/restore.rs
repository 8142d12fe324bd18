//! The restore as the operator asks for it: settings, selection, and what is told of it.

mod outside;
pub mod plan;
pub mod report;
pub mod resume;
mod running;
pub mod wanted;

pub use wanted::Wanted;

use crate::exit::Exit;

/// Restores what is wanted, or plans it.
pub fn run(wanted: Wanted, pretty: bool) -> Exit {
    for note in wanted.selection.notes() {
        log::warn!("{note}");
    }
    running::run(wanted, pretty)
}
