//! A server that knows nothing of HTTP but where a request ends: it plays a script for each connection.

// Every suite uses what it needs of it.
#![allow(dead_code)]

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// One step of a script.
#[derive(Clone, Debug)]
pub enum Step {
    /// Reads one request with its body, and keeps it.
    Read,
    /// Reads the head of a request, and no more of its body than came with it.
    ReadHead,
    /// Reads until the client goes, and keeps what it sent.
    ReadToEnd,
    /// Does nothing for so long, and reads nothing either.
    Rest(Duration),
    /// Waits until a request is there, but leaves it unread: closing resets the connection then.
    Peek,
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes one by one, with this pause between them.
    Drip(Vec<u8>, Duration),
    /// Reads one request, and pauses after every mebibyte.
    ReadSlowly(Duration),
    /// Sends nothing more until the client goes.
    Hang,
}

/// Reads a request and sends an answer.
pub fn answer(bytes: impl Into<Vec<u8>>) -> Vec<Step> {
    vec![Step::Read, Step::Send(bytes.into())]
}

/// The server; connections beyond the scripts are closed at once.
pub struct RawServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
    connections: Arc<Mutex<usize>>,
    thread: Option<JoinHandle<()>>,
    stop: Arc<Mutex<bool>>,
}

impl RawServer {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Plays the first script on the first connection, and so on.
    pub fn start(scripts: impl IntoIterator<Item = Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(Mutex::new(0));
        let stop = Arc::new(Mutex::new(false));
        let mut scripts: VecDeque<_> = scripts.into_iter().collect();
        let (kept, counted, stopped) = (requests.clone(), connections.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            for socket in listener.incoming() {
                if *stopped.lock().unwrap() {
                    return;
                }
                *counted.lock().unwrap() += 1;
                let script = scripts.pop_front().unwrap_or_default();
                let (socket, kept) = (socket.unwrap(), kept.clone());
                // A client that goes in the middle of a script is part of what is tested.
                std::thread::spawn(move || play(socket, script, &kept).ok());
            }
        });
        Self {
            address,
            requests,
            connections,
            thread: Some(thread),
            stop,
        }
    }

    /// `http://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests that were read, in their order.
    pub fn requests(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .collect()
    }

    /// How often a client has connected.
    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        *self.stop.lock().unwrap() = true;
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn play(mut socket: TcpStream, script: Vec<Step>, requests: &Mutex<Vec<Vec<u8>>>) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    for step in script {
        match step {
            Step::Read => {
                let request = read_request(&mut socket, Duration::ZERO)?;
                requests.lock().unwrap().push(request);
            }
            Step::ReadHead => read_head(&mut socket)?,
            Step::ReadToEnd => {
                let mut received = Vec::new();
                let end = socket.read_to_end(&mut received);
                requests.lock().unwrap().push(received);
                end?;
            }
            Step::Rest(pause) => std::thread::sleep(pause),
            Step::ReadSlowly(pause) => drop(read_request(&mut socket, pause)?),
            Step::Peek => drop(socket.peek(&mut [0])?),
            Step::Send(bytes) => socket.write_all(&bytes)?,
            Step::Drip(bytes, pause) => {
                for byte in bytes {
                    socket.write_all(&[byte])?;
                    std::thread::sleep(pause);
                }
            }
            Step::Hang => while socket.read(&mut [0; 1024])? > 0 {},
        }
    }
    Ok(())
}

fn read_head(socket: &mut TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte)?;
        head.extend_from_slice(&byte);
    }
    Ok(())
}

fn read_request(socket: &mut TcpStream, pause: Duration) -> std::io::Result<Vec<u8>> {
    const MEBIBYTE: usize = 1024 * 1024;
    let mut request = Vec::new();
    let mut buffer = vec![0; MEBIBYTE];
    loop {
        if let Some(end) = whole(&request) {
            request.truncate(end);
            return Ok(request);
        }
        let mebibytes = request.len() / MEBIBYTE;
        match socket.read(&mut buffer)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => request.extend_from_slice(&buffer[..read]),
        }
        if request.len() / MEBIBYTE > mebibytes {
            std::thread::sleep(pause);
        }
    }
}

/// Where a request ends, once it is whole.
fn whole(request: &[u8]) -> Option<usize> {
    let head = request.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
    if text.contains("\r\ntransfer-encoding: chunked\r\n") {
        return request.ends_with(b"\r\n0\r\n\r\n").then_some(request.len());
    }
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok())
        .unwrap_or(0);
    (request.len() >= head + length).then_some(head + length)
}
