//! How far a restore has come, at one moment: what the engine fills, and what reports are made of.
//!
//! Figures are those of all starts of one restore, as its checkpoints keep them.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::feed::{Feed, SourceName};
use crate::ports::restore_state::{EventFigures, StreamFigures};
use crate::restore::selection::Selection;
use crate::timestamp::Timestamp;

pub use crate::restore::plan::{LeftBehind, LeftOut, LeftOutBecause};

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
    #[serde(flatten)]
    pub left_behind: LeftBehind,
    /// What this start has looked for, and not found, in the words of [`Progress::nothing_of`].
    pub empty: Vec<String>,
    /// Bundles that hold another number of events than their names say, seen by this start.
    pub misnamed: u64,
    /// Marks of folders that were passed over.
    pub folder_markers: u64,
    /// Hashes that were asked for, and that no source has.
    pub absent: Vec<String>,
    /// Pages listed and objects passed by, in this start: it rises while anything goes on, also where there is nothing to
    /// restore.
    pub looked_at: u64,
    /// What has to be known of the selection when it is finished.
    #[serde(skip)]
    pub notes: Vec<String>,
}

impl SourceProgress {
    /// Objects that have come to their fate.
    pub fn objects(&self) -> u64 {
        self.figures.objects()
    }
}

/// What became of all events of `figures`; it should be as many as there are.
pub fn accounted(figures: &EventFigures) -> u64 {
    let fates = [figures.accepted, figures.refused, figures.filtered, figures.dead];
    fates.into_iter().fold(0, u64::saturating_add)
}

/// That there are no streams of a source.
pub(super) fn no_streams(source: &SourceName) -> String {
    format!("source {source}: no streams in the bucket")
}

/// That there are no events of a source.
pub(super) fn no_events(source: &SourceName) -> String {
    format!("source {source}: no events in the bucket")
}

/// Whether a source without events is worth a word. `system` is asked for only by name: an Azul in which nothing was
/// ever inserted or deleted by hand has no events of it.
pub(super) fn events_are_expected(source: &SourceName, selection: &Selection) -> bool {
    source.as_str() != SourceName::SYSTEM
        || selection.named_sources().contains(source)
        || selection.keys().is_some()
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

    /// All that was given up has been put back since: it counts as restored.
    pub fn count_as_put_back(&mut self) {
        for StreamFigures { restored, dead, .. } in self.streams.iter_mut().map(|source| &mut source.figures)
        {
            *restored = restored.saturating_add(std::mem::take(dead));
        }
        for figures in self.feeds.iter_mut().map(|feed| &mut feed.figures) {
            let given_up =
                std::mem::take(&mut figures.refused).saturating_add(std::mem::take(&mut figures.dead));
            figures.accepted = figures.accepted.saturating_add(given_up);
            figures.bundles += std::mem::take(&mut figures.unreadable);
        }
    }

    /// The feeds in which events are unaccounted for, or counted twice: this program is wrong then.
    pub fn unsound(&self) -> Vec<&FeedProgress> {
        self.feeds
            .iter()
            .filter(|feed| accounted(&feed.figures) != feed.figures.events)
            .collect()
    }

    /// What was asked for, and of which nothing was found: a failure, unless it is allowed.
    pub fn nothing_of(&self, selection: &Selection) -> Vec<String> {
        let mut nothing = self.absent.clone();
        let by_object = !selection.sha256s().is_empty() || selection.keys().is_some();
        // What is gone was listed, but nothing of it was found.
        let is_empty = |source: &SourceProgress| source.objects() == source.figures.gone;
        if by_object {
            if selection.streams() && self.streams.iter().all(is_empty) {
                nothing.push("none of the streams is in the bucket".to_owned());
            }
        } else {
            let empty = self.streams.iter().filter(|source| is_empty(source));
            nothing.extend(empty.map(|source| no_streams(&source.source)));
        }
        let sources: BTreeSet<&SourceName> = self.feeds.iter().map(|feed| feed.feed.source()).collect();
        for source in sources {
            let mut of_source = self.feeds.iter().filter(|feed| feed.feed.source() == source);
            let is_empty = of_source.all(|feed| feed.figures.bundles + feed.figures.unreadable == 0);
            if events_are_expected(source, selection) && is_empty {
                nothing.push(no_events(source));
            }
        }
        let seen = self.empty.iter().filter(|what| !nothing.contains(what)).cloned();
        let seen: Vec<String> = seen.collect();
        nothing.extend(seen);
        nothing
    }

    /// How much is dead-lettered or refused, in all.
    pub fn given_up(&self) -> u64 {
        let events = self.all_events();
        let given_up = [
            self.all_streams().dead,
            events.refused,
            events.dead,
            events.unreadable,
        ];
        given_up.into_iter().fold(0, u64::saturating_add)
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
        let nothing_of = |change: fn(&mut Asked)| {
            let mut asked = Asked::default();
            change(&mut asked);
            progress.nothing_of(&Selection::of(asked).unwrap())
        };
        assert_eq!(
            nothing_of(|_| {}),
            [
                "source zoo: no streams in the bucket",
                "source zoo: no events in the bucket"
            ]
        );
        let named = nothing_of(|asked| asked.sources = vec![SourceName::new("system").unwrap()]);
        assert!(
            named.contains(&"source system: no events in the bucket".to_owned()),
            "{named:?}"
        );
        let mut aged_off = progress.clone();
        aged_off.streams[0].figures = StreamFigures {
            gone: 3,
            ..StreamFigures::default()
        };
        let nothing = aged_off.nothing_of(&Selection::default());
        assert_eq!(nothing[0], "source abc: no streams in the bucket");
        // A hash lies in one source of many.
        let by_hash = nothing_of(|asked| asked.sha256s = vec![Sha256::of(b"x")]);
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
