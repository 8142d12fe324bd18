//! Compares two stand-in dispatchers: the one from which a backup was made, and the one into which it was restored.
//!
//! * Every event of the first was published to the second, under the same feed and Kafka key, byte for byte as it
//!   stands in a bulk of the version in which it was published; and that is one in which the first handed it out.
//!   Nothing else was published.
//! * What the second holds is what was published to it. A delete event has a new key there: of it everything but the
//!   key is compared.
//! * Every stream of the first is in the second, byte for byte, and no other.
//! * Each feed was received in the time order of its bundles. A repeat is no fault, if what follows is repeated too.
//!
//! What the backup could not have is told apart ([`Allowances`]): it is neither the same nor a difference. A second
//! dispatcher that [forgets](Shared::set_forgets) is compared by what it has recorded: the hashes of what it
//! received, and the sizes of streams.

mod allowances;
mod bundles;
mod events;
mod of_backup;
mod streams;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

pub use allowances::{Allowances, Reason};
pub use bundles::Bundles;

use crate::dispatcher::Shared;

/// So many differences of a kind are told one by one.
const EXAMPLES: usize = 5;

/// What can be different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An event of the first is not in the second.
    EventMissing,
    /// An event is in the second that the first does not have.
    EventSurplus,
    /// An event is in both, and not the same.
    EventDiffers,
    /// A feed was received in another order than that of its bundles.
    Inversion,
    /// A stream of the first is not in the second.
    StreamMissing,
    /// A stream is in the second that the first does not have.
    StreamSurplus,
    /// A stream is in both, with other bytes.
    StreamDiffers,
}

impl Kind {
    /// For people: what so many of something are.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EventMissing => "events did not come back",
            Self::EventSurplus => "events are there that the first dispatcher does not have",
            Self::EventDiffers => "events came back changed",
            Self::Inversion => "feeds came back in another order than that of their bundles",
            Self::StreamMissing => "streams did not come back",
            Self::StreamSurplus => "streams are there that the first dispatcher does not have",
            Self::StreamDiffers => "streams came back with other bytes",
        }
    }
}

/// All differences of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Told {
    /// How many there are.
    pub count: u64,
    /// The first few of them, for people.
    pub examples: Vec<String>,
}

/// What a comparison came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Feeds to which something was published.
    pub feeds: u64,
    /// Events that are the same in both, each counted once.
    pub events: u64,
    /// How often an event was received that had been received before.
    pub repeated: u64,
    /// Streams that are the same in both.
    pub streams: u64,
    /// Their bytes.
    pub stream_bytes: u64,
    /// What is not in the second and need not be.
    pub excused: BTreeMap<Reason, u64>,
    /// What is different; empty where nothing is.
    pub differences: BTreeMap<Kind, Told>,
}

impl Comparison {
    /// Whether nothing is different.
    pub fn is_same(&self) -> bool {
        self.differences.is_empty()
    }

    /// How many differences of a kind there are.
    pub fn count(&self, kind: Kind) -> u64 {
        self.differences.get(&kind).map_or(0, |told| told.count)
    }

    /// How many events and streams are not in the second and need not be.
    pub fn all_excused(&self) -> u64 {
        self.excused.values().sum()
    }

    /// One line for each kind of difference.
    pub fn faults(&self) -> Vec<String> {
        let told = self.differences.iter().map(|(kind, told)| {
            let more = told.count.saturating_sub(told.examples.len() as u64);
            let more = if more > 0 {
                format!("; and {more} more")
            } else {
                String::new()
            };
            format!(
                "{} {}: {}{more}",
                told.count,
                kind.as_str(),
                told.examples.join("; ")
            )
        });
        told.collect()
    }

    fn differs(&mut self, kind: Kind, example: impl FnOnce() -> String) {
        let told = self.differences.entry(kind).or_default();
        told.count += 1;
        if told.examples.len() < EXAMPLES {
            told.examples.push(example());
        }
    }

    fn excuse(&mut self, reason: Reason) {
        *self.excused.entry(reason).or_default() += 1;
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.faults()
            .iter()
            .try_for_each(|fault| writeln!(f, "  {fault}"))
    }
}

/// Compares two different dispatchers. Neither may be in use meanwhile.
pub fn compare(first: &Shared, second: &Shared, allowances: &Allowances) -> Comparison {
    let mut comparison = Comparison::default();
    events::compare(first, second, allowances, &mut comparison);
    streams::compare(first, second, allowances, &mut comparison);
    comparison
}
