//! A download that breaks off, or changes on the way.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_broken_download_goes_on_at_the_byte_reached() {
    let content = packed(12 * MIB);
    let scene = Scene::holding(&content);
    let place = 7 * MIB + 1;
    let held = Content::from(content.clone()).breaking_at(place, 1);
    scene.dispatcher.hold(&scene.job.stream, held);
    assert!(matches!(scene.store().await, StreamOutcome::Stored { .. }));
    assert_eq!(scene.downloads(), [0, place]);
    assert!(scene.restored() == content);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_after_the_last_byte_needs_no_range() {
    let content = packed(1000);
    let scene = Scene::holding(&content);
    let held = Content::from(content.clone()).breaking_at(1000, 1);
    scene.dispatcher.hold(&scene.job.stream, held);
    assert!(matches!(scene.store().await, StreamOutcome::Stored { .. }));
    assert_eq!(scene.downloads(), [0]);
}

#[tokio::test(start_paused = true)]
async fn resumes_without_progress_are_bounded() {
    let scene = Scene::holding(&packed(6 * MIB));
    let held = Content::from(packed(6 * MIB)).breaking_at(100, u32::MAX);
    scene.dispatcher.hold(&scene.job.stream, held);
    let outcome = scene.store().await;
    assert!(outcome.is_outage());
    assert!(format!("{outcome:?}").contains("attempts: 4"), "{outcome:?}");
    assert_eq!(scene.downloads(), [0, 100, 100, 100]);
    scene.nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_large_stream_outlives_more_breaks_than_one_request_may_fail() {
    let content = packed(24 * MIB);
    let scene = Scene::holding(&content);
    scene.dispatcher.chunk(MIB);
    for broken in 0..10 {
        let breaks = Trouble::fails(DispatcherCall::Chunk, scene.outage());
        scene.dispatcher.calls().plan(breaks.sparing(2 + broken * 3));
    }
    assert!(matches!(scene.store().await, StreamOutcome::Stored { .. }));
    assert_eq!(scene.downloads().len(), 11);
    assert!(scene.restored() == content);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_goes_while_it_is_read_is_missing() {
    let content = packed(12 * MIB);
    let scene = Scene::holding(&content);
    let held = Content::from(content).breaking_at(7 * MIB, 1);
    scene.dispatcher.hold(&scene.job.stream, held);
    let second = Gate::new();
    let calls = scene.dispatcher.calls();
    calls.plan(Trouble::hangs(DispatcherCall::Download, &second).sparing(1));
    let age_off = async {
        second.arrived(1).await;
        scene.dispatcher.lose(&scene.job.stream);
        second.open();
    };
    let (outcome, ()) = tokio::join!(scene.store(), age_off);
    assert!(matches!(outcome, StreamOutcome::Missing(_)), "{outcome:?}");
    assert_eq!(scene.log.begun(), 1);
    scene.nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_changes_its_length_is_started_over() {
    let content = packed(12 * MIB);
    let scene = Scene::holding(&content);
    let held = Content::from(packed(13 * MIB)).breaking_at(7 * MIB, 1);
    scene.dispatcher.hold(&scene.job.stream, held);
    let second = Gate::new();
    let calls = scene.dispatcher.calls();
    calls.plan(Trouble::hangs(DispatcherCall::Download, &second).sparing(1));
    let change = async {
        second.arrived(1).await;
        scene.hold(&content);
        second.open();
    };
    let (outcome, ()) = tokio::join!(scene.store(), change);
    assert!(matches!(outcome, StreamOutcome::Stored { .. }), "{outcome:?}");
    assert_eq!(scene.downloads(), [0, 7 * MIB, 0]);
    assert!(scene.restored() == content);
}
