//! Marks, batches, seals and uploads.

use super::{Reopen, at, everything, record};
use crate::avro::{BulkVersion, ModelVersion};
use crate::feed::Feed;
use crate::object_key::BundleKey;
use crate::ports::journal::BatchFile;
use crate::ports::state::{
    BatchContents, BatchRow, Change, EventName, FeedPulls, FeedTimes, LocalState, Member, OpenUpload,
    PullMark, SealedBundle, SuspectPull,
};

pub(super) fn feed(action: &str) -> Feed {
    format!("samples/binary/{action}").parse().expect("a feed")
}

fn mark(feed: &Feed, since: i64) -> PullMark {
    PullMark {
        feed: feed.clone(),
        since: at(since),
        until: at(since + 1),
    }
}

fn suspect(feed: &Feed, since: i64, reason: &str) -> SuspectPull {
    SuspectPull {
        feed: feed.clone(),
        since: at(since),
        until: at(since + 5),
        reason: reason.to_owned(),
    }
}

fn batch(feed: &Feed, seq: u64, events: u64) -> BatchRow {
    let name = EventName {
        timestamp: at(9),
        kafka_key: "a/b \u{1F600}".to_owned(),
    };
    BatchRow {
        file: BatchFile {
            feed: feed.clone(),
            seq,
            received: at(3),
        },
        bytes: 1000,
        contents: BatchContents {
            version: BulkVersion::Known(ModelVersion::V6),
            events,
            invalid: 1,
            bulk: 100..900,
            blocks: 101..899,
            last: name,
        },
        streams_named: false,
        taken: 0,
    }
}

pub(super) fn bundle(feed: &Feed, count: u64, members: &[(u64, std::ops::Range<u64>)]) -> SealedBundle {
    let members = members.iter().cloned();
    SealedBundle {
        key: BundleKey::new(feed.clone(), at(9), count, "key"),
        version: BulkVersion::Unknown(7),
        members: members.map(|(seq, events)| Member { seq, events }).collect(),
        copies: 1,
    }
}

pub(super) fn upload(id: &str) -> OpenUpload {
    OpenUpload {
        key: "samples/content/abc".to_owned(),
        bundle: false,
        upload: Some(id.to_owned()),
        since: at(4),
        start: 3,
    }
}

/// Uploads that may have begun.
fn in_doubt(since: i64) -> OpenUpload {
    OpenUpload {
        upload: None,
        since: at(since),
        ..upload("")
    }
}

/// At least one row of every kind that this file is about.
pub(super) async fn fill(state: &impl LocalState) {
    let (mapped, sourced) = (feed("mapped"), feed("sourced"));
    record(
        state,
        [
            Change::PullMarked(mark(&mapped, 1)),
            Change::PullSuspected(suspect(&mapped, 1, "ready:false")),
            Change::BatchJournaled(batch(&sourced, 1, 10), at(4)),
            Change::BatchJournaled(batch(&sourced, 2, 10), at(4)),
            Change::StreamsNamed(sourced.clone(), 1),
            Change::BundleSealed(bundle(&sourced, 15, &[(1, 0..10), (2, 0..5)])),
            Change::UploadBegun(upload("a")),
        ],
    )
    .await;
}

pub(super) async fn a_mark_goes_with_its_batch_or_its_end(under_test: impl Reopen) {
    let state = under_test.state();
    let (mapped, sourced, augmented) = (feed("mapped"), feed("sourced"), feed("augmented"));
    record(
        state,
        [
            Change::PullMarked(mark(&mapped, 1)),
            Change::PullMarked(mark(&mapped, 2)),
            Change::PullMarked(mark(&sourced, 3)),
            Change::PullMarked(mark(&augmented, 4)),
        ],
    )
    .await;
    assert_eq!(everything(state).marks.len(), 3);
    record(
        state,
        [
            Change::BatchJournaled(batch(&sourced, 1, 10), at(4)),
            Change::PullEnded(augmented.clone(), Some(suspect(&augmented, 4, "500"))),
        ],
    )
    .await;
    let seen = everything(state);
    assert_eq!(seen.marks, [mark(&mapped, 2)]);
    assert_eq!(seen.batches, [batch(&sourced, 1, 10)]);
    assert_eq!(seen.suspects, [suspect(&augmented, 4, "500").into()]);
    record(state, [Change::PullEnded(mapped, None)]).await;
    assert_eq!(everything(state).marks, []);
}

