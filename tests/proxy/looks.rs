//! `preflight` through a proxy; with TLS, too, for which it has to be a tunnel.

use std::io::Write;
use std::net::SocketAddr;

use sandbox::forward_proxy::{ForwardProxy, Manner};

use crate::behind::{AUTHORIZATION, BUCKET, CREDENTIALS, DISPATCHER, asked_for, behind, proxy};
use crate::odd_server::{OddServer, http, s3_error};
use crate::run::{Checks, Terms, ready_scene};

#[test]
fn servers_that_only_the_proxy_knows_pass_and_the_proxy_is_named() {
    let scene = ready_scene();
    let proxy = proxy(&scene);
    proxy.want(AUTHORIZATION);
    let with = format!("http://{CREDENTIALS}@{}", proxy.address());
    let scene = behind(scene, &proxy).set("HTTP_PROXY", with);
    let checks = Terms::of(&scene).checks(&[]);
    assert_eq!(checks.code, Some(0), "{}", checks.shown());
    let told = checks.shown();
    for server in [DISPATCHER, BUCKET] {
        let tried = format!(
            "connect to {server}, through the proxy http://{}",
            proxy.address()
        );
        assert!(told.contains(&tried), "{tried}: {told}");
    }
    checks.says("dns", "passed", &["nothing to resolve"]);
    let asked = proxy.asked();
    assert!(asked_for(&asked, DISPATCHER, "CONNECT", DISPATCHER) > 0);
    assert!(asked_for(&asked, BUCKET, "PUT", &format!("http://{BUCKET}/")) > 0);
}

/// Tries names of both servers: `NO_PROXY` leads past the proxy, where nobody knows them.
#[test]
fn what_no_proxy_names_is_not_asked_of_the_proxy() {
    let scene = ready_scene();
    let proxy = proxy(&scene);
    let scene = behind(scene, &proxy);
    for (except, past, through) in [
        ("dispatcher.internal", "dispatcher.internal", BUCKET),
        ("s3.internal:9000,s3.internal", "s3.internal", DISPATCHER),
    ] {
        let before = proxy.asked().len();
        let checks = Terms::of(&scene).with("NO_PROXY", except).checks(&[]);
        checks.fails_only("dns", &["cannot be resolved"]);
        checks.says("connection", "not tried", &[&format!("{past} has no address")]);
        let asked = &proxy.asked()[before..];
        assert!(
            asked.iter().any(|asked| asked.target.contains(through)),
            "{asked:?}"
        );
        assert!(
            asked.iter().all(|asked| !asked.target.contains(past)),
            "{asked:?}"
        );
    }
    let before = proxy.asked().len();
    let checks = Terms::of(&scene).with("no_proxy", ".internal").checks(&[]);
    assert_eq!(checks.results("dns"), ["failed"; 2], "{}", checks.shown());
    assert_eq!(proxy.asked().len(), before);
}

/// A dispatcher with TLS behind a proxy, its certificate for this name, and what is found of it.
fn with_tls(name: &str) -> (Checks, ForwardProxy) {
    let scene = ready_scene();
    let certificate = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let server = OddServer::with_tls(&certificate, |_| http("200 OK", "", "Azul Dispatcher"));
    let address: SocketAddr = server.authority().parse().unwrap();
    let proxy = ForwardProxy::start([("dispatcher.internal:443", address)]).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(certificate.cert.pem().as_bytes()).unwrap();
    let checks = Terms::of(&scene)
        .with("BK__DISPATCHER_EVENTS", "https://dispatcher.internal")
        .with("HTTPS_PROXY", proxy.address())
        .with("SSL_CERT_FILE", file.path().display())
        .checks(&[]);
    (checks, proxy)
}

