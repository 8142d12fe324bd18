//! Bundles in the order of their time, from a listing that is almost in it.
//!
//! A listing is in the order of the text of keys, and the text of a time is as long as needed: `…40.5Z` comes
//! before `…40Z`. But up to the seconds all have the same width, so that only bundles of one second can be out of
//! order: it is enough to hold those of one second back, and memory does not grow with the number of bundles. Both forms
//! of a bundle have the same time, so that they come together here, whatever lists between them.

use super::both_forms::Forms;
use super::listed_key::{self, Form};
use crate::object_key::BundleKey;
use crate::ports::archive::ListedObject;

/// A bundle of a listing.
#[derive(Clone, Debug)]
pub struct ListedBundle {
    /// What its key says.
    pub key: BundleKey,
    /// What was listed; its key may have an ending that says how it is stored.
    pub object: Forms,
}

impl ListedBundle {
    /// As it was listed.
    pub fn new(key: BundleKey, object: ListedObject) -> Self {
        let object = object.into();
        Self { key, object }
    }
}

/// Sorts bundles of one feed that come in the order of a listing.
#[derive(Debug, Default)]
pub struct InTimeOrder {
    /// Bundles of one second, all that have come.
    held: Vec<ListedBundle>,
    prefer: Form,
}

const SECOND: i64 = 1_000_000;

impl InTimeOrder {
    /// Of what lies there in both forms `prefer` is restored.
    pub fn preferring(prefer: Form) -> Self {
        let held = Vec::new();
        Self { held, prefer }
    }

    /// Takes the next bundle of the listing; returns those that no later one can precede, in order.
    pub fn push(&mut self, bundle: ListedBundle) -> Vec<ListedBundle> {
        let second = |bundle: &ListedBundle| bundle.key.timestamp().as_micros().div_euclid(SECOND);
        let ready = match self.held.first() {
            Some(held) if second(held) != second(&bundle) => self.finish(),
            _ => Vec::new(),
        };
        self.held.push(bundle);
        ready
    }

    /// The listing is over: the rest, in order.
    pub fn finish(&mut self) -> Vec<ListedBundle> {
        let mut held = std::mem::take(&mut self.held);
        held.sort_by(|a, b| {
            let time = |bundle: &ListedBundle| bundle.key.timestamp();
            let [name, other] = [a, b].map(|bundle| listed_key::plain(&bundle.object.key));
            time(a).cmp(&time(b)).then_with(|| name.cmp(&other))
        });
        let mut ready: Vec<ListedBundle> = Vec::with_capacity(held.len());
        for ListedBundle { key, object } in held {
            let next = (*object).clone();
            match ready.last_mut().map(|last| last.object.join(next, self.prefer)) {
                Some(Ok(())) => {}
                _ => ready.push(ListedBundle { key, object }),
            }
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::timestamp::Timestamp;

    fn restored(listing: Vec<String>) -> Vec<String> {
        restored_by(InTimeOrder::default(), listing)
    }

    fn restored_by(mut order: InTimeOrder, mut listing: Vec<String>) -> Vec<String> {
        listing.sort();
        let listed = |key: &String| {
            let object = ListedObject {
                key: key.clone(),
                size: 1,
                last_modified: None,
            };
            ListedBundle::new(listed_key::bundle(key).unwrap().name, object)
        };
        let mut all: Vec<_> = listing.iter().flat_map(|key| order.push(listed(key))).collect();
        all.extend(order.finish());
        all.into_iter().map(|bundle| bundle.object.key.clone()).collect()
    }

    #[test]
    fn both_forms_of_a_bundle_are_one_whatever_lists_between_them() {
        let name = |key: &str| format!("samples/binary/mapped/2025-07-30T00:00:40.5Z-1-{key}");
        // `-` sorts before `.`: the second bundle lists between the two forms of the first.
        let listing = ["a", "a-b", "a-b.aesc1", "a.aesc1", "c.aesc1"].map(name);
        assert!(listing.is_sorted());
        for (prefer, expected) in [
            (Form::Plain, ["a", "a-b", "c.aesc1"]),
            (Form::Encrypted, ["a.aesc1", "a-b.aesc1", "c.aesc1"]),
        ] {
            let found = restored_by(InTimeOrder::preferring(prefer), listing.to_vec());
            assert_eq!(found, expected.map(name));
        }
    }

    #[test]
    fn trimmed_digits_do_not_change_the_order() {
        let feed = "samples/binary/mapped";
        let expected: Vec<String> = [
            "00:00:39.9Z-1-b",
            "00:00:40Z-1-a",
            "00:00:40.05Z-1-a",
            "00:00:40.5Z-1-a",
            "00:00:41Z-1-a",
        ]
        .iter()
        .map(|name| format!("{feed}/2025-07-30T{name}"))
        .collect();
        let mut text = expected.clone();
        text.sort();
        assert_ne!(text, expected, "the case must be one");
        assert_eq!(restored(expected.clone()), expected);
    }

    proptest! {
        #[test]
        fn any_times_come_in_their_order(micros in proptest::collection::vec(0_i64..5_000_000, 0..60)) {
            let key = |micros: &i64| {
                let feed = "samples/binary/mapped".parse().unwrap();
                BundleKey::new(feed, Timestamp::from_micros(1_700_000_000_000_000 + micros), 1, "k")
            };
            let keys: Vec<BundleKey> = micros.iter().map(key).collect();
            let times: Vec<_> = restored(keys.iter().map(ToString::to_string).collect()).iter()
                .map(|key| key.parse::<BundleKey>().unwrap().timestamp()).collect();
            prop_assert_eq!(times.len(), keys.len());
            prop_assert!(times.is_sorted());
        }
    }
}
