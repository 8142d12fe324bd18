//! HTTPS with an authority of the site, as operators name it: by `SSL_CERT_FILE`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;

use actors::ports::Dispatcher;
use actors::stream_id::StreamId;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Set for the process that is started by the test below: where its dispatcher is.
const SERVER: &str = "TEST_TLS_DISPATCHER";

fn serve_once(made: &rcgen::CertifiedKey<rcgen::KeyPair>) -> (u16, std::thread::JoinHandle<()>) {
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
        let mut tls = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), tcp);
        let mut request = [0; 4096];
        // A client that does not trust us goes before it says anything.
        if tls.read(&mut request).is_ok_and(|read| read > 0) {
            tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbinary")
                .unwrap();
        }
    });
    (port, thread)
}

#[actix_rt::test]
async fn a_client_in_a_process_of_its_own() {
    let Ok(server) = std::env::var(SERVER) else { return };
    let stream = StreamId::new("samples", "content", &"1".repeat(64)).unwrap();
    match super::dispatcher(&server).download(&stream, 0).await {
        Ok(body) => println!("got {}", String::from_utf8(super::read(body).await.0).unwrap()),
        Err(fault) => println!("failed: {fault}"),
    }
}

/// What the client above prints when it is run with this file of authorities.
fn printed(certificates: &str, port: u16) -> String {
    let client = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tls::a_client_in_a_process_of_its_own", "--nocapture"])
        .env("SSL_CERT_FILE", certificates)
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
        let (port, server) = serve_once(&made);
        let text = printed(certificates, port);
        assert!(text.contains(expected), "{text}");
        server.join().unwrap();
    }
}
