//! The proxy before a server that is written out by hand.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use super::*;

/// A request with a body, and an answer in chunks.
const REQUEST: &[u8] =
    b"PUT /b-1-streams/samples/content/a%20b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: \"e\"\r\n\r\n4\r\nabcd\r\n4;x=y\r\nefgh\r\n0\r\nT: r\r\n\r\n";

/// Answers every request with [`ANSWER`], and tells what it got.
fn server() -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, requests) = channel();
    std::thread::spawn(move || {
        while let Ok((mut tcp, _)) = listener.accept() {
            let told = told.clone();
            std::thread::spawn(move || {
                let mut request = vec![0; REQUEST.len()];
                while tcp.read_exact(&mut request).is_ok() {
                    let _nobody_asks = told.send(request.clone());
                    tcp.write_all(ANSWER).unwrap();
                }
            });
        }
    });
    (address, requests)
}

struct Stage {
    proxy: Proxy,
    requests: Receiver<Vec<u8>>,
}

impl Stage {
    fn with(fault: Option<Fault>) -> Self {
        let (to, requests) = server();
        let proxy = Proxy::start(to, Duration::from_millis(1)).unwrap();
        if let Some(fault) = fault {
            proxy.order(Order {
                operation: Operation::PutStream,
                target: "samples".to_owned(),
                fault,
                times: 1,
            });
        }
        Self { proxy, requests }
    }

    fn connect(&self) -> TcpStream {
        let tcp = TcpStream::connect(self.proxy.endpoint()).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        tcp
    }

    /// What comes back until the connection ends, and whether it ends in good order.
    fn ask(&self) -> (Vec<u8>, bool) {
        let mut tcp = self.connect();
        tcp.write_all(REQUEST).unwrap();
        let mut answer = Vec::new();
        let ended = tcp.read_to_end(&mut answer).is_ok();
        (answer, ended)
    }

    fn reached_server(&self) -> Option<Vec<u8>> {
        self.requests.try_recv().ok()
    }
}

fn head(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: {length}\r\n\r\n")
}

#[test]
fn without_an_order_everything_passes_byte_for_byte_on_one_connection() {
    let stage = Stage::with(None);
    let mut tcp = stage.connect();
    for _ in 0..3 {
        tcp.write_all(REQUEST).unwrap();
        let mut answer = vec![0; ANSWER.len()];
        tcp.read_exact(&mut answer).unwrap();
        assert_eq!(answer, ANSWER);
        assert_eq!(stage.reached_server().unwrap(), REQUEST);
    }
    let counts = stage.proxy.counts(Operation::PutStream);
    assert_eq!((counts.seen, counts.struck), (3, 0));
}

#[test]
fn what_the_program_was_told_to_be_in_the_bucket_is_remembered() {
    let stage = Stage::with(Some(Fault::AnswerInstead(Reply::Own(500))));
    let mut tcp = stage.connect();
    for expected in [vec![], vec!["samples/content/a b".to_owned()]] {
        tcp.write_all(REQUEST).unwrap();
        let mut answer = [0; 4096];
        while tcp.read(&mut answer).unwrap() == answer.len() {}
        let begun = std::time::Instant::now();
        while stage.proxy.acknowledged().len() < expected.len() && begun.elapsed().as_secs() < 20 {
            std::thread::yield_now();
        }
        assert_eq!(
            stage.proxy.acknowledged().into_iter().collect::<Vec<_>>(),
            expected
        );
    }
    assert_eq!(
        stage.proxy.counts(Operation::PutStream),
        Counts { seen: 2, struck: 1 }
    );
}

#[test]
fn an_unsent_request_never_reaches_the_server_and_an_unanswered_one_does() {
    for (fault, reaches, came, in_order) in [
        (Fault::ResetUnsent, false, 0, false),
        (Fault::ResetUnanswered, true, 0, false),
        (Fault::ResetInHead, true, head(8).len() / 2, false),
        (Fault::ResetInBody, true, head(8).len() + 4, false),
        (Fault::ResetAfterBody, true, head(8).len() + 8, false),
        (Fault::CutByLength, true, head(8).len() + 4, true),
    ] {
        let stage = Stage::with(Some(fault));
        let (answer, ended) = stage.ask();
        assert_eq!((answer.len(), ended), (came, in_order), "{fault:?}");
        assert_eq!(stage.reached_server().is_some(), reaches, "{fault:?}");
    }
}

#[test]
fn an_answer_is_spoiled_as_it_is_ordered() {
    for (fault, expected) in [
        (Fault::CutShorter, head(4) + "abcd"),
        (Fault::Flip(Spot::Middle), head(8) + "abcddfgh"),
        (Fault::Flip(Spot::Text("h")), head(8) + "abcdefgi"),
        (Fault::DripHead, head(8) + "abcdefgh"),
        (Fault::DripBody(3), head(8) + "abcdefgh"),
        (
            Fault::CutChunked,
            "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n".to_owned(),
        ),
        (
            Fault::Answer(Reply::Empty),
            "HTTP/1.1 200 On Order\r\nContent-Type: application/xml\r\nContent-Length: 0\r\n\r\n".to_owned(),
        ),
    ] {
        let stage = Stage::with(Some(fault));
        let mut tcp = stage.connect();
        tcp.write_all(REQUEST).unwrap();
        let mut answer = vec![0; expected.len()];
        tcp.read_exact(&mut answer).unwrap();
        assert_eq!(String::from_utf8(answer).unwrap(), expected, "{fault:?}");
    }
    let own = |status, operation| String::from_utf8(Reply::Own(status).render("GET", operation)).unwrap();
    assert!(own(404, Operation::PutBundle).contains("<Code>NoSuchBucket</Code>"));
    assert!(own(404, Operation::Pull).contains("\"status\":\"404\""));
    assert!(own(503, Operation::Pull).contains("\r\nRetry-After: 1\r\n"));
}

#[test]
fn a_request_is_spoiled_on_its_way_to_the_server() {
    let stage = Stage::with(Some(Fault::FlipInRequest));
    let mut tcp = stage.connect();
    tcp.write_all(REQUEST).unwrap();
    let mut answer = vec![0; ANSWER.len()];
    tcp.read_exact(&mut answer).unwrap();
    assert!(stage.reached_server().unwrap().ends_with(b"hemlo"));
    let stage = Stage::with(Some(Fault::ResetInRequest));
    assert_eq!(stage.ask(), (vec![], false));
    assert_eq!(stage.reached_server(), None);
}

#[test]
fn a_closed_proxy_refuses_and_an_open_one_is_as_before() {
    let stage = Stage::with(None);
    let open = stage.connect();
    stage.proxy.close();
    let mut end = Vec::new();
    let _broken_one_way_or_the_other = (&open).read_to_end(&mut end);
    assert_eq!(end, b"");
    let error = TcpStream::connect(stage.proxy.endpoint()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    stage.proxy.open();
    let begun = std::time::Instant::now();
    let mut tcp = loop {
        match TcpStream::connect(stage.proxy.endpoint()) {
            Ok(tcp) => break tcp,
            Err(error) => assert!(begun.elapsed().as_secs() < 20, "{error}"),
        }
    };
    tcp.write_all(REQUEST).unwrap();
    let mut answer = vec![0; ANSWER.len()];
    tcp.read_exact(&mut answer).unwrap();
    assert_eq!(answer, ANSWER);
}
