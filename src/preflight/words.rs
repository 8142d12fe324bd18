//! Figures in words.

use chrono::{DateTime, Utc};

/// By how many seconds the clock of the server is ahead of this one, by the `Date` of an answer.
pub fn clock_difference(date: Option<&str>) -> Option<i64> {
    let theirs = DateTime::parse_from_rfc2822(date?).ok()?;
    Some((theirs.with_timezone(&Utc) - Utc::now()).num_seconds())
}

/// The same for people.
pub fn apart(seconds: i64) -> String {
    let length = match seconds.unsigned_abs() {
        seconds @ 0..120 => format!("{seconds} seconds"),
        seconds @ 120..7200 => format!("{} minutes", seconds / 60),
        seconds => format!("{} hours", seconds / 3600),
    };
    let which = if seconds < 0 { "behind" } else { "ahead of" };
    format!("the server's clock is {length} {which} this one")
}

/// Bytes for people.
pub fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    for (unit, size) in UNITS {
        if count >= size {
            return format!("{:.1} {unit}", count as f64 / size as f64);
        }
    }
    format!("{count} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_compared_by_the_date_of_an_answer() {
        let date = (Utc::now() + chrono::TimeDelta::minutes(20)).to_rfc2822();
        let seconds = clock_difference(Some(&date)).unwrap();
        assert!((1190..=1200).contains(&seconds), "{seconds}");
        assert_eq!(clock_difference(Some("yesterday")), None);
        assert_eq!(apart(1199), "the server's clock is 19 minutes ahead of this one");
        assert_eq!(apart(-7200), "the server's clock is 2 hours behind this one");
    }

    #[test]
    fn bytes_are_told_in_the_largest_unit() {
        assert_eq!(bytes(512), "512 bytes");
        assert_eq!(bytes(10 << 30), "10.0 GiB");
    }
}
