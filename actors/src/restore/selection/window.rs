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
}

impl Window {
    /// Whether it takes everything.
    pub fn is_unbounded(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an event of this time lies inside.
    pub fn wants_event(&self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| since <= time) && self.until.is_none_or(|until| time < until)
    }

    /// Whether a bundle may hold events from inside. `name` is the time that it is named by, that of its last
    /// event; `previous` that of the bundle before it in the order of its feed, `None` for the first.
    ///
    /// Its events lie between these two times, however far apart a quiet source leaves them; a day is added on
    /// either side for those that strayed.
    pub fn wants_bundle(&self, previous: Option<Timestamp>, name: Timestamp) -> bool {
        if name == UNTIMED {
            return true;
        }
        let begins_too_late = match (self.until, previous) {
            (Some(until), Some(previous)) => previous >= until.after(ASTRAY),
            _ => false,
        };
        let ends_too_early = self.since.is_some_and(|since| name.after(ASTRAY) < since);
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
        };
        let previous = Some(time("2025-01-20"));
        assert!(day.wants_bundle(previous, time("2025-03-15")));
        assert!(!day.wants_bundle(Some(time("2025-03-15")), time("2025-03-16")));
        assert!(!day.wants_bundle(None, time("2025-01-20")));
    }

    #[test]
    fn a_name_without_a_time_may_hold_any() {
        let day = Window {
            since: Some(time("2025-02-01")),
            until: Some(time("2025-02-02")),
        };
        assert!(day.wants_bundle(Some(time("2026-01-01")), UNTIMED));
        assert_eq!(UNTIMED.to_string(), "0001-01-01T00:00:00Z");
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
            let window = Window { since: Some(at(since)), until: Some(at(since + length)) };
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
            named.sort();
            let mut previous = None;
            for (name, times) in named {
                let inside = times.iter().any(|time| window.wants_event(*time));
                prop_assert!(!inside || window.wants_bundle(previous, name));
                previous = Some(name);
            }
        }
    }
}
