//! Counters per source, shared by actors and workers: they only ever rise, and losing one costs nothing but a
//! figure in a table.
//!
//! Streams are counted under the source of the event that named them. A source that is not configured is
//! counted as [`OTHER`], so that text of the network cannot grow the table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::feed::SourceName;

/// Stands for all sources that are not configured.
pub const OTHER: &str = "(other)";

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of one source.
        #[derive(Debug, Default)]
        pub struct SourceCounters {
            $($(#[$doc])* pub $name: Counter,)*
        }

        /// The counters of one source as they stood at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct SourceFigures {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl SourceCounters {
            /// The present figures.
            pub fn figures(&self) -> SourceFigures {
                SourceFigures { $($name: self.$name.get(),)* }
            }
        }

        impl std::ops::AddAssign for SourceFigures {
            fn add_assign(&mut self, more: Self) {
                $(self.$name += more.$name;)*
            }
        }
    };
}

counters! {
    /// Pulls that brought events.
    batches,
    /// Events journaled, the invalid ones included.
    events_received,
    /// Events of these that fail the validity rules; backed up all the same.
    events_invalid,
    /// Events of these whose model version is newer than this program; backed up all the same.
    events_unknown,
    /// Events that are safe in the bucket.
    events_ok,
    /// Answers that could not be understood and were put aside.
    events_failed,
    /// Bundles written.
    bundles,
    /// Pulls that may have cost events.
    suspect_pulls,
    /// Streams stored.
    streams_ok,
    /// Streams that were in the bucket already.
    streams_present,
    /// Streams that the dispatcher does not have.
    streams_missing,
    /// Attempts to store a stream that failed.
    streams_failed,
    /// Requests for a stream that was seen lately, or was pending already.
    duplicates,
    /// Datastreams whose text cannot become a key.
    streams_malformed,
    /// Bytes received from the dispatcher.
    bytes_in,
    /// Bytes written to the bucket.
    bytes_out,
}

/// Rises only.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts `more`.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of all sources.
#[derive(Debug)]
pub struct Statistics {
    sources: BTreeMap<SourceName, SourceCounters>,
    other: SourceCounters,
}

impl Statistics {
    /// Counters for these sources, all at zero.
    pub fn new(sources: impl IntoIterator<Item = SourceName>) -> Arc<Self> {
        let sources = sources
            .into_iter()
            .map(|source| (source, SourceCounters::default()))
            .collect();
        Arc::new(Self {
            sources,
            other: SourceCounters::default(),
        })
    }

    /// The counters of `source`.
    pub fn of(&self, source: &SourceName) -> &SourceCounters {
        self.sources.get(source).unwrap_or(&self.other)
    }

    /// The figures of every source, and of [`OTHER`] where there is something to tell.
    pub fn figures(&self) -> Vec<(String, SourceFigures)> {
        let mut figures: Vec<_> = self
            .sources
            .iter()
            .map(|(source, counters)| (source.to_string(), counters.figures()))
            .collect();
        let other = self.other.figures();
        if other != SourceFigures::default() {
            figures.push((OTHER.to_owned(), other));
        }
        figures
    }

    /// The figures of all sources together.
    pub fn total(&self) -> SourceFigures {
        self.figures()
            .into_iter()
            .fold(SourceFigures::default(), |mut total, (_, figures)| {
                total += figures;
                total
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_is_not_configured_does_not_grow_the_table() {
        let known = SourceName::new("samples").unwrap();
        let statistics = Statistics::new([known.clone()]);
        statistics.of(&known).streams_ok.add(2);
        for name in ["a", "b"] {
            statistics.of(&SourceName::new(name).unwrap()).streams_ok.add(1);
        }
        let figures = statistics.figures();
        assert_eq!(figures.len(), 2);
        assert_eq!((figures[1].0.as_str(), figures[1].1.streams_ok), (OTHER, 2));
        assert_eq!(statistics.total().streams_ok, 4);
    }
}
