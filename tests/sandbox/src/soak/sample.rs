//! What a process takes at one instant: its memory, its open files, and what its local state takes on the disk.

use std::io;
use std::path::Path;

/// One look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    /// How much of all events had been taken, from 0 to 1.
    pub(super) progress: f64,
    /// Resident memory in bytes.
    pub(super) resident: u64,
    /// Open files, sockets included.
    pub(super) files: u64,
    /// The sled database in bytes.
    pub(super) state: u64,
    /// Journaled batches and answers that come in, in bytes.
    pub(super) journal: u64,
}

impl Sample {
    /// Looks at a process whose local state lies in `root`; `None` if it has just ended.
    pub(super) fn of(pid: i32, root: &Path, progress: f64) -> Option<Self> {
        let proc = Path::new("/proc").join(pid.to_string());
        let status = std::fs::read_to_string(proc.join("status")).ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = resident.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(Self {
            progress,
            resident: kibibytes * 1024,
            files: std::fs::read_dir(proc.join("fd")).ok()?.count() as u64,
            state: size(&root.join("state")),
            journal: ["journal", "incoming", "aside"]
                .map(|name| size(&root.join(name)))
                .iter()
                .sum(),
        })
    }
}

/// The bytes of all files below a folder; files come and go meanwhile.
fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| {
        let found: io::Result<u64> = entry.metadata().map(|metadata| match metadata.is_dir() {
            true => size(&entry.path()),
            false => metadata.len(),
        });
        found.unwrap_or(0)
    });
    sizes.sum()
}
