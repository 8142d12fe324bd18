//! Whoever is lost without a word is found out by the real supervisor.

use std::time::Duration;

use actix::prelude::*;

use super::super::EventBackupActor;
use super::ending::Supervised;
use super::world::{World, bulk, locally, seconds, stream};
use crate::avro::ModelVersion::V6;
use crate::hit_cache::HitCacheActor;
use crate::ports::LocalState;
use crate::stream_id::StreamId;
use crate::stream_worker::progress::LONGEST_SILENCE;
use crate::supervisor::{EndReason, Loss, Member};
use crate::testkit::Answer;

/// An actor that is told so looks at no further message, though it is there.
#[derive(Message)]
#[rtype(result = "()")]
struct FallSilent;

macro_rules! can_fall_silent {
    ($actor:ty) => {
        impl Handler<FallSilent> for $actor {
            type Result = ();

            fn handle(&mut self, _: FallSilent, ctx: &mut Self::Context) {
                ctx.wait(std::future::pending::<()>().into_actor(self));
            }
        }
    };
}

can_fall_silent!(EventBackupActor);
can_fall_silent!(HitCacheActor);

fn worker(number: usize, stream: Option<StreamId>) -> Member {
    Member::StreamWorker { number, stream }
}

fn silent(reason: &EndReason) -> (Member, Duration) {
    match reason {
        EndReason::ActorLost {
            who,
            loss: Loss::Silent(time),
        } => (who.clone(), *time),
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_feed_or_a_queue_that_no_longer_answers_is_found_out_within_half_a_minute() {
    for queue in [false, true] {
        locally(async {
            let world = World::new();
            let running = world.start().await;
            let supervised = Supervised::over(&world, &running, Ok(()));
            seconds(3600).await;
            let begun = tokio::time::Instant::now();
            let expected = match queue {
                true => {
                    running.hit_cache.try_send(FallSilent).unwrap();
                    Member::HitCache
                }
                false => {
                    running.addr.try_send(FallSilent).unwrap();
                    Member::Feed(world.feed.clone())
                }
            };
            let ended = supervised.ended().await;
            assert_eq!(silent(&ended.reason), (expected, Duration::from_secs(30)));
            assert!(ended.given_up, "it was waited for, and did not end");
            let stages = Duration::from_secs(15 + 1 + if queue { 9 } else { 600 } + 3);
            assert!(begun.elapsed() < Duration::from_secs(35) + stages);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_other_feeds_and_the_streams_are_finished_when_one_actor_is_lost() {
    locally(async {
        let world = World::new();
        world
            .dispatcher
            .answer(&world.feed, Answer::events(3, &bulk(V6, 0..3)));
        let running = world.start().await;
        let supervised = Supervised::over(&world, &running, Ok(()));
        seconds(5).await;
        *supervised.panicked.borrow_mut() = Some("reporter: index out of bounds".to_owned());
        let ended = supervised.ended().await;
        assert_eq!(
            ended.reason.to_string(),
            "a task of the actors' thread panicked: reporter: index out of bounds"
        );
        assert!(!ended.given_up);
        assert_eq!(world.bundles().len(), 1);
        assert_eq!(running.stored.borrow().len(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_gets_nothing_done_is_found_out_and_a_slow_one_is_not() {
    locally(async {
        let world = World::new();
        let running = world.start().await;
        let supervised = Supervised::over(&world, &running, Ok(()));
        let worker = supervised.worker.clone();
        worker.begin(&stream(7));
        for _ in 0..100 {
            seconds(60).await;
            worker.step();
        }
        assert!(!running.stop.is_raised());
        let ended = supervised.ended().await;
        let (who, time) = silent(&ended.reason);
        assert_eq!(who, self::worker(1, Some(stream(7))));
        assert_eq!(time.as_secs() / 10, LONGEST_SILENCE.as_secs() / 10);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_hangs_is_not_waited_for_when_only_its_stream_is_out() {
    locally(async {
        let world = World::with_streams_held(3);
        let running = world.start().await;
        let supervised = Supervised::over(&world, &running, Ok(()));
        world.stream_gate.arrived(1).await;
        supervised.worker.begin(&stream(0));
        let begun = tokio::time::Instant::now();
        let ended = supervised.ended().await;
        assert_eq!(silent(&ended.reason).0, worker(1, Some(stream(0))));
        assert!(ended.given_up, "its thread must not be waited for");
        assert!(begun.elapsed() < LONGEST_SILENCE + Duration::from_secs(20));
        assert_eq!(world.state.counts().pending, 3, "what was not stored stays");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_thread_has_ended_is_found_out() {
    locally(async {
        let world = World::new();
        let running = world.start().await;
        let supervised = Supervised::over(&world, &running, Ok(()));
        seconds(5).await;
        supervised.worker.leave();
        let ended = supervised.ended().await;
        assert_eq!(ended.reason, EndReason::gone(worker(1, None)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_pulse_beats_for_as_long_as_the_supervisor_turns() {
    locally(async {
        let world = World::new();
        let running = world.start().await;
        let supervised = Supervised::over(&world, &running, Ok(()));
        seconds(60).await;
        let beats = supervised.pulse.beats();
        assert!((59..=62).contains(&beats), "{beats}");
    })
    .await;
}