pub(super) async fn a_suspect_pull_is_one_row_however_often_it_is_recorded(under_test: impl Reopen) {
    let state = under_test.state();
    let (mapped, sourced) = (feed("mapped"), feed("sourced"));
    record(
        state,
        [
            Change::PullSuspected(suspect(&mapped, 2, "502")),
            Change::PullSuspected(suspect(&sourced, -1, "502")),
            Change::PullSuspected(suspect(&sourced, -1, "502")),
            Change::PullEnded(mapped.clone(), Some(suspect(&mapped, 2, "found at a start"))),
        ],
    )
    .await;
    let suspects = everything(state).suspects;
    let since: Vec<i64> = suspects.iter().map(|span| span.since.as_micros()).collect();
    assert_eq!(since, [-1, 2]);
    let [on_sourced, on_mapped] = &suspects[..] else {
        panic!("{suspects:?}");
    };
    assert_eq!((on_sourced.pulls, on_sourced.until), (1, at(4)));
    assert_eq!(*on_mapped, suspect(&mapped, 2, "found at a start").into());
}

pub(super) async fn a_batch_goes_from_journaled_to_removed(under_test: impl Reopen) {
    let state = under_test.state();
    let (mapped, sourced) = (feed("mapped"), feed("sourced"));
    record(
        state,
        [
            Change::BatchJournaled(batch(&sourced, 300, 1), at(4)),
            Change::BatchJournaled(batch(&mapped, 4, 2), at(4)),
            Change::BatchJournaled(batch(&sourced, 2, 3), at(4)),
            Change::StreamsNamed(sourced.clone(), 300),
            Change::StreamsNamed(mapped.clone(), 300),
        ],
    )
    .await;
    let batches = everything(state).batches;
    let mut sorted = batches.clone();
    sorted.sort_by_key(|row| (row.file.feed.clone(), row.file.seq));
    assert_eq!(batches, sorted, "by feed and in the order of receipt");
    let named = batches.iter().filter(|row| row.streams_named);
    assert_eq!(named.map(|row| row.file.seq).collect::<Vec<_>>(), [300]);
    record(
        state,
        [
            Change::BatchRemoved(sourced.clone(), 300),
            Change::BatchRemoved(sourced, 300),
        ],
    )
    .await;
    assert_eq!(everything(state).batches.len(), 2);
}

pub(super) async fn a_seal_is_replaced_written_and_gone(under_test: impl Reopen) {
    let state = under_test.state();
    let (mapped, sourced) = (feed("mapped"), feed("sourced"));
    let other = bundle(&mapped, 1, &[(1, 0..1)]);
    let first = bundle(&sourced, 15, &[(1, 0..10), (2, 0..5)]);
    let second = bundle(&sourced, 13, &[(1, 0..10), (2, 0..3), (99, 0..1)]);
    record(
        state,
        [
            Change::BatchJournaled(batch(&sourced, 1, 10), at(4)),
            Change::BatchJournaled(batch(&sourced, 2, 10), at(4)),
            Change::BundleSealed(other.clone()),
            Change::BundleSealed(first.clone()),
            Change::BundleSealed(second.clone()),
        ],
    )
    .await;
    assert_eq!(everything(state).sealed.len(), 2);
    record(state, [Change::BundleWritten(first.key, at(5))]).await;
    let seen = everything(state);
    assert!(seen.sealed.contains(&second), "the key of an earlier seal");
    assert!(seen.batches.iter().all(|row| row.taken == 0));
    let written = Change::BundleWritten(second.key, at(5));
    record(state, [written.clone(), written]).await;
    let seen = everything(state);
    assert_eq!(seen.sealed, [other]);
    assert_eq!(
        seen.batches.iter().map(|row| row.taken).collect::<Vec<_>>(),
        [10, 3]
    );
    let under_test = under_test.reopen();
    assert_eq!(everything(under_test.state()), seen);
}

