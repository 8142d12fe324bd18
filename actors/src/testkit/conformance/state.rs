//! The promises of [`LocalState`].

mod pulls;
mod streams;

use crate::ports::state::{Change, LocalState, StateCounts, StateFault};
use crate::stream_id::StreamId;
use crate::timestamp::Timestamp;

/// An implementation that can be closed and opened again.
pub trait Reopen {
    /// What is put to the test.
    type State: LocalState;

    /// The state as opened last.
    fn state(&self) -> &Self::State;

    /// Ends this start, in whatever way, and begins the next.
    #[must_use]
    fn reopen(self) -> Self;
}

/// Runs the suite; `make` makes an empty state at its first start.
pub async fn all<R: Reopen>(make: impl Fn() -> R) {
    starts_are_counted(make());
    pulls::a_mark_goes_with_its_batch_or_its_end(make()).await;
    pulls::a_suspect_pull_is_one_row_however_often_it_is_recorded(make()).await;
    pulls::suspect_pulls_that_adjoin_are_one_span_with_a_count(make()).await;
    pulls::suspect_spans_are_read_in_pages(make()).await;
    pulls::a_batch_goes_from_journaled_to_removed(make()).await;
    pulls::a_seal_is_replaced_written_and_gone(make()).await;
    pulls::the_last_event_and_bundle_of_a_feed_are_known_to_later_starts(make()).await;
    pulls::how_the_pulls_of_feeds_stand_is_known_to_later_starts(make()).await;
    pulls::uploads_are_open_until_they_end(make()).await;
    streams::a_stream_is_pending_once_under_a_rising_ticket(make()).await;
    streams::tickets_rise_over_restarts_whatever_was_settled(make()).await;
    streams::a_failed_stream_keeps_its_place_and_counts_its_starts(make()).await;
    streams::a_stream_set_aside_is_not_named_again(make()).await;
    streams::a_missing_stream_rests_and_is_revived_once(make()).await;
    streams::a_missing_stream_that_was_set_aside_is_not_revived(make()).await;
    streams::a_missing_stream_that_is_set_aside_is_missing_no_more(make()).await;
    streams::missing_streams_are_revived_in_slices(make()).await;
    streams::what_is_put_back_is_pending_with_its_counts_begun_anew(make()).await;
    streams::what_is_put_back_keeps_the_ticket_that_it_has(make()).await;
    streams::failed_and_missing_streams_are_read_in_pages(make()).await;
    streams::a_stored_stream_leaves_nothing_behind(make()).await;
    changes_about_nothing_change_nothing(make()).await;
    changes_made_at_once_all_count(make()).await;
    the_next_start_sees_everything(make()).await;
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn stream(number: u32) -> StreamId {
    StreamId::new("samples", "content", &format!("{number:064x}")).expect("a well-formed stream")
}

/// Everything that can be read.
#[derive(Debug, PartialEq)]
struct Everything {
    marks: Vec<crate::ports::state::PullMark>,
    batches: Vec<crate::ports::state::BatchRow>,
    sealed: Vec<crate::ports::state::SealedBundle>,
    times: Vec<crate::ports::state::FeedTimes>,
    pending: Vec<crate::ports::state::PendingStream>,
    failed: Vec<crate::ports::state::FailedStream>,
    missing: Vec<crate::ports::state::MissingStream>,
    suspects: Vec<crate::ports::state::SuspectSpan>,
    uploads: Vec<crate::ports::state::OpenUpload>,
    counts: StateCounts,
}

fn everything(state: &impl LocalState) -> Everything {
    let read = || -> Result<Everything, StateFault> {
        Ok(Everything {
            marks: state.marks()?,
            batches: state.batches()?,
            sealed: state.sealed()?,
            times: state.feed_times()?,
            pending: state.pending_from(0, usize::MAX)?,
            failed: state.failed()?,
            missing: state.missing()?,
            suspects: state.suspect_pulls()?,
            uploads: state.open_uploads()?,
            counts: state.counts(),
        })
    };
    let all = read().expect("every row can be read");
    assert_eq!(all.counts.pending, all.pending.len() as u64, "counts");
    assert_eq!(all.counts.failed, all.failed.len() as u64, "counts");
    assert_eq!(all.counts.missing, all.missing.len() as u64, "counts");
    assert_eq!(all.counts.suspect_pulls, all.suspects.len() as u64, "counts");
    all
}

/// Records all of `changes`, one after the other.
async fn record(state: &impl LocalState, changes: impl IntoIterator<Item = Change>) {
    for change in changes {
        state.record(change).await.expect("a change is recorded");
    }
}

async fn name(state: &impl LocalState, streams: &[StreamId], now: i64) -> (u32, u32, Option<u64>) {
    let named = state.name_streams(streams.to_vec(), at(now)).await;
    let named = named.expect("streams are named");
    (named.added, named.dropped, named.last_ticket)
}

fn starts_are_counted(under_test: impl Reopen) {
    assert_eq!(under_test.state().start_number(), 1);
    let under_test = under_test.reopen().reopen();
    assert_eq!(under_test.state().start_number(), 3);
}

async fn changes_about_nothing_change_nothing(under_test: impl Reopen) {
    let state = under_test.state();
    let before = everything(state);
    let feed = pulls::feed("mapped");
    let upload = pulls::upload("a");
    record(
        state,
        [
            Change::PullEnded(feed.clone(), None),
            Change::StreamsNamed(feed.clone(), 7),
            Change::BundleWritten(pulls::bundle(&feed, 5, &[]).key, at(1)),
            Change::BatchRemoved(feed, 7),
            Change::StreamStored(stream(1)),
            Change::StreamFailed(stream(2), "time-out".to_owned()),
            Change::StreamSetAside(stream(3), at(1)),
            Change::UploadEnded(upload),
        ],
    )
    .await;
    assert_eq!(everything(state), before);
    let under_test = under_test.reopen();
    assert_eq!(everything(under_test.state()), before);
}

async fn changes_made_at_once_all_count(under_test: impl Reopen) {
    let state = under_test.state();
    let all: Vec<StreamId> = (0..200).map(stream).collect();
    name(state, &all, 1).await;
    let callers = all.iter().map(|stream| async {
        let failed = |fault: &str| Change::StreamFailed(stream.clone(), fault.to_owned());
        record(state, [failed("first"), failed("second")]).await;
    });
    futures_util::future::join_all(callers).await;
    let seen = everything(state);
    assert_eq!(seen.pending.len(), 200);
    for row in &seen.pending {
        assert_eq!((row.failures, row.last_fault.as_deref()), (2, Some("second")));
    }
    let under_test = under_test.reopen();
    assert_eq!(everything(under_test.state()), seen);
}

async fn the_next_start_sees_everything(under_test: impl Reopen) {
    let state = under_test.state();
    pulls::fill(state).await;
    name(state, &[stream(1), stream(2), stream(3), stream(4)], 10).await;
    record(
        state,
        [
            Change::StreamFailed(stream(2), "time-out".to_owned()),
            Change::StreamSetAside(stream(2), at(20)),
            Change::StreamMissing(stream(3), at(30)),
            Change::StreamStored(stream(4)),
        ],
    )
    .await;
    let seen = everything(state);
    let lengths = [
        seen.marks.len(),
        seen.batches.len(),
        seen.sealed.len(),
        seen.pending.len(),
        seen.failed.len(),
        seen.missing.len(),
        seen.suspects.len(),
        seen.uploads.len(),
    ];
    assert!(!lengths.contains(&0), "{lengths:?}");
    let under_test = under_test.reopen();
    assert_eq!(everything(under_test.state()), seen);
    let under_test = under_test.reopen();
    assert_eq!(everything(under_test.state()), seen);
}
