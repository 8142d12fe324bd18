//! Connections for requests with a body, by hyper.
//!
//! awc copies a body once more before it is sent, and does not look for an answer until all of it is gone. hyper gives
//! the system the pieces of a body as they are, and reads while it writes: an answer that comes early is understood,
//! through TLS too.
//!
//! A connection is no task of its own: whoever waits for something from it drives it. So what is given up is gone at
//! once, with the content that it was sending, and a panic of the content is one of who sends it.

use std::cell::RefCell;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use awc::http::Uri;
use bytes::Bytes;
use hyper::body::HttpBody;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::service::Service;
use hyper::{Body, Request, Response, StatusCode};
use hyper_tls::HttpsConnector;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::A_MOMENT;
use super::answer::NoAnswer;
use super::pieces::{Over, Pieces};
use crate::adapters::http::{AskedFor, Chunks, HttpTimeouts, LONGEST_REST, TcpConnector, told};
use crate::settings::Proxies;

/// How much of a body may wait in a connection, in bytes: more is asked for when there is less. It bounds the head of
/// an answer, too.
const WAITING: usize = 64 * 1024;

/// Opens connections, and keeps those that can be used again: all to one server, for only binaries are sent on them.
pub(super) struct Lines {
    connector: HttpsConnector<TcpConnector>,
    patience: Duration,
    resting: Resting,
}

type Resting = Rc<RefCell<Vec<(Instant, Line)>>>;

impl Lines {
    pub(super) fn new(
        timeouts: &HttpTimeouts,
        tls: &Arc<rustls::ClientConfig>,
        proxies: &Arc<Proxies>,
    ) -> Self {
        let tcp = TcpConnector::new(proxies.clone(), AskedFor::Tunnels, timeouts.connect);
        Self {
            connector: HttpsConnector::from((tcp, tls.clone())),
            patience: timeouts.connect,
            resting: Resting::default(),
        }
    }

    /// Opens one that is used once.
    pub(super) async fn alone(&self, url: &Uri) -> Result<Line, NoAnswer> {
        let opening = self.connector.clone().call(url.clone());
        let opened = timeout(self.patience + A_MOMENT, opening).await;
        let late = |patience| NoAnswer::no_connection(format!("not within {patience:.1?}"));
        let opened = opened.map_err(|_| late(self.patience + A_MOMENT))?;
        let io = opened.map_err(|error| match is_late(&*error) {
            true => late(self.patience),
            false => NoAnswer::no_connection(told(&*error)),
        })?;
        let over = Over::default();
        let io = Forgiving {
            io,
            over: over.clone(),
        };
        let handshake = Builder::new().max_buf_size(WAITING).handshake(io).await;
        let (sender, connection) = handshake.map_err(|error| NoAnswer::because_hyper(&error))?;
        Ok(Line {
            sender,
            connection: Driven(Some(Box::pin(connection))),
            over,
            rests_in: None,
        })
    }

    /// One that has rested, or a new one; it rests when it has brought a 200 that was read to the end.
    pub(super) async fn kept(&self, url: &Uri) -> Result<Line, NoAnswer> {
        let mut line = match self.rested() {
            Some(line) => line,
            None => self.alone(url).await?,
        };
        line.rests_in = Some(self.resting.clone());
        Ok(line)
    }

    fn rested(&self) -> Option<Line> {
        let mut resting = self.resting.borrow_mut();
        resting.retain(|(since, _)| since.elapsed() < LONGEST_REST);
        resting.pop().map(|(_, line)| line)
    }
}

/// A connection. It ends with this.
pub(super) struct Line {
    sender: SendRequest<Pieces>,
    connection: Driven,
    over: Over,
    rests_in: Option<Resting>,
}

impl Line {
    /// The request goes out as soon as there is nothing of an earlier one left.
    pub(super) async fn send(&mut self, request: Request<Pieces>) -> hyper::Result<Response<Body>> {
        let sender = &mut self.sender;
        let sending = async {
            sender.ready().await?;
            sender.send_request(request).await
        };
        self.connection.beside(sending).await
    }

    /// Tells when nothing more is sent.
    pub(super) fn over(&self) -> Over {
        self.over.clone()
    }

    /// Nothing more is sent, whatever is written.
    pub(super) fn send_no_more(&mut self) {
        self.over.set();
        self.rests_in = None;
    }

    /// The body of the answer that it brought.
    pub(super) fn body(mut self, answer: StatusCode, body: Body) -> Box<dyn Chunks> {
        if answer != StatusCode::OK {
            self.rests_in = None;
        }
        Box::new(AnswerBody {
            body,
            line: Some(self),
        })
    }
}

fn is_late(error: &(dyn Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>();
    let here = io.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut);
    here || error.source().is_some_and(is_late)
}

/// What hyper does on a connection; nothing once it has ended.
struct Driven(Option<Pin<Box<dyn Future<Output = hyper::Result<()>>>>>);

impl Driven {
    /// Goes on with it as long as `waiting` waits, which learns what becomes of it.
    async fn beside<T>(&mut self, waiting: impl Future<Output = T>) -> T {
        let mut waiting = pin!(waiting);
        poll_fn(|context| {
            if let Some(connection) = &mut self.0
                && connection.as_mut().poll(context).is_ready()
            {
                self.0 = None;
            }
            waiting.as_mut().poll(context)
        })
        .await
    }
}

struct AnswerBody {
    body: Body,
    line: Option<Line>,
}

#[async_trait(?Send)]
impl Chunks for AnswerBody {
    async fn next(&mut self) -> Option<Result<Bytes, String>> {
        let chunk = match &mut self.line {
            Some(line) => line.connection.beside(self.body.data()).await,
            None => None,
        };
        if chunk.is_none()
            && let Some(mut line) = self.line.take()
            && !line.over.is_set()
            && let Some(resting) = line.rests_in.take()
        {
            resting.borrow_mut().push((Instant::now(), line));
        }
        chunk.map(|chunk| chunk.map_err(|error| broken_off(&error)))
    }
}

fn broken_off(error: &hyper::Error) -> String {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    match cause.map(io::Error::kind) {
        Some(io::ErrorKind::UnexpectedEof) => "the body broke off".to_owned(),
        _ => told(error),
    }
}

/// A connection that takes what is written when nothing can be sent any more, and tells nobody: the server may have
/// answered before it broke off, and who waits for the answer learns from reading what has happened.
struct Forgiving<T> {
    io: T,
    over: Over,
}

impl<T> Forgiving<T> {
    /// `length` bytes were to be written.
    fn forgive(&self, written: io::Result<usize>, length: usize) -> usize {
        written.unwrap_or_else(|_| {
            self.over.set();
            length
        })
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Forgiving<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Forgiving<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.over.is_set() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = ready!(Pin::new(&mut self.io).poll_write(context, bytes));
        Poll::Ready(Ok(self.forgive(written, bytes.len())))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        if self.over.is_set() {
            return Poll::Ready(Ok(length));
        }
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(context, slices));
        Poll::Ready(Ok(self.forgive(written, length)))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.over.is_set() && ready!(Pin::new(&mut self.io).poll_flush(context)).is_err() {
            self.over.set();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
