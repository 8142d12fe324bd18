//! A bucket that keeps no content: as little of S3 as the program needs, so that it does not become the limit.
//!
//! It checks every payload against the SHA-256 that was signed with it, as S3 does, and remembers the size of
//! each object. Where it is told to look inside, it gunzips what it gets, and compares streams with the SHA-256 in
//! their key. Signatures are not checked: the other server of the sandbox does that.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actors::object_key::BundleKey;
use bytes::Bytes;
use flate2::write::GzDecoder;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use hyper1::body::Incoming;
use hyper1::service::service_fn;
use hyper1::{Method, Request, Response};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What has come in so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Received {
    /// Events in bundles, as their keys say.
    pub events: u64,
    /// Bundles.
    pub bundles: u64,
    /// Streams.
    pub streams: u64,
    /// Bytes of payloads, whether their object is complete or not.
    pub bytes: u64,
    /// What was not as it should be.
    pub faults: Vec<String>,
}

/// The server; it runs until its process ends.
#[derive(Debug)]
pub(super) struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    look_inside: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    buckets: BTreeSet<String>,
    objects: BTreeMap<String, u64>,
    uploads: BTreeMap<String, Content>,
    received: Received,
}

impl Sink {
    pub(super) fn start(look_inside: bool) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            look_inside,
            state: Mutex::default(),
        });
        let served = Arc::clone(&shared);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || match runtime.block_on(accept(listener, served)) {
                Ok(()) => {}
                Err(error) => log::error!("the bucket ended: {error}"),
            })?;
        Ok(Self { address, shared })
    }

    pub(super) fn endpoint(&self) -> String {
        self.address.to_string()
    }

    pub(super) fn received(&self) -> Received {
        self.shared.state().received.clone()
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
                let shared = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(shared.serve(request).await) }
            });
            let connection =
                hyper1::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service);
            if let Err(error) = connection.await {
                log::debug!("connection to the bucket: {error}");
            }
        });
    }
}

/// What is known of the bytes of an object, in the order in which they came.
#[derive(Debug)]
struct Content {
    size: u64,
    parts: u32,
    inside: Option<GzDecoder<Hasher>>,
}

