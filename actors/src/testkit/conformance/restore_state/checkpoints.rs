//! Restores that begin, go on and are finished; lanes and done bundles.

use super::{Reopen, at, begin, feed, id, record};
use crate::feed::Feed;
use crate::ports::restore_state::{
    BundleDone, EventFigures, KeyCensus, LaneMark, RestoreChange, RestoreId, RestoreState, StreamFigures,
    Unfinished,
};
use crate::ports::state::StateFault;

fn mark(key: &str, restored: u64) -> LaneMark {
    let figures = StreamFigures {
        restored,
        bytes: restored * 100,
        ..StreamFigures::default()
    };
    let mut passed = KeyCensus::default();
    passed.take(key);
    LaneMark {
        key: key.to_owned(),
        figures,
        passed,
    }
}

fn reached(lane: &str, key: &str, restored: u64) -> RestoreChange {
    RestoreChange::LaneReached(lane.to_owned(), mark(key, restored))
}

fn bundle(feed: &Feed, time: i64, size: u64) -> BundleDone {
    let timestamp = at(time);
    BundleDone {
        feed: feed.clone(),
        timestamp,
        key: format!("{feed}/{timestamp}-1000-key-{time}.avro.gz"),
        size,
        figures: EventFigures {
            bundles: 1,
            events: 1000,
            accepted: 990,
            refused: 7,
            filtered: 2,
            dead: 1,
            bytes: size,
            unreadable: 0,
            gone: 0,
        },
    }
}

async fn done(state: &impl RestoreState, bundle: BundleDone) {
    record(state, [RestoreChange::BundleDone(bundle)]).await;
}

fn is_done(state: &impl RestoreState, bundle: &BundleDone) -> Option<EventFigures> {
    let BundleDone {
        feed,
        timestamp,
        key,
        size,
        ..
    } = bundle;
    state
        .done(feed, *timestamp, key, *size)
        .expect("rows can be read")
}

fn sum(state: &impl RestoreState, feed: &Feed) -> EventFigures {
    state.feed_figures(feed).expect("rows can be read")
}

fn lane(state: &impl RestoreState, lane: &str) -> Option<LaneMark> {
    state.lane(lane).expect("rows can be read")
}

fn unfinished(state: &impl RestoreState, id: &RestoreId) -> Option<Unfinished> {
    state.unfinished(id).expect("rows can be read")
}

pub(super) async fn a_restore_is_taken_up_until_it_is_finished(under_test: impl Reopen) {
    let (id, mapped) = (id("all"), feed("samples", "mapped"));
    let state = under_test.state();
    assert_eq!(unfinished(state, &id), None);
    let first = begin(state, &id, 10).await;
    assert_eq!((first.begun, first.starts), (at(10), 1));
    record(state, [reached("samples/", "samples/content/4", 3)]).await;
    let one = bundle(&mapped, 5, 77);
    done(state, one.clone()).await;

    let under_test = under_test.reopen();
    let state = under_test.state();
    let looked_at = unfinished(state, &id).expect("it is not finished");
    assert_eq!((looked_at.begun, looked_at.starts), (at(10), 1));
    let second = begin(state, &id, 20).await;
    assert_eq!((second.begun, second.starts), (at(10), 2));
    assert_eq!(unfinished(state, &id), Some(second));
    assert_eq!(lane(state, "samples/"), Some(mark("samples/content/4", 3)));
    assert_eq!(is_done(state, &one), Some(one.figures));
    assert_eq!(sum(state, &mapped), one.figures);
    record(state, [RestoreChange::Finished]).await;
    assert_eq!(unfinished(state, &id), None);

    let under_test = under_test.reopen();
    let state = under_test.state();
    assert_eq!(unfinished(state, &id), None);
    let anew = begin(state, &id, 30).await;
    assert_eq!((anew.begun, anew.starts), (at(30), 1));
    assert_eq!(lane(state, "samples/"), None);
    assert_eq!(is_done(state, &one), None);
    assert_eq!(sum(state, &mapped), EventFigures::default());
}

