use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use actors::fault::FaultKind;
use actors::feed::SourceName;
use actors::ports::restore_state::{EventFigures, StreamFigures};
use actors::restore::progress::{FeedProgress, Progress, SourceProgress, Stage, Total};
use actors::statistics::SourceFigures;
use actors::timestamp::Timestamp;

use super::*;
use crate::observe::durations::Method;
use crate::observe::snapshot::{
    BackupStanding, Doing, FeedStatus, JournalStatus, RestoreStanding, StreamBacklog,
};
use crate::observe::usage::Usage;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000 + seconds * 1_000_000)
}

fn counts(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
    of.iter()
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

fn feed(name: &str) -> FeedStatus {
    FeedStatus {
        feed: name.parse().unwrap(),
        configured: true,
        ready: Some(true),
        behind_since: Some(at(1)),
        last_event: Some(at(2)),
        last_bundle: Some(at(3)),
        last_pull: Some(at(4)),
        oldest_waiting: Some(at(5)),
        waiting_events: 6,
        waiting_bytes: 7,
        events: 8,
        bundles: 9,
        suspect_pulls: 10,
        backpressure_seconds: 11.5,
        errors: counts(&[("bundle", 12), ("pull", 13)]),
        trouble: Some("text is not told".to_owned()),
    }
}

fn snapshot(mode: Doing) -> Snapshot {
    let figures = SourceFigures {
        events_ok: 1,
        events_failed: 2,
        streams_ok: 3,
        streams_present: 4,
        streams_missing: 5,
        streams_failed: 6,
        bytes_in: 7,
        bytes_out: 8,
        ..SourceFigures::default()
    };
    Snapshot {
        taken: at(100),
        version: "1.2.3",
        mode,
        backup_id: "1".to_owned(),
        started: at(0),
        stage: "running".to_owned(),
        not_ready: Vec::new(),
        last_sign_of_life_seconds: Some(1.5),
        process: Usage {
            resident_bytes: Some(60 << 20),
            virtual_bytes: Some(900 << 20),
            cpu_seconds: Some(12.25),
            open_files: Some(41),
            max_open_files: Some(1024),
        },
        sources: [("samples".to_owned(), figures)].into(),
        backup: None,
        restore: None,
        retries: counts(&[("head object", 3)]),
        object_errors: counts(&[("transient", 4)]),
        recent: Vec::new(),
    }
}

fn backup() -> Snapshot {
    let quiet = FeedStatus {
        ready: None,
        behind_since: None,
        last_event: None,
        last_bundle: None,
        last_pull: None,
        oldest_waiting: None,
        errors: BTreeMap::new(),
        ..feed("samples/binary/mapped")
    };
    Snapshot {
        backup: Some(BackupStanding {
            feeds: vec![feed("samples/binary/sourced"), quiet],
            streams: StreamBacklog {
                pending: 1,
                oldest_pending_seconds: Some(2.5),
                failed: 3,
                failed_names: vec!["samples/content/00".to_owned()],
                missing: 4,
            },
            journal: JournalStatus {
                bytes: 5,
                reserved_bytes: 11,
                aside_bytes: 7,
                taken_bytes: 23,
                max_bytes: 6,
                volume_free_bytes: Some(8),
                volume_bytes: Some(9),
            },
            suspect_pulls: 10,
            suspect_pulls_in_all: 14,
        }),
        ..snapshot(Doing::Backup)
    }
}

fn restore() -> Snapshot {
    let total = |objects, bytes| {
        Some(Total {
            objects,
            bytes,
            events: 0,
        })
    };
    let source = |name, restored, total, is_done: bool| SourceProgress {
        source: SourceName::new(name).unwrap(),
        figures: StreamFigures {
            restored,
            ..StreamFigures::default()
        },
        total,
        is_active: !is_done,
        is_done,
    };
    let feed = |name: &str, bundles, total, is_done: bool| FeedProgress {
        feed: name.parse().unwrap(),
        figures: EventFigures {
            bundles,
            ..EventFigures::default()
        },
        not_wanted: 0,
        total,
        reached: None,
        is_active: !is_done,
        is_done,
    };
    Snapshot {
        restore: Some(RestoreStanding {
            progress: Progress {
                stage: Stage::SystemEvents,
                streams: vec![
                    source("abc", 1, total(2, 20), true),
                    source("zoo", 3, None, false),
                ],
                feeds: vec![
                    feed("abc/binary/sourced", 1, total(3, 30), true),
                    feed("abc/binary/mapped", 2, total(4, 40), false),
                    feed("zoo/binary/mapped", 4, None, false),
                ],
                ..Progress::default()
            },
            bytes_done: 11,
            bytes_total: Some(12),
            eta_seconds: Some(13.5),
            last_progress: Some(at(50)),
            starts: Some(2),
            dead_letters: 14,
            verdict: None,
        }),
        ..snapshot(Doing::Restore)
    }
}

fn durations() -> Durations {
    let durations = Durations::default();
    durations.observe(Method::Head, None, Duration::from_millis(3));
    durations.observe(Method::Put, Some(FaultKind::NoRoom), Duration::from_secs(200));
    durations
}

/// The names of the families in a text.
fn families(text: &str) -> BTreeSet<&str> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|line| line.split(' ').next()).collect()
}

#[test]
fn a_backup_is_told() {
    insta::assert_snapshot!(render(&backup(), &durations()));
}

#[test]
fn a_restore_is_told() {
    insta::assert_snapshot!(render(&restore(), &Durations::default()));
}

#[test]
fn the_names_are_those_that_are_listed_and_no_others() {
    let (backup, restore) = (
        render(&backup(), &durations()),
        render(&restore(), &Durations::default()),
    );
    let told: BTreeSet<_> = families(&backup).union(&families(&restore)).copied().collect();
    assert_eq!(told, BTreeSet::from(NAMES));
    assert_eq!(told.len(), NAMES.len(), "none is listed twice");
}

