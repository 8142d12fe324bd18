//! The way to a server through a proxy.
//!
//! # The contract
//! * A [`Route`] is opened by CONNECT: from then on the connection is one to the server itself, byte for byte. TLS is
//!   spoken with the server, whose certificate is checked as ever; the proxy sees neither requests nor answers.
//! * What the proxy answers to CONNECT is never taken for an answer of the server: anything but a 200 is a
//!   [`ProxyFault`], and so is a 200 with more behind it.
//! * Nothing of the proxy's answer but its status is looked at, kept or told; its head is bounded.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::{StatusCode, Uri};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::settings::{Proxies, Proxy};

/// The longest head of an answer that is read.
const LONGEST_HEAD: usize = 8 * 1024;

/// A proxy, and the server behind it.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    proxy: Arc<Proxy>,
    /// `host:port`, with brackets where an address needs them.
    to: String,
}

/// The proxy is the reason why a server was not reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ProxyFault(String);

impl Route {
    /// The way to the server of a URL, if there is a proxy on it.
    pub(crate) fn of(proxies: &Proxies, url: &Uri) -> Option<Self> {
        let secure = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        Self::to(proxies, secure, url.host()?, port)
    }

    /// The same for a server. An address of IPv6 may stand in brackets.
    pub(crate) fn to(proxies: &Proxies, secure: bool, host: &str, port: u16) -> Option<Self> {
        let proxy = proxies.before(secure, host, port)?;
        let to = match host.contains(':') && !host.starts_with('[') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        Some(Self { proxy, to })
    }

    /// Whom to connect to.
    pub(crate) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// The URL of the proxy, without user and password.
    ///
    /// # Errors
    /// Its host is none that a request may name.
    pub(crate) fn proxy_url(&self) -> Result<Uri, ProxyFault> {
        let url = self.proxy.to_string();
        url.parse()
            .map_err(|error| ProxyFault(format!("{}: {error}", self.named())))
    }

