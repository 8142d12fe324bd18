//! How rusoto's requests reach the network.
//!
//! rusoto's parsers **loop for ever over XML that breaks off**: no body reaches them that is not whole XML. Its own
//! HTTP client has no time-outs, panics on a header that is not ASCII (and its S3 calls on some that
//! are, such as a flag that is neither `true` nor `false`), reads bodies of any length into memory, and logs the
//! `Authorization` header at the level DEBUG. This one does none of that: only headers that are needed are passed
//! on, and only the body of an object as a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actors::stream_worker::progress::Progress;
use hyper::client::HttpConnector;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Body, Client, HeaderMap, Method, Request, Response};
use hyper_tls::{HttpsConnector, TrustError, client_config};
use rusoto_core::request::{DispatchSignedRequest, DispatchSignedRequestFuture, HttpResponse};
use rusoto_core::signature::{SignedRequest, SignedRequestPayload};
use rusoto_core::{ByteStream, HttpDispatchError};

use super::body::{counted, read_whole, streamed};
use super::xml::{disarmed, is_whole};
use crate::adapters::http::{HttpTimeouts, excerpt};

/// The headers that rusoto gets to see.
const UNDERSTOOD: [&str; 10] = [
    "content-length",
    "content-range",
    "content-type",
    "date",
    "etag",
    "last-modified",
    "location",
    "retry-after",
    "x-amz-bucket-region",
    "x-amz-version-id",
];

/// A connection that rests longer than this is not used again: servers and what lies between close them.
const LONGEST_REST: Duration = Duration::from_secs(15);

/// Joining the parts of a large object takes its time before there is an answer.
const COMPLETION_PATIENCE: u32 = 4;

/// The HTTP client below rusoto.
pub(super) struct BucketHttp {
    client: Client<HttpsConnector<HttpConnector>, Body>,
    timeouts: HttpTimeouts,
    progress: Progress,
}

impl BucketHttp {
    pub(super) fn new(timeouts: HttpTimeouts, progress: Progress) -> Result<Self, TrustError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeouts.connect));
        let client = Client::builder()
            .pool_idle_timeout(LONGEST_REST)
            .build(HttpsConnector::from((tcp, client_config()?)));
        Ok(Self {
            client,
            timeouts,
            progress,
        })
    }
}

impl DispatchSignedRequest for BucketHttp {
    fn dispatch(&self, request: SignedRequest, _: Option<Duration>) -> DispatchSignedRequestFuture {
        let client = self.client.clone();
        let (timeouts, progress) = (self.timeouts, self.progress.clone());
        Box::pin(async move {
            let answer = dispatch(client, timeouts, &progress, request).await;
            progress.step();
            answer.map_err(HttpDispatchError::new)
        })
    }
}

type HyperClient = Client<HttpsConnector<HttpConnector>, Body>;

async fn dispatch(
    client: HyperClient,
    timeouts: HttpTimeouts,
    progress: &Progress,
    request: SignedRequest,
) -> Result<HttpResponse, String> {
    let outgoing = Outgoing::of(request)?;
    // The runtime learns of connections that were closed while nothing ran on this thread.
    tokio::task::yield_now().await;
    let answer = match outgoing.send(&client, timeouts, progress).await {
        Err(NoAnswer::Closed(_)) if outgoing.is_idempotent() => {
            outgoing.send(&client, timeouts, progress).await
        }
        other => other,
    };
    let answer = answer.map_err(NoAnswer::text)?;
    received(&outgoing, answer, timeouts.chunk).await
}

/// A request that can be sent more than once.
struct Outgoing {
    method: Method,
    url: String,
    headers: HeaderMap,
    content: bytes::Bytes,
}

enum NoAnswer {
    /// The connection was closed where the head of an answer should have come: as it happens to resting ones.
    Closed(String),
    Other(String),
}

impl NoAnswer {
    fn text(self) -> String {
        match self {
            Self::Closed(text) | Self::Other(text) => text,
        }
    }
}