pub(super) async fn the_last_event_and_bundle_of_a_feed_are_known_to_later_starts(under_test: impl Reopen) {
    let state = under_test.state();
    let (mapped, sourced) = (feed("mapped"), feed("sourced"));
    assert_eq!(everything(state).times, []);
    let earlier = bundle(&sourced, 12, &[(1, 0..10)]);
    let later = bundle(&sourced, 13, &[(2, 0..10)]);
    record(
        state,
        [
            Change::PullMarked(mark(&mapped, 1)),
            Change::PullEnded(mapped.clone(), None),
            Change::BatchJournaled(batch(&sourced, 1, 10), at(11)),
            Change::BundleSealed(earlier.clone()),
            Change::BatchJournaled(batch(&sourced, 2, 10), at(12)),
            Change::BundleWritten(earlier.key.clone(), at(13)),
            Change::BatchRemoved(sourced.clone(), 1),
            Change::BatchJournaled(batch(&mapped, 3, 1), at(14)),
            Change::BundleSealed(later.clone()),
            Change::BundleWritten(later.key, at(15)),
            // Not what is sealed.
            Change::BundleWritten(earlier.key, at(16)),
        ],
    )
    .await;
    let times = |feed: Feed, event, bundle: Option<i64>| FeedTimes {
        event: Some(at(event)),
        bundle: bundle.map(at),
        ..FeedTimes::unknown(feed)
    };
    let mut wanted = [times(mapped, 14, None), times(sourced, 12, Some(15))];
    wanted.sort_by(|a, b| a.feed.cmp(&b.feed));
    assert_eq!(everything(state).times, wanted);
    let under_test = under_test.reopen();
    assert_eq!(everything(under_test.state()).times, wanted);
}

pub(super) async fn how_the_pulls_of_feeds_stand_is_known_to_later_starts(under_test: impl Reopen) {
    let state = under_test.state();
    let (mapped, sourced) = (feed("mapped"), feed("sourced"));
    let pulls = |feed: &Feed, last: Option<i64>, behind_since: Option<i64>| FeedPulls {
        feed: feed.clone(),
        last: last.map(at),
        behind_since: behind_since.map(at),
    };
    record(
        state,
        [
            Change::BatchJournaled(batch(&sourced, 1, 10), at(11)),
            Change::PullsNoted(vec![
                pulls(&mapped, Some(12), Some(9)),
                pulls(&sourced, Some(12), Some(10)),
            ]),
            // A start that has not pulled yet, and one feed that has caught up.
            Change::PullsNoted(vec![
                pulls(&mapped, None, Some(9)),
                pulls(&sourced, Some(13), None),
            ]),
        ],
    )
    .await;
    let behind = FeedTimes {
        pull: Some(at(12)),
        behind_since: Some(at(9)),
        ..FeedTimes::unknown(mapped)
    };
    let caught_up = FeedTimes {
        event: Some(at(11)),
        pull: Some(at(13)),
        ..FeedTimes::unknown(sourced)
    };
    let mut wanted = [behind, caught_up];
    wanted.sort_by(|a, b| a.feed.cmp(&b.feed));
    assert_eq!(everything(state).times, wanted);
    let under_test = under_test.reopen();
    assert_eq!(everything(under_test.state()).times, wanted);
}

