//! The client of the bucket against bytes on a socket: answers that look like a success and are none, answers
//! that are no answers, and what is sent.

#[path = "bucket_adapter/archive.rs"]
mod archive;
#[path = "bucket_adapter/multipart.rs"]
mod multipart;
mod raw_tcp;
#[path = "bucket_adapter/uploads.rs"]
mod uploads;

use std::time::{Duration, Instant};

use actors::fault::{Fault, FaultKind};
use actors::object_key::ObjectKey;
use actors::ports::Bucket;
use actors::stream_id::{Sha256, StreamId};
use azul_backup::adapters::bucket::{S3Bucket, S3Config};
use azul_backup::adapters::http::HttpTimeouts;
use azul_backup::settings::{BaseUrl, Secret};
use raw_tcp::{RawServer, Step, answer};

const PATIENCE: Duration = Duration::from_millis(300);

const PUT: &str = "HTTP/1.1 200 OK\r\nETag: \"abc\"\r\nContent-Length: 0\r\n\r\n";

fn config(server: &RawServer) -> S3Config {
    S3Config {
        endpoint: BaseUrl::parse(&server.url()).unwrap(),
        region: "us-east-1".to_owned(),
        streams_bucket: "streams".to_owned(),
        events_bucket: "events".to_owned(),
        access_key: Secret::new("access"),
        secret_key: Secret::new("hush"),
        timeouts: HttpTimeouts {
            connect: PATIENCE,
            head: PATIENCE,
            chunk: PATIENCE,
        },
    }
}

fn bucket(server: &RawServer) -> S3Bucket {
    S3Bucket::new(config(server)).unwrap()
}

fn key() -> ObjectKey {
    StreamId::new("samples", "content", &"5c".repeat(32))
        .unwrap()
        .into()
}