#[derive(Debug, Default)]
struct Hasher(Sha256);

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Content {
    fn new(look_inside: bool) -> Self {
        Self {
            size: 0,
            parts: 0,
            inside: look_inside.then(|| GzDecoder::new(Hasher::default())),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.size += bytes.len() as u64;
        self.inside
            .as_mut()
            .map_or(Ok(()), |inside| inside.write_all(bytes))
    }

    /// Whether it is what its key says, as far as that was looked at.
    fn check(self, bucket_and_key: &str) -> Result<(), String> {
        let Some(inside) = self.inside else { return Ok(()) };
        let hash = inside
            .finish()
            .map_err(|error| format!("{bucket_and_key} does not gunzip: {error}"))?;
        let named = bucket_and_key.rsplit('/').next().unwrap_or_default();
        let is_stream = named.len() == 64 && !named.contains('-');
        match is_stream && named != hex::encode(hash.0.finalize()) {
            true => Err(format!("{bucket_and_key} is not what its name says")),
            false => Ok(()),
        }
    }
}

type Answer = Response<Full<Bytes>>;

fn answer(status: u16, body: String) -> Answer {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = hyper1::StatusCode::from_u16(status).unwrap_or_default();
    answer
        .headers_mut()
        .insert("etag", hyper1::header::HeaderValue::from_static("\"sink\""));
    answer
}

fn error(status: u16, code: &str) -> Answer {
    answer(status, format!("<Error><Code>{code}</Code></Error>"))
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, request: Request<Incoming>) -> Answer {
        let place = request.uri().path().trim_matches('/').to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let value = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .into_iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
        };
        let is_object = place.contains('/');
        match (request.method(), value("uploadId")) {
            (&Method::PUT, Some(upload)) => self.part(&upload, value("partNumber"), request).await,
            (&Method::POST, Some(upload)) => self.complete(&place, &upload),
            (&Method::DELETE, Some(upload)) => {
                self.state().uploads.remove(&upload);
                answer(204, String::new())
            }
            (&Method::POST, None) => self.begin(&place),
            (&Method::PUT, None) if is_object => self.put(&place, request).await,
            (&Method::PUT, None) => {
                self.state().buckets.insert(place);
                answer(200, String::new())
            }
            (&Method::HEAD, None) if is_object => self.head(&place),
            (&Method::HEAD, None) if self.state().buckets.contains(&place) => answer(200, String::new()),
            _ => error(404, "NoSuchKey"),
        }
    }

    fn head(&self, place: &str) -> Answer {
        let Some(size) = self.state().objects.get(place).copied() else {
            return error(404, "NoSuchKey");
        };
        let mut answer = answer(200, String::new());
        answer.headers_mut().insert("content-length", size.into());
        answer
    }

    fn begin(&self, place: &str) -> Answer {
        let mut state = self.state();
        let upload = format!("{:x}", md5::Md5::digest(place));
        state
            .uploads
            .insert(upload.clone(), Content::new(self.look_inside));
        let (bucket, key) = place.split_once('/').unwrap_or((place, ""));
        answer(
            200,
            format!(
                "<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{key}</Key>\
                 <UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            ),
        )
    }

    async fn part(&self, upload: &str, number: Option<String>, request: Request<Incoming>) -> Answer {
        // nobody else has it while its part comes in: parts come one after the other
        let Some(mut content) = self.state().uploads.remove(upload) else {
            return error(404, "NoSuchUpload");
        };
        content.parts += 1;
        if number != Some(content.parts.to_string()) {
            self.fault(format!("part {number:?} where {} was due", content.parts));
        }
        let taken = self.take(&mut content, request).await;
        self.state().uploads.insert(upload.to_owned(), content);
        taken.map_or_else(|refusal| refusal, |()| answer(200, String::new()))
    }

    fn complete(&self, place: &str, upload: &str) -> Answer {
        let content = self.state().uploads.remove(upload);
        let Some(content) = content else {
            return error(404, "NoSuchUpload");
        };
        self.keep(place, content);
        let (bucket, key) = place.split_once('/').unwrap_or((place, ""));
        answer(
            200,
            format!(
                "<CompleteMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{key}</Key>\
                 <ETag>\"sink\"</ETag></CompleteMultipartUploadResult>"
            ),
        )
    }

    async fn put(&self, place: &str, request: Request<Incoming>) -> Answer {
        let mut content = Content::new(self.look_inside);
        match self.take(&mut content, request).await {
            Ok(()) => {
                self.keep(place, content);
                answer(200, String::new())
            }
            Err(refusal) => refusal,
        }
    }

    /// Takes a payload, and compares it with the SHA-256 that it was signed with.
    async fn take(&self, content: &mut Content, request: Request<Incoming>) -> Result<(), Answer> {
        let signed = request.headers().get("x-amz-content-sha256").cloned();
        let mut hash = Sha256::new();
        let mut body = request.into_body();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map(|frame| frame.into_data().unwrap_or_default()) else {
                return Err(error(400, "IncompleteBody"));
            };
            hash.update(&data);
            if let Err(fault) = content.take(&data) {
                self.fault(format!("a payload does not gunzip: {fault}"));
            }
            self.state().received.bytes += data.len() as u64;
        }
        let found = hex::encode(hash.finalize());
        match signed {
            Some(signed) if signed.as_bytes() == found.as_bytes() => Ok(()),
            _ => {
                self.fault("a payload is not what was signed".to_owned());
                Err(error(400, "XAmzContentSHA256Mismatch"))
            }
        }
    }

    fn keep(&self, place: &str, content: Content) {
        let size = content.size;
        let checked = content.check(place);
        let mut state = self.state();
        if let Err(fault) = checked {
            state.received.faults.push(fault);
        }
        if state.objects.insert(place.to_owned(), size).is_some() {
            state.received.faults.push(format!("{place} was written twice"));
            return;
        }
        let bundle = place
            .split_once("-events/")
            .and_then(|(_, key)| percent_decoded(key).parse::<BundleKey>().ok());
        match bundle {
            Some(key) => {
                state.received.bundles += 1;
                state.received.events += key.count();
            }
            None => state.received.streams += 1,
        }
    }

    fn fault(&self, text: String) {
        self.state().received.faults.push(text);
    }
}

/// Timestamps in keys have colons, which requests may spell with a percent sign.
fn percent_decoded(text: &str) -> String {
    let spelled = format!("k={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(spelled.as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}
