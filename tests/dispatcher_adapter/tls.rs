//! HTTPS with an authority of the site, as operators name it: by `SSL_CERT_FILE`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;

use actors::ports::{Dispatcher, Target};
use actors::stream_id::StreamId;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::upload::{Made, ok, stream};

/// Set for the process that is started by the test below: where its dispatcher is.
const SERVER: &str = "TEST_TLS_DISPATCHER";

/// What it does there: `download`, or `upload` or `upload much`.
const TASK: &str = "TEST_TLS_TASK";

/// How many blocks are uploaded.
const BLOCKS: usize = 100;

/// More of them than fit into the buffers of a connection.
const MUCH: usize = 1000;

type Tls = StreamOwned<ServerConnection, TcpStream>;

/// Answers a download.
fn give(mut tls: Tls) {
    let mut request = [0; 4096];
    // A client that does not trust us goes before it says anything.
    if tls.read(&mut request).is_ok_and(|read| read > 0) {
        tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbinary")
            .unwrap();
    }
}

/// Answers an upload once all of it has come.
fn take(mut tls: Tls) {
    let (mut request, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
    while !request.ends_with(b"\r\n0\r\n\r\n") {
        match tls.read(&mut piece) {
            Ok(read @ 1..) => request.extend_from_slice(&piece[..read]),
            end => panic!("{end:?} after {} bytes", request.len()),
        }
    }
    let size = request.iter().filter(|byte| **byte == Made::BYTE).count();
    assert!(size >= BLOCKS * 64 * 1024, "{size}");
    tls.write_all(ok(BLOCKS * 64 * 1024).as_bytes()).unwrap();
}

fn serve_once(
    made: &rcgen::CertifiedKey<rcgen::KeyPair>,
    serve: impl FnOnce(Tls) + Send + 'static,
) -> (u16, std::thread::JoinHandle<()>) {
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        serve(StreamOwned::new(
            ServerConnection::new(Arc::new(config)).unwrap(),
            tcp,
        ));
    });
    (port, thread)
}

#[actix_rt::test]
async fn a_client_in_a_process_of_its_own() {
    let Ok(server) = std::env::var(SERVER) else { return };
    let task = std::env::var(TASK).unwrap();
    if task.starts_with("upload") {
        let blocks = if task.ends_with("much") { MUCH } else { BLOCKS };
        let content = Box::new(Made::blocks(blocks));
        match super::patient_target(&server).upload(&stream(), content).await {
            Ok(received) => println!("sent {}", received.size),
            Err(fault) => println!("failed: {fault}"),
        }
        return;
    }
    let stream = StreamId::new("samples", "content", &"1".repeat(64)).unwrap();
    match super::dispatcher(&server).download(&stream, 0).await {
        Ok(body) => println!("got {}", String::from_utf8(super::read(body).await.0).unwrap()),
        Err(fault) => println!("failed: {fault}"),
    }
}

/// What the client above prints of its task when it is run with this file of authorities.
fn printed(task: &str, certificates: &str, port: u16) -> String {
    let client = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tls::a_client_in_a_process_of_its_own", "--nocapture"])
        .env("SSL_CERT_FILE", certificates)
        .env(TASK, task)
        .env(SERVER, format!("https://localhost:{port}"))
        .output()
        .unwrap();
    String::from_utf8(client.stdout).unwrap()
}

#[test]
fn an_authority_of_the_site_is_trusted_once_it_is_named() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(made.cert.pem().as_bytes()).unwrap();
    for (certificates, expected) in [
        (file.path().to_str().unwrap(), "got binary"),
        ("", "invalid peer certificate: UnknownIssuer"),
    ] {
        let (port, server) = serve_once(&made, give);
        let text = printed("download", certificates, port);
        assert!(text.contains(expected), "{text}");
        server.join().unwrap();
    }
}

/// Servers say something of TLS itself while a client sends: no answer yet.
#[test]
fn an_upload_by_tls_goes_whole() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(made.cert.pem().as_bytes()).unwrap();
    let (port, server) = serve_once(&made, take);
    let text = printed("upload", file.path().to_str().unwrap(), port);
    server.join().unwrap();
    assert!(text.contains(&format!("sent {}", BLOCKS * 64 * 1024)), "{text}");
}

#[test]
fn an_answer_that_comes_early_is_understood_through_tls() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(made.cert.pem().as_bytes()).unwrap();
    let (told, is_told) = std::sync::mpsc::channel::<()>();
    let (port, server) = serve_once(&made, move |mut tls| {
        let mut request = [0; 4096];
        assert!(tls.read(&mut request).unwrap() > 0);
        let answer = super::sized("503 No", r#"{"title":"no","detail":"room"}"#);
        tls.write_all(answer.as_bytes()).unwrap();
        // It reads nothing more, and keeps the connection open.
        is_told.recv().unwrap_err();
    });
    let text = printed("upload much", file.path().to_str().unwrap(), port);
    drop(told);
    server.join().unwrap();
    assert!(text.contains("503: no: room"), "{text}");
}