#[test]
fn tls_is_spoken_with_the_server_behind_it() {
    let (checks, proxy) = with_tls("dispatcher.internal");
    let told = checks.shown();
    assert!(told.contains("a tunnel through the proxy"), "{told}");
    assert!(
        told.contains("the certificate is for dispatcher.internal and trusted"),
        "{told}"
    );
    assert_eq!(checks.results("dispatcher"), ["passed"], "{told}");
    let asked = proxy.asked();
    let tunnels = asked_for(
        &asked,
        "dispatcher.internal",
        "CONNECT",
        "dispatcher.internal:443",
    );
    assert!(tunnels >= 2, "that of the check, and the client's: {asked:?}");
    assert_eq!(asked.len(), tunnels);
}

#[test]
fn the_bucket_is_spoken_to_with_tls_through_a_tunnel() {
    let scene = ready_scene();
    let certificate = rcgen::generate_simple_self_signed(vec!["s3.internal".to_owned()]).unwrap();
    let server = OddServer::with_tls(&certificate, |_| {
        s3_error(
            "403 Forbidden",
            "x-amz-request-id: 1\r\n",
            "InvalidAccessKeyId",
            "",
        )
    });
    let proxy = ForwardProxy::start([("s3.internal:443", server.authority().parse().unwrap())]).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(certificate.cert.pem().as_bytes()).unwrap();
    let checks = Terms::of(&scene)
        .with("BK__EXTERNAL_BACKUP__ENDPOINT", "https://s3.internal")
        .with("HTTPS_PROXY", format!("http://{CREDENTIALS}@{}", proxy.address()))
        .with("SSL_CERT_FILE", file.path().display())
        .checks(&[]);
    checks.says("credentials", "failed", &["InvalidAccessKeyId"]);
    let asked = proxy.asked();
    assert_eq!(
        asked_for(&asked, "s3.internal", "CONNECT", "s3.internal:443"),
        asked.len()
    );
    assert!(
        asked
            .iter()
            .all(|asked| asked.authorization.as_deref() == Some(AUTHORIZATION))
    );
}

#[test]
fn a_certificate_for_another_name_is_refused_through_it_too() {
    let (checks, _) = with_tls("other.internal");
    checks.fails_only(
        "connection",
        &["the certificate is not for dispatcher.internal, but for "],
    );
}

#[test]
fn what_is_wrong_with_the_proxy_is_told_by_name() {
    let scene = ready_scene();
    let proxy = proxy(&scene);
    let terms = Terms::of(&scene)
        .with("BK__DISPATCHER_EVENTS", "https://dispatcher.internal:8111")
        .with("https_proxy", proxy.address());
    proxy.want(AUTHORIZATION);
    let named = format!("the proxy http://{} (https_proxy) answered 407", proxy.address());
    terms
        .checks(&[])
        .fails_only("connection", &[&named, "put them into https_proxy", "NO_PROXY"]);
    proxy.behave(Manner::Answer("403 Forbidden".to_owned()));
    terms.checks(&[]).fails_only(
        "connection",
        &["403 Forbidden", "let it allow CONNECT to this host and port"],
    );
    proxy.behave(Manner::Silence);
    let late = format!(
        "the proxy http://{} (https_proxy) gave no connection to dispatcher.internal:8111 within 5.0s",
        proxy.address()
    );
    terms.checks(&[]).fails_only("connection", &[&late, "NO_PROXY"]);
    let gone = proxy.address();
    drop(proxy);
    let terms = terms.with("https_proxy", gone);
    terms.checks(&[]).fails_only(
        "connection",
        &["nobody listens there", "the proxy is the one of https_proxy"],
    );
}

/// Its name is looked up, and that of the server, which it alone has to know, is not.
#[test]
fn a_proxy_whose_name_nobody_knows_is_what_dns_fails_for() {
    let scene = ready_scene();
    let checks = Terms::of(&scene)
        .with("BK__DISPATCHER_EVENTS", "https://dispatcher.internal")
        .with("HTTPS_PROXY", "http://proxy.invalid:3128")
        .checks(&[]);
    checks.fails_only("dns", &["cannot be resolved"]);
    checks.show("look up proxy.invalid");
    checks.says("connection", "not tried", &["proxy.invalid has no address"]);
    assert!(!checks.shown().contains("look up dispatcher.internal"));
}
