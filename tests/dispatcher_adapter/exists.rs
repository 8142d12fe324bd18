use actors::fault::FaultKind;
use actors::ports::Target;
use actors::ports::archive::Store;

use super::raw_tcp::{RawServer, Step, answer};
use super::upload::stream;
use super::{sized, target};

#[actix_rt::test]
async fn a_200_is_there_a_404_is_not_and_anything_else_is_a_fault() {
    let script = [
        answer("HTTP/1.1 200 OK\r\n\r\n"),
        answer("HTTP/1.1 404 No\r\n\r\n"),
        // A length without a body, as proxies answer.
        answer("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"),
    ];
    let server = RawServer::start([script.concat()]);
    let dispatcher = target(&server.url());
    for there in [true, false, true] {
        assert_eq!(dispatcher.exists(&stream()).await.unwrap(), there);
    }
    assert_eq!((server.connections(), server.requests().len()), (1, 3));
    let request = server.requests()[0].to_ascii_lowercase();
    let line = format!(
        "head /api/v3/stream/samples/content/{} http/1.1\r\n",
        stream().sha256()
    );
    assert!(request.starts_with(&line), "{request}");
    let agent = "\r\nuser-agent: dpclient-rust-restore-streams-events-all-all-1\r\n";
    assert!(request.contains(agent), "{request}");

    for (script, kind, expected) in [
        (answer(sized("500 No", "")), FaultKind::Transient, "500"),
        (answer(sized("403 No", "")), FaultKind::Rejected, "403"),
        (answer(sized("302 No", "")), FaultKind::Rejected, "302"),
        (
            answer("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 9\r\n\r\n"),
            FaultKind::Transient,
            "a web page",
        ),
        (
            vec![Step::Read, Step::Hang],
            FaultKind::Transient,
            "no answer within 300",
        ),
    ] {
        let server = RawServer::start([script]);
        let fault = target(&server.url()).exists(&stream()).await.unwrap_err();
        assert_eq!(fault.kind(), kind, "{fault}");
        assert!(fault.to_string().contains(expected), "{fault}");
        assert!(
            fault.to_string().starts_with("ask for stream samples/content/"),
            "{fault}"
        );
    }
}

#[actix_rt::test]
async fn a_kept_connection_that_was_closed_is_replaced_at_once() {
    let there = "HTTP/1.1 200 OK\r\n\r\n";
    let server = RawServer::start([[answer(there), vec![Step::Peek]].concat(), answer(there)]);
    let dispatcher = target(&server.url());
    for _ in 0..2 {
        assert!(dispatcher.exists(&stream()).await.unwrap());
    }
    assert_eq!(server.connections(), 2);
}

#[actix_rt::test]
async fn only_what_says_that_it_is_the_dispatcher_is_taken_for_it() {
    for (script, expected) in [
        (answer(sized("200 OK", "Azul Dispatcher")), None),
        (
            answer(sized("200 OK", "<html>Log in</html>")),
            Some((
                FaultKind::Rejected,
                "it does not say `Azul Dispatcher`: <html>Log in",
            )),
        ),
        (
            answer(sized("200 OK", "")),
            Some((FaultKind::Rejected, "it does not say")),
        ),
        (answer(sized("503 No", "")), Some((FaultKind::Transient, "503"))),
        (answer(sized("403 No", "")), Some((FaultKind::Rejected, "403"))),
        (
            vec![Step::Read, Step::Hang],
            Some((FaultKind::Transient, "no answer within 300")),
        ),
    ] {
        for sent in [Store::Streams, Store::Events] {
            let server = RawServer::start([script.clone()]);
            let probed = target(&server.url()).probe(sent).await;
            let fault = probed.as_ref().err();
            assert_eq!(
                fault.map(|fault| fault.kind()),
                expected.map(|(kind, _)| kind),
                "{fault:?}"
            );
            let text = fault.map(ToString::to_string).unwrap_or_default();
            assert!(text.contains(expected.map_or("", |(_, text)| text)), "{text}");
        }
    }
}
