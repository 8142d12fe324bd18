use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, Context, Handler, System};
use actors::hit_cache::StreamsPutBack;
use actors::ports::LocalState;
use actors::ports::state::{Change, StateFault};
use actors::stream_id::StreamId;
use actors::testkit::{MemoryState, StateCall, Trouble};
use actors::timestamp::Timestamp;
use tempfile::TempDir;

use super::protocol::{Line, MOST_ROWS, PutBackCounts, Question};
use super::*;

fn stream(number: u32) -> StreamId {
    StreamId::new("samples", "content", &format!("{number:064x}")).unwrap()
}

async fn missing(count: u32) -> MemoryState {
    let state = MemoryState::new();
    for number in 0..count {
        let missing = Change::StreamMissing(stream(number), Timestamp::from_micros(1));
        state.record(missing).await.unwrap();
    }
    state
}

/// Serves `count` missing streams; `ask` runs beside it.
fn served<A: Send + 'static>(count: u32, ask: impl FnOnce(&Path) -> A + Send + 'static) -> A {
    let root = TempDir::new().unwrap();
    System::new().block_on(async {
        let state = missing(count).await;
        let _socket = LocalSocket::serve(root.path(), Rc::new(state)).unwrap();
        let place = root.path().to_owned();
        tokio::task::spawn_blocking(move || ask(&place)).await.unwrap()
    })
}

fn page(after: Option<StreamId>) -> Question {
    let limit = usize::MAX;
    Question::MissingStreams { after, limit }
}

/// What a raw connection is told.
fn told(root: &Path, sent: &[u8]) -> String {
    let mut connection = UnixStream::connect(SocketPlace::beside(root).path()).unwrap();
    connection.write_all(sent).unwrap();
    let mut text = String::new();
    // What was not taken of the question resets the connection once the answer is read.
    let _reset = connection.read_to_string(&mut text);
    text
}

#[test]
fn rows_are_told_in_pages_of_a_bounded_size() {
    let sizes = served(1200, |root| {
        let client = SocketClient::of(root);
        let (mut sizes, mut after) = (Vec::new(), None);
        loop {
            let lines = client.ask(page(after)).unwrap();
            sizes.push(lines.len());
            match lines.last() {
                Some(Line::Missing(row)) => after = Some(row.stream.clone()),
                _ => return sizes,
            }
        }
    });
    assert_eq!(sizes, [MOST_ROWS, MOST_ROWS, 200, 0]);
}

#[test]
fn a_question_that_is_none_gets_a_clear_error() {
    let streams: Vec<String> = (0..101).map(|number| stream(number).to_string()).collect();
    let many = serde_json::json!({"protocol": 1, "ask": "put_back", "streams": streams});
    let cases: [(Vec<u8>, &str); 8] = [
        (
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            "this is no question of this protocol",
        ),
        (b"\xff\xfe\n".to_vec(), "this is no question of this protocol"),
        (b"\n".to_vec(), "this is no question of this protocol"),
        (
            br#"{"protocol":2,"ask":"status"}"#.to_vec(),
            "protocol 2 is not spoken here, but 1",
        ),
        (
            b"{\"protocol\":1,\"ask\":\"status\"}\n".to_vec(),
            "unknown variant `status`",
        ),
        (
            b"{\"protocol\":1,\"ask\":\"put_back\",\"streams\":[\"../../etc\"]}\n".to_vec(),
            "cannot be used",
        ),
        (
            format!("{many}\n").into_bytes(),
            "101 streams at once are too many",
        ),
        (vec![b'['; 200 * 1024], "at most 131072 bytes"),
    ];
    for (sent, wanted) in cases {
        // The end of what is sent ends the question too.
        let answer = served(1, move |root| {
            let mut connection = UnixStream::connect(SocketPlace::beside(root).path()).unwrap();
            // Of a question that is too long the rest is not taken.
            let _refused = connection.write_all(&sent);
            let _gone = connection.shutdown(std::net::Shutdown::Write);
            let mut text = String::new();
            let _reset = connection.read_to_string(&mut text);
            // The server is as it was.
            assert_eq!(SocketClient::of(root).ask(page(None)).unwrap().len(), 1);
            text
        });
        let line: Line = serde_json::from_str(&answer).unwrap();
        assert!(
            matches!(&line, Line::Error(text) if text.contains(wanted)),
            "{line:?}"
        );
    }
}

