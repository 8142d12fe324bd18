//! What of the backup is to be restored.
//!
//! # What is asked for, and what that means
//! | option | selects |
//! | --- | --- |
//! | nothing | every source that is configured and not excluded, and `system`: streams, and all feeds |
//! | source | only these sources. `system` is one of its own: its insertions and deletions come only if it is named |
//! | label, sha256 | of the streams only these; **no events**, unless an action, a model or a time asks for some |
//! | action, model | of the feeds only these; those of `system` have the action `default`. **No streams**, unless a label or a hash asks for some |
//! | since, until | of the events only those whose own time lies in the [`Window`], its end not included. **No streams**, as above: they have no time of their own. Which bundles are read for them, their names tell, unless every one is to be read |
//! | keys | exactly these objects; goes with none of the above |
//!
//! What is given of different options must all hold, what is given several times of one option is either. The type
//! ([`RestoreType`]) is stronger: where it leaves nothing of what an option asks for, that is [`Senseless`], and so
//! is every other combination that could restore nothing.

mod keys_file;
mod window;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use crate::feed::{Action, Feed, Model, SourceName};
use crate::path_segment::{Unsafe, path_segment};
use crate::stream_id::Sha256;
use crate::timestamp::Timestamp;

pub use keys_file::{BadKeys, BundleNames, Keys};
pub use window::{NotAMoment, UNTIMED, WantedBundles, Window, moment};

/// Which of the two buckets are restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RestoreType {
    /// Streams, then events.
    #[default]
    All,
    /// Streams alone.
    Streams,
    /// Events alone.
    Events,
}

impl RestoreType {
    /// As it is written in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Streams => "streams",
            Self::Events => "events",
        }
    }
}

/// The options as they were given; empty where they were not.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// `BK__RESTORE_TYPE`.
    pub restore_type: RestoreType,
    /// `--source`.
    pub sources: Vec<SourceName>,
    /// `--action`.
    pub actions: Vec<Action>,
    /// `--model`.
    pub models: Vec<Model>,
    /// `--since`, `--until`, `--read-every-bundle`.
    pub window: Window,
    /// `--label`, checked by [`label`].
    pub labels: Vec<String>,
    /// `--sha256`.
    pub sha256s: Vec<Sha256>,
    /// `--keys-from`.
    pub keys: Option<Keys>,
}

/// Why a selection could restore nothing; for people, in the words of the command line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Senseless(String);

/// What is to be restored; see the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    restore_type: RestoreType,
    sources: BTreeSet<SourceName>,
    actions: BTreeSet<Action>,
    models: BTreeSet<Model>,
    window: Window,
    labels: BTreeSet<String>,
    sha256s: BTreeSet<Sha256>,
    /// However many: clones share them.
    keys: Option<Arc<Keys>>,
    notes: Vec<String>,
}

/// A label that can stand in a key.
///
/// # Errors
/// It cannot.
pub fn label(text: &str) -> Result<String, Unsafe> {
    path_segment("label", text).map(|()| text.to_owned())
}

impl Selection {
    /// Makes sense of what is asked for.
    ///
    /// # Errors
    /// Everything that makes no sense.
    pub fn of(asked: Asked) -> Result<Self, Vec<Senseless>> {
        let mut faults = Vec::new();
        let mut selection = Self {
            restore_type: asked.restore_type,
            sources: asked.sources.into_iter().collect(),
            actions: asked.actions.into_iter().collect(),
            models: asked.models.into_iter().collect(),
            window: asked.window,
            labels: asked.labels.into_iter().collect(),
            sha256s: asked.sha256s.into_iter().collect(),
            keys: asked.keys.map(Arc::new),
            notes: Vec::new(),
        };
        if selection.keys.is_some() {
            selection.narrow_to_keys(&mut faults);
        } else {
            selection.narrow(&mut faults);
        }
        match faults.is_empty() {
            true => Ok(selection),
            false => Err(faults.into_iter().map(Senseless).collect()),
        }
    }

    fn narrow_to_keys(&mut self, faults: &mut Vec<String>) {
        let others = [self.stream_options(), self.event_options()].concat();
        if !self.sources.is_empty() || !others.is_empty() || self.window.every_bundle {
            faults.push(
                "--keys-from names exactly what is restored: it goes with no other option that selects"
                    .to_owned(),
            );
        }
        let (streams, bundles) = match &self.keys {
            Some(keys) => (keys.stream_count(), keys.bundle_count()),
            None => return,
        };
        match (self.restore_type, streams, bundles) {
            (RestoreType::Streams, _, 1..) => faults.push(format!(
                "--keys-from names {bundles} bundles of events, and BK__RESTORE_TYPE=streams restores none"
            )),
            (RestoreType::Events, 1.., _) => faults.push(format!(
                "--keys-from names {streams} streams, and BK__RESTORE_TYPE=events restores none"
            )),
            (RestoreType::All, _, 0) => self.restore_type = RestoreType::Streams,
            (RestoreType::All, 0, _) => self.restore_type = RestoreType::Events,
            _ => {}
        }
    }

