//! What an operator is told of a stage: what it waits for, what it saved, and who did not end in time.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::Stage;
use crate::event_backup::FeedStanding;
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
        }
    }

    pub(super) fn note(&mut self, feed: Feed, standing: FeedStanding) {
        self.standings.insert(feed, standing);
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
                let marks = match outcome.marks {
                    Some(0) => "every pull is journaled".to_owned(),
                    Some(marks) => format!(
                        "the marks of {marks} pulls stay, which the next start records as suspect pulls"
                    ),
                    None => "whether marks of pulls stay cannot be read".to_owned(),
                };
                format!(
                    "{written} events were written to the bucket in {bundles} bundles; {events} events in {batches} \
                     batches stay in local state; {marks}"
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
