//! Kafka and the dispatcher's consumers of it, without a network: which event a consumer is given, and which it
//! never gets.
//!
//! * A consumer (name, version, model, sources, actions) that was never seen reads from the oldest event.
//! * Offsets move when events are taken, not when they arrive: what was collected for a client that has gone, or
//!   for an answer that broke off, this consumer never gets again.
//! * A restart costs every consumer that the dispatcher has open, and that has unread events, the one event that
//!   had been taken in advance for it, and what was being collected.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use actors::avro::ModelVersion;
use actors::feed::{Feed, Model};
use actors::timestamp::Timestamp;

use super::log::{EventRef, Log, Origin, RawEvent};
use crate::generator::FeedEvents;

/// Who pulls: what offsets belong to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Consumer {
    /// The name in the request.
    pub name: String,
    /// The version in the request.
    pub version: String,
    /// Which model.
    pub model: Model,
    /// Only these sources; all where empty.
    pub sources: BTreeSet<String>,
    /// Only these actions; all where empty.
    pub actions: BTreeSet<String>,
}

impl Consumer {
    fn wants(&self, feed: &Feed) -> bool {
        let chosen = |set: &BTreeSet<String>, word: &str| set.is_empty() || set.contains(word);
        feed.model() == self.model
            && (self.model != Model::Binary
                || chosen(&self.sources, feed.source().as_str())
                    && chosen(&self.actions, feed.action().as_str()))
    }
}

impl fmt::Display for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The place of one event: which log, and its offset there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    log: u32,
    offset: u32,
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is on its way.
    BeingSent,
    /// All its bytes were handed to the connection while the client was there.
    HandedOut,
    /// The client had gone, before the answer or during it: its events are lost to this consumer.
    ClientGone,
    /// The answer was made to break off, or its events to be forgotten, by a fault knob.
    BrokenOff,
    /// The dispatcher was restarted while it collected or sent it.
    LostAtRestart,
}

/// One pull and what it took.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Who pulled.
    pub consumer: Consumer,
    /// What was taken, in order.
    pub events: Vec<Place>,
    /// When each of these was taken.
    pub taken: Vec<Timestamp>,
    /// How many were withheld from it.
    pub filtered: u64,
    /// The model version of its bulk.
    pub version: i64,
    /// What became of it.
    pub fate: Fate,
}

#[derive(Debug, Default)]
struct Group {
    offsets: BTreeMap<u32, u32>,
    open: bool,
    seen: HashSet<String>,
    in_flight: usize,
    in_flight_peak: usize,
}

/// All feeds, all consumers, and the record of who got what.
#[derive(Debug, Default)]
pub struct Broker {
    logs: Vec<Log>,
    groups: BTreeMap<Consumer, Group>,
    collecting: BTreeMap<u64, Answer>,
    answers: BTreeMap<u64, Answer>,
    next_pull: u64,
    lost_in_advance: Vec<(Consumer, Place)>,
    dedupe: bool,
}

impl Broker {
    /// An empty one; with `dedupe` it gives each consumer a Kafka key only once.
    pub fn new(dedupe: bool) -> Self {
        Self {
            dedupe,
            ..Self::default()
        }
    }

    fn log(&mut self, feed: &Feed) -> &mut Log {
        let known = self.logs.iter().position(|log| log.feed() == feed);
        let index = known.unwrap_or_else(|| {
            self.logs.push(Log::new(feed.clone()));
            self.logs.len() - 1
        });
        &mut self.logs[index]
    }

    /// Puts events at the end of their feed.
    pub fn append(&mut self, feed: &Feed, events: impl IntoIterator<Item = RawEvent>) {
        self.log(feed).append(events);
    }

    /// Puts an event that was published in this version at the end of its feed.
    pub(super) fn publish(&mut self, feed: &Feed, version: ModelVersion, event: RawEvent) {
        self.log(feed).publish(version, event);
    }

