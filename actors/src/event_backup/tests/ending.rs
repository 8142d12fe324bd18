//! A feed under the real supervisor.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use actix::Actor;
use tokio::sync::oneshot;

use super::world::{Running, World, bulk, locally, seconds};
use crate::avro::ModelVersion::V6;
use crate::event_backup::{AskFeedStanding, FeedStanding, PullStanding};
use crate::fault::{Fault, FaultKind};
use crate::ports::LocalState;
use crate::ports::state::StateFault;
use crate::stop::StopFlag;
use crate::stream_worker::progress::{Crew, Progress};
use crate::supervisor::{
    AskStage, EndReason, Ended, Ending, Levers, Member, Pulse, Stage, StageBudgets, SupervisorActor, Watch,
};
use crate::testkit::{Answer, BucketCall, Gate, JournalCall, Trouble};

/// A feed, a queue and a crew of one, watched by the real supervisor.
pub(super) struct Supervised {
    pub(super) supervisor: actix::Addr<SupervisorActor>,
    pub(super) end: oneshot::Receiver<Ended>,
    pub(super) closed: Rc<Cell<bool>>,
    pub(super) worker: Progress,
    pub(super) pulse: Pulse,
    pub(super) panicked: Rc<RefCell<Option<String>>>,
}

impl Supervised {
    pub(super) fn over(world: &World, running: &Running, closing: Result<(), StateFault>) -> Self {
        let (ended, end) = oneshot::channel();
        let (closed, panicked, pulse) = (Rc::new(Cell::new(false)), Rc::default(), Pulse::default());
        let was_closed = Rc::clone(&closed);
        let crew = Crew::of(1);
        let worker = crew.enlist();
        let panic: Rc<RefCell<Option<String>>> = Rc::clone(&panicked);
        let levers = Levers {
            stop_events: running.stop.clone(),
            stop_streams: StopFlag::default(),
            close_state: Box::new(move || {
                Box::pin(async move {
                    was_closed.set(true);
                    closing
                })
            }),
            ended,
            statistics: running.statistics.clone(),
            state: Some(Rc::new(world.state.clone())),
            crew,
            pulse: pulse.clone(),
            panicked: Box::new(move || panic.borrow().clone()),
        };
        let supervisor = SupervisorActor::new(budgets(), levers).start();
        let watch = Watch::Backup {
            feeds: vec![(world.feed.clone(), running.addr.clone())],
            hit_cache: running.hit_cache.clone(),
        };
        supervisor.try_send(watch).unwrap();
        Self {
            supervisor,
            end,
            closed,
            worker,
            pulse,
            panicked,
        }
    }

    pub(super) fn ask_for_the_end(&self, reason: EndReason) {
        self.supervisor.try_send(Ending { reason }).unwrap();
    }

    /// Waits for the end, and makes sure that local state was closed before.
    pub(super) async fn ended(self) -> Ended {
        // Virtual time: whoever is never found out fails the test, and does not hang it.
        let ended = tokio::time::timeout(Duration::from_secs(3600), self.end).await;
        let ended = ended.expect("it ends within an hour").unwrap();
        assert!(self.closed.get(), "local state is closed before the end");
        ended
    }
}

