//! What lies in the bucket and is not restored, without anybody having chosen so: sources that are not configured,
//! folders that are no feed, such as those of models to come, and keys in no folder where streams or bundles lie.

use std::fmt;

use super::*;
use crate::fault::{Fault, FaultKind};
use crate::ports::archive::ListedObject;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeftBehind {
    /// Sources.
    #[serde(rename = "left_out")]
    pub sources: Vec<LeftOut>,
    /// Folders of sources that are restored: `samples/binary/rescored/`. Any text.
    #[serde(rename = "left_folders")]
    pub folders: Vec<String>,
    /// Keys in no folder of a label, or of a feed.
    #[serde(rename = "stray_keys")]
    pub strays: Unreadable,
    /// What could not be looked at, and why.
    #[serde(rename = "not_looked_at")]
    pub unknown: Vec<String>,
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

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

/// Most sources that are told as left out.
const MOST_LEFT_OUT: usize = 1000;

impl LeftBehind {
    /// Everything but the sources, as it stands in a plan.
    pub(super) fn odd(&self) -> Vec<Odd> {
        let notes = self.folders.iter().map(|folder| {
            let folder = folder.escape_debug();
            Odd::told(format!(
                "`{folder}` is no feed that this program knows: not restored"
            ))
        });
        let strays = (self.strays.count > 0).then(|| {
            Odd::told(format!(
                "{} keys lie in no folder of a label or a feed, and are not restored: {}",
                self.strays.count,
                odd::examples(&self.strays)
            ))
        });
        let unknown = self.unknown.iter().cloned().map(Odd::against);
        notes.chain(strays).chain(unknown).collect()
    }

    /// All of it, each in a sentence without its full stop.
    pub fn notes(&self) -> Vec<String> {
        let odd = self.odd().into_iter().map(|odd| odd.what);
        self.sources.iter().map(ToString::to_string).chain(odd).collect()
    }

    /// All of it in a few words each.
    pub fn names(&self) -> Vec<String> {
        let sources = self.sources.iter();
        let sources = sources.map(|left_out| format!("source `{}`", left_out.source.escape_debug()));
        let folders = self.folders.iter();
        let folders = folders.map(|folder| format!("`{}`", folder.escape_debug()));
        let strays = (self.strays.count > 0).then(|| format!("{} stray keys", self.strays.count));
        let unknown =
            (!self.unknown.is_empty()).then(|| "what could not be looked at (see above)".to_owned());
        sources.chain(folders).chain(strays).chain(unknown).collect()
    }

    fn note_strays(&mut self, objects: &[ListedObject]) {
        let strays = objects
            .iter()
            .filter(|object| !listed_key::is_folder_marker(object));
        strays.for_each(|object| self.strays.add(&object.key));
    }

    fn not_known(&mut self, prefix: &str, fault: &Fault) {
        if fault.kind() != FaultKind::Cancelled {
            let place = if prefix.is_empty() { "the bucket" } else { prefix };
            self.unknown
                .push(format!("folders of {place} cannot be listed: {fault}"));
        }
    }
}

impl Planner<'_> {
    /// In these stores, as far as they are selected. Who names sources has chosen, as has who names keys.
    pub(super) async fn left_behind(&self, stores: &BTreeSet<Store>) -> LeftBehind {
        let selection = &self.terms.selection;
        let mut left = LeftBehind::default();
        if selection.keys().is_some() {
            return left;
        }
        if selection.events() && stores.contains(&Store::Events) {
            let feeds = selection.feeds(&self.terms.restored);
            self.folders_of_no_feed(&feeds, &mut left).await;
        }
        if selection.named_sources().is_empty() {
            for (store, is_selected) in [
                (Store::Streams, selection.streams()),
                (Store::Events, selection.events()),
            ] {
                if is_selected && stores.contains(&store) {
                    self.left_out(store, &mut left).await;
                }
            }
        }
        left
    }

    /// Where a source is restored as a whole: folders of it that are no feed, such as those of models to come.
    async fn folders_of_no_feed(&self, feeds: &[Feed], left: &mut LeftBehind) {
        let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let all = feeds.iter().flat_map(|feed| match feed.source().as_str() {
            SourceName::SYSTEM => Feed::of_system().to_vec(),
            _ => Feed::of_source(feed.source()).collect(),
        });
        for feed in all {
            let [source, model, action] = [
                feed.source().as_str(),
                feed.model().as_str(),
                feed.action().as_str(),
            ];
            known
                .entry(format!("{source}/"))
                .or_default()
                .insert(model.to_owned());
            known
                .entry(format!("{source}/{model}/"))
                .or_default()
                .insert(action.to_owned());
        }
        for (prefix, folders) in known {
            // The first page is enough: there are a handful, or something is very wrong.
            match self.lister.folders(Store::Events, &prefix, None).await {
                Ok(page) => {
                    left.note_strays(&page.objects);
                    let strange = page.folders.iter().filter(|folder| !folders.contains(*folder));
                    left.folders
                        .extend(strange.map(|folder| format!("{prefix}{folder}/")));
                }
                Err(fault) => left.not_known(&prefix, &fault),
            }
        }
    }

    /// Sources that lie in the bucket and are not restored, without anybody having chosen so.
    async fn left_out(&self, store: Store, left: &mut LeftBehind) {
        let mut after = None;
        loop {
            let page = match self.lister.folders(store, "", after.as_deref()).await {
                Ok(page) => page,
                Err(fault) => return left.not_known("", &fault),
            };
            left.note_strays(&page.objects);
            for source in page.folders {
                let has = |sources: &[SourceName]| sources.iter().any(|known| known.as_str() == source);
                let because = match () {
                    () if has(&self.terms.restored) || source == SourceName::SYSTEM => continue,
                    () if has(&self.terms.excluded) => LeftOutBecause::Excluded,
                    () => LeftOutBecause::NotConfigured,
                };
                let left_out = LeftOut { source, because };
                if left.sources.len() < MOST_LEFT_OUT && !left.sources.contains(&left_out) {
                    left.sources.push(left_out);
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return,
            }
        }
    }
}
