mod broken;
mod lapsed;
mod memory;

use std::io::Read;
use std::sync::LazyLock;

use flate2::read::MultiGzDecoder;

use super::*;
use crate::object_writer::tests::KeptLog;
use crate::stream_id::Sha256;
use crate::testkit::{BucketCall, Content, DispatcherCall, FakeBucket, FakeDispatcher, Gate, Trouble};

const MIB: u64 = 1024 * 1024;

struct Scene {
    dispatcher: FakeDispatcher,
    bucket: FakeBucket,
    log: KeptLog,
    terms: StoreTerms,
    job: StoreStream,
}

impl Scene {
    /// The dispatcher holds `content` under its true name.
    fn holding(content: &[u8]) -> Self {
        let scene = Self::of(Sha256::of(content));
        scene.hold(content);
        scene
    }

    fn of(sha256: Sha256) -> Self {
        Self {
            dispatcher: FakeDispatcher::new(),
            bucket: FakeBucket::new(),
            log: KeptLog::default(),
            terms: StoreTerms {
                retry: RetryPolicy {
                    attempts: 4,
                    average_delay: Duration::from_millis(500),
                    retries: Default::default(),
                },
                budget: MemoryBudget::new(64 * MIB),
                stop: StopFlag::default(),
                progress: Progress::default(),
            },
            job: StoreStream {
                stream: StreamId::new("samples", "content", &sha256.to_string()).unwrap(),
                refresh_after: None,
            },
        }
    }

    fn hold(&self, content: &[u8]) {
        self.dispatcher.hold(&self.job.stream, content.to_vec());
    }

    fn ports(&self) -> StreamPorts {
        StreamPorts {
            dispatcher: Rc::new(self.dispatcher.clone()),
            bucket: Rc::new(self.bucket.clone()),
            uploads: Rc::new(self.log.clone()),
        }
    }

    async fn store(&self) -> StreamOutcome {
        store_stream(&self.ports(), &self.terms, &self.job, Timestamp::now()).await
    }

    fn key(&self) -> ObjectKey {
        self.job.stream.clone().into()
    }

    fn restored(&self) -> Vec<u8> {
        let object = self.bucket.content(&self.key()).expect("the object is there");
        let mut content = Vec::new();
        MultiGzDecoder::new(&object[..])
            .read_to_end(&mut content)
            .unwrap();
        content
    }

    /// The bytes at which downloads began.
    fn downloads(&self) -> Vec<u64> {
        self.dispatcher
            .downloads()
            .into_iter()
            .map(|(_, from)| from)
            .collect()
    }

    fn nothing_is_left(&self) {
        assert_eq!(self.bucket.keys(), []);
        assert_eq!(self.bucket.writes(&self.key()), 0);
        assert_eq!(self.bucket.open_uploads(), []);
        assert_eq!(self.log.open(), []);
        assert_eq!(self.terms.budget.reserved(), 0);
    }

    fn outage(&self) -> Fault {
        Fault::transient("planned", &self.job.stream, "503")
    }
}

/// Bytes that do not shrink.
fn packed(length: u64) -> Vec<u8> {
    // Made once: without optimisation it takes its time.
    static PACKED: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut random = 88_172_645_463_325_252_u64;
        let mut bytes = vec![0; 24 * MIB as usize];
        for place in bytes.chunks_exact_mut(8) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            place.copy_from_slice(&random.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
        }
        bytes
    });
    PACKED[..length as usize].to_vec()
}

