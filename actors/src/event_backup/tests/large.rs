//! Bundles that are written in parts.

use super::world::{Running, World, bulk, locally, seconds};
use crate::avro::ModelVersion::V6;
use crate::fault::Fault;
use crate::object_key::ObjectKey;
use crate::ports::{Bucket, LocalState};
use crate::stream_id::Sha256;
use crate::testkit::{Answer, BucketCall, Gate, Trouble};
use crate::timestamp::Timestamp;

const NAME: &str = "2025-07-30T06:02:00.5Z-2-key-0";

/// A bulk of a version that is not known yet, which does not shrink and fills more than a part.
fn newer_bulk() -> Vec<u8> {
    let mut newer = bulk(V6, 0..2);
    (newer[0], newer[4]) = (7 << 1, 7 << 1);
    let mut random = 1_u64;
    newer.extend((0..6 << 20).map(|_| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 56) as u8
    }));
    newer
}

fn key(world: &World) -> ObjectKey {
    ObjectKey::Bundle(format!("{}/{NAME}", world.feed).parse().unwrap())
}

fn lost() -> Fault {
    Fault::transient("complete upload", "fake", "time-out")
}

fn no_upload_is_left(world: &World) {
    assert_eq!(world.bucket.open_uploads(), []);
    assert_eq!(world.state.open_uploads().unwrap(), []);
}

/// Starts the feed, and does `meanwhile` when its upload has begun and nothing is complete yet.
async fn start_and(world: &World, newer: &[u8], meanwhile: impl AsyncFnOnce()) -> Running {
    world.dispatcher.answer(&world.feed, Answer::events(2, newer));
    let gate = Gate::new();
    let held = Trouble::hangs(BucketCall::UploadPart, &gate);
    world.bucket.calls().plan(held);
    let running = world.start().await;
    gate.arrived(1).await;
    meanwhile().await;
    gate.open();
    running
}

#[tokio::test(start_paused = true)]
async fn a_large_bundle_whose_upload_lapsed_is_written_anew_at_once() {
    locally(async {
        let (world, newer) = (World::new(), newer_bulk());
        let abort_all = async || {
            for (key, id) in world.bucket.open_uploads() {
                world.bucket.abort_upload(&key, &id).await.unwrap();
            }
        };
        let running = start_and(&world, &newer, abort_all).await;
        running.quiesce().await;
        assert!(world.bulk(NAME) == newer);
        assert_eq!(world.bucket.calls().count(BucketCall::BeginUpload), 2);
        no_upload_is_left(&world);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_large_bundle_whose_completion_was_not_acknowledged_is_recognised() {
    locally(async {
        let (world, newer) = (World::new(), newer_bulk());
        let calls = world.bucket.calls();
        calls.plan(Trouble::loses_the_answer(BucketCall::CompleteUpload, lost()));
        let running = start_and(&world, &newer, async || {}).await;
        running.quiesce().await;
        assert_eq!(world.bundles(), [(NAME.to_owned(), 2)]);
        assert!(world.bulk(NAME) == newer);
        assert_eq!(world.bucket.writes(&key(&world)), 1);
        let length = world.bucket.content(&key(&world)).unwrap().len() as u64;
        assert_eq!(running.figures().bytes_out, length);
        no_upload_is_left(&world);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_another_process_wrote_meanwhile_is_not_taken_for_the_bundle_however_long_it_is() {
    locally(async {
        let newer = newer_bulk();
        let alone = World::new();
        alone.dispatcher.answer(&alone.feed, Answer::events(2, &newer));
        let running = alone.start().await;
        seconds(1).await;
        running.quiesce().await;
        let length = alone.bucket.content(&key(&alone)).unwrap().len();

        let world = World::new();
        let others = vec![0; length];
        let running = start_and(&world, &newer, async || {
            world.bucket.plant(key(&world), others.clone(), Timestamp::now());
            let fails = Trouble::fails(BucketCall::CompleteUpload, lost());
            world.bucket.calls().plan(fails);
        })
        .await;
        running.quiesce().await;
        assert!(world.bucket.content(&key(&world)).unwrap() == others);
        let renamed = format!("2025-07-30T06:02:00.5Z-2-{}", Sha256::of(&newer));
        assert_eq!(world.bundles().len(), 2);
        assert!(world.bulk(&renamed) == newer);
        assert_eq!(running.figures().bytes_out, length as u64, "counted once");
        no_upload_is_left(&world);
    })
    .await;
}
