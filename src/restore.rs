//! The restore as the operator asks for it: settings, selection, and what is told of it.

mod outside;
pub mod plan;
mod planning;
pub mod report;
pub mod resume;
pub mod retrying;
mod running;
pub mod wanted;

pub use wanted::Wanted;

use crate::exit::Exit;

/// Below `LOCAL_DATA__ROOTDIR`: local state of restores.
const FOLDER: &str = "restore";

/// Restores what is wanted, or plans it.
pub fn run(wanted: Wanted, pretty: bool) -> Exit {
    for note in wanted.selection.notes() {
        log::warn!("{note}");
    }
    match wanted.plan {
        true => planning::run(&wanted),
        false => running::run(wanted, pretty),
    }
}
