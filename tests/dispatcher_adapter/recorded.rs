//! What was recorded with the real dispatcher, replayed byte for byte.

use std::path::PathBuf;
use std::time::Duration;

use actors::fault::FaultKind;
use actors::feed::{Action, Feed};
use actors::ports::{Dispatcher, Pull, PullFault};
use actors::stream_id::StreamId;

use super::raw_tcp::{RawServer, answer};
use super::{Kept, dispatcher, read, samples};

pub const RECORDED_STREAM: &str = "27783e87963a4efb6829b531c9ba57b44f45797f6770bd637fbf0d807cbdbae0";

/// The recorded exchange, if it is there.
pub fn recorded(name: &str) -> Option<(String, Vec<u8>)> {
    let folder = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../shared/wire-samples/http"
    ));
    if !folder.is_dir() {
        println!("skipped: {name}: no recorded exchanges at {}", folder.display());
        return None;
    }
    let request = std::fs::read(folder.join(format!("{name}.request"))).unwrap();
    let response = std::fs::read(folder.join(format!("{name}.response"))).unwrap();
    let line = String::from_utf8_lossy(&request)
        .lines()
        .next()
        .unwrap()
        .to_owned();
    Some((line, response))
}

fn pull(feed: Feed, consumer: &str, count: u32, deadline: u64) -> Pull {
    Pull {
        feed,
        consumer: consumer.to_owned(),
        deployment_key: Some("recovery".to_owned()),
        count,
        deadline: Duration::from_secs(deadline),
    }
}

/// The body of a recorded answer, without its framing.
fn body_of(response: &[u8]) -> Vec<u8> {
    let head = response.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let (head, mut rest) = response.split_at(head);
    if !String::from_utf8_lossy(head).contains("Transfer-Encoding: chunked") {
        return rest.to_vec();
    }
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 4 + size..];
    }
}

