//! The dispatcher's client keeps the promises of the port against the stand-in, and meets its faults as the real
//! dispatcher's would be met.

use actors::fault::FaultKind;
use actors::feed::Feed;
use actors::ports::target::Published;
use actors::ports::{Dispatcher, Target};
use actors::stream_id::{Sha256, StreamId};
use actors::testkit::FakeDispatcher;
use actors::testkit::conformance::target::{self as promises, Receiver};
use azul_backup::adapters::dispatcher::{AwcDispatcher, DispatcherConfig, HttpTarget, TargetConfig};
use azul_backup::adapters::http::HttpTimeouts;
use azul_backup::settings::BaseUrl;
use sandbox::dispatcher::{Call, Config, Fault, SourceRules, StandInDispatcher};

/// What the dispatcher says of an event that it cannot give to Kafka.
const TOO_LARGE: &str = "message too large for kafka: 2 vs 1 bytes";

/// What it passes on of Kafka's client.
const NO_TOPIC: &str =
    "kafka server: Request was for a topic or partition that does not exist on this broker";

struct Sandbox {
    dispatcher: StandInDispatcher,
    target: HttpTarget,
}

impl Sandbox {
    fn new() -> Self {
        let dispatcher = StandInDispatcher::start(Config::default()).unwrap();
        let url = BaseUrl::parse(&dispatcher.url()).unwrap();
        let target = HttpTarget::new(TargetConfig::new(url.clone(), url, "1")).unwrap();
        Self { dispatcher, target }
    }
}

impl Receiver for Sandbox {
    type Target = HttpTarget;

    fn target(&self) -> &HttpTarget {
        &self.target
    }

    fn received(&self, feed: &Feed) -> Vec<String> {
        let published = self.dispatcher.shared().published(feed);
        published
            .0
            .iter()
            .map(|receipt| receipt.kafka_key.to_string())
            .collect()
    }

    fn filter(&self, name: &'static str) {
        self.dispatcher.set_rules(SourceRules {
            filters: vec![("samples".to_owned(), name.to_owned())],
            ..SourceRules::default()
        });
    }

    fn age_off(&self) {
        self.dispatcher.set_rules(SourceRules {
            expire_micros: [("samples".to_owned(), 1)].into(),
            ..SourceRules::default()
        });
    }

    fn refuse(&self, kafka_key: &'static str, reason: &'static str) {
        self.dispatcher.set_rules(SourceRules {
            refused: [(kafka_key.to_owned(), reason.to_owned())].into(),
            ..SourceRules::default()
        });
    }
}

#[actix_rt::test]
async fn the_client_keeps_the_promises_of_the_port() {
    promises::all(Sandbox::new).await;
}

#[actix_rt::test]
async fn every_fault_on_order_is_met_as_the_real_one_would_be() {
    let sandbox = Sandbox::new();
    let publish = async |fault| {
        sandbox.dispatcher.order_fault(Call::Publish, fault, 1);
        sandbox
            .target
            .publish(&promises::feed(), promises::bulk(&["a", "b"]).into())
            .await
    };
    let received = || sandbox.received(&promises::feed());
    for (fault, kind, effect) in [
        (Fault::Status(503), FaultKind::Transient, 0),
        (Fault::Status(403), FaultKind::Rejected, 0),
        (Fault::Page(404), FaultKind::Rejected, 0),
        (Fault::Page(502), FaultKind::Transient, 0),
        (Fault::LostAnswer, FaultKind::Transient, 2),
        (Fault::Nonsense, FaultKind::Transient, 2),
    ] {
        let before = received().len();
        let found = publish(fault).await.unwrap_err();
        assert_eq!(
            (found.kind(), received().len() - before),
            (kind, effect),
            "{fault:?}: {found}"
        );
    }
    let lists = [("", 0), ("too_deep:1,deleted:1", 2), ("too_deep", 0)];
    for (list, expected) in lists {
        let published = publish(Fault::Filtered(list)).await.unwrap();
        assert!(
            matches!(published, Published::Filtered { accounted, .. } if accounted == expected),
            "{list}: {published:?}"
        );
    }
    assert!(matches!(
        publish(Fault::AgedOff).await.unwrap(),
        Published::AgedOff { .. }
    ));
    assert_eq!(received().len(), 4);
    let Published::NotProduced { reason } = publish(Fault::Partial(1, TOO_LARGE)).await.unwrap() else {
        panic!("all was produced");
    };
    assert!(reason.contains("successfully submitted 1/2 events"), "{reason}");
    let published = sandbox.dispatcher.shared().published(&promises::feed());
    assert_eq!((published.0.len(), published.distinct().len()), (5, 2));
    // What Kafka's client says is no fault of an event.
    let found = publish(Fault::Partial(1, NO_TOPIC)).await.unwrap_err();
    assert!(
        found.is_transient() && found.to_string().contains(NO_TOPIC),
        "{found}"
    );
    let totals = sandbox.dispatcher.shared().publish_totals();
    let bytes = promises::bulk(&["a", "b"]).len() as u64;
    assert_eq!(
        (totals.requests, totals.bytes, totals.events),
        (12, 12 * bytes, 6)
    );
}