#[test]
fn the_process_is_in_one_stage_whichever_it_is() {
    use actors::supervisor::Stage;
    let stages = Stage::ALL.iter().map(Stage::to_string);
    for stage in stages.chain(["starting".to_owned()]) {
        let snapshot = Snapshot {
            stage: stage.clone(),
            ..snapshot(Doing::Backup)
        };
        let text = render(&snapshot, &Durations::default());
        let series = text.lines().filter(|line| line.starts_with("azul_backup_stage{"));
        let (is_in, others): (Vec<_>, Vec<_>) = series.partition(|line| line.ends_with(" 1"));
        assert_eq!((is_in.len(), others.len()), (1, 6), "{stage}");
    }
}

#[test]
fn every_family_says_what_it_is_and_has_its_unit_in_its_help() {
    for family in FAMILIES.iter().copied().flatten() {
        assert!(family.help.ends_with('.'), "{}", family.name);
        if family.name.contains("seconds") {
            assert!(family.help.to_lowercase().contains("second"), "{}", family.name);
        }
        if family.name.contains("bytes") {
            assert!(family.help.contains("Bytes"), "{}", family.name);
        }
    }
}

/// As `promtool check metrics` wants it, but for the names that dashboards of Azul know.
#[test]
fn a_counter_is_called_a_total_and_nothing_else_is() {
    for family in FAMILIES.iter().copied().flatten() {
        let is_counter = family.kind == MetricType::COUNTER;
        let is_kept = is_counter && family.name.starts_with("recovery_");
        assert!(
            is_kept || family.name.ends_with("_total") == is_counter,
            "{}",
            family.name
        );
    }
}

#[test]
fn what_is_not_known_has_no_series() {
    let mut start = snapshot(Doing::Backup);
    start.last_sign_of_life_seconds = None;
    start.not_ready.push("local state is not open yet".to_owned());
    let text = render(&start, &Durations::default());
    assert!(text.contains("\nazul_backup_ready 0\n"), "{text}");
    for absent in ["sign_of_life", "_feed_", "journal", "restore", "op_duration"] {
        let mut series = text.lines().filter(|line| !line.starts_with('#'));
        assert!(!series.any(|line| line.contains(absent)), "{absent}: {text}");
    }
}

#[test]
fn faults_are_counted_from_zero_on_so_that_the_first_one_is_seen() {
    let mut snapshot = backup();
    snapshot.object_errors.clear();
    for feed in &mut snapshot.backup.as_mut().unwrap().feeds {
        feed.errors.clear();
    }
    let zeros = |text: &str, name: &str| {
        let lines = text.lines();
        lines
            .filter(|line| line.starts_with(name) && line.ends_with(" 0"))
            .count()
    };
    let text = render(&snapshot, &Durations::default());
    assert_eq!(
        zeros(&text, "recovery_backup_object_error{"),
        FaultKind::ALL.len()
    );
    let of_feeds = 2 * actors::board::feed::FeedWork::ALL.len();
    assert_eq!(zeros(&text, "recovery_backup_events_error{"), of_feeds);
    *snapshot.object_errors.entry("rejected".to_owned()).or_default() += 1;
    let text = render(&snapshot, &Durations::default());
    assert_eq!(
        zeros(&text, "recovery_backup_object_error{"),
        FaultKind::ALL.len() - 1
    );
    assert!(
        text.contains("recovery_backup_object_error{keyword=\"rejected\"} 1\n"),
        "{text}"
    );
}

#[test]
fn no_text_from_outside_breaks_a_line() {
    let hostile = "a\"} 1\nazul_backup_ready 1 \\ {x=\"";
    let mut snapshot = backup();
    let figures = snapshot.sources["samples"];
    snapshot.sources.insert(hostile.to_owned(), figures);
    snapshot.retries.insert(hostile.to_owned(), 1);
    snapshot.object_errors.insert(hostile.to_owned(), 1);
    let standing = snapshot.backup.as_mut().unwrap();
    standing.streams.failed_names.push(hostile.to_owned());
    let source = SourceName::new("a\"} 1 {x=\"").unwrap();
    standing
        .feeds
        .extend(actors::feed::Feed::of_source(&source).map(|hostile| FeedStatus {
            feed: hostile,
            ..feed("samples/binary/sourced")
        }));
    let calm = render(&backup(), &Durations::default());
    let text = render(&snapshot, &Durations::default());
    let name = |line: &str| line.split(['{', ' ']).next().unwrap_or_default().to_owned();
    let names = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(name).collect::<BTreeSet<_>>()
    };
    assert_eq!(names(&text), names(&calm));
    let ready = text.lines().filter(|line| line.starts_with("azul_backup_ready"));
    assert_eq!(ready.count(), 1);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit(' ').next().unwrap_or_default();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn the_number_of_series_does_not_grow_with_what_lies_in_local_state() {
    let mut snapshot = backup();
    let standing = snapshot.backup.as_mut().unwrap();
    standing.streams.failed_names = (0..1000).map(|number| format!("s/content/{number}")).collect();
    for number in 0..1000 {
        standing.feeds.push(FeedStatus {
            configured: false,
            ..feed(&format!("gone{number}/binary/sourced"))
        });
    }
    let text = render(&snapshot, &Durations::default());
    let series = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!(series("recovery_backup_stream_cant_be_backed_up{"), MOST_STREAMS);
    assert_eq!(series("azul_backup_feed_waiting_events{"), 3);
    let others = "azul_backup_feed_waiting_events{source=\"(other)\",feed=\"(other)\"} 6000\n";
    assert!(text.contains(others), "{text}");
}
