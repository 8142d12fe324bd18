//! What others see of a running program: metrics, health, status and a page for people.
//!
//! ```text
//!  actors ──► board (atomics, no locks across await) ──┐
//!  log ─────► recent remarks ──────────────────────────┼──► Snapshot ──► /metrics /status /readyz /
//!  local state, volume, the process itself ────────────┘
//! ```
//! The [`server`] lives on a thread of its own: whatever hangs elsewhere, it still answers, and says so.

pub mod board;
pub mod durations;
pub mod health;
pub mod metrics;
mod page;
pub mod remarks;
pub mod server;
pub mod snapshot;
pub mod usage;

use std::sync::Arc;

use self::snapshot::Snapshot;

/// Takes a snapshot. It waits for nobody, and may be called from any thread.
pub type Source = Arc<dyn Fn() -> Snapshot + Send + Sync>;
