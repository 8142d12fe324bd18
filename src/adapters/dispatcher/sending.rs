//! A request with a body: sent piece by piece as the connection takes it, watched while it is sent and while its
//! answer is waited for.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actors::fault::Fault;
use actors::ports::ByteStream;
use actors::stream_worker::progress::Progress;
use bytes::Bytes;
use futures_util::Stream;
use hyper::body::{HttpBody, SizeHint};
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::uri::InvalidUri;
use hyper::{HeaderMap, Request, Uri};
use send_wrapper::SendWrapper;
use tokio::time::Instant;
use url::{Position, Url};

use super::answer::{Answer, NoAnswer};
use super::line::Over;
use super::request;
use super::target::Place;

/// The most that a connection is given at once, in bytes. What is handed to it counts as sent and as progress,
/// although it may hold back two of these.
const PIECE: usize = 64 * 1024;

/// How fast whoever receives a body is believed to be done with it once it has it all.
const DIGESTED_IN_A_SECOND: u64 = 8 * 1024 * 1024;

/// What is sent.
pub(super) struct Body {
    /// What is in memory already.
    pub(super) begun: Vec<Bytes>,
    /// Where the rest comes from; without any, the length is known.
    pub(super) rest: Option<Box<dyn ByteStream>>,
}

/// What is asked, and by whom.
pub(super) struct Post<'a> {
    pub(super) at: &'a Place,
    pub(super) url: Url,
    pub(super) consumer: String,
    pub(super) content_type: &'static str,
    /// The wait for the answer to a body of no length.
    pub(super) patience: Duration,
    /// What is done, and to what, for faults.
    pub(super) operation: &'static str,
    pub(super) target: String,
}

/// An answer, its body not read.
pub(super) struct Answered {
    pub(super) answer: Answer,
    /// It came before all was sent.
    pub(super) early: bool,
}

/// Why there is none.
pub(super) enum Unanswered {
    /// The content of the body failed, and the request was broken off.
    Content(Fault),
    /// Anything else.
    NoAnswer(NoAnswer),
}

impl From<NoAnswer> for Unanswered {
    fn from(no: NoAnswer) -> Self {
        Self::NoAnswer(no)
    }
}

impl Post<'_> {
    /// Sends it on a connection that is kept.
    pub(super) async fn send_kept(&self, body: Body) -> Result<Answered, Unanswered> {
        self.send(body, true).await
    }

    /// Sends it on a connection of its own.
    pub(super) async fn send_alone(&self, body: Body) -> Result<Answered, Unanswered> {
        self.send(body, false).await
    }

    async fn send(&self, body: Body, kept: bool) -> Result<Answered, Unanswered> {
        let lines = &self.at.lines;
        let url = self.url.as_str().parse();
        let url: Uri = url.map_err(|error: InvalidUri| NoAnswer::unsendable(&self.url, error.into()))?;
        let mut line = match kept {
            true => lines.kept(&url).await?,
            false => lines.alone(&url).await?,
        };
        let (pieces, course) = Pieces::of(body, line.over(), self.at.progress.clone());
        let request = self.request(pieces, kept)?;
        let sent = self.watched(line.send(request), &course).await;
        if let Some(fault) = course.fault.take() {
            return Err(Unanswered::Content(fault));
        }
        let response = sent
            .map_err(NoAnswer::stuck)?
            .map_err(|error| NoAnswer::because_hyper(&error))?;
        let early = course.stage.get() != Stage::Sent || course.over.is_set();
        if early {
            line.send_no_more();
        }
        let answer = Answer::to_a_body(
            line,
            response,
            self.at.timeouts.chunk,
            self.operation,
            &self.target,
        );
        Ok(Answered { answer, early })
    }

    /// Why there is no answer, as a fault.
    pub(super) fn fault(&self, unanswered: Unanswered) -> Fault {
        match unanswered {
            Unanswered::Content(fault) => fault,
            Unanswered::NoAnswer(no) => Fault::transient(self.operation, &self.target, no.text),
        }
    }

    fn request(&self, body: Pieces, kept: bool) -> Result<Request<Pieces>, NoAnswer> {
        let unsendable = |error| NoAnswer::unsendable(&self.url, error);
        let host = &self.url[Position::BeforeHost..Position::AfterPort];
        let (user_agent, consumer) = request::user_agent(&self.consumer);
        let mut headers = HeaderMap::new();
        headers.insert(
            HOST,
            HeaderValue::from_str(host).map_err(|error| unsendable(error.into()))?,
        );
        headers.insert(user_agent, consumer);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Some(length) = body.length {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        if !kept {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let mut request = Request::post(&self.url[Position::BeforePath..])
            .body(body)
            .map_err(unsendable)?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Waits for the answer as long as there is progress.
    async fn watched<T>(&self, sending: impl Future<Output = T>, course: &Course) -> Result<T, String> {
        let mut sending = std::pin::pin!(sending);
        loop {
            let (patience, what) = match course.stage.get() {
                // Its own time-outs end this wait; what is looked at next is whether it has.
                Stage::Reading => (self.at.timeouts.head, None),
                Stage::Sending => (self.at.timeouts.head, Some("nothing could be sent for")),
                Stage::Sent => (self.answer_patience(course.sent.get()), Some("no answer within")),
            };
            let until = match what {
                None => Instant::now() + patience,
                Some(_) => course.since.get() + patience,
            };
            let since = course.since.get();
            tokio::select! {
                biased;
                answer = &mut sending => return Ok(answer),
                () = tokio::time::sleep_until(until) => {}
            }
            if let Some(what) = what
                && course.since.get() == since
            {
                let sent = course.sent.get();
                return Err(format!("{what} {patience:.1?}, after {sent} bytes were sent"));
            }
        }
    }

    fn answer_patience(&self, sent: u64) -> Duration {
        self.patience + Duration::from_secs(sent / DIGESTED_IN_A_SECOND)
    }
}

/// What is being waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The connection, to take more.
    Sending,
    /// The content, for its next chunk.
    Reading,
    /// The answer.
    Sent,
}

/// How far a request has come; shared by the one who watches it and its body, which its connection owns.
struct Course {
    stage: Cell<Stage>,
    /// When the last piece was handed to the connection, or the stage last changed.
    since: Cell<Instant>,
    sent: Cell<u64>,
    fault: RefCell<Option<Fault>>,
    over: Over,
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
    length: Option<u64>,
}

type LocalPieces = Pin<Box<dyn Stream<Item = Result<Bytes, ContentFailed>>>>;

impl Pieces {
    fn of(body: Body, over: Over, progress: Progress) -> (Self, Rc<Course>) {
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
