//! What a restore would do, and what looks wrong: a look at the listings of the backup, which writes nothing.
//!
//! Listings are read page by page, a bounded number at a time, and only counted: memory grows with the number of
//! labels and feeds, not of objects. Nothing that is odd is passed over: keys that stand for nothing, folders that are
//! no feed, sources that nobody configured are all told.

mod left_behind;
mod listing;
mod odd;
mod tally;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;
use tokio::sync::Semaphore;

use self::listing::Lister;
use crate::feed::{Feed, SourceName};
use crate::ports::archive::{Archive, Store};
use crate::restore::listed_key;
use crate::restore::selection::{Keys, Selection};
use crate::retry::RetryPolicy;
use crate::stop::StopFlag;
use crate::stream_id::Sha256;

pub use left_behind::{LeftBehind, LeftOut, LeftOutBecause};
pub use odd::{Odd, Weight};
pub use tally::{MOST_EXAMPLES, Tally, Unreadable};

/// What a plan is made by.
#[derive(Clone, Debug)]
pub struct PlanTerms {
    /// What is to be restored.
    pub selection: Selection,
    /// The sources that are restored where none is named.
    pub restored: Vec<SourceName>,
    /// The sources that are restored only where they are named.
    pub excluded: Vec<SourceName>,
    /// Whether there is a key for encrypted objects.
    pub can_decrypt: bool,
    /// How often a request is tried.
    pub retry: RetryPolicy,
    /// How many requests at once; at least 1.
    pub at_once: usize,
}

/// What would be restored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Streams, source by source in the order of the restore.
    pub streams: Vec<SourcePlan>,
    /// Events, feed by feed in the order of the restore.
    pub feeds: Vec<FeedPlan>,
    /// What lies in the bucket and is not restored.
    pub left_behind: LeftBehind,
    /// Keys that stand for nothing, where streams and bundles should be: each becomes a dead letter.
    pub unreadable: Unreadable,
    /// What looks wrong.
    pub odd: Vec<Odd>,
}

/// The streams of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourcePlan {
    /// Which source.
    pub source: SourceName,
    /// What there is of each label, in their order.
    pub labels: Vec<LabelPlan>,
    /// Why not all labels are known.
    pub fault: Option<String>,
}

/// The streams of a label of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabelPlan {
    /// Which label; [`OTHER_LABELS`] for all beyond the first [`MOST_LABELS`].
    pub label: String,
    /// What there is of it.
    #[serde(flatten)]
    pub tally: Tally,
}

/// The events of a feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FeedPlan {
    /// Which feed.
    pub feed: Feed,
    /// What there is of it.
    #[serde(flatten)]
    pub tally: Tally,
}

/// So many labels of a source are told one by one: keys in the wrong place may look like any number of labels.
pub const MOST_LABELS: usize = 1000;

/// Stands for the labels that are not told one by one.
pub const OTHER_LABELS: &str = "(others)";

/// How many sources, labels or feeds are looked at together; requests are bounded by [`PlanTerms::at_once`].
const SIDE_BY_SIDE: usize = 16;

impl SourcePlan {
    /// All labels together.
    pub fn all(&self) -> Tally {
        sum(self.labels.iter().map(|label| &label.tally))
    }
}

impl Plan {
    /// All streams together.
    pub fn all_streams(&self) -> Tally {
        sum(self
            .streams
            .iter()
            .flat_map(|source| &source.labels)
            .map(|label| &label.tally))
    }

    /// All events together.
    pub fn all_events(&self) -> Tally {
        sum(self.feeds.iter().map(|feed| &feed.tally))
    }

    /// Whether something stands against it: then it would end with a failure.
    pub fn is_doubtful(&self, allow_empty: bool) -> bool {
        self.odd.iter().any(|odd| match odd.weight {
            Weight::Against => true,
            Weight::Empty => !allow_empty,
            Weight::Told | Weight::Dead => false,
        })
    }

    /// Whether it would end with dead letters.
    pub fn has_dead_letters(&self) -> bool {
        self.odd.iter().any(|odd| odd.weight == Weight::Dead)
    }
}

fn sum<'a>(tallies: impl Iterator<Item = &'a Tally>) -> Tally {
    tallies.fold(Tally::default(), |mut all, tally| {
        all.merge(tally.clone());
        all
    })
}

