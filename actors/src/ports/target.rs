//! The dispatcher as restore writes to it.

use async_trait::async_trait;
use bytes::Bytes;

use super::archive::Store;
use super::bucket::ByteStream;
use crate::fault::Fault;
use crate::feed::Feed;
use crate::stream_id::{Sha256, StreamId};

/// An event that the dispatcher refused by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its Kafka key, where the answer tells it.
    pub kafka_key: Option<String>,
    /// Why.
    pub reason: String,
}

/// What the dispatcher says of a bulk; what it does *not* say is the caller's to find out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// 200.
    Took {
        /// `total_ok`.
        ok: u64,
        /// `total_failures`; `failures` may name fewer.
        failed: u64,
        /// `failures`.
        refused: Vec<Refused>,
    },
    /// 425 `…AllEventsFiltered`, or 425 of any other kind that lists filters: the sum over the counts in its list,
    /// 0 for an empty list.
    Filtered {
        /// How many events the list accounts for.
        accounted: u64,
        /// The detail, for people.
        detail: String,
    },
    /// 425 `ErrorStringEnumAllEventsAgedOffImmediately`: some from the front are older than the source keeps.
    AgedOff {
        /// The detail, for people.
        detail: String,
    },
    /// 422, 400 or 413: something in the bulk is not taken.
    NotTaken {
        /// Title and detail, for people.
        reason: String,
    },
    /// 500 that says how many were submitted, and of each of the others that it is the event's own fault: too large for
    /// Kafka, mostly. A 500 that gives words of Kafka or of its client is transient.
    NotProduced {
        /// Title and detail, for people.
        reason: String,
    },
}

/// What the dispatcher says that it received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The hash that it computed.
    pub sha256: Sha256,
    /// How many bytes.
    pub size: u64,
}

/// The dispatcher, one attempt per call.
#[async_trait(?Send)]
pub trait Target {
    /// Publishes one Avro bulk of events of `feed`, which the dispatcher gets to know by its model and by the name
    /// of the publisher; returns after Kafka has confirmed. Plugins pause. Repeating is safe.
    ///
    /// # Errors
    /// Transient: no answer, one that breaks off or is not what the dispatcher says, and every 5xx and 429. Rejected:
    /// any other status (401, 403, 404): the URL or the rights are wrong, not the events.
    async fn publish(&self, feed: &Feed, bulk: Bytes) -> Result<Published, Fault>;

    /// Uploads a binary, chunk by chunk as `content` gives it. If `content` fails, the request is broken off so that
    /// the dispatcher takes nothing for whole, and the fault of `content` is returned as it is.
    ///
    /// # Errors
    /// Corrupt: the dispatcher says that bytes and hash do not fit, or that there is no content. Transient and
    /// rejected as for [`Target::publish`]; a 200 with `errors` is transient.
    async fn upload(&self, stream: &StreamId, content: Box<dyn ByteStream>) -> Result<Received, Fault>;

    /// Whether it is the dispatcher that answers where this is sent to: streams, or events. Nothing is sent.
    ///
    /// # Errors
    /// Transient: no answer, or a 5xx. Any other: something answers that is no dispatcher.
    async fn probe(&self, sent: Store) -> Result<(), Fault>;

    /// Whether the dispatcher has the binary.
    ///
    /// # Errors
    /// It could not be asked; a web page is no answer. A 404 that is not the dispatcher's own cannot be told from one that is: callers that
    /// must know upload.
    async fn exists(&self, stream: &StreamId) -> Result<bool, Fault>;
}
