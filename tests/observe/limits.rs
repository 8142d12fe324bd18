//! Who asks in bad faith, or for what hangs, harms nobody else.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::supervisor::Pulse;
use azul_backup::observe::server::{MOST_CONNECTIONS, MOST_HEAD, Server, Views};

use crate::made::{Made, healthy_backup};
use crate::raw_http::{connect, get, read};

#[test]
fn who_holds_connections_open_keeps_nobody_out() {
    let made = Made::new(healthy_backup());
    let held: Vec<TcpStream> = (0..4 * MOST_CONNECTIONS)
        .map(|_| {
            let mut stream = connect(made.address());
            stream.write_all(b"GET /livez HTTP/1.1\r\n").unwrap();
            stream
        })
        .collect();
    assert_eq!(get(made.address(), "/livez").status, 200);
    assert_eq!(get(made.address(), "/metrics").status, 200);
    drop(held);
}

#[test]
fn a_head_without_end_is_not_read_to_its_end() {
    let made = Made::new(healthy_backup());
    let mut stream = connect(made.address());
    stream.write_all(b"GET /livez HTTP/1.1\r\n").unwrap();
    let line = format!("X-More: {}\r\n", "x".repeat(1000));
    let mut sent = 0;
    // The system's own buffers take some more than is read.
    while sent < 64 << 20 && stream.write_all(line.as_bytes()).is_ok() {
        sent += line.len();
    }
    assert!(sent < 64 << 20, "all of it was taken");
    assert_eq!(get(made.address(), "/livez").status, 200);
}

#[test]
fn a_head_of_ordinary_size_is_read_whole() {
    let made = Made::new(healthy_backup());
    let filling = "x".repeat(usize::try_from(MOST_HEAD).unwrap() / 2);
    let mut stream = connect(made.address());
    write!(
        stream,
        "GET /livez HTTP/1.1\r\nHost: test\r\nX-More: {filling}\r\n\r\n"
    )
    .unwrap();
    assert_eq!(read(stream).status, 200);
}

#[test]
fn what_is_no_http_gets_no_answer_worth_having() {
    let made = Made::new(healthy_backup());
    for nonsense in [
        "\r\n\r\n\r\n\r\n",
        "hello\r\n\r\n",
        "\u{16}\u{3}\u{1}",
        "GET /livez\r\n\r\n",
    ] {
        let mut stream = connect(made.address());
        stream.write_all(nonsense.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _reset_is_fine = std::io::Read::read_to_end(&mut stream, &mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.starts_with("HTTP/1.1 200"), "{nonsense:?}: {answer}");
    }
    assert_eq!(get(made.address(), "/livez").status, 200);
}

#[test]
fn figures_that_hang_or_fail_do_not_keep_livez_from_answering() {
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let waiting = Arc::clone(&gate);
    let views = Views {
        snapshot: Arc::new(move || {
            drop(waiting.lock());
            healthy_backup()
        }),
        metrics: Arc::new(|| panic!("the metrics are wrong")),
        pulse: Pulse::default(),
        longest_silence: Duration::from_secs(30),
    };
    let server = Server::start("127.0.0.1:0".parse().unwrap(), views).unwrap();
    let address = server.address();
    let failed = get(address, "/metrics");
    assert_eq!(failed.status, 503);
    assert!(failed.body.contains("this program is wrong"), "{}", failed.body);
    assert!(!failed.body.contains("the metrics are wrong"));
    let asked: Vec<_> = ["/status", "/", "/readyz", "/metrics"]
        .map(|path| std::thread::spawn(move || get(address, path)))
        .into();
    assert_eq!(get(address, "/livez").status, 200);
    for answer in asked.into_iter().map(|asked| asked.join().unwrap()) {
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(
            answer.body.contains("could not be taken within 5s"),
            "{}",
            answer.body
        );
    }
    drop(closed);
    let begun = std::time::Instant::now();
    while get(address, "/status").status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not recover");
    }
}

#[test]
fn a_server_that_is_dropped_listens_no_more() {
    let mut made = Made::new(healthy_backup());
    let address = made.address();
    assert_eq!(get(address, "/livez").status, 200);
    made.server = None;
    let begun = std::time::Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it still listens");
        std::thread::sleep(Duration::from_millis(10));
    }
}
