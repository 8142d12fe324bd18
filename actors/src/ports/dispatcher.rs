//! The dispatcher: events in, binaries in.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::bucket::ByteStream;
use crate::fault::Fault;
use crate::feed::Feed;
use crate::stream_id::StreamId;

/// One request for the next events of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// What is pulled.
    pub feed: Feed,
    /// The name of the consumer; with the feed it selects the offsets in Kafka.
    pub consumer: String,
    /// Set for the backup itself, which Azul's autoscaling watches; not for samples and rechecks.
    pub deployment_key: Option<String>,
    /// How many events at most; 1 to 1000.
    pub count: u32,
    /// How long the dispatcher may collect. Sent in whole seconds, at least 1.
    pub deadline: Duration,
}

/// The head of an answer whose body has been handed over completely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullAnswer {
    /// The header, for its boundary; empty when there was none.
    pub content_type: String,
}

/// Where the body of an answer goes, chunk by chunk, as it comes in.
#[async_trait(?Send)]
pub trait AnswerSink {
    /// Takes the next chunk; the pull waits until it has been taken.
    ///
    /// # Errors
    /// A fault of the local disk; the pull then ends with [`PullFault::Suspect`].
    async fn take(&mut self, chunk: Bytes) -> Result<(), Fault>;
}

/// Why a pull brought nothing that could be journaled.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PullFault {
    /// A refused connection or a 4xx: the dispatcher took nothing from Kafka.
    #[error("{0}")]
    Refused(Fault),
    /// Anything else: events may have been taken from Kafka and lost on the way.
    #[error("{0}")]
    Suspect(Fault),
}

impl PullFault {
    /// What came back.
    pub fn fault(&self) -> &Fault {
        match self {
            Self::Refused(fault) | Self::Suspect(fault) => fault,
        }
    }
}

/// The dispatcher, one attempt per call.
#[async_trait(?Send)]
pub trait Dispatcher {
    /// Asks for the next events and hands the *raw* body of a 200 to `sink`. Returns after its last byte.
    ///
    /// The time-out on the head is `pull.deadline` plus 30 s. The future is never dropped by an orderly stop.
    ///
    /// # Errors
    /// See [`PullFault`].
    async fn pull(&self, pull: &Pull, sink: &mut dyn AnswerSink) -> Result<PullAnswer, PullFault>;

    /// Starts to download a stream at byte `from`. The [`ByteStream`]'s length counts from there.
    ///
    /// # Errors
    /// [`FaultKind::Missing`](crate::fault::FaultKind::Missing) for a 404 of the dispatcher's own (its body is
    /// JSON); a 404 of something in between, or a server that ignores the range, is a transient fault.
    async fn download(&self, stream: &StreamId, from: u64) -> Result<Box<dyn ByteStream>, Fault>;
}
