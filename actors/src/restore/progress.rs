//! How far a restore has come, at one moment: what the engine fills, and what reports are made of.
//!
//! Figures are those of all starts of one restore, as its checkpoints keep them.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::feed::{Feed, SourceName};
use crate::ports::restore_state::{EventFigures, StreamFigures};
use crate::restore::selection::Selection;
use crate::timestamp::Timestamp;

/// What is being done; in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Bucket, dispatcher and local state are looked at.
    #[default]
    Starting,
    /// Streams, source by source.
    Streams,
    /// The feeds of `system`, one after the other.
    SystemEvents,
    /// All other feeds, side by side.
    Events,
    /// The bucket is listed once more, for what came into it meanwhile.
    LastPass,
    /// Nothing more is done.
    Ended,
}

impl Stage {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Streams => "streams",
            Self::SystemEvents => "events of system",
            Self::Events => "events",
            Self::LastPass => "last pass",
            Self::Ended => "ended",
        }
    }
}

/// How much there is, once somebody has counted; what comes into the bucket later is not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Total {
    /// Objects: streams, or bundles.
    pub objects: u64,
    /// Of bundles: the events that their names tell.
    pub events: u64,
    /// Bytes, as stored.
    pub bytes: u64,
}

/// How far the streams of a source have come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceProgress {
    /// Which source.
    pub source: SourceName,
    /// What became of them.
    pub figures: StreamFigures,
    /// How much there is, where it is known.
    pub total: Option<Total>,
    /// Whether it is being worked on now.
    pub is_active: bool,
    /// Whether this start has gone through all of it.
    pub is_done: bool,
}

/// How far a feed has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FeedProgress {
    /// Which feed.
    pub feed: Feed,
    /// What became of its events.
    pub figures: EventFigures,
    /// Of the events in its bundles: those that the selection leaves out, by their own time.
    pub not_wanted: u64,
    /// How much there is, where it is known.
    pub total: Option<Total>,
    /// The time in the name of the last bundle that is done.
    #[serde(serialize_with = "crate::timestamp::rfc3339_or_null")]
    pub reached: Option<Timestamp>,
    /// Whether it is being worked on now.
    pub is_active: bool,
    /// Whether this start has gone through all of it.
    pub is_done: bool,
}

/// Why something that lies in the bucket is not restored although nobody chose so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeftOutBecause {
    /// The settings do not name its source.
    NotConfigured,
    /// The settings exclude its source.
    Excluded,
}

/// A source that lies in the bucket and is not restored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LeftOut {
    /// The name of its folder; any text.
    pub source: String,
    /// Why.
    pub because: LeftOutBecause,
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let source = self.source.escape_debug();
        match self.because {
            LeftOutBecause::NotConfigured => {
                write!(
                    f,
                    "source `{source}` is in the bucket, not in BK__SOURCES, not restored"
                )
            }
            LeftOutBecause::Excluded => write!(
                f,
                "source `{source}` is in the bucket, excluded_from_backup in BK__SOURCES, not restored (--source {source} \
                 restores it)"
            ),
        }
    }
}

/// How far everything has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// Of streams, source by source in the order in which they are restored.
    pub streams: Vec<SourceProgress>,
    /// Of events, feed by feed in the order in which they are restored.
    pub feeds: Vec<FeedProgress>,
    /// What lies in the bucket and is not restored.
    pub left_out: Vec<LeftOut>,
    /// Hashes that were asked for, and that no source has.
    pub absent: Vec<String>,
}

impl SourceProgress {
    /// Objects that have come to their fate.
    pub fn objects(&self) -> u64 {
        self.figures.objects()
    }
}

/// What became of all events of `figures`; it should be as many as there are.
pub fn accounted(figures: &EventFigures) -> u64 {
    figures.accepted + figures.refused + figures.filtered + figures.dead
}

impl Progress {
    /// All streams together.
    pub fn all_streams(&self) -> StreamFigures {
        self.streams.iter().map(|source| source.figures).sum()
    }

    /// All events together.
    pub fn all_events(&self) -> EventFigures {
        self.feeds.iter().map(|feed| feed.figures).sum()
    }

    /// The feeds in which events are unaccounted for, or counted twice: this program is wrong then.
    pub fn unsound(&self) -> Vec<&FeedProgress> {
        self.feeds
            .iter()
            .filter(|feed| accounted(&feed.figures) != feed.figures.events)
            .collect()
    }

