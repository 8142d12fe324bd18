//! What an operator is told of a stage: what it waits for, what it saved, and who did not end in time.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::Stage;
use crate::event_backup::{FeedStanding, PullStanding, Quiesced};
use crate::feed::Feed;
use crate::statistics::SourceFigures;
use crate::stream_worker::progress::StreamOut;

/// The most feeds or streams that one line names.
const MOST_NAMED: usize = 8;

/// The book of one stage.
#[derive(Debug)]
pub(super) struct StageRecord {
    pub(super) begun: Instant,
    /// The figures at its beginning.
    before: SourceFigures,
    /// The feeds that have not ended.
    pub(super) awaited: BTreeSet<Feed>,
    /// What each feed said last.
    standings: BTreeMap<Feed, FeedStanding>,
    /// The feeds that cannot say any more what they hold.
    lost: BTreeSet<Feed>,
}

/// What is known at the end of a stage, whether it ended by itself or was given up.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) figures: SourceFigures,
    pub(super) pending: u64,
    /// Pulls whose answer is not journaled; `None` if local state does not say.
    pub(super) marks: Option<usize>,
    pub(super) out: Vec<StreamOut>,
}

impl StageRecord {
    pub(super) fn begin(before: SourceFigures, awaited: BTreeSet<Feed>) -> Self {
        Self {
            begun: Instant::now(),
            before,
            awaited,
            standings: BTreeMap::new(),
            lost: BTreeSet::new(),
        }
    }

    pub(super) fn note(&mut self, feed: Feed, standing: FeedStanding) {
        self.standings.insert(feed, standing);
    }

    /// A feed is not waited for any more; `holds` is `None` if it is lost.
    pub(super) fn ended(&mut self, feed: Feed, holds: Option<Quiesced>) {
        self.awaited.remove(&feed);
        match holds {
            Some(holds) => {
                let pull = PullStanding::None;
                let (naming, writing) = (false, false);
                let standing = FeedStanding {
                    pull,
                    naming,
                    writing,
                    holds,
                };
                self.note(feed, standing);
            }
            None => {
                self.standings.remove(&feed);
                self.lost.insert(feed);
            }
        }
    }

    /// What the feeds have under way, once they have been asked.
    pub(super) fn under_way(&self) -> String {
        let busy: Vec<_> = self
            .standings
            .iter()
            .filter(|(_, standing)| standing.is_busy())
            .collect();
        let named = busy.iter().map(|(feed, standing)| format!("{feed} ({standing})"));
        match busy.is_empty() {
            true => "no feed has anything under way".to_owned(),
            false => format!("{} feeds have something under way: {}", busy.len(), some(named)),
        }
    }

    /// What the stage saved.
    pub(super) fn saved(&self, stage: Stage, outcome: &Outcome) -> String {
        let (before, now) = (&self.before, &outcome.figures);
        match stage {
            Stage::Events => {
                let written = now.events_ok - before.events_ok;
                let bundles = now.bundles - before.bundles;
                let left = |count: fn(&FeedStanding) -> u64| self.standings.values().map(count).sum::<u64>();
                let events = left(|standing| standing.holds.events);
                let batches = left(|standing| standing.holds.batches as u64);
                let pulls = pulls(outcome.marks, now.suspect_pulls - before.suspect_pulls);
                let lost = match self.lost.is_empty() {
                    true => String::new(),
                    false => format!(
                        ", and so does what these hold, which is not counted: {}",
                        some(self.lost.iter().map(Feed::to_string))
                    ),
                };
                format!(
                    "{written} events were written to the bucket in {bundles} bundles; {events} events in {batches} \
                     batches stay in local state{lost}; {pulls}"
                )
            }
            Stage::Streams => format!(
                "{} streams were stored, {} were in the bucket already; {} streams stay pending in local state",
                now.streams_ok - before.streams_ok,
                now.streams_present - before.streams_present,
                outcome.pending
            ),
            Stage::HitCache => format!("{} streams are pending rows in local state", outcome.pending),
            Stage::State => "local state holds whatever is unfinished".to_owned(),
            Stage::Running | Stage::Ended => String::new(),
        }
    }

    /// Who has not ended.
    pub(super) fn not_ended(&self, stage: Stage, outcome: &Outcome) -> String {
        match stage {
            Stage::Events => some(self.awaited.iter().map(|feed| match self.standings.get(feed) {
                Some(standing) => format!("feed {feed} ({standing})"),
                None => format!("feed {feed} (does not answer)"),
            })),
            Stage::HitCache => "the hit cache".to_owned(),
            Stage::Streams => match outcome.out.is_empty() {
                true => "the hit cache".to_owned(),
                false => streams(&outcome.out),
            },
            Stage::State => "the flush of local state".to_owned(),
            Stage::Running | Stage::Ended => String::new(),
        }
    }
}

/// What became of the pulls, of which `suspect` failed in a way that may have cost events.
fn pulls(marks: Option<usize>, suspect: u64) -> String {
    let marks = match (marks, suspect) {
        (Some(0), 0) => "every pull is journaled".to_owned(),
        (Some(0), _) => "no pull is open".to_owned(),
        (Some(marks), _) => {
            format!("the marks of {marks} pulls stay, which the next start records as suspect pulls")
        }
        (None, _) => "whether marks of pulls stay cannot be read".to_owned(),
    };
    match suspect {
        0 => marks,
        _ => format!("{marks}, and {suspect} were not journaled, or not wholly: suspect pulls"),
    }
}

/// The streams that are out, the eldest first.
pub(super) fn streams(out: &[StreamOut]) -> String {
    some(
        out.iter()
            .map(|out| format!("stream {} (for {:.0?})", out.stream, out.since.elapsed())),
    )
}

/// Names the first few.
fn some(all: impl ExactSizeIterator<Item = String>) -> String {
    let more = all.len().saturating_sub(MOST_NAMED);
    let mut named = all.take(MOST_NAMED).collect::<Vec<_>>().join("; ");
    if more > 0 {
        named.push_str(&format!("; and {more} more"));
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed() -> Feed {
        "samples/binary/sourced".parse().unwrap()
    }

    fn saved(record: &StageRecord, marks: usize, suspect_pulls: u64) -> String {
        let outcome = Outcome {
            figures: SourceFigures {
                suspect_pulls,
                ..SourceFigures::default()
            },
            pending: 0,
            marks: Some(marks),
            out: vec![],
        };
        record.saved(Stage::Events, &outcome)
    }

    fn record() -> StageRecord {
        let before = SourceFigures {
            suspect_pulls: 7,
            ..SourceFigures::default()
        };
        StageRecord::begin(before, [feed()].into())
    }

    #[test]
    fn every_pull_counts_as_journaled_only_if_none_failed() {
        assert!(saved(&record(), 0, 7).ends_with("; every pull is journaled"));
        let failed = saved(&record(), 0, 9);
        assert!(
            failed.contains("and 2 were not journaled") && !failed.contains("every pull"),
            "{failed}"
        );
        let both = saved(&record(), 3, 8);
        assert!(
            both.contains("the marks of 3 pulls stay") && both.contains("and 1 were not journaled"),
            "{both}"
        );
    }

    #[test]
    fn what_a_lost_feed_holds_is_not_told_as_nothing() {
        let mut record = record();
        record.ended(feed(), None);
        assert!(record.awaited.is_empty());
        let saved = saved(&record, 0, 7);
        assert!(
            saved.contains("which is not counted: samples/binary/sourced"),
            "{saved}"
        );
    }
}
