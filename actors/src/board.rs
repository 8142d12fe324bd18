//! What the actors show of themselves to whoever looks from another thread: nobody is asked, and nobody waits.
//!
//! It is written where things happen, once a batch and not once an event, under locks that are held for a moment and
//! never across a wait; it is read at any time. Nothing is decided by it: what is lost of it, at an end, is a figure.

pub mod feed;
mod tally;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::feed::{FeedFigures, FeedSigns};
pub use self::tally::Tally;
use crate::feed::Feed;
use crate::ports::state::FeedTimes;

/// The board of a backup. Clones share it; threads may differ.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<BTreeMap<Feed, FeedSigns>>>);

impl Board {
    /// With these feeds on it, which are configured. Others come onto it when an earlier start left something of them.
    pub fn of(configured: impl IntoIterator<Item = Feed>) -> Self {
        let feeds = configured
            .into_iter()
            .map(|feed| (feed, FeedSigns::of_configured()));
        Self(Arc::new(Mutex::new(feeds.collect())))
    }

    /// The place of a feed.
    pub fn feed(&self, feed: &Feed) -> FeedSigns {
        let mut feeds = self.feeds();
        match feeds.get(feed) {
            Some(signs) => signs.clone(),
            None => feeds.entry(feed.clone()).or_default().clone(),
        }
    }

    /// What earlier starts noted of the feeds that are on it, told until there is something newer.
    pub fn recall(&self, noted: impl IntoIterator<Item = FeedTimes>) {
        let feeds = self.feeds();
        for times in noted {
            if let Some(signs) = feeds.get(&times.feed) {
                signs.recall(&times);
            }
        }
    }

    /// How all feeds stand, in their order.
    pub fn figures(&self) -> Vec<(Feed, FeedFigures)> {
        let feeds = self.feeds();
        let figures = feeds.iter().map(|(feed, signs)| (feed.clone(), signs.figures()));
        figures.collect()
    }

    fn feeds(&self) -> MutexGuard<'_, BTreeMap<Feed, FeedSigns>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::Timestamp;

    #[test]
    fn what_earlier_starts_noted_is_told_of_feeds_that_are_on_it_until_there_is_something_newer() {
        let [insert, delete] = Feed::of_system();
        let board = Board::of([insert.clone()]);
        let noted = |feed: &Feed| FeedTimes {
            feed: feed.clone(),
            event: Some(Timestamp::from_micros(1)),
            bundle: Some(Timestamp::from_micros(2)),
            pull: Some(Timestamp::from_micros(4)),
            behind_since: Some(Timestamp::from_micros(3)),
        };
        board.recall([noted(&delete), noted(&insert)]);
        let [(feed, told)] = &board.figures()[..] else {
            panic!("{:?}", board.figures());
        };
        assert_eq!(feed, &insert);
        assert_eq!(
            (told.last_event, told.last_bundle),
            (noted(feed).event, noted(feed).bundle)
        );
        assert_eq!(
            (told.last_pull, told.behind_since),
            (noted(feed).pull, noted(feed).behind_since)
        );
        assert_eq!((told.events, told.bundles), (0, 0));
        board.feed(&insert).bundle_written();
        let newer = board.feed(&insert).figures().last_bundle;
        board.recall([noted(&insert)]);
        let told = board.feed(&insert).figures();
        assert_eq!((told.last_event, told.last_bundle), (noted(&insert).event, newer));
        assert!(newer > noted(&insert).bundle);
    }

    #[test]
    fn feeds_that_are_not_configured_come_onto_it_and_are_told_apart() {
        let [insert, delete] = Feed::of_system();
        let board = Board::of([insert.clone()]);
        board.feed(&delete).suspected();
        board.feed(&delete).suspected();
        let figures = board.figures();
        let told: Vec<_> = figures
            .iter()
            .map(|(feed, figures)| (feed, figures.configured, figures.suspect_pulls))
            .collect();
        assert_eq!(told, [(&insert, true, 0), (&delete, false, 2)]);
    }
}
