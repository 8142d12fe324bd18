//! One pull: from the request to the last byte of its answer.

use std::time::Duration;

use actors::fault::{Fault, FaultKind};
use actors::ports::{AnswerSink, ByteStream, Pull, PullAnswer, PullFault};
use awc::Client;
use url::Url;

use super::Target;
use super::answer::{Answer, head};
use super::request;

const PULL: &str = "pull events";

pub(super) async fn pull(
    client: &Client,
    at: &Target,
    pull: &Pull,
    sink: &mut dyn AnswerSink,
) -> Result<PullAnswer, PullFault> {
    let target = format!("{} from {}", pull.feed, at.events);
    let patience = Duration::from_secs(request::deadline_seconds(pull)).max(pull.deadline) + at.timeouts.head;
    let asked = Asked {
        url: request::pull(&at.events, pull),
        consumer: &pull.consumer,
        patience,
        target,
    };
    send(client, at, asked, sink).await
}

/// What is asked for, and as whom.
pub(super) struct Asked<'a> {
    pub(super) url: Url,
    pub(super) consumer: &'a str,
    pub(super) patience: Duration,
    /// For the text of faults.
    pub(super) target: String,
}

pub(super) async fn send(
    client: &Client,
    at: &Target,
    asked: Asked<'_>,
    sink: &mut dyn AnswerSink,
) -> Result<PullAnswer, PullFault> {
    let Asked {
        url,
        consumer,
        patience,
        target,
    } = asked;
    let request = client
        .get(url.as_str())
        .insert_header(request::user_agent(consumer))
        .force_close()
        .no_decompress();
    let sent = tokio::time::timeout(patience, request.send()).await;
    let response = head(sent, patience).map_err(|error| {
        let fault = Fault::transient(PULL, &target, error.text);
        match error.unsent {
            true => PullFault::Refused(fault),
            false => PullFault::Suspect(fault),
        }
    })?;
    let answer = Answer::of(response, at.timeouts.chunk, PULL, &target);
    match answer.status {
        200 => take(answer, sink).await.map_err(PullFault::Suspect),
        400..=499 => Err(PullFault::Refused(never_missing(
            answer.into_fault().await,
            &target,
        ))),
        _ => Err(PullFault::Suspect(answer.into_fault().await)),
    }
}

/// A feed is never missing: a 404 says that the URL leads somewhere else.
fn never_missing(fault: Fault, target: &str) -> Fault {
    match fault.kind() {
        FaultKind::Missing => Fault::rejected(PULL, target, fault.detail()),
        _ => fault,
    }
}

/// Hands the body over as it comes in, and makes sure that all of it came.
async fn take(mut answer: Answer, sink: &mut dyn AnswerSink) -> Result<PullAnswer, Fault> {
    if !answer.framed {
        return Err(answer.transient("200 without a length, and not chunked: its body cannot be told"));
    }
    let mut tail = Tail::of(&answer.content_type);
    while let Some(chunk) = answer.body.chunk().await? {
        tail.see(&chunk);
        sink.take(chunk).await?;
    }
    if answer.length.is_none() && !tail.is_closed() {
        return Err(answer.transient("the answer broke off: its multipart is not closed"));
    }
    Ok(PullAnswer {
        content_type: answer.content_type,
    })
}

/// The last bytes of a multipart body: they tell whether it is whole.
struct Tail {
    /// `--boundary--`; `None` where the content type names no boundary, and nothing can be told.
    closing: Option<Vec<u8>>,
    last: Vec<u8>,
}

/// How much white space may follow the closing delimiter.
const PADDING: usize = 16;

/// The longest boundary that RFC 2046 allows.
const LONGEST_BOUNDARY: usize = 70;

impl Tail {
    fn of(content_type: &str) -> Self {
        Self {
            closing: boundary(content_type).map(|boundary| format!("--{boundary}--").into_bytes()),
            last: Vec::new(),
        }
    }

    fn see(&mut self, chunk: &[u8]) {
        let Some(closing) = &self.closing else { return };
        let kept = closing.len() + PADDING;
        self.last
            .extend_from_slice(&chunk[chunk.len().saturating_sub(kept)..]);
        let surplus = self.last.len().saturating_sub(kept);
        self.last.drain(..surplus);
    }

    fn is_closed(&self) -> bool {
        match &self.closing {
            Some(closing) => self.last.trim_ascii_end().ends_with(closing),
            None => true,
        }
    }
}

/// The boundary of a multipart content type.
fn boundary(content_type: &str) -> Option<&str> {
    let mut parameters = content_type.split(';');
    if !parameters
        .next()?
        .trim()
        .to_ascii_lowercase()
        .starts_with("multipart/")
    {
        return None;
    }
    let boundary = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("boundary")
            .then(|| value.trim().trim_matches('"'))
    })?;
    (!boundary.is_empty() && boundary.len() <= LONGEST_BOUNDARY).then_some(boundary)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_boundary_is_found_as_it_may_be_written() {
        for (content_type, expected) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("Multipart/Form-Data;charset=x; Boundary=\"a b\"", Some("a b")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("application/json; boundary=abc", None),
            ("", None),
        ] {
            assert_eq!(boundary(content_type), expected, "{content_type}");
        }
    }

    proptest! {
        #[test]
        fn a_multipart_is_whole_only_with_its_closing_delimiter(
            content in proptest::collection::vec(any::<u8>(), 0..200),
            cut in 0usize..8,
            chunk in 1usize..40,
        ) {
            let mut body = content;
            body.extend_from_slice(b"\r\n--abc--\r\n");
            let whole = cut <= 2;
            body.truncate(body.len() - cut);
            let mut tail = Tail::of("multipart/form-data; boundary=abc");
            body.chunks(chunk).for_each(|chunk| tail.see(chunk));
            prop_assert_eq!(tail.is_closed(), whole);
        }
    }
}
