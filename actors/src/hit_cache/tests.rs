use std::cell::RefCell;

use futures_util::FutureExt;
use tokio::task::LocalSet;

use super::*;
use crate::testkit::{Gate, MemoryState};

/// A worker whose jobs wait at a gate and then end as the script says.
struct FakeWorker {
    gate: Gate,
    jobs: Rc<RefCell<Vec<StoreStream>>>,
    outcome: Rc<dyn Fn(&StreamId) -> StreamOutcome>,
}

impl Actor for FakeWorker {
    type Context = Context<Self>;
}

impl Handler<StoreStream> for FakeWorker {
    type Result = ResponseFuture<StreamOutcome>;

    fn handle(&mut self, job: StoreStream, _: &mut Self::Context) -> Self::Result {
        let (gate, outcome) = (self.gate.clone(), Rc::clone(&self.outcome));
        self.jobs.borrow_mut().push(job.clone());
        Box::pin(async move {
            gate.pass().await;
            outcome(&job.stream)
        })
    }
}

#[derive(Default)]
struct FakeSupervisor(Rc<RefCell<Vec<EndReason>>>);

impl Actor for FakeSupervisor {
    type Context = Context<Self>;
}

impl Handler<Ending> for FakeSupervisor {
    type Result = ();

    fn handle(&mut self, ending: Ending, _: &mut Self::Context) {
        self.0.borrow_mut().push(ending.reason);
    }
}

struct Queue {
    addr: Addr<HitCacheActor>,
    state: MemoryState,
    gate: Gate,
    jobs: Rc<RefCell<Vec<StoreStream>>>,
    endings: Rc<RefCell<Vec<EndReason>>>,
    statistics: Arc<Statistics>,
}

const WAITING: usize = 50;
const WORKERS: usize = 4;

impl Queue {
    fn over(state: MemoryState, outcome: impl Fn(&StreamId) -> StreamOutcome + 'static) -> Self {
        let (gate, jobs, endings) = (Gate::new(), Rc::default(), Rc::default());
        let statistics = Statistics::new([SourceName::new("samples").unwrap()]);
        let worker = FakeWorker {
            gate: gate.clone(),
            jobs: Rc::clone(&jobs),
            outcome: Rc::new(outcome),
        }
        .start();
        let supervisor = FakeSupervisor(Rc::clone(&endings)).start();
        let rules = ClaimRules {
            cache_size: std::num::NonZeroUsize::new(1000).unwrap(),
            most_waiting: WAITING,
            most_out: WORKERS,
            failures_in_row: 5,
        };
        let actor = HitCacheActor::new(
            Claims::new(rules, state.start_number()),
            state.highest_ticket().unwrap(),
            Rc::new(state.clone()),
            worker.recipient(),
            supervisor.recipient(),
            Arc::clone(&statistics),
            AgeOff::default(),
        );
        Self {
            addr: actor.start(),
            state,
            gate,
            jobs,
            endings,
            statistics,
        }
    }

    async fn name(&self, numbers: std::ops::Range<u32>) -> Option<u64> {
        let streams = numbers.map(stream).collect();
        self.addr.send(NameStreams { streams }).await.unwrap().unwrap()
    }

    async fn depth(&self) -> QueueDepth {
        self.addr.send(AskQueueDepth).await.unwrap()
    }

    async fn drain(&self, drain: DrainStreams) -> Drained {
        self.addr.send(drain).await.unwrap()
    }

    fn figures(&self) -> crate::statistics::SourceFigures {
        self.statistics.total()
    }
}

fn stream(number: u32) -> StreamId {
    StreamId::new("samples", "content", &format!("{number:064x}")).unwrap()
}

fn stored(_: &StreamId) -> StreamOutcome {
    StreamOutcome::Stored {
        bytes_in: 3,
        bytes_out: 2,
    }
}