    /// Makes a connection to the proxy one to the server. The caller bounds the time.
    ///
    /// # Errors
    /// There is no tunnel; the connection is of no use any more.
    pub(crate) async fn open(
        &self,
        tcp: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ) -> Result<(), ProxyFault> {
        let head = self.ask(tcp).await.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                let named = self.named();
                ProxyFault(format!(
                    "{named} closed the connection when it was asked for one to {}",
                    self.to
                ))
            }
            _ => self.broken(error),
        })?;
        match status(&head) {
            Some((StatusCode::OK, [])) => Ok(()),
            // Who is behind it has nothing to say yet: these bytes are not the server's.
            Some((StatusCode::OK, _)) | None => Err(self.no_proxy()),
            Some((status, _)) => Err(self.answered(status)),
        }
    }

    /// Returns what was read, up to the end of the head and whatever came with it.
    async fn ask(&self, tcp: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<Vec<u8>> {
        let to = &self.to;
        let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
        if let Some(authorization) = self.proxy.authorization() {
            request.push_str("Proxy-Authorization: ");
            request.push_str(authorization.reveal());
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        tcp.write_all(request.as_bytes()).await?;
        tcp.flush().await?;
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < LONGEST_HEAD {
            let room = LONGEST_HEAD - head.len();
            if (&mut *tcp).take(room as u64).read_buf(&mut head).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(head)
    }

    /// The proxy answered this instead of doing what it was asked for.
    pub(crate) fn answered(&self, status: StatusCode) -> ProxyFault {
        let (named, to, variable) = (self.named(), &self.to, self.proxy.variable());
        let why = match (status.as_u16(), self.proxy.authorization()) {
            (407, None) => format!(
                "it wants a user and a password: put them into {variable}, as http://user:password@host:port"
            ),
            (407, Some(_)) => format!("it does not accept the user and the password that are in {variable}"),
            (502..=504, _) => "it does not reach that server".to_owned(),
            _ => "let it allow CONNECT to this host and port, or name the host in NO_PROXY".to_owned(),
        };
        ProxyFault(format!("{named} answered {status} for {to}: {why}"))
    }

    /// Nobody listens there, or the connection broke.
    pub(crate) fn broken(&self, error: impl fmt::Display) -> ProxyFault {
        ProxyFault(format!("{} cannot be used: {error}", self.named()))
    }

    /// It took too long.
    pub(crate) fn late(&self, patience: Duration) -> ProxyFault {
        let named = self.named();
        ProxyFault(format!(
            "{named} gave no connection to {} within {patience:.1?}",
            self.to
        ))
    }

    fn no_proxy(&self) -> ProxyFault {
        let (named, variable) = (self.named(), self.proxy.variable());
        ProxyFault(format!(
            "{named} does not answer as a proxy does: check {variable}"
        ))
    }

    fn named(&self) -> String {
        format!("the proxy {} ({})", self.proxy, self.proxy.variable())
    }
}

impl From<ProxyFault> for io::Error {
    fn from(fault: ProxyFault) -> Self {
        Self::other(fault)
    }
}

/// The status of an answer whose head is whole, and what came behind the head.
fn status(read: &[u8]) -> Option<(StatusCode, &[u8])> {
    let end = read.windows(4).position(|end| end == b"\r\n\r\n")?;
    let (head, rest) = read.split_at(end + 4);
    let code = head
        .strip_prefix(b"HTTP/1.1 ")
        .or_else(|| head.strip_prefix(b"HTTP/1.0 "))?;
    let (digits, behind) = code.split_at_checked(3)?;
    let whole = matches!(behind.first(), Some(b' ' | b'\r'));
    let status = StatusCode::from_bytes(digits).ok();
    status.filter(|_| whole).map(|status| (status, rest))
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;
    use crate::settings::Environment;

    fn route(proxy: &str) -> Route {
        let environment: Environment = [("HTTPS_PROXY".into(), proxy.into())].into_iter().collect();
        let proxies = Proxies::read(&environment).unwrap();
        Route::of(&proxies, &"https://s3.internal/x".parse().unwrap()).unwrap()
    }

    /// What becomes of a route whose proxy answers this, and what it was asked.
    async fn opened(route: &Route, answer: &[u8]) -> (Result<(), String>, String) {
        let (mut ours, mut theirs) = duplex(64 * 1024);
        theirs.write_all(answer).await.unwrap();
        let (mut reading, writing) = tokio::io::split(theirs);
        let asked = tokio::spawn(async move {
            let mut asked = vec![0; 4096];
            let read = reading.read(&mut asked).await.unwrap();
            asked.truncate(read);
            // Gone with what it had to say.
            drop((reading, writing));
            String::from_utf8(asked).unwrap()
        });
        let opened = route.open(&mut ours).await.map_err(|fault| fault.to_string());
        (opened, asked.await.unwrap())
    }

    #[tokio::test]
    async fn a_tunnel_is_asked_for_with_what_the_proxy_wants_to_know() {
        let (opened_, asked) = opened(
            &route("http://me:pw@proxy:3128"),
            b"HTTP/1.0 200 Fine\r\nVia: x\r\n\r\n",
        )
        .await;
        assert_eq!(opened_, Ok(()));
        assert_eq!(
            asked,
            "CONNECT s3.internal:443 HTTP/1.1\r\nHost: s3.internal:443\r\nProxy-Authorization: Basic bWU6cHc=\r\n\r\n"
        );
        let v6 = Route::to(
            &Proxies::read(&[("HTTP_PROXY".into(), "p".into())].into_iter().collect()).unwrap(),
            false,
            "fd00::1",
            9000,
        );
        assert_eq!(v6.unwrap().to, "[fd00::1]:9000");
    }

    #[tokio::test]
    async fn whatever_is_not_a_tunnel_says_what_to_do() {
        let mut told = String::new();
        for (proxy, answer) in [
            ("http://proxy:3128", &b"HTTP/1.1 407 hunter2\r\n\r\nhunter2"[..]),
            (
                "http://me:hunter2@proxy:3128",
                b"HTTP/1.1 407 bWU6aHVudGVyMg==\r\n\r\n",
            ),
            ("http://proxy:3128", b"HTTP/1.1 403 Forbidden\r\nX: y\r\n\r\n"),
            ("http://proxy:3128", b"HTTP/1.1 502\r\n\r\n"),
            ("http://proxy:3128", b"HTTP/1.1 204 No Content\r\n\r\n"),
            (
                "http://proxy:3128",
                b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\nan answer of its own",
            ),
            ("http://proxy:3128", b"HTTP/1.1 200 OK\r\n\r\nmore\r\n\r\n"),
            ("http://proxy:3128", b"SSH-2.0-OpenSSH\r\n\r\n"),
            ("http://proxy:3128", b"HTTP/1.1 2000 OK\r\n\r\n"),
            ("http://proxy:3128", b"HTTP/1.1 200 OK\r\n"),
        ] {
            let (opened, _) = opened(&route(proxy), answer).await;
            told.push_str(&opened.unwrap_err());
            told.push('\n');
        }
        let long = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; LONGEST_HEAD]].concat();
        told.push_str(&opened(&route("proxy"), &long).await.0.unwrap_err());
        assert!(!told.contains("hunter2") && !told.contains("bWU6"), "{told}");
        insta::assert_snapshot!(told);
    }
}
