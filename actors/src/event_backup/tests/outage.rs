//! The bucket goes away for an hour and comes back.

use super::ending::Supervised;
use super::world::{World, bulk, locally, seconds};
use crate::avro::ModelVersion::V6;
use crate::fault::Fault;
use crate::ports::LocalState;
use crate::supervisor::EndReason;
use crate::testkit::{Answer, BucketCall, Trouble};

const BATCHES: u32 = 40;

/// A feed with many batches to come, whose journal holds a few of them, and a bucket that is away.
fn without_a_bucket() -> World {
    let world = World {
        room: 300 * 1024,
        ..World::new()
    };
    let away = Fault::transient("head object", "fake", "connection refused");
    for call in [BucketCall::Head, BucketCall::Put] {
        world
            .bucket
            .calls()
            .plan(Trouble::fails(call, away.clone()).always());
    }
    for batch in 0..BATCHES {
        let numbers = batch * 20..batch * 20 + 20;
        let answer = Answer::events(20, &bulk(V6, numbers));
        world.dispatcher.answer(&world.feed, answer);
    }
    world
}

fn events_in_bundles(world: &World) -> u64 {
    world.bundles().iter().map(|(_, count)| count).sum()
}

#[tokio::test(start_paused = true)]
async fn a_bucket_away_for_an_hour_makes_feeds_pause_and_is_caught_up_with_without_a_restart() {
    locally(async {
        let world = without_a_bucket();
        let running = world.start().await;
        let supervised = Supervised::over(&world, &running, Ok(()));
        seconds(600).await;
        let pulls = world.dispatcher.pulls().len();
        assert!(
            (2..20).contains(&pulls),
            "it pauses when the journal is full: {pulls}"
        );
        assert_eq!(world.state.batches().unwrap().len(), pulls);
        seconds(3000).await;
        assert_eq!(world.dispatcher.pulls().len(), pulls, "it still does");
        assert!(world.bundles().is_empty());

        world.bucket.calls().calm();
        seconds(120).await;
        assert_eq!(events_in_bundles(&world), u64::from(BATCHES) * 20);
        assert_eq!(running.stored.borrow().len(), BATCHES as usize * 20);
        assert_eq!(world.state.batches().unwrap(), []);
        assert_eq!(world.suspects(), []);
        assert!(!running.stop.is_raised() && running.endings.borrow().is_empty());
        drop(supervised);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn as_many_failures_in_a_row_end_the_backup_and_the_restart_finishes_everything() {
    locally(async {
        let world = without_a_bucket();
        world.outage.set(true);
        let running = world.start().await;
        let supervised = Supervised::over(&world, &running, Ok(()));
        seconds(60).await;
        assert_eq!(*running.endings.borrow(), [EndReason::StreamFailures]);
        supervised.ask_for_the_end(EndReason::StreamFailures);
        let ended = supervised.ended().await;
        assert_eq!(ended.reason, EndReason::StreamFailures);
        let received = world.dispatcher.pulls().len();
        assert_eq!(world.state.batches().unwrap().len(), received);
        assert!(running.stored.borrow().is_empty() && world.bundles().is_empty());

        let next = world.crash();
        next.bucket.calls().calm();
        next.outage.set(false);
        let again = next.start().await;
        seconds(120).await;
        assert_eq!(events_in_bundles(&next), u64::from(BATCHES) * 20);
        assert_eq!(again.stored.borrow().len(), BATCHES as usize * 20);
        assert_eq!(next.state.counts().pending, 0);
        assert_eq!(next.suspects(), []);
    })
    .await;
}