#[actix_rt::test]
async fn recorded_pulls_are_asked_and_understood_to_the_letter() {
    let [insert, delete] = Feed::of_system();
    for (name, asked, fetched, ready) in [
        (
            "pull-count-1",
            pull(samples(Action::Sourced), "one", 1, 3),
            1,
            true,
        ),
        (
            "pull-delete",
            pull(delete, "backup-events-system-delete-1", 1000, 3),
            2,
            true,
        ),
        (
            "pull-insert",
            pull(insert, "backup-events-system-insert-1", 1000, 3),
            2,
            true,
        ),
        (
            "pull-empty",
            pull(
                samples(Action::Extracted),
                "backup-events-samples-extracted-1",
                1000,
                3,
            ),
            0,
            true,
        ),
        (
            "pull-events",
            pull(
                samples(Action::Sourced),
                "backup-events-samples-sourced-1",
                1000,
                5,
            ),
            50,
            true,
        ),
        (
            "pull-not-ready",
            pull(
                samples(Action::Sourced),
                "backup-events-samples-sourced-1",
                1000,
                1,
            ),
            0,
            false,
        ),
    ] {
        let Some((line, response)) = recorded(name) else {
            return;
        };
        let server = RawServer::start([answer(response.clone())]);
        let mut kept = Kept::default();
        let answer = dispatcher(&server.url()).pull(&asked, &mut kept).await.unwrap();
        assert_eq!(server.requests()[0].lines().next(), Some(line.as_str()), "{name}");
        let agent = format!("user-agent: dpclient-rust-{}\r\n", asked.consumer);
        assert!(
            server.requests()[0].to_ascii_lowercase().contains(&agent),
            "{name}"
        );
        assert_eq!(kept.0, body_of(&response), "{name}");
        assert!(
            answer.content_type.starts_with("multipart/form-data; boundary="),
            "{name}"
        );
        let info = format!(r#"{{"filtered":0,"fetched":{fetched},"ready":{ready},"paused":false"#);
        assert!(String::from_utf8_lossy(&kept.0).contains(&info), "{name}");
    }
}

#[actix_rt::test]
async fn recorded_refusals_say_why_and_cost_nothing() {
    for (name, expected) in [
        (
            "pull-422-bad-model",
            "422: bad parameters: bad parameter for model: not a registered model type: nonsense",
        ),
        (
            "pull-422-no-range",
            "422: bad parameters: requires at least one of r-expedite, r-live or r-historic",
        ),
    ] {
        let Some((_, response)) = recorded(name) else {
            return;
        };
        let server = RawServer::start([answer(response)]);
        let outcome = dispatcher(&server.url())
            .pull(&super::a_pull(), &mut Kept::default())
            .await;
        let Err(PullFault::Refused(fault)) = outcome else {
            panic!("{name}: {outcome:?}");
        };
        assert_eq!(
            (fault.kind(), fault.detail()),
            (FaultKind::Rejected, expected),
            "{name}"
        );
    }
}

#[actix_rt::test]
async fn every_recorded_answer_to_a_pull_is_suspect_wherever_it_is_cut() {
    for name in ["pull-events", "pull-insert"] {
        let Some((_, response)) = recorded(name) else {
            return;
        };
        let head = response.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        // The closing delimiter is followed by a line break, and chunks by more framing: those are no content.
        let content = response.windows(4).rposition(|four| four == b"--\r\n").unwrap() + 2;
        let length = match name {
            "pull-insert" => response.len(),
            _ => content,
        };
        let step = (length - head) / 23;
        for cut in (head..length).step_by(step).chain([length - 1]) {
            let server = RawServer::start([answer(&response[..cut])]);
            let outcome = dispatcher(&server.url())
                .pull(&super::a_pull(), &mut Kept::default())
                .await;
            assert!(
                matches!(outcome, Err(PullFault::Suspect(_))),
                "{name} cut at {cut}: {outcome:?}"
            );
        }
    }
}

#[actix_rt::test]
async fn recorded_downloads_are_understood() {
    let stream = StreamId::new("samples", "content", RECORDED_STREAM).unwrap();
    let Some((line, mut response)) = recorded("stream-get") else {
        return;
    };
    response.extend_from_slice(&vec![7; 102_400]);
    let server = RawServer::start([answer(response)]);
    let body = dispatcher(&server.url()).download(&stream, 0).await.unwrap();
    assert_eq!(body.length(), Some(102_400));
    let (content, end) = read(body).await;
    end.unwrap();
    assert_eq!(content, vec![7; 102_400]);
    assert_eq!(server.requests()[0].lines().next(), Some(line.as_str()));

    let Some((_, response)) = recorded("stream-range") else {
        return;
    };
    let expected = body_of(&response);
    let server = RawServer::start([answer(response)]);
    let body = dispatcher(&server.url()).download(&stream, 100).await.unwrap();
    assert_eq!(body.length(), Some(102_300));
    // 100 bytes had been asked for when it was recorded: to the rest they are a body that broke off.
    let (content, end) = read(body).await;
    assert_eq!((content, end.is_err()), (expected, true));
}

#[actix_rt::test]
async fn recorded_refusals_of_streams_are_understood() {
    for (name, hex, from, kind, expected) in [
        (
            "stream-get-404",
            "1".repeat(64),
            0,
            FaultKind::Missing,
            "404: not found: not found",
        ),
        (
            "stream-range-past-end",
            RECORDED_STREAM.to_owned(),
            102_400,
            FaultKind::Rejected,
            "400: invalid range end: offset after EOF: 102400",
        ),
    ] {
        let Some((line, response)) = recorded(name) else {
            return;
        };
        let server = RawServer::start([answer(response)]);
        let stream = StreamId::new("samples", "content", &hex).unwrap();
        let fault = dispatcher(&server.url())
            .download(&stream, from)
            .await
            .err()
            .unwrap();
        assert_eq!((fault.kind(), fault.detail()), (kind, expected), "{name}");
        assert_eq!(server.requests()[0].lines().next(), Some(line.as_str()), "{name}");
    }
}

#[actix_rt::test]
async fn the_recorded_root_is_a_dispatcher() {
    let Some((_, response)) = recorded("root") else {
        return;
    };
    let server = RawServer::start([answer(response)]);
    dispatcher(&server.url()).probe().await.unwrap();
}
