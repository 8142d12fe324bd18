use super::super::Quiesced;
use super::world::{World, bulk, events, locally, seconds, stream};
use crate::avro::ModelVersion::{V5, V6};
use crate::fault::{Fault, FaultKind};
use crate::ports::LocalState;
use crate::ports::state::{Change, StateFault};
use crate::supervisor::EndReason;
use crate::testkit::{Answer, Gate, JournalCall, StateCall, Trouble};

fn kinds(changes: &[Change]) -> Vec<&'static str> {
    changes
        .iter()
        .map(|change| match change {
            Change::PullMarked(_) => "marked",
            Change::PullEnded(_, None) => "ended",
            Change::PullEnded(_, Some(_)) => "ended suspect",
            Change::PullSuspected(_) => "suspected",
            Change::BatchJournaled(..) => "journaled",
            Change::StreamsNamed(..) => "named",
            Change::BundleSealed(_) => "sealed",
            Change::BundleWritten(..) => "written",
            Change::BatchRemoved(..) => "removed",
            _ => "stream",
        })
        .filter(|kind| *kind != "stream")
        .collect()
}

#[tokio::test(start_paused = true)]
async fn facts_become_durable_in_the_order_that_a_crash_can_finish() {
    locally(async {
        let world = World::new();
        world
            .dispatcher
            .answer(&world.feed, Answer::events(20, &bulk(V6, 0..20)));
        let _running = world.start().await;
        seconds(2).await;
        let changes = kinds(&world.state.changes());
        let of_batch: Vec<_> = changes
            .iter()
            .filter(|kind| !["marked", "ended"].contains(*kind))
            .collect();
        assert_eq!(changes[..2], ["marked", "journaled"]);
        let at = |kind| changes.iter().position(|other| *other == kind).unwrap();
        assert!(
            at("journaled") < at("sealed") && at("sealed") < at("written") && at("written") < at("removed")
        );
        assert!(at("named") < at("removed"));
        assert_eq!(of_batch.len(), 5, "{changes:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn streams_are_asked_for_as_soon_as_their_batch_is_journaled() {
    locally(async {
        let world = World::new();
        world
            .dispatcher
            .answer(&world.feed, Answer::events(3, &bulk(V6, 0..3)));
        let running = world.start().await;
        seconds(1).await;
        assert_eq!(*running.stored.borrow(), [stream(0), stream(1), stream(2)]);
        assert!(world.bundles().is_empty(), "three events are no full bundle");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_next_pull_waits_until_the_streams_of_the_last_batch_are_admitted() {
    locally(async {
        let world = World {
            channel_size: 5,
            stream_gate: Gate::new(),
            ..World::new()
        };
        world
            .dispatcher
            .answer(&world.feed, Answer::events(20, &bulk(V6, 0..20)));
        let _running = world.start().await;
        seconds(3600).await;
        assert_eq!(world.dispatcher.pulls().len(), 1);
        assert_eq!(
            world.bundles().len(),
            1,
            "the bundle does not wait for the streams"
        );
        world.stream_gate.open();
        seconds(1).await;
        assert!(world.dispatcher.pulls().len() > 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_in_the_journal_and_not_known_to_be_durable_is_left_to_the_next_start() {
    locally(async {
        let world = World::new();
        let answer = Answer::events(3, &bulk(V6, 0..3));
        world.dispatcher.answer(&world.feed, answer);
        let fault = Fault::transient("keep answer", "a directory", "it cannot be synced");
        let trouble = Trouble::loses_the_answer(JournalCall::Keep, fault);
        world.journal.calls().plan(trouble);
        let running = world.start().await;
        seconds(5).await;
        let reasons = running.endings.borrow().clone();
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        assert!(matches!(reasons[0], EndReason::Feed { .. }), "{reasons:?}");
        assert_eq!(world.dispatcher.pulls().len(), 1);
        assert_eq!(world.suspects().len(), 0);
        assert_eq!(
            world.state.marks().unwrap().len(),
            1,
            "it goes when it is adopted"
        );
        let world = world.crash();
        let running = world.start().await;
        seconds(5).await;
        assert_eq!(running.figures().events_received, 3, "adopted");
        assert_eq!(world.suspects().len(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn deadlines_are_one_second_after_events_and_grow_while_idle() {
    locally(async {
        let world = World::new();
        world
            .dispatcher
            .answer(&world.feed, Answer::events(20, &bulk(V6, 0..20)));
        let _running = world.start().await;
        seconds(40).await;
        let pulls = world.dispatcher.pulls();
        let deadlines: Vec<_> = pulls.iter().map(|pull| pull.deadline.as_secs()).collect();
        assert_eq!(deadlines[..7], [1, 1, 2, 4, 8, 10, 10]);
        assert!(
            pulls.iter().all(|pull| pull.count == 20),
            "min(EVENT_BATCH_SIZE, 1000)"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn only_outcomes_that_may_have_cost_events_are_suspect() {
    locally(async {
        let world = World::new();
        for answer in [
            Answer::refused("connection refused"),
            Answer::refused("422 bad parameters"),
            Answer::empty(),
            Answer::suspect("500 fetch failed"),
            Answer::events(3, &bulk(V6, 0..3)).breaking_off_after(100),
            Answer::empty(),
            Answer::not_ready(),
            Answer::not_ready(),
            Answer::body("text/html", "<html>not a multipart</html>"),
            Answer::events(5, &bulk(V6, 0..3)),
        ] {
            world.dispatcher.answer(&world.feed, answer);
        }
        let running = world.start().await;
        seconds(300).await;
        let reasons: Vec<String> = world
            .suspects()
            .into_iter()
            .map(|suspect| suspect.reason)
            .collect();
        assert_eq!(reasons.len(), 5, "{reasons:#?}");
        assert!(reasons[0].contains("500 fetch failed"));
        assert!(reasons[2].contains("`ready` turned from true to false"));
        assert!(reasons[3].contains("could not be understood"));
        assert!(reasons[4].contains("says 5 events, its answer has 3"));
        assert_eq!(running.figures().suspect_pulls, 5);
        assert!(
            world.state.marks().unwrap().len() <= 1,
            "only the pull in flight is marked"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_dispatcher_is_no_hot_loop() {
    locally(async {
        let world = World::new();
        for _ in 0..50 {
            world.dispatcher.answer(&world.feed, Answer::suspect("500"));
        }
        let _running = world.start().await;
        seconds(60).await;
        assert!(
            world.dispatcher.pulls().len() <= 7,
            "{}",
            world.dispatcher.pulls().len()
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_understood_is_kept_aside() {
    locally(async {
        let world = World::new();
        let body = b"--b\r\nContent-Disposition: form-data; name=\"events\"\r\n\r\ncut off".as_slice();
        world
            .dispatcher
            .answer(&world.feed, Answer::body("multipart/form-data; boundary=b", body));
        let running = world.start().await;
        seconds(5).await;
        let aside = world.journal.aside();
        assert_eq!(aside.len(), 1);
        assert_eq!(&aside[0].content[..], body);
        assert_eq!(running.figures().events_failed, 1);
        assert!(running.endings.borrow().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_pull_in_flight_is_waited_for_and_journaled_by_an_orderly_stop() {
    locally(async {
        let world = World::new();
        let gate = Gate::new();
        world
            .dispatcher
            .answer(&world.feed, Answer::events(3, &bulk(V6, 0..3)).held(&gate));
        let running = world.start().await;
        gate.arrived(1).await;
        let quiesced = running.quiesce();
        tokio::pin!(quiesced);
        tokio::select! {
            _ = &mut quiesced => panic!("the stop did not wait for the pull in flight"),
            () = seconds(10) => {}
        }
        gate.open();
        assert_eq!(quiesced.await, Quiesced::default());
        assert_eq!(
            world.bundles(),
            [("2025-07-30T06:02:02.5Z-3-key-2".to_owned(), 3)]
        );
        assert_eq!(world.dispatcher.pulls().len(), 1, "no new pull is sent");
        assert!(world.suspects().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rows_that_a_full_disk_hides_hold_a_start_up_and_do_not_keep_it_from_starting() {
    locally(async {
        let world = World::with_streams_held(3);
        let _running = world.start().await;
        seconds(1).await;
        assert_eq!(world.state.batches().unwrap().len(), 1);
        let world = world.crash();
        let full = StateFault::Full("it is being opened again".to_owned());
        for (method, times) in [("batches", 3), ("marks", 2), ("sealed", 4)] {
            let hidden = Trouble::fails(StateCall::Read, full.clone());
            world.state.calls().plan(hidden.on(method).times(times));
        }
        world.stream_gate.open();
        let _running = world.start().await;
        seconds(60).await;
        assert_eq!(world.bundles().len(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_mark_found_at_a_start_is_a_suspect_pull() {
    locally(async {
        let world = World::new();
        let gate = Gate::new();
        world
            .dispatcher
            .answer(&world.feed, Answer::events(3, &bulk(V6, 0..3)).held(&gate));
        let _killed = world.start().await;
        gate.arrived(1).await;
        let next = world.crash();
        let _running = next.start().await;
        seconds(1).await;
        let suspects = next.suspects();
        assert_eq!(suspects.len(), 1);
        assert!(suspects[0].reason.contains("in flight when the program ended"));
        assert!(
            suspects[0].until.since(suspects[0].since) >= std::time::Duration::from_secs(1),
            "the dispatcher goes on collecting until the deadline of the pull"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_file_without_a_row_is_adopted_and_its_pull_is_not_suspect() {
    locally(async {
        let world = World::new();
        world
            .dispatcher
            .answer(&world.feed, Answer::events(3, &bulk(V6, 0..3)));
        let broken = StateFault::Broken("killed".into());
        world.state.calls().plan(
            Trouble::fails(StateCall::Record, broken.clone())
                .on("BatchJournaled")
                .always(),
        );
        let killed = world.start().await;
        seconds(1).await;
        assert_eq!(*killed.endings.borrow(), [EndReason::State(broken)]);
        world.state.calls().calm();

        let next = world.crash();
        let running = next.start().await;
        seconds(1).await;
        assert_eq!(next.bundles(), [("2025-07-30T06:02:02.5Z-3-key-2".to_owned(), 3)]);
        assert_eq!(running.stored.borrow().len(), 3);
        assert_eq!(next.suspects(), []);
        assert_eq!(next.state.batches().unwrap(), []);
        let journaled = next.state.changes().into_iter().find_map(|change| match change {
            Change::BatchJournaled(row, at) => Some((row.file.received, at)),
            _ => None,
        });
        let (received, told) = journaled.unwrap();
        assert_eq!(told, received, "it is no event of this start");
        assert_eq!(next.state.feed_times().unwrap()[0].event, Some(received));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_newer_version_is_stored_byte_for_byte_and_never_joined() {
    locally(async {
        let world = World::new();
        let mut newer = bulk(V6, 0..3);
        newer[0] = 7 << 1;
        newer.splice(newer.len() - 1.., [4, 0xde, 0xad, 0xbe, 0xef, 0]);
        for bulk in [bulk(V6, 0..2), newer.clone(), bulk(V6, 5..7)] {
            world.dispatcher.answer(&world.feed, Answer::events(3, &bulk));
        }
        let running = world.start().await;
        seconds(5).await;
        let names: Vec<_> = world.bundles().into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            names.len(),
            2,
            "the version before is closed, the one after waits: {names:?}"
        );
        assert!(names.iter().any(|name| world.bulk(name) == newer));
        assert!(running.figures().events_unknown > 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_change_of_version_closes_the_bundle() {
    locally(async {
        let world = World::new();
        world
            .dispatcher
            .answer(&world.feed, Answer::events(2, &bulk(V5, 0..2)));
        world
            .dispatcher
            .answer(&world.feed, Answer::events(2, &bulk(V6, 2..4)));
        let running = world.start().await;
        seconds(5).await;
        assert_eq!(
            world.bundles(),
            [("2025-07-30T06:02:01.5Z-2-key-1".to_owned(), 2)]
        );
        assert_eq!(world.bulk("2025-07-30T06:02:01.5Z-2-key-1"), bulk(V5, 0..2));
        running.quiesce().await;
        assert_eq!(world.bulk("2025-07-30T06:02:03.5Z-2-key-3"), bulk(V6, 2..4));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_every_event_are_what_the_dispatcher_sent() {
    locally(async {
        let world = World::new();
        for numbers in [0..9, 9..19, 19..30] {
            world
                .dispatcher
                .answer(&world.feed, Answer::events(10, &bulk(V6, numbers)).in_chunks(7));
        }
        let _running = world.start().await;
        seconds(2).await;
        assert_eq!(
            world.bundles(),
            [("2025-07-30T06:02:29.5Z-30-key-29".to_owned(), 30)]
        );
        let joined = world.bulk("2025-07-30T06:02:29.5Z-30-key-29");
        let all = events(V6, 0..30).concat();
        let found: usize = events(V6, 0..30)
            .iter()
            .filter(|e| joined.windows(e.len()).any(|w| w == **e))
            .count();
        assert_eq!(found, 30);
        assert!(joined.len() < all.len() + 30);
    })
    .await;
}

fn no_room() -> Fault {
    Fault::new(FaultKind::NoRoom, "receive answer", "fake", "0 bytes are free")
}

#[tokio::test(start_paused = true)]
async fn no_pull_is_sent_while_the_disk_has_no_room_and_then_it_goes_on() {
    locally(async {
        let world = World::new();
        world
            .journal
            .calls()
            .plan(Trouble::fails(JournalCall::Receive, no_room()).times(100));
        world
            .dispatcher
            .answer(&world.feed, Answer::events(20, &bulk(V6, 0..20)));
        let running = world.start().await;
        seconds(99).await;
        assert_eq!(world.dispatcher.pulls().len(), 0);
        assert_eq!(world.state.marks().unwrap(), [], "nothing is outstanding");
        seconds(5).await;
        assert_eq!(world.bundles().len(), 1);
        assert_eq!(running.figures().suspect_pulls, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_waits_for_room_on_the_disk_writes_what_it_holds_and_stops_at_once() {
    locally(async {
        let world = World::new();
        world
            .dispatcher
            .answer(&world.feed, Answer::events(3, &bulk(V6, 0..3)));
        world.journal.calls().plan(
            Trouble::fails(JournalCall::Receive, no_room())
                .sparing(1)
                .always(),
        );
        let running = world.start().await;
        seconds(5).await;
        assert_eq!(world.bundles().len(), 1, "only bundles make room");
        let begun = tokio::time::Instant::now();
        assert_eq!(running.quiesce().await, Quiesced::default());
        assert!(begun.elapsed() < std::time::Duration::from_millis(10));
    })
    .await;
}
