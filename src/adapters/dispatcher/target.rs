//! The dispatcher as it is written to.

use std::time::Duration;

use actors::fault::Fault;
use actors::fault_point::hurried;
use actors::feed::Feed;
use actors::ports::ByteStream;
use actors::ports::archive::Store;
use actors::ports::target::{Published, Received, Target};
use actors::stream_id::StreamId;
use actors::stream_worker::progress::Progress;
use async_trait::async_trait;
use awc::Client;
use bytes::Bytes;
use url::Url;

use super::line::Lines;
use super::{client, exists, probe, publish, upload};
use crate::adapters::http::{HttpTimeouts, install_tls_provider};
use crate::settings::{BaseUrl, Proxies};

/// Where the dispatcher is, and for which backup it is written to.
#[derive(Clone, Debug)]
pub struct TargetConfig {
    /// The base URL for events.
    pub events: BaseUrl,
    /// The base URL for streams; may be the same.
    pub streams: BaseUrl,
    /// Part of the names in the `User-Agent`.
    pub backup_id: String,
    /// How long to wait. `head` is for progress while something is sent, and for the answers to what is small.
    pub timeouts: HttpTimeouts,
    /// How long to wait for the answer to published events: a dispatcher whose Kafka hangs says nothing for minutes.
    pub published: Duration,
}

impl TargetConfig {
    /// What a restore waits for.
    pub fn new(events: BaseUrl, streams: BaseUrl, backup_id: impl Into<String>) -> Self {
        Self {
            events,
            streams,
            backup_id: backup_id.into(),
            timeouts: HttpTimeouts::default(),
            published: hurried(Duration::from_secs(180)),
        }
    }
}

/// The dispatcher over HTTP, as [`Target`].
///
/// # The contract
/// * One attempt per call. What is being sent has a time-out on its progress, and so has each wait for an answer;
///   the time that an upload's own content takes is the business of the content.
/// * **Bulks, and binaries of 512 KiB and more, have a connection of their own**: one that has rested cannot break
///   them, and an answer that comes before all is sent (500, 413, 503) is understood, and nothing more is sent.
/// * Binaries smaller than that are taken into memory, are sent with a `Content-Length`, and share connections that
///   are kept alive. One that turns out to be closed is replaced at once, once, by one of their own.
/// * An upload whose content fails has either not begun, or ends without its terminating chunk.
/// * A 200 is believed only if it says what a success says; one that is a web page never.
///
/// What has a body is sent by hyper, the questions are asked by awc, whose client is not `Send`: it is made on the
/// thread that uses it.
pub struct HttpTarget {
    at: Place,
}

/// The configuration, its URLs taken apart, and what connections are made of.
pub(super) struct Place {
    pub(super) events: Url,
    pub(super) streams: Url,
    pub(super) backup_id: String,
    pub(super) timeouts: HttpTimeouts,
    pub(super) published: Duration,
    pub(super) progress: Progress,
    /// For questions. Its connections are kept alive.
    pub(super) kept: Client,
    /// For what is sent.
    pub(super) lines: Lines,
}

impl HttpTarget {
    /// Opens nothing yet; for the thread that calls it.
    ///
    /// # Errors
    /// What certificates, or proxies, the environment names is of no use.
    pub fn new(config: TargetConfig) -> Result<Self, Fault> {
        Self::noting(config, Progress::default())
    }

    /// The same for a worker: whatever is sent, and every attempt that ends, is noted as its progress.
    ///
    /// # Errors
    /// As for [`HttpTarget::new`].
    pub fn noting(config: TargetConfig, progress: Progress) -> Result<Self, Fault> {
        const SETUP: &str = "set up HTTP client";
        install_tls_provider();
        let base = |url: &BaseUrl| {
            Url::parse(url.as_str()).map_err(|error| Fault::rejected(SETUP, url.as_str(), error))
        };
        let tls = hyper_tls::client_config()
            .map_err(|error| Fault::rejected(SETUP, config.events.as_str(), error))?;
        let proxies =
            Proxies::of_process().map_err(|faults| Fault::rejected(SETUP, config.events.as_str(), faults))?;
        let at = Place {
            events: base(&config.events)?,
            streams: base(&config.streams)?,
            kept: client(&config.timeouts, &tls, &proxies),
            lines: Lines::new(&config.timeouts, &tls, &proxies),
            backup_id: config.backup_id,
            timeouts: config.timeouts,
            published: config.published,
            progress,
        };
        Ok(Self { at })
    }
}

#[async_trait(?Send)]
impl Target for HttpTarget {
    async fn publish(&self, feed: &Feed, bulk: Bytes) -> Result<Published, Fault> {
        let published = publish::publish(&self.at, feed, bulk).await;
        self.at.progress.step();
        published
    }

    async fn upload(&self, stream: &StreamId, content: Box<dyn ByteStream>) -> Result<Received, Fault> {
        let received = upload::upload(&self.at, stream, content).await;
        self.at.progress.step();
        received
    }

    async fn probe(&self, sent: Store) -> Result<(), Fault> {
        let probed = probe::probe(&self.at, sent).await;
        self.at.progress.step();
        probed
    }

    async fn exists(&self, stream: &StreamId) -> Result<bool, Fault> {
        let exists = exists::exists(&self.at, stream).await;
        self.at.progress.step();
        exists
    }
}
