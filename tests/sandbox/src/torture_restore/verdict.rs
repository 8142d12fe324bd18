//! Whether the second dispatcher holds what lies in the bucket, and whether the program told so.
//!
//! * Every binary and every event that is in the bucket, and is not flawed, is in the dispatcher, byte for byte; and
//!   nothing else is.
//! * Within a feed no bundle came before an older one, and what came twice came at once: the bundle that was under
//!   way when the program was killed. Bundles that came into the bucket late are left out of this.
//! * The dead letters are those of what is flawed, and no others; the event of a letter is kept with it.
//! * The figures of the report are those of the bucket, though starts repeated work. Objects that vanished, or came
//!   when it was too late, may have been counted or not.

use std::collections::{BTreeMap, BTreeSet};

use actors::feed::Feed;
use actors::ports::archive::Store;
use actors::ports::restore_state::{EventFigures, RestoreState, StreamFigures};
use actors::stream_id::Sha256;
use anyhow::Context;
use azul_backup::adapters::restore_state::SledRestoreState;
use serde_json::Value;

use super::stock::{Fate, Holds, Object, Whereabouts};
use super::trial::RestoreTrial;
use crate::dispatcher::{Published, Receipt};

/// What a restore came to.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Events that the dispatcher has.
    pub events: u64,
    /// Events that it was given again.
    pub repeated_events: u64,
    /// Streams that it has.
    pub streams: u64,
    /// Streams that it was given again.
    pub repeated_streams: u64,
    /// Dead letters.
    pub letters: u64,
    /// Events and streams that are in the bucket and not in the dispatcher.
    pub lost: u64,
    /// What is wrong, for people.
    pub faults: Vec<String>,
}

/// A letter's store, key, and event.
type LetterName = (Store, String, Option<u64>);

/// At least and at most.
type Range = (u64, u64);

impl Verdict {
    pub(super) fn of(trial: &RestoreTrial, report: &Value) -> anyhow::Result<Self> {
        let mut verdict = Self::default();
        verdict.look_at_streams(trial);
        verdict.look_at_events(trial);
        verdict.look_at_order(trial);
        verdict.look_at_letters(trial)?;
        verdict.look_at_figures(trial, report)?;
        Ok(verdict)
    }

