use actors::fault::FaultKind;
use actors::ports::Dispatcher;
use actors::stream_id::StreamId;

use super::raw_tcp::{RawServer, Step, answer};
use super::{PATIENCE, dispatcher, read};

const SHA256: &str = "27783e87963a4efb6829b531c9ba57b44f45797f6770bd637fbf0d807cbdbae0";

fn stream() -> StreamId {
    StreamId::new("samples", "content", SHA256).unwrap()
}

const WHOLE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
const NOT_FOUND: &str = "HTTP/1.1 404 No\r\nContent-Length: 21\r\n\r\n{\"title\":\"not found\"}";

#[actix_rt::test]
async fn a_stream_comes_with_its_length() {
    let server = RawServer::start([answer(WHOLE)]);
    let body = dispatcher(&server.url()).download(&stream(), 0).await.unwrap();
    assert_eq!(body.length(), Some(10));
    let (content, end) = read(body).await;
    end.unwrap();
    assert_eq!(content, b"0123456789");
    let request = &server.requests()[0];
    assert!(
        request.starts_with(&format!(
            "GET /api/v3/stream/samples/content/{SHA256} HTTP/1.1\r\n"
        )),
        "{request}"
    );
    let lower = request.to_ascii_lowercase();
    assert!(
        lower.contains("\r\nuser-agent: dpclient-rust-backup-streams-events-all-all-1\r\n"),
        "{request}"
    );
    assert!(
        !lower.contains("range:") && !lower.contains("accept-encoding: gzip"),
        "{request}"
    );
}

#[actix_rt::test]
async fn the_rest_is_asked_for_and_only_the_rest_is_believed() {
    let partial = |range: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 206 Partial\r\nContent-Range: {range}\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let server = RawServer::start([answer(partial("bytes 4-9/10", "456789"))]);
    let body = dispatcher(&server.url()).download(&stream(), 4).await.unwrap();
    assert_eq!(body.length(), Some(6));
    assert_eq!(read(body).await.0, b"456789");
    assert!(
        server.requests()[0]
            .to_ascii_lowercase()
            .contains("\r\nrange: bytes=4-\r\n")
    );

    for (bytes, expected) in [
        (WHOLE.to_owned(), "the range from byte 4 was ignored"),
        (
            partial("bytes 0-9/10", "0123456789"),
            "got 206 with Content-Range `bytes 0-9/10`",
        ),
        (partial("bytes 4-9/10", "4567"), "got 206 with Content-Range"),
        (
            partial("nonsense", "456789"),
            "got 206 with Content-Range `nonsense`",
        ),
    ] {
        let server = RawServer::start([answer(bytes)]);
        let fault = dispatcher(&server.url())
            .download(&stream(), 4)
            .await
            .err()
            .unwrap();
        assert!(
            fault.is_transient() && fault.to_string().contains(expected),
            "{fault}"
        );
    }
    let server = RawServer::start([answer(partial("bytes 4-6/10", "456"))]);
    let (content, end) = read(dispatcher(&server.url()).download(&stream(), 4).await.unwrap()).await;
    assert_eq!(content, b"456");
    assert!(
        end.unwrap_err()
            .to_string()
            .ends_with("the body broke off after 3 of 6 bytes")
    );
}

