//! A dispatcher that behaves as the real one was seen to behave, its traps included. What it acts out:
//!
//! | trap | where |
//! | --- | --- |
//! | it forgets what it hands out; a new name reads from the oldest event | [`broker`] |
//! | a restart costs every open consumer with unread events one of them | [`broker`] |
//! | it goes on collecting for a client that has gone | `pull.rs` |
//! | it answers when `count` or `deadline` is reached, never earlier | `pull.rs` |
//! | `ready:false` for a while after a restart | `pull.rs` |
//! | errors, and answers of 2 KiB and more, come in chunks | `answers.rs`, `pull.rs` |
//! | the model version changes from one answer to the next | [`Shared::set_model_version`] |
//! | one invalid event silently ends a published bulk; 425 with an empty list; a partial 500 | `publish.rs` |
//! | a range past the end is 400 | `streams.rs` |
//! | events published in an older version are upgraded on their way out | `log.rs` |
//!
//! What is published is stored as it came, and recorded in the order of its arrival ([`Shared::published`]); an event
//! keeps its key when it is published again, so that a repeat is known by it. Uploads of more than 1 MiB lie in
//! temporary files.
//!
//! It runs on threads of its own, keeps its state over [`StandInDispatcher::restart`], and records who got what.

mod answers;
pub mod broker;
mod faults;
mod log;
mod publish;
mod pull;
mod receipts;
mod shared;
mod spool;
mod streams;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::Service;
use actix_web::{App, HttpResponse, HttpServer, web};
use actors::feed::Feed;
use actors::stream_id::StreamId;
use tokio::sync::oneshot;

pub use broker::{Answer, Broker, Consumer, Fate, Place};
pub use faults::{Call, Fault};
pub use log::{EventRef, RawEvent};
pub use receipts::{PublishTotals, Published, Receipt, UploadTotals};
pub use shared::{Arrival, Shared, SourceRules};
pub use spool::Spooled;
pub use streams::Body;

use crate::generator::World;

/// How the stand-in is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// The port; 0 for any.
    pub port: u16,
    /// The model version of bulks at first.
    pub model_version: i64,
    /// Whether a consumer is given each Kafka key only once.
    pub dedupe: bool,
    /// How long after a restart it says `ready:false`.
    pub ready_after_restart: Duration,
    /// Threads that serve requests.
    pub workers: usize,
    /// Pulls are kept open for this fraction of their deadline, for runs that have no time; 1 is what the real one
    /// does.
    pub hurry: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            port: 0,
            model_version: 6,
            dedupe: false,
            ready_after_restart: Duration::ZERO,
            workers: 1,
            hurry: 1,
        }
    }
}

/// What a consumer was and was not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// In answers that went out whole while the client was there.
    pub handed_out: Vec<EventRef>,
    /// Collected for a client that had gone, or in an answer that broke off: never given again.
    pub lost_to_client: Vec<EventRef>,
    /// Lost at restarts.
    pub lost_at_restart: Vec<EventRef>,
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<io::Result<()>>,
}

/// A stand-in dispatcher. It is stopped when it is dropped.
pub struct StandInDispatcher {
    config: Config,
    address: SocketAddr,
    shared: Arc<Shared>,
    running: Option<Running>,
}