fn ok(headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn error(status: u16, code: &str) -> String {
    let body =
        format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>said so</Message></Error>");
    format!(
        "HTTP/1.1 {status} No\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn put(scripts: Vec<Vec<Step>>) -> (Result<(), Fault>, RawServer) {
    let server = RawServer::start(scripts);
    let outcome = bucket(&server).put(&key(), "content".into()).await;
    (outcome, server)
}

#[actix_rt::test]
async fn an_object_is_sent_with_its_checksum_signed() {
    let (outcome, server) = put(vec![answer(PUT)]).await;
    outcome.unwrap();
    let request = &server.requests()[0];
    let lower = request.to_ascii_lowercase();
    assert!(
        request.starts_with(&format!("PUT /streams/{} HTTP/1.1\r\n", key())),
        "{request}"
    );
    assert!(request.ends_with("\r\n\r\ncontent"), "{request}");
    for header in [
        &format!("x-amz-content-sha256: {}", Sha256::of(b"content")),
        "content-length: 7",
        "content-type: binary/octet-stream",
    ] {
        assert!(
            lower.contains(&format!("\r\n{header}\r\n")),
            "{header}: {request}"
        );
    }
    assert!(
        lower.contains("signedheaders=") && lower.contains("x-amz-content-sha256"),
        "{request}"
    );
    assert!(!lower.contains("unsigned-payload") && !lower.contains("chunked") && !lower.contains("hush"));
}

#[actix_rt::test]
async fn a_put_is_believed_only_with_an_entity_tag_and_nothing_against_it() {
    for (bytes, expected) in [
        (ok("", ""), "200, but not a success: no text"),
        (ok("ETag: \"\"\r\n", ""), "not a success"),
        (
            ok("ETag: \"abc\"\r\n", "<Error><Code>InternalError</Code></Error>"),
            "not a success InternalError",
        ),
        (
            ok("ETag: \"abc\"\r\n", " \n<html>Please log in</html>"),
            "<html>Please log in</html>",
        ),
        (
            "HTTP/1.1 204 No Content\r\nETag: \"abc\"\r\n\r\n".to_owned(),
            "204, but not a success",
        ),
    ] {
        let (outcome, _server) = put(vec![answer(bytes.clone())]).await;
        let fault = outcome.unwrap_err();
        assert!(
            fault.is_transient() && fault.to_string().contains(expected),
            "{bytes}: {fault}"
        );
    }
}

#[actix_rt::test]
async fn what_is_no_answer_is_transient_and_told() {
    let reset = vec![Step::Peek];
    for (scripts, expected) in [
        (vec![vec![Step::Read, Step::Hang]], "no answer within 300.0ms"),
        (
            vec![reset.clone(), reset],
            "the connection was closed before an answer came",
        ),
        (
            vec![vec![Step::Read], vec![Step::Read]],
            "the connection was closed before an answer came",
        ),
        (vec![answer("HTTP/1.1 200"), answer("HTTP/1.1 200")], "connection"),
        (vec![answer("220 ftp.example.org ready\r\n\r\n")], "invalid HTTP"),
        (
            vec![vec![
                Step::Read,
                Step::Send(b"HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 9\r\n\r\n".into()),
                Step::Hang,
            ]],
            "no bytes for 300ms",
        ),
    ] {
        let described = format!("{scripts:?}");
        let (outcome, _server) = put(scripts).await;
        let fault = outcome.unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Transient, "{described}: {fault}");
        assert!(fault.to_string().contains(expected), "{described}: {fault}");
        assert!(
            fault
                .to_string()
                .starts_with("put object streams/samples/content/5c"),
            "{fault}"
        );
    }
    let closed = RawServer::start([]);
    let gone = bucket(&closed);
    drop(closed);
    let fault = gone.put(&key(), "content".into()).await.unwrap_err();
    assert!(
        fault.is_transient() && fault.to_string().contains("Connection refused"),
        "{fault}"
    );
}

#[actix_rt::test]
async fn a_connection_that_was_closed_is_replaced_at_once_but_only_once() {
    let (outcome, server) = put(vec![vec![Step::Peek], answer(PUT)]).await;
    outcome.unwrap();
    assert_eq!(server.connections(), 2);
    let (outcome, server) = put(vec![vec![Step::Peek], vec![Step::Peek], answer(PUT)]).await;
    outcome.unwrap_err();
    assert_eq!(server.connections(), 2);
    // A kept connection that rests is closed by the server: the next call does not notice.
    let server = RawServer::start([answer(PUT), answer(PUT)]);
    let bucket = bucket(&server);
    for _ in 0..2 {
        bucket.put(&key(), "content".into()).await.unwrap();
    }
    assert_eq!(server.connections(), 2);
}

#[actix_rt::test]
async fn what_is_not_idempotent_is_not_repeated() {
    let server = RawServer::start([vec![Step::Read], answer(PUT)]);
    bucket(&server).begin_upload(&key()).await.unwrap_err();
    assert_eq!(server.connections(), 1);
}

#[actix_rt::test]
async fn a_slow_line_is_not_a_dead_one() {
    // In all it takes longer than the time-out, but there is progress all the time.
    let content = vec![7; 32 * 1024 * 1024];
    let server = RawServer::start([vec![Step::ReadSlowly(PATIENCE / 10), Step::Send(PUT.into())]]);
    let begun = Instant::now();
    bucket(&server).put(&key(), content.into()).await.unwrap();
    assert!(begun.elapsed() > PATIENCE, "the line was not slow");
}

#[actix_rt::test]
async fn busy_servers_are_given_the_time_they_ask_for() {
    let busy = error(503, "SlowDown").replace("\r\n\r\n", "\r\nRetry-After: 7\r\n\r\n");
    let (outcome, _server) = put(vec![answer(busy)]).await;
    let fault = outcome.unwrap_err();
    assert_eq!(
        (fault.is_transient(), fault.wait()),
        (true, Some(Duration::from_secs(7)))
    );
    assert!(fault.to_string().ends_with("503 SlowDown: said so"), "{fault}");
}

#[actix_rt::test]
async fn odd_headers_do_no_harm() {
    let odd = "x-amz-id-2: caf\u{e9}\r\nServer: \u{1f980}\r\nx-amz-server-side-encryption-bucket-key-enabled: maybe\r\n\
               x-amz-missing-meta: many\r\nx-amz-mp-parts-count: -\r\nx-amz-delete-marker: ?\r\nETag: \"caf\u{e9}\"\r\n";
    let server = RawServer::start([
        answer(format!(
            "HTTP/1.1 200 OK\r\n{odd}Content-Length: 7\r\nLast-Modified: never\r\n\r\n"
        )),
        answer(ok(odd, "")),
        answer(ok(odd, "content")),
    ]);
    let bucket = bucket(&server);
    let found = bucket.head(&key()).await.unwrap().unwrap();
    assert_eq!((found.size, found.last_modified), (7, None));
    bucket.put(&key(), "content".into()).await.unwrap();
    let mut body = bucket.get(&key()).await.unwrap();
    assert_eq!(body.chunk().await.unwrap().unwrap(), "content");
}

#[actix_rt::test]
async fn a_head_says_what_is_there_or_that_nothing_is_known() {
    for (bytes, expected) in [
        ("HTTP/1.1 404 No\r\n\r\n", Ok(None)),
        ("HTTP/1.1 403 No\r\n\r\n", Ok(None)),
        (
            "HTTP/1.1 200 OK\r\nETag: W/\"abc\"\r\nContent-Length: 12345678901\r\n\r\n",
            Ok(Some((12_345_678_901, Some("abc".to_owned())))),
        ),
        ("HTTP/1.1 200 OK\r\n\r\n", Err(FaultKind::Transient)),
        // something in between that welcomes every request
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
            Err(FaultKind::Transient),
        ),
        (
            "HTTP/1.1 200 OK\r\nETag: \"abc\"\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 1234\r\n\r\n",
            Err(FaultKind::Transient),
        ),
        ("HTTP/1.1 500 No\r\n\r\n", Err(FaultKind::Transient)),
        ("HTTP/1.1 400 No\r\n\r\n", Err(FaultKind::Rejected)),
        (
            "HTTP/1.1 301 Moved\r\nx-amz-bucket-region: eu-west-1\r\n\r\n",
            Err(FaultKind::Rejected),
        ),
    ] {
        let server = RawServer::start([answer(bytes)]);
        let found = bucket(&server).head(&key()).await;
        let found = found.map(|found| found.map(|found| (found.size, found.etag)));
        assert_eq!(found.map_err(|fault| fault.kind()), expected, "{bytes}");
    }
}

