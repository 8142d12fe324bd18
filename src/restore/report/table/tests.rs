//! What an operator reads at the end.

use actors::feed::SourceName;
use actors::restore::progress::{LeftBehind, LeftOut, LeftOutBecause, SourceProgress, Stage};

use super::super::verdict::Ending;
use super::*;

/// Finished, with a little of everything.
pub(in crate::restore::report) fn progress() -> Progress {
    let source = |name: &str, restored, there, dead, bytes| SourceProgress {
        source: SourceName::new(name).unwrap(),
        figures: StreamFigures {
            restored,
            there,
            dead,
            bytes,
            ..StreamFigures::default()
        },
        total: None,
        is_active: false,
        is_done: false,
    };
    let feed = |name: &str, figures| FeedProgress {
        feed: name.parse().unwrap(),
        figures,
        not_wanted: 0,
        total: None,
        reached: None,
        is_active: false,
        is_done: false,
    };
    let inserts = EventFigures {
        bundles: 1,
        events: 7,
        accepted: 7,
        bytes: 4096,
        ..EventFigures::default()
    };
    let sourced = EventFigures {
        bundles: 22,
        unreadable: 1,
        events: 21_000,
        accepted: 20_991,
        refused: 2,
        filtered: 4,
        dead: 3,
        bytes: 50 << 20,
        ..EventFigures::default()
    };
    Progress {
        stage: Stage::Ended,
        streams: vec![
            source("samples", 7_999, 1_000, 1, 5 << 30),
            source("zoo", 1, 0, 0, 12),
        ],
        feeds: vec![
            feed("system/insert/default", inserts),
            feed("samples/binary/sourced", sourced),
        ],
        left_behind: LeftBehind {
            sources: vec![LeftOut {
                source: "old".to_owned(),
                because: LeftOutBecause::NotConfigured,
            }],
            ..LeftBehind::default()
        },
        ..Progress::default()
    }
}

fn report(progress: &Progress) -> String {
    text(progress, &Verdict::of(progress, &Ending::Finished, Vec::new()))
}

#[test]
fn an_operator_reads_the_report() {
    insta::assert_snapshot!(report(&progress()));
}

#[test]
fn a_sum_that_does_not_hold_is_said_loudly() {
    let mut progress = progress();
    progress.feeds[1].figures.filtered = 3;
    progress.feeds[1].not_wanted = 1_234;
    progress.notes = vec!["bundles were chosen by their names".to_owned()];
    insta::assert_snapshot!(report(&progress));
}

#[test]
fn what_was_not_asked_for_has_no_table() {
    let mut progress = progress();
    progress.feeds.clear();
    progress.left_behind = LeftBehind::default();
    progress.streams.truncate(1);
    assert_eq!(
        report(&progress),
        " streams of  objects  restored  there  gone  dead letters  stored size\n\
         ───────────────────────────────────────────────────────────────────────\n \
         samples       9,000     7,999  1,000     0             1     5.00 GiB\n \
         all           9,000     7,999  1,000     0             1     5.00 GiB\n\
         FINISHED, BUT NOT COMPLETE: 1 stream could not be put back; `azul-backup dead-letters` lists what still is not, and \
         everything else is restored and was verified."
    );
}

#[test]
fn machines_read_numbers() {
    let progress = progress();
    let value = json(&progress, &Verdict::of(&progress, &Ending::Finished, Vec::new()));
    assert_eq!(
        (value["verdict"].as_str(), value["exit"].as_u64()),
        (Some("incomplete"), Some(3))
    );
    assert_eq!(value["feeds"][1]["feed"], "samples/binary/sourced");
    assert_eq!(value["feeds"][1]["figures"]["refused"], 2);
    assert_eq!(value["all_events"]["events"], 21_007);
    assert_eq!(value["all_streams"]["restored"], 8_000);
    assert_eq!(value["sums_hold"], true);
    assert_eq!(value["left_out"][0]["because"], "not-configured");
}
