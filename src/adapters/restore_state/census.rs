//! How many rows there are of each kind; see [`Ledger::check`](crate::adapters::state::ledger::Ledger::check).

use actors::ports::state::StateFault;
use serde::{Deserialize, Serialize};

/// The number of rows of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub(super) restores: u64,
    pub(super) lanes: u64,
    pub(super) bundle_rows: u64,
    pub(super) letters: u64,
}

impl Counts {
    /// Makes sure that nothing is gone since this was written down.
    pub(super) fn check(&self, found: &Self) -> Result<(), StateFault> {
        let gone: Vec<String> = [
            ("restores", self.restores, found.restores),
            ("lanes", self.lanes, found.lanes),
            ("rows of done bundles", self.bundle_rows, found.bundle_rows),
            ("dead letters", self.letters, found.letters),
        ]
        .into_iter()
        .filter(|(_, then, now)| then != now)
        .map(|(kind, then, now)| format!("; {kind}: {now} of {then}"))
        .collect();
        match gone.is_empty() {
            true => Ok(()),
            false => Err(StateFault::Broken(format!(
                "rows are gone since it was closed{}",
                gone.concat()
            ))),
        }
    }
}
