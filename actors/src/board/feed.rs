//! What one feed shows: whether it keeps up, what it got done, what waits, and what went wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::ports::state::FeedTimes;
use crate::timestamp::Timestamp;

/// A wait that is shorter says nothing of whether a feed keeps up.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// So many bytes of what went wrong are shown.
const LONGEST_TROUBLE: usize = 300;

/// What a feed does that may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FeedWork {
    /// Asking for events.
    Pull,
    /// Understanding an answer.
    Answer,
    /// Keeping answers in the journal, and reading them there.
    Journal,
    /// Bringing a bundle into the bucket.
    Bundle,
    /// Going on at all.
    Feed,
}

impl FeedWork {
    /// All of it.
    pub const ALL: [Self; 5] = [Self::Pull, Self::Answer, Self::Journal, Self::Bundle, Self::Feed];

    /// In one word, for figures.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Answer => "answer",
            Self::Journal => "journal",
            Self::Bundle => "bundle",
            Self::Feed => "feed",
        }
    }
}

/// An answer of the dispatcher that is in the journal, if it brought anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Events in it.
    pub events: u64,
    /// Events that were asked for.
    pub asked: u64,
    /// Whether the dispatcher said `ready`.
    pub ready: bool,
}

/// What lies in the journal and not in the bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// When the oldest of it was received.
    pub oldest: Option<Timestamp>,
    /// Events.
    pub events: u64,
    /// Bytes of the answers that hold them.
    pub bytes: u64,
}

/// How a feed stands; counts are those since the start, and times may be of an earlier one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeedFigures {
    /// Whether it is configured; otherwise it only finishes what an earlier start left.
    pub configured: bool,
    /// What the dispatcher last said; `None` before the first answer.
    pub ready: Option<bool>,
    /// Since when it has not been caught up, in whichever start: an answer had as many events as were asked for, or a pull failed, or
    /// waited for room. An answer with less than half of
    /// it, of a dispatcher that is ready, ends it: who is slow, and has more, gives nearly as much as was asked for. Never of
    /// a feed that does not pull.
    pub behind_since: Option<Timestamp>,
    /// When an event last became durable here, in whichever start; as the next one.
    pub last_event: Option<Timestamp>,
    /// When the bucket last had a bundle.
    pub last_bundle: Option<Timestamp>,
    /// When a pull last succeeded, with or without events; as the last event.
    pub last_pull: Option<Timestamp>,
    /// What is not in the bucket.
    pub waiting: Waiting,
    /// Events journaled.
    pub events: u64,
    /// Bundles written.
    pub bundles: u64,
    /// Pulls that may have cost events.
    pub suspect_pulls: u64,
    /// How long it waited for room, or for the queue of streams.
    pub backpressure: Duration,
    /// Faults, by what failed.
    pub errors: BTreeMap<&'static str, u64>,
    /// What failed last and has not succeeded since.
    pub trouble: Option<String>,
}

/// Where a feed shows how it stands. Clones share it; threads may differ.
#[derive(Clone, Debug, Default)]
pub struct FeedSigns(Arc<Mutex<Signs>>);

#[derive(Debug, Default)]
struct Signs {
    figures: FeedFigures,
    /// Since when it has been held up, and by how many things at once.
    held_up: Option<(Instant, u32)>,
    troubles: BTreeMap<FeedWork, (Timestamp, String)>,
}

impl Signs {
    fn fall_behind(&mut self, since: Timestamp) {
        if self.figures.configured {
            self.figures.behind_since.get_or_insert(since);
        }
    }

    /// A wait that is over, or goes on.
    fn waited(&mut self, wait: Duration) {
        self.figures.backpressure += wait;
        if wait >= SHORTEST_WAIT {
            self.fall_behind(Timestamp::now().before(wait));
        }
    }
}

impl FeedSigns {
    pub(super) fn of_configured() -> Self {
        let figures = FeedFigures {
            configured: true,
            ..FeedFigures::default()
        };
        Self(Arc::new(Mutex::new(Signs {
            figures,
            ..Signs::default()
        })))
    }

    /// An answer came; its events are durable.
    pub fn answered(&self, answer: Answered) {
        let now = Timestamp::now();
        let mut signs = self.signs();
        let figures = &mut signs.figures;
        figures.last_pull = Some(now);
        figures.ready = Some(answer.ready);
        figures.events += answer.events;
        if answer.events > 0 {
            figures.last_event = Some(now);
        }
        if answer.events >= answer.asked {
            signs.fall_behind(now);
        } else if answer.ready && answer.events.saturating_mul(2) < answer.asked {
            figures.behind_since = None;
        }
        for works_again in [FeedWork::Pull, FeedWork::Answer, FeedWork::Journal] {
            signs.troubles.remove(&works_again);
        }
    }

    /// Something went wrong.
    pub fn failed(&self, work: FeedWork, why: &impl fmt::Display) {
        let now = Timestamp::now();
        let mut why = why.to_string();
        why.truncate(why.floor_char_boundary(LONGEST_TROUBLE));
        let mut signs = self.signs();
        *signs.figures.errors.entry(work.as_str()).or_default() += 1;
        signs.troubles.insert(work, (now, why));
        if work != FeedWork::Bundle {
            signs.fall_behind(now);
        }
    }

    /// A bundle is in the bucket, which has acknowledged it.
    pub fn bundle_written(&self) {
        let mut signs = self.signs();
        signs.figures.bundles += 1;
        signs.figures.last_bundle = Some(Timestamp::now());
        signs.troubles.remove(&FeedWork::Bundle);
    }

