//! Streams: pending, missing, failed, stored.

use super::{Reopen, at, everything, name, record, stream};
use crate::ports::state::{Change, LocalState, MISSING_REST};
use crate::stream_id::StreamId;

const REST: i64 = MISSING_REST.as_micros() as i64;

fn pending(state: &impl LocalState) -> Vec<StreamId> {
    let rows = everything(state).pending;
    rows.into_iter().map(|row| row.stream).collect()
}

/// Looks through all missing streams, one at a time.
async fn revive(state: &impl LocalState, asked_before: i64, now: i64) -> u64 {
    let (mut count, mut after) = (0, None);
    loop {
        let slice = state.revive_missing(after, 1, at(asked_before), at(now)).await;
        let slice = slice.expect("streams are revived");
        count += slice.count;
        if slice.next.is_none() {
            return count;
        }
        after = slice.next;
    }
}

fn failed(number: u32, fault: &str) -> Change {
    Change::StreamFailed(stream(number), fault.to_owned())
}

pub(super) async fn a_stream_is_pending_once_under_a_rising_ticket(under_test: impl Reopen) {
    let state = under_test.state();
    assert_eq!(name(state, &[], 1).await, (0, 0, None));
    assert_eq!(state.highest_ticket(), Ok(None));
    let (added, dropped, first) = name(state, &[stream(3), stream(1), stream(3)], 1).await;
    assert_eq!((added, dropped), (2, 1));
    let (added, dropped, second) = name(state, &[stream(2), stream(1)], 2).await;
    assert_eq!((added, dropped), (1, 1));
    assert!(second > first && first.is_some());
    // The highest ticket among the named, although it was given earlier.
    assert_eq!(name(state, &[stream(1), stream(3)], 3).await, (0, 2, first));

    let rows = everything(state).pending;
    assert_eq!(pending(state), [stream(3), stream(1), stream(2)]);
    assert!(rows.is_sorted_by(|a, b| a.ticket < b.ticket));
    assert_eq!(
        rows.iter().map(|row| row.named).collect::<Vec<_>>(),
        [at(1), at(1), at(2)]
    );
    assert_eq!(rows.last().map(|row| row.ticket), second);
    assert_eq!(state.highest_ticket(), Ok(second));
    let from_second = state.pending_from(rows[1].ticket, 1).expect("rows are read");
    assert_eq!(from_second, rows[1..2]);
    assert_eq!(state.pending_from(rows[2].ticket + 1, 9), Ok(vec![]));
}

pub(super) async fn tickets_rise_over_restarts_whatever_was_settled(mut under_test: impl Reopen) {
    let mut last = None;
    for number in 1..4 {
        let (_, _, ticket) = name(under_test.state(), &[stream(number)], 1).await;
        assert!(ticket > last, "{ticket:?} after {last:?}");
        last = ticket;
        record(under_test.state(), [Change::StreamStored(stream(number))]).await;
        under_test = under_test.reopen();
    }
}

pub(super) async fn a_failed_stream_keeps_its_place_and_counts_its_starts(under_test: impl Reopen) {
    let state = under_test.state();
    name(state, &[stream(1), stream(2)], 1).await;
    record(state, [failed(1, "time-out"), failed(1, "wrong hash")]).await;
    let under_test = under_test.reopen();
    let state = under_test.state();
    record(state, [failed(1, "503")]).await;
    assert_eq!(pending(state), [stream(1), stream(2)]);
    let rows = everything(state).pending;
    assert_eq!(
        (rows[0].failures, rows[0].failed_starts, rows[0].last_failed_start),
        (3, 2, 2)
    );
    assert_eq!(rows[0].last_fault.as_deref(), Some("503"));
    assert_eq!(
        (rows[1].failures, rows[1].failed_starts, rows[1].last_failed_start),
        (0, 0, 0)
    );
}

