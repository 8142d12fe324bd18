//! What went wrong outside, told by what the caller does about it.

use std::time::Duration;
use std::{fmt, io};

/// What the caller does about a [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The other side does not work just now (time-out, connection, 5xx, 429): try again.
    Transient,
    /// What was asked for is not there (404).
    Missing,
    /// The other side will not have it, now or later (other 4xx): trying again is of no use.
    Rejected,
    /// What came is not what it should be (wrong hash, broken encoding).
    Corrupt,
    /// The multipart upload is not there any more, and there is no object of it either: somebody else has aborted
    /// it, as a process does that shares the bucket and was killed over the same key. To be begun anew.
    Lapsed,
    /// The local disk has no room: goes on by itself when there is.
    NoRoom,
    /// The program is being stopped.
    Cancelled,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Transient,
        Self::Missing,
        Self::Rejected,
        Self::Corrupt,
        Self::Lapsed,
        Self::NoRoom,
        Self::Cancelled,
    ];

    /// In one word, for figures.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Missing => "missing",
            Self::Rejected => "rejected",
            Self::Corrupt => "corrupt",
            Self::Lapsed => "lapsed",
            Self::NoRoom => "no-room",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One failed operation: what was tried, on what, and what came back. Carries no secret.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Fault {
    kind: FaultKind,
    operation: &'static str,
    target: String,
    detail: String,
    retry_after: Option<Duration>,
    attempts: u32,
    elapsed: Duration,
    whoever_asks: bool,
}

impl Fault {
    /// `operation` (such as `get stream`) on `target` (a key, or a URL without credentials) failed; `detail` is
    /// what came back.
    pub fn new(
        kind: FaultKind,
        operation: &'static str,
        target: impl fmt::Display,
        detail: impl fmt::Display,
    ) -> Self {
        Self {
            kind,
            operation,
            target: target.to_string(),
            detail: detail.to_string(),
            retry_after: None,
            attempts: 1,
            elapsed: Duration::ZERO,
            whoever_asks: false,
        }
    }

    /// See [`FaultKind::Transient`].
    pub fn transient(operation: &'static str, target: impl fmt::Display, detail: impl fmt::Display) -> Self {
        Self::new(FaultKind::Transient, operation, target, detail)
    }

    /// See [`FaultKind::Rejected`].
    pub fn rejected(operation: &'static str, target: impl fmt::Display, detail: impl fmt::Display) -> Self {
        Self::new(FaultKind::Rejected, operation, target, detail)
    }

    /// See [`FaultKind::Corrupt`].
    pub fn corrupt(operation: &'static str, target: impl fmt::Display, detail: impl fmt::Display) -> Self {
        Self::new(FaultKind::Corrupt, operation, target, detail)
    }

    /// See [`FaultKind::Missing`].
    pub fn missing(operation: &'static str, target: impl fmt::Display, detail: impl fmt::Display) -> Self {
        Self::new(FaultKind::Missing, operation, target, detail)
    }

    /// See [`FaultKind::Lapsed`].
    pub fn lapsed(operation: &'static str, target: impl fmt::Display, detail: impl fmt::Display) -> Self {
        Self::new(FaultKind::Lapsed, operation, target, detail)
    }

    /// See [`FaultKind::Cancelled`].
    pub fn cancelled(operation: &'static str, target: impl fmt::Display) -> Self {
        Self::new(
            FaultKind::Cancelled,
            operation,
            target,
            "the program is being stopped",
        )
    }

    /// What the other side asked to wait (`Retry-After`).
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// How often it was tried, and for how long in all.
    #[must_use]
    pub fn tried(mut self, attempts: u32, elapsed: Duration) -> Self {
        self.attempts = attempts;
        self.elapsed = elapsed;
        self
    }

    /// It says something of the other side as a whole, or of who asks (no such bucket, wrong keys, no rights), and
    /// nothing of what was asked for.
    #[must_use]
    pub fn of_whoever_asks(mut self) -> Self {
        self.whoever_asks = true;
        self
    }

    /// What to do about it.
    pub fn kind(&self) -> FaultKind {
        self.kind
    }

    /// What was tried.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// What came back.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// How long the other side asked to wait.
    pub fn wait(&self) -> Option<Duration> {
        self.retry_after
    }

    /// How often it was tried.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How long all attempts took.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Whether the other side does not work, just now or for who asks: whatever was asked for is none the worse for it.
    pub fn is_outage(&self) -> bool {
        self.is_transient() || self.whoever_asks
    }

    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        self.kind == FaultKind::Transient
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.operation, self.target, self.detail)?;
        if self.attempts > 1 {
            write!(
                f,
                " (gave up after {} attempts in {:.1?})",
                self.attempts, self.elapsed
            )?;
        }
        Ok(())
    }
}

/// Whether an error says that the disk, or a quota, is used up.
pub fn is_no_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
