//! What looks wrong, in words for people, and how much it weighs.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Plan, PlanTerms, Tally, Unreadable};
use crate::fault::{Fault, FaultKind};
use crate::feed::SourceName;
use crate::ports::archive::Store;
use crate::restore::selection::Selection;
use crate::stream_id::Sha256;

/// How much something that is odd weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// To be known; the restore does what it can.
    Told,
    /// It would become a dead letter: the restore would finish, and not be complete.
    Dead,
    /// There is nothing of what was asked for: a failure, unless it is allowed.
    Empty,
    /// The restore would fail, or do other than what was asked for.
    Against,
}

/// Something that looks wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Odd {
    /// How much it weighs.
    pub weight: Weight,
    /// What it is.
    pub what: String,
}

const fn bucket(store: Store) -> &'static str {
    match store {
        Store::Streams => "the bucket of streams",
        Store::Events => "the bucket of events",
    }
}

impl Odd {
    pub(super) fn told(what: String) -> Self {
        Self {
            weight: Weight::Told,
            what,
        }
    }

    fn empty(what: String) -> Self {
        Self {
            weight: Weight::Empty,
            what,
        }
    }

    fn dead(what: String) -> Self {
        Self {
            weight: Weight::Dead,
            what,
        }
    }

    pub(super) fn against(what: String) -> Self {
        Self {
            weight: Weight::Against,
            what,
        }
    }

    pub(super) fn empty_store(store: Store) -> Self {
        Self::empty(format!("{} is empty", bucket(store)))
    }

    pub(super) fn no_store(store: Store, fault: &Fault) -> Self {
        let what = match fault.kind() {
            FaultKind::Missing => "does not exist",
            _ => "cannot be read",
        };
        Self::against(format!("{} {what}: {fault}", bucket(store)))
    }

    pub(super) fn keys_missing(missing: &Unreadable) -> Self {
        Self::dead(format!(
            "{} of the keys are not in the bucket: {}",
            missing.count,
            examples(missing)
        ))
    }
}

pub(super) fn examples(keys: &Unreadable) -> String {
    let shown: Vec<String> = keys
        .first
        .iter()
        .map(|key| format!("`{}`", key.escape_debug()))
        .collect();
    let more = match keys.count.saturating_sub(keys.first.len() as u64) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", shown.join(", "))
}

/// Adds what follows from the figures.
pub(super) fn conclude(
    plan: &mut Plan,
    terms: &PlanTerms,
    stores: &BTreeSet<Store>,
    found: &BTreeSet<Sha256>,
) {
    for source in &plan.streams {
        plan.unreadable.merge(&source.all().unreadable);
    }
    plan.unreadable.merge(&plan.all_events().unreadable);
    let mut odd = faults(plan);
    if terms.selection.keys().is_none() {
        odd.extend(empty_sources(plan, &terms.selection));
        if stores.contains(&Store::Streams) {
            odd.extend(hashes_missing(terms.selection.sha256s(), found));
        }
    }
    let (streams, events) = (plan.all_streams(), plan.all_events());
    let encrypted = streams.encrypted + events.encrypted;
    if encrypted > 0 && !terms.can_decrypt {
        odd.push(Odd::against(format!(
            "{encrypted} objects are encrypted, and BK__EXTERNAL_BACKUP__AES_KEY is not set: they cannot be restored"
        )));
    }
    if plan.unreadable.count > 0 {
        odd.push(Odd::dead(format!(
            "{} keys are neither of a stream nor of a bundle, and become dead letters: {}",
            plan.unreadable.count,
            examples(&plan.unreadable)
        )));
    }
    let both = streams.both_forms + events.both_forms;
    if both > 0 {
        odd.push(Odd::told(format!(
            "{both} objects lie there both plain and encrypted: restored once"
        )));
    }
    if events.untimed > 0 {
        odd.push(Odd::told(format!(
            "{} bundles tell no time in their names: restored first, whatever the times of their events",
            events.untimed
        )));
    }
    plan.odd.extend(odd);
}

/// Listings that could not be read to their ends.
fn faults(plan: &Plan) -> Vec<Odd> {
    let of = |what: String, fault: &Option<String>| {
        let fault = fault.as_ref()?;
        Some(Odd::against(format!(
            "{what} could not be listed to the end: {fault}"
        )))
    };
    let labels = plan.streams.iter().flat_map(|source| {
        let name = &source.source;
        let labels = source.labels.iter();
        of(format!("source {name}"), &source.fault)
            .into_iter()
            .chain(labels.filter_map(move |label| of(format!("{name}/{}", label.label), &label.tally.fault)))
    });
    let feeds = plan
        .feeds
        .iter()
        .filter_map(|feed| of(format!("feed {}", feed.feed), &feed.tally.fault));
    labels.chain(feeds).collect()
}

fn hashes_missing(asked: &BTreeSet<Sha256>, found: &BTreeSet<Sha256>) -> Option<Odd> {
    let mut missing = Unreadable::default();
    asked
        .difference(found)
        .for_each(|sha256| missing.add(&sha256.to_string()));
    (missing.count > 0).then(|| {
        let (count, examples) = (missing.count, examples(&missing));
        Odd::empty(format!(
            "{count} of the hashes are in no source and label that is selected: {examples}"
        ))
    })
}

/// Sources that were asked for, and of which there is nothing. `system` is asked for only by name: an Azul in which
/// nothing was ever inserted or deleted by hand has none.
fn empty_sources(plan: &Plan, selection: &Selection) -> Vec<Odd> {
    let is_empty = |tally: &Tally| tally.objects == 0 && tally.fault.is_none();
    let mut odd = Vec::new();
    // A hash lies in one source, or two, of many.
    if selection.sha256s().is_empty() {
        let empty = plan
            .streams
            .iter()
            .filter(|source| source.fault.is_none() && is_empty(&source.all()));
        odd.extend(
            empty.map(|source| Odd::empty(format!("source {}: no streams in the bucket", source.source))),
        );
    }
    let sources: BTreeSet<&SourceName> = plan.feeds.iter().map(|feed| feed.feed.source()).collect();
    for source in sources {
        let of_source = plan.feeds.iter().filter(|feed| feed.feed.source() == source);
        let is_asked = source.as_str() != SourceName::SYSTEM || selection.named_sources().contains(source);
        if is_asked && of_source.clone().all(|feed| is_empty(&feed.tally)) {
            odd.push(Odd::empty(format!("source {source}: no events in the bucket")));
        }
    }
    odd
}
