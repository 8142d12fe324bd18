//! `/metrics`: a [`Snapshot`] in Prometheus' text format.
//!
//! # The contract
//! * The names of [`NAMES`] and no others, those that every Prometheus client has of its process among them; what is not known has no series, rather than one that is zero.
//! * Counters never decrease while the process lives.
//! * The number of series is bounded: labels are sources and feeds of the settings (whatever else there is becomes
//!   `(other)`), words of this program, and at most [`MOST_STREAMS`] names of streams.
//! * No text from outside can break a line.

mod feeds;
mod kept;
mod process;
mod restore;

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder as _, TextEncoder};

use self::feeds::ToldFeed;
use super::durations::{self, Durations};
use super::snapshot::Snapshot;

/// The most streams that are told by name.
pub const MOST_STREAMS: usize = 100;

/// The text of all metrics.
pub fn render(snapshot: &Snapshot, durations: &Durations) -> String {
    let scrape = Scrape::of(snapshot);
    let families = FAMILIES.iter().copied().flatten();
    let mut families: Vec<_> = families.filter_map(|family| family.of(&scrape)).collect();
    families.extend(durations.families());
    let mut text = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
        // Writing to memory does not fail, and a family without a series is left out above.
        log::error!("metrics cannot be told: {error}");
    }
    String::from_utf8_lossy(&text).into_owned()
}

const FAMILIES: [&[Family]; 4] = [
    &process::FAMILIES,
    &kept::FAMILIES,
    &feeds::FAMILIES,
    &restore::FAMILIES,
];

/// The names of all metrics there can be.
pub const NAMES: [&str; count() + 1] = {
    let mut names = [durations::NAME; count() + 1];
    let (mut at, mut group) = (0, 0);
    while group < FAMILIES.len() {
        let mut member = 0;
        while member < FAMILIES[group].len() {
            names[at] = FAMILIES[group][member].name;
            at += 1;
            member += 1;
        }
        group += 1;
    }
    names
};

const fn count() -> usize {
    let (mut count, mut group) = (0, 0);
    while group < FAMILIES.len() {
        count += FAMILIES[group].len();
        group += 1;
    }
    count
}

/// A snapshot, and what many families need of it, reckoned once.
struct Scrape<'a> {
    snapshot: &'a Snapshot,
    feeds: Vec<ToldFeed<'a>>,
}

impl<'a> Scrape<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        Self {
            snapshot,
            feeds: feeds::told(snapshot),
        }
    }
}

/// What makes the series of a family.
type Tell = fn(&Scrape<'_>) -> Vec<Series>;

/// A name with all its series.
struct Family {
    name: &'static str,
    /// What it says, and in which unit.
    help: &'static str,
    kind: MetricType,
    tell: Tell,
}

/// One value and what tells it from the others of its family.
#[derive(Debug)]
struct Series {
    labels: Vec<(&'static str, String)>,
    value: f64,
}

impl Family {
    const fn counter(name: &'static str, help: &'static str, tell: Tell) -> Self {
        Self::new(MetricType::COUNTER, name, help, tell)
    }

    const fn gauge(name: &'static str, help: &'static str, tell: Tell) -> Self {
        Self::new(MetricType::GAUGE, name, help, tell)
    }

    const fn new(kind: MetricType, name: &'static str, help: &'static str, tell: Tell) -> Self {
        Self {
            name,
            help,
            kind,
            tell,
        }
    }

    /// `None` where there is nothing to tell.
    fn of(&self, scrape: &Scrape<'_>) -> Option<MetricFamily> {
        let series = (self.tell)(scrape);
        let metrics: Vec<_> = series
            .into_iter()
            .map(|series| series.metric(self.kind))
            .collect();
        if metrics.is_empty() {
            return None;
        }
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(self.kind);
        family.set_metric(metrics);
        Some(family)
    }
}

impl Series {
    fn new(value: impl Number) -> Self {
        Self {
            labels: Vec::new(),
            value: value.number(),
        }
    }

    fn with(mut self, label: &'static str, value: impl ToString) -> Self {
        self.labels.push((label, value.to_string()));
        self
    }

    fn metric(self, kind: MetricType) -> Metric {
        let labels = self.labels.into_iter().map(|(name, value)| {
            let mut label = LabelPair::default();
            label.set_name(name.to_owned());
            label.set_value(value);
            label
        });
        let mut metric = Metric::from_label(labels.collect());
        if kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(self.value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(self.value);
            metric.set_gauge(gauge);
        }
        metric
    }
}

/// What can be a value.
trait Number {
    fn number(self) -> f64;
}

impl Number for f64 {
    fn number(self) -> f64 {
        self
    }
}

impl Number for u64 {
    fn number(self) -> f64 {
        self as f64
    }
}

impl Number for bool {
    fn number(self) -> f64 {
        self.into()
    }
}

impl Number for actors::timestamp::Timestamp {
    /// Seconds since 1970.
    fn number(self) -> f64 {
        self.as_micros() as f64 / 1e6
    }
}

/// A family of one series, if its value is known.
fn one(value: Option<impl Number>) -> Vec<Series> {
    value.map(Series::new).into_iter().collect()
}

#[cfg(test)]
mod tests;
