//! The backup, wired: adapters, actors and signals.

use crate::exit::Exit;
use crate::settings::Settings;

/// Runs the backup until it is told to stop, or cannot go on.
pub fn run(settings: Settings) -> Exit {
    log::error!(
        "there is no backup yet of the {} feeds that are set",
        settings.feeds().len()
    );
    Exit::Failed
}