fn budgets() -> StageBudgets {
    StageBudgets {
        events: Duration::from_secs(15),
        hit_cache: Duration::from_secs(1),
        streams: Duration::from_secs(9),
        state: Duration::from_secs(3),
        streams_worked_off: Duration::from_secs(600),
    }
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_panics_ends_the_program_in_good_order() {
    locally(async {
        let world = World::new();
        world.bucket.calls().plan(Trouble::panics(BucketCall::Head));
        world
            .dispatcher
            .answer(&world.feed, Answer::events(20, &bulk(V6, 0..20)));
        let running = world.start().await;
        let ended = Supervised::over(&world, &running, Ok(())).ended().await;
        assert_eq!(ended.reason, EndReason::gone(Member::Feed(world.feed.clone())));
        let next = world.crash();
        let _running = next.start().await;
        seconds(1).await;
        assert_eq!(next.bundles().len(), 1, "nothing of it is lost");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_keeps_to_its_budget_when_everything_hangs() {
    locally(async {
        let world = World::new();
        let never = Gate::new();
        world
            .bucket
            .calls()
            .plan(Trouble::hangs(BucketCall::Head, &never).always());
        world
            .dispatcher
            .answer(&world.feed, Answer::events(20, &bulk(V6, 0..20)));
        world
            .dispatcher
            .answer(&world.feed, Answer::events(3, &bulk(V6, 20..23)).held(&never));
        let running = world.start().await;
        let supervised = Supervised::over(&world, &running, Ok(()));
        never.arrived(2).await;
        let begun = tokio::time::Instant::now();
        supervised.ask_for_the_end(EndReason::Signal);
        let ended = supervised.ended().await;
        assert_eq!((ended.reason, ended.given_up), (EndReason::Signal, true));
        assert!(
            begun.elapsed() <= budgets().after_a_signal(),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(
            world.state.marks().unwrap().len(),
            1,
            "the mark of the pull stays"
        );
        let next = world.crash();
        let _running = next.start().await;
        assert_eq!(next.suspects().len(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_ends_at_once() {
    locally(async {
        let world = World::new();
        let never = Gate::new();
        world
            .dispatcher
            .answer(&world.feed, Answer::events(3, &bulk(V6, 0..3)).held(&never));
        let running = world.start().await;
        let supervised = Supervised::over(&world, &running, Ok(()));
        never.arrived(1).await;
        let begun = tokio::time::Instant::now();
        for _ in 0..2 {
            supervised.ask_for_the_end(EndReason::Signal);
        }
        assert_eq!(supervised.ended().await.reason, EndReason::Signal);
        assert!(begun.elapsed() < Duration::from_secs(1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_could_not_close_local_state_is_no_good_order() {
    locally(async {
        let world = World::new();
        let running = world.start().await;
        let broken = StateFault::Broken("damaged".into());
        let supervised = Supervised::over(&world, &running, Err(broken.clone()));
        supervised.ask_for_the_end(EndReason::Signal);
        assert_eq!(supervised.ended().await.reason, EndReason::State(broken));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_cannot_go_on_ends_the_program_and_the_queue_is_worked_off() {
    locally(async {
        let world = World::with_streams_held(20);
        let running = world.start().await;
        let supervised = Supervised::over(&world, &running, Ok(()));
        seconds(1).await;
        let reason = EndReason::Feed {
            feed: world.feed.clone(),
            why: "its journal cannot be read".to_owned(),
        };
        supervised.ask_for_the_end(reason.clone());
        seconds(100).await;
        assert_eq!(
            supervised.supervisor.send(AskStage).await.unwrap(),
            Stage::Streams
        );
        world.stream_gate.open();
        let ended = supervised.ended().await;
        assert_eq!((ended.reason, ended.given_up), (reason, false));
        assert_eq!(running.stored.borrow().len(), 20, "nothing stays pending");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_signal_cuts_the_working_off_short() {
    locally(async {
        let world = World::with_streams_held(20);
        let running = world.start().await;
        let supervised = Supervised::over(&world, &running, Ok(()));
        seconds(1).await;
        supervised.ask_for_the_end(EndReason::gone(Member::Task));
        seconds(100).await;
        let begun = tokio::time::Instant::now();
        supervised.ask_for_the_end(EndReason::Signal);
        let ended = supervised.ended().await;
        assert_eq!(ended.reason, EndReason::gone(Member::Task));
        assert!(
            begun.elapsed() <= Duration::from_secs(9 + 3),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(world.state.counts().pending, 20, "what was not stored stays");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_signal_during_the_working_off_leaves_what_is_not_out_in_local_state() {
    locally(async {
        let world = World::with_streams_held(20);
        let running = world.start().await;
        let supervised = Supervised::over(&world, &running, Ok(()));
        seconds(1).await;
        supervised.ask_for_the_end(EndReason::gone(Member::Task));
        seconds(5).await;
        supervised.ask_for_the_end(EndReason::Signal);
        seconds(1).await;
        world.stream_gate.open();
        assert!(!supervised.ended().await.given_up);
        assert_eq!(running.stored.borrow().len(), 1, "the one that was out");
        assert_eq!(world.state.counts().pending, 19);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_panics_while_it_ends_is_told_and_is_no_good_order() {
    locally(async {
        let world = World::new();
        world.bucket.calls().plan(Trouble::panics(BucketCall::Head));
        world
            .dispatcher
            .answer(&world.feed, Answer::events(3, &bulk(V6, 0..3)));
        let running = world.start().await;
        let supervised = Supervised::over(&world, &running, Ok(()));
        seconds(2).await;
        supervised.ask_for_the_end(EndReason::Signal);
        let lost = EndReason::gone(Member::Feed(world.feed.clone()));
        assert_eq!(supervised.ended().await.reason, lost);
    })
    .await;
}

async fn standing(running: &Running) -> FeedStanding {
    running.addr.send(AskFeedStanding).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_waits_for_room_is_not_told_as_one_in_flight() {
    let never = Gate::new();
    let answered = |room| {
        let world = World { room, ..World::new() };
        let answer = || Answer::events(3, &bulk(V6, 0..3));
        world.dispatcher.answer(&world.feed, answer());
        world.dispatcher.answer(&world.feed, answer().held(&never));
        let head = Trouble::hangs(BucketCall::Head, &never);
        world.bucket.calls().plan(head.always());
        world
    };
    locally(async {
        let full_journal = answered(1);
        let running = full_journal.start().await;
        seconds(5).await;
        let told = standing(&running).await;
        assert!(matches!(told.pull, PullStanding::NotSent { .. }) && told.is_busy());
        let text = told.to_string();
        assert!(
            text.starts_with("a pull that is not sent") && !text.contains("in flight"),
            "{text}"
        );
    })
    .await;
    locally(async {
        let full_disk = answered(64 << 20);
        let no_room = Fault::new(FaultKind::NoRoom, "receive answer", "fake", "0 bytes are free");
        let fails = Trouble::fails(JournalCall::Receive, no_room);
        full_disk.journal.calls().plan(fails.times(10));
        let running = full_disk.start().await;
        seconds(5).await;
        let told = standing(&running).await;
        assert!(matches!(told.pull, PullStanding::NotSent { .. }), "{told}");
        seconds(30).await;
        let told = standing(&running).await;
        assert!(matches!(told.pull, PullStanding::InFlight(_)), "{told}");
    })
    .await;
}
