//! The cases of a measurement, and what each may take.

use serde::Serialize;

use super::load::HUGE_AT_ONCE;

const MIB: u64 = 1024 * 1024;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Case {
    /// Backup of 2,000 binaries of 300 KB, one third incompressible.
    Binaries,
    /// Backup of 20 incompressible binaries of 100 MB.
    Large,
    /// Backup of 100,000 events without new streams.
    Events,
    /// Backup with 40 workers, each with a binary of 1 GiB.
    Huge,
    /// Backup of 52 feeds with answers of 100 MB at once.
    WideAnswers,
    /// Restore of 3,333 binaries of 300 KB, one third incompressible.
    RestoreBinaries,
    /// Restore of 20 incompressible binaries of 100 MB.
    RestoreLarge,
    /// Restore of 100,000 events.
    RestoreEvents,
    /// Restore of 100,000 binaries of 1 KB.
    RestoreSmall,
    /// Restore with 40 workers, each with a binary of 1 GiB.
    RestoreHuge,
}

impl Case {
    /// Whether a backup is restored, not made.
    pub fn restores(self) -> bool {
        match self {
            Self::Binaries | Self::Large | Self::Events | Self::Huge | Self::WideAnswers => false,
            Self::RestoreBinaries
            | Self::RestoreLarge
            | Self::RestoreEvents
            | Self::RestoreSmall
            | Self::RestoreHuge => true,
        }
    }

    /// Whether it is about binaries that are too large to wait for the end of all.
    pub(super) fn is_huge(self) -> bool {
        matches!(self, Self::Huge | Self::RestoreHuge)
    }

    pub(super) fn workers(self) -> usize {
        match self.is_huge() {
            true => HUGE_AT_ONCE,
            false => 20,
        }
    }

    /// The most memory, in bytes.
    pub(super) fn most_memory(self) -> u64 {
        match self.is_huge() {
            true => 256 * MIB - 1,
            false => 128 * MIB,
        }
    }

    /// Whether the bare work is done for comparison.
    pub(super) fn is_compared(self) -> bool {
        self.most_cpu().is_some() || self == Self::RestoreSmall
    }

    /// The most CPU time, as a multiple of that of the bare work.
    pub(super) fn most_cpu(self) -> Option<f64> {
        match self {
            Self::Binaries
            | Self::Large
            | Self::RestoreBinaries
            | Self::RestoreLarge
            | Self::RestoreEvents => Some(1.7),
            Self::Events => Some(2.5),
            // With so little content the two requests for each object are the work.
            Self::RestoreSmall => None,
            Self::Huge | Self::RestoreHuge | Self::WideAnswers => None,
        }
    }
}
