//! Which journaled events become the next bundle.
//!
//! A bundle is a run of consecutive events of one feed and one model version. It is closed when it has enough
//! events, when the next batch is of another version, or when it is due. Whole batches are joined, so it has from
//! `batch_size` up to almost twice as many events. A batch of an unknown version is a bundle of its own.

use crate::avro::BulkVersion;
use crate::ports::state::{BatchRow, Member};

/// The most batches that one bundle joins: it bounds the size of its seal.
const MOST_BATCHES: usize = 1000;

/// Why a bundle that is not full may be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Only full bundles.
    WhenFull,
    /// Whatever there is: it has aged, or the feed is being ended, or it was left over by an earlier start.
    Now,
}

/// The run of events that the next bundle is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) version: BulkVersion,
    pub(super) members: Vec<Member>,
}

impl Run {
    /// The number of its events.
    pub(super) fn count(&self) -> u64 {
        self.members
            .iter()
            .map(|member| member.events.end - member.events.start)
            .sum()
    }

    /// The same without its last event; `None` if it has only one.
    pub(super) fn shortened(mut self) -> Option<Self> {
        let last = self.members.last_mut()?;
        last.events.end -= 1;
        if last.events.is_empty() {
            self.members.pop();
        }
        (!self.members.is_empty()).then_some(self)
    }
}

/// The next bundle of `batches` (in the order of receipt), if one is to be closed.
pub(super) fn next_run<'a>(
    batches: impl Iterator<Item = &'a BatchRow>,
    batch_size: u64,
    due: Due,
) -> Option<Run> {
    let mut run: Option<Run> = None;
    for batch in batches.filter(|batch| batch.taken < batch.contents.events) {
        let member = Member {
            seq: batch.file.seq,
            events: batch.taken..batch.contents.events,
        };
        match &mut run {
            None => {
                run = Some(Run {
                    version: batch.contents.version,
                    members: vec![member],
                })
            }
            Some(open) if open.version != batch.contents.version => return run,
            Some(open) => open.members.push(member),
        }
        let closed = run.as_ref().is_some_and(|open| {
            open.count() >= batch_size
                || open.members.len() >= MOST_BATCHES
                || matches!(open.version, BulkVersion::Unknown(_))
        });
        if closed {
            return run;
        }
    }
    run.filter(|_| due == Due::Now)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::avro::ModelVersion;
    use crate::ports::journal::BatchFile;
    use crate::ports::state::{BatchContents, EventName};
    use crate::timestamp::Timestamp;

    const V5: BulkVersion = BulkVersion::Known(ModelVersion::V5);
    const V6: BulkVersion = BulkVersion::Known(ModelVersion::V6);
    const V7: BulkVersion = BulkVersion::Unknown(7);

    fn batches(rows: &[(BulkVersion, u64, u64)]) -> Vec<BatchRow> {
        let row = |(seq, &(version, events, taken)): (usize, &(BulkVersion, u64, u64))| BatchRow {
            file: BatchFile {
                feed: "samples/binary/sourced".parse().unwrap(),
                seq: seq as u64,
                received: Timestamp::default(),
            },
            bytes: 1,
            contents: BatchContents {
                version,
                events,
                invalid: 0,
                bulk: 0..1,
                blocks: 0..1,
                last: EventName {
                    timestamp: Timestamp::default(),
                    kafka_key: "k".into(),
                },
            },
            streams_named: true,
            taken,
        };
        rows.iter().enumerate().map(row).collect()
    }

    fn members(rows: &[(BulkVersion, u64, u64)], size: u64, due: Due) -> Option<Vec<(u64, u64, u64)>> {
        next_run(batches(rows).iter(), size, due).map(|run| {
            run.members
                .into_iter()
                .map(|m| (m.seq, m.events.start, m.events.end))
                .collect()
        })
    }

    #[test]
    fn a_bundle_waits_until_it_is_full() {
        assert_eq!(members(&[(V6, 9, 0), (V6, 10, 0)], 20, Due::WhenFull), None);
        assert_eq!(
            members(
                &[(V6, 9, 0), (V6, 10, 0), (V6, 20, 0), (V6, 1, 0)],
                20,
                Due::WhenFull
            ),
            Some(vec![(0, 0, 9), (1, 0, 10), (2, 0, 20)])
        );
    }

    #[test]
    fn what_is_due_is_closed_whatever_its_size() {
        assert_eq!(members(&[(V6, 3, 1)], 20, Due::Now), Some(vec![(0, 1, 3)]));
        assert_eq!(members(&[(V6, 3, 3)], 20, Due::Now), None);
    }

    #[test]
    fn versions_are_never_mixed_and_an_unknown_one_stands_alone() {
        assert_eq!(
            members(&[(V5, 3, 0), (V6, 3, 0)], 20, Due::WhenFull),
            Some(vec![(0, 0, 3)])
        );
        assert_eq!(
            members(&[(V7, 3, 0), (V7, 3, 0)], 20, Due::WhenFull),
            Some(vec![(0, 0, 3)])
        );
        assert_eq!(
            members(&[(V6, 3, 0), (V7, 3, 0)], 20, Due::WhenFull),
            Some(vec![(0, 0, 3)])
        );
    }

    #[test]
    fn a_run_is_shortened_event_by_event() {
        let run = next_run(batches(&[(V6, 2, 0), (V6, 1, 0)]).iter(), 20, Due::Now).unwrap();
        let counts: Vec<_> = std::iter::successors(Some(run), |run| run.clone().shortened())
            .map(|run| run.count())
            .collect();
        assert_eq!(counts, [3, 2, 1]);
    }

    proptest! {
        #[test]
        fn every_event_lands_in_exactly_one_bundle_in_order(
            rows in prop::collection::vec((prop::sample::select(vec![V5, V6, V7]), 1..40u64, Just(0u64)), 0..30),
            size in 1..50u64,
        ) {
            let mut rows = batches(&rows);
            let all: Vec<_> = rows.iter().flat_map(|b| (0..b.contents.events).map(|e| (b.file.seq, e))).collect();
            let mut seen = Vec::new();
            while let Some(run) = next_run(rows.iter(), size, Due::Now) {
                let most = rows.iter().map(|b| b.contents.events).max().unwrap();
                prop_assert!(run.count() < size + most);
                for member in run.members {
                    seen.extend(member.events.clone().map(|event| (member.seq, event)));
                    rows[usize::try_from(member.seq).unwrap()].taken = member.events.end;
                }
            }
            prop_assert_eq!(seen, all);
        }
    }
}
