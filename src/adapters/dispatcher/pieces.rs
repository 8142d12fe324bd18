//! The body of a request, made while it is sent, and how far it has come.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use actors::fault::Fault;
use actors::ports::ByteStream;
use actors::stream_worker::progress::Progress;
use bytes::Bytes;
use futures_util::Stream;
use hyper::HeaderMap;
use hyper::body::{HttpBody, SizeHint};
use send_wrapper::SendWrapper;
use tokio::time::Instant;

/// The most that a connection is given at once, in bytes. What is handed to it counts as sent and as progress,
/// although it may hold back two of these.
const PIECE: usize = 64 * 1024;

/// What is sent.
pub(super) struct Body {
    /// What is in memory already.
    pub(super) begun: Vec<Bytes>,
    /// Where the rest comes from; without any, the length is known.
    pub(super) rest: Option<Box<dyn ByteStream>>,
}

/// Whether nothing is sent any more: there is an answer already, or the connection has broken off.
#[derive(Clone, Debug, Default)]
pub(super) struct Over(Arc<AtomicBool>);

impl Over {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is being waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The connection, to take more.
    Sending,
    /// The content, for its next chunk.
    Reading,
    /// The answer.
    Sent,
}

/// How far a request has come; shared by the one who watches it and its body, which its connection owns.
pub(super) struct Course {
    pub(super) stage: Cell<Stage>,
    /// When the last piece was handed to the connection, or the stage last changed.
    pub(super) since: Cell<Instant>,
    pub(super) sent: Cell<u64>,
    pub(super) fault: RefCell<Option<Fault>>,
    pub(super) over: Over,
    progress: Progress,
}

impl Course {
    fn comes_to(&self, stage: Stage) {
        self.stage.set(stage);
        self.since.set(Instant::now());
        self.progress.step();
    }
}

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
#[error("the content failed")]
pub(super) struct ContentFailed;

/// The body, made while it is sent: the next piece is asked for when the connection has room for it.
pub(super) struct Pieces {
    /// hyper wants to be able to send a body to another thread; its connection stays on this one.
    pieces: SendWrapper<LocalPieces>,
    pub(super) length: Option<u64>,
}

type LocalPieces = Pin<Box<dyn Stream<Item = Result<Bytes, ContentFailed>>>>;

impl Pieces {
    pub(super) fn of(body: Body, over: Over, progress: Progress) -> (Self, Rc<Course>) {
        let length = match &body.rest {
            None => Some(body.begun.iter().map(|piece| piece.len() as u64).sum()),
            Some(_) => None,
        };
        let course = Rc::new(Course {
            // Nobody asks for the pieces of nothing.
            stage: Cell::new(match length {
                Some(0) => Stage::Sent,
                _ => Stage::Sending,
            }),
            since: Cell::new(Instant::now()),
            sent: Cell::new(0),
            fault: RefCell::new(None),
            over,
            progress,
        });
        let pieces: LocalPieces = Box::pin(pieces(body, length, Rc::clone(&course)));
        let pieces = SendWrapper::new(pieces);
        (Self { pieces, length }, course)
    }
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = ContentFailed;

    fn poll_data(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, ContentFailed>>> {
        self.pieces.as_mut().poll_next(context)
    }

    fn poll_trailers(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Result<Option<HeaderMap>, ContentFailed>> {
        Poll::Ready(Ok(None))
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map(SizeHint::with_exact).unwrap_or_default()
    }
}

fn pieces(
    body: Body,
    length: Option<u64>,
    course: Rc<Course>,
) -> impl Stream<Item = Result<Bytes, ContentFailed>> {
    let mut begun = VecDeque::from(body.begun);
    begun.retain(|piece| !piece.is_empty());
    futures_util::stream::unfold(
        (begun, body.rest, course),
        move |(mut begun, mut rest, course)| async move {
            if begun.is_empty()
                && let Some(content) = &mut rest
            {
                match read(&mut **content, &course).await {
                    Ok(chunk) => begun.extend(chunk),
                    Err(failed) => return Some((Err(failed), (begun, rest, course))),
                }
            }
            let Some(first) = begun.front_mut() else {
                course.comes_to(Stage::Sent);
                return None;
            };
            let piece = first.split_to(first.len().min(PIECE));
            if first.is_empty() {
                begun.pop_front();
            }
            course.sent.set(course.sent.get() + piece.len() as u64);
            // Where the length is known, nobody asks for what comes after the last piece.
            course.comes_to(match length == Some(course.sent.get()) {
                true => Stage::Sent,
                false => Stage::Sending,
            });
            Some((Ok(piece), (begun, rest, course)))
        },
    )
}

/// The next bytes of the content; none at its end, or when nobody wants more of it.
async fn read(content: &mut dyn ByteStream, course: &Course) -> Result<Option<Bytes>, ContentFailed> {
    course.comes_to(Stage::Reading);
    while !course.over.is_set() {
        match content.chunk().await {
            Ok(Some(chunk)) if chunk.is_empty() => {}
            Ok(chunk) => return Ok(chunk),
            // It is of no interest any more.
            Err(_) if course.over.is_set() => {}
            Err(fault) => {
                *course.fault.borrow_mut() = Some(fault);
                return Err(ContentFailed);
            }
        }
    }
    Ok(None)
}
