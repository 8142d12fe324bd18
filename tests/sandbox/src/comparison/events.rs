//! Events: those of the first dispatcher against those that were published to the second.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use actors::feed::{Feed, Model};
use actors::stream_id::Sha256;

use super::{Allowances, Comparison, Kind};
use crate::decode;
use crate::dispatcher::{Broker, Place, Receipt, Shared};

pub(super) fn compare(first: &Shared, second: &Shared, allowances: &Allowances, comparison: &mut Comparison) {
    let (ours, theirs) = (first.broker(), second.broker());
    let handed_out = HandedOut::of(&ours);
    let held = ours.feeds().into_iter().chain(theirs.feeds());
    let published = second.published_feeds().into_iter();
    let feeds: BTreeSet<Feed> = held.map(|(feed, _)| feed).chain(published).collect();
    for feed in feeds {
        let receipts = second.published(&feed).0;
        let pair = Pair {
            feed: &feed,
            first: &ours,
            handed_out: &handed_out,
            second: &theirs,
            held: (!second.forgets()).then(|| theirs.places(&feed)),
            receipts: &receipts,
        };
        comparison.feeds += u64::from(!receipts.is_empty());
        pair.compare(allowances, comparison);
        let place = |receipt: &Receipt| match allowances.bundles() {
            Some(bundles) => bundles.place(&feed, &receipt.kafka_key),
            None => Some(receipt.timestamp.as_micros()),
        };
        if let Some((before, after)) = inversion(&receipts, place) {
            let told = |receipt: &Receipt| format!("{} of {}", receipt.kafka_key, receipt.timestamp);
            comparison.differs(Kind::Inversion, || {
                format!("{feed}: {} came before {}", told(before), told(after))
            });
        }
    }
}

/// In which versions each event was handed out: a bit for each.
struct HandedOut(HashMap<Place, u8>);

impl HandedOut {
    fn of(broker: &Broker) -> Self {
        let mut versions = HashMap::new();
        for answer in broker.answers() {
            for place in &answer.events {
                *versions.entry(*place).or_default() |= Self::bit(answer.version);
            }
        }
        Self(versions)
    }

    fn bit(version: i64) -> u8 {
        1 << version.clamp(0, 7)
    }

    /// What was never handed out at all was backed up by other ways.
    fn allows(&self, place: Place, version: i64) -> bool {
        self.0
            .get(&place)
            .is_none_or(|versions| versions & Self::bit(version) != 0)
    }
}

/// One feed in both dispatchers.
struct Pair<'a> {
    feed: &'a Feed,
    first: &'a Broker,
    handed_out: &'a HandedOut,
    second: &'a Broker,
    /// What the second holds, in the order of the receipts; none where it forgets.
    held: Option<Vec<Place>>,
    receipts: &'a [Receipt],
}

impl Pair<'_> {
    fn compare(&self, allowances: &Allowances, comparison: &mut Comparison) {
        let feed = self.feed;
        let mut received: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (number, receipt) in self.receipts.iter().enumerate() {
            received.entry(&receipt.kafka_key).or_default().push(number);
        }
        let mut wanted: BTreeMap<String, Vec<Place>> = BTreeMap::new();
        for place in self.first.places(feed) {
            let kafka_key = self.first.event(place).kafka_key;
            wanted.entry(kafka_key).or_default().push(place);
        }
        for (kafka_key, places) in &wanted {
            let Some(copies) = received.remove(kafka_key.as_str()) else {
                match allowances.event(feed, kafka_key) {
                    Some(reason) => comparison.excuse(reason),
                    None => comparison.differs(Kind::EventMissing, || format!("{feed} {kafka_key}")),
                }
                continue;
            };
            comparison.repeated += copies.len() as u64 - 1;
            match copies.iter().find_map(|copy| self.fault(places, *copy)) {
                None => comparison.events += 1,
                Some(fault) => {
                    comparison.differs(Kind::EventDiffers, || format!("{feed} {kafka_key}: {fault}"))
                }
            }
        }
        for kafka_key in received.keys() {
            comparison.differs(Kind::EventSurplus, || format!("{feed} {kafka_key}"));
        }
        if let Some(held) = &self.held
            && held.len() > self.receipts.len()
        {
            let (held, received) = (held.len(), self.receipts.len());
            comparison.differs(Kind::EventSurplus, || {
                format!("{feed} holds {held} events, {received} were published")
            });
        }
    }

    /// What is wrong with the copy of an event that was received as this number.
    fn fault(&self, places: &[Place], number: usize) -> Option<String> {
        let receipt = &self.receipts[number];
        let version = receipt.version.number();
        let mut expected = places
            .iter()
            .map(|place| (*place, self.first.event_bytes(*place, version)));
        let Some((place, bytes)) = expected.find(|(_, bytes)| Sha256::of(bytes) == receipt.sha256) else {
            return Some(format!("other bytes than in version {version}"));
        };
        if !self.handed_out.allows(place, version) {
            return Some(format!(
                "published in version {version}, in which it was never handed out"
            ));
        }
        let held = self.held.as_ref()?;
        let Some(held) = held.get(number) else {
            return Some("published, but not held".to_owned());
        };
        let held = self.second.event_bytes(*held, version);
        let is_same = match self.feed.model() {
            Model::Delete => without_key(&held) == without_key(&bytes),
            _ => held == bytes,
        };
        (!is_same).then(|| "held otherwise than it was published".to_owned())
    }
}

/// The version of an event, and what comes after its Kafka key.
fn without_key(mut event: &[u8]) -> Option<(i64, &[u8])> {
    let version = decode::long(&mut event)?;
    let length = usize::try_from(decode::long(&mut event)?).ok()?;
    Some((version, event.get(length..)?))
}

/// Two events that stand the wrong way round: the place of the first is after that of the second. What comes several
/// times has to be right where it comes first, and, as readers go by what came last, where it comes last.
fn inversion(receipts: &[Receipt], place: impl Fn(&Receipt) -> Option<i64>) -> Option<(&Receipt, &Receipt)> {
    let placed = |receipt| Some((place(receipt)?, receipt));
    let firsts: Vec<(i64, &Receipt)> = distinct(receipts.iter()).filter_map(placed).collect();
    let mut lasts: Vec<(i64, &Receipt)> = distinct(receipts.iter().rev()).filter_map(placed).collect();
    lasts.reverse();
    [firsts, lasts].iter().find_map(|order| {
        let wrong = order.windows(2).find(|pair| pair[0].0 > pair[1].0)?;
        Some((wrong[0].1, wrong[1].1))
    })
}

/// Of each event the first.
fn distinct<'a>(receipts: impl Iterator<Item = &'a Receipt>) -> impl Iterator<Item = &'a Receipt> {
    let mut seen = HashSet::new();
    receipts.filter(move |receipt| seen.insert(&*receipt.kafka_key))
}
