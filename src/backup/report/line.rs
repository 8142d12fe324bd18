//! What moves on a terminal.

use std::time::Duration;

use actors::statistics::SourceFigures;
use indicatif::{HumanBytes, HumanCount};

use super::table::Backlog;

/// The state of a backup on one line; the rates are those of the time that it took from `last` to `now`.
pub(super) fn line(last: &SourceFigures, now: &SourceFigures, took: Duration, backlog: &Backlog) -> String {
    let rate = |read: fn(&SourceFigures) -> u64| {
        read(now).saturating_sub(read(last)) as f64 / took.as_secs_f64().max(0.001)
    };
    let waiting = backlog
        .queue
        .map_or_else(String::new, |queue| format!(" · waiting {}", queue.waiting));
    format!(
        "events {} ({:.0}/s) · bundles {} · streams {} ({:.0}/s) · in {} ({}/s){waiting} · pending {} · journal {}",
        HumanCount(now.events_received),
        rate(|figures| figures.events_received),
        HumanCount(now.bundles),
        HumanCount(now.streams_ok),
        rate(|figures| figures.streams_ok),
        HumanBytes(now.bytes_in),
        HumanBytes(rate(|figures| figures.bytes_in) as u64),
        HumanCount(backlog.pending),
        HumanBytes(backlog.journal_bytes),
    )
}

#[cfg(test)]
mod tests {
    use actors::hit_cache::QueueDepth;

    use super::*;

    #[test]
    fn the_line_tells_rates_of_the_last_moment_and_what_waits() {
        let last = SourceFigures {
            events_received: 1000,
            streams_ok: 10,
            bytes_in: 1 << 20,
            ..SourceFigures::default()
        };
        let now = SourceFigures {
            events_received: 3000,
            bundles: 2,
            streams_ok: 15,
            bytes_in: 3 << 20,
            ..SourceFigures::default()
        };
        let backlog = Backlog {
            pending: 1200,
            queue: Some(QueueDepth { waiting: 7, out: 3 }),
            journal_bytes: 2048,
            ..Backlog::default()
        };
        assert_eq!(
            line(&last, &now, Duration::from_millis(500), &backlog),
            "events 3,000 (4000/s) · bundles 2 · streams 15 (10/s) · in 3.00 MiB (4.00 MiB/s) · waiting 7 · \
             pending 1,200 · journal 2.00 KiB"
        );
    }
}