impl StandInDispatcher {
    /// Starts it on loopback.
    ///
    /// # Errors
    /// The port is taken.
    pub fn start(config: Config) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", config.port))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(config.dedupe, config.model_version, config.hurry));
        let running = Some(run(listener, Arc::clone(&shared), config.workers)?);
        Ok(Self {
            config,
            address,
            shared,
            running,
        })
    }

    /// The base URL, for events and for streams.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its state: what it serves, what it saw.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Puts events at the end of a feed; open pulls get them.
    pub fn append(&self, feed: &Feed, events: impl IntoIterator<Item = RawEvent>) {
        self.shared.broker().append(feed, events);
        self.shared.arrival.notify_waiters();
    }

    /// Has a stream from now on.
    pub fn put_stream(&self, stream: &StreamId, body: Body) {
        self.shared.streams().bodies.insert(stream.to_string(), body);
    }

    /// Has a stream no longer.
    pub fn drop_stream(&self, stream: &StreamId) {
        self.shared.streams().bodies.remove(&stream.to_string());
    }

    /// How often a stream was asked for.
    pub fn downloads(&self, stream: &StreamId) -> u32 {
        self.shared
            .streams()
            .downloads
            .get(&stream.to_string())
            .copied()
            .unwrap_or(0)
    }

    /// How often streams were asked for, all together, and how many at once at most.
    pub fn all_downloads(&self) -> (u64, usize) {
        let streams = self.shared.streams();
        (
            streams.downloads.values().map(|times| u64::from(*times)).sum(),
            streams.at_once_peak,
        )
    }

    /// How often a stream was uploaded and taken.
    pub fn uploads(&self, stream: &StreamId) -> u32 {
        let streams = self.shared.streams();
        streams.uploads.get(&stream.to_string()).copied().unwrap_or(0)
    }

    /// Has all binaries and all events of a world. With `ahead`, events are encoded now, in the present version.
    pub fn fill(&self, world: &Arc<World>, ahead: bool) {
        self.adopt(world, ahead);
        for feed in world.feeds() {
            self.release(feed.feed(), feed.len());
        }
    }

    /// Has all binaries of a world; its events become visible by [`StandInDispatcher::release`].
    pub fn adopt(&self, world: &Arc<World>, ahead: bool) {
        for binary in world.binaries() {
            self.put_stream(&binary.stream, Body::Made(binary.content));
        }
        let ahead = ahead.then(|| self.shared.model_version());
        for feed in world.feeds() {
            self.shared.broker().adopt(feed, ahead);
        }
    }

    /// Publishes the next `count` events of a generated feed.
    pub fn release(&self, feed: &Feed, count: u64) {
        self.shared.broker().release(feed, count);
        self.shared.arrival.notify_waiters();
    }

    /// Orders a fault for the next `times` calls of a kind.
    pub fn order_fault(&self, call: Call, fault: Fault, times: usize) {
        self.shared.faults().order(call, fault, times);
    }

    /// Cancels all faults on order.
    pub fn clear_faults(&self) {
        self.shared.faults().clear();
    }

    /// Decides what becomes of published events.
    pub fn set_rules(&self, rules: SourceRules) {
        *self.shared.rules() = rules;
    }

    /// What the consumer of this name was and was not given.
    pub fn given(&self, name: &str) -> Given {
        let broker = self.shared.broker();
        let mut given = Given::default();
        for answer in broker.answers().filter(|answer| answer.consumer.name == name) {
            let events = answer.events.iter().map(|place| broker.event(*place));
            match answer.fate {
                Fate::HandedOut | Fate::BeingSent => given.handed_out.extend(events),
                Fate::ClientGone | Fate::BrokenOff => given.lost_to_client.extend(events),
                Fate::LostAtRestart => given.lost_at_restart.extend(events),
            }
        }
        for (_, place) in broker
            .lost_in_advance()
            .iter()
            .filter(|(consumer, _)| consumer.name == name)
        {
            given.lost_at_restart.push(broker.event(*place));
        }
        given
    }

    /// Whether it is there.
    pub fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// Goes away: connections break, new ones are refused.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            // a server that has ended by itself does not listen any more
            let _ = running.stop.send(());
            if running.thread.join().is_err() {
                ::log::error!("the stand-in dispatcher panicked");
            }
            self.shared.broker().restart();
            self.shared.changed();
        }
    }

    /// Comes back on the same port, as after a restart of its process.
    ///
    /// # Errors
    /// The port was taken meanwhile.
    pub fn restart(&mut self) -> io::Result<()> {
        self.stop();
        self.shared.set_ready_after(self.config.ready_after_restart);
        let listener = TcpListener::bind(self.address)?;
        self.running = Some(run(listener, Arc::clone(&self.shared), self.config.workers)?);
        Ok(())
    }
}

impl Drop for StandInDispatcher {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(listener: TcpListener, shared: Arc<Shared>, workers: usize) -> io::Result<Running> {
    let (stop, stopped) = oneshot::channel();
    let (started, start) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("stand-in".to_owned())
        .spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = match serve(listener, shared, workers) {
                    Ok(server) => server,
                    Err(error) => {
                        drop(started.send(Err(error)));
                        return Ok(());
                    }
                };
                let handle = server.handle();
                drop(started.send(Ok(())));
                let serving = actix_web::rt::spawn(server);
                // the end of the sender, too, means that it is over
                let _ = stopped.await;
                handle.stop(false).await;
                serving.await.map_err(io::Error::other)?
            })
        })?;
    start.recv().map_err(io::Error::other)??;
    Ok(Running { stop, thread })
}

fn serve(listener: TcpListener, shared: Arc<Shared>, workers: usize) -> io::Result<actix_web::dev::Server> {
    let server = HttpServer::new(move || {
        let shared = web::Data::from(Arc::clone(&shared));
        let recorder = shared.clone().into_inner();
        App::new()
            .app_data(shared)
            .app_data(web::PayloadConfig::new(usize::MAX))
            .wrap_fn(move |request, service| {
                let header = request.headers().get("User-Agent");
                recorder.arrived(Arrival {
                    at: recorder.age(),
                    method: request.method().to_string(),
                    path: request.path().to_owned(),
                    query: request.query_string().to_owned(),
                    user_agent: header
                        .and_then(|text| text.to_str().ok())
                        .unwrap_or_default()
                        .to_owned(),
                });
                service.call(request)
            })
            .route("/", web::get().to(root))
            .route("/api/v2/event/{model}/passive", web::get().to(pull::pull))
            .route("/api/v2/event", web::post().to(publish::publish))
            .service(
                web::resource("/api/v3/stream/{source}/{label}/{sha256}")
                    .route(web::get().to(streams::get))
                    .route(web::head().to(streams::head)),
            )
            .route("/api/v3/stream/{source}/{label}", web::post().to(streams::post))
    });
    let server = server
        .workers(workers)
        .disable_signals()
        .shutdown_timeout(0)
        // a client that has gone is noticed while its answer is still being collected
        .h1_allow_half_closed(false)
        .keep_alive(Duration::from_secs(180))
        .client_request_timeout(Duration::ZERO)
        .listen(listener)?;
    Ok(server.run())
}

async fn root() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("Content-Type", "text/plain"))
        .body("Azul Dispatcher")
}