/// Whether nothing has come yet, nor the end.
fn is_silent(connection: &UnixStream) -> bool {
    connection.set_nonblocking(true).unwrap();
    let read = (&*connection).read(&mut [0]);
    connection.set_nonblocking(false).unwrap();
    read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

#[test]
fn clients_that_hang_hold_up_nobody_and_too_many_are_told_so() {
    served(1, |root| {
        let connect = || UnixStream::connect(SocketPlace::beside(root).path()).unwrap();
        let mut hanging: Vec<UnixStream> = (0..7).map(|_| connect()).collect();
        assert_eq!(SocketClient::of(root).ask(page(None)).unwrap().len(), 1);
        let silent = hanging.iter().all(is_silent);
        assert!(silent, "it was answered while they hang");
        hanging.push(connect());
        let refused = told(root, b"{}\n");
        assert!(
            refused.contains("later") && refused.contains("too many questions at once"),
            "{refused}"
        );
        // Who hangs is told after a while, and makes room.
        let mut text = String::new();
        BufReader::new(hanging.remove(0)).read_line(&mut text).unwrap();
        assert!(text.contains("no question within 5s"), "{text}");
        assert_eq!(SocketClient::of(root).ask(page(None)).unwrap().len(), 1);
    });
}

/// Local state that is closed, or waits to be opened again.
fn asked_of_a_state(fault: StateFault, ends: bool) -> NotAsked {
    let root = TempDir::new().unwrap();
    System::new().block_on(async {
        let state = MemoryState::new();
        let socket = LocalSocket::serve(root.path(), Rc::new(state.clone())).unwrap();
        // Accepted, and not asked yet.
        let mut connection = UnixStream::connect(SocketPlace::beside(root.path()).path()).unwrap();
        let place = root.path().to_owned();
        let asked = tokio::task::spawn_blocking(move || SocketClient::of(&place).ask(page(None)));
        assert_eq!(asked.await.unwrap().unwrap(), []);
        state.calls().plan(Trouble::fails(StateCall::Read, fault));
        let _serving = (!ends).then_some(socket);
        tokio::task::spawn_blocking(move || {
            connection
                .write_all(b"{\"protocol\":1,\"ask\":\"missing_streams\",\"after\":null,\"limit\":1}\n")
                .unwrap();
            let mut line = String::new();
            BufReader::new(connection).read_line(&mut line).unwrap();
            match serde_json::from_str(&line).unwrap() {
                Line::Later(reason) => NotAsked::NotNow(reason),
                Line::Error(reason) => NotAsked::Refused(reason),
                line => panic!("{line:?}"),
            }
        })
        .await
        .unwrap()
    })
}

#[test]
fn whoever_asks_a_process_that_ends_or_has_a_full_disk_is_told_to_ask_again() {
    let closed = StateFault::Broken("it is closed".to_owned());
    let full = StateFault::Full("it waits to be opened again".to_owned());
    let ending = asked_of_a_state(closed.clone(), true);
    assert!(matches!(ending, NotAsked::NotNow(_)), "{ending}");
    let waiting = asked_of_a_state(full, false);
    assert!(matches!(waiting, NotAsked::NotNow(_)), "{waiting}");
    let broken = asked_of_a_state(closed, false);
    assert!(matches!(broken, NotAsked::Refused(_)), "{broken}");
}

struct Queue(Rc<RefCell<Vec<u64>>>);

impl Actor for Queue {
    type Context = Context<Self>;
}

impl Handler<StreamsPutBack> for Queue {
    type Result = ();

    fn handle(&mut self, put_back: StreamsPutBack, _: &mut Self::Context) {
        self.0.borrow_mut().push(put_back.last_ticket);
    }
}

#[test]
fn the_queue_of_streams_is_told_of_what_was_put_back_and_of_nothing_else() {
    let root = TempDir::new().unwrap();
    System::new().block_on(async {
        let told = Rc::new(RefCell::new(Vec::new()));
        let state = missing(2).await;
        let socket = LocalSocket::serve(root.path(), Rc::new(state.clone())).unwrap();
        let ask = |streams: Vec<StreamId>| {
            let client = SocketClient::of(root.path());
            tokio::task::spawn_blocking(move || client.ask(Question::PutBack { streams }).unwrap())
        };
        let counts = |missing, neither| {
            vec![Line::PutBack(PutBackCounts {
                failed: 0,
                missing,
                neither,
            })]
        };
        assert_eq!(ask(vec![stream(0)]).await.unwrap(), counts(1, 0));
        socket.tell(Queue(Rc::clone(&told)).start().recipient());
        assert_eq!(ask(vec![stream(0), stream(9)]).await.unwrap(), counts(0, 2));
        assert!(told.borrow().is_empty());
        assert_eq!(ask(vec![stream(1)]).await.unwrap(), counts(1, 0));
        assert_eq!(*told.borrow(), [state.highest_ticket().unwrap().unwrap()]);
    });
}

#[test]
fn only_the_user_of_the_process_reaches_the_socket_and_it_goes_with_it() {
    let root = TempDir::new().unwrap();
    let path = SocketPlace::beside(root.path()).path();
    System::new().block_on(async {
        let socket = LocalSocket::serve(root.path(), Rc::new(MemoryState::new())).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let next = LocalSocket::serve(root.path(), Rc::new(MemoryState::new())).unwrap();
        drop(socket);
        assert!(path.exists(), "that of the next process stays");
        drop(next);
    });
    assert!(!path.exists());
}

#[test]
fn a_socket_that_was_left_behind_is_replaced_and_anything_else_is_not() {
    let root = TempDir::new().unwrap();
    let place = SocketPlace::beside(root.path());
    std::fs::create_dir(place.path().parent().unwrap()).unwrap();
    drop(UnixListener::bind(place.path()).unwrap());
    assert!(matches!(
        SocketClient::of(root.path()).ask(page(None)),
        Err(NotAsked::Nobody(_))
    ));
    System::new().block_on(async {
        let socket = LocalSocket::serve(root.path(), Rc::new(MemoryState::new())).unwrap();
        let client = SocketClient::of(root.path());
        let lines = tokio::task::spawn_blocking(move || client.ask(page(None)).unwrap()).await;
        assert_eq!(lines.unwrap(), []);
        drop(socket);
        std::fs::write(place.path(), "precious").unwrap();
        let refused = LocalSocket::serve(root.path(), Rc::new(MemoryState::new()));
        assert!(refused.err().unwrap().to_string().contains("not a socket"));
    });
    assert_eq!(std::fs::read(place.path()).unwrap(), b"precious");
}

#[test]
fn a_root_whose_path_is_longer_than_the_system_takes_for_a_socket_is_reached() {
    for length in [60, 107, 108, 109, 200] {
        let folder = TempDir::new().unwrap();
        let beside = SocketPlace::beside(folder.path()).path().as_os_str().len() + 1;
        let root = folder.path().join("r".repeat(length.max(beside + 1) - beside));
        std::fs::create_dir(&root).unwrap();
        System::new().block_on(async {
            let _socket = LocalSocket::serve(&root, Rc::new(MemoryState::new())).unwrap();
            let client = SocketClient::of(&root);
            let lines = tokio::task::spawn_blocking(move || client.ask(page(None)).unwrap()).await;
            assert_eq!(lines.unwrap(), [], "{length}");
        });
    }
}

/// Asks a process that answers with these bytes, and then does not close the connection.
fn asked_of(answer: &'static [u8], patience: Duration) -> String {
    let root = TempDir::new().unwrap();
    let place = SocketPlace::beside(root.path());
    let (listener, _) = place.listen().unwrap();
    let server = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        connection.write_all(answer).unwrap();
        let mut rest = Vec::new();
        let _gone = connection.read_to_end(&mut rest);
    });
    let client = SocketClient::of(root.path()).with_patience(patience);
    let told = match client.ask(page(None)) {
        Ok(lines) => format!("{} lines", lines.len()),
        Err(reason) => reason.to_string(),
    };
    server.join().unwrap();
    told
}

#[test]
fn an_answer_that_does_not_come_or_does_not_end_is_an_error() {
    let (short, long) = (Duration::from_millis(300), Duration::from_secs(60));
    for (answer, wanted) in [
        (&b""[..], "does not answer within 300ms"),
        (
            b"{\"put_back\":{\"failed\":1,\"missing\":0,\"neither\":0}}\n",
            "does not answer within",
        ),
    ] {
        let told = asked_of(answer, short);
        assert!(told.contains(wanted), "{told}");
    }
    for (answer, wanted) in [
        (&b"{\"done\":{}}\n"[..], "0 lines"),
        (b"{\"error\":\"no room\"}\n", "it says: no room"),
        (b"{\"later\":\"busy\"}\n", "it says: busy"),
        (b"{\"sooner\":1}\n", "unknown variant"),
        (&[b'x'; 40_000], "too long"),
    ] {
        let told = asked_of(answer, long);
        assert!(told.contains(wanted), "{told}");
    }
}
