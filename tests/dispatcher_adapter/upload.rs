use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use actors::fault::{Fault, FaultKind};
use actors::ports::target::Received;
use actors::ports::{ByteStream, Target};
use actors::stream_id::{Sha256, StreamId};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;

use super::raw_tcp::{RawServer, Step, answer};
use super::{PATIENCE, patient_target, sized, target};

const SHA256: &str = "27783e87963a4efb6829b531c9ba57b44f45797f6770bd637fbf0d807cbdbae0";

pub fn stream() -> StreamId {
    StreamId::new("samples", "content", SHA256).unwrap()
}

pub fn ok(size: usize) -> String {
    let body = format!(r#"{{"data":{{"label":"","size":{size},"sha512":"","sha256":"{SHA256}"}}}}"#);
    sized("200 OK", &body)
}

/// Content that counts what was taken of it; `pause` is how long each chunk takes.
pub struct Made {
    chunks: VecDeque<Result<Bytes, Fault>>,
    pause: Duration,
    pub taken: Rc<Cell<usize>>,
}

impl Made {
    /// What blocks are made of.
    pub const BYTE: u8 = b'a';

    pub fn of(chunks: impl IntoIterator<Item = impl Into<Bytes>>) -> Self {
        Self {
            chunks: chunks.into_iter().map(|chunk| Ok(chunk.into())).collect(),
            pause: Duration::ZERO,
            taken: Rc::default(),
        }
    }

    /// So many times 64 KiB.
    pub fn blocks(count: usize) -> Self {
        Self::of(vec![Bytes::from(vec![Self::BYTE; 64 * 1024]); count])
    }

    fn failing(mut self) -> Self {
        let fault = Fault::corrupt("gunzip", "key", "the content's own");
        self.chunks.push_back(Err(fault));
        self
    }
}

#[async_trait(?Send)]
impl ByteStream for Made {
    fn length(&self) -> Option<u64> {
        None
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
        let Some(chunk) = self.chunks.pop_front() else {
            return Ok(None);
        };
        let chunk = chunk?;
        self.taken.set(self.taken.get() + chunk.len());
        Ok(Some(chunk))
    }
}

async fn upload(server: &RawServer, content: Made) -> Result<Received, Fault> {
    target(&server.url()).upload(&stream(), Box::new(content)).await
}

/// The bytes of a chunked body.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let line = body.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&body[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            assert_eq!(&body[line..], b"\r\n\r\n");
            return whole;
        }
        whole.extend_from_slice(&body[line + 2..line + 2 + size]);
        body = &body[line + 4 + size..];
    }
}

#[actix_rt::test]
async fn a_small_binary_goes_with_its_length_on_a_kept_connection() {
    let server = RawServer::start([[answer(ok(7)), answer(ok(7)), answer(ok(0))].concat()]);
    let dispatcher = target(&server.url());
    let sha256: Sha256 = SHA256.parse().unwrap();
    for _ in 0..2 {
        let content = Box::new(Made::of(["0123", "", "456"]));
        let received = dispatcher.upload(&stream(), content).await.unwrap();
        assert_eq!(received, Received { sha256, size: 7 });
    }
    dispatcher
        .upload(&stream(), Box::new(Made::blocks(0)))
        .await
        .unwrap();
    assert_eq!(server.connections(), 1);
    let requests = server.requests();
    let (head, body) = requests[1].split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "0123456");
    let line = format!(
        "post /api/v3/stream/samples/content?skip-identify=true&expected-sha256={SHA256} http/1.1\r\n"
    );
    let head = format!("{}\r\n", head.to_ascii_lowercase());
    assert!(head.starts_with(&line), "{head}");
    for header in [
        "content-type: application/octet-stream",
        "content-length: 7",
        "user-agent: dpclient-rust-restore-streams-events-all-all-1",
    ] {
        assert!(head.contains(&format!("\r\n{header}\r\n")), "{header}: {head}");
    }
    assert!(
        requests[2]
            .to_ascii_lowercase()
            .contains("\r\ncontent-length: 0\r\n")
    );
}

#[actix_rt::test]
async fn a_large_binary_goes_in_chunks_byte_for_byte() {
    let content: Vec<u8> = (0..3_000_000u32).map(|n| b'a' + (n % 23) as u8).collect();
    for chunk in [30_000, 1_000_000, 3_000_000] {
        let server = RawServer::start([answer(ok(content.len()))]);
        let made = Made::of(content.chunks(chunk).map(Bytes::copy_from_slice));
        let dispatcher = patient_target(&server.url());
        let received = dispatcher.upload(&stream(), Box::new(made)).await.unwrap();
        assert_eq!(received.size, 3_000_000);
        let request = &server.requests()[0];
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(
            head.to_ascii_lowercase()
                .contains("\r\ntransfer-encoding: chunked"),
            "{head}"
        );
        assert!(unchunked(body.as_bytes()) == content);
    }
}

