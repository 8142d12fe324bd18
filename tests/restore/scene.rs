//! The two servers, with something that can spoil requests in front of each, and the settings of a restore.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actors::feed::Feed;
use sandbox::dispatcher::{self, StandInDispatcher};
use sandbox::proxy::{Fault, Operation, Order, Proxy};
use sandbox::s3::{self, S3Server};
use tempfile::TempDir;

use crate::program::{Ended, Running};

/// What is so often done that it is for good.
pub const EVER: usize = usize::MAX;

/// See the module.
pub struct Scene {
    pub dispatcher: StandInDispatcher,
    pub s3: S3Server,
    pub folder: TempDir,
    settings: BTreeMap<String, String>,
    starts: AtomicUsize,
    orders: AtomicUsize,
    before: Option<Before>,
}

/// What stands before the servers.
struct Before {
    bucket: Proxy,
    hub: Proxy,
}

impl Scene {
    /// With these sources, and two empty buckets.
    pub fn new(sources: &[&str]) -> Self {
        let scene = Self::without_buckets(sources);
        for bucket in [crate::bucket::STREAMS, crate::bucket::EVENTS] {
            std::fs::create_dir_all(scene.s3.config().root.join(bucket)).unwrap();
        }
        scene
    }

    /// The same without buckets.
    pub fn without_buckets(sources: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let dispatcher = StandInDispatcher::start(dispatcher::Config::default()).unwrap();
        let s3 = S3Server::start(s3::Config::at(folder.path().join("s3"))).unwrap();
        let listed: Vec<String> = sources.iter().map(|source| format!("{source}: {{}}")).collect();
        let local = folder.path().join("local");
        let settings = [
            ("BK__DISPATCHER_EVENTS", dispatcher.url()),
            ("BK__EXTERNAL_BACKUP__ENDPOINT", s3.endpoint()),
            ("BK__EXTERNAL_BACKUP__ACCESS_KEY", s3.config().access_key.clone()),
            ("BK__EXTERNAL_BACKUP__SECRET_KEY", s3.config().secret_key.clone()),
            ("BK__SOURCES", format!("sources: {{{}}}", listed.join(", "))),
            ("BK__LOCAL_DATA__ROOTDIR", local.display().to_string()),
            ("BK__STREAM_ROUTINE_COUNT", "1".to_owned()),
            ("BK__RETRY_COUNT", "3".to_owned()),
            ("BK__RETRY_AVERAGE_DELAY_MS", "10".to_owned()),
        ];
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value));
        Self {
            dispatcher,
            s3,
            settings: settings.collect(),
            folder,
            starts: AtomicUsize::new(0),
            orders: AtomicUsize::new(0),
            before: None,
        }
    }

    #[must_use]
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.insert(name.to_owned(), value.to_string());
        self
    }

    /// Puts something before both servers that can spoil requests.
    #[must_use]
    pub fn spoilable(mut self) -> Self {
        let proxy = |to| Proxy::start(to, Duration::from_millis(20)).unwrap();
        let before = Before {
            bucket: proxy(self.s3.address()),
            hub: proxy(self.dispatcher.address()),
        };
        let hub = format!("http://{}", before.hub.endpoint());
        self = self
            .set("BK__EXTERNAL_BACKUP__ENDPOINT", before.bucket.endpoint())
            .set("BK__DISPATCHER_EVENTS", hub);
        self.before = Some(before);
        self
    }

    /// Spoils requests to the bucket whose target contains `target`.
    pub fn spoil_bucket(&self, target: &str, fault: Fault, times: usize) {
        let before = self.before.as_ref().expect("the scene is spoilable");
        self.orders.fetch_add(1, Ordering::SeqCst);
        before.bucket.order(order(target, fault, times));
    }

    /// Spoils requests to the dispatcher whose target contains `target`.
    pub fn spoil_hub(&self, target: &str, fault: Fault, times: usize) {
        let before = self.before.as_ref().expect("the scene is spoilable");
        self.orders.fetch_add(1, Ordering::SeqCst);
        before.hub.order(order(target, fault, times));
    }

    /// Spoils every question whether the dispatcher has a binary.
    pub fn spoil_questions(&self, fault: Fault) {
        let before = self.before.as_ref().expect("the scene is spoilable");
        before.hub.order(Order {
            operation: Operation::HeadStream,
            ..order("", fault, EVER)
        });
    }

    /// Whether something was spoiled, as far as it was on order.
    pub fn has_struck(&self) -> bool {
        let Some(before) = &self.before else {
            return true;
        };
        let orders = self.orders.load(Ordering::SeqCst);
        let struck = [&before.bucket, &before.hub].map(|proxy| proxy.counts(Operation::Other).struck);
        orders == 0 || struck.iter().sum::<usize>() > 0
    }

    /// Spoils nothing any more.
    pub fn heal(&self) {
        self.dispatcher.clear_faults();
        self.s3.knobs().reset();
        if let Some(before) = &self.before {
            before.bucket.clear();
            before.hub.clear();
        }
    }

    /// Runs `restore --json` with these options to its end.
    pub fn restore(&self, options: &[&str]) -> Ended {
        self.run(&[&["restore", "--json"], options].concat())
    }

    /// Starts `restore` with these options.
    pub fn start(&self, options: &[&str]) -> Running {
        self.begin(&[&["restore", "--json"], options].concat())
    }

    /// Starts the program with these arguments.
    pub fn begin(&self, arguments: &[&str]) -> Running {
        let number = self.starts.fetch_add(1, Ordering::SeqCst);
        let output = self.folder.path().join(format!("start-{number}"));
        Running::start(&self.settings, arguments, &output)
    }

    /// Runs the program with these arguments to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        let number = self.starts.fetch_add(1, Ordering::SeqCst);
        let output = self.folder.path().join(format!("start-{number}"));
        crate::program::run(&self.settings, arguments, &output, &self.local_state())
    }

    /// Where local state of restores lies.
    pub fn local_state(&self) -> PathBuf {
        self.folder.path().join("local/restore")
    }

    /// The Kafka keys of what went to Kafka of a feed, in the order of their arrival, repeats left out.
    pub fn published(&self, feed: &Feed) -> Vec<String> {
        let published = self.dispatcher.shared().published(feed);
        assert!(published.inversion().is_none(), "{:?}", published.inversion());
        let distinct = published.distinct().into_iter();
        distinct.map(|receipt| receipt.kafka_key.to_string()).collect()
    }

    /// The streams that the dispatcher has; it names each after the SHA-256 of what it received.
    pub fn uploaded(&self) -> Vec<String> {
        self.dispatcher.shared().stream_keys().into_iter().collect()
    }
}

fn order(target: &str, fault: Fault, times: usize) -> Order {
    Order {
        // Nothing that a restore asks for is something that a backup asks for.
        operation: Operation::Other,
        target: target.to_owned(),
        fault,
        times,
    }
}