fn is_refused<T: std::fmt::Debug>(outcome: Result<T, StateFault>) {
    assert!(matches!(outcome, Err(StateFault::Broken(_))), "{outcome:?}");
}

async fn takes_no_checkpoints(state: &impl RestoreState) {
    is_refused(state.record(reached("samples/", "k", 1)).await);
    let one = bundle(&feed("samples", "mapped"), 5, 77);
    is_refused(state.record(RestoreChange::BundleDone(one.clone())).await);
    is_refused(state.lane("samples/"));
    is_refused(state.lanes(""));
    is_refused(state.done(&one.feed, one.timestamp, &one.key, one.size));
    is_refused(state.feed_figures(&one.feed));
}

pub(super) async fn a_restore_that_is_finished_takes_no_more_checkpoints(under_test: impl Reopen) {
    let state = under_test.state();
    begin(state, &id("all"), 1).await;
    record(state, [RestoreChange::Finished]).await;
    takes_no_checkpoints(state).await;
    // Whoever was not told says it again.
    record(state, [RestoreChange::Finished]).await;
    assert_eq!(unfinished(state, &id("all")), None);
    begin(state, &id("all"), 2).await;
    record(state, [reached("samples/", "k", 1)]).await;
}

pub(super) async fn without_a_restore_there_are_no_checkpoints(under_test: impl Reopen) {
    takes_no_checkpoints(under_test.state()).await;
    is_refused(under_test.state().record(RestoreChange::Finished).await);
    begin(under_test.state(), &id("all"), 1).await;
    let under_test = under_test.reopen();
    takes_no_checkpoints(under_test.state()).await;
    is_refused(under_test.state().record(RestoreChange::Finished).await);
    assert!(unfinished(under_test.state(), &id("all")).is_some());
}

pub(super) async fn restores_that_differ_in_anything_have_checkpoints_of_their_own(under_test: impl Reopen) {
    let state = under_test.state();
    let all = id("all");
    let others = [
        id("samples"),
        RestoreId {
            bucket: "another".to_owned(),
            ..all.clone()
        },
        RestoreId {
            target: "another".to_owned(),
            ..all.clone()
        },
        // The same text, cut elsewhere.
        RestoreId {
            bucket: all.target.clone(),
            target: all.bucket.clone(),
            ..all.clone()
        },
    ];
    let mapped = feed("samples", "mapped");
    let one = bundle(&mapped, 5, 77);
    begin(state, &all, 1).await;
    record(state, [reached("samples/", "all", 1)]).await;
    done(state, one.clone()).await;
    for (number, other) in others.iter().enumerate() {
        assert_eq!(begin(state, other, 2).await.starts, 1);
        assert_eq!(lane(state, "samples/"), None);
        assert_eq!(is_done(state, &one), None);
        assert_eq!(sum(state, &mapped), EventFigures::default());
        record(state, [reached("samples/", &number.to_string(), 2)]).await;
    }
    record(state, [RestoreChange::Finished]).await;
    let under_test = under_test.reopen();
    let state = under_test.state();
    assert_eq!(begin(state, &all, 3).await.starts, 2);
    assert_eq!(lane(state, "samples/"), Some(mark("all", 1)));
    assert_eq!(is_done(state, &one), Some(one.figures));
    let [unfinished_ones @ .., finished] = &others;
    for (number, other) in unfinished_ones.iter().enumerate() {
        assert_eq!(begin(state, other, 4).await.starts, 2);
        assert_eq!(lane(state, "samples/"), Some(mark(&number.to_string(), 2)));
    }
    assert_eq!(unfinished(state, finished), None);
}

