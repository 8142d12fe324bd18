//! A server on loopback that answers each request as a test says, with TLS or without.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

type Answer = dyn Fn(&str) -> String + Send + Sync;

pub struct OddServer {
    port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl OddServer {
    /// `answer` is given the first line of each request, and gives a whole answer, after which the connection ends.
    pub fn plain(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self::start(Arc::new(answer), None)
    }

    /// The same with TLS, under this certificate.
    pub fn with_tls(
        made: &rcgen::CertifiedKey<rcgen::KeyPair>,
        answer: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        let certificate = CertificateDer::from(made.cert.der().to_vec());
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Self::start(Arc::new(answer), Some(Arc::new(config)))
    }

    fn start(answer: Arc<Answer>, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for socket in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (socket, answer, tls) = (socket.unwrap(), Arc::clone(&answer), tls.clone());
                // A client that goes before it has said anything is a part of what is tested.
                std::thread::spawn(move || match tls {
                    None => serve(socket, &*answer).ok(),
                    Some(tls) => {
                        let tls = ServerConnection::new(tls).unwrap();
                        serve(StreamOwned::new(tls, socket), &*answer).ok()
                    }
                });
            }
        });
        Self {
            port,
            stop,
            thread: Some(thread),
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for OddServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.authority()));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn serve(mut socket: impl Read + Write, answer: &Answer) -> std::io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let answer = answer(head.lines().next().unwrap_or_default());
    socket.write_all(answer.as_bytes())?;
    socket.flush()
}

/// An answer as HTTP writes it.
pub fn http(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}")
}

/// An error of S3.
pub fn s3_error(status: &str, headers: &str, code: &str, more: &str) -> String {
    let body =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>told</Message>{more}</Error>");
    http(status, headers, &body)
}
