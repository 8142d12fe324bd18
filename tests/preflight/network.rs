//! Names, connections, certificates.

use std::io::Write;
use std::net::TcpListener;

use crate::odd_server::{OddServer, http};
use crate::run::{Terms, ready_scene};

#[test]
fn a_name_that_does_not_resolve_is_told_and_what_depends_on_it_is_not_tried() {
    let scene = ready_scene();
    let checks = Terms::of(&scene)
        .with("BK__EXTERNAL_BACKUP__ENDPOINT", "https://s3.nowhere.invalid")
        .checks(&[]);
    checks.fails_only("dns", &["cannot be resolved", "DNS server"]);
    checks.says("connection", "not tried", &["s3.nowhere.invalid has no address"]);
    for check in ["credentials", "region", "bucket", "read", "write"] {
        assert!(
            checks.results(check).iter().all(|result| *result == "not tried"),
            "{}",
            checks.shown()
        );
    }
    assert_eq!(
        checks.results("feeds"),
        ["passed"; 3],
        "what does not depend on it goes on"
    );
}

#[test]
fn a_closed_port_is_told() {
    let scene = ready_scene();
    // Nobody listens on it once the listener is gone.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let checks = Terms::of(&scene)
        .with("BK__DISPATCHER_EVENTS", format!("http://127.0.0.1:{port}"))
        .with("BK__DISPATCHER_STREAMS", scene.dispatcher.url())
        .checks(&[]);
    checks.fails_only("connection", &["nobody listens there (connection refused)"]);
    assert_eq!(checks.results("dispatcher"), ["not tried", "passed"]);
    assert_eq!(checks.results("feeds"), ["not tried"; 3]);
    assert_eq!(checks.results("write"), ["passed"; 2], "{}", checks.shown());
}

fn made(name: &str) -> rcgen::CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap()
}

#[test]
fn a_certificate_of_an_unknown_authority_is_told_until_it_is_named() {
    let scene = ready_scene();
    let certificate = made("localhost");
    let server = OddServer::with_tls(&certificate, |_| http("200 OK", "", "Azul Dispatcher"));
    let terms = Terms::of(&scene).with(
        "BK__DISPATCHER_EVENTS",
        format!("https://localhost:{}", server.port()),
    );
    let checks = terms.checks(&[]);
    checks.fails_only(
        "connection",
        &[
            "signed by an authority that is not trusted",
            "name its PEM file with SSL_CERT_FILE",
            "those that are built in",
        ],
    );
    assert_eq!(checks.results("dispatcher"), ["not tried"]);

    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(certificate.cert.pem().as_bytes()).unwrap();
    let checks = terms.with("SSL_CERT_FILE", file.path().display()).checks(&[]);
    let told = checks.shown();
    assert!(
        told.contains("the certificate is for localhost and trusted; it holds for "),
        "{told}"
    );
    assert!(
        told.contains(&format!("those of SSL_CERT_FILE ({})", file.path().display())),
        "{told}"
    );
    assert_eq!(checks.results("dispatcher"), ["passed"]);
    // It answers everything with the same text: that is no answer to a pull.
    assert_eq!(checks.results("feeds"), ["failed"; 3]);
}

#[test]
fn a_certificate_for_another_name_is_told_with_that_name() {
    let scene = ready_scene();
    let certificate = made("other.example");
    let server = OddServer::with_tls(&certificate, |_| http("200 OK", "", ""));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(certificate.cert.pem().as_bytes()).unwrap();
    let checks = Terms::of(&scene)
        .with(
            "BK__EXTERNAL_BACKUP__ENDPOINT",
            format!("https://localhost:{}", server.port()),
        )
        .with("SSL_CERT_FILE", file.path().display())
        .checks(&[]);
    checks.fails_only(
        "connection",
        &["the certificate is not for localhost, but for ", "other.example"],
    );
}

#[test]
fn a_server_without_tls_is_told() {
    let scene = ready_scene();
    let checks = Terms::of(&scene)
        .with("BK__EXTERNAL_BACKUP__SECURE", "true")
        .checks(&[]);
    checks.fails_only(
        "connection",
        &["does not speak TLS", "BK__EXTERNAL_BACKUP__SECURE"],
    );
}

#[test]
fn a_file_of_authorities_that_is_of_no_use_is_told() {
    let scene = ready_scene();
    let server = OddServer::with_tls(&made("localhost"), |_| http("200 OK", "", ""));
    let checks = Terms::of(&scene)
        .with(
            "BK__DISPATCHER_EVENTS",
            format!("https://localhost:{}", server.port()),
        )
        .with("SSL_CERT_FILE", "/nowhere/ca.pem")
        .checks(&[]);
    assert_eq!(checks.code, Some(1));
    checks.says("connection", "failed", &["SSL_CERT_FILE: `/nowhere/ca.pem`"]);
}