async fn locally(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

#[tokio::test(start_paused = true)]
async fn waiting_requests_never_exceed_their_bound_and_feeds_wait_for_admission() {
    locally(async {
        let queue = Queue::over(MemoryState::new(), stored);
        let last = queue.name(0..300).await.unwrap();
        assert_eq!(
            queue.state.counts().pending,
            300,
            "all are rows before the request is answered"
        );
        let depth = queue.depth().await;
        assert_eq!((depth.waiting, depth.out), (WAITING, WORKERS));

        let admitted = queue.addr.send(AwaitAdmission { ticket: last });
        tokio::pin!(admitted);
        tokio::select! {
            _ = &mut admitted => panic!("admitted although 246 streams are rows only"),
            () = tokio::time::sleep(Duration::from_secs(60)) => {}
        }
        assert_eq!(queue.depth().await.waiting, WAITING);
        queue.gate.open();
        admitted.await.unwrap();
        assert!(queue.depth().await.waiting <= WAITING);
        assert_eq!(
            queue.drain(DrainStreams::Everything).await,
            Drained { pending: 0, out: 0 }
        );
        assert_eq!(queue.jobs.borrow().len(), 300);
        assert_eq!(queue.figures().streams_ok, 300);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_asked_for_once_however_often_it_is_named() {
    locally(async {
        let queue = Queue::over(MemoryState::new(), stored);
        queue.name(0..10).await;
        queue.name(0..10).await;
        queue.gate.open();
        queue.drain(DrainStreams::Everything).await;
        assert_eq!(queue.jobs.borrow().len(), 10);
        assert_eq!(queue.figures().duplicates, 10);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_known_is_dropped_and_what_failed_is_not_known() {
    locally(async {
        let queue = Queue::over(MemoryState::new(), |id| match id == &stream(1) {
            true => StreamOutcome::Failed(Fault::corrupt("get stream", id, "wrong hash")),
            false => stored(id),
        });
        queue.gate.open();
        let last = queue.name(0..2).await.unwrap();
        queue.addr.send(AwaitAdmission { ticket: last }).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(
            queue.name(0..1).await,
            None,
            "safe, and so dropped without a look at the rows"
        );
        assert_eq!(queue.state.counts().pending, 1);
        assert_eq!(queue.state.pending_from(0, 9).unwrap()[0].failures, 1);
        tokio::time::sleep(Duration::from_secs(31)).await;
        assert_eq!(
            queue.jobs.borrow().len(),
            3,
            "the failed one was tried again in the same run"
        );
        assert!(queue.endings.borrow().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn missing_streams_are_remembered_and_asked_for_once_more_after_a_day() {
    locally(async {
        let state = MemoryState::new();
        let yesterday = Timestamp::from_micros(Timestamp::now().as_micros() - 25 * 3600 * 1_000_000);
        state
            .record(Change::StreamMissing(stream(7), yesterday))
            .await
            .unwrap();
        state
            .record(Change::StreamMissing(stream(8), Timestamp::now()))
            .await
            .unwrap();
        let queue = Queue::over(state, |id| {
            StreamOutcome::Missing(Fault::missing("get stream", id, "404"))
        });
        queue.gate.open();
        queue.name(0..3).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let counts = queue.state.counts();
        assert_eq!((counts.pending, counts.missing), (0, 5));
        assert_eq!(queue.figures().streams_missing, 4);
        assert!(queue.jobs.borrow().iter().all(|job| job.stream != stream(8)));
        assert!(queue.endings.borrow().is_empty(), "missing is no failure");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_end_the_backup_and_stay_pending() {
    locally(async {
        let queue = Queue::over(MemoryState::new(), |id| {
            StreamOutcome::Failed(Fault::transient("put object", id, "503"))
        });
        queue.gate.open();
        queue.name(0..100).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(*queue.endings.borrow(), [EndReason::StreamFailures]);
        assert!(
            queue.jobs.borrow().len() < 5 + WORKERS,
            "no further jobs are handed out"
        );
        assert_eq!(
            queue.drain(DrainStreams::WhatIsOut).await,
            Drained { pending: 100, out: 0 }
        );
    })
    .await;
}

/// Wrong keys are put right by people, who may start the program many times in between.
#[tokio::test(start_paused = true)]
async fn who_is_denied_access_sets_no_stream_aside_and_does_not_end() {
    locally(async {
        let mut state = MemoryState::new();
        for _ in 0..5 {
            let queue = Queue::over(state.reopen(), |id| {
                let denied = Fault::rejected("put object", id, "403 AccessDenied").of_whoever_asks();
                StreamOutcome::Failed(denied)
            });
            queue.gate.open();
            queue.name(0..20).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            let counts = queue.state.counts();
            assert_eq!((counts.pending, counts.failed), (20, 0));
            assert!(queue.endings.borrow().is_empty());
            state = queue.state.reopen();
        }
        let queue = Queue::over(state, stored);
        queue.gate.open();
        queue.addr.send(AwaitLeftovers).await.unwrap();
        assert_eq!(queue.state.counts().pending, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn after_a_signal_only_what_is_out_is_finished_and_the_next_start_does_the_rest_first() {
    locally(async {
        let queue = Queue::over(MemoryState::new(), stored);
        queue.name(0..20).await;
        let drained = queue.addr.send(DrainStreams::WhatIsOut);
        queue.gate.arrived(WORKERS).await;
        queue.gate.open();
        assert_eq!(drained.await.unwrap(), Drained { pending: 16, out: 0 });

        let next = Queue::over(queue.state.reopen(), stored);
        next.gate.open();
        next.addr.send(AwaitLeftovers).await.unwrap();
        assert_eq!(next.jobs.borrow().len(), 16);
        assert_eq!(next.state.counts().pending, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn leftovers_that_fail_do_not_hold_up_the_feeds_for_ever() {
    locally(async {
        let state = MemoryState::new();
        state
            .name_streams(vec![stream(0), stream(1)], Timestamp::now())
            .await
            .unwrap();
        let queue = Queue::over(state.reopen(), |id| {
            StreamOutcome::Failed(Fault::rejected("get stream", id, "400"))
        });
        queue.gate.open();
        queue.addr.send(AwaitLeftovers).await.unwrap();
        assert_eq!(queue.state.counts().pending, 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn state_that_does_not_work_ends_the_backup() {
    use crate::testkit::{StateCall, Trouble};
    locally(async {
        let queue = Queue::over(MemoryState::new(), stored);
        queue.gate.open();
        queue.state.calls().plan(
            Trouble::fails(StateCall::Record, StateFault::Broken("damaged".into()))
                .on("StreamStored")
                .always(),
        );
        queue.name(0..3).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(
            queue.endings.borrow().first(),
            Some(&EndReason::State(StateFault::Broken("damaged".into())))
        );
        assert_eq!(queue.state.counts().pending, 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_hangs_is_not_waited_for_when_the_queue_is_worked_off() {
    locally(async {
        let queue = Queue::over(MemoryState::new(), stored);
        queue.name(0..WORKERS as u32).await;
        queue.gate.arrived(WORKERS).await;
        // Two of four hang for good: with two more out it is not over.
        let drained = queue.addr.send(DrainStreams::Everything);
        let but_two = queue.addr.send(DrainStreams::EverythingBut(2));
        let (mut drained, mut but_two) = (Box::pin(drained), Box::pin(but_two));
        for _ in 0..100 {
            tokio::task::yield_now().await;
            assert!((&mut but_two).now_or_never().is_none());
        }
        let but_all = queue.drain(DrainStreams::EverythingBut(WORKERS)).await;
        let left = Drained {
            pending: 4,
            out: WORKERS,
        };
        assert_eq!(but_all, left);
        assert_eq!(
            ((&mut drained).await.unwrap(), but_two.await.unwrap()),
            (left, left)
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn where_every_worker_hangs_nothing_more_is_waited_for() {
    locally(async {
        let queue = Queue::over(MemoryState::new(), stored);
        queue.name(0..100).await;
        let drained = queue.drain(DrainStreams::EverythingBut(WORKERS));
        let left = tokio::time::timeout(Duration::from_secs(60), drained).await;
        let left = left.expect("nothing is waited for");
        assert_eq!((left.pending, left.out), (100, WORKERS));
        assert_eq!(queue.depth().await.waiting, WAITING, "they stay");
    })
    .await;
}
