//! A bucket that lies in memory and is only read: as little of S3 as a restore needs, so that it does not become the
//! limit.
//!
//! It lists in pages of 1,000 and in URL encoding, and gives whole objects. All of them were written long ago: a
//! restore looks at what is new once more. Signatures are not checked: the other server of the sandbox does that.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use hyper1::body::Incoming;
use hyper1::header::{CONTENT_TYPE, ETAG, HeaderValue};
use hyper1::service::service_fn;
use hyper1::{Method, Request, Response, StatusCode};

/// Entries of one page.
const PAGE: usize = 1000;

/// When all objects were written.
const WRITTEN: &str = "2025-07-30T12:00:00.000Z";

/// Objects by key, in each bucket.
pub(super) type Buckets = BTreeMap<String, BTreeMap<String, Bytes>>;

/// The server; it runs until its process ends.
#[derive(Debug)]
pub(super) struct Well {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    buckets: Buckets,
    given: AtomicU64,
}

impl Well {
    pub(super) fn start(buckets: Buckets) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            buckets,
            given: AtomicU64::new(0),
        });
        let served = Arc::clone(&shared);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("well".to_owned())
            .spawn(move || match runtime.block_on(accept(listener, served)) {
                Ok(()) => {}
                Err(error) => log::error!("the bucket ended: {error}"),
            })?;
        Ok(Self { address, shared })
    }

    pub(super) fn endpoint(&self) -> String {
        self.address.to_string()
    }

    /// Bytes of the objects that were asked for.
    pub(super) fn given(&self) -> u64 {
        self.shared.given.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = shared.serve(&request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection =
                hyper1::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service);
            if let Err(error) = connection.await {
                log::debug!("connection to the bucket: {error}");
            }
        });
    }
}

type Answer = Response<Full<Bytes>>;

fn answer(status: StatusCode, kind: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(ETAG, HeaderValue::from_static("\"well\""));
    answer
}

fn error(code: &str) -> Answer {
    let body = format!("<Error><Code>{code}</Code></Error>");
    answer(StatusCode::NOT_FOUND, "application/xml", body.into())
}

impl Shared {
    fn serve(&self, request: &Request<Incoming>) -> Answer {
        let place = decoded(request.uri().path().trim_matches('/'));
        let (name, key) = place.split_once('/').unwrap_or((&place, ""));
        let Some(bucket) = self.buckets.get(name) else {
            return error("NoSuchBucket");
        };
        match (request.method(), key) {
            (&Method::GET, "") => {
                let page = Page::of(request.uri().query().unwrap_or_default()).of_bucket(name, bucket);
                answer(StatusCode::OK, "application/xml", page.into())
            }
            (&Method::HEAD, "") => answer(StatusCode::OK, "application/xml", Bytes::new()),
            (&Method::GET, key) => match bucket.get(key) {
                Some(object) => {
                    self.given.fetch_add(object.len() as u64, Ordering::Relaxed);
                    answer(StatusCode::OK, "binary/octet-stream", object.clone())
                }
                None => error("NoSuchKey"),
            },
            _ => error("MethodNotAllowed"),
        }
    }
}

/// What a listing asks for.
#[derive(Debug, Default)]
struct Page {
    prefix: String,
    after: String,
    folders: bool,
}

impl Page {
    fn of(query: &str) -> Self {
        let mut page = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "prefix" => page.prefix = value.into_owned(),
                // The token is the key that a page ended with.
                "start-after" | "continuation-token" => page.after = value.into_owned(),
                "delimiter" => page.folders = true,
                _ => {}
            }
        }
        page
    }

    fn of_bucket(&self, name: &str, bucket: &BTreeMap<String, Bytes>) -> String {
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><Name>{name}</Name><Prefix>{}</Prefix>\
             <MaxKeys>{PAGE}</MaxKeys><EncodingType>url</EncodingType>",
            encoded(&self.prefix)
        );
        let (mut at, mut entries) = (self.start(), 0);
        let next = loop {
            let Some((key, object)) = bucket
                .range::<str, _>((at.as_ref().map(String::as_str), Bound::Unbounded))
                .next()
            else {
                break None;
            };
            let Some(rest) = key.strip_prefix(&self.prefix) else {
                break None;
            };
            if entries == PAGE {
                break Some(at);
            }
            entries += 1;
            // writing to a string cannot fail
            let _ = match rest.split_once('/').filter(|_| self.folders) {
                Some((folder, _)) => {
                    let folder = format!("{}{folder}/", self.prefix);
                    let told = encoded(&folder);
                    at = Bound::Excluded(format!("{folder}{}", char::MAX));
                    write!(text, "<CommonPrefixes><Prefix>{told}</Prefix></CommonPrefixes>")
                }
                None => {
                    at = Bound::Excluded(key.clone());
                    write!(
                        text,
                        "<Contents><Key>{}</Key><LastModified>{WRITTEN}</LastModified><ETag>&quot;well&quot;</ETag>\
                         <Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>",
                        encoded(key),
                        object.len()
                    )
                }
            };
        };
        let more = match next {
            Some(Bound::Excluded(token)) => {
                let token = encoded(&token);
                format!(
                    "<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>"
                )
            }
            _ => "<IsTruncated>false</IsTruncated>".to_owned(),
        };
        text + &more + "</ListBucketResult>"
    }

    fn start(&self) -> Bound<String> {
        match self.after >= self.prefix && !self.after.is_empty() {
            true => Bound::Excluded(self.after.clone()),
            false => Bound::Included(self.prefix.clone()),
        }
    }
}

/// As S3 encodes keys: a space is `+`, and a slash stays one.
fn encoded(key: &str) -> String {
    let encoded: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
    encoded.replace("%2F", "/")
}

/// Timestamps in keys have colons, which requests may spell with a percent sign.
fn decoded(path: &str) -> String {
    let spelled = format!("k={}", path.replace('+', "%2B"));
    url::form_urlencoded::parse(spelled.as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(query: &str) -> String {
        let keys = (0..2500).map(|number| format!("s/a/{number:04}"));
        let keys = keys.chain(["s/b/x y".to_owned(), "t/a/z".to_owned()]);
        let bucket = keys.map(|key| (key, Bytes::from_static(b"12"))).collect();
        Page::of(query).of_bucket("b", &bucket)
    }

    #[test]
    fn pages_follow_one_another_to_the_end_of_the_prefix() {
        let first = listed("prefix=s/");
        assert_eq!(first.matches("<Contents>").count(), PAGE);
        assert!(first.contains("<Key>s/a/0000</Key>") && first.contains("<IsTruncated>true"));
        let last = listed("prefix=s/&start-after=s/a/1999");
        assert_eq!(last.matches("<Contents>").count(), 501);
        assert!(last.contains("<Key>s/b/x+y</Key>") && last.contains("<IsTruncated>false"));
        assert!(last.contains("<Size>2</Size>") && !last.contains("<Key>t/"));
    }

    #[test]
    fn folders_are_told_once() {
        let folders = listed("prefix=s/&delimiter=/");
        assert_eq!(folders.matches("<CommonPrefixes>").count(), 2);
        assert!(!folders.contains("<Contents>") && folders.contains("<IsTruncated>false"));
        let rest = listed("prefix=s/&delimiter=/&start-after=s/a/\u{10ffff}");
        assert_eq!(rest.matches("<CommonPrefixes>").count(), 1);
    }
}