    /// Whether nothing is lost and nothing wrong.
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.faults.is_empty()
    }

    fn fault(&mut self, fault: impl Into<String>) {
        self.faults.push(fault.into());
    }

    fn lose(&mut self, what: &str) {
        self.lost += 1;
        self.fault(format!("LOST: {what}"));
    }

    fn look_at_streams(&mut self, trial: &RestoreTrial) {
        let has = trial.dispatcher.shared().stream_keys();
        let streams = |at: fn(&Object) -> bool| {
            let streams = trial.stock.objects.iter();
            let streams = streams.filter(move |object| matches!(object.holds, Holds::Stream) && at(object));
            streams.map(|object| object.key.clone()).collect::<BTreeSet<_>>()
        };
        for key in streams(|object| object.at == Whereabouts::There).difference(&has) {
            self.lose(&format!("{key} is in the bucket, and not in the dispatcher"));
        }
        for key in has.difference(&streams(|object| object.at != Whereabouts::ToCome)) {
            self.fault(format!("{key} is in the dispatcher, and was never in the bucket"));
        }
        self.streams = has.len() as u64;
        self.repeated_streams = trial.dispatcher.shared().upload_totals().taken - self.streams;
    }

    fn look_at_events(&mut self, trial: &RestoreTrial) {
        let shared = trial.dispatcher.shared();
        let mut known: BTreeMap<Feed, BTreeSet<(String, Sha256)>> = BTreeMap::new();
        let received = |feed: &Feed| -> BTreeSet<(String, Sha256)> {
            let name = |receipt: &Receipt| (receipt.kafka_key.to_string(), receipt.sha256);
            shared.published(feed).0.iter().map(name).collect()
        };
        let feeds = shared.published_feeds().into_iter();
        let received: BTreeMap<Feed, _> = feeds.map(|feed| (feed.clone(), received(&feed))).collect();
        for object in &trial.stock.objects {
            let Holds::Bundle { feed, events, .. } = &object.holds else {
                continue;
            };
            for event in events.iter().filter(|event| event.fate == Fate::Accepted) {
                let name = (event.kafka_key.clone(), event.sha256);
                let has = received
                    .get(feed)
                    .is_some_and(|received| received.contains(&name));
                if object.at == Whereabouts::There && !has {
                    self.lose(&format!("event {} of {}", event.kafka_key, object.key));
                }
                if object.at != Whereabouts::ToCome {
                    known.entry(feed.clone()).or_default().insert(name);
                }
            }
        }
        for (feed, received) in received {
            let known = known.remove(&feed).unwrap_or_default();
            for (kafka_key, _) in received.difference(&known) {
                self.fault(format!(
                    "{feed}: event {kafka_key} was received, and is in no bundle"
                ));
            }
            self.events += received.len() as u64;
        }
        self.repeated_events = shared.publish_totals().events - self.events;
    }

    fn look_at_order(&mut self, trial: &RestoreTrial) {
        for feed in trial.dispatcher.shared().published_feeds() {
            let mut bundles: Vec<&Object> = trial.stock.objects.iter().collect();
            bundles.retain(|object| {
                let of_feed = matches!(&object.holds, Holds::Bundle { feed: of, .. } if *of == feed);
                of_feed && !object.came_late
            });
            let time = |object: &Object| match &object.holds {
                Holds::Bundle { timestamp, .. } => (*timestamp, object.key.clone()),
                _ => Default::default(),
            };
            bundles.sort_by_key(|object| time(object));
            let mut places: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
            for (bundle, object) in bundles.iter().enumerate() {
                if let Holds::Bundle { events, .. } = &object.holds {
                    let keys = events.iter().enumerate();
                    places.extend(keys.map(|(event, inside)| (inside.kafka_key.as_str(), (bundle, event))));
                }
            }
            let published = trial.dispatcher.shared().published(&feed);
            let mut rest = published.0.as_slice();
            for beginning in trial.beginnings().into_iter().skip(1).chain([u64::MAX]) {
                let end = rest.partition_point(|receipt| receipt.request < beginning);
                let (of_one_restore, after) = rest.split_at(end);
                self.look_at_order_of(&bundles, &places, of_one_restore);
                rest = after;
            }
        }
    }

    fn look_at_order_of(
        &mut self,
        bundles: &[&Object],
        places: &BTreeMap<&str, (usize, usize)>,
        receipts: &[Receipt],
    ) {
        let placed = |receipt: &Receipt| places.get(&*receipt.kafka_key).copied();
        let received: Vec<(usize, usize)> = receipts.iter().filter_map(placed).collect();
        if let Some([before, after]) = received.windows(2).find(|pair| pair[1].0 < pair[0].0) {
            let (before, after) = (&bundles[before.0].key, &bundles[after.0].key);
            self.fault(format!("INVERSION: {after} was received after {before}"));
        }
        let distinct = Published(receipts.to_vec());
        let first: Vec<(usize, usize)> = distinct.distinct().into_iter().filter_map(placed).collect();
        if let Some([before, after]) = first.windows(2).find(|pair| pair[1] < pair[0]) {
            let (bundle, before, after) = (&bundles[before.0].key, before.1, after.1);
            self.fault(format!(
                "INVERSION: event {before} of {bundle} was received before event {after}"
            ));
        }
    }

    fn look_at_letters(&mut self, trial: &RestoreTrial) -> anyhow::Result<()> {
        let (mut must, mut may) = (BTreeSet::new(), BTreeSet::new());
        for object in &trial.stock.objects {
            match object.at {
                Whereabouts::There => must.extend(letters_of(object)),
                Whereabouts::CameTooLate => may.extend(letters_of(object)),
                Whereabouts::ToCome | Whereabouts::Vanished => {}
            }
        }
        let letters = letters_in(trial)?;
        self.letters = letters.len() as u64;
        let mut found = BTreeSet::new();
        for (name, kept) in letters {
            if name.2.is_some() && kept.is_none() {
                self.fault(format!("{name:?}: the event of this letter is not kept"));
            }
            if !found.insert(name.clone()) {
                self.fault(format!("{name:?} is a dead letter twice"));
            }
        }
        for name in must.difference(&found) {
            self.fault(format!("{name:?} is no dead letter, and should be one"));
        }
        for name in found
            .iter()
            .filter(|name| !must.contains(name) && !may.contains(name))
        {
            self.fault(format!("{name:?} is a dead letter, and should be none"));
        }
        Ok(())
    }

    fn look_at_figures(&mut self, trial: &RestoreTrial, report: &Value) -> anyhow::Result<()> {
        let has = trial.dispatcher.shared().stream_keys();
        for told in report["streams"].as_array().context("no streams in the report")? {
            let source = told["source"].as_str().unwrap_or_default();
            let figures: StreamFigures = serde_json::from_value(told["figures"].clone())?;
            self.look_at_source(trial, source, figures, &has);
        }
        for told in report["feeds"].as_array().context("no feeds in the report")? {
            let feed: Feed = told["feed"].as_str().unwrap_or_default().parse()?;
            let figures: EventFigures = serde_json::from_value(told["figures"].clone())?;
            self.look_at_feed(trial, &feed, figures);
        }
        if report["sums_hold"] != true {
            self.fault("by the report's own words its sums do not hold");
        }
        Ok(())
    }

    fn look_at_source(
        &mut self,
        trial: &RestoreTrial,
        source: &str,
        figures: StreamFigures,
        has: &BTreeSet<String>,
    ) {
        let prefix = format!("{source}/");
        let mut of_source: Vec<&Object> = trial.stock.objects.iter().collect();
        of_source.retain(|object| object.store() == Store::Streams && object.key.starts_with(&prefix));
        let count =
            |is: &dyn Fn(&Object) -> bool| of_source.iter().filter(|object| is(object)).count() as u64;
        let is_there = |object: &Object| object.at == Whereabouts::There;
        let is_doubtful =
            |object: &Object| matches!(object.at, Whereabouts::CameTooLate | Whereabouts::Vanished);
        let is_stream = |object: &Object| matches!(object.holds, Holds::Stream);
        let arrived = |object: &Object| has.contains(&object.key);
        let sure = count(&|object| is_stream(object) && arrived(object) && is_there(object));
        let doubtful = count(&|object| is_stream(object) && arrived(object) && is_doubtful(object));
        let bad = count(&|object| !is_stream(object) && is_there(object));
        let bad_doubtful = count(&|object| !is_stream(object) && is_doubtful(object));
        let vanished = count(&|object| object.at == Whereabouts::Vanished);
        let StreamFigures {
            restored,
            there,
            gone,
            dead,
            ..
        } = figures;
        self.expect(source, "restored", restored + there, (sure, sure + doubtful));
        self.expect(source, "dead", dead, (bad, bad + bad_doubtful));
        self.expect(source, "gone", gone, (0, vanished));
    }

    fn look_at_feed(&mut self, trial: &RestoreTrial, feed: &Feed, figures: EventFigures) {
        let (mut sure, mut doubtful) = (EventFigures::default(), EventFigures::default());
        for object in &trial.stock.objects {
            match object.at {
                Whereabouts::There => sure += figures_of(object, feed),
                Whereabouts::CameTooLate | Whereabouts::Vanished => doubtful += figures_of(object, feed),
                Whereabouts::ToCome => {}
            }
        }
        let name = feed.to_string();
        for (what, told, sure, doubtful) in [
            ("bundles", figures.bundles, sure.bundles, doubtful.bundles),
            (
                "unreadable",
                figures.unreadable,
                sure.unreadable,
                doubtful.unreadable,
            ),
            ("events", figures.events, sure.events, doubtful.events),
            ("accepted", figures.accepted, sure.accepted, doubtful.accepted),
            ("refused", figures.refused, sure.refused, doubtful.refused),
            ("dead", figures.dead, sure.dead, doubtful.dead),
            ("filtered", figures.filtered, 0, 0),
        ] {
            self.expect(&name, what, told, (sure, sure + doubtful));
        }
    }

    fn expect(&mut self, of: &str, what: &str, told: u64, (least, most): Range) {
        if !(least..=most).contains(&told) {
            self.fault(format!(
                "the report tells {told} {what} of {of}; by the bucket there are {least} to {most}"
            ));
        }
    }
}

