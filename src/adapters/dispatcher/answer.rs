//! What the dispatcher answered, and what to do about it.

use std::fmt;
use std::time::Duration;

use actix_http::error::ParseError;
use actors::fault::{Fault, FaultKind};
use actors::ports::ByteStream;
use async_trait::async_trait;
use awc::ClientResponse;
use awc::error::{ConnectError, SendRequestError};
use awc::http::{Version, header};
use bytes::Bytes;
use futures_util::StreamExt;
use url::Url;

use super::said::Said;
use crate::adapters::http::{Chunks, ERROR_BODY, MeasuredBody, excerpt, retry_after, told};

const CLOSED: &str = "the connection was closed before an answer came";

/// There was no answer.
pub(super) struct NoAnswer {
    /// Whether the request was certainly not sent.
    pub(super) unsent: bool,
    /// Whether the connection was closed where an answer should have come: as it happens to idle ones.
    pub(super) closed: bool,
    /// For people.
    pub(super) text: String,
}

/// Sorts out what became of a request that was sent with `patience`.
pub(super) fn head(
    sent: Result<Result<ClientResponse, SendRequestError>, tokio::time::error::Elapsed>,
    patience: Duration,
) -> Result<ClientResponse, NoAnswer> {
    match sent {
        Ok(sent) => sent.map_err(|error| NoAnswer::because(&error)),
        Err(_) => Err(NoAnswer::stuck(format!("no answer within {patience:.1?}"))),
    }
}

impl NoAnswer {
    /// What awc says of it.
    pub(super) fn because(error: &SendRequestError) -> Self {
        Self {
            unsent: is_unsent(error),
            closed: matches!(
                error,
                SendRequestError::Connect(ConnectError::Disconnected)
                    | SendRequestError::Send(_)
                    | SendRequestError::Response(ParseError::Io(_))
            ),
            text: match error {
                SendRequestError::Connect(ConnectError::Disconnected) => CLOSED.to_owned(),
                SendRequestError::Connect(error) => format!("no connection: {error}"),
                SendRequestError::Send(error) => format!("the connection broke: {error}"),
                SendRequestError::Response(ParseError::Io(error)) => {
                    format!("the connection broke: {error}")
                }
                SendRequestError::Response(error) => format!("the answer is not HTTP: {error}"),
                other => other.to_string(),
            },
        }
    }

    /// What hyper says of it.
    pub(super) fn because_hyper(error: &hyper::Error) -> Self {
        let cause = std::error::Error::source(error);
        let broken = cause.is_some_and(|cause| cause.is::<std::io::Error>());
        let ended = error.is_incomplete_message() || error.is_closed() || error.is_canceled();
        Self {
            unsent: false,
            closed: ended || broken,
            text: match cause {
                // Something came that nobody had asked for.
                Some(cause) if error.is_canceled() => format!("{CLOSED}: {}", told(cause)),
                _ if ended => CLOSED.to_owned(),
                Some(cause) if broken => format!("the connection broke: {cause}"),
                _ if error.is_parse() => format!("the answer is not HTTP: {}", told(error)),
                _ => told(error),
            },
        }
    }

    /// There was not even a connection.
    pub(super) fn no_connection(why: impl fmt::Display) -> Self {
        Self {
            unsent: true,
            closed: false,
            text: format!("no connection: {why}"),
        }
    }

    /// It is no request.
    pub(super) fn unsendable(url: &Url, error: hyper::http::Error) -> Self {
        Self {
            unsent: true,
            closed: false,
            text: format!("{url} cannot be asked: {error}"),
        }
    }

    /// A wait came to its end.
    pub(super) fn stuck(text: String) -> Self {
        Self {
            unsent: false,
            closed: false,
            text,
        }
    }
}

/// Everything up to the TLS handshake. `Disconnected` is none of it: awc says so when an answer stays out.
fn is_unsent(error: &SendRequestError) -> bool {
    match error {
        SendRequestError::Url(_) | SendRequestError::Http(_) => true,
        SendRequestError::Connect(error) => {
            !matches!(error, ConnectError::Disconnected | ConnectError::H2(_))
        }
        _ => false,
    }
}

/// An answer whose body has not been read.
pub(super) struct Answer {
    /// The status.
    pub(super) status: u16,
    /// `Content-Type`; empty if there is none.
    pub(super) content_type: String,
    /// `Content-Range`.
    pub(super) content_range: Option<String>,
    /// The length of the body, where it was announced.
    pub(super) length: Option<u64>,
    /// Whether the end of a body that awc brought can be told at all.
    pub(super) framed: bool,
    /// The body.
    pub(super) body: MeasuredBody,
    retry_after: Option<Duration>,
    location: Option<String>,
    operation: &'static str,
    target: String,
}