/// Looks at the backup, and at nothing else.
pub async fn plan(archive: &dyn Archive, terms: &PlanTerms, stop: &StopFlag) -> Plan {
    let planner = Planner::new(archive, terms, stop);
    let mut plan = Plan::default();
    let stores = planner.stores(&mut plan).await;
    plan.left_behind = planner.left_behind(&stores).await;
    plan.odd.extend(plan.left_behind.odd());
    planner.amounts(plan, &stores).await
}

/// The same without what is left behind.
pub async fn amounts(archive: &dyn Archive, terms: &PlanTerms, stop: &StopFlag) -> Plan {
    let planner = Planner::new(archive, terms, stop);
    let mut plan = Plan::default();
    let stores = planner.stores(&mut plan).await;
    planner.amounts(plan, &stores).await
}

/// What lies in the bucket and is not restored although nobody chose so: a handful of listings.
pub async fn left_behind(archive: &dyn Archive, terms: &PlanTerms, stop: &StopFlag) -> LeftBehind {
    let both = BTreeSet::from([Store::Streams, Store::Events]);
    Planner::new(archive, terms, stop).left_behind(&both).await
}

struct Planner<'a> {
    lister: Lister<'a>,
    terms: &'a PlanTerms,
    /// Of the hashes that are asked for, those that are there.
    found: RefCell<BTreeSet<Sha256>>,
}

impl<'a> Planner<'a> {
    fn new(archive: &'a dyn Archive, terms: &'a PlanTerms, stop: &'a StopFlag) -> Self {
        let lister = Lister {
            archive,
            retry: &terms.retry,
            stop,
            calls: Semaphore::new(terms.at_once.max(1)),
        };
        Self {
            lister,
            terms,
            found: RefCell::default(),
        }
    }

    async fn amounts(self, mut plan: Plan, stores: &BTreeSet<Store>) -> Plan {
        match self.terms.selection.keys() {
            Some(keys) => self.keys(keys, stores, &mut plan).await,
            None => self.sources(stores, &mut plan).await,
        }
        let found = self.found.into_inner();
        odd::conclude(&mut plan, self.terms, stores, &found);
        plan
    }

    /// The stores that are selected and can be read; what is wrong with the others stands in the plan.
    async fn stores(&self, plan: &mut Plan) -> BTreeSet<Store> {
        let selection = &self.terms.selection;
        let mut usable = BTreeSet::new();
        for (store, is_selected) in [
            (Store::Streams, selection.streams()),
            (Store::Events, selection.events()),
        ] {
            if !is_selected {
                continue;
            }
            match self.lister.page(store, "", None).await {
                Ok(page) if page.objects.is_empty() => plan.odd.push(Odd::empty_store(store)),
                Ok(_) => {
                    usable.insert(store);
                }
                Err(fault) => plan.odd.push(Odd::no_store(store, &fault)),
            }
        }
        usable
    }

    async fn sources(&self, stores: &BTreeSet<Store>, plan: &mut Plan) {
        let selection = &self.terms.selection;
        if stores.contains(&Store::Streams) {
            let sources = selection.stream_sources(&self.terms.restored);
            let streams = sources.into_iter().map(|source| self.source(source));
            let mut streams = stream::iter(streams).buffered(SIDE_BY_SIDE);
            while let Some((source, unreadable)) = streams.next().await {
                plan.unreadable.merge(&unreadable);
                plan.streams.push(source);
            }
        }
        if stores.contains(&Store::Events) {
            let feeds = selection.feeds(&self.terms.restored);
            let tallies = feeds.iter().map(|feed| self.feed(feed));
            let mut tallies = stream::iter(tallies).buffered(SIDE_BY_SIDE);
            while let Some(feed) = tallies.next().await {
                plan.feeds.push(feed);
            }
        }
    }

    /// The streams of a source, with the keys that lie in no label.
    async fn source(&self, source: SourceName) -> (SourcePlan, Unreadable) {
        let mut unreadable = Unreadable::default();
        let mut plan = SourcePlan {
            source,
            labels: Vec::new(),
            fault: None,
        };
        let asked = self.terms.selection.labels();
        if !asked.is_empty() {
            let labels: Vec<_> = asked.iter().cloned().collect();
            self.labels(&mut plan, &labels).await;
            return (plan, unreadable);
        }
        let prefix = format!("{}/", plan.source);
        let mut after = None;
        loop {
            match self
                .lister
                .folders(Store::Streams, &prefix, after.as_deref())
                .await
            {
                Ok(page) => {
                    // With hashes only what they name is looked at.
                    let strays = page.objects.iter().filter(|object| {
                        self.terms.selection.sha256s().is_empty() && !listed_key::is_folder_marker(object)
                    });
                    strays.for_each(|object| unreadable.add(&object.key));
                    self.labels(&mut plan, &page.folders).await;
                    match page.next {
                        Some(next) => after = Some(next),
                        None => return (plan, unreadable),
                    }
                }
                Err(fault) => {
                    plan.fault = Some(fault.to_string());
                    return (plan, unreadable);
                }
            }
        }
    }

