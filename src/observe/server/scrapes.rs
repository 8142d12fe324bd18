//! Who has asked for the metrics, and the last time that they are waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// Clones share it; threads may differ.
#[derive(Clone, Debug, Default)]
pub(super) struct Scrapes(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    has_been: AtomicBool,
    is_ending: AtomicBool,
    came: Notify,
}

/// One scrape that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scrape {
    /// Whether it shows the end: it was asked for after everything had been said.
    shows_the_end: bool,
}

/// What became of the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastScrape {
    /// Nobody scrapes this program: there was nobody to wait for.
    NeverScraped,
    /// It came, and the answer was sent whole.
    Came,
    /// It did not come in time.
    Missed,
}

impl Scrapes {
    /// Somebody asks.
    pub(super) fn begin(&self) -> Scrape {
        self.0.has_been.store(true, Ordering::SeqCst);
        Scrape {
            shows_the_end: self.0.is_ending.load(Ordering::SeqCst),
        }
    }

    /// Whether anybody has asked so far.
    pub(super) fn have_been(&self) -> bool {
        self.0.has_been.load(Ordering::SeqCst)
    }

    /// The answer has been sent whole.
    pub(super) fn sent(&self, scrape: Scrape) {
        if scrape.shows_the_end {
            // Kept for whoever begins to wait only now.
            self.0.came.notify_one();
        }
    }

    /// Waits for one that is asked for from now on, if there was any before.
    pub(super) async fn one_more(&self, at_most: Duration) -> LastScrape {
        self.0.is_ending.store(true, Ordering::SeqCst);
        if !self.have_been() {
            return LastScrape::NeverScraped;
        }
        match tokio::time::timeout(at_most, self.0.came.notified()).await {
            Ok(()) => LastScrape::Came,
            Err(_late) => LastScrape::Missed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTES: Duration = Duration::from_secs(300);

    #[tokio::test(start_paused = true)]
    async fn nobody_is_waited_for_who_never_came() {
        let begun = tokio::time::Instant::now();
        assert_eq!(
            Scrapes::default().one_more(MINUTES).await,
            LastScrape::NeverScraped
        );
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_scrape_that_shows_the_end_and_was_sent_whole_is_the_last_one() {
        let (begun, scrapes) = (tokio::time::Instant::now(), Scrapes::default());
        let early = scrapes.begin();
        let waiting = scrapes.clone();
        let wait = tokio::spawn(async move { waiting.one_more(MINUTES).await });
        tokio::task::yield_now().await;
        scrapes.sent(early);
        let broken_off = scrapes.begin();
        assert!(broken_off.shows_the_end && !early.shows_the_end);
        tokio::time::sleep(MINUTES / 2).await;
        assert!(!wait.is_finished());
        scrapes.sent(scrapes.begin());
        assert_eq!(wait.await.unwrap(), LastScrape::Came);
        assert_eq!(begun.elapsed(), MINUTES / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_has_an_end() {
        let (begun, scrapes) = (tokio::time::Instant::now(), Scrapes::default());
        scrapes.sent(scrapes.begin());
        assert_eq!(scrapes.one_more(MINUTES).await, LastScrape::Missed);
        assert_eq!(begun.elapsed(), MINUTES);
    }
}