    /// Takes up a generated feed, none of whose events is visible yet; with `ahead`, encodes them all now.
    pub fn adopt(&mut self, events: FeedEvents, ahead: Option<i64>) {
        self.log(&events.feed().clone()).adopt(events, ahead);
    }

    /// Makes the next `count` events of a generated feed visible, as if they had just been published.
    pub fn release(&mut self, feed: &Feed, count: u64) {
        self.log(feed).release(count);
    }

    /// All feeds with the number of their visible events.
    pub fn feeds(&self) -> Vec<(Feed, u64)> {
        let feed = |log: &Log| (log.feed().clone(), log.len() as u64);
        self.logs.iter().map(feed).collect()
    }

    /// The places of all visible events of a feed.
    pub fn places(&self, feed: &Feed) -> Vec<Place> {
        let of_feed = (0u32..).zip(&self.logs).find(|(_, log)| log.feed() == feed);
        of_feed.map_or_else(Vec::new, |(log, found)| {
            (0..found.len() as u32)
                .map(|offset| Place { log, offset })
                .collect()
        })
    }

    /// The name of the event at a place.
    pub fn event(&self, place: Place) -> EventRef {
        self.logs[place.log as usize].event(place.offset)
    }

    /// Where the bytes of the event at a place come from, in a bulk of `version`.
    pub(super) fn origin(&self, place: Place, version: i64) -> Origin {
        self.logs[place.log as usize].origin(place.offset, version)
    }