    fn narrow(&mut self, faults: &mut Vec<String>) {
        let (of_streams, of_events) = (self.stream_options(), self.event_options());
        for (options, excluded, what) in [
            (&of_streams, RestoreType::Events, "streams"),
            (&of_events, RestoreType::Streams, "events"),
        ] {
            if self.restore_type == excluded && !options.is_empty() {
                let (options, excluded) = (options.join(" and "), excluded.as_str());
                faults.push(format!(
                    "{options} can only select {what}, and BK__RESTORE_TYPE={excluded} restores none"
                ));
            }
        }
        if let Window {
            since: Some(since),
            until: Some(until),
            ..
        } = self.window
            && since >= until
        {
            faults.push(format!(
                "--since {since} is not before --until {until}: no event lies between them"
            ));
        }
        if self.window.every_bundle && self.window.is_unbounded() {
            faults.push(
                "--read-every-bundle says which bundles are read for --since and --until, and neither is given: all of \
                 them are read without it"
                    .to_owned(),
            );
        }
        let only_system = !self.sources.is_empty() && self.sources.iter().all(is_system);
        if only_system && (self.restore_type == RestoreType::Streams || !of_streams.is_empty()) {
            faults.push("--source system has events only: there are no streams of it".to_owned());
        }
        if faults.is_empty() {
            self.settle_type(&of_streams, &of_events, only_system);
        }
        if faults.is_empty() && self.events() && !self.selects_any_feed() {
            faults.push(
                "no feed is of that --source, --model and --action: insert and delete are models of the source system \
                 with the action default, and binary is the model of all other sources and actions"
                    .to_owned(),
            );
        }
    }

    /// Which of both it comes to, and what of it may surprise.
    fn settle_type(&mut self, of_streams: &[&str], of_events: &[&str], only_system: bool) {
        self.restore_type = match (of_streams.is_empty(), of_events.is_empty()) {
            (false, true) => RestoreType::Streams,
            (true, false) => RestoreType::Events,
            _ if only_system => RestoreType::Events,
            _ => self.restore_type,
        };
        if !of_events.is_empty() && !self.streams() {
            self.notes.push(format!(
                "no streams are restored: {} can only select events; restore the streams with --source, --label or \
                 BK__RESTORE_TYPE=streams",
                of_events.join(" and ")
            ));
        }
        self.notes.extend(self.window_note().map(str::to_owned));
        if !of_streams.is_empty() && !self.events() {
            let options = of_streams.join(" and ");
            self.notes.push(format!(
                "no events are restored: {options} can only select streams"
            ));
        }
        if self.events() && !self.sources.is_empty() && !self.sources.iter().any(is_system) {
            self.notes.push(
                "no insert and delete events are restored: they belong to --source system, which is not named".to_owned(),
            );
        }
    }

