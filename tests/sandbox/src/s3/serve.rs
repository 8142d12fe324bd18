//! Accepts connections and passes requests through knobs and counters to s3s.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper1::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper1::service::service_fn;
use hyper1::{Method, Request, Response, StatusCode, Uri};
use md5::Digest;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

use super::counters::Counters;
use super::knobs::{Failure, Knobs, Operation};
use super::{Config, routes::Routes};

/// What a running server needs.
#[derive(Clone)]
pub(super) struct State {
    service: S3Service,
    root: PathBuf,
    knobs: Arc<Knobs>,
    counters: Arc<Counters>,
}

impl State {
    pub(super) fn new(config: &Config, knobs: Arc<Knobs>, counters: Arc<Counters>) -> io::Result<Self> {
        let files =
            s3s_fs::FileSystem::new(&config.root).map_err(|error| io::Error::other(format!("{error:?}")))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(
            config.access_key.as_str(),
            config.secret_key.as_str(),
        ));
        builder.set_route(Routes::new(config.root.clone(), Arc::clone(&knobs)));
        Ok(Self {
            service: builder.build(),
            root: config.root.clone(),
            knobs,
            counters,
        })
    }
}

/// Serves until it is told to stop; then every connection breaks.
pub(super) fn run(
    listener: TcpListener,
    state: State,
    workers: usize,
    stopped: oneshot::Receiver<()>,
    started: &mpsc::Sender<io::Result<()>>,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            drop(started.send(Err(error)));
            return;
        }
    };
    runtime.block_on(async {
        let listening = listener
            .set_nonblocking(true)
            .and_then(|()| tokio::net::TcpListener::from_std(listener));
        match listening {
            Ok(listener) => {
                drop(started.send(Ok(())));
                tokio::select! {
                    () = accept(listener, state) => {}
                    _ = stopped => {}
                }
            }
            Err(error) => drop(started.send(Err(error))),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
}

async fn accept(listener: tokio::net::TcpListener, state: State) {
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            continue;
        };
        let state = state.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let state = state.clone();
                async move { Ok::<_, Infallible>(serve(state, request).await) }
            });
            let connection = hyper1::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(socket), service);
            if let Err(error) = connection.await {
                log::debug!("S3 connection: {error}");
            }
        });
    }
}

/// Counts a request as being served until it is dropped, also when the client goes.
struct Served {
    counters: Arc<Counters>,
    operation: Operation,
    object: String,
    status: Option<u16>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.counters.end(self.operation, self.status, &self.object);
    }
}

async fn serve(state: State, request: Request<Incoming>) -> Response<s3s::Body> {
    let operation = Operation::of(request.method(), request.uri());
    state.counters.begin(operation);
    let mut served = Served {
        counters: Arc::clone(&state.counters),
        operation,
        object: request.uri().path().trim_start_matches('/').to_owned(),
        status: None,
    };
    tokio::time::sleep(state.knobs.latency()).await;
    while state.knobs.hangs() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let failure = state.knobs.failure(operation);
    let response = match failure {
        Some(Failure::Hang) => std::future::pending().await,
        Some(Failure::Status(status)) => refusal(status, "a fault on order"),
        Some(Failure::ErrorInOk) => refusal(200, "a fault on order"),
        Some(Failure::OkWith(text)) => answer(200, text.to_owned()),
        _ => handle(&state, request).await,
    };
    served.status = Some(response.status().as_u16());
    match failure {
        Some(Failure::StatusAfter(status)) => refusal(status, "a lost acknowledgement on order"),
        _ => response,
    }
}

async fn handle(state: &State, request: Request<Incoming>) -> Response<s3s::Body> {
    let (head, body) = request.into_parts();
    let upload = upload_of(&head.uri);
    let lost = (head.method == Method::GET).then(|| bucket_of(&state.root, &head.uri));
    let wrong = Arc::new(AtomicBool::new(false));
    let expected = head
        .headers
        .get("content-md5")
        .map(|value| value.as_bytes().to_vec());
    let body = Checked {
        inner: body,
        knobs: Arc::clone(&state.knobs),
        counters: Arc::clone(&state.counters),
        held: None,
        md5: expected.map(|expected| (md5::Md5::new(), expected)),
        wrong: Arc::clone(&wrong),
    };
    let request = Request::from_parts(head, s3s::Body::http_body_unsync(body));
    match state.service.call(request).await {
        _ if wrong.load(Ordering::SeqCst) => refusal(400, "BadDigest"),
        // S3 says 404 to an upload that is not there, s3s-fs 403.
        Ok(response)
            if response.status() == StatusCode::FORBIDDEN && is_gone(&state.root, upload.as_deref()) =>
        {
            coded(404, "NoSuchUpload", "there is no such upload")
        }
        // And it says so of an object when it is the bucket that is missing.
        Ok(response)
            if response.status() == StatusCode::NOT_FOUND && lost.is_some_and(|bucket| !bucket.is_dir()) =>
        {
            coded(404, "NoSuchBucket", "there is no such bucket")
        }
        Ok(response) => response,
        Err(_) => refusal(500, "InternalError"),
    }
}