impl Outgoing {
    fn of(request: SignedRequest) -> Result<Self, String> {
        let method = Method::from_bytes(request.method().as_bytes()).map_err(|error| error.to_string())?;
        let mut headers = HeaderMap::new();
        for (name, values) in request.headers() {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
            for value in values {
                // The value is not told: it may be a credential.
                let value = HeaderValue::from_bytes(value).map_err(|_| {
                    format!("the header `{name}` cannot be sent: it holds control characters")
                })?;
                headers.append(&name, value);
            }
        }
        let mut url = format!(
            "{}://{}{}",
            request.scheme(),
            request.hostname(),
            request.canonical_path()
        );
        if !request.canonical_query_string().is_empty() {
            url.push('?');
            url.push_str(request.canonical_query_string());
        }
        let content = match request.payload {
            None => bytes::Bytes::new(),
            Some(SignedRequestPayload::Buffer(content)) => content,
            Some(SignedRequestPayload::Stream(_)) => {
                return Err("a streamed payload cannot be signed with its checksum".to_owned());
            }
        };
        Ok(Self {
            method,
            url,
            headers,
            content,
        })
    }

    fn is_idempotent(&self) -> bool {
        self.method != Method::POST
    }

    /// Whether the body of a success is an object, not XML.
    fn is_for_object(&self) -> bool {
        self.method == Method::GET && !self.url.contains('?')
    }

    /// Whether a success is read by our own parser, which knows what is whole: a page is long, and parsed once.
    fn is_listing(&self) -> bool {
        self.method == Method::GET && self.url.contains("list-type=2")
    }

    async fn send(
        &self,
        client: &HyperClient,
        timeouts: HttpTimeouts,
        progress: &Progress,
    ) -> Result<Response<Body>, NoAnswer> {
        let sent = Arc::new(AtomicU64::new(0));
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.url)
            .body(counted(self.content.clone(), sent.clone()))
            .map_err(|error| NoAnswer::Other(error.to_string()))?;
        *request.headers_mut() = self.headers.clone();
        let patience = match self.method {
            Method::POST => timeouts.head * COMPLETION_PATIENCE,
            _ => timeouts.head,
        };
        let mut answer = client.request(request);
        let mut seen = 0;
        loop {
            match tokio::time::timeout(patience, &mut answer).await {
                Ok(answer) => return answer.map_err(no_answer),
                // A slow line is not a dead one: only a time without progress counts.
                Err(_) if sent.load(Ordering::Relaxed) > seen => {
                    seen = sent.load(Ordering::Relaxed);
                    progress.step();
                }
                Err(_) => return Err(NoAnswer::Other(format!("no answer within {patience:.1?}"))),
            }
        }
    }
}

fn no_answer(error: hyper::Error) -> NoAnswer {
    let text = told(&error);
    if error.is_connect() {
        return NoAnswer::Other(format!("no connection: {text}"));
    }
    let broken = std::error::Error::source(&error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|source| {
            use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
            matches!(
                source.kind(),
                BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
            )
        });
    if broken || error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return NoAnswer::Closed(format!("the connection was closed before an answer came: {text}"));
    }
    NoAnswer::Other(text)
}

/// An error with its causes.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

async fn received(
    request: &Outgoing,
    answer: Response<Body>,
    patience: Duration,
) -> Result<HttpResponse, String> {
    let (head, body) = answer.into_parts();
    let success = head.status.is_success();
    let body = if request.method == Method::HEAD {
        ByteStream::from(Vec::new())
    } else if success && request.is_for_object() {
        streamed(body)
    } else {
        let text = read_whole(body, patience, success).await?;
        // rusoto does not look at what comes back from a deletion, which is nothing.
        let expected = match request.method {
            Method::DELETE => text.is_empty(),
            _ => request.is_listing() || is_whole(&text),
        };
        if success && !expected {
            return Err(format!(
                "the answer is not S3's: {}: {}",
                head.status.as_u16(),
                excerpt(&text)
            ));
        }
        match success {
            true => ByteStream::from(text),
            false => ByteStream::from(disarmed(text)),
        }
    };
    Ok(HttpResponse {
        status: head.status,
        body,
        headers: understood(&head.headers),
    })
}

fn understood(headers: &HeaderMap) -> HeaderMap<String> {
    let mut text = HeaderMap::with_capacity(UNDERSTOOD.len());
    for name in UNDERSTOOD {
        let Some(value) = headers.get(name) else { continue };
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        // rusoto takes it for granted that this is a number.
        if name != "content-length" || value.parse::<i64>().is_ok() {
            text.insert(HeaderName::from_static(name), value);
        }
    }
    text
}