impl Answer {
    /// What awc brought. `patience` is granted to each chunk of the body.
    pub(super) fn of(
        response: ClientResponse,
        patience: Duration,
        operation: &'static str,
        target: &str,
    ) -> Self {
        let headers = response.headers();
        let head = Head {
            status: response.status().as_u16(),
            version: response.version(),
            header: &|name| headers.get(name)?.to_str().ok(),
            chunked: headers.contains_key(header::TRANSFER_ENCODING),
        };
        let answer = head.answer(patience, operation, target);
        answer(Box::new(AwcChunks(response)))
    }

    /// What hyper brought.
    pub(super) fn by_hyper(
        head: &hyper::http::response::Parts,
        body: Box<dyn Chunks>,
        patience: Duration,
        operation: &'static str,
        target: &str,
    ) -> Self {
        let head = Head {
            status: head.status.as_u16(),
            version: head.version,
            header: &|name| head.headers.get(name)?.to_str().ok(),
            chunked: head.headers.contains_key(header::TRANSFER_ENCODING),
        };
        head.answer(patience, operation, target)(body)
    }

    /// A fault of this answer that is none of its status.
    pub(super) fn transient(&self, detail: impl std::fmt::Display) -> Fault {
        Fault::transient(self.operation, &self.target, detail)
    }

    /// Reads what the body says about a status that is not a success.
    pub(super) async fn into_fault(self) -> Fault {
        let (said, refusal) = self.refused(ERROR_BODY).await;
        let kind = said.kind(refusal.status);
        refusal.fault(kind, &said)
    }

    /// Reads `most` bytes of what the body says; what is to be done about it is the caller's to say.
    pub(super) async fn refused(self, most: usize) -> (Said, Refusal) {
        let refusal = Refusal {
            status: self.status,
            retry_after: self.retry_after,
            location: self.location,
            operation: self.operation,
            target: self.target,
        };
        (Said::parse(&self.body.beginning(most).await), refusal)
    }

    /// Reads all of the body of a success.
    ///
    /// # Errors
    /// It breaks off, or is longer than `most` bytes.
    pub(super) async fn whole(&mut self, most: usize) -> Result<Vec<u8>, Fault> {
        let mut read = Vec::new();
        while let Some(chunk) = self.body.chunk().await? {
            if read.len() + chunk.len() > most {
                return Err(self.transient(format!("the answer is longer than {most} bytes")));
            }
            read.extend_from_slice(&chunk);
        }
        Ok(read)
    }
}

/// The head of an answer, whoever read it.
struct Head<'a> {
    status: u16,
    version: Version,
    header: &'a dyn Fn(header::HeaderName) -> Option<&'a str>,
    chunked: bool,
}

impl Head<'_> {
    /// Makes an answer of it and of its body.
    fn answer(
        &self,
        patience: Duration,
        operation: &'static str,
        target: &str,
    ) -> impl FnOnce(Box<dyn Chunks>) -> Answer + use<> {
        let text = self.header;
        let length = match self.chunked {
            true => None,
            false => text(header::CONTENT_LENGTH).and_then(|length| length.trim().parse().ok()),
        };
        let (status, target) = (self.status, target.to_owned());
        let content_type = text(header::CONTENT_TYPE).unwrap_or_default().to_owned();
        let content_range = text(header::CONTENT_RANGE).map(str::to_owned);
        // Without either, awc takes the body of an HTTP/1.1 answer for empty, whatever follows.
        let framed = self.chunked || length.is_some() || self.version == Version::HTTP_10;
        let retry_after = retry_after(text(header::RETRY_AFTER));
        let location = text(header::LOCATION).map(|place| excerpt(place.as_bytes()));
        move |chunks| Answer {
            status,
            content_type,
            content_range,
            length,
            framed,
            retry_after,
            location,
            operation,
            body: MeasuredBody::new(chunks, length, patience, operation, &target),
            target,
        }
    }
}

/// An answer that is no success, its body read.
pub(super) struct Refusal {
    /// The status.
    pub(super) status: u16,
    retry_after: Option<Duration>,
    location: Option<String>,
    operation: &'static str,
    target: String,
}

impl Refusal {
    /// As a fault, for people and for what is done about it.
    pub(super) fn fault(self, kind: FaultKind, said: &Said) -> Fault {
        let place = match (kind, &self.location) {
            (FaultKind::Rejected, Some(place)) => format!(" (redirects are not followed; to {place})"),
            _ => String::new(),
        };
        let detail = format!("{}{place}: {}", self.status, said.text);
        let fault = Fault::new(kind, self.operation, self.target, detail).retry_after(self.retry_after);
        match self.status {
            300..=399 | 401 | 403 | 407 => fault.of_whoever_asks(),
            _ => fault,
        }
    }
}

struct AwcChunks(ClientResponse);

#[async_trait(?Send)]
impl Chunks for AwcChunks {
    async fn next(&mut self) -> Option<Result<Bytes, String>> {
        let chunk = self.0.next().await?;
        Some(chunk.map_err(|error| error.to_string()))
    }
}
