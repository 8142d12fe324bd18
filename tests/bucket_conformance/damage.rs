//! A proxy that damages what passes through.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

/// A proxy in front of `target` that writes `to` where it sees `from` on the way to the server; its URL.
pub fn proxy(target: SocketAddr, from: &'static [u8], to: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = TcpStream::connect(target).unwrap();
            let (back_from, back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || pass(client, server, from, to));
            std::thread::spawn(move || pass(back_from, back_to, b"\0\0never", b""));
        }
    });
    format!("http://{address}")
}

fn pass(mut source: TcpStream, mut sink: TcpStream, from: &[u8], to: &[u8]) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = source.read(&mut buffer) {
        let mut bytes = buffer[..read].to_vec();
        if let Some(place) = bytes.windows(from.len()).position(|window| window == from) {
            bytes[place..place + to.len()].copy_from_slice(to);
        }
        if sink.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = sink.shutdown(Shutdown::Write);
}