    /// What was asked for, and of which nothing was found: a failure, unless it is allowed. `system` is asked for only
    /// by name: an Azul in which nothing was ever inserted or deleted by hand has no events of it.
    pub fn nothing_of(&self, selection: &Selection) -> Vec<String> {
        let mut nothing = self.absent.clone();
        let by_object = !selection.sha256s().is_empty() || selection.keys().is_some();
        let is_empty = |source: &SourceProgress| source.objects() == 0;
        if by_object {
            if selection.streams() && self.streams.iter().all(is_empty) {
                nothing.push("none of the streams is in the bucket".to_owned());
            }
        } else {
            let empty = self.streams.iter().filter(|source| is_empty(source));
            nothing.extend(empty.map(|source| format!("source {}: no streams in the bucket", source.source)));
        }
        let sources: BTreeSet<&SourceName> = self.feeds.iter().map(|feed| feed.feed.source()).collect();
        for source in sources {
            let mut of_source = self.feeds.iter().filter(|feed| feed.feed.source() == source);
            let is_asked = source.as_str() != SourceName::SYSTEM
                || selection.named_sources().contains(source)
                || selection.keys().is_some();
            if is_asked && of_source.all(|feed| feed.figures.bundles + feed.figures.unreadable == 0) {
                nothing.push(format!("source {source}: no events in the bucket"));
            }
        }
        nothing
    }

    /// How much is dead-lettered or refused, in all.
    pub fn given_up(&self) -> u64 {
        let events = self.all_events();
        self.all_streams().dead + events.refused + events.dead + events.unreadable
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::selection::Asked;
    use crate::stream_id::Sha256;

    #[test]
    fn events_that_no_fate_accounts_for_are_found() {
        let feed = |events| FeedProgress {
            feed: "samples/binary/mapped".parse().unwrap(),
            figures: EventFigures {
                events,
                accepted: 5,
                refused: 2,
                filtered: 1,
                dead: 1,
                ..EventFigures::default()
            },
            not_wanted: 0,
            total: None,
            reached: None,
            is_active: false,
            is_done: false,
        };
        for (events, unsound) in [(9, 0), (10, 1), (8, 1)] {
            let progress = Progress {
                feeds: vec![feed(events)],
                ..Progress::default()
            };
            assert_eq!(progress.unsound().len(), unsound, "{events}");
            assert_eq!((progress.given_up(), progress.all_events().events), (3, events));
        }
    }

    #[test]
    fn what_was_asked_for_and_not_found_is_told() {
        let source = |name: &str, restored| SourceProgress {
            source: SourceName::new(name).unwrap(),
            figures: StreamFigures {
                restored,
                ..StreamFigures::default()
            },
            total: None,
            is_active: false,
            is_done: false,
        };
        let feed = |name: &str, bundles| FeedProgress {
            feed: name.parse().unwrap(),
            figures: EventFigures {
                bundles,
                ..EventFigures::default()
            },
            not_wanted: 0,
            total: None,
            reached: None,
            is_active: false,
            is_done: false,
        };
        let progress = Progress {
            streams: vec![source("abc", 1), source("zoo", 0)],
            feeds: vec![
                feed("system/insert/default", 0),
                feed("abc/binary/mapped", 0),
                feed("abc/binary/sourced", 1),
                feed("zoo/binary/sourced", 0),
            ],
            ..Progress::default()
        };
        let nothing = |change: fn(&mut Asked)| {
            let mut asked = Asked::default();
            change(&mut asked);
            progress.nothing_of(&Selection::of(asked).unwrap())
        };
        assert_eq!(
            nothing(|_| {}),
            [
                "source zoo: no streams in the bucket",
                "source zoo: no events in the bucket"
            ]
        );
        let named = nothing(|asked| asked.sources = vec![SourceName::new("system").unwrap()]);
        assert!(
            named.contains(&"source system: no events in the bucket".to_owned()),
            "{named:?}"
        );
        // A hash lies in one source of many.
        let by_hash = nothing(|asked| asked.sha256s = vec![Sha256::of(b"x")]);
        assert!(
            !by_hash.iter().any(|text| text.contains("streams")),
            "{by_hash:?}"
        );
    }

    #[test]
    fn stages_are_in_the_order_of_the_restore() {
        assert!(Stage::Streams < Stage::SystemEvents && Stage::SystemEvents < Stage::Events);
        assert!(Stage::Events < Stage::LastPass && Stage::LastPass < Stage::Ended);
    }
}
