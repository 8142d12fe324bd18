//! A command over local state: what it prints is kept until it has let go of the state.
//!
//! While a command has the state open no backup can start. So it waits for nobody meanwhile, least of all for a pager: all
//! that it prints goes to a file without a name first, a little of it to memory.

use std::io::{self, Seek, Write};
use std::path::Path;

use super::state_access::{NoAccess, StateAccess};
use super::{CommandFault, ended};
use crate::exit::Exit;
use crate::settings::StateSettings;

/// Bytes of output that are kept in memory; more goes to the directory of local state, which is there and large enough
/// for far more rows than these.
const IN_MEMORY: usize = 4 * 1024 * 1024;

/// Reaches the state, does `act`, lets go of the state, and prints what `act` has written.
pub(super) fn run(
    settings: &StateSettings,
    reach: impl FnOnce(&Path) -> Result<StateAccess, NoAccess>,
    act: impl FnOnce(&StateAccess, &mut dyn Write) -> Result<Exit, CommandFault>,
) -> Exit {
    ended(print(settings, reach, act))
}

fn print(
    settings: &StateSettings,
    reach: impl FnOnce(&Path) -> Result<StateAccess, NoAccess>,
    act: impl FnOnce(&StateAccess, &mut dyn Write) -> Result<Exit, CommandFault>,
) -> Result<Exit, CommandFault> {
    let access = reach(&settings.local_data)?;
    let mut kept = tempfile::spooled_tempfile_in(IN_MEMORY, &settings.local_data);
    let done = act(&access, &mut kept);
    let closed = access.close();
    let exit = done?;
    closed?;
    kept.rewind()?;
    let mut out = io::stdout().lock();
    io::copy(&mut kept, &mut out)?;
    out.flush()?;
    Ok(exit)
}
