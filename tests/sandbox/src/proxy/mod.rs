//! A proxy between the program and one server, which spoils the requests and answers that it is told to spoil.
//!
//! It reads HTTP/1.1 as far as it must: the head of each request, to know what it asks for ([`Operation`]), and where
//! bodies end. What is on order ([`Order`]) strikes the first requests of an operation, or all; everything else passes
//! byte for byte, on connections that are kept alive as the two sides keep them. It counts what it saw and did, and
//! remembers which objects the program was told to be in the bucket.
//!
//! A *refused* connection is another thing than one that is accepted and reset: for the first, [`Proxy::close`] stops
//! listening and keeps the port.

mod exchange;
mod fault;
mod operation;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use fault::{Fault, Reply, Spot};
pub use operation::Operation;

/// How long a server is away.
const AWAY: Duration = Duration::from_millis(150);

/// Connections that wait to be accepted.
const BACKLOG: u32 = 128;

/// What shall be spoiled.
#[derive(Clone, Debug)]
pub struct Order {
    /// Requests of this kind …
    pub operation: Operation,
    /// … whose target contains this; all where empty …
    pub target: String,
    /// … meet this …
    pub fault: Fault,
    /// … so many times.
    pub times: usize,
}

/// How often an operation was seen, and how often it was spoiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that came in.
    pub seen: usize,
    /// Those of them that met a fault.
    pub struck: usize,
}

/// A pull that reached the dispatcher and whose answer was spoiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoiledPull {
    /// The consumer's name.
    pub consumer: String,
    /// Which of its pulls that the dispatcher saw, counted from 0.
    pub number: usize,
}

#[derive(Debug, Default)]
struct Record {
    orders: Vec<Order>,
    counts: BTreeMap<Operation, Counts>,
    acknowledged: BTreeSet<String>,
    pulls: BTreeMap<String, usize>,
    spoiled: Vec<SpoiledPull>,
}

struct Shared {
    to: SocketAddr,
    second: Duration,
    record: Mutex<Record>,
    open: watch::Sender<bool>,
    away: watch::Sender<bool>,
}

impl Shared {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn to(&self) -> SocketAddr {
        self.to
    }

    /// A second, at the pace of the program's time-outs.
    fn second(&self) -> Duration {
        self.second
    }

    fn strike(&self, operation: Operation, target: &str) -> Option<Fault> {
        let mut record = self.record();
        let order = record
            .orders
            .iter_mut()
            .find(|order| order.operation == operation && order.times > 0 && target.contains(&order.target));
        let fault = order.map(|order| {
            order.times -= 1;
            order.fault
        });
        let counts = record.counts.entry(operation).or_default();
        counts.seen += 1;
        counts.struck += usize::from(fault.is_some());
        fault
    }

    fn forwarded(&self, operation: Operation, target: &str, fault: Option<Fault>) {
        if operation != Operation::Pull {
            return;
        }
        let consumer = consumer(target);
        let mut record = self.record();
        let pulls = record.pulls.entry(consumer.clone()).or_default();
        let number = *pulls;
        *pulls += 1;
        if fault.is_some() {
            record.spoiled.push(SpoiledPull { consumer, number });
        }
    }

    fn acknowledged(&self, operation: Operation, target: &str) {
        if operation.proves_object() {
            let path = target.split('?').next().unwrap_or_default();
            let key = path
                .trim_start_matches('/')
                .split_once('/')
                .map_or("", |(_, key)| key);
            self.record().acknowledged.insert(decoded(key));
        }
    }

    fn go_away(&self) {
        self.away.send_replace(true);
    }
}

/// The name of the consumer that pulls.
fn consumer(target: &str) -> String {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "name")
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// A path without its percent signs.
fn decoded(path: &str) -> String {
    // a plus sign stands for itself in a path
    let path = path.replace('+', "%2B");
    url::form_urlencoded::parse(path.as_bytes())
        .map(|(name, _)| name.into_owned())
        .collect()
}

/// A proxy on loopback. It ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    // the threads end with it
    _runtime: Runtime,
}

impl Proxy {
    /// Listens in front of `to`. `second` is how long a second lasts for what comes at one byte a second.
    ///
    /// # Errors
    /// There is no port, or no thread.
    pub fn start(to: SocketAddr, second: Duration) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let listener = {
            let _inside = runtime.enter();
            bound(SocketAddr::from(([127, 0, 0, 1], 0)))?.listen(BACKLOG)?
        };
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            to,
            second,
            record: Mutex::default(),
            open: watch::Sender::new(true),
            away: watch::Sender::new(false),
        });
        let serving = Arc::clone(&shared);
        runtime.spawn(async move {
            if let Err(error) = listen(listener, address, serving).await {
                log::error!("the proxy on {address} ended: {error}");
            }
        });
        Ok(Self {
            address,
            shared,
            _runtime: runtime,
        })
    }

    /// `host:port`.
    pub fn endpoint(&self) -> String {
        self.address.to_string()
    }

    /// Spoils what comes from now on.
    pub fn order(&self, order: Order) {
        self.shared.record().orders.push(order);
    }

    /// Spoils nothing any more.
    pub fn clear(&self) {
        self.shared.record().orders.clear();
    }

    /// Stops listening, and breaks all connections: new ones are refused.
    pub fn close(&self) {
        self.shared.open.send_replace(false);
    }

    /// Listens again.
    pub fn open(&self) {
        self.shared.open.send_replace(true);
    }

    /// What it saw of an operation.
    pub fn counts(&self, operation: Operation) -> Counts {
        let record = self.shared.record();
        record.counts.get(&operation).copied().unwrap_or_default()
    }

    /// The keys of objects of which the program was told that they are in the bucket.
    pub fn acknowledged(&self) -> BTreeSet<String> {
        self.shared.record().acknowledged.clone()
    }

    /// Pulls that reached the dispatcher, and whose answers were spoiled.
    pub fn spoiled_pulls(&self) -> Vec<SpoiledPull> {
        self.shared.record().spoiled.clone()
    }
}

/// Accepts connections for as long as the proxy is open and the server not away.
async fn listen(mut listener: TcpListener, address: SocketAddr, shared: Arc<Shared>) -> io::Result<()> {
    let (mut open, mut away) = (shared.open.subscribe(), shared.away.subscribe());
    loop {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    if let Ok((tcp, _)) = accepted {
                        let shared = Arc::clone(&shared);
                        connections.spawn(async move {
                            if let Err(error) = exchange::serve(shared, tcp).await {
                                log::debug!("proxied connection: {error}");
                            }
                        });
                    }
                }
                Some(_) = connections.join_next() => {}
                _ = open.wait_for(|open| !open) => break,
                _ = away.wait_for(|away| *away) => break,
            }
        }
        // keeps the port while nobody listens
        let socket = bound(address)?;
        drop(listener);
        drop(connections);
        if *away.borrow_and_update() {
            tokio::time::sleep(AWAY).await;
            shared.away.send_replace(false);
        }
        if open.wait_for(|open| *open).await.is_err() {
            return Ok(());
        }
        listener = socket.listen(BACKLOG)?;
    }
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}
