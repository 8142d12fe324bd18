//! Whether the dispatcher has a binary. A web page is no answer.

use actors::fault::Fault;
use actors::stream_id::StreamId;
use awc::ClientResponse;

use super::answer::{Answer, NoAnswer, head};
use super::request;
use super::target::Place;

const EXISTS: &str = "ask for stream";

pub(super) async fn exists(at: &Place, stream: &StreamId) -> Result<bool, Fault> {
    let target = format!("{stream} at {}", at.streams);
    // The runtime learns of connections that were closed while nothing ran on this thread.
    tokio::task::yield_now().await;
    let mut sent = send(at, stream).await;
    if matches!(&sent, Err(error) if error.closed) {
        sent = send(at, stream).await;
    }
    let response = sent.map_err(|error| Fault::transient(EXISTS, &target, error.text))?;
    let answer = Answer::of(response, at.timeouts.chunk, EXISTS, &target);
    match answer.status {
        // What asks for a login, or stands in for a service that is away, answers so to everything.
        200 if answer.content_type.contains("html") => {
            Err(answer.transient("200 with a web page: it is not the dispatcher that answers"))
        }
        200 => Ok(true),
        404 => Ok(false),
        _ => Err(answer.into_fault().await),
    }
}

async fn send(at: &Place, stream: &StreamId) -> Result<ClientResponse, NoAnswer> {
    let request = at
        .kept
        .head(request::stream(&at.streams, stream).as_str())
        .insert_header(request::user_agent(&request::restores_streams(&at.backup_id)))
        .no_decompress();
    head(
        tokio::time::timeout(at.timeouts.head, request.send()).await,
        at.timeouts.head,
    )
}
