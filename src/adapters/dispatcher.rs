//! The dispatcher over HTTP: what is asked of it goes by awc, what is sent to it by hyper.
//!
//! # The contract
//! * One attempt per call. Each connection, head of an answer and chunk of a body has a time-out.
//! * **A pull has a connection of its own**, opened for it and closed after it. So an idle connection that the
//!   server has closed meanwhile can never make a pull suspect, and what failed *before* the request could be
//!   sent (no connection, no TLS) is known to have cost nothing: that, and a 4xx, is [`PullFault::Refused`].
//!   Whatever else is not a complete 200 is [`PullFault::Suspect`].
//! * A 200 goes to the sink as it comes in. It is complete when it has as many bytes as its `Content-Length`
//!   says, or, if it came chunked, when it ends with the closing delimiter of its multipart: awc does not tell a
//!   chunked body that broke off from one that ended.
//! * Downloads use connections that are kept alive. One that turns out to be closed is replaced at once, once.
//! * A proxy that the environment names for the dispatcher is used ([`Proxies`]), as a tunnel: it neither sees nor
//!   repeats a pull. Without a tunnel nothing was sent, and a pull is refused.
//! * Redirects are not followed: nothing is sent to a host that is not in the settings. Bodies are taken as they
//!   are, never decompressed.
//!
//! awc's client is not `Send`: an [`AwcDispatcher`] is made on the thread that uses it.
//!
//! What is true of writing to it stands at [`HttpTarget`].

mod answer;
mod connection;
mod download;
mod exists;
mod line;
mod pieces;
mod probe;
mod publish;
mod pull;
mod request;
mod said;
mod sending;
mod survey;
mod target;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use actors::fault::Fault;
use actors::ports::{AnswerSink, ByteStream, Dispatcher, Pull, PullAnswer, PullFault};
use actors::stream_id::StreamId;
use async_trait::async_trait;
use awc::{Client, Connector};
use url::Url;

use crate::adapters::http::{HttpTimeouts, MeasuredBody, install_tls_provider};
use crate::settings::{BaseUrl, Proxies};
use connection::Dialer;

pub use survey::RootAnswer;
pub use target::{HttpTarget, TargetConfig};

/// Where the dispatcher is, and as whom it is spoken to.
#[derive(Clone, Debug)]
pub struct DispatcherConfig {
    /// The base URL for events.
    pub events: BaseUrl,
    /// The base URL for streams; may be the same.
    pub streams: BaseUrl,
    /// The consumer that downloads streams, for the `User-Agent`.
    pub streams_consumer: String,
    /// How long to wait.
    pub timeouts: HttpTimeouts,
}

/// The configuration, its URLs taken apart.
struct Target {
    events: Url,
    streams: Url,
    streams_consumer: String,
    timeouts: HttpTimeouts,
}

/// The dispatcher, as [`Dispatcher`].
pub struct AwcDispatcher {
    target: Target,
    pulls: Client,
    downloads: Client,
}

impl AwcDispatcher {
    /// Opens nothing yet; for the thread that calls it.
    ///
    /// # Errors
    /// What certificates, or proxies, the environment names is of no use.
    pub fn new(config: DispatcherConfig) -> Result<Self, Fault> {
        const SETUP: &str = "set up HTTP client";
        install_tls_provider();
        let base = |url: &BaseUrl| {
            Url::parse(url.as_str()).map_err(|error| Fault::rejected(SETUP, url.as_str(), error))
        };
        let target = Target {
            events: base(&config.events)?,
            streams: base(&config.streams)?,
            streams_consumer: config.streams_consumer,
            timeouts: config.timeouts,
        };
        let tls = hyper_tls::client_config()
            .map_err(|error| Fault::rejected(SETUP, config.events.as_str(), error))?;
        let proxies =
            Proxies::of_process().map_err(|faults| Fault::rejected(SETUP, config.events.as_str(), faults))?;
        Ok(Self {
            pulls: client(&target.timeouts, &tls, &proxies),
            downloads: client(&target.timeouts, &tls, &proxies),
            target,
        })
    }

    /// Asks both base URLs for `/`, which every dispatcher answers.
    ///
    /// # Errors
    /// One of them cannot be reached, or something else answers there.
    pub async fn probe(&self) -> Result<(), Fault> {
        let mut bases = vec![&self.target.events];
        if self.target.streams != self.target.events {
            bases.push(&self.target.streams);
        }
        for base in bases {
            self.probe_one(base).await?;
        }
        Ok(())
    }

    async fn probe_one(&self, base: &Url) -> Result<(), Fault> {
        let answer = self.ask_root(base).await?;
        if answer.status == 200 {
            return Ok(());
        }
        Err(answer.into_fault().await)
    }
}

/// By so much later a time-out that says less would end a connection.
const A_MOMENT: Duration = Duration::from_secs(1);

fn client(timeouts: &HttpTimeouts, tls: &Arc<rustls::ClientConfig>, proxies: &Arc<Proxies>) -> Client {
    let dialer = Dialer {
        proxies: proxies.clone(),
        patience: timeouts.connect,
    };
    let connector = Connector::new()
        .connector(dialer)
        .rustls_0_23(tls.clone())
        .timeout(timeouts.connect + A_MOMENT)
        .handshake_timeout(timeouts.connect)
        // How much is asked for at once is bounded by feeds and workers, not here: a pull that waits for a
        // permit of the pool would spend its time-out before it is sent.
        .limit(0);
    Client::builder()
        .connector(connector)
        .disable_timeout()
        .disable_redirects()
        .no_default_headers()
        .finish()
}

#[async_trait(?Send)]
impl Dispatcher for AwcDispatcher {
    async fn pull(&self, pull: &Pull, sink: &mut dyn AnswerSink) -> Result<PullAnswer, PullFault> {
        pull::pull(&self.pulls, &self.target, pull, sink).await
    }

    async fn download(&self, stream: &StreamId, from: u64) -> Result<Box<dyn ByteStream>, Fault> {
        let body: MeasuredBody = download::download(&self.downloads, &self.target, stream, from).await?;
        Ok(Box::new(body))
    }
}
