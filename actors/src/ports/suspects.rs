//! Pulls that may have cost events, as they are remembered.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::feed::Feed;
use crate::timestamp::Timestamp;

/// A pull that may have cost events: the dispatcher forgets what it hands out. A reason for an early recheck.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspectPull {
    /// Which feed.
    pub feed: Feed,
    /// When the pull was about to be sent.
    pub since: Timestamp,
    /// When it was known to be suspect.
    pub until: Timestamp,
    /// Why, for people.
    pub reason: String,
}

/// How far apart two suspect pulls of a feed may be to be remembered as one span: more than a feed ever waits
/// between two pulls that fail.
pub const SUSPECT_GAP: Duration = Duration::from_secs(600);

/// Suspect pulls of one feed that came one after the other for the same reason, as one row. A recheck needs the
/// span only; a dispatcher in trouble for a year must not fill the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspectSpan {
    /// Which feed.
    pub feed: Feed,
    /// When the first of the pulls was about to be sent.
    pub since: Timestamp,
    /// When the last of them was known to be suspect: whatever was lost was handed out between the two.
    pub until: Timestamp,
    /// Why, for people.
    pub reason: String,
    /// How many pulls.
    #[serde(default = "one")]
    pub pulls: u64,
    /// When the last of them was about to be sent.
    #[serde(default)]
    pub last: Timestamp,
}

const fn one() -> u64 {
    1
}

impl From<SuspectPull> for SuspectSpan {
    fn from(pull: SuspectPull) -> Self {
        Self {
            feed: pull.feed,
            since: pull.since,
            until: pull.until,
            reason: pull.reason,
            pulls: 1,
            last: pull.since,
        }
    }
}

impl SuspectSpan {
    /// Takes in a pull of its feed, if it is the first or the last of these once more, or adjoins them for the
    /// same reason; false if it has to be remembered on its own. Taking in the same pull again changes no count.
    pub fn takes(&mut self, pull: &SuspectPull) -> bool {
        let is_again = pull.since == self.since || pull.since == self.last;
        let adjoins = pull.reason == self.reason && pull.since <= self.until.after(SUSPECT_GAP);
        if !is_again && !adjoins {
            return false;
        }
        if is_again && self.pulls == 1 {
            self.reason.clone_from(&pull.reason);
        }
        self.stretch(pull);
        true
    }

    /// Covers this pull as well, wherever it lies.
    pub fn stretch(&mut self, pull: &SuspectPull) {
        let (first, last) = (self.since, self.last.max(self.since));
        self.pulls += u64::from(pull.since < first || pull.since > last);
        self.since = first.min(pull.since);
        self.last = last.max(pull.since);
        self.until = self.until.max(pull.until);
    }
}

/// The suspect pulls of one feed in few words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspectFeed {
    /// Which feed.
    pub feed: Feed,
    /// How many pulls, over all starts.
    pub pulls: u64,
    /// When the newest of their spans began.
    pub since: Timestamp,
    /// When it ended.
    pub until: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pull(since: i64, reason: &str) -> SuspectPull {
        SuspectPull {
            feed: "samples/binary/mapped".parse().unwrap(),
            since: Timestamp::from_micros(since),
            until: Timestamp::from_micros(since + 5),
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn pulls_that_adjoin_for_one_reason_are_one_span_and_each_counts_once() {
        let mut span = SuspectSpan::from(pull(10, "502"));
        assert!(span.takes(&pull(15, "502")) && span.takes(&pull(15, "502")));
        assert_eq!((span.pulls, span.until), (2, Timestamp::from_micros(20)));
    }

    #[test]
    fn another_reason_is_never_swallowed_whenever_it_began() {
        let mut span = SuspectSpan::from(pull(10, "502"));
        span.takes(&pull(20, "502"));
        let before = span.clone();
        for since in [5, 12, 21] {
            assert!(!span.takes(&pull(since, "a file cannot be read")), "{since}");
        }
        assert_eq!(span, before);
    }
}
