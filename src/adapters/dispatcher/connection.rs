//! TCP connections for awc, read in large steps.
//!
//! awc reads at most 8 KiB at a time: a hundred system calls for each megabyte of a binary. Here one call takes in what
//! the system has, up to [`STEP`], and awc is served from that.
//!
//! Where there is a proxy on the way, the connection is a tunnel through it, to an `http://` dispatcher too: a proxy that
//! is asked for whole URLs may send a GET again by itself, or answer it from memory, and a pull that is sent again loses
//! events without a trace.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_rt::net::{ActixStream, Ready, TcpStream};
use actix_service::Service;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection, Connector};
use awc::http::Uri;
use futures_util::future::LocalBoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use crate::adapters::http::{ProxyFault, Route};
use crate::settings::Proxies;

/// The most that is read at once, and so what a connection in use may hold.
const STEP: usize = 64 * 1024;

/// Opens such connections, each within `patience`.
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) proxies: Arc<Proxies>,
    pub(super) patience: Duration,
}

impl Service<ConnectInfo<Uri>> for Dialer {
    type Response = Connection<Uri, Buffered>;
    type Error = ConnectError;
    type Future = LocalBoxFuture<'static, Result<Self::Response, ConnectError>>;

    actix_service::always_ready!();

    fn call(&self, asked: ConnectInfo<Uri>) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move {
            let url = asked.request().clone();
            let tcp = dialer.dial(&url, asked).await?;
            Ok(Connection::new(url, Buffered::new(tcp)))
        })
    }
}

impl Dialer {
    async fn dial(&self, url: &Uri, asked: ConnectInfo<Uri>) -> Result<TcpStream, ConnectError> {
        let route = Route::of(&self.proxies, url);
        let dialling = async {
            match &route {
                None => connect(asked).await,
                Some(route) => tunnel(route)
                    .await
                    .map_err(|fault| ConnectError::Io(fault.into())),
            }
        };
        match (timeout(self.patience, dialling).await, &route) {
            (Ok(dialled), _) => dialled,
            (Err(_), Some(route)) => Err(ConnectError::Io(route.late(self.patience).into())),
            (Err(_), None) => {
                let text = format!("not within {:.1?}", self.patience);
                Err(ConnectError::Io(io::Error::new(io::ErrorKind::TimedOut, text)))
            }
        }
    }
}

async fn connect(to: ConnectInfo<Uri>) -> Result<TcpStream, ConnectError> {
    let connected = Connector::default().service().call(to).await?;
    Ok(connected.into_parts().0)
}

async fn tunnel(route: &Route) -> Result<TcpStream, ProxyFault> {
    let proxy = ConnectInfo::new(route.proxy_url()?);
    let connected = connect(proxy).await;
    let mut tcp = connected.map_err(|error| route.broken(awc::error::ConnectError::from(error)))?;
    route.open(&mut tcp).await?;
    Ok(tcp)
}

/// A connection with a buffer for what was read; it has one only while there is something in it.
#[derive(Debug)]
pub(super) struct Buffered {
    tcp: TcpStream,
    read: Vec<u8>,
    given: usize,
}

impl Buffered {
    fn new(tcp: TcpStream) -> Self {
        Self {
            tcp,
            read: Vec::new(),
            given: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.given == self.read.len()
    }

    /// Takes in what there is to read, if nothing is left of what was read before; `false` at the end.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if !self.is_empty() {
            return Poll::Ready(Ok(true));
        }
        self.read.clear();
        self.given = 0;
        self.read.reserve_exact(STEP);
        let read = tokio_util::io::poll_read_buf(Pin::new(&mut self.tcp), context, &mut self.read);
        if !matches!(read, Poll::Ready(Ok(1..))) {
            // a connection that rests, or has ended, holds no memory
            self.read = Vec::new();
        }
        Poll::Ready(Ok(ready!(read)? > 0))
    }
}

impl AsyncRead for Buffered {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_empty() {
            if out.remaining() >= STEP {
                return Pin::new(&mut this.tcp).poll_read(context, out);
            }
            ready!(this.poll_fill(context))?;
        }
        let unread = &this.read[this.given..];
        let given = unread.len().min(out.remaining());
        out.put_slice(&unread[..given]);
        this.given += given;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Buffered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

impl ActixStream for Buffered {
    fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        match self.is_empty() {
            true => self.tcp.poll_read_ready(context).map_ok(|_| Ready::READABLE),
            false => Poll::Ready(Ok(Ready::READABLE)),
        }
    }

    fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_write_ready(&self.tcp, context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[actix_rt::test]
    async fn bytes_come_in_order_and_a_connection_at_rest_holds_none() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut sender, _) = listener.accept().await.unwrap();
        let sent: Vec<u8> = (0..3 * STEP as u32).map(|number| (number / 7) as u8).collect();
        let expected = sent.clone();
        let sending = tokio::spawn(async move {
            sender.write_all(&sent).await.unwrap();
            sender
        });
        let mut buffered = Buffered::new(tcp);
        let mut received = Vec::new();
        let mut piece = vec![0; 8 * 1024];
        while received.len() < expected.len() {
            let count = buffered.read(&mut piece).await.unwrap();
            received.extend_from_slice(&piece[..count]);
        }
        assert_eq!(received, expected);
        drop(sending.await.unwrap());
        assert_eq!(buffered.read(&mut piece).await.unwrap(), 0);
        assert_eq!(buffered.read.capacity(), 0);
    }
}
