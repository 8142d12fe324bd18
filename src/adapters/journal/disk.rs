//! Calls of the local disk, off the async threads, and what their errors mean.

use std::fmt::Display;
use std::fs::File;
use std::io;
use std::path::Path;

use actors::fault::{Fault, FaultKind};

/// What is done about an error of the disk.
pub(super) fn fault(operation: &'static str, target: impl Display, error: io::Error) -> Fault {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FaultKind::NoRoom,
        io::ErrorKind::NotFound => FaultKind::Missing,
        io::ErrorKind::AlreadyExists
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem => FaultKind::Rejected,
        _ => FaultKind::Transient,
    };
    Fault::new(kind, operation, target, error)
}

/// Runs `work` on a blocking thread. Whoever stops waiting does not stop it: it ends, and what it returns is
/// dropped.
pub(super) async fn blocking<T: Send + 'static>(
    operation: &'static str,
    target: &impl Display,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| fault(operation, target, error)),
        Err(error) => Err(Fault::transient(operation, target, error)),
    }
}

/// Makes the entries of a directory durable.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
