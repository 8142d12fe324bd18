//! Which events lie within a span of time, and which bundles have to be read for it.

use std::time::Duration;

use chrono::{NaiveDate, NaiveTime};

use crate::timestamp::Timestamp;

/// How far the events of a bundle are taken to stray from the order of their time.
const ASTRAY: Duration = Duration::from_secs(86_400);

/// What the Go tool names a bundle by that has no valid event: its name tells no time.
pub const UNTIMED: Timestamp = Timestamp::from_micros(-62_135_596_800_000_000);

/// A span of event time: from its beginning, up to and without its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The first instant inside; without it there is no beginning.
    pub since: Option<Timestamp>,
    /// The first instant outside again; without it there is no end.
    pub until: Option<Timestamp>,
    /// Whether every bundle is read, whatever time its name tells.
    pub every_bundle: bool,
}

impl Window {
    /// Whether it takes everything.
    pub fn is_unbounded(&self) -> bool {
        self.since.is_none() && self.until.is_none()
    }

    /// Whether an event of this time lies inside.
    pub fn wants_event(&self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| since <= time) && self.until.is_none_or(|until| time < until)
    }

    /// Whether a bundle that is named by this time is taken where its events cannot be told by their own: it is, whole,
    /// where the window touches the day, in UTC, of its name. Most of its events are of that day. Where names are not
    /// to be relied on, all of them are.
    pub fn wants_whole(&self, name: Timestamp) -> bool {
        if name == UNTIMED || self.every_bundle {
            return true;
        }
        let day = ASTRAY.as_micros() as i64;
        let begins = Timestamp::from_micros(name.as_micros().div_euclid(day).saturating_mul(day));
        self.since.is_none_or(|since| since < begins.after(ASTRAY))
            && self.until.is_none_or(|until| begins < until)
    }

    /// Which bundles of a feed have to be read for it.
    pub fn bundles(&self) -> WantedBundles {
        WantedBundles {
            window: *self,
            before: None,
            next_before: None,
            latest: None,
        }
    }
}

/// Tells which bundles of one feed may hold events from inside of a window; asked about all of them, in the order of
/// the feed.
///
/// A bundle is named by the time of its last event, and its events reach back to where the bundle before it ends,
/// however long ago that is in a quiet source. Events are taken to stray from the order of their time by up to a day.
/// So a bundle that is named more than a day earlier surely lies before, and bounds what this one holds; one that is
/// named less than a day earlier may lie behind it, and bounds nothing.
///
/// In the backup of an Azul that was itself restored once they may stray by years: events came again, in another order,
/// among those of that time. Then only reading every bundle ([`Window::every_bundle`]) finds them all.
#[derive(Clone, Debug)]
pub struct WantedBundles {
    window: Window,
    /// A bundle that surely lies before the present one.
    before: Option<Timestamp>,
    /// One that will be that next.
    next_before: Option<Timestamp>,
    latest: Option<Timestamp>,
}

impl WantedBundles {
    /// Whether the next bundle, which is named by this time, has to be read.
    pub fn wants(&mut self, name: Timestamp) -> bool {
        if name == UNTIMED || self.window.every_bundle {
            return true;
        }
        let surely_before = |time: &Timestamp| time.after(ASTRAY) < name;
        if self.latest.as_ref().is_some_and(surely_before) {
            self.before = self.latest;
            self.next_before = None;
        } else if self.next_before.as_ref().is_some_and(surely_before) {
            self.before = self.next_before;
            self.next_before = self.latest;
        }
        self.next_before = self.next_before.or(Some(name));
        self.latest = Some(name);
        let begins_too_late = match (self.window.until, self.before) {
            (Some(until), Some(before)) => before >= until.after(ASTRAY),
            _ => false,
        };
        let ends_too_early = self.window.since.is_some_and(|since| name.after(ASTRAY) < since);
        !begins_too_late && !ends_too_early
    }
}

/// The text is neither a time nor a date.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is neither a time (2025-07-30T06:02:59Z) nor a date (2025-07-30)", .0.escape_debug())]
pub struct NotAMoment(String);

