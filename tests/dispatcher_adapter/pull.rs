use actors::fault::{Fault, FaultKind};
use actors::ports::{AnswerSink, Dispatcher, PullFault};
use async_trait::async_trait;
use bytes::Bytes;

use super::raw_tcp::{RawServer, Step, answer};
use super::{Kept, PATIENCE, a_pull, dispatcher};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: multipart/form-data; boundary=bbb\r\n";
const BODY: &str = "--bbb\r\nContent-Disposition: form-data; name=\"info\"\r\n\r\n{}\r\n--bbb--\r\n";

fn sized() -> String {
    format!("{HEAD}Content-Length: {}\r\n\r\n{BODY}", BODY.len())
}

fn chunked(body: &str, ending: &str) -> String {
    format!(
        "{HEAD}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n{ending}",
        body.len()
    )
}

/// Pulls once from a server with one script.
async fn outcome(script: Vec<Step>) -> (Result<String, PullFault>, Vec<u8>) {
    let server = RawServer::start([script]);
    let mut kept = Kept::default();
    let outcome = dispatcher(&server.url()).pull(&a_pull(), &mut kept).await;
    (outcome.map(|answer| answer.content_type), kept.0)
}

#[actix_rt::test]
async fn a_whole_answer_is_handed_over_as_it_is() {
    let unsized_body = format!("{}{BODY}", HEAD.replace("1.1", "1.0") + "\r\n");
    for bytes in [sized(), chunked(BODY, "0\r\n\r\n"), unsized_body] {
        let (outcome, kept) = outcome(answer(bytes)).await;
        assert_eq!(outcome.unwrap(), "multipart/form-data; boundary=bbb");
        assert_eq!(kept, BODY.as_bytes());
    }
    let gzipped = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1fab";
    assert_eq!(
        outcome(answer(gzipped)).await.1,
        b"\x1fab",
        "taken as it is, not decompressed"
    );
}

#[actix_rt::test]
async fn a_slow_answer_is_not_a_broken_one() {
    let script = vec![Step::Read, Step::Drip(sized().into_bytes(), PATIENCE / 100)];
    let (outcome, kept) = outcome(script).await;
    outcome.unwrap();
    assert_eq!(kept, BODY.as_bytes());
}

#[actix_rt::test]
async fn whatever_is_not_a_whole_answer_is_suspect() {
    let cut = |bytes: String, cut: usize| bytes.as_bytes()[..bytes.len() - cut].to_vec();
    let not_closed = &BODY[..BODY.len() - 6];
    for (script, expected) in [
        (vec![], "the connection"),
        (vec![Step::Peek], "the connection"),
        (
            vec![Step::Read],
            "the connection was closed before an answer came",
        ),
        (vec![Step::Read, Step::Hang], "no answer within 1.3s"),
        (answer("HTTP/1.1 200"), "the connection broke"),
        (answer("SSH-2.0-OpenSSH\r\n\r\n"), "the answer is not HTTP"),
        (answer(cut(sized(), 1)), "the body broke off after"),
        (answer(cut(sized(), BODY.len())), "the body broke off after 0 of"),
        (vec![Step::Peek, Step::Send(cut(sized(), 9))], "after"),
        (
            vec![Step::Read, Step::Send(cut(sized(), 9)), Step::Hang],
            "no bytes for 300ms after",
        ),
        (answer(chunked(BODY, "zz\r\n")), "Invalid"),
        // awc ends all of these as if they were whole.
        (answer(chunked(not_closed, "")), "its multipart is not closed"),
        (
            answer(chunked(not_closed, "0\r\n\r\n")),
            "its multipart is not closed",
        ),
        (answer(cut(chunked(BODY, ""), 12)), "its multipart is not closed"),
        (answer(format!("{HEAD}\r\n{BODY}")), "its body cannot be told"),
        (answer("HTTP/1.1 204 No Content\r\n\r\n"), "204"),
        (
            answer("HTTP/1.1 500 No\r\nContent-Length: 24\r\n\r\n{\"title\":\"fetch failed\"}"),
            "500: fetch failed",
        ),
        (
            answer("HTTP/1.1 502 No\r\nContent-Length: 14\r\n\r\n<html>\n</html>"),
            "502: <html> </html>",
        ),
        (
            answer("HTTP/1.1 503 No\r\nContent-Length: 99\r\n\r\nbusy"),
            "503: busy",
        ),
        (
            answer("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/x\r\nContent-Length: 0\r\n\r\n"),
            "redirects are not followed",
        ),
    ] {
        let described = format!("{script:?}");
        let (outcome, _) = outcome(script).await;
        let Err(PullFault::Suspect(fault)) = outcome else {
            panic!("{described}: {outcome:?}");
        };
        assert!(fault.to_string().contains(expected), "{described}: {fault}");
        assert!(
            fault
                .to_string()
                .starts_with("pull events samples/binary/sourced from http://127.0.0.1:")
        );
    }
}

