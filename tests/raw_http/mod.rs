//! HTTP as bytes: what is really sent, and what really comes back.

// Every suite uses what it needs of it.
#![allow(dead_code)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer, read to the end of the connection.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// Of a header, in lower case; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// Sends bytes and reads what comes.
pub fn exchange(address: SocketAddr, sent: &str) -> Answer {
    let mut stream = connect(address);
    stream.write_all(sent.as_bytes()).unwrap();
    read(stream)
}

/// Reads to the end.
pub fn read(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("no status in {text:?}")),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// The same with a server that keeps the connection: as much is read as it says.
pub fn exchange_kept(address: SocketAddr, sent: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(sent.as_bytes()).unwrap();
    let (mut reader, mut length) = (BufReader::new(stream), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

/// `GET`.
pub fn get(address: SocketAddr, target: &str) -> Answer {
    request(address, "GET", target)
}

/// Where a program says in its log that it serves.
pub fn served_at(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once("status are served at http://")?;
    rest.split_once('/')?.0.parse().ok()
}

/// Any method, without a body.
pub fn request(address: SocketAddr, method: &str, target: &str) -> Answer {
    exchange(
        address,
        &format!("{method} {target} HTTP/1.1\r\nHost: test\r\n\r\n"),
    )
}