/// Reads a time as RFC 3339 writes it, in any zone, or a date: the midnight, UTC, that it begins with.
///
/// # Errors
/// It is neither.
pub fn moment(text: &str) -> Result<Timestamp, NotAMoment> {
    let not_one = || NotAMoment(text.chars().take(80).collect());
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| not_one())?;
    let midnight = date.and_time(NaiveTime::MIN).and_utc();
    Ok(Timestamp::from_micros(midnight.timestamp_micros()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(text: &str) -> Timestamp {
        moment(text).unwrap()
    }

    #[test]
    fn a_date_is_its_first_midnight_in_utc_and_a_time_may_be_of_any_zone() {
        assert_eq!(time("2025-07-30"), time("2025-07-30T00:00:00Z"));
        assert_eq!(time("2025-07-30T02:00:00+02:00"), time("2025-07-30"));
        for text in [
            "",
            "yesterday",
            "2025-07",
            "2025-02-30",
            "2025-07-30T06:02",
            "30.7.2025",
        ] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_beginning_is_inside_and_the_end_is_not() {
        let july = Window {
            since: Some(time("2025-07-01")),
            until: Some(time("2025-08-01")),
            every_bundle: false,
        };
        assert!(july.wants_event(time("2025-07-01T00:00:00Z")));
        assert!(july.wants_event(time("2025-07-31T23:59:59.999999Z")));
        assert!(!july.wants_event(time("2025-08-01T00:00:00Z")));
        assert!(!july.wants_event(time("2025-06-30T23:59:59.999999Z")));
    }

    #[test]
    fn a_bundle_of_a_quiet_source_is_read_although_its_name_lies_far_behind_the_window() {
        let day = Window {
            since: Some(time("2025-02-01")),
            until: Some(time("2025-02-02")),
            every_bundle: false,
        };
        let named = ["2025-01-20", "2025-03-15", "2025-03-17"].map(time);
        let mut bundles = day.bundles();
        assert_eq!(named.map(|name| bundles.wants(name)), [false, true, false]);
    }

    #[test]
    fn what_cannot_be_told_by_time_is_taken_where_the_window_touches_the_day_of_its_name() {
        let window = |since: Option<&str>, until: Option<&str>| Window {
            since: since.map(time),
            until: until.map(time),
            every_bundle: false,
        };
        let name = time("2025-02-03T12:00:00Z");
        let every_bundle = Window {
            every_bundle: true,
            ..window(Some("2026-01-01"), None)
        };
        assert!(every_bundle.wants_whole(name));
        for (since, until, expected) in [
            (None, None, true),
            (Some("2025-02-03T23:59:59Z"), None, true),
            (Some("2025-02-04"), None, false),
            (None, Some("2025-02-03T00:00:01Z"), true),
            (None, Some("2025-02-03"), false),
            (Some("2025-02-03T13:00:00Z"), Some("2025-02-03T14:00:00Z"), true),
            (Some("2025-01-01"), Some("2025-02-01"), false),
        ] {
            let window = window(since, until);
            assert_eq!(window.wants_whole(name), expected, "{window:?}");
            assert!(window.wants_whole(UNTIMED));
        }
    }

    #[test]
    fn a_name_without_a_time_may_hold_any() {
        let day = Window {
            since: Some(time("2025-02-01")),
            until: Some(time("2025-02-02")),
            every_bundle: false,
        };
        assert!(day.bundles().wants(UNTIMED));
        assert_eq!(UNTIMED.to_string(), "0001-01-01T00:00:00Z");
    }

    /// Of bundles by their names, with the times of their events.
    fn leaves_out_no_wanted_event(
        window: Window,
        mut named: Vec<(Timestamp, Vec<Timestamp>)>,
    ) -> Result<(), TestCaseError> {
        named.sort();
        let mut bundles = window.bundles();
        for (name, times) in named {
            let inside = times.iter().any(|time| window.wants_event(*time));
            prop_assert!(bundles.wants(name) || !inside);
        }
        Ok(())
    }

    proptest! {
        /// Events in any order that strays by less than a day, cut into bundles anywhere, each named by its last.
        #[test]
        fn no_wanted_event_lies_in_a_bundle_that_is_left_out(
            mut hours in proptest::collection::vec((0_i64..2000, -12_i64..12), 1..60),
            cuts in proptest::collection::vec(1_usize..7, 60),
            since in 0_i64..2000, length in 1_i64..400,
        ) {
            let at = |hours: i64| Timestamp::from_micros(hours * 3_600_000_000);
            let window = Window { since: Some(at(since)), until: Some(at(since + length)), every_bundle: false };
            hours.sort_unstable();
            let mut events: &[(i64, i64)] = &hours;
            let mut named = Vec::new();
            for cut in cuts {
                let (bundle, rest) = events.split_at(cut.min(events.len()));
                let times: Vec<_> = bundle.iter().map(|(hour, astray)| at(hour + astray)).collect();
                if let Some(last) = times.last() {
                    named.push((*last, times.clone()));
                }
                events = rest;
            }
            leaves_out_no_wanted_event(window, named)?;
        }

        /// Events that stray by years, as in the backup of an Azul that was restored once.
        #[test]
        fn where_every_bundle_is_read_it_does_not_matter_how_far_events_stray(
            bundles in proptest::collection::vec(proptest::collection::vec(0_i64..5000, 1..7), 1..30),
            since in 0_i64..5000, length in 1_i64..400, is_open in any::<bool>(),
        ) {
            let at = |days: i64| Timestamp::from_micros(days * 86_400_000_000);
            let window = Window {
                since: Some(at(since)),
                until: (!is_open).then(|| at(since + length)),
                every_bundle: true,
            };
            let named: Vec<(Timestamp, Vec<Timestamp>)> = bundles
                .iter()
                .map(|days| days.iter().map(|days| at(*days)).collect::<Vec<_>>())
                .filter_map(|times| Some((*times.last()?, times)))
                .collect();
            leaves_out_no_wanted_event(window, named)?;
        }
    }

    #[test]
    fn the_name_of_a_bundle_is_believed_unless_every_bundle_is_to_be_read() {
        for every_bundle in [false, true] {
            let window = Window {
                since: Some(time("2025-01-01")),
                until: Some(time("2025-02-01")),
                every_bundle,
            };
            assert_eq!(window.bundles().wants(time("2023-05-01")), every_bundle);
        }
    }
}