    fn stream_options(&self) -> Vec<&'static str> {
        given([
            ("--label", !self.labels.is_empty()),
            ("--sha256", !self.sha256s.is_empty()),
        ])
    }

    fn event_options(&self) -> Vec<&'static str> {
        given([
            ("--action", !self.actions.is_empty()),
            ("--model", !self.models.is_empty()),
            ("--since", self.window.since.is_some()),
            ("--until", self.window.until.is_some()),
        ])
    }

    fn selects_any_feed(&self) -> bool {
        let others = match self.sources.iter().find(|source| !is_system(source)) {
            Some(source) => Feed::of_source(source).any(|feed| self.wants_feed(&feed)),
            None => {
                self.sources.is_empty()
                    && (self.models.is_empty() || self.models.contains(&Model::Binary))
                    && (self.actions.is_empty()
                        || self.actions.iter().any(|action| *action != Action::Default))
            }
        };
        others || Feed::of_system().iter().any(|feed| self.wants_feed(feed))
    }

    /// Whether any streams are to be restored.
    pub fn streams(&self) -> bool {
        self.restore_type != RestoreType::Events
    }

    /// Whether any events are to be restored.
    pub fn events(&self) -> bool {
        self.restore_type != RestoreType::Streams
    }

    /// The sources that were asked for by name; empty if none were.
    pub fn named_sources(&self) -> &BTreeSet<SourceName> {
        &self.sources
    }

    /// The sources whose streams are restored, in their order; `by_default` are those that are configured and not
    /// excluded.
    pub fn stream_sources(&self, by_default: &[SourceName]) -> Vec<SourceName> {
        match &self.keys {
            _ if !self.streams() => Vec::new(),
            Some(keys) => keys.stream_sources().into_iter().collect(),
            None => self.chosen(by_default),
        }
    }

    /// The feeds that are restored: first those of `system`, then the others, source by source in their order.
    pub fn feeds(&self, by_default: &[SourceName]) -> Vec<Feed> {
        if !self.events() {
            return Vec::new();
        }
        let sources = match &self.keys {
            Some(keys) => {
                let sources: BTreeSet<_> = keys.feeds().iter().map(|feed| feed.source().clone()).collect();
                sources.into_iter().filter(|source| !is_system(source)).collect()
            }
            None => self.chosen(by_default),
        };
        let others = sources.iter().flat_map(Feed::of_source);
        Feed::of_system()
            .into_iter()
            .chain(others)
            .filter(|feed| self.wants_feed(feed))
            .collect()
    }

    fn chosen(&self, by_default: &[SourceName]) -> Vec<SourceName> {
        let mut chosen: Vec<SourceName> = match self.sources.is_empty() {
            true => by_default.to_vec(),
            false => self
                .sources
                .iter()
                .filter(|source| !is_system(source))
                .cloned()
                .collect(),
        };
        chosen.sort();
        chosen
    }

    fn wants_feed(&self, feed: &Feed) -> bool {
        if let Some(keys) = &self.keys {
            return keys.feeds().contains(feed);
        }
        (self.sources.is_empty() || self.sources.contains(feed.source()))
            && (self.actions.is_empty() || self.actions.contains(&feed.action()))
            && (self.models.is_empty() || self.models.contains(&feed.model()))
    }

    /// Whether streams of this label are restored.
    pub fn wants_label(&self, label: &str) -> bool {
        self.labels.is_empty() || self.labels.contains(label)
    }

    /// The labels that were asked for; empty if all are restored.
    pub fn labels(&self) -> &BTreeSet<String> {
        &self.labels
    }

    /// The hashes that were asked for: then nothing has to be listed but the labels of the sources. Empty if streams
    /// are not selected by hash.
    pub fn sha256s(&self) -> &BTreeSet<Sha256> {
        &self.sha256s
    }

    /// Exactly these objects, if they were named by key.
    pub fn keys(&self) -> Option<&Keys> {
        self.keys.as_deref()
    }

    /// Which events of a bundle are restored, and which bundles have to be read.
    pub fn window(&self) -> Window {
        self.window
    }

    /// What may be missing where bundles are chosen by their names.
    pub fn window_note(&self) -> Option<&'static str> {
        let Window { every_bundle, .. } = self.window;
        let is_by_name = self.events() && !self.window.is_unbounded() && !every_bundle;
        is_by_name.then_some(
            "bundles were chosen for --since and --until by the time in their names, and a day more on either side: in \
             the backup of an Azul that was itself restored once, events of that time may lie in bundles of any other; \
             --read-every-bundle reads all bundles and goes by the events alone, which takes longer",
        )
    }

    /// What of it may surprise whoever made it.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// One text for it, whatever the order of options: JSON of what is not left to its default.
    pub fn canonical(&self) -> String {
        /// The order of these fields must not change: checkpoints hang on the text.
        #[derive(Serialize)]
        struct Canonical<'a> {
            restore: RestoreType,
            #[serde(skip_serializing_if = "BTreeSet::is_empty")]
            sources: &'a BTreeSet<SourceName>,
            #[serde(skip_serializing_if = "BTreeSet::is_empty")]
            actions: &'a BTreeSet<Action>,
            #[serde(skip_serializing_if = "BTreeSet::is_empty")]
            models: &'a BTreeSet<Model>,
            #[serde(skip_serializing_if = "Option::is_none")]
            since: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            until: Option<String>,
            #[serde(skip_serializing_if = "BTreeSet::is_empty")]
            labels: &'a BTreeSet<String>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            sha256s: Vec<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            keys: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            read_every_bundle: Option<bool>,
        }
        let canonical = Canonical {
            restore: self.restore_type,
            sources: &self.sources,
            actions: &self.actions,
            models: &self.models,
            since: self.window.since.as_ref().map(Timestamp::to_string),
            until: self.window.until.as_ref().map(Timestamp::to_string),
            labels: &self.labels,
            sha256s: self.sha256s.iter().map(Sha256::to_string).collect(),
            keys: self
                .keys
                .as_ref()
                .map(|keys| format!("{} of SHA-256 {}", keys.len(), keys.digest())),
            read_every_bundle: self.window.every_bundle.then_some(true),
        };
        serde_json::to_string(&canonical).expect("text, and lists of text, can always be written as JSON")
    }
}

fn is_system(source: &SourceName) -> bool {
    source.as_str() == SourceName::SYSTEM
}

fn given<const N: usize>(options: [(&'static str, bool); N]) -> Vec<&'static str> {
    options
        .into_iter()
        .filter(|(_, given)| *given)
        .map(|(name, _)| name)
        .collect()
}

#[cfg(test)]
mod tests;
