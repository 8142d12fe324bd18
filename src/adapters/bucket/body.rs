//! Bodies on their way out and in.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use hyper::Body;
use hyper::body::HttpBody;
use rusoto_core::ByteStream;
use rusoto_core::request::HttpResponse;

use crate::adapters::http::told;

/// How much is handed to the connection at a time: enough to be cheap, little enough to see progress.
const SLICE: usize = 256 * 1024;

/// The longest answer that is read into memory; longer ones are none that S3 gives to these calls.
const LONGEST_ANSWER: usize = 8 * 1024 * 1024;

/// `content` as a body, without a copy, that tells how much of it has been taken.
pub(super) fn counted(mut content: Bytes, taken: Arc<AtomicU64>) -> Body {
    if content.is_empty() {
        return Body::empty();
    }
    let slices = stream::iter(std::iter::from_fn(move || {
        let slice = content.split_to(content.len().min(SLICE));
        taken.fetch_add(slice.len() as u64, Ordering::Relaxed);
        (!slice.is_empty()).then_some(Ok::<_, io::Error>(slice))
    }));
    Body::wrap_stream(slices)
}

/// An answer of which nothing is kept in memory. Who reads it looks at the clock
/// ([`MeasuredBody`](crate::adapters::http::MeasuredBody)).
pub(super) fn streamed(body: Body) -> ByteStream {
    ByteStream::new(body.map(|chunk| chunk.map_err(|error| io::Error::other(told(&error)))))
}

/// An answer that is kept in memory, without the white space that S3 sends while one has to wait for it.
///
/// The text of an error is told as far as it came; a success that breaks off, or is absurdly long, is none.
pub(super) async fn read_whole(mut body: Body, patience: Duration, success: bool) -> Result<Vec<u8>, String> {
    let mut whole: Vec<u8> = Vec::new();
    while let Some(chunk) = next(&mut body, patience).await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) if success => return Err(error),
            Err(_) => break,
        };
        let chunk = match whole.is_empty() {
            true => chunk.trim_ascii_start(),
            false => &chunk[..],
        };
        let room = LONGEST_ANSWER - whole.len();
        if chunk.len() > room && success {
            return Err(format!("an answer of more than {LONGEST_ANSWER} bytes"));
        }
        whole.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if whole.len() == LONGEST_ANSWER {
            break;
        }
    }
    Ok(whole)
}

/// The text of an answer that was read whole, and found not to be too long, before rusoto's client passed it on.
pub(super) async fn kept(answer: HttpResponse) -> Vec<u8> {
    let (mut body, mut text) = (answer.body, Vec::new());
    while let Some(Ok(chunk)) = body.next().await {
        text.extend_from_slice(&chunk);
    }
    text
}

async fn next(body: &mut Body, patience: Duration) -> Option<Result<Bytes, String>> {
    match tokio::time::timeout(patience, body.data()).await {
        Ok(chunk) => chunk.map(|chunk| chunk.map_err(|error| told(&error))),
        Err(_) => Some(Err(format!("no bytes for {patience:?}"))),
    }
}

/// A rusoto body as chunks of ours.
pub(super) struct RusotoChunks(pub(super) ByteStream);

#[async_trait::async_trait(?Send)]
impl crate::adapters::http::Chunks for RusotoChunks {
    async fn next(&mut self) -> Option<Result<Bytes, String>> {
        let chunk = self.0.next().await?;
        Some(chunk.map_err(|error| error.to_string()))
    }
}
