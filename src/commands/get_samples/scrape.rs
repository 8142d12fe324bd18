//! When one feed has been scraped: the pulls that are sent for it, and when there are no more.

use std::path::Path;
use std::time::Duration;

use actors::fault::Fault;
use actors::feed::Feed;
use actors::ports::{Dispatcher, Pull};
use actors::pull_answer::PullInfo;
use actors::retry::RetryPolicy;
use actors::stop::StopFlag;

use super::answer_file::AnswerFile;

/// How long the dispatcher may collect. Events that are there come at once; this is for those that are not.
const DEADLINE: Duration = Duration::from_secs(1);

/// So many answers in a row without events, from a dispatcher that is ready, are the end of a feed.
const EMPTY_ANSWERS: u32 = 4;

/// So many answers without events from a dispatcher that is not ready are enough: it was not for some ten
/// seconds when seen.
const UNREADY_ANSWERS: u32 = 30;

/// The state of scraping one feed.
pub struct Scrape {
    feed: Feed,
    consumer: String,
    wanted: u32,
    empty: u32,
    unready: u32,
}

impl Scrape {
    /// `wanted` events of `feed` at most, under the name `consumer`.
    pub fn new(feed: Feed, consumer: String, wanted: u32) -> Self {
        Self {
            feed,
            consumer,
            wanted,
            empty: 0,
            unready: 0,
        }
    }

    /// The next pull; `None` when the feed has been scraped.
    pub fn next_pull(&self) -> Option<Pull> {
        let done = self.wanted == 0 || self.empty == EMPTY_ANSWERS || self.unready == UNREADY_ANSWERS;
        (!done).then(|| Pull {
            feed: self.feed.clone(),
            consumer: self.consumer.clone(),
            deployment_key: None,
            count: self.wanted,
            deadline: DEADLINE,
        })
    }

    /// Takes note of an answer.
    pub fn received(&mut self, info: &PullInfo, events: u64) {
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        self.wanted = self.wanted.saturating_sub(events);
        match (events, info.ready) {
            (0, true) => self.empty += 1,
            (0, false) => {
                // Not reset by what follows: a dispatcher that comes and goes must not be asked for ever.
                self.unready += 1;
                self.empty = 0;
            }
            _ => (self.empty, self.unready) = (0, 0),
        }
    }

    /// Whether the end of the feed was reached, or enough events; not so if the dispatcher never got ready.
    pub fn was_ready(&self) -> bool {
        self.unready < UNREADY_ANSWERS
    }
}

/// Pulls once, into a file without a name in `folder`. Trying again is harmless: what a failed pull loses is
/// lost to this consumer alone.
pub async fn pull(
    dispatcher: &dyn Dispatcher,
    retry: &RetryPolicy,
    pull: &Pull,
    folder: &Path,
) -> Result<AnswerFile, Fault> {
    retry
        .run("scrape", &pull.feed, &StopFlag::default(), || async {
            let mut answer = AnswerFile::create(folder, &pull.feed)?;
            match dispatcher.pull(pull, &mut answer).await {
                Ok(_) => Ok(answer),
                Err(fault) => Err(fault.fault().clone()),
            }
        })
        .await
}
