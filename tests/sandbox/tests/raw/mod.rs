//! HTTP by hand, for tests that look at every byte.

#![allow(dead_code, reason = "not every test needs all of it")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A recorded or a received answer.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

pub fn parse(raw: &[u8]) -> Response {
    let end = find(raw, b"\r\n\r\n").expect("a head");
    let head = std::str::from_utf8(&raw[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: BTreeMap<String, String> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let body = &raw[end + 4..];
    let body = match headers.get("transfer-encoding") {
        Some(_) => unchunk(body),
        None => body.to_vec(),
    };
    Response {
        status,
        headers,
        body,
    }
}

fn unchunk(mut raw: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = find(raw, b"\r\n").expect("a chunk's size");
        let size = usize::from_str_radix(std::str::from_utf8(&raw[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&raw[end + 2..end + 2 + size]);
        raw = &raw[end + 4 + size..];
    }
}

pub fn exchange(address: SocketAddr, request: &[u8]) -> Response {
    let mut connection = TcpStream::connect(address).unwrap();
    connection
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    connection.write_all(request).unwrap();
    let mut raw = Vec::new();
    connection.read_to_end(&mut raw).unwrap();
    parse(&raw)
}

/// The head of a request that ends the connection, without a body.
pub fn request(method: &str, path: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: dispatcher\r\nConnection: close\r\n\r\n").into_bytes()
}

/// Sends a request and reads the answer to its end.
pub fn get(address: SocketAddr, path: &str) -> Response {
    exchange(address, &request("GET", path))
}

/// Posts a body.
pub fn post(address: SocketAddr, path: &str, body: &[u8]) -> Response {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: dispatcher\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    exchange(address, &request)
}

/// The parts of a multipart answer by name, in their order.
pub fn parts(response: &Response) -> Vec<(String, Vec<u8>)> {
    let boundary = response.headers["content-type"]
        .split("boundary=")
        .nth(1)
        .unwrap();
    let delimiter = format!("--{boundary}");
    let mut rest = &response.body[delimiter.len()..];
    let mut parts = Vec::new();
    while let Some(end) = find(rest, format!("\r\n{delimiter}").as_bytes()) {
        let part = &rest[..end];
        let head = find(part, b"\r\n\r\n").unwrap();
        let name = std::str::from_utf8(&part[..head])
            .unwrap()
            .split("name=\"")
            .nth(1)
            .unwrap();
        parts.push((
            name.split('"').next().unwrap().to_owned(),
            part[head + 4..].to_vec(),
        ));
        rest = &rest[end + 2 + delimiter.len()..];
    }
    parts
}

/// The `info` and the bulk of an answer to a pull.
pub fn pulled(response: &Response) -> (serde_json::Value, Vec<u8>) {
    assert_eq!(response.status, 200, "{response:?}");
    let mut parts: BTreeMap<String, Vec<u8>> = parts(response).into_iter().collect();
    let info = serde_json::from_slice(&parts["info"]).unwrap();
    (info, parts.remove("events").unwrap())
}