fn kind(outcome: &StreamOutcome) -> FaultKind {
    match outcome {
        StreamOutcome::Failed(fault) => fault.kind(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_comes_back_as_it_was() {
    for content in [
        packed(0),
        packed(1),
        vec![7; 300_000],
        packed(300_000),
        packed(12 * MIB),
    ] {
        let scene = Scene::holding(&content);
        let outcome = scene.store().await;
        let StreamOutcome::Stored { bytes_in, bytes_out } = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(bytes_in, content.len() as u64);
        assert_eq!(
            bytes_out,
            scene.bucket.content(&scene.key()).unwrap().len() as u64
        );
        assert!(scene.restored() == content);
        assert_eq!((scene.downloads(), scene.terms.budget.reserved()), (vec![0], 0));
        assert_eq!((scene.bucket.open_uploads(), scene.log.open()), (vec![], vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_there_is_neither_read_nor_written_again() {
    let scene = Scene::holding(b"content");
    scene.store().await;
    assert!(matches!(scene.store().await, StreamOutcome::AlreadyStored));
    assert_eq!(
        (scene.downloads().len(), scene.bucket.writes(&scene.key())),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn what_age_off_could_take_is_stored_again() {
    let day = Duration::from_secs(86_400);
    let now = Timestamp::now();
    for (age, refresh_after, writes) in [
        (day * 8, Some(day * 7), 1),
        (day * 6, Some(day * 7), 0),
        (day * 8, None, 0),
    ] {
        let mut scene = Scene::holding(b"content");
        scene.job.refresh_after = refresh_after;
        let written = Timestamp::from_micros(now.as_micros() - age.as_micros() as i64);
        scene.bucket.plant(scene.key(), vec![0; 50], written);
        assert!(scene.store().await.is_safe());
        assert_eq!(
            scene.bucket.writes(&scene.key()),
            writes,
            "{age:?} {refresh_after:?}"
        );
    }
    let unknown = ObjectInfo {
        size: 50,
        etag: None,
        last_modified: None,
    };
    assert!(!is_fresh(&unknown, Some(day), now));
}

#[tokio::test(start_paused = true)]
async fn an_old_object_counts_even_if_it_cannot_be_renewed() {
    let mut scene = Scene::of(Sha256::of(b"gone"));
    scene.job.refresh_after = Some(Duration::from_secs(1));
    scene
        .bucket
        .plant(scene.key(), vec![0; 50], Timestamp::from_micros(0));
    assert!(matches!(scene.store().await, StreamOutcome::AlreadyStored));
}

#[tokio::test(start_paused = true)]
async fn what_is_shorter_than_any_gzip_does_not_count_as_there() {
    let scene = Scene::holding(b"content");
    scene.bucket.plant(scene.key(), vec![0; 19], Timestamp::now());
    assert!(matches!(scene.store().await, StreamOutcome::Stored { .. }));
    assert_eq!(scene.restored(), b"content");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_hash_never_becomes_visible() {
    for content in [packed(1000), packed(12 * MIB)] {
        let scene = Scene::of(Sha256::of(b"something else"));
        scene.hold(&content);
        let outcome = scene.store().await;
        assert_eq!((kind(&outcome), outcome.is_outage()), (FaultKind::Corrupt, false));
        assert_eq!(scene.downloads(), [0, 0]);
        let large = content.len() as u64 > 5 * MIB;
        assert_eq!(
            scene.bucket.calls().count(BucketCall::AbortUpload),
            if large { 2 } else { 0 }
        );
        assert_eq!(scene.bucket.calls().count(BucketCall::CompleteUpload), 0);
        scene.nothing_is_left();
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_hash_that_passes_costs_one_more_download() {
    let content = packed(12 * MIB);
    let scene = Scene::holding(&content);
    scene.hold(&packed(11 * MIB));
    let second = Gate::new();
    let calls = scene.dispatcher.calls();
    calls.plan(Trouble::hangs(DispatcherCall::Download, &second).sparing(1));
    let repair = async {
        second.arrived(1).await;
        scene.hold(&content);
        second.open();
    };
    let (outcome, ()) = tokio::join!(scene.store(), repair);
    assert!(matches!(outcome, StreamOutcome::Stored { .. }), "{outcome:?}");
    assert!(scene.restored() == content);
    assert_eq!((scene.bucket.writes(&scene.key()), scene.log.open()), (1, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_the_dispatcher_does_not_have_is_missing() {
    let scene = Scene::of(Sha256::of(b"gone"));
    let outcome = scene.store().await;
    assert!(matches!(outcome, StreamOutcome::Missing(_)), "{outcome:?}");
    assert_eq!(scene.downloads(), [0]);
    scene.nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_either_side_is_told_as_one() {
    let content = packed(12 * MIB);
    for call in [
        BucketCall::Head,
        BucketCall::BeginUpload,
        BucketCall::UploadPart,
        BucketCall::CompleteUpload,
    ] {
        let scene = Scene::holding(&content);
        scene
            .bucket
            .calls()
            .plan(Trouble::fails(call, scene.outage()).always());
        let outcome = scene.store().await;
        assert!(outcome.is_outage(), "{call:?}: {outcome:?}");
        assert_eq!(scene.bucket.calls().count(call), 4);
        if call == BucketCall::BeginUpload {
            assert!(scene.log.forget_doubt(), "an upload may have begun");
        }
        scene.nothing_is_left();
    }
    let scene = Scene::holding(&content);
    let down = Trouble::fails(DispatcherCall::Download, scene.outage()).always();
    scene.dispatcher.calls().plan(down);
    assert!(scene.store().await.is_outage());
    assert_eq!(scene.dispatcher.calls().count(DispatcherCall::Download), 4);
    scene.nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_stop_abandons_what_is_under_way() {
    let content = packed(12 * MIB);
    for (call, spared) in [
        (DispatcherCall::Download, 0),
        (DispatcherCall::Chunk, 0),
        (DispatcherCall::Chunk, 150),
    ] {
        let scene = Scene::holding(&content);
        let hung = Gate::new();
        let calls = scene.dispatcher.calls();
        calls.plan(Trouble::hangs(call, &hung).sparing(spared));
        let stop = async {
            hung.arrived(1).await;
            scene.terms.stop.raise();
        };
        let (outcome, ()) = tokio::join!(scene.store(), stop);
        assert_eq!(
            (kind(&outcome), outcome.is_outage()),
            (FaultKind::Cancelled, false)
        );
        assert_eq!(scene.log.begun(), usize::from(spared > 0));
        scene.nothing_is_left();
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_an_object_that_is_whole_become_visible() {
    let content = packed(6 * MIB);
    let scene = Scene::holding(&content);
    let hung = Gate::new();
    let calls = scene.bucket.calls();
    calls.plan(Trouble::hangs(BucketCall::CompleteUpload, &hung));
    let stop = async {
        hung.arrived(1).await;
        scene.terms.stop.raise();
        hung.open();
    };
    let (outcome, ()) = tokio::join!(scene.store(), stop);
    assert!(matches!(outcome, StreamOutcome::Stored { .. }), "{outcome:?}");
    assert!(scene.restored() == content);
}