pub(super) async fn a_stream_set_aside_is_not_named_again(under_test: impl Reopen) {
    let state = under_test.state();
    name(state, &[stream(1)], 5).await;
    record(
        state,
        [failed(1, "wrong hash"), Change::StreamSetAside(stream(1), at(9))],
    )
    .await;
    assert_eq!(pending(state), []);
    let rows = everything(state).failed;
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].named, rows[0].since, rows[0].failures),
        (at(5), at(9), 1)
    );
    assert_eq!(
        (&rows[0].stream, rows[0].fault.as_str()),
        (&stream(1), "wrong hash")
    );
    assert_eq!(name(state, &[stream(1)], REST * 2).await, (0, 1, None));
    // Once moved, there is nothing left to move.
    record(state, [Change::StreamSetAside(stream(1), at(99))]).await;
    assert_eq!(everything(state).failed, rows);
}

/// After this long a missing stream is asked for once more.
const DAY: i64 = 24 * 3600 * 1_000_000;

pub(super) async fn a_missing_stream_rests_and_is_revived_once(under_test: impl Reopen) {
    let state = under_test.state();
    name(state, &[stream(1), stream(2)], 1).await;
    let missing = |now| Change::StreamMissing(stream(1), at(now));
    record(state, [missing(10), Change::StreamMissing(stream(2), at(50))]).await;
    assert_eq!(pending(state), []);
    assert_eq!(name(state, &[stream(1)], 10 + REST - 1).await, (0, 1, None));
    assert_eq!(revive(state, 10, 60).await, 0);
    assert_eq!(revive(state, 11, 60).await, 1);
    assert_eq!(pending(state), [stream(1)]);
    assert_eq!(revive(state, 11, 61).await, 0, "it is pending already");
    record(state, [missing(10 + DAY)]).await;
    let row = everything(state)
        .missing
        .into_iter()
        .find(|row| row.stream == stream(1));
    let row = row.expect("it is remembered");
    assert_eq!((row.since, row.asked, row.times), (at(10), at(10 + DAY), 2));
    // An event that names it within the day does not stand in for the look after it.
    record(state, [Change::StreamMissing(stream(2), at(50 + 2 * REST))]).await;
    assert_eq!(
        revive(state, 100 + DAY, 100 + DAY).await,
        1,
        "only the one that was not asked for after a day"
    );
    assert_eq!(pending(state), [stream(2)]);
    let (added, dropped, _) = name(state, &[stream(1)], 10 + DAY + REST).await;
    assert_eq!((added, dropped), (1, 0), "another event names it after its rest");
}

pub(super) async fn a_missing_stream_that_was_set_aside_is_not_revived(under_test: impl Reopen) {
    let state = under_test.state();
    name(state, &[stream(1)], 1).await;
    record(state, [Change::StreamMissing(stream(1), at(2))]).await;
    assert_eq!(revive(state, 3, 3).await, 1);
    record(state, [Change::StreamSetAside(stream(1), at(4))]).await;
    assert_eq!(revive(state, 5, 5).await, 0);
}

pub(super) async fn a_stored_stream_leaves_nothing_behind(under_test: impl Reopen) {
    let state = under_test.state();
    name(state, &[stream(1), stream(2), stream(3)], 1).await;
    record(
        state,
        [
            Change::StreamMissing(stream(2), at(2)),
            failed(3, "wrong hash"),
            Change::StreamSetAside(stream(3), at(3)),
        ],
    )
    .await;
    name(state, &[stream(2)], 2 + REST).await;
    let stored = [1, 2, 3].map(|number| Change::StreamStored(stream(number)));
    record(state, stored).await;
    let seen = everything(state);
    assert_eq!(
        (seen.pending, seen.missing, seen.failed),
        (vec![], vec![], vec![])
    );
    let under_test = under_test.reopen();
    let (added, dropped, _) = name(under_test.state(), &[stream(1), stream(2), stream(3)], 4).await;
    assert_eq!((added, dropped), (3, 0));
}

pub(super) async fn a_missing_stream_that_is_set_aside_is_missing_no_more(under_test: impl Reopen) {
    let state = under_test.state();
    name(state, &[stream(1)], 1).await;
    record(state, [Change::StreamMissing(stream(1), at(2))]).await;
    assert_eq!(revive(state, 3, 3).await, 1);
    record(
        state,
        [failed(1, "404"), Change::StreamSetAside(stream(1), at(4))],
    )
    .await;
    let seen = everything(state);
    assert_eq!((seen.failed.len(), seen.missing.len()), (1, 0));
    record(state, [Change::StreamMissing(stream(1), at(5))]).await;
    assert_eq!(everything(state), seen, "it stays what it is");
}

