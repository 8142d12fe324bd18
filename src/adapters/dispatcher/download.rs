//! One download of a stream, from its beginning or from where an earlier one broke off.

use actors::fault::Fault;
use actors::stream_id::StreamId;
use awc::http::header;
use awc::{Client, ClientResponse};

use super::Target;
use super::answer::{Answer, NoAnswer, head};
use super::request;
use crate::adapters::http::MeasuredBody;

const DOWNLOAD: &str = "download stream";

pub(super) async fn download(
    client: &Client,
    at: &Target,
    stream: &StreamId,
    from: u64,
) -> Result<MeasuredBody, Fault> {
    let target = format!("{stream} from {}", at.streams);
    let url = request::stream(&at.streams, stream);
    // The runtime learns of connections that were closed while nothing ran on this thread.
    tokio::task::yield_now().await;
    let mut sent = send(client, at, url.as_str(), from).await;
    if matches!(&sent, Err(error) if error.closed) {
        sent = send(client, at, url.as_str(), from).await;
    }
    let response = sent.map_err(|error| Fault::transient(DOWNLOAD, &target, error.text))?;
    let answer = Answer::of(response, at.timeouts.chunk, DOWNLOAD, &target);
    match (answer.status, from) {
        (200, 0) if answer.framed => Ok(answer.body),
        (200, 0) => Err(answer.transient("200 without a length, and not chunked: its body cannot be told")),
        (200, _) => Err(answer.transient(format!("the range from byte {from} was ignored"))),
        (206, 1..) => resumed(answer, from),
        _ => Err(answer.into_fault().await),
    }
}

async fn send(client: &Client, at: &Target, url: &str, from: u64) -> Result<ClientResponse, NoAnswer> {
    let mut request = client
        .get(url)
        .insert_header(request::user_agent(&at.streams_consumer))
        .no_decompress();
    if from > 0 {
        request = request.insert_header((header::RANGE, format!("bytes={from}-")));
    }
    let sent = tokio::time::timeout(at.timeouts.head, request.send()).await;
    head(sent, at.timeouts.head)
}

/// Believes a 206 only if it begins where it was asked to. A part of the rest is taken, but not for its end:
/// the body then counts as broken off after it.
fn resumed(answer: Answer, from: u64) -> Result<MeasuredBody, Fault> {
    let text = answer.content_range.as_deref().unwrap_or_default();
    let rest = ContentRange::parse(text)
        .filter(|range| range.first == from)
        .filter(|range| {
            answer
                .length
                .is_none_or(|length| length == range.last - range.first + 1)
        })
        .map(|range| range.total.unwrap_or(range.last + 1) - range.first);
    match rest {
        Some(rest) => Ok(answer.body.announced(rest)),
        None => Err(answer.transient(format!(
            "asked for the bytes from {from}, got 206 with Content-Range `{text}`"
        ))),
    }
}

/// `bytes first-last/total`
#[derive(Debug, PartialEq)]
struct ContentRange {
    first: u64,
    last: u64,
    total: Option<u64>,
}

impl ContentRange {
    fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let range = Self {
            first: first.trim().parse().ok()?,
            last: last.trim().parse().ok()?,
            total: match total.trim() {
                "*" => None,
                total => Some(total.parse().ok()?),
            },
        };
        let within = range.total.is_none_or(|total| range.last < total);
        (range.first <= range.last && range.last < u64::MAX && within).then_some(range)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_content_range_is_understood_or_refused() {
        let range = |first, last, total| Some(ContentRange { first, last, total });
        for (text, expected) in [
            ("bytes 100-199/102400", range(100, 199, Some(102_400))),
            ("bytes 0-0/*", range(0, 0, None)),
            ("bytes */102400", None),
            ("bytes 5-4/9", None),
            ("bytes 5-9/9", None),
            ("bytes 5-18446744073709551615/*", None),
            ("items 0-1/2", None),
            ("", None),
        ] {
            assert_eq!(ContentRange::parse(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_content_range_makes_it_panic(text in "(bytes )?[0-9*/ -]{0,60}") {
            let _ = ContentRange::parse(&text);
        }
    }
}
