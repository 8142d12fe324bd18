//! What a feed shows of itself, sign by sign.

use std::time::Duration;

use super::super::LEAST_EXPECTED;
use super::super::pulling::MOST_BATCHES;
use super::world::{Running, World, bulk, locally, seconds};
use crate::avro::ModelVersion::V6;
use crate::board::feed::{FeedFigures, Waiting};
use crate::fault::{Fault, FaultKind};
use crate::ports::LocalState;
use crate::ports::state::Change;
use crate::testkit::{Answer, BucketCall, Gate, JournalCall, Trouble};

fn figures(running: &Running) -> FeedFigures {
    running.signs.figures()
}

/// A feed with a full answer to come, and a bucket that takes nothing before the gate is opened.
fn held_at_the_bucket() -> (World, Gate) {
    let (world, gate) = (World::new(), Gate::new());
    world
        .bucket
        .calls()
        .plan(Trouble::hangs_after(BucketCall::Put, &gate));
    world
        .dispatcher
        .answer(&world.feed, Answer::events(20, &bulk(V6, 0..20)));
    (world, gate)
}

#[tokio::test(start_paused = true)]
async fn a_bundle_counts_once_the_bucket_has_acknowledged_it_and_then_nothing_waits() {
    locally(async {
        let (world, gate) = held_at_the_bucket();
        let running = world.start().await;
        assert_eq!(figures(&running).last_event, None);
        seconds(30).await;
        let shown = figures(&running);
        assert_eq!((shown.events, shown.bundles, shown.last_bundle), (20, 0, None));
        assert!(shown.last_event.is_some() && shown.last_pull.is_some());
        let batch = &world.state.batches().unwrap()[0];
        let waiting = Waiting {
            oldest: Some(batch.file.received),
            events: 20,
            bytes: batch.bytes,
        };
        assert_eq!(shown.waiting, waiting);
        gate.open();
        seconds(1).await;
        let shown = figures(&running);
        assert_eq!((shown.bundles, shown.waiting), (1, Waiting::default()));
        assert!(shown.last_bundle >= shown.last_event);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_bundle_that_cannot_be_written_is_trouble_until_it_is() {
    locally(async {
        let world = World::new();
        let away = Fault::transient("put object", "fake", "connection refused");
        let away = Trouble::fails(BucketCall::Put, away).always();
        world.bucket.calls().plan(away);
        let answer = Answer::events(20, &bulk(V6, 0..20));
        world.dispatcher.answer(&world.feed, answer);
        let running = world.start().await;
        seconds(60).await;
        let shown = figures(&running);
        let trouble = shown.trouble.unwrap_or_default();
        assert!(trouble.contains("connection refused"), "{trouble}");
        assert!(shown.errors["bundle"] > 1);
        assert_eq!((shown.last_bundle, shown.waiting.events), (None, 20));
        assert_eq!(shown.behind_since, None, "it goes on pulling, and is caught up");
        world.bucket.calls().calm();
        seconds(120).await;
        let after = figures(&running);
        assert_eq!((after.trouble, after.bundles), (None, 1));
        assert_eq!(after.errors, shown.errors, "counts never fall");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn ready_follows_the_answers_and_a_full_one_puts_the_feed_behind_until_a_short_one() {
    locally(async {
        let (world, gates) = (World::new(), [(); 3].map(|()| Gate::new()));
        let answers = [
            Answer::not_ready(),
            Answer::events(20, &bulk(V6, 0..20)).held(&gates[0]),
            Answer::events(3, &bulk(V6, 20..23)).held(&gates[1]),
            Answer::suspect("500").held(&gates[2]),
        ];
        for answer in answers {
            world.dispatcher.answer(&world.feed, answer);
        }
        let running = world.start().await;
        assert_eq!(figures(&running).ready, None, "nobody has said anything");
        gates[0].arrived(1).await;
        assert_eq!(figures(&running).ready, Some(false));
        gates[0].open();
        gates[1].arrived(1).await;
        let shown = figures(&running);
        assert_eq!(shown.ready, Some(true));
        assert!(shown.behind_since.is_some(), "as many as were asked for");
        gates[1].open();
        gates[2].arrived(1).await;
        assert_eq!(figures(&running).behind_since, None, "caught up");
        let pulled = figures(&running).last_pull;
        gates[2].open();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let shown = figures(&running);
        assert!(shown.behind_since.is_some(), "a pull failed");
        assert_eq!((shown.last_pull, shown.suspect_pulls), (pulled, 1));
        assert_eq!((shown.errors["pull"], world.suspects().len()), (1, 1));
        seconds(60).await;
        let shown = figures(&running);
        assert_eq!((shown.behind_since, shown.trouble), (None, None), "it came back");
        assert!(shown.last_pull > pulled);
        assert_eq!(shown.suspect_pulls, running.figures().suspect_pulls);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_full_journal_is_backpressure_and_puts_the_feed_behind() {
    locally(async {
        let (world, gate) = held_at_the_bucket();
        let world = World { room: 1, ..world };
        let running = world.start().await;
        seconds(1).await;
        let before = figures(&running).backpressure;
        seconds(100).await;
        let shown = figures(&running);
        assert_eq!(shown.backpressure - before, Duration::from_secs(100));
        assert!(shown.behind_since.is_some());
        gate.open();
        seconds(30).await;
        let after = figures(&running);
        assert!(after.backpressure < shown.backpressure + Duration::from_secs(1));
        assert_eq!(after.behind_since, None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_backpressure_as_well() {
    locally(async {
        let world = World::new();
        let full = Fault::new(FaultKind::NoRoom, "receive answer", "fake", "no room");
        let full = Trouble::fails(JournalCall::Receive, full).times(10);
        world.journal.calls().plan(full);
        let running = world.start().await;
        seconds(8).await;
        let shown = figures(&running);
        assert!(shown.behind_since.is_some());
        seconds(8).await;
        let shown = figures(&running);
        assert_eq!(shown.backpressure, Duration::from_secs(10));
        assert_eq!(shown.behind_since, None, "it pulled, and is caught up");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_larger_than_expected_and_waits_for_room_is_backpressure() {
    locally(async {
        let (world, gate) = held_at_the_bucket();
        // What is expected has room beside the first answer; what comes has not.
        let room = LEAST_EXPECTED + 64 * 1024;
        let large = bulk(V6, 0..2000);
        assert!(large.len() as u64 > room);
        let world = World {
            room,
            channel_size: 5000,
            ..world
        };
        world.dispatcher.answer(&world.feed, Answer::events(2000, &large));
        let running = world.start().await;
        seconds(1).await;
        let before = figures(&running);
        assert_eq!(
            (before.events, world.dispatcher.pulls().len()),
            (20, 2),
            "it comes"
        );
        seconds(100).await;
        let shown = figures(&running);
        assert_eq!(shown.backpressure - before.backpressure, Duration::from_secs(100));
        assert!(shown.behind_since.is_some());
        gate.open();
        seconds(30).await;
        let after = figures(&running);
        assert_eq!(after.events, 2020);
        assert!(after.backpressure < shown.backpressure + Duration::from_secs(1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_feed_with_as_many_batches_as_it_may_hold_is_held_up_until_the_bucket_takes_them() {
    locally(async {
        let (world, gate) = held_at_the_bucket();
        for _ in 1..MOST_BATCHES {
            world
                .dispatcher
                .answer(&world.feed, Answer::events(1, &bulk(V6, 0..1)));
        }
        let running = world.start().await;
        while world.state.batches().unwrap().len() < MOST_BATCHES {
            seconds(10).await;
        }
        seconds(1).await;
        let (before, pulls) = (figures(&running).backpressure, world.dispatcher.pulls().len());
        seconds(100).await;
        let shown = figures(&running);
        assert_eq!(shown.backpressure - before, Duration::from_secs(100));
        assert!(shown.behind_since.is_some());
        assert_eq!(world.dispatcher.pulls().len(), pulls);
        gate.open();
        seconds(30).await;
        let after = figures(&running);
        assert!(after.backpressure < shown.backpressure + Duration::from_secs(1));
        assert!(world.dispatcher.pulls().len() > pulls);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_queue_of_streams_is_backpressure() {
    locally(async {
        let world = World {
            channel_size: 5,
            ..World::with_streams_held(20)
        };
        let running = world.start().await;
        seconds(1).await;
        let before = figures(&running).backpressure;
        seconds(100).await;
        let shown = figures(&running);
        assert_eq!(shown.backpressure - before, Duration::from_secs(100));
        assert!(shown.behind_since.is_some());
        world.stream_gate.open();
        seconds(30).await;
        assert_eq!(figures(&running).behind_since, None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_start_left_waits_from_the_beginning_and_a_feed_that_does_not_pull_is_not_behind() {
    locally(async {
        let (world, gate) = held_at_the_bucket();
        let first = world.start().await;
        seconds(5).await;
        let held = figures(&first).waiting;
        let again = Gate::new();
        let crashed = World {
            configured: false,
            ..world.crash()
        };
        crashed
            .bucket
            .calls()
            .plan(Trouble::hangs(BucketCall::Head, &again));
        let running = crashed.start().await;
        again.arrived(1).await;
        assert_eq!(figures(&running).waiting, held);
        assert!(!figures(&running).configured);
        gate.open();
        again.open();
        seconds(60).await;
        let shown = figures(&running);
        assert_eq!((shown.waiting, shown.bundles), (Waiting::default(), 1));
        assert_eq!((shown.behind_since, shown.ready), (None, None));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_feed_is_held_up_by_what_an_earlier_start_left_until_it_is_in_the_bucket() {
    locally(async {
        let (world, _away) = held_at_the_bucket();
        let _first = world.start().await;
        seconds(5).await;
        let (crashed, again) = (world.crash(), Gate::new());
        crashed
            .bucket
            .calls()
            .plan(Trouble::hangs(BucketCall::Head, &again));
        let running = crashed.start().await;
        again.arrived(1).await;
        let before = figures(&running).backpressure;
        seconds(100).await;
        let shown = figures(&running);
        assert_eq!(shown.backpressure - before, Duration::from_secs(100));
        assert!(shown.behind_since.is_some());
        again.open();
        seconds(30).await;
        let after = figures(&running);
        assert_eq!((after.waiting, after.bundles), (Waiting::default(), 1));
        assert!(after.backpressure < shown.backpressure + Duration::from_secs(1));
        assert_eq!(after.behind_since, None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_to_tell_since_when_a_feed_is_behind_and_when_it_was_last_pulled() {
    locally(async {
        let (world, gate) = held_at_the_bucket();
        // The full answer that it has leaves no room for another.
        let mut world = World { room: 1, ..world };
        let running = world.start().await;
        seconds(61).await;
        let before = figures(&running);
        assert!(before.behind_since.is_some() && before.last_pull.is_some());
        // However often it is killed, and however soon.
        for _ in 0..3 {
            world = world.crash();
            let running = world.start().await;
            seconds(1).await;
            let shown = figures(&running);
            assert_eq!(
                (shown.behind_since, shown.last_pull),
                (before.behind_since, before.last_pull)
            );
        }
        world = world.crash();
        gate.open();
        let running = world.start().await;
        seconds(121).await;
        assert_eq!(figures(&running).behind_since, None, "caught up");
        let pulled = world.state.feed_times().unwrap()[0].pull;
        assert!(pulled > before.last_pull);
        world = world.crash();
        let shown = figures(&world.start().await);
        assert_eq!((shown.behind_since, shown.last_pull), (None, pulled));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn how_pulls_stand_is_noted_once_a_minute_and_when_a_stop_begins_and_not_with_every_pull() {
    locally(async {
        let world = World::new();
        let running = world.start().await;
        seconds(630).await;
        let noted = || {
            let changes = world.state.changes().into_iter();
            changes
                .filter(|change| matches!(change, Change::PullsNoted(_)))
                .count()
        };
        assert_eq!(noted(), 10);
        assert!(world.dispatcher.pulls().len() > 50);
        let pulled = figures(&running).last_pull;
        running.stop.raise();
        seconds(1).await;
        assert_eq!(noted(), 11);
        assert!(world.state.feed_times().unwrap()[0].pull >= pulled);
        seconds(300).await;
        assert_eq!(noted(), 11, "what is written later finds no state to write to");
    })
    .await;
}