pub(super) async fn uploads_are_open_until_they_end(under_test: impl Reopen) {
    let state = under_test.state();
    record(
        state,
        [
            Change::UploadBegun(upload("a")),
            Change::UploadBegun(upload("b")),
            Change::UploadBegun(upload("b")),
            Change::UploadEnded(upload("a")),
        ],
    )
    .await;
    assert_eq!(everything(state).uploads, [upload("b")]);
    record(
        state,
        [
            Change::UploadBegun(in_doubt(5)),
            Change::UploadBegun(in_doubt(6)),
            Change::UploadEnded(in_doubt(5)),
            Change::UploadEnded(upload("b")),
        ],
    )
    .await;
    assert_eq!(everything(state).uploads, [in_doubt(6)]);
}

const GAP: i64 = crate::ports::state::SUSPECT_GAP.as_micros() as i64;

pub(super) async fn suspect_pulls_that_adjoin_are_one_span_with_a_count(under_test: impl Reopen) {
    let state = under_test.state();
    let (mapped, sourced) = (feed("mapped"), feed("sourced"));
    let pulls = [
        suspect(&mapped, 10, "502"),
        suspect(&mapped, 15 + GAP, "502"),
        // The same once more, as a start may find it.
        suspect(&mapped, 15 + GAP, "in flight"),
        suspect(&sourced, 16 + GAP, "502"),
        // Of another kind; and one too late to adjoin.
        suspect(&mapped, 30 + GAP, "time-out"),
        suspect(&mapped, 36 + 2 * GAP, "time-out"),
    ];
    record(state, pulls.clone().map(Change::PullSuspected)).await;
    let seen = everything(state).suspects;
    let spans: Vec<_> = seen
        .iter()
        .map(|span| (span.since.as_micros(), span.until.as_micros(), span.pulls))
        .collect();
    assert_eq!(
        spans,
        [
            (10, 20 + GAP, 2),
            (16 + GAP, 21 + GAP, 1),
            (30 + GAP, 35 + GAP, 1),
            (36 + 2 * GAP, 41 + 2 * GAP, 1)
        ]
    );
    // Nothing that a recheck needs is lost: each pull lies in a span of its feed.
    for pull in &pulls {
        let covers = |span: &&crate::ports::state::SuspectSpan| {
            span.feed == pull.feed && span.since <= pull.since && pull.until <= span.until
        };
        assert!(seen.iter().any(|span| covers(&span)), "{pull:?}");
    }
    let feeds = state.suspect_feeds();
    let told: Vec<_> = feeds
        .iter()
        .map(|feed| (feed.feed.clone(), feed.pulls, feed.since, feed.until))
        .collect();
    let newest = &seen[3];
    let sourced_span = &seen[1];
    let mut wanted = vec![
        (mapped, 4, newest.since, newest.until),
        (sourced, 1, sourced_span.since, sourced_span.until),
    ];
    wanted.sort();
    assert_eq!(told, wanted);
    let under_test = under_test.reopen();
    assert_eq!(everything(under_test.state()).suspects, seen);
    assert_eq!(under_test.state().suspect_feeds(), feeds);
}

pub(super) async fn suspect_spans_are_read_in_pages(under_test: impl Reopen) {
    let state = under_test.state();
    let feeds = [feed("mapped"), feed("sourced")];
    for number in 0..10 {
        let pull = suspect(
            &feeds[number % 2],
            i64::try_from(number).unwrap_or_default(),
            &format!("fault {number}"),
        );
        record(state, [Change::PullSuspected(pull)]).await;
    }
    let all = state.suspects_from(None, 99).expect("rows are read");
    assert_eq!(all.len(), 10);
    for spans in [&all[..5], &all[5..]] {
        assert!(
            spans.iter().all(|span| span.feed == spans[0].feed),
            "feed by feed"
        );
        assert!(spans.is_sorted_by_key(|span| span.since), "oldest first");
    }
    let (mut read, mut after) = (Vec::new(), None);
    loop {
        let page = state.suspects_from(after.as_ref().map(|(feed, since)| (feed, *since)), 3);
        let page = page.expect("rows are read");
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 3);
        after = Some((last.feed.clone(), last.since));
        read.extend(page);
    }
    assert_eq!(read, all);
}
