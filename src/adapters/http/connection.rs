//! Connections for hyper, straight or through a proxy.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::client::HttpConnector;
use hyper::client::connect::{Connected, Connection};
use hyper::service::Service;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{ProxyFault, Route, told};
use crate::settings::Proxies;

/// What a proxy is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AskedFor {
    /// Tunnels, whatever the URL: it neither sees nor repeats what is sent.
    Tunnels,
    /// A tunnel to `https://`, and whole URLs of `http://`, as Go's clients do: many proxies let tunnels through to
    /// port 443 only.
    WholeUrls,
}

/// Opens such connections, each within `patience`.
#[derive(Clone)]
pub(crate) struct TcpConnector {
    tcp: HttpConnector,
    proxies: Arc<Proxies>,
    asked_for: AskedFor,
    patience: Duration,
}

impl TcpConnector {
    pub(crate) fn new(proxies: Arc<Proxies>, asked_for: AskedFor, patience: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(patience));
        Self {
            tcp,
            proxies,
            asked_for,
            patience,
        }
    }
}

type BoxError = Box<dyn Error + Send + Sync>;

impl Service<Uri> for TcpConnector {
    type Response = TcpConnection;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<TcpConnection, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let tunnel = self.asked_for == AskedFor::Tunnels || url.scheme_str() == Some("https");
        match Route::of(&self.proxies, &url) {
            Some(route) => {
                let opening = through(self.tcp.clone(), route, tunnel, self.patience);
                Box::pin(async move { Ok(opening.await?) })
            }
            None => {
                let connecting = self.tcp.call(url);
                Box::pin(async {
                    let tcp = connecting.await?;
                    Ok(TcpConnection {
                        tcp,
                        whole_urls: false,
                    })
                })
            }
        }
    }
}

async fn through(
    mut proxy: HttpConnector,
    route: Route,
    tunnel: bool,
    patience: Duration,
) -> Result<TcpConnection, ProxyFault> {
    let url = route.proxy_url()?;
    let opening = async {
        let connected = proxy.call(url).await;
        let mut tcp = connected.map_err(|error| route.broken(told(&error)))?;
        if tunnel {
            route.open(&mut tcp).await?;
        }
        Ok(tcp)
    };
    let tcp = timeout(patience, opening).await;
    let tcp = tcp.map_err(|_| route.late(patience))??;
    Ok(TcpConnection {
        tcp,
        whole_urls: !tunnel,
    })
}

/// A connection to a server, or to a proxy that is asked for whole URLs.
#[derive(Debug)]
pub(crate) struct TcpConnection {
    tcp: TcpStream,
    whole_urls: bool,
}

impl Connection for TcpConnection {
    fn connected(&self) -> Connected {
        self.tcp.connected().proxy(self.whole_urls)
    }
}

impl AsyncRead for TcpConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl AsyncWrite for TcpConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