    async fn labels(&self, plan: &mut SourcePlan, labels: &[String]) {
        let source = &plan.source.clone();
        let tallies = labels
            .iter()
            .map(|label| async move { (label, self.label(source, label).await) });
        let mut tallies = stream::iter(tallies).buffered(SIDE_BY_SIDE);
        while let Some((label, tally)) = tallies.next().await {
            let is_named = plan.labels.len() < MOST_LABELS;
            match plan.labels.get_mut(MOST_LABELS) {
                Some(others) => others.tally.merge(tally),
                None => plan.labels.push(LabelPlan {
                    label: if is_named { label.as_str() } else { OTHER_LABELS }.to_owned(),
                    tally,
                }),
            }
        }
    }

    async fn label(&self, source: &SourceName, label: &str) -> Tally {
        let hashes = self.terms.selection.sha256s();
        if hashes.is_empty() {
            return self.lister.label(&format!("{source}/{label}/")).await;
        }
        let objects = hashes.iter().map(|sha256| async move {
            let key = format!("{source}/{label}/{sha256}");
            (*sha256, self.lister.object(Store::Streams, &key).await)
        });
        let mut objects = stream::iter(objects).buffered(SIDE_BY_SIDE);
        let mut tally = Tally::default();
        while let Some((sha256, object)) = objects.next().await {
            if object.objects > 0 {
                self.found.borrow_mut().insert(sha256);
            }
            tally.merge(object);
        }
        tally
    }

    async fn feed(&self, feed: &Feed) -> FeedPlan {
        let (prefix, window) = (format!("{feed}/"), self.terms.selection.window());
        let tally = self
            .lister
            .range(Store::Events, &prefix, window, (None, None))
            .await;
        FeedPlan {
            feed: feed.clone(),
            tally,
        }
    }

    /// Exactly these objects.
    async fn keys(&self, keys: &Keys, stores: &BTreeSet<Store>, plan: &mut Plan) {
        let mut missing = Unreadable::default();
        let mut sources: BTreeMap<SourceName, BTreeMap<String, Tally>> = BTreeMap::new();
        if stores.contains(&Store::Streams) {
            let wanted = keys.streams().map(|(source, label, hash)| async move {
                let key = format!("{source}/{label}/{hash}");
                let tally = self.lister.object(Store::Streams, &key).await;
                (source, label, key, tally)
            });
            let mut found = stream::iter(wanted).buffered(SIDE_BY_SIDE);
            while let Some((source, label, key, tally)) = found.next().await {
                note_missing(&mut missing, &key, &tally);
                let labels = sources.entry(source.clone()).or_default();
                labels.entry(label.to_owned()).or_default().merge(tally);
            }
        }
        for (source, labels) in sources {
            let labels = labels
                .into_iter()
                .map(|(label, tally)| LabelPlan { label, tally })
                .collect();
            plan.streams.push(SourcePlan {
                source,
                labels,
                fault: None,
            });
        }
        if stores.contains(&Store::Events) {
            for feed in self.terms.selection.feeds(&[]) {
                let bundles = keys.bundles_of(&feed);
                let wanted = bundles.iter().map(|name| {
                    let key = format!("{feed}/{name}");
                    async move {
                        let tally = self.lister.object(Store::Events, &key).await;
                        (key, tally)
                    }
                });
                let mut found = stream::iter(wanted).buffered(SIDE_BY_SIDE);
                let mut all = Tally::default();
                while let Some((key, tally)) = found.next().await {
                    note_missing(&mut missing, &key, &tally);
                    all.merge(tally);
                }
                plan.feeds.push(FeedPlan {
                    feed: feed.clone(),
                    tally: all,
                });
            }
        }
        if missing.count > 0 {
            plan.odd.push(Odd::keys_missing(&missing));
        }
    }
}

fn note_missing(missing: &mut Unreadable, key: &str, tally: &Tally) {
    if tally.objects == 0 && tally.fault.is_none() {
        missing.add(key);
    }
}

#[cfg(test)]
mod tests;
