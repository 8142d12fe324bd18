//! TCP connections to the dispatcher, read in large steps.
//!
//! awc reads at most 8 KiB at a time: a hundred system calls for each megabyte of a binary. Here one call takes in what
//! the system has, up to [`STEP`], and awc is served from that.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_rt::net::{ActixStream, Ready, TcpStream};
use actix_service::{Service, ServiceExt};
use actix_tls::connect::{ConnectError, ConnectInfo, Connection, Connector};
use awc::http::Uri;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most that is read at once, and so what a connection in use may hold.
const STEP: usize = 64 * 1024;

/// Opens such connections.
pub(super) fn connector()
-> impl Service<ConnectInfo<Uri>, Response = Connection<Uri, Buffered>, Error = ConnectError> + Clone {
    let tcp = Connector::default().service();
    ServiceExt::<ConnectInfo<Uri>>::map(tcp, |opened: Connection<Uri, TcpStream>| {
        let (tcp, asked) = opened.into_parts();
        Connection::new(asked, Buffered::new(tcp))
    })
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
            this.read.clear();
            this.given = 0;
            this.read.reserve_exact(STEP);
            let read = tokio_util::io::poll_read_buf(Pin::new(&mut this.tcp), context, &mut this.read);
            if !matches!(read, Poll::Ready(Ok(1..))) {
                // a connection that rests, or has ended, holds no memory
                this.read = Vec::new();
            }
            ready!(read)?;
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
