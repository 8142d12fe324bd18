//! Times, durations and sizes for people.

use std::time::Duration;

use actors::timestamp::Timestamp;
use indicatif::{HumanBytes, HumanCount};

use super::html::Html;

/// `3 s`, `5 min`, `2 h 10 min`, `3 d 4 h`: what matters of it.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) if minutes < 10 && !seconds.is_multiple_of(60) => {
            format!("{minutes} min {} s", seconds % 60)
        }
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        (_, _, _) => format!("{days} d {} h", hours % 24),
    }
}

/// The same of seconds that may be of no use.
pub(super) fn seconds(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds.max(0.0)).map_or_else(|_| "unknown".to_owned(), span)
}

/// `2026-11-23 20:15:03 UTC`.
pub(super) fn clock(time: Timestamp) -> String {
    let text = time.to_string();
    let (date, hours) = text.split_once('T').unwrap_or((&text, ""));
    format!("{date} {} UTC", hours.get(..8).unwrap_or(hours))
}

pub(super) fn count(count: u64) -> String {
    HumanCount(count).to_string()
}

/// `1 stream`, `27 streams`.
pub(super) fn some(number: u64, one: &str, more: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { more })
}

pub(super) fn bytes(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

/// `part` of `whole` in percent, never 100 before all of it is there.
pub(super) fn percent(part: u64, whole: u64) -> u64 {
    match whole {
        0 => 100,
        whole => (u128::from(part.min(whole)) * 100 / u128::from(whole)) as u64,
    }
}

impl Html {
    /// How long ago a time was, with the time itself where one points at it.
    pub(super) fn ago(
        &mut self,
        time: Option<Timestamp>,
        now: Timestamp,
        unknown: &'static str,
    ) -> &mut Self {
        match time {
            None => self.raw("<span class=\"dim\">").raw(unknown).raw("</span>"),
            Some(time) => self.moment(time).text(span(now.since(time))).raw(" ago</time>"),
        }
    }

    /// A time as people write it.
    pub(super) fn at(&mut self, time: Timestamp) -> &mut Self {
        self.moment(time).text(clock(time)).raw("</time>")
    }

    fn moment(&mut self, time: Timestamp) -> &mut Self {
        self.raw("<time datetime=\"")
            .text(time)
            .raw("\" title=\"")
            .text(clock(time))
            .raw("\">")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_tell_what_matters() {
        for (seconds, told) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (3599, "59 min"),
            (7800, "2 h 10 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), told);
        }
        assert_eq!(
            (seconds(-1.0).as_str(), seconds(f64::NAN).as_str()),
            ("0 s", "0 s")
        );
        assert_eq!(seconds(f64::INFINITY), "unknown");
    }

    #[test]
    fn a_hundred_percent_is_all_of_it() {
        assert_eq!(
            [percent(999, 1000), percent(1000, 1000), percent(0, 0)],
            [99, 100, 100]
        );
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
    }
}