#[actix_rt::test]
async fn a_body_that_is_not_whole_never_ends_well() {
    let head = b"HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 10\r\n\r\n0123".to_vec();
    let chunked =
        b"HTTP/1.1 200 OK\r\nETag: \"a\"\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n".to_vec();
    for script in [
        answer(head.clone()),
        answer(chunked),
        vec![Step::Peek, Step::Send(head.clone())],
        vec![Step::Read, Step::Send(head), Step::Hang],
    ] {
        let server = RawServer::start([script]);
        let mut body = bucket(&server).get(&key()).await.unwrap();
        let begun = Instant::now();
        assert_eq!(body.chunk().await.unwrap().unwrap(), "0123");
        let fault = body.chunk().await.unwrap_err();
        assert!(
            fault.is_transient() && fault.to_string().contains("after 4"),
            "{fault}"
        );
        assert!(begun.elapsed() < 10 * PATIENCE);
    }
}

#[actix_rt::test]
async fn a_get_is_missing_only_when_the_bucket_itself_says_so() {
    for (bytes, kind) in [
        (error(404, "NoSuchKey"), FaultKind::Missing),
        (error(404, "NoSuchBucket"), FaultKind::Rejected),
        (
            "HTTP/1.1 404 No\r\nContent-Length: 6\r\n\r\n<html>".to_owned(),
            FaultKind::Transient,
        ),
        (error(403, "AccessDenied"), FaultKind::Rejected),
    ] {
        let server = RawServer::start([answer(bytes.clone())]);
        assert_eq!(
            bucket(&server).get(&key()).await.err().unwrap().kind(),
            kind,
            "{bytes}"
        );
    }
}

#[actix_rt::test]
async fn preparing_tells_what_is_wrong() {
    for (bytes, expected) in [
        (
            "HTTP/1.1 403 No\r\n\r\n",
            "check bucket streams: 403: no text (check the access key",
        ),
        (
            "HTTP/1.1 301 No\r\nx-amz-bucket-region: eu-west-1\r\n\r\n",
            "(the bucket is in the region eu-west-1: check the region)",
        ),
        ("HTTP/1.1 503 No\r\n\r\n", "check bucket streams: 503"),
    ] {
        let server = RawServer::start([answer(bytes)]);
        let fault = bucket(&server).prepare(true).await.unwrap_err();
        assert!(fault.to_string().contains(expected), "{fault}");
    }
    // A server that says so of our own bucket too, when the answer to an earlier request was lost.
    let found = || answer("HTTP/1.1 200 OK\r\n\r\n");
    let missing = || answer("HTTP/1.1 404 No\r\n\r\n");
    let taken = || answer(error(409, "BucketAlreadyExists"));
    let server = RawServer::start([missing(), taken(), found(), found()]);
    bucket(&server).prepare(true).await.unwrap();
    let forbidden = answer("HTTP/1.1 403 No\r\n\r\n");
    let server = RawServer::start([missing(), taken(), forbidden]);
    assert!(bucket(&server).prepare(true).await.is_err(), "another's bucket");
    // A server that accepts everything has created nothing.
    let server = RawServer::start([missing(), answer(ok("", "<Error/>")), missing()]);
    let fault = bucket(&server).prepare(true).await.unwrap_err();
    assert_eq!(
        fault.to_string(),
        "create bucket streams: 200, but the bucket is not there"
    );
}
