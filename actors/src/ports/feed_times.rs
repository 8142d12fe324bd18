//! What a feed has got done and when, over all starts.

use serde::{Deserialize, Serialize};

use crate::feed::Feed;
use crate::timestamp::Timestamp;

/// When a feed last got something done, in whichever start. It is there to be shown: nothing is decided by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedTimes {
    /// Which feed.
    pub feed: Feed,
    /// When events of it last became durable here.
    #[serde(default)]
    pub event: Option<Timestamp>,
    /// When the bucket last had a bundle of it.
    #[serde(default)]
    pub bundle: Option<Timestamp>,
    /// When a pull of it last succeeded, as far as it was noted.
    #[serde(default)]
    pub pull: Option<Timestamp>,
    /// Since when it had been behind, when that was last noted; `None`: it was caught up.
    #[serde(default)]
    pub behind_since: Option<Timestamp>,
}

/// How the pulls of a feed stand, as it is noted now and then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedPulls {
    /// Which feed.
    pub feed: Feed,
    /// When one last succeeded, in whichever start.
    pub last: Option<Timestamp>,
    /// Since when it has been behind; `None`: it is caught up.
    pub behind_since: Option<Timestamp>,
}

impl FeedTimes {
    /// Of a feed of which nothing is known.
    pub const fn unknown(feed: Feed) -> Self {
        Self {
            feed,
            event: None,
            bundle: None,
            pull: None,
            behind_since: None,
        }
    }

    /// Takes over how its pulls stand; false if that is known.
    pub fn take(&mut self, pulls: &FeedPulls) -> bool {
        let before = (self.pull, self.behind_since);
        (self.pull, self.behind_since) = (pulls.last.or(self.pull), pulls.behind_since);
        before != (self.pull, self.behind_since)
    }
}
