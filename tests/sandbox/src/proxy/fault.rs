//! What can be made to happen to a request, and to its answer.
//!
//! A fault says precisely how far the request got. *Unsent*: the server never saw it. *Unanswered*: the server did what
//! it was asked for, and the client does not learn of it. Everything else spoils the answer on its way.

use super::operation::Operation;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No connection comes about: nobody listens. Not bound to one operation; see [`super::Proxy::close`].
    Refused,
    /// The request comes in, and the connection is reset; the server never saw it.
    ResetUnsent,
    /// The request comes in, and nothing happens; the server never saw it.
    HangUnsent,
    /// The connection is reset in the middle of the request's body, towards both sides.
    ResetInRequest,
    /// One bit of the request's body is flipped on its way to the server.
    FlipInRequest,
    /// The proxy answers by itself; the server never saw the request.
    Answer(Reply),
    /// The server did it, then the connection is reset without an answer.
    ResetUnanswered,
    /// The server did it, and nothing comes back.
    HangUnanswered,
    /// The server did it; all connections are reset, and new ones refused for a while.
    AwayUnanswered,
    /// The server did it, and the proxy answers something else.
    AnswerInstead(Reply),
    /// Reset in the middle of the answer's head.
    ResetInHead,
    /// Reset in the middle of the answer's body.
    ResetInBody,
    /// Reset right after the whole answer.
    ResetAfterBody,
    /// Silence from the middle of the answer's body on.
    HangInBody,
    /// One byte a second, from the first byte of the answer's head on.
    DripHead,
    /// So many bytes of the answer's body come at one a second, then the rest at once.
    DripBody(usize),
    /// The body ends early in good order; its `Content-Length` is right.
    CutByLength,
    /// The body ends early in good order, without its last chunk.
    CutChunked,
    /// The body ends early, and its `Content-Length` agrees.
    CutShorter,
    /// One bit of the answer's body is flipped.
    Flip(Spot),
    /// The header names another boundary than the body has; with a `Content-Length`.
    WrongBoundary,
    /// The same, in chunks.
    WrongBoundaryChunked,
}

/// Where a bit is flipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// In the middle.
    Middle,
    /// In the first boundary of a multipart.
    Boundary,
    /// So many bytes into the bulk of events, this bit.
    Bulk(usize, u8),
    /// In the first byte of this text.
    Text(&'static str),
}

/// What the proxy answers by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// An error in the words of the server itself: JSON from the dispatcher, XML from S3.
    Own(u16),
    /// An error with the JSON of the dispatcher.
    Json(u16),
    /// An error with the XML of S3.
    Xml(u16),
    /// What S3 says of an object that is not there.
    NoSuchKey,
    /// An error with the web page of something in between.
    Html(u16),
    /// 200 with a web page.
    Page,
    /// 200 with a web page, and the headers that S3 gives to an object.
    TaggedPage,
    /// 200 with an `<Error>` in the body.
    ErrorInside,
    /// 200 with text that is no XML.
    Text,
    /// 200 with nothing.
    Empty,
}

impl Fault {
    /// Its name in reports.
    pub fn name(self) -> String {
        match self {
            Self::Refused => "refused".to_owned(),
            Self::ResetUnsent => "reset, never forwarded".to_owned(),
            Self::HangUnsent => "hang, never forwarded".to_owned(),
            Self::ResetInRequest => "reset in the request's body".to_owned(),
            Self::FlipInRequest => "flipped bit in the request's body".to_owned(),
            Self::Answer(reply) => format!("{}, never forwarded", reply.name()),
            Self::ResetUnanswered => "done, answer lost by reset".to_owned(),
            Self::HangUnanswered => "done, answer lost by hang".to_owned(),
            Self::AwayUnanswered => "done, answer lost and server away".to_owned(),
            Self::AnswerInstead(reply) => format!("done, but answered {}", reply.name()),
            Self::ResetInHead => "reset in the head".to_owned(),
            Self::ResetInBody => "reset in the body".to_owned(),
            Self::ResetAfterBody => "reset after the body".to_owned(),
            Self::HangInBody => "hang in the body".to_owned(),
            Self::DripHead => "one byte a second".to_owned(),
            Self::DripBody(usize::MAX) => "body at one byte a second".to_owned(),
            Self::DripBody(bytes) => format!("{bytes} bytes of the body at one a second"),
            Self::CutByLength => "cut short of its length".to_owned(),
            Self::CutChunked => "cut short of its last chunk".to_owned(),
            Self::CutShorter => "cut, with a length that agrees".to_owned(),
            Self::Flip(Spot::Middle) => "flipped bit".to_owned(),
            Self::Flip(Spot::Boundary) => "flipped bit in the boundary".to_owned(),
            Self::Flip(Spot::Bulk(at, bit)) => format!("flipped bit {bit} in byte {at} of the bulk"),
            Self::Flip(Spot::Text(text)) => format!("flipped bit in the text `{text}`"),
            Self::WrongBoundary => "wrong boundary in the header".to_owned(),
            Self::WrongBoundaryChunked => "wrong boundary in the header, chunked".to_owned(),
        }
    }

