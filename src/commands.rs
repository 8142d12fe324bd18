//! One module per subcommand that is not a mode of the program.

pub mod dead_letters;
pub mod failed_streams;
pub mod get_samples;
mod on_state;
pub mod state_access;
pub mod suspect_pulls;

use std::io;
use std::path::PathBuf;

use crate::exit::Exit;
use state_access::NoAccess;

/// Why a command ended before its time.
#[derive(Debug, thiserror::Error)]
enum CommandFault {
    #[error(transparent)]
    Access(#[from] NoAccess),
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
    #[error("{} cannot be written: {error}", .path.display())]
    File { path: PathBuf, error: io::Error },
}

/// How the program ends; a reader that has gone (`| head`) is nothing to complain about.
fn ended(done: Result<Exit, CommandFault>) -> Exit {
    match done {
        Ok(exit) => exit,
        Err(CommandFault::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(fault) => {
            crate::tell(fault);
            Exit::Failed
        }
    }
}
