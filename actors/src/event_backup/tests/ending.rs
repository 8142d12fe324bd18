//! A feed under the real supervisor.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use actix::Actor;
use tokio::sync::oneshot;

use super::world::{Running, World, bulk, locally, seconds};
use crate::avro::ModelVersion::V6;
use crate::ports::state::StateFault;
use crate::stop::StopFlag;
use crate::supervisor::{EndReason, Ending, Levers, StageBudgets, SupervisorActor, Watch};
use crate::testkit::{Answer, BucketCall, Gate, Trouble};

fn supervise(
    world: &World,
    running: &Running,
    closed: Result<(), StateFault>,
) -> (
    actix::Addr<SupervisorActor>,
    oneshot::Receiver<EndReason>,
    Rc<Cell<bool>>,
) {
    let (ended, end) = oneshot::channel();
    let was_closed = Rc::new(Cell::new(false));
    let closing = Rc::clone(&was_closed);
    let levers = Levers {
        stop_events: running.stop.clone(),
        stop_streams: StopFlag::default(),
        close_state: Box::new(move || {
            Box::pin(async move {
                closing.set(true);
                closed
            })
        }),
        ended,
    };
    let budgets = StageBudgets {
        events: Duration::from_secs(15),
        hit_cache: Duration::from_secs(1),
        streams: Duration::from_secs(9),
        state: Duration::from_secs(3),
        streams_worked_off: Duration::from_secs(600),
    };
    let supervisor = SupervisorActor::new(budgets, levers).start();
    let watch = Watch {
        feeds: vec![(world.feed.clone(), running.addr.clone())],
        hit_cache: running.hit_cache.clone(),
    };
    supervisor.try_send(watch).unwrap();
    (supervisor, end, was_closed)
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
        let (_supervisor, end, closed) = supervise(&world, &running, Ok(()));
        let reason = end.await.unwrap();
        assert!(
            matches!(&reason, EndReason::ActorLost(who) if who.contains("samples/binary/sourced")),
            "{reason}"
        );
        assert!(closed.get(), "local state is closed");
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
        let (supervisor, end, closed) = supervise(&world, &running, Ok(()));
        never.arrived(2).await;
        let begun = tokio::time::Instant::now();
        supervisor
            .try_send(Ending {
                reason: EndReason::Signal,
            })
            .unwrap();
        assert_eq!(end.await.unwrap(), EndReason::Signal);
        assert!(
            begun.elapsed() <= Duration::from_secs(28),
            "{:?}",
            begun.elapsed()
        );
        assert!(closed.get());
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
        let (supervisor, end, closed) = supervise(&world, &running, Ok(()));
        never.arrived(1).await;
        let begun = tokio::time::Instant::now();
        for _ in 0..2 {
            supervisor
                .try_send(Ending {
                    reason: EndReason::Signal,
                })
                .unwrap();
        }
        assert_eq!(end.await.unwrap(), EndReason::Signal);
        assert!(begun.elapsed() < Duration::from_secs(1) && closed.get());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_could_not_close_local_state_is_no_good_order() {
    locally(async {
        let world = World::new();
        let running = world.start().await;
        let broken = StateFault::Broken("damaged".into());
        let (supervisor, end, _) = supervise(&world, &running, Err(broken.clone()));
        supervisor
            .try_send(Ending {
                reason: EndReason::Signal,
            })
            .unwrap();
        assert_eq!(end.await.unwrap(), EndReason::State(broken));
    })
    .await;
}