pub(super) async fn from_the_start_drops_the_checkpoints_of_this_restore_only(under_test: impl Reopen) {
    let state = under_test.state();
    let mapped = feed("samples", "mapped");
    let one = bundle(&mapped, 5, 77);
    for (id, key) in [(id("all"), "a"), (id("samples"), "s")] {
        begin(state, &id, 1).await;
        record(state, [reached("samples/", key, 1)]).await;
        done(state, one.clone()).await;
    }
    let anew = state.begin(&id("all"), true, at(9)).await;
    let anew = anew.expect("a restore begins");
    assert_eq!((anew.begun, anew.starts), (at(9), 1));
    let is_empty = |state: &_| {
        assert_eq!(lane(state, "samples/"), None);
        assert_eq!(is_done(state, &one), None);
        assert_eq!(sum(state, &mapped), EventFigures::default());
    };
    is_empty(state);
    let under_test = under_test.reopen();
    let state = under_test.state();
    let again = begin(state, &id("all"), 10).await;
    assert_eq!((again.begun, again.starts), (at(9), 2));
    is_empty(state);
    begin(state, &id("samples"), 10).await;
    assert_eq!(lane(state, "samples/"), Some(mark("s", 1)));
    assert_eq!(sum(state, &mapped), one.figures);
    let never_begun = state.begin(&id("other"), true, at(11)).await;
    assert_eq!(never_begun.expect("a restore begins").starts, 1);
}

pub(super) async fn the_mark_of_a_lane_is_the_last_one(under_test: impl Reopen) {
    let state = under_test.state();
    begin(state, &id("all"), 1).await;
    for number in 1..=20 {
        record(
            state,
            [reached("samples/content/0", &format!("k{number}"), number)],
        )
        .await;
        assert_eq!(
            lane(state, "samples/content/0"),
            Some(mark(&format!("k{number}"), number))
        );
    }
    assert_eq!(lane(state, "samples/content/"), None);
    let under_test = under_test.reopen();
    begin(under_test.state(), &id("all"), 2).await;
    assert_eq!(
        lane(under_test.state(), "samples/content/0"),
        Some(mark("k20", 20))
    );
}

