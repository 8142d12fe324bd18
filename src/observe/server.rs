//! Serves metrics, health, status and the page, on `BK__METRICS_LISTEN`.
//!
//! | path | answer |
//! | --- | --- |
//! | `/metrics` | 200, Prometheus text format 0.0.4 |
//! | `/livez` | 200, or 503 and why: whether the actors answer each other ([`health`](super::health)) |
//! | `/readyz` | 200, or 503 and what keeps it from being ready, one reason a line; 503 from the start of a shutdown |
//! | `/status` | 200, the [`Snapshot`](super::snapshot::Snapshot) as one JSON object; `?pretty` over several lines |
//! | `/` | 200, the same for people: one page without anything from elsewhere, which refreshes itself |
//!
//! GET and HEAD; another method is answered with 405, another path with 404, both in plain text. `/metrics`, `/readyz`,
//! `/status` and `/` are 503 when the figures cannot be had within [`PATIENCE`].
//!
//! # `/status` is an interface
//! Names stay, and what is added later is to be ignored by who does not know it. Times are RFC 3339 in UTC, durations
//! seconds, sizes bytes; `null` is *not known*, never zero. A backup has `backup`, a restore `restore`; the other one is
//! `null`. The README shows one (a test holds its names against what is told).
//!
//! # It always answers
//! It is a thread of its own with a runtime of its own, so it still answers when the actors' thread is blocked, and says
//! so. Figures are taken on a further thread, at most one at a time and never waited for longer than [`PATIENCE`]: a
//! volume that hangs does not make `/livez` hang.
//!
//! # Nobody can make it grow
//! A connection is for one request: at most [`MOST_HEAD`] bytes are read from it, its head has to come within
//! [`HEAD_TIME`], and it is over after [`CONNECTION_TIME`]. There are at most [`MOST_CONNECTIONS`]; one more closes the
//! oldest, so that whoever holds connections open keeps neither Kubernetes nor Prometheus out. Bodies are not read.
//!
//! # What it shows
//! No secrets: whoever reaches the port may read it all, and change nothing. Everything is sent with
//! `Cache-Control: no-store` and `X-Content-Type-Options: nosniff`; the page has a Content-Security-Policy that allows its
//! own style and script by their hashes and nothing else, and text that came from anywhere is escaped in one place.
//!
//! # The last scrape
//! A restore that has ended leaves figures that nobody has seen yet. If it has been scraped before, its end waits for one
//! more scrape that was asked for after the verdict, and until that has been sent whole: see
//! [`Server::one_more_scrape`].

mod answers;
mod connections;
mod scrapes;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actors::supervisor::Pulse;
use tokio::sync::oneshot;

use self::scrapes::Scrapes;

pub use self::scrapes::LastScrape;
use super::Source;

/// How long figures may take.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How many connections there may be.
pub const MOST_CONNECTIONS: usize = 64;

/// How many bytes are read from one.
pub const MOST_HEAD: u64 = 16 * 1024;

/// How long the head of a request may take.
pub const HEAD_TIME: Duration = Duration::from_secs(5);

/// How long a connection may take.
pub const CONNECTION_TIME: Duration = Duration::from_secs(30);

/// What is served.
#[derive(Clone)]
pub struct Views {
    /// How the program stands.
    pub snapshot: Source,
    /// The same as Prometheus reads it.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The sign of life of the actors.
    pub pulse: Pulse,
    /// How long it may stand still.
    pub longest_silence: Duration,
}

/// Serves for as long as it is kept.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    scrapes: Scrapes,
    /// Dropped, it tells the thread to end.
    _stop: oneshot::Sender<()>,
}

impl Server {
    /// Serves from now on. Port 0 is any that is free.
    ///
    /// # Errors
    /// The address cannot be listened on, or there is no thread: what to do about it is in the text.
    pub fn start(listen: SocketAddr, views: Views) -> Result<Self, NotServed> {
        let bound = TcpListener::bind(listen).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        });
        let (address, listener) = bound.map_err(|error| NotServed::Listen(listen, error))?;
        let (stop, stopped) = oneshot::channel();
        let scrapes = Scrapes::default();
        let served = connections::Served::new(views, scrapes.clone());
        std::thread::Builder::new()
            .name("status".to_owned())
            .spawn(move || {
                if let Err(error) = connections::serve(listener, served, stopped) {
                    log::error!("metrics, health and status are not served: {error}");
                }
            })
            .map_err(NotServed::Thread)?;
        log::info!("metrics, health and status are served at http://{address}/");
        Ok(Self {
            address,
            scrapes,
            _stop: stop,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether anybody has asked for the metrics so far.
    pub fn is_scraped(&self) -> bool {
        self.scrapes.have_been()
    }

    /// Waits, if the metrics have been scraped, for one more scrape that begins from now on, until all of it is sent.
    pub async fn one_more_scrape(&self, at_most: Duration) -> LastScrape {
        self.scrapes.one_more(at_most).await
    }
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum NotServed {
    /// The address cannot be listened on.
    #[error("BK__METRICS_LISTEN: {0} cannot be listened on: {1}; {advice}", advice = advice(.1))]
    Listen(SocketAddr, #[source] io::Error),
    /// There is no thread for it.
    #[error("there is no thread that could serve metrics and health: {0}")]
    Thread(#[source] io::Error),
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another process listens there: set another port, 0 for any that is free, or `off` to serve nothing"
        }
        io::ErrorKind::AddrNotAvailable => {
            "it is no address of this machine: set one that is, 0.0.0.0 for all of them, or `off` to serve nothing"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a privilege: set another port, or `off` to serve nothing"
        }
        _ => "set another address, or `off` to serve nothing",
    }
}
