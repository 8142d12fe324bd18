//! What is told of the statistics, and how wide.

use actors::timestamp::Timestamp;

use super::*;

fn samples() -> SourceFigures {
    SourceFigures {
        events_received: 124_000,
        events_ok: 123_456,
        events_invalid: 2,
        bundles: 124,
        streams_ok: 9_876,
        streams_failed: 4,
        duplicates: 1_020_000,
        suspect_pulls: 1,
        bytes_in: 500 << 30,
        bytes_out: 300 << 30,
        ..SourceFigures::default()
    }
}

/// After ten minutes, the last table a minute ago.
fn snapshot() -> Snapshot {
    let system = SourceFigures {
        // Left over by an earlier start.
        events_ok: 7,
        ..SourceFigures::default()
    };
    let before = SourceFigures {
        events_ok: 63_456,
        streams_ok: 9_846,
        bytes_in: 440 << 30,
        ..SourceFigures::default()
    };
    Snapshot {
        sources: vec![("samples".into(), samples()), ("system".into(), system)],
        before: vec![("samples".into(), before)],
        took: Duration::from_secs(60),
        running: Duration::from_secs(600),
        backlog: Backlog {
            pending: 12,
            queue: Some(QueueDepth { waiting: 2, out: 10 }),
            missing: 3,
            journal_bytes: 1 << 20,
            aside_bytes: 7 << 10,
            ..Backlog::default()
        },
        suspects: vec![SuspectFeed {
            feed: "samples/binary/sourced".parse().unwrap(),
            pulls: 2,
            since: "2026-11-23T09:48:00.5Z".parse().unwrap(),
            until: "2026-11-23T09:48:01Z".parse().unwrap(),
        }],
    }
}

fn text(pairs: &[(&str, Value<'_>)]) -> String {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(" ")
}

#[test]
fn an_operator_reads_the_table() {
    let table = snapshot().table();
    insta::assert_snapshot!(table);
    let widest = table
        .lines()
        .filter(|line| !line.starts_with("rates") && !line.starts_with("suspect pulls"))
        .map(|line| line.chars().count())
        .max();
    assert!(widest <= Some(160), "{widest:?}");
}

#[test]
fn the_last_table_tells_averages_and_no_queue() {
    let mut snapshot = snapshot();
    snapshot.before.clear();
    snapshot.took = snapshot.running;
    snapshot.backlog.queue = None;
    snapshot.suspects.clear();
    snapshot.sources[0].1.events_unknown = 1500;
    snapshot.sources[0].1.streams_malformed = 2;
    let table = snapshot.table();
    assert_eq!(
        table.lines().last(),
        Some(
            "rates on average since the start, 853.33 MiB/s in; backlog: 12 streams pending, 1.00 MiB in the journal, 7.00 KiB put aside; \
             remembered: 3 missing, 0 failed, 0 suspect pulls; 1,500 events of a newer model version; 2 malformed \
             names of streams"
        )
    );
    assert!(!text(&snapshot.key_values()).contains("streams_in_memory"));
}

#[test]
fn machines_read_numbers() {
    let snapshot = snapshot();
    let lines: Vec<_> = snapshot.rows().map(|row| text(&row.key_values())).collect();
    assert_eq!(
        lines,
        [
            "source=samples events_ok=123456 events_backlog=544 events_per_second=1000 events_invalid=2 events_newer=0 \
             answers_aside=0 suspect_pulls=1 bundles=124 streams_ok=9876 streams_per_second=0.5 streams_present=0 \
             streams_missing=0 streams_failed=4 streams_malformed=0 duplicates=1020000 bytes_in=536870912000 \
             bytes_out=322122547200",
            "source=system events_ok=7 events_backlog=0 events_per_second=0.1 events_invalid=0 events_newer=0 \
             answers_aside=0 suspect_pulls=0 bundles=0 streams_ok=0 streams_per_second=0 streams_present=0 \
             streams_missing=0 streams_failed=0 streams_malformed=0 duplicates=0 bytes_in=0 bytes_out=0",
        ]
    );
    assert_eq!(
        text(&snapshot.key_values()),
        "running_seconds=600 rates_over_seconds=60 events_per_second=1000.1 streams_per_second=0.5 \
         bytes_in_per_second=1073741824 events_backlog=544 streams_pending=12 journal_bytes=1048576 \
         aside_bytes=7168 remembered_missing=3 remembered_failed=0 remembered_suspect_pulls=2 streams_in_memory=2 \
         streams_being_stored=10"
    );
}

#[test]
fn of_many_feeds_with_suspect_pulls_the_newest_are_told() {
    let mut snapshot = snapshot();
    snapshot.suspects = (0..15)
        .map(|number| SuspectFeed {
            feed: format!("s{number}/binary/sourced").parse().unwrap(),
            pulls: 1,
            since: Timestamp::from_micros(number),
            until: Timestamp::from_micros(number),
        })
        .collect();
    let told = snapshot.suspects();
    assert!(
        told.contains("s14/binary/sourced 1 (newest ") && told.contains("and 5 more feeds"),
        "{told}"
    );
    assert!(!told.contains("s4/"), "{told}");
}
