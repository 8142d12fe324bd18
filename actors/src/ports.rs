//! What the core needs of the outside, as traits.
//!
//! The root package implements them with awc, rusoto, files and sled, `testkit` in memory; one conformance suite
//! runs over both. An adapter makes **one** attempt per call, with a time-out on the call and on every chunk of a
//! body; retries are the core's ([`crate::retry`]).

pub mod archive;
pub mod bucket;
pub mod dispatcher;
pub mod feed_times;
pub mod journal;
pub mod restore_state;
pub mod state;
pub mod suspects;
pub mod target;

pub use archive::Archive;
pub use bucket::{Bucket, ByteStream, ObjectInfo, PartTag, UploadId};
pub use dispatcher::{AnswerSink, Dispatcher, Pull, PullAnswer, PullFault};
pub use journal::{BatchFile, IncomingAnswer, Journal};
pub use restore_state::RestoreState;
pub use state::{Change, LocalState, StateFault};
pub use target::Target;
