use super::world::{World, bulk, locally, seconds, stream};
use crate::avro::ModelVersion::V6;
use crate::fault::Fault;
use crate::ports::LocalState;
use crate::ports::journal::BatchFile;
use crate::supervisor::EndReason;
use crate::testkit::{Answer, BucketCall, JournalCall, Trouble};
use crate::timestamp::Timestamp;

/// How often a file is tried to be read before it is put aside.
const TRIES: u32 = 4;

fn broken(call: JournalCall) -> Trouble<JournalCall> {
    Trouble::fails(
        call,
        Fault::transient("open answer", "fake", "input/output error"),
    )
}

/// A world whose next pulls bring three events each.
fn world_with(answers: u32) -> World {
    let world = World::new();
    for answer in 0..answers {
        let numbers = answer * 3..answer * 3 + 3;
        world
            .dispatcher
            .answer(&world.feed, Answer::events(3, &bulk(V6, numbers)));
    }
    world
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_to_read_for_a_while_costs_nothing() {
    locally(async {
        let world = world_with(1);
        world
            .journal
            .calls()
            .plan(broken(JournalCall::Open).times(TRIES - 1));
        let running = world.start().await;
        seconds(10).await;
        assert_eq!(running.stored.borrow().len(), 3);
        assert_eq!(world.state.batches().unwrap().len(), 1);
        assert!(world.journal.aside().is_empty() && world.suspects().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_read_back_is_put_aside_and_its_feed_goes_on() {
    locally(async {
        let world = world_with(2);
        world.journal.calls().plan(broken(JournalCall::Open).times(TRIES));
        let running = world.start().await;
        seconds(10).await;
        assert_eq!(world.journal.aside().len(), 1);
        assert_eq!(world.suspects().len(), 1);
        let stored = [stream(3), stream(4), stream(5)];
        assert_eq!(*running.stored.borrow(), stored, "of the answer after it");
        assert_eq!(running.figures().events_failed, 1);
        assert!(running.endings.borrow().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_streams_cannot_be_named_is_put_aside_and_its_feed_goes_on() {
    locally(async {
        let world = world_with(2);
        world
            .journal
            .calls()
            .plan(broken(JournalCall::Open).sparing(1).times(1 + TRIES));
        let running = world.start().await;
        seconds(10).await;
        let aside = world.journal.aside();
        assert_eq!(aside.len(), 1);
        assert!(aside[0].reason.contains("input/output error"));
        let reasons: Vec<_> = world
            .suspects()
            .into_iter()
            .map(|suspect| suspect.reason)
            .collect();
        assert_eq!(reasons.len(), 1);
        assert!(reasons[0].contains("could not be read"), "{reasons:?}");
        let batches = world.state.batches().unwrap();
        assert!(batches.iter().all(|row| row.file != aside[0].file) && batches.len() == 1);
        assert_eq!(running.stored.borrow().len(), 3);
        assert!(running.endings.borrow().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_sealed_batch_that_cannot_be_read_is_put_aside_and_the_rest_is_sealed_anew() {
    locally(async {
        let world = world_with(2);
        let away = Fault::transient("put object", "fake", "503");
        world
            .bucket
            .calls()
            .plan(Trouble::fails(BucketCall::Put, away).always());
        let running = world.start().await;
        seconds(5).await;
        let quiesced = running.quiesce().await;
        assert_eq!((quiesced.batches, quiesced.events), (2, 6));
        assert_eq!(world.state.sealed().unwrap()[0].members.len(), 2);

        let next = world.crash();
        next.bucket.calls().calm();
        next.journal
            .calls()
            .plan(broken(JournalCall::Open).times(1 + TRIES));
        let running = next.start().await;
        seconds(20).await;
        assert_eq!(next.journal.aside().len(), 1);
        assert_eq!(next.bundles(), [("2025-07-30T06:02:05.5Z-3-key-5".to_owned(), 3)]);
        assert_eq!(next.state.batches().unwrap(), []);
        assert_eq!(next.state.sealed().unwrap(), []);
        assert_eq!(next.suspects().len(), 1);
        assert!(running.endings.borrow().is_empty());
        assert!(next.dispatcher.pulls().len() > 2, "and it pulls again");
    })
    .await;
}

fn planted(world: &World) -> BatchFile {
    let file = BatchFile {
        feed: world.feed.clone(),
        seq: 7,
        received: Timestamp::from_micros(1),
    };
    world.journal.plant(&file, &b"whole, but nobody can read it"[..]);
    file
}

#[tokio::test(start_paused = true)]
async fn a_file_without_a_row_that_cannot_be_read_is_put_aside_at_the_start() {
    locally(async {
        let world = world_with(1);
        let file = planted(&world);
        world.journal.calls().plan(broken(JournalCall::Open).times(TRIES));
        let running = world.start().await;
        seconds(10).await;
        assert_eq!(world.journal.aside()[0].file, file);
        assert_eq!(world.suspects()[0].since, file.received);
        assert_eq!(running.stored.borrow().len(), 3, "everything goes on");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_can_be_neither_read_nor_moved_ends_the_program_and_stays() {
    locally(async {
        let world = world_with(1);
        let file = planted(&world);
        for call in [JournalCall::Open, JournalCall::PutAside] {
            world.journal.calls().plan(broken(call).on(&file.feed).always());
        }
        let running = world.start().await;
        seconds(10).await;
        let endings = running.endings.borrow();
        let [EndReason::Feed { feed, why }] = &endings[..] else {
            panic!("{endings:?}");
        };
        assert_eq!(*feed, world.feed);
        assert!(
            why.contains("neither read") && why.contains("check the volume"),
            "{why}"
        );
        assert!(world.journal.content(&file).is_some());
        assert_eq!(world.dispatcher.pulls().len(), 0);
    })
    .await;
}