#[actix_rt::test]
async fn a_body_that_is_not_whole_never_ends_well() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123";
    for (script, expected) in [
        (answer(head), "the body broke off after 4 of 10 bytes"),
        (vec![Step::Peek, Step::Send(head.into())], "after 4 of 10 bytes"),
        (
            vec![Step::Read, Step::Send(head.into()), Step::Hang],
            "no bytes for 300ms after 4 of 10 bytes",
        ),
    ] {
        let server = RawServer::start([script]);
        let (content, end) = read(dispatcher(&server.url()).download(&stream(), 0).await.unwrap()).await;
        assert_eq!(content, b"0123");
        let fault = end.unwrap_err();
        assert!(
            fault.is_transient() && fault.to_string().ends_with(expected),
            "{fault}"
        );
    }
    let drip = vec![Step::Read, Step::Drip(WHOLE.into(), PATIENCE / 20)];
    let server = RawServer::start([drip]);
    let dispatcher = dispatcher(&server.url());
    // Its head alone takes longer than the time-out on heads: a stalled one is not waited for.
    assert!(dispatcher.download(&stream(), 0).await.is_err());
    let (head, body) = WHOLE.split_at(WHOLE.len() - 10);
    let slow = vec![
        Step::Read,
        Step::Send(head.into()),
        Step::Drip(body.into(), PATIENCE / 5),
    ];
    let server = RawServer::start([slow]);
    let (content, end) = read(
        super::dispatcher(&server.url())
            .download(&stream(), 0)
            .await
            .unwrap(),
    )
    .await;
    end.unwrap();
    assert_eq!(content, b"0123456789", "a body has no time-out as a whole");
}

#[actix_rt::test]
async fn what_the_dispatcher_says_decides_what_is_done() {
    for (bytes, kind, expected) in [
        (NOT_FOUND, FaultKind::Missing, "404: not found"),
        (
            "HTTP/1.1 404 No\r\nContent-Length: 18\r\n\r\n404 page not found",
            FaultKind::Transient,
            "404: 404 page",
        ),
        (
            "HTTP/1.1 500 No\r\nContent-Length: 17\r\n\r\n{\"detail\":\"disk\"}",
            FaultKind::Transient,
            "500: disk",
        ),
        (
            "HTTP/1.1 400 No\r\nContent-Length: 15\r\n\r\n{\"title\":\"bad\"}",
            FaultKind::Rejected,
            "400: bad",
        ),
        (
            "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
            FaultKind::Rejected,
            "403: no text",
        ),
    ] {
        let server = RawServer::start([answer(bytes)]);
        let fault = dispatcher(&server.url())
            .download(&stream(), 0)
            .await
            .err()
            .unwrap();
        assert_eq!(fault.kind(), kind, "{fault}");
        let text = fault.to_string();
        assert!(
            text.starts_with(&format!("download stream samples/content/{SHA256} from http://")),
            "{text}"
        );
        assert!(text.contains(expected), "{text}");
    }
}

#[actix_rt::test]
async fn a_kept_connection_that_was_closed_is_replaced_at_once() {
    // The first connection is reset instead of a second answer, as a server does that closes idle ones.
    let first = [answer(WHOLE), vec![Step::Peek]].concat();
    let server = RawServer::start([first, answer(WHOLE)]);
    let dispatcher = dispatcher(&server.url());
    for _ in 0..2 {
        let (content, end) = read(dispatcher.download(&stream(), 0).await.unwrap()).await;
        end.unwrap();
        assert_eq!(content.len(), 10);
    }
    assert_eq!(server.connections(), 2);
}

#[actix_rt::test]
async fn connections_are_kept_between_downloads() {
    let server = RawServer::start([[answer(WHOLE), answer(NOT_FOUND), answer(WHOLE)].concat()]);
    let dispatcher = dispatcher(&server.url());
    read(dispatcher.download(&stream(), 0).await.unwrap())
        .await
        .1
        .unwrap();
    dispatcher.download(&stream(), 0).await.err().unwrap();
    read(dispatcher.download(&stream(), 0).await.unwrap())
        .await
        .1
        .unwrap();
    assert_eq!((server.connections(), server.requests().len()), (1, 3));
}

#[actix_rt::test]
async fn a_probe_tells_whether_a_dispatcher_is_there() {
    let server = RawServer::start([answer(
        "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\nAzul Dispatcher",
    )]);
    dispatcher(&server.url()).probe().await.unwrap();
    assert!(server.requests()[0].starts_with("GET / HTTP/1.1\r\n"));
    let server = RawServer::start([answer("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")]);
    let fault = dispatcher(&server.url()).probe().await.unwrap_err();
    assert!(
        fault
            .to_string()
            .starts_with(&format!("probe dispatcher {}/: 503", server.url())),
        "{fault}"
    );
}
