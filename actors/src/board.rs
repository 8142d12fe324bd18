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