#[actix_rt::test]
async fn a_refused_connection_and_a_4xx_have_cost_nothing() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for url in [
        format!("http://{closed}"),
        "http://no-such-host.invalid".to_owned(),
    ] {
        let outcome = dispatcher(&url).pull(&a_pull(), &mut Kept::default()).await;
        let Err(PullFault::Refused(fault)) = outcome else {
            panic!("{url}: {outcome:?}");
        };
        assert!(
            fault.is_transient() && fault.to_string().contains("no connection"),
            "{fault}"
        );
    }
    for (status, body, kind, wait) in [
        (
            422,
            r#"{"title":"bad parameters","detail":"no range"}"#,
            FaultKind::Rejected,
            None,
        ),
        (
            422,
            r#"{"detail":"failed to store consumer in redis"}"#,
            FaultKind::Transient,
            None,
        ),
        (429, "", FaultKind::Transient, Some(7)),
        (404, r#"{"title":"not found"}"#, FaultKind::Rejected, None),
        (404, "default backend - 404", FaultKind::Transient, None),
    ] {
        let length = body.len();
        let bytes =
            format!("HTTP/1.1 {status} No\r\nRetry-After: 7\r\nContent-Length: {length}\r\n\r\n{body}");
        let (outcome, kept) = outcome(answer(bytes)).await;
        let Err(PullFault::Refused(fault)) = outcome else {
            panic!("{status}: {outcome:?}");
        };
        assert_eq!(fault.kind(), kind, "{fault}");
        if let Some(seconds) = wait {
            assert_eq!(fault.wait().unwrap().as_secs(), seconds);
        }
        assert!(kept.is_empty(), "what is no batch must not reach the journal");
    }
}

#[actix_rt::test]
async fn every_pull_has_a_connection_of_its_own() {
    let server = RawServer::start([
        [answer(sized()), vec![Step::Hang]].concat(),
        [answer(sized()), vec![Step::Hang]].concat(),
    ]);
    let dispatcher = dispatcher(&server.url());
    for _ in 0..2 {
        dispatcher.pull(&a_pull(), &mut Kept::default()).await.unwrap();
    }
    assert_eq!(server.connections(), 2);
    let requests = server.requests();
    assert!(
        requests
            .iter()
            .all(|request| request.to_ascii_lowercase().contains("\r\nconnection: close\r\n"))
    );
}

struct FullDisk;

#[async_trait(?Send)]
impl AnswerSink for FullDisk {
    async fn take(&mut self, _: Bytes) -> Result<(), Fault> {
        Err(Fault::transient("write batch", "journal", "no room"))
    }
}

#[actix_rt::test]
async fn a_batch_that_cannot_be_kept_is_suspect() {
    let server = RawServer::start([answer(sized())]);
    let outcome = dispatcher(&server.url()).pull(&a_pull(), &mut FullDisk).await;
    assert!(
        matches!(outcome, Err(PullFault::Suspect(fault)) if fault.to_string() == "write batch journal: no room")
    );
}