/// The folder of the bucket that a request speaks of.
fn bucket_of(root: &Path, uri: &Uri) -> PathBuf {
    let bucket = uri.path().trim_start_matches('/').split('/').next();
    root.join(bucket.unwrap_or_default())
}

/// The multipart upload that a request speaks of.
fn upload_of(uri: &Uri) -> Option<String> {
    let mut pairs = uri.query()?.split('&');
    pairs
        .find_map(|pair| pair.strip_prefix("uploadId="))
        .map(str::to_owned)
}

/// Whether s3s-fs does not know the upload: it keeps a file for each.
fn is_gone(root: &Path, upload: Option<&str>) -> bool {
    upload.is_some_and(|upload| {
        let known = upload
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        !known || !root.join(format!(".upload-{upload}.json")).exists()
    })
}

fn refusal(status: u16, message: &str) -> Response<s3s::Body> {
    let code = match status {
        400 => "BadDigest",
        403 => "AccessDenied",
        404 => "NoSuchKey",
        503 => "SlowDown",
        _ => "InternalError",
    };
    coded(status, code, message)
}

fn coded(status: u16, code: &str, message: &str) -> Response<s3s::Body> {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    answer(status, body)
}

fn answer(status: u16, body: String) -> Response<s3s::Body> {
    let mut response = Response::new(s3s::Body::http_body(
        Full::from(Bytes::from(body)).map_err(|never| match never {}),
    ));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// A request body that comes in no faster than allowed, and breaks off at its end if it is not what its
/// `Content-MD5` says.
struct Checked {
    inner: Incoming,
    knobs: Arc<Knobs>,
    counters: Arc<Counters>,
    held: Option<(Pin<Box<Sleep>>, Bytes)>,
    md5: Option<(md5::Md5, Vec<u8>)>,
    wrong: Arc<AtomicBool>,
}

impl Checked {
    fn take(&mut self, data: Bytes) -> Result<Frame<Bytes>, s3s::StdError> {
        self.counters.received(data.len());
        if let Some((md5, _)) = &mut self.md5 {
            md5.update(&data);
        }
        Ok(Frame::data(data))
    }

    /// The body has ended: was it the right one?
    fn verdict(&mut self) -> Option<s3s::StdError> {
        let (md5, expected) = self.md5.take()?;
        if base64(&md5.finalize()).as_bytes() == expected {
            return None;
        }
        self.wrong.store(true, Ordering::SeqCst);
        Some("the body is not what its Content-MD5 says".into())
    }
}

impl HttpBody for Checked {
    type Data = Bytes;
    type Error = s3s::StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some((sleep, _)) = &mut self.held {
            ready!(sleep.as_mut().poll(context));
        }
        if let Some((_, data)) = self.held.take() {
            return Poll::Ready(Some(self.take(data)));
        }
        let data = match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
            None => return Poll::Ready(self.verdict().map(Err)),
            Some(Err(error)) => return Poll::Ready(Some(Err(Box::new(error)))),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            },
        };
        match self.knobs.due(data.len()).filter(|due| *due > Instant::now()) {
            None => Poll::Ready(Some(self.take(data))),
            Some(due) => {
                self.held = Some((Box::pin(tokio::time::sleep_until(due)), data));
                self.poll_frame(context)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() && self.md5.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.held {
            None => self.inner.size_hint(),
            Some(_) => SizeHint::default(),
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let word =
                chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
            (0..4).map(move |place| match place <= chunk.len() {
                true => char::from(DIGITS[(word >> (18 - 6 * place)) as usize & 63]),
                false => '=',
            })
        })
        .collect()
}
