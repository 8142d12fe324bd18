//! What was recorded with the real dispatcher being written to, replayed byte for byte.

use actors::fault::{Fault, FaultKind};
use actors::feed::Action;
use actors::ports::Target;
use actors::ports::target::Published;
use actors::stream_id::StreamId;
use bytes::Bytes;

use super::raw_tcp::{RawServer, answer};
use super::recorded::{RECORDED_STREAM, recorded};
use super::upload::Made;
use super::{samples, target};

/// Publishes to the recorded answer; the line of the request is as it was recorded, but for a model on purpose wrong.
async fn published(name: &str) -> Option<Result<Published, Fault>> {
    let (line, response) = recorded(name)?;
    let server = RawServer::start([answer(response)]);
    let feed = samples(Action::Sourced);
    let published = target(&server.url())
        .publish(&feed, Bytes::from_static(b"bulk"))
        .await;
    let line = line.replace("model=nonsense", "model=binary");
    assert_eq!(server.requests()[0].lines().next(), Some(line.as_str()), "{name}");
    Some(published)
}

#[actix_rt::test]
async fn recorded_answers_to_published_events_are_understood() {
    let took = |ok| Published::Took {
        ok,
        failed: 0,
        refused: Vec::new(),
    };
    for (name, expected) in [
        ("publish-ok", took(2)),
        ("publish-invalid-in-the-middle", took(1)),
    ] {
        let Some(published) = published(name).await else {
            return;
        };
        assert_eq!(published.unwrap(), expected, "{name}");
    }
    for name in [
        "publish-bad-model",
        "publish-empty",
        "publish-garbage",
        "publish-json-as-avro",
        "publish-single-not-bulk",
        "publish-truncated",
        "publish-unknown-version-7",
    ] {
        let Some(published) = published(name).await else {
            return;
        };
        let published = published.unwrap();
        assert!(
            matches!(published, Published::NotTaken { .. }),
            "{name}: {published:?}"
        );
    }
    let Some(invalid) = published("publish-all-invalid").await else {
        return;
    };
    let Published::Filtered { accounted, detail } = invalid.unwrap() else {
        panic!("not filtered");
    };
    assert_eq!(accounted, 0);
    assert!(
        detail.starts_with("All events to be published have been filtered out: failed to produce"),
        "{detail}"
    );
    let Some(large) = published("publish-too-large").await else {
        return;
    };
    let Published::NotProduced { reason } = large.unwrap() else {
        panic!("produced");
    };
    assert!(
        reason.contains("submitted 18/20 events") && reason.contains("4001647 vs 3145728"),
        "{reason}"
    );
}

#[actix_rt::test]
async fn recorded_answers_to_uploads_are_understood() {
    for (name, hex, kind) in [
        ("stream-post-ok", RECORDED_STREAM.to_owned(), None),
        ("stream-post-chunked", RECORDED_STREAM.to_owned(), None),
        (
            "stream-post-empty",
            RECORDED_STREAM.to_owned(),
            Some(FaultKind::Corrupt),
        ),
        ("stream-post-mismatch", "0".repeat(64), Some(FaultKind::Corrupt)),
    ] {
        let Some((line, response)) = recorded(name) else {
            return;
        };
        let server = RawServer::start([answer(response)]);
        let stream = StreamId::new("samples", "content", &hex).unwrap();
        let content = Box::new(Made::of(["content"]));
        let uploaded = target(&server.url()).upload(&stream, content).await;
        assert_eq!(server.requests()[0].lines().next(), Some(line.as_str()), "{name}");
        match (uploaded, kind) {
            (Ok(received), None) => {
                assert_eq!(
                    (received.sha256, received.size),
                    (*stream.sha256(), 102_400),
                    "{name}"
                );
            }
            (Err(fault), Some(kind)) => assert_eq!(fault.kind(), kind, "{name}: {fault}"),
            (uploaded, _) => panic!("{name}: {uploaded:?}"),
        }
    }
}

#[actix_rt::test]
async fn recorded_answers_to_whether_a_stream_is_there_are_understood() {
    for (name, hex, there) in [
        ("stream-head", RECORDED_STREAM.to_owned(), true),
        ("stream-head-404", "1".repeat(64), false),
    ] {
        let Some((line, response)) = recorded(name) else {
            return;
        };
        let server = RawServer::start([answer(response)]);
        let stream = StreamId::new("samples", "content", &hex).unwrap();
        assert_eq!(
            target(&server.url()).exists(&stream).await.unwrap(),
            there,
            "{name}"
        );
        assert_eq!(server.requests()[0].lines().next(), Some(line.as_str()), "{name}");
    }
}
