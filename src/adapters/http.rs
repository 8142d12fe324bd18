//! What both HTTP adapters share: time-outs, bodies that are measured, and answers turned into text for people.

mod body;
mod connection;
mod route;
mod text;

use std::sync::Once;
use std::time::Duration;

use actors::fault_point::hurried;

pub(crate) use body::Chunks;
pub use body::MeasuredBody;
pub(crate) use connection::{AskedFor, TcpConnector};
pub(crate) use route::{ProxyFault, Route};
pub(crate) use text::{excerpt, told, without_credentials};

/// How long an adapter waits. Nothing waits for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpTimeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the head of an answer after the request was sent, and for progress while it is being sent. A pull
    /// waits for its deadline in addition.
    pub head: Duration,
    /// For each chunk of a body. A body as a whole has no time-out: binaries can be gigabytes.
    pub chunk: Duration,
}

impl Default for HttpTimeouts {
    fn default() -> Self {
        Self {
            connect: hurried(Duration::from_secs(5)),
            head: hurried(Duration::from_secs(30)),
            chunk: hurried(Duration::from_secs(30)),
        }
    }
}

/// A connection that rests longer than this is not used again: servers and what lies between close them.
pub(crate) const LONGEST_REST: Duration = Duration::from_secs(15);

/// How much of an error's body is read.
pub(crate) const ERROR_BODY: usize = 64 * 1024;

/// The longest wait that a server is granted by `Retry-After`.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Installs the TLS provider that awc insists on; needed once, before the first client. Later calls do nothing.
pub fn install_tls_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // It fails only when there is one already, which then serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// What a `Retry-After` header asks for, if it says so in seconds; capped.
pub(crate) fn retry_after(header: Option<&str>) -> Option<Duration> {
    let seconds: u64 = header?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}

/// Whether a status says "not now": trying again may help.
pub(crate) fn is_transient_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_understood_in_seconds_and_capped() {
        for (header, expected) in [
            (Some("7"), Some(7)),
            (Some(" 0 "), Some(0)),
            (Some("86400"), Some(300)),
            (Some("99999999999999999999999"), None),
            (Some("-1"), None),
            (Some("Wed, 21 Oct 2026 07:28:00 GMT"), None),
            (None, None),
        ] {
            assert_eq!(
                retry_after(header),
                expected.map(Duration::from_secs),
                "{header:?}"
            );
        }
    }
}
