//! Why the program ends, as the number that Kubernetes and scripts see.

use std::process::ExitCode;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: everything that was asked for was done; for a backup: it ended in good order after a signal; for a
    /// restore: all of it is back, and was verified.
    Done,
    /// 1: something failed; local state holds what is still to be done. A restore that was stopped, also by a
    /// signal, is one of these: the next start goes on.
    Failed,
    /// 2: the settings, or the command line, are of no use; nothing was started.
    BadSettings,
    /// 3: a restore that is finished, but something was dead-lettered or refused: starting it again does not help.
    Incomplete,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::BadSettings => 2,
            Self::Incomplete => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
