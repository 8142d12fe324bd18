//! Who is to blame where events are not taken: asked of a *witness*, the last event of the same feed that is known to have
//! been taken in this start. It is published once more, which is safe, and moves nothing, for it was the last one: one of
//! another feed, which goes on meanwhile, or an earlier one, would come after events that are newer. If it is taken again,
//! the others are at fault; otherwise the dispatcher is, or something before it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;

use crate::feed::Feed;
use crate::restore::settling::Answer;

/// The largest witness that is kept for each feed.
const LARGEST: u64 = 64 * 1024;

/// The witnesses of all feeds of one start. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Witnesses(Rc<RefCell<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    /// The bulk of one event, or a bundle that was taken whole.
    of_feeds: BTreeMap<Feed, Bytes>,
    is_any: bool,
    /// How many bundles of which nothing was taken there have been, with no event taken in between.
    in_doubt: u32,
}

impl Witnesses {
    /// Events have been taken, the last of them so long.
    pub(super) fn taken(&self, feed: &Feed, length: u64, bulk: impl FnOnce() -> Option<Bytes>) {
        let mut seen = self.0.borrow_mut();
        seen.in_doubt = 0;
        seen.is_any = true;
        // An earlier one must not be published after this one.
        seen.of_feeds.remove(feed);
        if length > LARGEST {
            return;
        }
        // Copied: it is a part of memory that is used again for other bundles.
        if let Some(bulk) = bulk().map(|bulk| Bytes::copy_from_slice(&bulk)) {
            seen.of_feeds.insert(feed.clone(), bulk);
        }
    }

    /// The witness for events of this feed.
    pub(super) fn of(&self, feed: &Feed) -> Option<Bytes> {
        self.0.borrow().of_feeds.get(feed).cloned()
    }

    /// Whether anything has been taken in this start.
    pub(in crate::restore) fn is_any(&self) -> bool {
        self.0.borrow().is_any
    }

    /// One more bundle of which nothing was taken; returns how many there are in a row.
    pub(super) fn doubt(&self) -> u32 {
        let mut seen = self.0.borrow_mut();
        seen.in_doubt += 1;
        seen.in_doubt
    }
}

/// What an answer shows of the dispatcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    /// It takes events, or filters them: this one is the last.
    Takes(u64),
    /// It does not take an event that stood alone, for this reason.
    Refuses(String),
    /// Neither.
    Nothing,
}

impl Shows {
    /// What the answer to a run shows.
    pub(super) fn of(answer: &Answer, run: &Range<u64>) -> Self {
        let alone = run.end - run.start == 1;
        let last_of = |count: u64| run.start.saturating_add(count).min(run.end).checked_sub(1);
        let last = match answer {
            Answer::NotTaken { reason } if alone => return Self::Refuses(reason.clone()),
            Answer::NotTaken { .. } => None,
            Answer::Took { ok: 0, .. } | Answer::Filtered { accounted: 0 } => None,
            Answer::Took { ok, refused } => {
                let end = last_of(ok.saturating_add(refused.len() as u64)).map_or(run.start, |last| last + 1);
                let is_refused = |event: &u64| refused.iter().any(|(refused, _)| refused == event);
                (run.start..end).rev().find(|event| !is_refused(event))
            }
            Answer::AgedOff { accounted: 0 } if alone => Some(run.start),
            Answer::AgedOff { accounted: 0 } => None,
            Answer::Filtered { accounted } | Answer::AgedOff { accounted } => last_of(*accounted),
        };
        last.map_or(Self::Nothing, Self::Takes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(name: &str) -> Feed {
        name.parse().unwrap()
    }

    fn bulk(length: usize) -> Option<Bytes> {
        Some(vec![b'x'; length].into())
    }

    #[test]
    fn the_witness_is_the_last_event_of_the_feed_and_no_other() {
        let (witnesses, a, b) = (
            Witnesses::default(),
            feed("a/binary/mapped"),
            feed("b/binary/mapped"),
        );
        let length = |feed| witnesses.of(feed).map(|bulk| bulk.len());
        assert_eq!((length(&a), witnesses.is_any()), (None, false));
        for taken in [5, 3] {
            witnesses.taken(&a, taken as u64, || bulk(taken));
            assert_eq!((length(&a), length(&b)), (Some(taken), None));
        }
        witnesses.taken(&b, 7, || bulk(7));
        // One that is too large is not kept, and those before it are the last no more.
        witnesses.taken(&a, LARGEST + 1, || bulk(1));
        assert_eq!((length(&a), length(&b)), (None, Some(7)));
        assert!(witnesses.is_any());
    }

    #[test]
    fn doubts_are_those_in_a_row() {
        let witnesses = Witnesses::default();
        assert_eq!([witnesses.doubt(), witnesses.doubt()], [1, 2]);
        witnesses.taken(&feed("a/binary/mapped"), 1, || bulk(1));
        assert_eq!(witnesses.doubt(), 1);
    }

    #[test]
    fn an_answer_shows_that_events_are_taken_that_one_is_not_or_nothing() {
        let took = |ok, refused: &[u64]| Answer::Took {
            ok,
            refused: refused.iter().map(|event| (*event, "no".to_owned())).collect(),
        };
        let not_taken = Answer::NotTaken {
            reason: "422".to_owned(),
        };
        for (answer, length, expected) in [
            (took(4, &[]), 4, Shows::Takes(13)),
            (took(2, &[]), 4, Shows::Takes(11)),
            (took(2, &[12, 13]), 4, Shows::Takes(11)),
            (took(1, &[10]), 4, Shows::Takes(11)),
            (took(0, &[]), 4, Shows::Nothing),
            (took(0, &[10]), 1, Shows::Nothing),
            (took(u64::MAX, &[]), 4, Shows::Takes(13)),
            (Answer::Filtered { accounted: 3 }, 4, Shows::Takes(12)),
            (Answer::Filtered { accounted: 0 }, 1, Shows::Nothing),
            (Answer::AgedOff { accounted: 4 }, 4, Shows::Takes(13)),
            (Answer::AgedOff { accounted: 0 }, 4, Shows::Nothing),
            (Answer::AgedOff { accounted: 0 }, 1, Shows::Takes(10)),
            (not_taken.clone(), 4, Shows::Nothing),
            (not_taken, 1, Shows::Refuses("422".to_owned())),
        ] {
            assert_eq!(Shows::of(&answer, &(10..10 + length)), expected, "{answer:?}");
        }
    }
}