#[actix_rt::test]
async fn content_that_fails_leaves_no_whole_body_behind() {
    let server = RawServer::start([vec![Step::ReadToEnd]]);
    let fault = upload(&server, Made::blocks(40).failing()).await.unwrap_err();
    assert_eq!(fault.to_string(), "gunzip key: the content's own");
    assert_eq!(fault.kind(), FaultKind::Corrupt);
    // What the server has was read before the connection ended.
    while server.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    let request = &server.requests()[0];
    assert!(request.len() > 1024 * 1024, "{}", request.len());
    assert!(!request.ends_with("0\r\n\r\n"), "it looks whole");

    let server = RawServer::start([vec![Step::ReadToEnd]]);
    let fault = upload(&server, Made::blocks(3).failing()).await.unwrap_err();
    assert_eq!(fault.to_string(), "gunzip key: the content's own");
    assert_eq!(server.connections(), 0, "of what is small nothing is sent");
}

#[actix_rt::test]
async fn an_upload_that_is_given_up_sends_nothing_more() {
    let late = vec![Step::Rest(3 * PATIENCE), Step::ReadToEnd];
    let server = RawServer::start([late]);
    let content = Made::blocks(1000);
    let taken = content.taken.clone();
    let fault = upload(&server, content).await.unwrap_err();
    assert!(fault.to_string().contains("nothing could be sent for"), "{fault}");
    assert_eq!(Rc::strong_count(&taken), 1, "the content is gone with it");
    while server.requests().is_empty() {
        tokio::time::sleep(PATIENCE / 10).await;
    }
    let request = &server.requests()[0];
    assert!(request.len() < 500 * 64 * 1024, "{}", request.len());
    assert!(!request.ends_with("0\r\n\r\n"), "it looks whole");
}

/// It is told where it happened, not as a fault of the dispatcher.
#[actix_rt::test]
async fn a_panic_of_the_content_is_one_of_who_uploads() {
    struct Panics(Made);
    #[async_trait(?Send)]
    impl ByteStream for Panics {
        fn length(&self) -> Option<u64> {
            None
        }

        async fn chunk(&mut self) -> Result<Option<Bytes>, Fault> {
            let chunk = self.0.chunk().await?;
            assert!(chunk.is_some(), "on purpose");
            Ok(chunk)
        }
    }
    let server = RawServer::start([vec![Step::ReadToEnd]]);
    let dispatcher = target(&server.url());
    let content = Box::new(Panics(Made::blocks(40)));
    let id = stream();
    let uploading = AssertUnwindSafe(dispatcher.upload(&id, content)).catch_unwind();
    let panic = uploading.await.unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"on purpose"));
}

