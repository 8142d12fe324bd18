//! What the dispatcher answered, and what to do about it.

use std::time::Duration;

use actix_http::error::ParseError;
use actors::fault::{Fault, FaultKind};
use async_trait::async_trait;
use awc::ClientResponse;
use awc::error::{ConnectError, SendRequestError};
use awc::http::{Version, header};
use bytes::Bytes;
use futures_util::StreamExt;

use crate::adapters::http::{
    Chunks, ERROR_BODY, MeasuredBody, excerpt, is_transient_status, retry_after, without_credentials,
};

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
    let error = match sent {
        Ok(Ok(response)) => return Ok(response),
        Ok(Err(error)) => error,
        Err(_) => {
            return Err(NoAnswer {
                unsent: false,
                closed: false,
                text: format!("no answer within {patience:.1?}"),
            });
        }
    };
    Err(NoAnswer {
        unsent: is_unsent(&error),
        closed: matches!(
            error,
            SendRequestError::Connect(ConnectError::Disconnected)
                | SendRequestError::Send(_)
                | SendRequestError::Response(ParseError::Io(_))
        ),
        text: match &error {
            SendRequestError::Connect(ConnectError::Disconnected) => {
                "the connection was closed before an answer came".to_owned()
            }
            SendRequestError::Connect(error) => format!("no connection: {error}"),
            SendRequestError::Send(error) => format!("the connection broke: {error}"),
            SendRequestError::Response(ParseError::Io(error)) => format!("the connection broke: {error}"),
            SendRequestError::Response(error) => format!("the answer is not HTTP: {error}"),
            other => other.to_string(),
        },
    })
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
    /// Whether the end of the body can be told at all.
    pub(super) framed: bool,
    /// The body.
    pub(super) body: MeasuredBody,
    retry_after: Option<Duration>,
    location: Option<String>,
    operation: &'static str,
    target: String,
}

impl Answer {
    /// `patience` is granted to each chunk of the body.
    pub(super) fn of(
        response: ClientResponse,
        patience: Duration,
        operation: &'static str,
        target: &str,
    ) -> Self {
        let headers = response.headers();
        let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let chunked = headers.contains_key(header::TRANSFER_ENCODING);
        let length = match chunked {
            true => None,
            false => text(header::CONTENT_LENGTH).and_then(|length| length.trim().parse().ok()),
        };
        Self {
            status: response.status().as_u16(),
            content_type: text(header::CONTENT_TYPE).unwrap_or_default().to_owned(),
            content_range: text(header::CONTENT_RANGE).map(str::to_owned),
            length,
            // Without either, awc takes the body of an HTTP/1.1 answer for empty, whatever follows.
            framed: chunked || length.is_some() || response.version() == Version::HTTP_10,
            retry_after: retry_after(text(header::RETRY_AFTER)),
            location: text(header::LOCATION).map(|place| excerpt(place.as_bytes())),
            operation,
            target: target.to_owned(),
            body: MeasuredBody::new(Box::new(AwcChunks(response)), length, patience, operation, target),
        }
    }

    /// A fault of this answer that is none of its status.
    pub(super) fn transient(&self, detail: impl std::fmt::Display) -> Fault {
        Fault::transient(self.operation, &self.target, detail)
    }

    /// Reads what the body says about a status that is not a success.
    pub(super) async fn into_fault(self) -> Fault {
        let said = Said::parse(&self.body.beginning(ERROR_BODY).await);
        let kind = said.kind(self.status);
        let place = match (kind, &self.location) {
            (FaultKind::Rejected, Some(place)) => format!(" (redirects are not followed; to {place})"),
            _ => String::new(),
        };
        let detail = format!("{}{place}: {}", self.status, said.text);
        Fault::new(kind, self.operation, self.target, detail).retry_after(self.retry_after)
    }
}

/// What the body of an error says.
struct Said {
    text: String,
    /// Whether it is the dispatcher's own, not that of something in between.
    own: bool,
}

impl Said {
    fn parse(body: &[u8]) -> Self {
        #[derive(Default, serde::Deserialize)]
        #[serde(default)]
        struct ErrorBody {
            title: Option<String>,
            detail: Option<String>,
        }
        let Ok(error) = serde_json::from_slice::<ErrorBody>(body) else {
            return Self {
                text: excerpt(body),
                own: false,
            };
        };
        let told: Vec<String> = [error.title, error.detail].into_iter().flatten().collect();
        let text = match told.is_empty() {
            true => excerpt(body),
            false => without_credentials(&told.join(": ")).chars().take(2000).collect(),
        };
        Self { text, own: true }
    }

    fn kind(&self, status: u16) -> FaultKind {
        match status {
            // A 404 of an ingress without a backend must not make streams count as missing.
            404 if self.own => FaultKind::Missing,
            404 => FaultKind::Transient,
            422 if self.text.contains("redis") => FaultKind::Transient,
            300..=499 if !is_transient_status(status) => FaultKind::Rejected,
            _ => FaultKind::Transient,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dispatchers_words_reach_the_operator() {
        let said = Said::parse(br#"{"status":"422","title":"bad parameters","detail":"no range"}"#);
        assert_eq!((said.text.as_str(), said.own), ("bad parameters: no range", true));
        assert_eq!(Said::parse(br#"{"title":"not found"}"#).text, "not found");
        assert_eq!(Said::parse(b"{}").text, "{}");
        let page = Said::parse(b"<html>404</html>");
        assert_eq!((page.text.as_str(), page.own), ("<html>404</html>", false));
    }

    #[test]
    fn what_is_done_about_a_status() {
        let json = |detail: &str| Said::parse(format!(r#"{{"title":"t","detail":"{detail}"}}"#).as_bytes());
        for (status, said, expected) in [
            (400, json("invalid range end"), FaultKind::Rejected),
            (404, json("not found"), FaultKind::Missing),
            (404, Said::parse(b"404 page not found"), FaultKind::Transient),
            (404, Said::parse(b""), FaultKind::Transient),
            (408, json(""), FaultKind::Transient),
            (422, json("bad parameter"), FaultKind::Rejected),
            (
                422,
                json("failed to store consumer in redis"),
                FaultKind::Transient,
            ),
            (429, json(""), FaultKind::Transient),
            (302, json(""), FaultKind::Rejected),
            (204, json(""), FaultKind::Transient),
            (500, json(""), FaultKind::Transient),
            (503, Said::parse(b"<html>"), FaultKind::Transient),
        ] {
            assert_eq!(said.kind(status), expected, "{status} {}", said.text);
        }
    }
}
