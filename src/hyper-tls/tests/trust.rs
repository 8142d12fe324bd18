//! Whom the connector trusts, over real sockets.

use std::io::Write;
use std::sync::Arc;

use hyper::Uri;
use hyper::client::HttpConnector;
use hyper::service::Service;
use hyper_tls::{HttpsConnector, TrustError, client_config_trusting};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A server of one's own authority; what it sends to everyone who trusts it.
const GREETING: &[u8] = b"only for those who trust me";

/// The PEM of a self-signed certificate, and a TLS server on loopback that shows it to one client.
async fn server() -> (String, u16) {
    let made =
        rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let pem = made.cert.pem();
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        if let Ok(mut tls) = TlsAcceptor::from(Arc::new(config)).accept(tcp).await {
            tls.write_all(GREETING).await.unwrap();
            tls.shutdown().await.unwrap();
        }
    });
    (pem, port)
}

fn connector(certificates: Option<&std::path::Path>) -> HttpsConnector<HttpConnector> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    HttpsConnector::from((http, client_config_trusting(certificates).unwrap()))
}

async fn greeting_of(mut connector: HttpsConnector<HttpConnector>, url: String) -> Result<Vec<u8>, String> {
    let mut stream = connector
        .call(url.parse::<Uri>().unwrap())
        .await
        .map_err(|error| error.to_string())?;
    let mut received = Vec::new();
    stream
        .read_to_end(&mut received)
        .await
        .map_err(|error| error.to_string())?;
    Ok(received)
}

#[tokio::test]
async fn an_authority_of_the_site_is_trusted_when_its_file_is_named() {
    for host in ["127.0.0.1", "localhost"] {
        let (pem, port) = server().await;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(pem.as_bytes()).unwrap();
        let received = greeting_of(connector(Some(file.path())), format!("https://{host}:{port}/")).await;
        assert_eq!(received.as_deref(), Ok(GREETING), "{host}");
    }
}

#[tokio::test]
async fn an_unknown_authority_is_refused() {
    let (_, port) = server().await;
    let refused = greeting_of(connector(None), format!("https://127.0.0.1:{port}/")).await;
    let text = refused.unwrap_err();
    assert!(text.contains("invalid peer certificate"), "{text}");
}

#[tokio::test]
async fn plain_http_goes_through_untouched() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { listener.accept().await.unwrap().0.write_all(GREETING).await });
    let received = greeting_of(connector(None), format!("http://127.0.0.1:{port}/")).await;
    assert_eq!(received.as_deref(), Ok(GREETING));
}

#[test]
fn a_file_that_is_of_no_use_is_named() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"not a certificate").unwrap();
    for (path, reason) in [
        (file.path(), "no certificate in PEM form"),
        (std::path::Path::new("/nonexistent/authority.pem"), ""),
    ] {
        let error = client_config_trusting(Some(path)).unwrap_err();
        assert!(
            matches!(&error, TrustError::Certificates { file, .. } if *file == path.display().to_string())
        );
        assert!(error.to_string().contains(reason), "{error}");
    }
}
