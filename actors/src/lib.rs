//! The core of azul-backup: what is backed up, in which order, and what survives a crash.
//!
//! The crate depends on actix for its actors and on nothing that speaks to the outside: the dispatcher, the
//! bucket and the local state are *ports* (traits in [`ports`]), which the root package implements with awc,
//! rusoto and sled, and which `testkit` implements in memory, with faults.
//!
//! # One picture
//! ```text
//!             dispatcher                                                   backup bucket
//!                │ pull (mark → answer → journal)          PUT bundle         ▲  ▲
//!                ▼                                             ┌──────────────┘  │ PUT stream
//!       EventBackupActor (one per feed) ── seal ──► [local state]                │
//!                │ NameStreams (durable as pending rows)                         │
//!                ▼                                                               │
//!           HitCacheActor ── StoreStream ──► StreamWorker × N (SyncArbiter) ─────┘
//!                ▲                                │ download · hash · gzip · upload
//!                └──────── StreamOutcome ◄────────┘  (Stored | Missing | Failed)
//!       SupervisorActor: starts, watches, ends them in stages
//! ```
//!
//! # The promise
//! Facts are durable before anything is built on them; a crash forgets claims, never facts:
//! 1. Before a pull is sent, its *mark* is durable. The answer goes to a file as it comes in, the file is made
//!    durable, then a row names it and the mark goes. Only then is the next batch asked for.
//! 2. The streams that a batch names become *pending* rows before the batch can leave the journal, and leave
//!    local state only when they are safe in the bucket (or known to be missing).
//! 3. A bundle is *sealed* (its key and its members are durable) before it is written; after the write its
//!    batches leave the journal: file first, row after.
//!
//! Whatever was interrupted is repeated from these facts at the next start. Repeating is allowed, losing is not.
//!
//! # Where to look
//! | question | place |
//! | --- | --- |
//! | What is an object called? | [`object_key`] |
//! | How is an event read without decoding it? | [`avro`] |
//! | When is the next pull, and with which deadline? | [`event_backup`] |
//! | Why was a stream skipped? | [`hit_cache`] |
//! | How does a binary get into the bucket? | [`stream_worker`] |
//! | In what order does it end? | [`supervisor`] |
//! | What survives a crash? | [`ports::state`], [`ports::journal`], [`ports::restore_state`] |
//! | How does everything come back? | [`restore`] |
//! | What does it show of itself? | [`board`] |

pub mod avro;
pub mod board;
pub mod encryption;
pub mod event_backup;
pub mod fault;
pub mod fault_point;
pub mod feed;
pub mod gzip;
pub mod hit_cache;
pub mod journal_room;
pub mod memory_budget;
pub mod object_key;
pub mod object_writer;
pub mod path_segment;
pub mod patient_state;
pub mod ports;
pub mod pull_answer;
pub mod restore;
pub mod retry;
pub mod statistics;
pub mod stop;
pub mod stream_id;
pub mod stream_worker;
pub mod supervisor;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
pub mod timestamp;
pub mod upload_sweep;
mod workbench;

/// Sends a message that nobody waits for. A mailbox that is full takes it all the same: such messages are few, and
/// none may be lost. One that is closed belongs to an actor that is gone.
pub(crate) fn post<M>(to: &actix::Recipient<M>, message: M)
where
    M: actix::Message + Send,
    M::Result: Send,
{
    use actix::prelude::SendError;
    match to.try_send(message) {
        Ok(()) => {}
        #[expect(clippy::disallowed_methods, reason = "this is post()")]
        Err(SendError::Full(message)) => to.do_send(message),
        Err(SendError::Closed(_)) => log::error!("an actor is gone; a message to it was lost"),
    }
}