/// What the figures tell of one object, if it is of this feed.
fn figures_of(object: &Object, feed: &Feed) -> EventFigures {
    let mut figures = EventFigures::default();
    match &object.holds {
        Holds::Bundle { feed: of, events, .. } if of == feed => {
            let count = |fate| events.iter().filter(|event| event.fate == fate).count() as u64;
            figures.bundles = 1;
            figures.events = events.len() as u64;
            figures.accepted = count(Fate::Accepted);
            figures.refused = count(Fate::Refused);
            figures.dead = count(Fate::Dead);
        }
        Holds::BadBundle { feed: of, count } if of == feed => {
            (figures.unreadable, figures.events, figures.dead) = (1, *count, *count);
        }
        _ => {}
    }
    figures
}

fn letters_of(object: &Object) -> Vec<LetterName> {
    let name = |event| (object.store(), object.key.clone(), event);
    match &object.holds {
        Holds::Stream => Vec::new(),
        Holds::BadStream | Holds::BadBundle { .. } => vec![name(None)],
        Holds::Bundle { events, .. } => {
            let flawed = (0u64..)
                .zip(events)
                .filter(|(_, event)| event.fate != Fate::Accepted);
            flawed.map(|(number, _)| name(Some(number))).collect()
        }
    }
}

/// All letters, with the events that are kept with them.
fn letters_in(trial: &RestoreTrial) -> anyhow::Result<Vec<(LetterName, Option<bytes::Bytes>)>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let state = SledRestoreState::open(&trial.state()).context("local state cannot be opened")?;
        let mut letters = Vec::new();
        for (_, letter) in state.letters_from(None, usize::MAX)? {
            let kept = state.letter_event(&letter).await?;
            letters.push(((letter.store, letter.key, letter.event), kept));
        }
        state.close().await?;
        Ok(letters)
    })
}
