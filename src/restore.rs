//! The restore as the operator asks for it: settings, selection, and what is told of it.

mod last_scrape;
mod outside;
pub mod plan;
mod planning;
pub mod report;
pub mod resume;
pub mod retrying;
mod running;
pub mod wanted;

pub use wanted::Wanted;

use std::io;
use std::path::PathBuf;

use crate::exit::Exit;
use crate::settings::RestoreSettings;

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

/// Where large bundles are unpacked cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be used: {error}", .path.display())]
struct NoSpool {
    path: PathBuf,
    error: io::Error,
}

/// Where large bundles are unpacked; made if it is not there.
fn spool(settings: &RestoreSettings) -> Result<PathBuf, NoSpool> {
    let path = settings.local_data.join(FOLDER).join("spool");
    match std::fs::create_dir_all(&path) {
        Ok(()) => Ok(path),
        Err(error) => Err(NoSpool { path, error }),
    }
}
