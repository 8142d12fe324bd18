//! Connections to the bucket, straight or through a proxy.
//!
//! A proxy is asked for a tunnel to an `https://` bucket, and for whole URLs of an `http://` one, as Go's clients do:
//! many proxies let tunnels through to port 443 only.

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

use super::wire::told;
use crate::adapters::http::{ProxyFault, Route};
use crate::settings::Proxies;

/// Opens such connections.
#[derive(Clone)]
pub(super) struct BucketConnector {
    tcp: HttpConnector,
    proxies: Arc<Proxies>,
    patience: Duration,
}

impl BucketConnector {
    pub(super) fn new(proxies: Arc<Proxies>, patience: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(patience));
        Self {
            tcp,
            proxies,
            patience,
        }
    }
}

type BoxError = Box<dyn Error + Send + Sync>;

impl Service<Uri> for BucketConnector {
    type Response = BucketConnection;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<BucketConnection, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let tunnel = url.scheme_str() == Some("https");
        match Route::of(&self.proxies, &url) {
            Some(route) => {
                let opening = through(self.tcp.clone(), route, tunnel, self.patience);
                Box::pin(async move { Ok(opening.await?) })
            }
            None => {
                let connecting = self.tcp.call(url);
                Box::pin(async {
                    let tcp = connecting.await?;
                    Ok(BucketConnection {
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
) -> Result<BucketConnection, ProxyFault> {
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
    Ok(BucketConnection {
        tcp,
        whole_urls: !tunnel,
    })
}

/// A connection to the bucket, or to a proxy that is asked for whole URLs.
#[derive(Debug)]
pub(super) struct BucketConnection {
    tcp: TcpStream,
    whole_urls: bool,
}

impl Connection for BucketConnection {
    fn connected(&self) -> Connected {
        self.tcp.connected().proxy(self.whole_urls)
    }
}

impl AsyncRead for BucketConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl AsyncWrite for BucketConnection {
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
