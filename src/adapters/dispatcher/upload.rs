//! One upload of a binary.

use actors::fault::{Fault, FaultKind};
use actors::ports::ByteStream;
use actors::ports::target::Received;
use actors::stream_id::{Sha256, StreamId};
use bytes::Bytes;

use super::answer::Answer;
use super::pieces::Body;
use super::request;
use super::said::kind_of_write;
use super::sending::{Answered, Post, Unanswered};
use super::target::Place;
use crate::adapters::http::{ERROR_BODY, excerpt};

const UPLOAD: &str = "upload stream";

/// The smallest binary that has a connection of its own.
const LARGE: usize = 512 * 1024;

/// What the dispatcher says of content that is not what its name says, or is not there at all.
const BAD_CONTENT: [&str; 2] = ["sha256 mismatch", "no content in request body"];

pub(super) async fn upload(
    at: &Place,
    stream: &StreamId,
    content: Box<dyn ByteStream>,
) -> Result<Received, Fault> {
    let target = format!("{stream} to {}", at.streams);
    let post = Post {
        at,
        url: request::upload(&at.streams, stream),
        consumer: request::restores_streams(&at.backup_id),
        content_type: "application/octet-stream",
        patience: at.timeouts.head,
        operation: UPLOAD,
        target,
    };
    let (begun, rest) = begin(content).await?;
    let sent = match rest {
        None => send_small(&post, begun).await,
        Some(_) => post.send_alone(Body { begun, rest }).await,
    };
    let Answered { answer, early } = sent.map_err(|unanswered| post.fault(unanswered))?;
    match answer.status {
        200 if early => Err(answer.transient("200 before it had the whole")),
        200 => received(answer).await,
        _ => Err(refused(answer).await),
    }
}

/// Sent again at once if the connection turns out to be closed.
async fn send_small(post: &Post<'_>, begun: Vec<Bytes>) -> Result<Answered, Unanswered> {
    let body = |begun| Body { begun, rest: None };
    // The runtime learns of connections that were closed while nothing ran on this thread.
    tokio::task::yield_now().await;
    match post.send_kept(body(begun.clone())).await {
        Err(Unanswered::NoAnswer(no)) if no.closed => post.send_alone(body(begun)).await,
        sent => sent,
    }
}

/// Reads what is small to its end, and of what is large the beginning.
async fn begin(mut content: Box<dyn ByteStream>) -> Result<(Vec<Bytes>, Option<Box<dyn ByteStream>>), Fault> {
    let (mut begun, mut size) = (Vec::new(), 0);
    while size < LARGE {
        let Some(chunk) = content.chunk().await? else {
            return Ok((begun, None));
        };
        size += chunk.len();
        begun.push(chunk);
    }
    Ok((begun, Some(content)))
}

/// What a 200 says that was received, if it says so.
async fn received(mut answer: Answer) -> Result<Received, Fault> {
    #[derive(serde::Deserialize)]
    struct Body {
        data: Option<Data>,
        errors: Option<Vec<serde_json::Value>>,
    }
    #[derive(serde::Deserialize)]
    struct Data {
        sha256: String,
        size: u64,
    }
    let body = answer.whole(ERROR_BODY).await?;
    let unbelievable = || answer.transient(format!("200 that is not an upload's: {}", excerpt(&body)));
    let said: Body = serde_json::from_slice(&body).map_err(|_| unbelievable())?;
    if let Some(errors) = said.errors.filter(|errors| !errors.is_empty()) {
        let errors = serde_json::Value::from(errors).to_string();
        return Err(answer.transient(format!("200 with errors: {}", excerpt(errors.as_bytes()))));
    }
    let data = said.data.ok_or_else(unbelievable)?;
    let sha256: Sha256 = data.sha256.parse().map_err(|_| unbelievable())?;
    Ok(Received {
        sha256,
        size: data.size,
    })
}

async fn refused(answer: Answer) -> Fault {
    let (said, refusal) = answer.refused(ERROR_BODY).await;
    let kind = match refusal.status {
        400 if said.own && BAD_CONTENT.iter().any(|words| said.text.contains(words)) => FaultKind::Corrupt,
        status => kind_of_write(status),
    };
    refusal.fault(kind, &said)
}
