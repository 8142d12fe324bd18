//! The restore: everything back, in the right order, from wherever it stopped.
//!
//! # The promise
//! 1. Streams before events, so that plugins that run on the restored events find their binaries; of the events
//!    first the feeds of `system`, one after the other, then all others side by side. Within a feed strictly from
//!    the oldest to the newest bundle, one at a time.
//! 2. A stream counts as restored only when the SHA-256 of what was sent is the one of its key, and the dispatcher
//!    says that it received the same.
//! 3. Every event of a bundle comes to a fate that is told: accepted, refused, filtered or dead-lettered
//!    ([`settling`]).
//! 4. What is permanently bad is a dead letter, and stops nothing; what is transient is retried, and when that is
//!    exhausted the restore stops with its checkpoints intact.
//! 5. A restart repeats at most what was in flight, and skips nothing: [`low_water`] for streams, the bundles done
//!    for events. At the end the bucket is listed once more, for what came into it meanwhile.
//!
//! # Memory
//! Listings are read page by page and never held: a source of streams in the order of its keys, a feed in the
//! order of time, for which it is enough to hold one second back ([`in_time_order`]).

mod bundle;
pub mod conductor;
pub mod feed;
pub mod halt;
pub mod in_time_order;
pub mod lane;
pub mod listed_key;
pub mod low_water;
pub mod plan;
pub mod progress;
mod publishing;
pub mod retrying;
pub mod selection;
pub mod settling;
pub mod source;
pub mod standing;
pub mod stream;
pub mod worker;