/// A stream of so many bytes, and a dispatcher in memory that gives them out.
fn binary(size: u32) -> (StreamId, Vec<u8>, FakeDispatcher) {
    let content: Vec<u8> = (0..size).map(|n| (n % 253) as u8).collect();
    let sha256 = Sha256::of(&content).to_string();
    let stream = StreamId::new("samples", "content", &sha256).unwrap();
    let from = FakeDispatcher::new();
    from.hold(&stream, content.clone());
    (stream, content, from)
}

#[actix_rt::test]
async fn an_uploaded_binary_can_be_downloaded_again_whatever_its_size() {
    let sandbox = Sandbox::new();
    let url = BaseUrl::parse(&sandbox.dispatcher.url()).unwrap();
    let client = AwcDispatcher::new(DispatcherConfig {
        events: url.clone(),
        streams: url,
        streams_consumer: String::new(),
        timeouts: HttpTimeouts::default(),
    })
    .unwrap();
    let sizes = [7, 1_048_576, 1_048_577, 5_000_000];
    for size in sizes {
        let (stream, content, from) = binary(size);
        let body = from.download(&stream, 0).await.unwrap();
        sandbox.target.upload(&stream, body).await.unwrap();
        assert_eq!(sandbox.dispatcher.uploads(&stream), 1);
        let mut body = client.download(&stream, 0).await.unwrap();
        let mut read = Vec::new();
        while let Some(chunk) = body.chunk().await.unwrap() {
            read.extend_from_slice(&chunk);
        }
        assert!(read == content, "{size}");
    }
    let totals = sandbox.dispatcher.shared().upload_totals();
    let bytes = sizes.iter().map(|size| u64::from(*size)).sum();
    assert_eq!((totals.requests, totals.taken, totals.bytes), (4, 4, bytes));
}

#[actix_rt::test]
async fn faults_of_uploads_are_met_as_the_real_ones_would_be() {
    for size in [1000, 3_000_000] {
        for (fault, kind, taken) in [
            (Fault::Status(500), FaultKind::Transient, 0),
            (Fault::Status(413), FaultKind::Rejected, 0),
            (Fault::Page(503), FaultKind::Transient, 0),
            (Fault::LostAnswer, FaultKind::Transient, 1),
            (Fault::Nonsense, FaultKind::Transient, 1),
        ] {
            let sandbox = Sandbox::new();
            let (stream, _, from) = binary(size);
            // a lost answer of what is small is asked for again at once
            sandbox.dispatcher.order_fault(Call::Upload, fault, 2);
            let body = from.download(&stream, 0).await.unwrap();
            let found = sandbox.target.upload(&stream, body).await.unwrap_err();
            assert_eq!(found.kind(), kind, "{fault:?} {size}: {found}");
            let uploads = sandbox.dispatcher.uploads(&stream);
            let repeats = u32::from(fault == Fault::LostAnswer && size == 1000);
            assert_eq!(uploads, taken + repeats, "{fault:?} {size}");
        }
    }
    let sandbox = Sandbox::new();
    sandbox.dispatcher.shared().set_forgets(true);
    let (stream, _, from) = binary(3_000_000);
    let body = from.download(&stream, 0).await.unwrap();
    sandbox.target.upload(&stream, body).await.unwrap();
    let size = sandbox.dispatcher.shared().stream_size(&stream.to_string());
    assert_eq!(size, Some(3_000_000));
}
