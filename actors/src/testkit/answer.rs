//! What the fake dispatcher answers to a pull.

use bytes::Bytes;

use super::gate::Gate;
use crate::fault::Fault;
use crate::ports::dispatcher::PullFault;

const BOUNDARY: &str = "5d0f1c3b7a9e4826";

/// One scripted answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(super) content_type: String,
    pub(super) chunks: Vec<Bytes>,
    pub(super) end: Option<PullFault>,
    pub(super) gate: Option<Gate>,
}

impl Answer {
    /// A bulk of `fetched` events, in the multipart that the dispatcher makes of it.
    pub fn events(fetched: u64, bulk: &[u8]) -> Self {
        Self::multipart(&format!(r#"{{"fetched":{fetched},"ready":true}}"#), bulk)
    }

    /// No events, from a dispatcher that is ready.
    pub fn empty() -> Self {
        Self::multipart(r#"{"ready":true}"#, b"")
    }

    /// No events, from a dispatcher that has no partitions yet.
    pub fn not_ready() -> Self {
        Self::multipart(r#"{"ready":false,"consumers_not_ready":"historic"}"#, b"")
    }

    /// A multipart with these two parts, byte for byte.
    pub fn multipart(info: &str, events: &[u8]) -> Self {
        let mut body = Vec::with_capacity(events.len() + info.len() + 512);
        for (name, content) in [("info", info.as_bytes()), ("events", events)] {
            body.extend_from_slice(
                format!(
                    "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}.json\"\r\n\
                     Content-Type: application/octet-stream\r\n\r\n"
                )
                .as_bytes(),
            );
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        Self::body(format!("multipart/form-data; boundary={BOUNDARY}"), body)
    }

    /// A body of any kind, in one chunk.
    pub fn body(content_type: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            content_type: content_type.into(),
            chunks: vec![body.into()],
            end: None,
            gate: None,
        }
    }

    /// The dispatcher took nothing from Kafka: a refused connection or a 4xx.
    pub fn refused(detail: &str) -> Self {
        Self::fault(PullFault::Refused(Fault::transient(
            "pull events",
            "fake",
            detail,
        )))
    }

    /// The dispatcher may have taken events: a 500, a time-out.
    pub fn suspect(detail: &str) -> Self {
        Self::fault(PullFault::Suspect(Fault::transient(
            "pull events",
            "fake",
            detail,
        )))
    }

    fn fault(fault: PullFault) -> Self {
        Self {
            content_type: String::new(),
            chunks: Vec::new(),
            end: Some(fault),
            gate: None,
        }
    }

    /// The body comes in chunks of `size` bytes.
    #[must_use]
    pub fn in_chunks(mut self, size: usize) -> Self {
        let whole: Vec<u8> = self.chunks.concat();
        self.chunks = whole.chunks(size).map(Bytes::copy_from_slice).collect();
        self
    }

    /// The connection breaks after `bytes` of the body.
    #[must_use]
    pub fn breaking_off_after(mut self, bytes: usize) -> Self {
        let mut whole: Vec<u8> = self.chunks.concat();
        whole.truncate(bytes);
        self.chunks = vec![whole.into()];
        let fault = Fault::transient("pull events", "fake", "the connection broke");
        self.end = Some(PullFault::Suspect(fault));
        self
    }

    /// Nothing is answered until `gate` opens.
    #[must_use]
    pub fn held(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }
}