/// What was left of a refused binary would be in the way.
#[actix_rt::test]
async fn a_connection_that_brought_a_refusal_is_not_used_again() {
    let refused = answer(sized("413 No", r#"{"title":"no"}"#));
    let server = RawServer::start([[refused, answer(ok(1))].concat(), answer(ok(1))]);
    let dispatcher = target(&server.url());
    let small = || Box::new(Made::of(["a"]));
    dispatcher.upload(&stream(), small()).await.unwrap_err();
    dispatcher.upload(&stream(), small()).await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[actix_rt::test]
async fn an_answer_that_comes_early_is_understood_and_ends_the_upload() {
    for (status, kind) in [
        ("500 No", FaultKind::Transient),
        ("503 No", FaultKind::Transient),
        ("413 No", FaultKind::Rejected),
    ] {
        let answer = sized(status, r#"{"title":"no","detail":"room"}"#);
        let closes = vec![Step::ReadHead, Step::Send(answer.clone().into())];
        let rests = [closes.clone(), vec![Step::Rest(Duration::from_secs(1))]].concat();
        let reads_on = [closes.clone(), vec![Step::Hang]].concat();
        for script in [closes, rests, reads_on] {
            let described = format!("{script:?}");
            let server = RawServer::start([script]);
            let content = Made::blocks(1000);
            let taken = content.taken.clone();
            let fault = upload(&server, content).await.unwrap_err();
            assert_eq!(fault.kind(), kind, "{described}: {fault}");
            assert!(fault.detail().ends_with("no: room"), "{described}: {fault}");
            assert!(
                taken.get() < 500 * 64 * 1024,
                "{described}: {} bytes",
                taken.get()
            );
        }
    }
    let server = RawServer::start([vec![Step::ReadHead, Step::Send(ok(1).into()), Step::Hang]]);
    let fault = upload(&server, Made::blocks(1000)).await.unwrap_err();
    assert!(
        fault.is_transient() && fault.to_string().contains("before it had the whole"),
        "{fault}"
    );
}

#[actix_rt::test]
async fn content_is_asked_for_as_fast_as_the_dispatcher_takes_it() {
    let server = RawServer::start([vec![Step::ReadHead, Step::Rest(Duration::from_secs(2))]]);
    let content = Made::blocks(1000);
    let taken = content.taken.clone();
    let fault = upload(&server, content).await.unwrap_err();
    assert!(fault.is_transient(), "{fault}");
    assert!(
        fault.to_string().contains("nothing could be sent for 300.0ms"),
        "{fault}"
    );
    assert!(taken.get() < 500 * 64 * 1024, "{} bytes", taken.get());
}

#[actix_rt::test]
async fn slow_content_is_its_own_business() {
    let mut content = Made::blocks(11);
    content.pause = PATIENCE / 8;
    let mut last = Made::blocks(1);
    content.chunks.append(&mut last.chunks);
    let server = RawServer::start([answer(ok(12 * 64 * 1024))]);
    upload(&server, content).await.unwrap();
    let mut content = Made::blocks(9);
    content.pause = PATIENCE + PATIENCE / 2;
    let server = RawServer::start([answer(ok(9 * 64 * 1024))]);
    upload(&server, content).await.unwrap();
}

#[actix_rt::test]
async fn an_upload_is_believed_only_with_size_and_hash() {
    let body = |body: &str| answer(sized("200 OK", body));
    for (script, expected) in [
        (body("{}"), "200 that is not an upload's: {}"),
        (body("<html>"), "200 that is not an upload's: <html>"),
        (body(r#"{"data":{"size":7}}"#), "200 that is not"),
        (
            body(&format!(r#"{{"data":{{"sha256":"{SHA256}"}}}}"#)),
            "200 that is not",
        ),
        (body(r#"{"data":{"size":7,"sha256":"12"}}"#), "200 that is not"),
        (
            body(&format!(r#"{{"data":{{"size":"7","sha256":"{SHA256}"}}}}"#)),
            "200 that is not",
        ),
        (
            body(r#"{"errors":[{"detail":"no store"}]}"#),
            r#"200 with errors: [{"detail":"no store"}]"#,
        ),
        (answer(&ok(7)[..100]), "broke off"),
        (answer(sized("201 OK", "")), "201"),
        (answer(sized("500 No", r#"{"detail":"disk"}"#)), "500: disk"),
        (answer(sized("502 No", "<html>")), "502: <html>"),
        (
            vec![Step::Read, Step::Hang],
            "no answer within 300.0ms, after 7 bytes were sent",
        ),
    ] {
        let described = format!("{script:?}");
        let server = RawServer::start([script]);
        let fault = upload(&server, Made::of(["content"])).await.unwrap_err();
        assert!(fault.is_transient(), "{described}: {fault}");
        assert!(fault.to_string().contains(expected), "{described}: {fault}");
        let begin = format!("upload stream samples/content/{SHA256} to http://127.0.0.1:");
        assert!(fault.to_string().starts_with(&begin), "{fault}");
    }
}

#[actix_rt::test]
async fn what_the_dispatcher_says_decides_what_is_done() {
    for (status, body, kind) in [
        (
            "400 No",
            r#"{"title":"sha256 mismatch","detail":"a vs b"}"#,
            FaultKind::Corrupt,
        ),
        (
            "400 No",
            r#"{"title":"no content in request body"}"#,
            FaultKind::Corrupt,
        ),
        ("400 No", r#"{"title":"bad label"}"#, FaultKind::Rejected),
        ("400 No", "sha256 mismatch", FaultKind::Rejected),
        ("401 No", "", FaultKind::Rejected),
        ("404 No", r#"{"title":"not found"}"#, FaultKind::Rejected),
        ("404 No", "404 page not found", FaultKind::Rejected),
        ("422 No", r#"{"title":"x"}"#, FaultKind::Rejected),
        ("429 No", "", FaultKind::Transient),
    ] {
        let server = RawServer::start([answer(sized(status, body))]);
        let fault = upload(&server, Made::of(["content"])).await.unwrap_err();
        assert_eq!(fault.kind(), kind, "{fault}");
    }
}

#[actix_rt::test]
async fn a_kept_connection_that_was_closed_is_replaced_at_once_by_one_of_its_own() {
    let first = [answer(ok(7)), vec![Step::Peek]].concat();
    let server = RawServer::start([first, answer(ok(7))]);
    let dispatcher = target(&server.url());
    for _ in 0..2 {
        let content = Box::new(Made::of(["0123", "456"]));
        dispatcher.upload(&stream(), content).await.unwrap();
    }
    assert_eq!((server.connections(), server.requests().len()), (2, 2));
    assert!(server.requests()[1].ends_with("\r\n\r\n0123456"));
}
