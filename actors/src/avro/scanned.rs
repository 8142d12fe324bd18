//! What is known of a bulk once it has been walked over, and why it may not be.

use std::io;
use std::ops::Range;

use super::{BulkVersion, ModelVersion};
use crate::fault::Fault;
use crate::ports::state::{BatchContents, EventName};
use crate::timestamp::Timestamp;

/// Why a bulk could not be read, or a bundle not be written.
#[derive(Debug, thiserror::Error)]
pub enum BulkError {
    /// A journal file could not be read.
    #[error("the journal file cannot be read: {0}")]
    Read(io::Error),
    /// A journal file could not be opened.
    #[error("{0}")]
    Open(Fault),
    /// The bundle could not be written to where it goes.
    #[error("the bundle cannot be written: {0}")]
    Write(io::Error),
    /// The bytes are no such bulk; reading them again is of no use.
    #[error("the bulk is not understood, at byte {offset} of its file: {reason}")]
    NotUnderstood {
        /// Where in the file.
        offset: u64,
        /// What was found there.
        reason: String,
    },
    /// Events of an unknown version, or of different ones, were to be joined.
    #[error("bulks of these versions cannot be joined")]
    CannotJoin,
}

/// An event that breaks a rule, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidEvent {
    /// Its key in Kafka.
    pub kafka_key: String,
    /// The rule.
    pub reason: String,
}

/// What [`scan`](super::bulk::scan) found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// For the row of the batch.
    pub contents: BatchContents,
    /// When the first event happened; `None` if there is none, or if it cannot be told.
    pub first: Option<Timestamp>,
    /// The first invalid events, at most [`MOST_TOLD`].
    pub told: Vec<InvalidEvent>,
    /// Whether any event asks for a stream; true where that cannot be told.
    pub names_streams: bool,
    /// How many streams are asked for under names that cannot be used.
    pub malformed_streams: u64,
    /// Why a bulk of an unknown version is not what its first number claims to be (5 or 6), or where it stops
    /// making sense. Such a bulk may be damaged rather than newer.
    pub doubt: Option<String>,
}

/// How many invalid events are told one by one.
pub const MOST_TOLD: usize = 20;

pub(super) fn nothing(bulk: Range<u64>, received: Timestamp) -> Scanned {
    Scanned {
        contents: BatchContents {
            version: BulkVersion::Known(ModelVersion::V6),
            events: 0,
            invalid: 0,
            blocks: bulk.start..bulk.start,
            bulk,
            last: EventName {
                timestamp: received,
                kafka_key: String::new(),
            },
        },
        first: None,
        told: Vec::new(),
        names_streams: false,
        malformed_streams: 0,
        doubt: None,
    }
}
