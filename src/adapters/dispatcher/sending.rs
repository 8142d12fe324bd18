//! A request with a body: sent piece by piece as the connection takes it, watched while it is sent and while its
//! answer is waited for.

use std::future::Future;
use std::time::Duration;

use actors::fault::Fault;
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::uri::InvalidUri;
use hyper::{HeaderMap, Request, Uri};
use tokio::time::Instant;
use url::{Position, Url};

use super::answer::{Answer, NoAnswer};
use super::pieces::{Body, Course, Pieces, Stage};
use super::request;
use super::target::Place;

/// How fast whoever receives a body is believed to be done with it once it has it all.
const DIGESTED_IN_A_SECOND: u64 = 8 * 1024 * 1024;

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
        let (head, body) = response.into_parts();
        let body = line.body(head.status, body);
        let answer = Answer::by_hyper(&head, body, self.at.timeouts.chunk, self.operation, &self.target);
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
