//! Lists what a restore could not put back, and exports it.
//!
//! The list is read and written page by page: however long it is, little of it is in memory; of events there is one at a
//! time. The events are read from the files beside the state, whoever works on it.

mod export;
mod listing;

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use actors::ports::restore_state::DeadLetter;

use super::CommandFault;
use super::state_access::StateAccess;
use crate::cli::DeadLetters;
use crate::exit::Exit;
use crate::settings::StateSettings;
use export::Export;
use listing::{Listing, Row};

/// Lists, and exports if that is asked for.
pub fn run(settings: &StateSettings, wanted: &DeadLetters) -> Exit {
    let local_data = settings.local_data.clone();
    super::on_state::run(settings, StateAccess::of_restore, |access, out| {
        list(access, local_data, wanted, out)
    })
}

/// Whether the command is about this letter.
pub(crate) fn is_wanted(wanted: &DeadLetters, letter: &DeadLetter) -> bool {
    let source = letter.key.split('/').next().unwrap_or_default();
    wanted.source.is_empty() || wanted.source.iter().any(|name| name.as_str() == source)
}

fn list(
    access: &StateAccess,
    local_data: PathBuf,
    wanted: &DeadLetters,
    out: &mut dyn Write,
) -> Result<Exit, CommandFault> {
    let mut out = BufWriter::new(out);
    let mut listing = Listing::new(wanted.json);
    let root = local_data.join("restore");
    let mut export = match &wanted.out {
        Some(folder) => Some(Export::begin(folder, root)?),
        None => None,
    };
    let mut after = None;
    loop {
        let mut page = access.letters_after(after)?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        page.retain(|(_, letter)| is_wanted(wanted, letter));
        let rows: Vec<Row> = page.iter().map(|(_, letter)| Row::of(letter)).collect();
        for ((_, letter), row) in page.iter().zip(&rows) {
            if let Some(export) = &mut export {
                export.letter(letter, row)?;
            }
        }
        listing.page(&rows, &mut out)?;
    }
    let exported = export.map(Export::end).transpose()?;
    listing.end(exported.as_ref(), &mut out)?;
    out.flush()?;
    Ok(match exported {
        Some(exported) if exported.unreadable > 0 => Exit::Failed,
        _ => Exit::Done,
    })
}