pub(super) async fn lanes_are_found_by_what_their_names_begin_with(under_test: impl Reopen) {
    let state = under_test.state();
    begin(state, &id("all"), 1).await;
    let names = [
        "a/content/",
        "a/content/0",
        "a/text/",
        "a",
        "ab/content/",
        "ä/content/",
    ];
    for name in names {
        record(state, [reached(name, name, 1)]).await;
    }
    let found = |prefix: &str| -> Vec<String> {
        let lanes = state.lanes(prefix).expect("rows can be read");
        for (name, found) in &lanes {
            assert_eq!(*found, mark(name, 1));
        }
        lanes.into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(
        found(""),
        [
            "a",
            "a/content/",
            "a/content/0",
            "a/text/",
            "ab/content/",
            "ä/content/"
        ]
    );
    assert_eq!(found("a/"), ["a/content/", "a/content/0", "a/text/"]);
    assert_eq!(found("a/content/"), ["a/content/", "a/content/0"]);
    assert_eq!(found("ä"), ["ä/content/"]);
    assert_eq!(found("b"), [""; 0]);
}

pub(super) async fn a_bundle_of_another_size_or_time_or_feed_is_not_done(under_test: impl Reopen) {
    let state = under_test.state();
    begin(state, &id("all"), 1).await;
    let one = bundle(&feed("samples", "mapped"), 5, 77);
    done(state, one.clone()).await;
    assert_eq!(is_done(state, &one), Some(one.figures));
    let others = [
        BundleDone {
            size: 78,
            ..one.clone()
        },
        BundleDone {
            timestamp: at(6),
            ..one.clone()
        },
        BundleDone {
            feed: feed("samples", "sourced"),
            ..one.clone()
        },
        BundleDone {
            key: format!("{}x", one.key),
            ..one.clone()
        },
        // The same text, cut elsewhere.
        BundleDone {
            key: format!("{}7", one.key),
            size: 7,
            ..one.clone()
        },
    ];
    for other in &others {
        assert_eq!(is_done(state, other), None, "{other:?}");
    }
    assert_eq!(sum(state, &feed("samples", "sourced")), EventFigures::default());
}

pub(super) async fn a_bundle_that_is_done_twice_counts_once(under_test: impl Reopen) {
    let state = under_test.state();
    begin(state, &id("all"), 1).await;
    let mapped = feed("samples", "mapped");
    let (one, mut two) = (bundle(&mapped, 5, 77), bundle(&mapped, 6, 78));
    for _ in 0..2 {
        done(state, one.clone()).await;
        done(state, two.clone()).await;
    }
    two.figures.refused = 0;
    two.figures.accepted = 997;
    let under_test = under_test.reopen();
    let state = under_test.state();
    begin(state, &id("all"), 2).await;
    done(state, two.clone()).await;
    let both: EventFigures = [one.figures, two.figures].into_iter().sum();
    assert_eq!(both.bundles, 2);
    assert_eq!(sum(state, &mapped), both, "the last figures stand");
    assert_eq!(is_done(state, &two), Some(two.figures));
    let under_test = under_test.reopen();
    begin(under_test.state(), &id("all"), 3).await;
    assert_eq!(sum(under_test.state(), &mapped), both);
}

async fn all_are_done(under_test: impl Reopen, bundles: &[BundleDone]) {
    let state = under_test.state();
    begin(state, &id("all"), 1).await;
    let feeds: std::collections::BTreeSet<_> = bundles.iter().map(|bundle| &bundle.feed).collect();
    for one in bundles {
        assert_eq!(is_done(state, one), None);
        done(state, one.clone()).await;
    }
    let check = |state: &_| {
        for one in bundles {
            assert_eq!(is_done(state, one), Some(one.figures), "{}", one.key);
        }
        for feed in &feeds {
            let of_feed = bundles.iter().filter(|bundle| bundle.feed == **feed);
            assert_eq!(sum(state, feed), of_feed.map(|bundle| bundle.figures).sum());
        }
    };
    check(state);
    let under_test = under_test.reopen();
    begin(under_test.state(), &id("all"), 2).await;
    check(under_test.state());
    // A few of them again, as after a crash.
    for one in bundles.iter().step_by(7) {
        done(under_test.state(), one.clone()).await;
    }
    check(under_test.state());
}

pub(super) async fn bundles_are_found_in_whatever_order_they_were_done(under_test: impl Reopen) {
    let feeds = [feed("samples", "mapped"), feed("samples!", "mapped")];
    // 0, 13, 26, … modulo 211: neither up nor down; before and after the epoch.
    let scattered = (0..211).map(|number| (number * 13) % 211 - 100);
    let bundles = scattered.flat_map(|number| {
        feeds
            .each_ref()
            .map(|feed| bundle(feed, number * 1_000_000, number.unsigned_abs()))
    });
    all_are_done(under_test, &bundles.collect::<Vec<_>>()).await;
}

pub(super) async fn bundles_of_the_same_instant_are_found(under_test: impl Reopen) {
    let mapped = feed("samples", "mapped");
    let bundles = (0..150).map(|number| BundleDone {
        key: format!("{mapped}/key-{number}"),
        ..bundle(&mapped, 5, 77)
    });
    all_are_done(under_test, &bundles.collect::<Vec<_>>()).await;
}

pub(super) async fn bundles_done_at_once_all_count(under_test: impl Reopen) {
    let state = under_test.state();
    begin(state, &id("all"), 1).await;
    let feeds = ["mapped", "sourced", "enriched"].map(|action| feed("samples", action));
    let feed_by_feed = feeds.iter().map(|feed| async move {
        for number in 0..50 {
            done(state, bundle(feed, number, 1)).await;
        }
    });
    let lane_by_lane = (0..20).map(|lane| async move {
        for number in 0..5 {
            let lane = format!("samples/content/{lane}");
            record(state, [reached(&lane, &format!("{number}"), number)]).await;
        }
    });
    let feed_by_feed = futures_util::future::join_all(feed_by_feed);
    futures_util::future::join(feed_by_feed, futures_util::future::join_all(lane_by_lane)).await;
    let check = |state: &_| {
        for feed in &feeds {
            assert_eq!(sum(state, feed).bundles, 50);
        }
        for number in 0..20 {
            assert_eq!(
                lane(state, &format!("samples/content/{number}")),
                Some(mark("4", 4))
            );
        }
    };
    check(state);
    let under_test = under_test.reopen();
    begin(under_test.state(), &id("all"), 2).await;
    check(under_test.state());
}
