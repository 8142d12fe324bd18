//! A proxy as a company has one between its machines and others: it knows names that nobody else knows, is asked for
//! tunnels (CONNECT) or for whole URLs, may want to know who asks, and can be told to misbehave.
//!
//! It remembers what it was asked for. Of a connection for whole URLs only one request is served; then it is closed, so
//! that none goes by unseen.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// The longest head of a request.
const LONGEST_HEAD: usize = 64 * 1024;

/// What it does with those who ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// What it is asked for.
    #[default]
    Serve,
    /// It answers with this status line's end, such as `502 Bad Gateway`, and closes the connection.
    Answer(String),
    /// It says nothing, and keeps the connection.
    Silence,
}

/// A request that it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Such as `CONNECT`.
    pub method: String,
    /// `host:port` of a tunnel, or a whole URL.
    pub target: String,
    /// `Proxy-Authorization`.
    pub authorization: Option<String>,
}

#[derive(Debug, Default)]
struct Record {
    hosts: BTreeMap<String, SocketAddr>,
    authorization: Option<String>,
    manner: Manner,
    asked: Vec<Asked>,
    kept: Vec<TcpStream>,
    stopped: bool,
}

/// See the module. Stops listening when it is dropped.
#[derive(Debug)]
pub struct ForwardProxy {
    address: SocketAddr,
    record: Arc<Mutex<Record>>,
    thread: Option<JoinHandle<()>>,
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ForwardProxy {
    /// Listens on loopback. `hosts` says for each `host:port` where it really is; it knows no others.
    ///
    /// # Errors
    /// There is no port.
    pub fn start<'a>(hosts: impl IntoIterator<Item = (&'a str, SocketAddr)>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let hosts = hosts.into_iter().map(|(name, to)| (name.to_owned(), to));
        let record = Arc::new(Mutex::new(Record {
            hosts: hosts.collect(),
            ..Record::default()
        }));
        let shared = Arc::clone(&record);
        let thread = std::thread::spawn(move || {
            for client in listener.incoming() {
                if lock(&shared).stopped {
                    return;
                }
                let shared = Arc::clone(&shared);
                // Whoever goes in the middle of it has its reasons.
                std::thread::spawn(move || client.and_then(|client| serve(client, &shared)).ok());
            }
        });
        Ok(Self {
            address,
            record,
            thread: Some(thread),
        })
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it serves only who sends this `Proxy-Authorization`.
    pub fn want(&self, authorization: &str) {
        lock(&self.record).authorization = Some(authorization.to_owned());
    }

    /// From now on it behaves so.
    pub fn behave(&self, manner: Manner) {
        lock(&self.record).manner = manner;
    }

    /// All that it was asked for.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.record).asked.clone()
    }
}

impl Drop for ForwardProxy {
    fn drop(&mut self) {
        let mut record = lock(&self.record);
        record.stopped = true;
        record.kept.clear();
        drop(record);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            // It has nothing left to tell.
            let _ = thread.join();
        }
    }
}

fn serve(mut client: TcpStream, record: &Mutex<Record>) -> io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && head.len() < LONGEST_HEAD {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let asked = parsed(&head);
    let (manner, allowed, host) = {
        let mut record = lock(record);
        record.asked.push(asked.clone());
        let allowed = record.authorization.is_none() || record.authorization == asked.authorization;
        (
            record.manner.clone(),
            allowed,
            record.hosts.get(authority(&asked.target)).copied(),
        )
    };
    let answer = match (manner, allowed, host) {
        (Manner::Silence, ..) => {
            lock(record).kept.push(client);
            return Ok(());
        }
        (Manner::Answer(status), ..) => status,
        (Manner::Serve, false, _) => "407 Proxy Authentication Required".to_owned(),
        (Manner::Serve, true, None) => "502 Bad Gateway".to_owned(),
        (Manner::Serve, true, Some(host)) => return forward(client, &asked, &head, host),
    };
    let page = "<html>what a proxy says</html>";
    let length = page.len();
    // In one piece: a page that comes after its head would be taken for what the server behind the proxy says.
    let answer = format!(
        "HTTP/1.1 {answer}\r\nProxy-Authenticate: Basic realm=\"sandbox\"\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{page}"
    );
    client.write_all(answer.as_bytes())?;
    // What is still being sent is taken, lest the answer is lost.
    client.shutdown(Shutdown::Write)?;
    io::copy(&mut client, &mut io::sink()).map(drop)
}

fn forward(mut client: TcpStream, asked: &Asked, head: &str, host: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect(host)?;
    if asked.method == "CONNECT" {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    } else {
        let (first, rest) = head.split_once("\r\n").unwrap_or_default();
        let path = asked
            .target
            .replacen(&format!("http://{}", authority(&asked.target)), "", 1);
        let first = first.replace(&asked.target, &path);
        let rest: String = rest
            .lines()
            .filter(|line| !line.to_ascii_lowercase().starts_with("proxy-") && !line.is_empty())
            .map(|line| format!("{line}\r\n"))
            .collect();
        write!(server, "{first}\r\n{rest}Connection: close\r\n\r\n")?;
    }
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let copied = io::copy(&mut from_client, &mut to_server);
        // The other direction goes on as long as the server likes.
        drop(to_server.shutdown(Shutdown::Write));
        copied.ok()
    });
    let copied = io::copy(&mut server, &mut client);
    drop(client.shutdown(Shutdown::Both));
    copied.map(drop)
}

fn parsed(head: &str) -> Asked {
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let authorization = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("proxy-authorization");
        is_it.then(|| value.trim().to_owned())
    });
    Asked {
        method,
        target,
        authorization,
    }
}

/// `host:port` of a URL, or of what is nothing else.
fn authority(target: &str) -> &str {
    let rest = target.strip_prefix("http://").unwrap_or(target);
    rest.split('/').next().unwrap_or_default()
}
