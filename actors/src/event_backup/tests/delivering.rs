use super::super::Quiesced;
use super::world::{World, bulk, locally, seconds};
use crate::avro::ModelVersion::V6;
use crate::fault::Fault;
use crate::object_key::ObjectKey;
use crate::ports::LocalState;
use crate::testkit::{Answer, BucketCall, Trouble};
use crate::timestamp::Timestamp;

const FULL: &str = "2025-07-30T06:02:19.5Z-20-key-19";

fn key(world: &World, name: &str) -> ObjectKey {
    ObjectKey::Bundle(format!("{}/{name}", world.feed).parse().unwrap())
}

fn away() -> Fault {
    Fault::transient("put object", "fake", "503")
}

#[tokio::test(start_paused = true)]
async fn a_quiet_feed_is_written_after_the_age_of_a_bundle() {
    locally(async {
        let world = World::new();
        world
            .dispatcher
            .answer(&world.feed, Answer::events(1, &bulk(V6, 0..1)));
        let _running = world.start().await;
        seconds(590).await;
        assert!(world.bundles().is_empty());
        seconds(15).await;
        assert_eq!(
            world.bundles(),
            [("2025-07-30T06:02:00.5Z-1-key-0".to_owned(), 1)]
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_acknowledgement_repeats_the_same_bytes_under_the_same_key() {
    locally(async {
        let world = World::new();
        world
            .dispatcher
            .answer(&world.feed, Answer::events(20, &bulk(V6, 0..20)));
        world
            .bucket
            .calls()
            .plan(Trouble::loses_the_answer(BucketCall::Put, away()).times(2));
        let _running = world.start().await;
        seconds(60).await;
        assert_eq!(world.bundles(), [(FULL.to_owned(), 20)]);
        assert_eq!(world.bulk(FULL), bulk(V6, 0..20));
        assert_eq!(world.state.sealed().unwrap(), []);
        assert_eq!(world.state.batches().unwrap(), []);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_away_loses_nothing_and_is_tried_again_without_a_restart() {
    locally(async {
        let world = World::new();
        world
            .bucket
            .calls()
            .plan(Trouble::fails(BucketCall::Put, away()).always());
        for batch in 0..4 {
            let numbers = batch * 10..batch * 10 + 10;
            world
                .dispatcher
                .answer(&world.feed, Answer::events(10, &bulk(V6, numbers)));
        }
        let running = world.start().await;
        seconds(3600).await;
        assert!(world.bundles().is_empty());
        assert_eq!(
            world.state.batches().unwrap().len(),
            4,
            "the feed went on into the journal"
        );
        world.bucket.calls().calm();
        seconds(61).await;
        assert_eq!(world.bundles().iter().map(|(_, count)| count).sum::<u64>(), 40);
        assert!(running.endings.borrow().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_stop_cannot_write_is_finished_by_the_next_start_before_it_pulls() {
    locally(async {
        let world = World::new();
        world
            .bucket
            .calls()
            .plan(Trouble::fails(BucketCall::Put, away()).always());
        world
            .dispatcher
            .answer(&world.feed, Answer::events(20, &bulk(V6, 0..20)));
        world
            .dispatcher
            .answer(&world.feed, Answer::events(3, &bulk(V6, 20..23)));
        let running = world.start().await;
        seconds(30).await;
        assert_eq!(
            running.quiesce().await,
            Quiesced {
                batches: 2,
                events: 23
            }
        );
        let sealed = world.state.sealed().unwrap();
        assert_eq!(sealed[0].key.to_string(), format!("{}/{FULL}", world.feed));

        let next = world.crash();
        next.bucket.calls().calm();
        let pulls = next.dispatcher.pulls().len();
        next.bucket
            .calls()
            .plan(Trouble::fails(BucketCall::Put, away()).times(2));
        let _running = next.start().await;
        seconds(2).await;
        assert_eq!(next.dispatcher.pulls().len(), pulls, "leftovers first");
        seconds(30).await;
        assert_eq!(
            next.bundles(),
            [
                (FULL.to_owned(), 20),
                ("2025-07-30T06:02:22.5Z-3-key-22".to_owned(), 3)
            ]
        );
        assert!(next.dispatcher.pulls().len() > pulls);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_is_no_longer_configured_is_finished_and_never_pulled() {
    locally(async {
        let world = World::new();
        world
            .bucket
            .calls()
            .plan(Trouble::fails(BucketCall::Put, away()).always());
        world
            .dispatcher
            .answer(&world.feed, Answer::events(3, &bulk(V6, 0..3)));
        let running = world.start().await;
        seconds(5).await;
        running.quiesce().await;
        let pulls = world.dispatcher.pulls().len();
        let next = World {
            configured: false,
            ..world.crash()
        };
        next.bucket.calls().calm();
        let _running = next.start().await;
        seconds(60).await;
        assert_eq!(next.bundles().len(), 1);
        assert_eq!(next.dispatcher.pulls().len(), pulls);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_bundle_is_never_written_over_another() {
    locally(async {
        let world = World::new();
        world
            .bucket
            .plant(key(&world, FULL), &b"another bundle"[..], Timestamp::now());
        world
            .dispatcher
            .answer(&world.feed, Answer::events(20, &bulk(V6, 0..20)));
        let running = world.start().await;
        seconds(5).await;
        running.quiesce().await;
        assert_eq!(
            world.bucket.content(&key(&world, FULL)).unwrap(),
            &b"another bundle"[..]
        );
        assert_eq!(
            world.bundles(),
            [
                ("2025-07-30T06:02:18.5Z-19-key-18".to_owned(), 19),
                ("2025-07-30T06:02:19.5Z-1-key-19".to_owned(), 1),
                (FULL.to_owned(), 20),
            ]
        );
        assert_eq!(world.bulk("2025-07-30T06:02:18.5Z-19-key-18"), bulk(V6, 0..19));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_bundle_of_one_event_finds_another_key_too() {
    locally(async {
        let world = World::new();
        let taken = "2025-07-30T06:02:00.5Z-1-key-0";
        world
            .bucket
            .plant(key(&world, taken), &b"another bundle"[..], Timestamp::now());
        world
            .dispatcher
            .answer(&world.feed, Answer::events(1, &bulk(V6, 0..1)));
        let running = world.start().await;
        seconds(5).await;
        running.quiesce().await;
        assert_eq!(
            world.bucket.content(&key(&world, taken)).unwrap(),
            &b"another bundle"[..]
        );
        assert_eq!(
            world.bundles()[1],
            ("2025-07-30T06:02:00.5Z-2-key-0".to_owned(), 2)
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_bundle_that_is_there_already_is_not_written_again() {
    locally(async {
        let world = World::new();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut gzip, &bulk(V6, 0..20)).unwrap();
        world
            .bucket
            .plant(key(&world, FULL), gzip.finish().unwrap(), Timestamp::now());
        world
            .dispatcher
            .answer(&world.feed, Answer::events(20, &bulk(V6, 0..20)));
        let _running = world.start().await;
        seconds(5).await;
        assert_eq!(world.bundles(), [(FULL.to_owned(), 20)]);
        assert_eq!(world.bucket.writes(&key(&world, FULL)), 0);
        assert_eq!(world.state.batches().unwrap(), []);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_newer_bulk_whose_key_is_taken_is_named_by_its_bytes() {
    locally(async {
        let world = World::new();
        let mut newer = bulk(V6, 0..2);
        // The version of the bulk, and that of its first event behind the count and the size of the block.
        assert_eq!([newer[0], newer[4]], [6 << 1; 2]);
        (newer[0], newer[4]) = (7 << 1, 7 << 1);
        let name = "2025-07-30T06:02:00.5Z-2-key-0";
        world
            .bucket
            .plant(key(&world, name), &b"another bundle"[..], Timestamp::now());
        let renamed = format!(
            "2025-07-30T06:02:00.5Z-2-{}",
            crate::stream_id::Sha256::of(&newer)
        );
        world.dispatcher.answer(&world.feed, Answer::events(2, &newer));
        let running = world.start().await;
        seconds(1).await;
        running.quiesce().await;
        assert_eq!(world.bundles().len(), 2);
        assert_eq!(world.bulk(&renamed), newer);
        assert_eq!(
            world.bucket.content(&key(&world, name)).unwrap(),
            &b"another bundle"[..]
        );

        let next = world.crash();
        next.bucket
            .plant(key(&next, &renamed), &b"damaged"[..], Timestamp::now());
        next.dispatcher.answer(&next.feed, Answer::events(2, &newer));
        let running = next.start().await;
        seconds(1).await;
        assert_eq!(
            running.quiesce().await,
            Quiesced {
                batches: 1,
                events: 2
            },
            "kept until the key is free"
        );
    })
    .await;
}
