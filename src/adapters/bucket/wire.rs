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
use hyper::header::{HeaderName, HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Body, Client, HeaderMap, Method, Request, Response, Uri};
use hyper_tls::{HttpsConnector, client_config};
use rusoto_core::request::{DispatchSignedRequest, DispatchSignedRequestFuture, HttpResponse};
use rusoto_core::signature::{SignedRequest, SignedRequestPayload};
use rusoto_core::{ByteStream, HttpDispatchError};

use super::body::{counted, read_whole, streamed};
use super::xml::{disarmed, is_whole};
use crate::adapters::http::{AskedFor, HttpTimeouts, LONGEST_REST, Route, TcpConnector, excerpt, told};
use crate::settings::Proxies;

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

/// Joining the parts of a large object takes its time before there is an answer.
const COMPLETION_PATIENCE: u32 = 4;

/// The HTTP client below rusoto.
pub(super) struct BucketHttp {
    client: HyperClient,
    proxies: Arc<Proxies>,
    timeouts: HttpTimeouts,
    progress: Progress,
}

impl BucketHttp {
    /// # Errors
    /// What certificates, or proxies, the environment names is of no use.
    pub(super) fn new(timeouts: HttpTimeouts, progress: Progress) -> Result<Self, String> {
        let tls = client_config().map_err(|error| error.to_string())?;
        let proxies = Proxies::of_process().map_err(|faults| faults.to_string())?;
        let connector = TcpConnector::new(proxies.clone(), AskedFor::WholeUrls, timeouts.connect);
        let client = Client::builder()
            .pool_idle_timeout(LONGEST_REST)
            .build(HttpsConnector::from((connector, tls)));
        Ok(Self {
            client,
            proxies,
            timeouts,
            progress,
        })
    }
}

impl DispatchSignedRequest for BucketHttp {
    fn dispatch(&self, request: SignedRequest, _: Option<Duration>) -> DispatchSignedRequestFuture {
        let (client, proxies) = (self.client.clone(), self.proxies.clone());
        let (timeouts, progress) = (self.timeouts, self.progress.clone());
        Box::pin(async move {
            let answer = dispatch(client, &proxies, timeouts, &progress, request).await;
            progress.step();
            answer.map_err(HttpDispatchError::new)
        })
    }
}

type HyperClient = Client<HttpsConnector<TcpConnector>, Body>;

async fn dispatch(
    client: HyperClient,
    proxies: &Proxies,
    timeouts: HttpTimeouts,
    progress: &Progress,
    request: SignedRequest,
) -> Result<HttpResponse, String> {
    let mut outgoing = Outgoing::of(request)?;
    let proxy = outgoing.comes_by(proxies)?;
    // The runtime learns of connections that were closed while nothing ran on this thread.
    tokio::task::yield_now().await;
    let answer = match outgoing.send(&client, timeouts, progress).await {
        Err(NoAnswer::Closed(_)) if outgoing.is_idempotent() => {
            outgoing.send(&client, timeouts, progress).await
        }
        other => other,
    };
    let answer = answer.map_err(NoAnswer::text)?;
    if let Some(route) = proxy.filter(|_| is_of_proxy(&answer)) {
        return Err(route.answered(answer.status()).to_string());
    }
    received(&outgoing, answer, timeouts.chunk).await
}

/// Whether an answer to a whole URL is that of the proxy itself. Every answer of S3 has an id.
fn is_of_proxy(answer: &Response<Body>) -> bool {
    match answer.status().as_u16() {
        407 => true,
        502..=504 => !answer.headers().contains_key("x-amz-request-id"),
        _ => false,
    }
}

/// A request that can be sent more than once.
struct Outgoing {
    method: Method,
    url: Uri,
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
            url: url.parse().map_err(|error| format!("{url}: {error}"))?,
            headers,
            content,
        })
    }

    /// The proxy that is asked for the whole URL, if that is the way; it is told who asks.
    fn comes_by(&mut self, proxies: &Proxies) -> Result<Option<Route>, String> {
        let route = match self.url.scheme_str() {
            Some("http") => Route::of(proxies, &self.url),
            _ => None,
        };
        let authorization = route.as_ref().and_then(|route| route.proxy().authorization());
        if let Some(authorization) = authorization {
            let value = HeaderValue::from_str(authorization.reveal());
            let mut value = value.map_err(|_| "the proxy's password cannot be sent".to_owned())?;
            value.set_sensitive(true);
            self.headers.insert(PROXY_AUTHORIZATION, value);
        }
        Ok(route)
    }

    fn is_idempotent(&self) -> bool {
        self.method != Method::POST
    }

    /// Whether the body of a success is an object, not XML.
    fn is_for_object(&self) -> bool {
        self.method == Method::GET && self.url.query().is_none()
    }

    /// Whether a success is read by our own parser, which knows what is whole: a page is long, and parsed once.
    fn is_listing(&self) -> bool {
        let query = self.url.query().unwrap_or_default();
        self.method == Method::GET && query.contains("list-type=2")
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
            .uri(self.url.clone())
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

#[cfg(test)]
mod tests;
