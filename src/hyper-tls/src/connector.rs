//! Opens a connection, and speaks TLS on it where the URL says `https`.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper::client::HttpConnector;
use hyper::service::Service;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::stream::MaybeHttpsStream;
use crate::trust::{TrustError, client_config};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Connects to `http://` by `T`, and to `https://` by TLS over `T`.
#[derive(Clone)]
pub struct HttpsConnector<T> {
    http: T,
    tls: Result<Arc<ClientConfig>, TrustError>,
}

impl HttpsConnector<HttpConnector> {
    /// Over TCP, trusting what [`client_config`] says.
    pub fn new() -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        Self::new_with_connector(http)
    }
}

impl Default for HttpsConnector<HttpConnector> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> HttpsConnector<T> {
    /// Over `http`, which must let `https` URLs pass, trusting what [`client_config`] says.
    pub fn new_with_connector(http: T) -> Self {
        Self {
            http,
            tls: client_config(),
        }
    }
}

impl<T> From<(T, Arc<ClientConfig>)> for HttpsConnector<T> {
    fn from((http, tls): (T, Arc<ClientConfig>)) -> Self {
        Self { http, tls: Ok(tls) }
    }
}

impl<T: fmt::Debug> fmt::Debug for HttpsConnector<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsConnector")
            .field("http", &self.http)
            .finish_non_exhaustive()
    }
}

/// A connection that is being opened.
pub type HttpsConnecting<T> = Pin<Box<dyn Future<Output = Result<MaybeHttpsStream<T>, BoxError>> + Send>>;

impl<T> Service<Uri> for HttpsConnector<T>
where
    T: Service<Uri>,
    T::Response: AsyncRead + AsyncWrite + Send + Unpin,
    T::Future: Send + 'static,
    T::Error: Into<BoxError>,
{
    type Response = MaybeHttpsStream<T::Response>;
    type Error = BoxError;
    type Future = HttpsConnecting<T::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        if url.scheme_str() != Some("https") {
            let connecting = self.http.call(url);
            return Box::pin(async { Ok(MaybeHttpsStream::Http(connecting.await.map_err(Into::into)?)) });
        }
        let prepared = prepare(&self.tls, &url);
        let connecting = prepared.map(|ready| (ready, self.http.call(url)));
        Box::pin(async {
            let ((name, tls), connecting) = connecting?;
            let tcp = connecting.await.map_err(Into::into)?;
            let tls = tokio_rustls::TlsConnector::from(tls).connect(name, tcp).await?;
            Ok(MaybeHttpsStream::Https(tls))
        })
    }
}

/// Whom the server must prove to be, and by which settings.
fn prepare(
    tls: &Result<Arc<ClientConfig>, TrustError>,
    url: &Uri,
) -> Result<(ServerName<'static>, Arc<ClientConfig>), BoxError> {
    let tls = tls.clone()?;
    let host = url.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, format!("host `{host}`: {error}")))?;
    Ok((name, tls))
}