    /// The bytes of the event at a place, as they stand in a bulk of `version`.
    pub fn event_bytes(&self, place: Place, version: i64) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.origin(place, version).encode(&mut bytes, version);
        bytes
    }

    /// A pull has arrived; returns its number.
    pub(super) fn begin(&mut self, consumer: Consumer, reset: bool) -> u64 {
        let group = self.groups.entry(consumer.clone()).or_default();
        if reset && group.open {
            group.offsets.clear();
            group.seen.clear();
        }
        group.open = true;
        group.in_flight += 1;
        group.in_flight_peak = group.in_flight_peak.max(group.in_flight);
        self.next_pull += 1;
        let answer = Answer {
            consumer,
            events: Vec::new(),
            taken: Vec::new(),
            filtered: 0,
            version: 0,
            fate: Fate::BeingSent,
        };
        self.collecting.insert(self.next_pull, answer);
        self.next_pull
    }

    /// Takes what there is for a pull until it has `limit` events; returns how many it has.
    pub(super) fn collect(&mut self, pull: u64, limit: usize) -> usize {
        let Some(answer) = self.collecting.get_mut(&pull) else {
            return 0;
        };
        let Some(group) = self.groups.get_mut(&answer.consumer) else {
            return 0;
        };
        for (index, log) in (0u32..).zip(&self.logs) {
            if !answer.consumer.wants(log.feed()) {
                continue;
            }
            let offset = group.offsets.entry(index).or_default();
            while answer.events.len() < limit && (*offset as usize) < log.len() {
                let place = Place {
                    log: index,
                    offset: *offset,
                };
                *offset += 1;
                if self.dedupe && !group.seen.insert(log.kafka_key(place.offset)) {
                    answer.filtered += 1;
                } else {
                    answer.events.push(place);
                }
            }
        }
        answer.taken.resize(answer.events.len(), Timestamp::now());
        answer.events.len()
    }

    /// Ends the collecting of a pull; its answer is on its way. `None` if a restart came in between.
    pub(super) fn answer(&mut self, pull: u64, version: i64) -> Option<Answer> {
        let mut answer = self.collecting.remove(&pull)?;
        answer.version = version;
        if let Some(group) = self.groups.get_mut(&answer.consumer) {
            group.in_flight = group.in_flight.saturating_sub(1);
        }
        self.answers.insert(pull, answer.clone());
        Some(answer)
    }

    /// Notes what became of an answer that was on its way.
    pub(super) fn settle(&mut self, pull: u64, fate: Fate) {
        if let Some(answer) = self.answers.get_mut(&pull)
            && answer.fate == Fate::BeingSent
        {
            answer.fate = fate;
        }
    }

    /// The answer to pull `number`, counted from 0, of the consumers of this name got lost after it had left.
    pub fn lose(&mut self, name: &str, number: usize) {
        let mut of_name = self
            .answers
            .values_mut()
            .filter(|answer| answer.consumer.name == name);
        if let Some(answer) = of_name.nth(number) {
            answer.fate = Fate::ClientGone;
        }
    }

    /// The dispatcher has been restarted.
    pub(super) fn restart(&mut self) {
        for (pull, mut answer) in std::mem::take(&mut self.collecting) {
            answer.fate = Fate::LostAtRestart;
            self.answers.insert(pull, answer);
        }
        for answer in self
            .answers
            .values_mut()
            .filter(|answer| answer.fate == Fate::BeingSent)
        {
            answer.fate = Fate::LostAtRestart;
        }
        let Self {
            groups,
            logs,
            lost_in_advance,
            ..
        } = self;
        for (consumer, group) in groups.iter_mut().filter(|(_, group)| group.open) {
            (group.open, group.in_flight) = (false, 0);
            group.seen.clear();
            let mut unread = (0u32..)
                .zip(logs.iter())
                .filter(|(_, log)| consumer.wants(log.feed()))
                .filter_map(|(index, log)| {
                    let offset = group.offsets.get(&index).copied().unwrap_or_default();
                    ((offset as usize) < log.len()).then_some(Place { log: index, offset })
                });
            if let Some(place) = unread.next() {
                group.offsets.insert(place.log, place.offset + 1);
                lost_in_advance.push((consumer.clone(), place));
            }
        }
    }

    /// All answers so far, by the order in which their pulls arrived.
    pub fn answers(&self) -> impl Iterator<Item = &Answer> {
        self.answers.values()
    }

    /// What restarts cost consumers that had no pull in flight.
    pub fn lost_in_advance(&self) -> &[(Consumer, Place)] {
        &self.lost_in_advance
    }

    /// Whether the last pull of every consumer whose name begins so has no events: what came before it is settled,
    /// for a consumer pulls again only when it has kept what it was given. A pull that still collects, for a client that
    /// has gone perhaps, is settled only once it is over.
    pub fn is_idle(&self, name_prefix: &str) -> bool {
        let mut collecting = self.collecting.values();
        if collecting.any(|answer| answer.consumer.name.starts_with(name_prefix) && !answer.events.is_empty())
        {
            return false;
        }
        let pulls: BTreeMap<_, _> = self.answers.iter().chain(&self.collecting).collect();
        let mut last = BTreeMap::new();
        for answer in pulls.into_values() {
            last.insert(&answer.consumer, answer.events.is_empty());
        }
        last.retain(|consumer, _| consumer.name.starts_with(name_prefix));
        last.into_values().all(|is_empty| is_empty)
    }

    /// How many pulls of a consumer were open at once, at most.
    pub fn pulls_at_once(&self, name: &str) -> usize {
        let of_name = self.groups.iter().filter(|(consumer, _)| consumer.name == name);
        of_name.map(|(_, group)| group.in_flight_peak).max().unwrap_or(0)
    }

    /// How many visible events no pull of the consumers whose name begins so has taken yet.
    pub fn unread(&self, name_prefix: &str) -> u64 {
        let mut unread: Vec<u64> = self.logs.iter().map(|log| log.len() as u64).collect();
        for (_, group) in self
            .groups
            .iter()
            .filter(|(consumer, _)| consumer.name.starts_with(name_prefix))
        {
            for (log, offset) in &group.offsets {
                let left = &mut unread[*log as usize];
                *left = (*left).min((self.logs[*log as usize].len() - *offset as usize) as u64);
            }
        }
        unread.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn consumer(name: &str) -> Consumer {
        Consumer {
            name: name.to_owned(),
            version: "3.0.0".to_owned(),
            model: Model::Binary,
            sources: BTreeSet::from(["samples".to_owned()]),
            actions: BTreeSet::new(),
        }
    }

    fn with_events(keys: &[&str], dedupe: bool) -> Broker {
        let mut broker = Broker::new(dedupe);
        let feed: Feed = "samples/binary/sourced".parse().unwrap();
        broker.append(
            &feed,
            keys.iter().map(|key| RawEvent {
                kafka_key: (*key).to_owned(),
                timestamp: Timestamp::default(),
                bytes: Bytes::new(),
            }),
        );
        broker
    }

    fn pulled(broker: &mut Broker, name: &str, limit: usize) -> Vec<String> {
        let pull = broker.begin(consumer(name), false);
        broker.collect(pull, limit);
        let answer = broker.answer(pull, 6).unwrap();
        answer
            .events
            .iter()
            .map(|place| broker.event(*place).kafka_key)
            .collect()
    }

    #[test]
    fn what_was_handed_out_is_forgotten_and_a_new_name_reads_from_the_oldest() {
        let mut broker = with_events(&["a", "b", "c"], false);
        assert_eq!(pulled(&mut broker, "one", 2), ["a", "b"]);
        assert_eq!(pulled(&mut broker, "one", 2), ["c"]);
        assert_eq!(pulled(&mut broker, "two", 9), ["a", "b", "c"]);
    }

    #[test]
    fn a_restart_costs_an_open_consumer_one_unread_event() {
        let mut broker = with_events(&["a", "b", "c"], false);
        assert_eq!(pulled(&mut broker, "one", 1), ["a"]);
        assert_eq!(pulled(&mut broker, "done", 3).len(), 3);
        broker.restart();
        broker.restart();
        assert_eq!(pulled(&mut broker, "one", 9), ["c"]);
        let lost: Vec<_> = broker
            .lost_in_advance()
            .iter()
            .map(|(who, place)| (who.name.as_str(), place.offset))
            .collect();
        assert_eq!(lost, [("one", 1)]);
    }

    #[test]
    fn a_restart_costs_what_was_being_collected() {
        let mut broker = with_events(&["a", "b", "c"], false);
        let pull = broker.begin(consumer("one"), false);
        broker.collect(pull, 2);
        broker.restart();
        assert!(broker.answer(pull, 6).is_none());
        assert_eq!(pulled(&mut broker, "one", 9), Vec::<String>::new());
        assert_eq!(broker.answers().next().unwrap().fate, Fate::LostAtRestart);
    }

    #[test]
    fn a_pull_that_goes_on_collecting_for_who_has_gone_is_not_settled() {
        let mut broker = with_events(&["a"], false);
        let of_the_dead = broker.begin(consumer("one"), false);
        let next = broker.begin(consumer("one"), false);
        assert_eq!(broker.collect(of_the_dead, 9), 1);
        broker.answer(next, 6);
        assert_eq!((broker.unread("one"), broker.is_idle("one")), (0, false));
        broker.answer(of_the_dead, 6);
        assert!(broker.is_idle("one"));
    }

    #[test]
    fn the_cache_withholds_a_key_that_was_given_already() {
        let mut broker = with_events(&["a", "b", "a"], true);
        assert_eq!(pulled(&mut broker, "one", 9), ["a", "b"]);
        assert_eq!(broker.answers().next().unwrap().filtered, 1);
    }

    #[test]
    fn reset_rewinds_a_consumer_only_where_it_is_open() {
        let mut broker = with_events(&["a"], false);
        assert_eq!(pulled(&mut broker, "one", 9), ["a"]);
        let pull = broker.begin(consumer("one"), true);
        assert_eq!(broker.collect(pull, 9), 1);
        broker.restart();
        let pull = broker.begin(consumer("one"), true);
        assert_eq!(broker.collect(pull, 9), 0);
    }
}