    /// What earlier starts noted, where this one has nothing newer.
    pub fn recall(&self, times: &FeedTimes) {
        let mut signs = self.signs();
        let FeedFigures {
            last_event,
            last_bundle,
            last_pull,
            ..
        } = &mut signs.figures;
        *last_event = last_event.or(times.event);
        *last_bundle = last_bundle.or(times.bundle);
        *last_pull = last_pull.or(times.pull);
        if let Some(since) = times.behind_since {
            signs.fall_behind(since);
        }
    }

    /// A pull may have cost events.
    pub fn suspected(&self) {
        self.signs().figures.suspect_pulls += 1;
    }

    /// This is what the journal holds of it now.
    pub fn holds(&self, waiting: Waiting) {
        self.signs().figures.waiting = waiting;
    }

    /// It waits for what others give, until what is returned is dropped, and whatever else holds it up meanwhile.
    #[must_use]
    pub fn held_up(&self) -> HeldUp {
        let mut signs = self.signs();
        let (_, by) = signs.held_up.get_or_insert_with(|| (Instant::now(), 0));
        *by += 1;
        HeldUp(self.clone())
    }

    /// How it stands; a wait that goes on is in it as far as it has come.
    pub fn figures(&self) -> FeedFigures {
        let signs = self.signs();
        let mut now = Signs {
            figures: signs.figures.clone(),
            ..Signs::default()
        };
        let last = signs.troubles.values().max_by_key(|(since, _)| *since);
        now.figures.trouble = last.map(|(_, why)| why.clone());
        if let Some((since, _)) = signs.held_up {
            now.waited(since.elapsed());
        }
        now.figures
    }

    fn signs(&self) -> MutexGuard<'_, Signs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A feed that waits; see [`FeedSigns::held_up`].
#[derive(Debug)]
pub struct HeldUp(FeedSigns);

impl Drop for HeldUp {
    fn drop(&mut self) {
        let mut signs = self.0.signs();
        match signs.held_up.take() {
            Some((since, by)) if by > 1 => signs.held_up = Some((since, by - 1)),
            Some((since, _)) => signs.waited(since.elapsed()),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn answer(events: u64, ready: bool) -> Answered {
        let asked = 20;
        Answered { events, asked, ready }
    }

    #[tokio::test(start_paused = true)]
    async fn a_feed_is_behind_from_the_first_sign_of_it_until_a_short_answer_of_a_ready_dispatcher() {
        let signs = FeedSigns::of_configured();
        assert_eq!(signs.figures().behind_since, None);
        signs.answered(answer(20, true));
        let since = signs.figures().behind_since;
        assert!(since.is_some());
        signs.answered(answer(20, true));
        signs.failed(FeedWork::Pull, &"503");
        signs.answered(answer(3, false));
        signs.answered(answer(12, true));
        assert_eq!(signs.figures().behind_since, since, "it goes on");
        signs.answered(answer(3, true));
        assert_eq!(signs.figures().behind_since, None);
        signs.failed(FeedWork::Bundle, &"503");
        assert_eq!(signs.figures().behind_since, None, "it pulls all the same");
        signs.failed(FeedWork::Pull, &"503");
        assert!(signs.figures().behind_since.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_counts_while_it_goes_on_and_short_ones_do_not_put_a_feed_behind() {
        let signs = FeedSigns::of_configured();
        let short = signs.held_up();
        tokio::time::advance(S / 2).await;
        drop(short);
        let figures = signs.figures();
        assert_eq!((figures.backpressure, figures.behind_since), (S / 2, None));
        let long = signs.held_up();
        tokio::time::advance(3 * S).await;
        assert_eq!(signs.figures().backpressure, S / 2 + 3 * S);
        assert!(signs.figures().behind_since.is_some());
        tokio::time::advance(S).await;
        drop(long);
        tokio::time::advance(S).await;
        assert_eq!(signs.figures().backpressure, S / 2 + 4 * S, "over");
    }

    #[tokio::test(start_paused = true)]
    async fn a_feed_that_two_things_hold_up_waits_until_both_are_over_and_once() {
        let signs = FeedSigns::of_configured();
        let (first, second) = (signs.held_up(), signs.held_up());
        tokio::time::advance(S).await;
        drop(first);
        tokio::time::advance(S).await;
        assert_eq!(signs.figures().backpressure, 2 * S);
        drop(second);
        tokio::time::advance(S).await;
        assert_eq!(signs.figures().backpressure, 2 * S);
    }

    #[tokio::test(start_paused = true)]
    async fn a_feed_that_does_not_pull_is_never_behind() {
        let signs = FeedSigns::default();
        let wait = signs.held_up();
        tokio::time::advance(3600 * S).await;
        signs.failed(FeedWork::Journal, &"gone");
        assert_eq!(signs.figures().behind_since, None);
        drop(wait);
        assert_eq!(signs.figures().behind_since, None);
    }

    #[test]
    fn what_went_wrong_is_shown_until_it_succeeds_and_counted_for_ever() {
        let signs = FeedSigns::of_configured();
        signs.failed(FeedWork::Bundle, &"é".repeat(10_000));
        assert!(signs.figures().trouble.unwrap().len() <= LONGEST_TROUBLE);
        signs.failed(FeedWork::Bundle, &"the bucket is gone");
        signs.answered(answer(1, true));
        assert_eq!(signs.figures().trouble.as_deref(), Some("the bucket is gone"));
        signs.bundle_written();
        let figures = signs.figures();
        assert_eq!((figures.trouble, figures.errors["bundle"]), (None, 2));
    }
}
