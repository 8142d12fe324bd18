//! What listings add up to; nothing is held of the objects themselves but a few examples.

use serde::Serialize;

use crate::ports::archive::{ListedObject, Store};
use crate::restore::listed_key;
use crate::restore::selection::{UNTIMED, WantedBundles, Window};
use crate::timestamp::Timestamp;

/// So many keys that stand for nothing are told.
pub const MOST_EXAMPLES: usize = 20;

/// Keys that stand for no stream and no bundle: what lies under them is not restored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// How many there are.
    pub count: u64,
    /// The first of them.
    pub first: Vec<String>,
}

impl Unreadable {
    /// Counts one.
    pub fn add(&mut self, key: &str) {
        self.count += 1;
        if self.first.len() < MOST_EXAMPLES {
            self.first.push(key.to_owned());
        }
    }

    /// Counts others.
    pub fn merge(&mut self, more: &Self) {
        self.count += more.count;
        let room = MOST_EXAMPLES - self.first.len().min(MOST_EXAMPLES);
        self.first.extend(more.first.iter().take(room).cloned());
    }
}

/// What would be restored of a label, or of a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Streams, or bundles; what lies there both plain and encrypted counts once.
    pub objects: u64,
    /// Of bundles: the events that their names tell. With a window, as many at most.
    pub events: u64,
    /// Bytes of these objects, as stored.
    pub bytes: u64,
    /// How many of them are encrypted.
    pub encrypted: u64,
    /// How many lie there plain and encrypted.
    pub both_forms: u64,
    /// Bundles whose names tell no time; they are restored first.
    pub untimed: u64,
    /// The earliest time in the name of a bundle.
    pub first: Option<Timestamp>,
    /// The latest.
    pub last: Option<Timestamp>,
    /// What could not be understood.
    #[serde(skip)]
    pub unreadable: Unreadable,
    /// Why it is not known to the end.
    pub fault: Option<String>,
}

impl Tally {
    /// Adds another part of the same.
    pub fn merge(&mut self, more: Self) {
        self.objects += more.objects;
        self.events = self.events.saturating_add(more.events);
        self.bytes += more.bytes;
        self.encrypted += more.encrypted;
        self.both_forms += more.both_forms;
        self.untimed += more.untimed;
        self.first = [self.first, more.first].into_iter().flatten().min();
        self.last = [self.last, more.last].into_iter().flatten().max();
        self.unreadable.merge(&more.unreadable);
        self.fault = self.fault.take().or(more.fault);
    }
}

/// Counts the objects of a listing, in its order.
#[derive(Debug)]
pub(super) struct Counter {
    store: Store,
    wanted: WantedBundles,
    pub(super) tally: Tally,
    /// The keys before that the present one begins with: the plain form of an encrypted one is among them.
    before: Vec<String>,
}

impl Counter {
    /// `before` is the key that the listing goes on after.
    pub(super) fn new(store: Store, window: Window, before: Option<String>) -> Self {
        Self {
            store,
            wanted: window.bundles(),
            tally: Tally::default(),
            before: before.into_iter().collect(),
        }
    }

    pub(super) fn take(&mut self, object: &ListedObject) {
        if listed_key::is_folder_marker(object) {
            return;
        }
        let (plain, is_encrypted) = listed_key::plain(&object.key);
        // What lists between the plain form and the encrypted one begins as both do.
        let begins_so = |before: &String| object.key.starts_with(before.as_str());
        while self.before.last().is_some_and(|before| !begins_so(before)) {
            self.before.pop();
        }
        let is_known = is_encrypted && self.before.iter().any(|before| before == plain);
        self.before.push(object.key.clone());
        let is_wanted = match self.store {
            Store::Streams => listed_key::stream(&object.key).map(|_| true).ok(),
            Store::Events => self.bundle(&object.key, is_known),
        };
        match is_wanted {
            None => self.tally.unreadable.add(&object.key),
            Some(false) => {}
            Some(true) if is_known => self.tally.both_forms += 1,
            Some(true) => {
                self.tally.objects += 1;
                self.tally.bytes += object.size;
                self.tally.encrypted += u64::from(is_encrypted);
            }
        }
    }

    /// Whether a bundle is wanted; `None` if the key is not one of a bundle.
    fn bundle(&mut self, key: &str, is_known: bool) -> Option<bool> {
        let bundle = listed_key::bundle(key).ok()?.name;
        let time = bundle.timestamp();
        let is_wanted = self.wanted.wants(time);
        if is_wanted && !is_known {
            self.tally.events = self.tally.events.saturating_add(bundle.count());
            if time == UNTIMED {
                self.tally.untimed += 1;
            } else {
                self.tally.first = [self.tally.first, Some(time)].into_iter().flatten().min();
                self.tally.last = [self.tally.last, Some(time)].into_iter().flatten().max();
            }
        }
        Some(is_wanted)
    }
}