pub(super) async fn missing_streams_are_revived_in_slices(under_test: impl Reopen) {
    let state = under_test.state();
    record(
        state,
        (0..10).map(|number| Change::StreamMissing(stream(number), at(1))),
    )
    .await;
    let (mut counts, mut after) = (Vec::new(), None);
    loop {
        let slice = state.revive_missing(after, 4, at(2), at(2)).await;
        let slice = slice.expect("streams are revived");
        counts.push(slice.count);
        match slice.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(counts, [4, 4, 2]);
    assert_eq!(pending(state).len(), 10);
}

pub(super) async fn what_is_put_back_is_pending_with_its_counts_begun_anew(under_test: impl Reopen) {
    let state = under_test.state();
    name(state, &[stream(1), stream(2)], 1).await;
    record(state, [failed(1, "wrong hash")]).await;
    let under_test = under_test.reopen();
    let state = under_test.state();
    record(
        state,
        [
            failed(1, "wrong hash"),
            Change::StreamSetAside(stream(1), at(3)),
            Change::StreamMissing(stream(2), at(4)),
        ],
    )
    .await;
    let asked = vec![stream(2), stream(1), stream(9), stream(1)];
    let put_back = state.put_back(asked, at(5)).await.expect("it is put back");
    assert_eq!((put_back.failed, put_back.missing, put_back.neither), (1, 1, 2));
    let seen = everything(state);
    assert_eq!((seen.failed.len(), seen.missing.len()), (0, 0));
    assert_eq!(pending(state), [stream(2), stream(1)]);
    assert_eq!(put_back.last_ticket, seen.pending.last().map(|row| row.ticket));
    for row in &seen.pending {
        assert!(row.put_back);
        assert_eq!(
            (row.failures, row.failed_starts, row.last_failed_start, row.named),
            (0, 0, 0, at(5))
        );
        assert_eq!(row.last_fault, None);
    }
    let under_test = under_test.reopen();
    assert_eq!(everything(under_test.state()), seen);
}

pub(super) async fn what_is_put_back_keeps_the_ticket_that_it_has(under_test: impl Reopen) {
    let state = under_test.state();
    record(state, [Change::StreamMissing(stream(1), at(1))]).await;
    assert_eq!(revive(state, 2, 2).await, 1);
    let ticket = state.highest_ticket().expect("rows are read");
    record(state, [failed(1, "wrong hash")]).await;
    let put_back = state.put_back(vec![stream(1)], at(3)).await;
    let put_back = put_back.expect("it is put back");
    assert_eq!((put_back.missing, put_back.last_ticket), (1, ticket));
    let rows = everything(state).pending;
    assert_eq!((rows.len(), rows[0].failures), (1, 0));
}

pub(super) async fn failed_and_missing_streams_are_read_in_pages(under_test: impl Reopen) {
    let state = under_test.state();
    for number in 0..10 {
        name(state, &[stream(number)], 1).await;
        let settled = match number % 2 {
            0 => Change::StreamMissing(stream(number), at(1)),
            _ => Change::StreamSetAside(stream(number), at(1)),
        };
        record(state, [settled]).await;
    }
    let seen = everything(state);
    let (mut failed, mut missing) = (Vec::new(), Vec::new());
    loop {
        let page = state.failed_from(failed.last(), 2).expect("rows are read");
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        failed.extend(page.into_iter().map(|row| row.stream));
    }
    loop {
        let page = state.missing_from(missing.last(), 2).expect("rows are read");
        if page.is_empty() {
            break;
        }
        missing.extend(page.into_iter().map(|row| row.stream));
    }
    let of_failed: Vec<_> = seen.failed.into_iter().map(|row| row.stream).collect();
    let of_missing: Vec<_> = seen.missing.into_iter().map(|row| row.stream).collect();
    assert_eq!((failed.len(), missing.len()), (5, 5));
    assert_eq!((failed, missing), (of_failed, of_missing));
}
