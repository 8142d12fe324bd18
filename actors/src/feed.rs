//! What events are pulled from: one feed per source, model and action.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::path_segment::{Unsafe, path_segment};

/// The name of a source, checked to be usable as one segment of a key, a path and a URL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SourceName(Arc<str>);

impl SourceName {
    /// The pseudo-source of insert and delete events.
    pub const SYSTEM: &'static str = "system";

    /// Checks `name`.
    ///
    /// # Errors
    /// [`Unsafe`] if it is empty, `.` or `..`, or holds a slash, a backslash or a control character.
    pub fn new(name: &str) -> Result<Self, Unsafe> {
        path_segment("source", name).map(|()| Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for SourceName {
    type Error = Unsafe;

    fn try_from(name: String) -> Result<Self, Unsafe> {
        Self::new(&name)
    }
}

impl From<SourceName> for String {
    fn from(name: SourceName) -> Self {
        name.as_str().to_owned()
    }
}

/// What kind of event a feed carries; the Avro schema follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// Metadata of a binary.
    Binary,
    /// A binary inserted by hand below another.
    Insert,
    /// A deletion.
    Delete,
}

impl Model {
    /// All models that are backed up.
    pub const ALL: [Self; 3] = [Self::Binary, Self::Insert, Self::Delete];

    /// The name in URLs and keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Insert => "insert",
            Self::Delete => "delete",
        }
    }
}

/// What was done to a binary; `Default` stands in for the models that know no action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It entered the repository.
    Sourced,
    /// It was found inside another.
    Extracted,
    /// Further streams were derived from it.
    Augmented,
    /// It was seen again elsewhere.
    Mapped,
    /// Something was learnt about it.
    Enriched,
    /// The pseudo-action of insert and delete events.
    Default,
}

impl Action {
    /// The actions of binary events, in the order in which feeds are listed.
    pub const BINARY: [Self; 5] = [
        Self::Sourced,
        Self::Extracted,
        Self::Augmented,
        Self::Mapped,
        Self::Enriched,
    ];

    /// The name in URLs and keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sourced => "sourced",
            Self::Extracted => "extracted",
            Self::Augmented => "augmented",
            Self::Mapped => "mapped",
            Self::Enriched => "enriched",
            Self::Default => "default",
        }
    }
}

/// One feed of events. Printed, and parsed, as `source/model/action`, which is also its prefix in the bucket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Feed {
    source: SourceName,
    model: Model,
    action: Action,
}

impl Feed {
    /// The feed of one action of a source's binary events.
    pub fn binary(source: SourceName, action: Action) -> Self {
        Self {
            source,
            model: Model::Binary,
            action,
        }
    }

    /// The feeds of one source: its binary events, action by action.
    pub fn of_source(source: &SourceName) -> impl Iterator<Item = Self> + '_ {
        Action::BINARY
            .into_iter()
            .map(|action| Self::binary(source.clone(), action))
    }

    /// The two feeds of the pseudo-source `system`.
    pub fn of_system() -> [Self; 2] {
        let source = SourceName(SourceName::SYSTEM.into());
        [Model::Insert, Model::Delete].map(|model| Self {
            source: source.clone(),
            model,
            action: Action::Default,
        })
    }

    /// Where the events come from.
    pub fn source(&self) -> &SourceName {
        &self.source
    }

    /// What kind of events.
    pub fn model(&self) -> Model {
        self.model
    }

    /// Which action.
    pub fn action(&self) -> Action {
        self.action
    }

    /// The word that stands for the feed in the name of its consumer group: the action of a binary feed, the
    /// model of a system feed. It must never change, for offsets in Kafka hang on it.
    pub fn event_word(&self) -> &'static str {
        match self.model {
            Model::Binary => self.action.as_str(),
            model => model.as_str(),
        }
    }
}

impl fmt::Display for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}/{}",
            self.source,
            self.model.as_str(),
            self.action.as_str()
        )
    }
}

/// The text does not name a feed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a feed (source/model/action)")]
pub struct NotAFeed(String);

impl FromStr for Feed {
    type Err = NotAFeed;

    fn from_str(text: &str) -> Result<Self, NotAFeed> {
        let parse = || {
            let mut parts = text.split('/');
            let source = SourceName::new(parts.next()?).ok()?;
            let model = parts.next()?;
            let action = parts.next()?;
            if parts.next().is_some() {
                return None;
            }
            let model = Model::ALL.into_iter().find(|known| known.as_str() == model)?;
            let action = Action::BINARY
                .into_iter()
                .chain([Action::Default])
                .find(|known| known.as_str() == action)?;
            ((model == Model::Binary) != (action == Action::Default)).then_some(Self {
                source,
                model,
                action,
            })
        };
        parse().ok_or_else(|| NotAFeed(text.to_owned()))
    }
}

impl TryFrom<String> for Feed {
    type Error = NotAFeed;

    fn try_from(text: String) -> Result<Self, NotAFeed> {
        text.parse()
    }
}

impl From<Feed> for String {
    fn from(feed: Feed) -> Self {
        feed.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_five_feeds_and_the_system_two() {
        let samples = SourceName::new("samples").unwrap();
        let feeds: Vec<String> = Feed::of_source(&samples)
            .chain(Feed::of_system())
            .map(|feed| feed.to_string())
            .collect();
        assert_eq!(
            feeds,
            [
                "samples/binary/sourced",
                "samples/binary/extracted",
                "samples/binary/augmented",
                "samples/binary/mapped",
                "samples/binary/enriched",
                "system/insert/default",
                "system/delete/default",
            ]
        );
        for feed in feeds {
            assert_eq!(feed.parse::<Feed>().unwrap().to_string(), feed);
        }
    }

    #[test]
    fn text_that_names_no_feed_is_refused() {
        for text in [
            "",
            "a/binary",
            "a/binary/default",
            "a/insert/sourced",
            "../binary/sourced",
            "a/b/binary/sourced",
        ] {
            assert!(text.parse::<Feed>().is_err(), "{text}");
        }
    }
}
