//! Claims: what is known, what waits, what is tried again.

use proptest::prelude::*;

use super::*;
use crate::timestamp::Timestamp;

const HOUR: Duration = Duration::from_secs(3600);

fn claims(waiting: usize, out: usize) -> Claims {
    let rules = ClaimRules {
        cache_size: NonZeroUsize::new(4).unwrap(),
        most_waiting: waiting,
        most_out: out,
        failures_in_row: 2,
    };
    Claims::new(rules, 7)
}

fn row(ticket: u64) -> PendingStream {
    let stream = StreamId::new("samples", "content", &format!("{ticket:064x}")).unwrap();
    PendingStream::new(ticket, stream, Timestamp::default())
}

fn failed_before(ticket: u64, starts: u32) -> PendingStream {
    PendingStream {
        failures: starts,
        failed_starts: starts,
        last_failed_start: 6,
        ..row(ticket)
    }
}

fn run(claims: &mut Claims, row: PendingStream, settled: Settled) -> RowFate {
    let ticket = row.ticket;
    claims.admit(vec![row]);
    assert_eq!(claims.next_job().map(|job| job.ticket), Some(ticket));
    claims.settle(ticket, settled, Instant::now())
}

#[tokio::test]
async fn a_stream_is_known_only_once_it_is_safe() {
    let mut claims = claims(10, 1);
    let now = Instant::now();
    for (ticket, settled) in [
        (1, Settled::Missing),
        (2, Settled::ServerFailed),
        (3, Settled::StreamFailed),
        (4, Settled::Cancelled),
        (5, Settled::Safe),
    ] {
        assert!(!claims.is_known(&row(ticket).stream, now, None));
        run(&mut claims, row(ticket), settled);
        assert_eq!(
            claims.is_known(&row(ticket).stream, now, None),
            settled == Settled::Safe
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_age_off_is_looked_at_again() {
    let mut claims = claims(10, 1);
    run(&mut claims, row(1), Settled::Safe);
    tokio::time::advance(HOUR).await;
    let now = Instant::now();
    assert!(claims.is_known(&row(1).stream, now, None));
    assert!(claims.is_known(&row(1).stream, now, Some(2 * HOUR)));
    assert!(!claims.is_known(&row(1).stream, now, Some(HOUR)));
}

#[tokio::test]
async fn five_bad_streams_do_not_end_every_start() {
    let mut claims = claims(10, 1);
    for ticket in 1..6 {
        run(&mut claims, row(2 * ticket), Settled::StreamFailed);
        run(
            &mut claims,
            failed_before(2 * ticket + 1, 1),
            Settled::ServerFailed,
        );
    }
    for ticket in 12..20 {
        let again = PendingStream {
            put_back: true,
            ..row(ticket)
        };
        run(&mut claims, again, Settled::ServerFailed);
    }
    assert!(!claims.too_many_failures());
    run(&mut claims, row(20), Settled::ServerFailed);
    run(&mut claims, row(21), Settled::Safe);
    run(&mut claims, row(22), Settled::ServerFailed);
    assert!(!claims.too_many_failures(), "a success lay in between");
    run(&mut claims, row(23), Settled::ServerFailed);
    assert!(claims.too_many_failures());
}

#[tokio::test]
async fn a_stream_is_set_aside_after_three_starts_or_when_it_is_gone() {
    let mut claims = claims(10, 1);
    assert_eq!(
        run(&mut claims, failed_before(1, 1), Settled::StreamFailed),
        RowFate::Failed
    );
    assert_eq!(
        run(&mut claims, failed_before(2, 2), Settled::StreamFailed),
        RowFate::SetAside
    );
    assert_eq!(
        run(&mut claims, failed_before(3, 1), Settled::Missing),
        RowFate::SetAside
    );
    assert_eq!(run(&mut claims, row(4), Settled::Missing), RowFate::Missing);
    for start in 0..9 {
        let row = failed_before(5 + start, u32::try_from(start).unwrap());
        assert_eq!(
            run(&mut claims, row, Settled::ServerFailed),
            RowFate::Delayed,
            "an outage sets nothing aside"
        );
    }
    let same_start = PendingStream {
        last_failed_start: 7,
        ..failed_before(50, 2)
    };
    assert_eq!(
        run(&mut claims, same_start, Settled::StreamFailed),
        RowFate::Failed
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_stream_is_tried_again_after_a_growing_delay() {
    let mut claims = claims(10, 1);
    run(&mut claims, row(1), Settled::StreamFailed);
    for wait in [30, 60, 120] {
        let due = claims.next_retry().unwrap();
        assert_eq!(due.duration_since(Instant::now()).as_secs(), wait);
        assert!(claims.due_retries(Instant::now()).is_empty());
        tokio::time::advance(Duration::from_secs(wait)).await;
        assert_eq!(claims.due_retries(Instant::now()), [1]);
        claims.retry(row(1));
        assert_eq!(claims.next_job().unwrap().ticket, 1);
        claims.settle(1, Settled::StreamFailed, Instant::now());
    }
}

#[tokio::test(start_paused = true)]
async fn a_ticket_that_could_not_be_read_comes_again() {
    let mut claims = claims(4, 4);
    claims.admit(vec![row(1), row(2)]);
    for ticket in [1, 2] {
        claims.next_job();
        claims.settle(ticket, Settled::StreamFailed, Instant::now());
    }
    tokio::time::advance(Duration::from_secs(60)).await;
    let due = claims.due_retries(Instant::now());
    assert_eq!(due, [1, 2]);
    claims.postpone(&due[1..], Instant::now() + Duration::from_secs(2));
    assert!(claims.due_retries(Instant::now()).is_empty());
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(claims.due_retries(Instant::now()), [2]);
}

#[tokio::test]
async fn feeds_wait_until_the_last_stream_of_their_batch_is_admitted() {
    let mut claims = claims(2, 1);
    claims.admit(vec![row(1), row(2)]);
    assert!(claims.admitted(2) && !claims.admitted(3));
    assert_eq!(claims.wants_rows(), None);
    claims.next_job();
    assert_eq!(claims.wants_rows(), Some((3, 1)));
    assert!(!claims.tried(1));
    claims.settle(1, Settled::StreamFailed, Instant::now());
    assert!(claims.tried(1) && !claims.tried(2));
    claims.retry(row(1));
    assert!(claims.tried(1), "a repetition holds up nobody");
}

proptest! {
    #[test]
    fn bounds_hold_and_every_row_is_handed_out(
        waiting in 1..20usize, out in 1..5usize, rows in 0..200u64, choices in prop::collection::vec(0..4u8, 0..600),
    ) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
            let mut claims = claims(waiting, out);
            let mut tried = BTreeSet::new();
            let mut busy: Vec<u64> = Vec::new();
            let mut choices = choices.into_iter().chain(std::iter::repeat(0));
            while tried.len() < usize::try_from(rows).unwrap() {
                if let Some((from, room)) = claims.wants_rows() {
                    claims.admit((from..rows).take(room).map(row).collect());
                }
                assert!(claims.waiting() <= waiting);
                while let Some(job) = claims.next_job() {
                    assert!(tried.insert(job.ticket), "handed out twice");
                    busy.push(job.ticket);
                    assert!(claims.out() <= out);
                }
                let settled = [Settled::Safe, Settled::Missing, Settled::StreamFailed, Settled::ServerFailed];
                let choice = usize::from(choices.next().unwrap());
                if let Some(ticket) = busy.pop() {
                    claims.settle(ticket, settled[choice], Instant::now());
                }
            }
        });
    }
}