    /// Whether the client gets the whole answer of the server, unchanged.
    pub(super) fn leaves_answer_whole(self) -> bool {
        matches!(
            self,
            Self::ResetAfterBody | Self::DripBody(_) | Self::FlipInRequest
        )
    }
}

impl Reply {
    fn name(self) -> String {
        match self {
            Self::Own(status) => status.to_string(),
            Self::Json(status) => format!("{status} with JSON"),
            Self::Xml(status) => format!("{status} with XML"),
            Self::NoSuchKey => "404 of an object".to_owned(),
            Self::Html(status) => format!("{status} with a web page"),
            Self::Page => "200 with a web page".to_owned(),
            Self::TaggedPage => "200 with a web page and S3's headers".to_owned(),
            Self::ErrorInside => "200 with an error inside".to_owned(),
            Self::Text => "200 with text".to_owned(),
            Self::Empty => "200 with nothing".to_owned(),
        }
    }

    /// The answer, in the bytes that go over the wire.
    pub(super) fn render(self, method: &str, operation: Operation) -> Vec<u8> {
        const HTML: &str = "<html><head><title>Sorry</title></head><body><h1>Some proxy</h1></body></html>";
        let error = |code: &str| {
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>a fault on \
                 order</Message></Error>"
            )
        };
        let dispatchers = matches!(operation, Operation::Pull | Operation::Download);
        let reply = match self {
            Self::Own(status) if dispatchers => Self::Json(status),
            Self::Own(status) => Self::Xml(status),
            other => other,
        };
        let (status, kind, body) = match reply {
            Self::Json(status) => (
                status,
                "application/json; charset=utf-8",
                format!(
                    "{{\"status\":\"{status}\",\"title\":\"a fault\",\"detail\":\"on order\",\
                     \"error_enum\":\"ErrorStringEnumUnset\"}}"
                ),
            ),
            Self::Own(status) | Self::Xml(status) => {
                (status, "application/xml", error(code(status, operation)))
            }
            Self::NoSuchKey => (404, "application/xml", error("NoSuchKey")),
            Self::Html(status) => (status, "text/html", HTML.to_owned()),
            Self::Page | Self::TaggedPage => (200, "text/html", HTML.to_owned()),
            Self::ErrorInside => (200, "application/xml", error("InternalError")),
            Self::Text => (200, "text/plain", "it works! <br> & more".to_owned()),
            Self::Empty => (200, "application/xml", String::new()),
        };
        let mut head = format!(
            "HTTP/1.1 {status} On Order\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n",
            body.len()
        );
        if matches!(status, 429 | 503) {
            head.push_str("Retry-After: 1\r\n");
        }
        if self == Self::TaggedPage {
            head.push_str(
                "ETag: \"0123456789abcdef0123456789abcdef\"\r\nLast-Modified: Mon, 23 Nov 2026 08:12:10 GMT\r\n",
            );
        }
        head.push_str("\r\n");
        if method != "HEAD" {
            head.push_str(&body);
        }
        head.into_bytes()
    }
}

/// The code that S3 gives with a status.
fn code(status: u16, operation: Operation) -> &'static str {
    match (status, operation) {
        (404, Operation::UploadPart | Operation::CompleteUpload | Operation::AbortUpload) => "NoSuchUpload",
        (404, _) => "NoSuchBucket",
        (403, _) => "AccessDenied",
        (503, _) => "SlowDown",
        (429, _) => "TooManyRequests",
        _ => "InternalError",
    }
}
