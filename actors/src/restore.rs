//! The restore: everything back, in the right order, from wherever it stopped.
//!
//! # One picture
//! ```text
//!        backup bucket                                                      dispatcher
//!             │ list, read                                                     ▲  ▲
//!             ▼                                                                │  │ publish, event by event
//!    SourceRestoreActor ── RestoreStream ──► RestoreWorker × N (SyncArbiter) ──┘  │ accounted for
//!    (one per source)  ◄────── Restored ───┘  read · gunzip · hash · upload       │
//!             │ marks, dead letters                                               │
//!             ▼                                                                   │
//!       [local state] ◄── bundles done, dead letters ── FeedRestoreActor ─────────┘
//!                                                       (one per feed)
//!       RestoreActor: who, in which order          SupervisorActor: watches, ends them in stages
//! ```
//!
//! # The promise
//! 1. Streams before events, so that plugins that run on the restored events find their binaries; of the events
//!    first the feeds of `system`, one after the other, then all others side by side. Within a feed strictly from
//!    the oldest to the newest bundle, one at a time ([`conductor`], [`feed`], [`in_time_order`]).
//! 2. A stream counts as restored only when the SHA-256 of what was sent is the one of its key, and the dispatcher
//!    says that it received the same ([`stream`]).
//! 3. Every event of a bundle comes to a fate that is told: accepted, refused, filtered or dead-lettered
//!    ([`settling`]).
//! 4. What is permanently bad is a dead letter, and stops nothing; what is transient is retried, and when that is
//!    exhausted the restore stops with its checkpoints intact ([`halt`]). Which of the two it is, where one object fails
//!    again and again, is shown by others ([`source`], [`feed`]).
//!    A dead letter is one until it is put back: by `dead-letters --retry` ([`retrying`]), or by a later restore between
//!    the same bucket and the same dispatcher.
//! 5. A restart repeats at most what was in flight, and skips nothing: [`low_water`] for streams, the bundles done
//!    for events. At the end the bucket is listed once more, for what came into it meanwhile.
//! 6. Nothing is counted twice, however often work is repeated: figures are durable together with what they count.
//!
//! # Memory
//! Listings are read page by page and never held: a source of streams in up to sixteen [`lane`]s, each in the order of
//! its keys; a feed in the order of time, for which it is enough to hold one second back. A stream is a few chunks, or
//! a megabyte where it is small enough to be unpacked at once; a bundle some megabytes, beyond which it lies in a file.

mod arrived;
pub mod both_forms;
mod bundle;
pub mod bundle_memory;
pub mod conductor;
pub mod feed;
mod first_look;
mod gunzip;
pub mod halt;
pub mod hashing;
pub mod in_time_order;
pub mod lane;
pub mod listed_key;
pub mod low_water;
pub mod named_streams;
pub mod plan;
pub mod progress;
mod publishing;
mod put_back;
pub mod retrying;
pub mod selection;
pub mod settling;
pub mod source;
pub mod standing;
pub mod stream;
#[cfg(test)]
mod test_ports;
pub mod worker;
