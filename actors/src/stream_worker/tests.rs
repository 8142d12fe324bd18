use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::{Addr, SyncArbiter};

use super::*;
use crate::fault::FaultKind;
use crate::memory_budget::MemoryBudget;
use crate::object_key::ObjectKey;
use crate::object_writer::tests::KeptLog;
use crate::retry::RetryPolicy;
use crate::stop::StopFlag;
use crate::stream_id::Sha256;
use crate::testkit::{BucketCall, DispatcherCall, FakeBucket, FakeDispatcher, Gate, Trouble};

/// What all workers of a test speak to.
#[derive(Clone)]
struct Outside {
    dispatcher: FakeDispatcher,
    bucket: FakeBucket,
    log: KeptLog,
    opened: Arc<AtomicUsize>,
    refuses: usize,
}

impl Outside {
    fn new() -> Self {
        Self {
            dispatcher: FakeDispatcher::new(),
            bucket: FakeBucket::new(),
            log: KeptLog::default(),
            opened: Arc::default(),
            refuses: 0,
        }
    }

    fn workers(&self, threads: usize, stop: &StopFlag) -> Addr<StreamWorker> {
        let terms = StoreTerms {
            retry: RetryPolicy {
                attempts: 2,
                average_delay: Duration::from_millis(1),
                retries: Default::default(),
            },
            budget: MemoryBudget::new(64 << 20),
            stop: stop.clone(),
            progress: Progress::default(),
        };
        let ports: Arc<dyn WorkerPorts> = Arc::new(self.clone());
        SyncArbiter::start(threads, move || {
            StreamWorker::new(Arc::clone(&ports), terms.clone())
        })
    }

    /// A job whose content the dispatcher holds.
    fn job(&self, number: usize) -> StoreStream {
        let content = format!("binary {number}").into_bytes();
        let sha256 = Sha256::of(&content).to_string();
        let stream = StreamId::new("samples", "content", &sha256).unwrap();
        self.dispatcher.hold(&stream, content);
        StoreStream {
            stream,
            refresh_after: None,
        }
    }
}

impl WorkerPorts for Outside {
    fn open(&self, _: &Progress) -> Result<StreamPorts, Fault> {
        if self.opened.fetch_add(1, Ordering::SeqCst) < self.refuses {
            return Err(Fault::transient("open ports", "worker", "planned"));
        }
        Ok(StreamPorts {
            dispatcher: Rc::new(self.dispatcher.clone()),
            bucket: Rc::new(self.bucket.clone()),
            uploads: Rc::new(self.log.clone()),
        })
    }
}

#[actix_rt::test]
async fn as_many_streams_are_under_way_as_there_are_workers() {
    let outside = Outside::new();
    let workers = outside.workers(3, &StopFlag::default());
    let gate = Gate::new();
    let put = BucketCall::Put;
    outside.bucket.calls().plan(Trouble::hangs(put, &gate).times(3));
    let answers: Vec<_> = (0..20).map(|number| workers.send(outside.job(number))).collect();
    let release = async {
        gate.arrived(3).await;
        gate.open();
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(answers), release);
    assert!(answers.into_iter().all(|answer| answer.unwrap().is_safe()));
    assert_eq!(outside.bucket.keys().len(), 20);
    assert_eq!(outside.bucket.calls().most_at_once(put), 3);
    assert_eq!(outside.opened.load(Ordering::SeqCst), 3);
}

#[actix_rt::test]
async fn a_panic_is_told_and_the_worker_goes_on_with_new_ports() {
    let outside = Outside::new();
    let workers = outside.workers(1, &StopFlag::default());
    let (first, second) = (outside.job(1), outside.job(2));
    let ill = Trouble::panics(DispatcherCall::Chunk).on(&first.stream);
    outside.dispatcher.calls().plan(ill);
    let outcome = workers.send(first.clone()).await.unwrap();
    let StreamOutcome::Failed(fault) = &outcome else {
        panic!("{outcome:?}");
    };
    assert!(fault.detail().contains("planned panic in Chunk"), "{fault}");
    assert!(!outcome.is_outage());
    assert!(workers.send(second).await.unwrap().is_safe());
    assert!(workers.send(first.clone()).await.unwrap().is_safe());
    assert_eq!(outside.opened.load(Ordering::SeqCst), 2);
    assert!(outside.bucket.content(&ObjectKey::Stream(first.stream)).is_some());
}

#[actix_rt::test]
async fn ports_that_cannot_be_opened_fail_one_stream_and_are_tried_with_the_next() {
    let mut outside = Outside::new();
    outside.refuses = 1;
    let workers = outside.workers(1, &StopFlag::default());
    let job = outside.job(1);
    assert!(workers.send(job.clone()).await.unwrap().is_outage());
    assert!(workers.send(job).await.unwrap().is_safe());
}

#[actix_rt::test]
async fn after_a_stop_nothing_is_begun() {
    let outside = Outside::new();
    let stop = StopFlag::default();
    let workers = outside.workers(1, &stop);
    stop.raise();
    let outcome = workers.send(outside.job(1)).await.unwrap();
    let StreamOutcome::Failed(fault) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(fault.kind(), FaultKind::Cancelled);
    assert_eq!(outside.opened.load(Ordering::SeqCst), 0);
    assert_eq!(outside.bucket.calls().count(BucketCall::Head), 0);
}
