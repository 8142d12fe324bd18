//! A request with a body: sent piece by piece as the connection takes it, watched while it is sent and while its
//! answer is waited for.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use actix_http::body::{BodyStream, SizedStream};
use actors::fault::Fault;
use actors::ports::ByteStream;
use actors::stream_worker::progress::Progress;
use awc::error::SendRequestError;
use awc::{Client, ClientResponse, SendClientRequest};
use bytes::Bytes;
use futures_util::Stream;
use tokio::time::Instant;
use url::Url;

use super::answer::NoAnswer;
use super::connection::EarlyAnswer;
use super::request;
use super::target::Place;

/// The most that awc is given, and copies, at once: with its frame as much as the system sends as one.
const PIECE: usize = 63 * 1024;

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
}

/// A head of an answer.
pub(super) struct Answered {
    pub(super) response: ClientResponse,
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

impl Post<'_> {
    /// Sends it on a connection that is kept.
    pub(super) async fn send_kept(&self, body: Body) -> Result<Answered, Unanswered> {
        self.send(&self.at.kept, body, EarlyAnswer::default(), false)
            .await
    }

    /// Sends it on a connection of its own, where an early answer is understood.
    pub(super) async fn send_alone(&self, body: Body) -> Result<Answered, Unanswered> {
        let early = EarlyAnswer::default();
        let client = self.at.alone(&early);
        self.send(&client, body, early, true).await
    }

    async fn send(
        &self,
        client: &Client,
        body: Body,
        early: EarlyAnswer,
        alone: bool,
    ) -> Result<Answered, Unanswered> {
        let course = Rc::new(Course::new(early, self.at.progress.clone()));
        let mut post = client
            .post(self.url.as_str())
            .insert_header(request::user_agent(&self.consumer))
            .content_type(self.content_type)
            .no_decompress();
        if alone {
            post = post.force_close();
        }
        let length = match &body.rest {
            None => Some(body.begun.iter().map(|piece| piece.len() as u64).sum()),
            Some(_) => None,
        };
        let pieces = pieces(body, Rc::clone(&course));
        let sending = match length {
            Some(length) => post.send_body(SizedStream::new(length, pieces)),
            None => post.send_body(BodyStream::new(pieces)),
        };
        let sent = self.watched(sending, &course).await;
        if let Some(fault) = course.fault.take() {
            return Err(Unanswered::Content(fault));
        }
        let response = match sent {
            Ok(sent) => sent.map_err(|error| NoAnswer::because(&error)),
            Err(stuck) => Err(NoAnswer::stuck(stuck)),
        };
        let early = course.early.has_come();
        response
            .map(|response| Answered { response, early })
            .map_err(Unanswered::NoAnswer)
    }

    /// Waits for the answer as long as there is progress.
    async fn watched(
        &self,
        sending: SendClientRequest,
        course: &Course,
    ) -> Result<Result<ClientResponse, SendRequestError>, String> {
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
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    /// The connection, to take more.
    Sending,
    /// The content, for its next chunk.
    Reading,
    /// The answer.
    Sent,
}

/// How far a request has come; shared by the one who watches it and its body, which awc owns.
struct Course {
    stage: Cell<Stage>,
    /// When the last piece was handed to awc, or the stage last changed.
    since: Cell<Instant>,
    sent: Cell<u64>,
    fault: RefCell<Option<Fault>>,
    early: EarlyAnswer,
    progress: Progress,
}

impl Course {
    fn new(early: EarlyAnswer, progress: Progress) -> Self {
        Self {
            stage: Cell::new(Stage::Sending),
            since: Cell::new(Instant::now()),
            sent: Cell::new(0),
            fault: RefCell::new(None),
            early,
            progress,
        }
    }

    fn comes_to(&self, stage: Stage) {
        self.stage.set(stage);
        self.since.set(Instant::now());
        self.progress.step();
    }
}

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
#[error("the content failed")]
struct ContentFailed;

/// The body, made while it is sent: the next piece is asked for when the connection has taken the one before.
fn pieces(body: Body, course: Rc<Course>) -> impl Stream<Item = Result<Bytes, ContentFailed>> {
    let mut begun = VecDeque::from(body.begun);
    begun.retain(|piece| !piece.is_empty());
    futures_util::stream::unfold(
        (begun, body.rest, course),
        |(mut begun, mut rest, course)| async move {
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
            course.comes_to(Stage::Sending);
            Some((Ok(piece), (begun, rest, course)))
        },
    )
}

/// The next bytes of the content; none at its end, or when nobody wants more of it.
async fn read(content: &mut dyn ByteStream, course: &Course) -> Result<Option<Bytes>, ContentFailed> {
    course.comes_to(Stage::Reading);
    while !course.early.has_come() {
        match content.chunk().await {
            Ok(Some(chunk)) if chunk.is_empty() => {}
            Ok(chunk) => return Ok(chunk),
            Err(fault) => {
                *course.fault.borrow_mut() = Some(fault);
                return Err(ContentFailed);
            }
        }
    }
    Ok(None)
}
