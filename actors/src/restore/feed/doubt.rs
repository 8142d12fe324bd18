//! Bundles of which nothing is taken, held until others show whether it is their fault. There are no more of them than
//! two, whatever the number of feeds.

use super::*;
use crate::restore::publishing::{Doubt, give_up};

/// Those of one feed, in their order.
pub(super) struct InDoubt<'a> {
    ports: &'a FeedRestorePorts,
    feed: &'a Feed,
    held: VecDeque<(Bundle, Doubt)>,
}

impl<'a> InDoubt<'a> {
    pub(super) fn new(ports: &'a FeedRestorePorts, rules: &'a FeedRestoreRules) -> Self {
        Self {
            ports,
            feed: &rules.feed,
            held: VecDeque::new(),
        }
    }

    pub(super) fn hold(&mut self, bundle: Bundle, doubt: Doubt) {
        self.held.push_back((bundle, doubt));
    }

    /// Others are taken, or there are none: these are given up, and done.
    pub(super) async fn give_up(&mut self) -> Result<(), Halt> {
        while let Some((bundle, doubt)) = self.held.pop_front() {
            let figures = give_up(self.ports, &bundle, doubt).await?;
            let figures = by_its_name(self.ports, &bundle, figures).await?;
            done(self.ports, self.feed, &bundle.listed, figures).await?;
        }
        Ok(())
    }
}
