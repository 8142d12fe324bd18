//! What an operator reads before a restore.

use actors::feed::SourceName;
use actors::ports::restore_state::{EventFigures, StreamFigures, Unfinished};
use actors::restore::plan::{LabelPlan, Odd};
use actors::restore::progress::{LeftBehind, LeftOut, LeftOutBecause};

use super::super::resume::Checkpoints;
use super::*;

fn samples() -> SourceName {
    SourceName::new("samples").unwrap()
}

fn plan() -> Plan {
    let label = |label: &str, objects, bytes| LabelPlan {
        label: label.to_owned(),
        tally: Tally {
            objects,
            bytes,
            ..Tally::default()
        },
    };
    let tally = Tally {
        objects: 22,
        events: 21_999,
        bytes: 50 << 20,
        first: "2025-07-30T06:02:59.5Z".parse().ok(),
        last: "2025-08-30T06:02:59Z".parse().ok(),
        ..Tally::default()
    };
    let feed = |feed: &str, tally: &Tally| FeedPlan {
        feed: feed.parse().unwrap(),
        tally: tally.clone(),
    };
    Plan {
        streams: vec![SourcePlan {
            source: samples(),
            labels: vec![label("content", 12_345, 5 << 30), label("pcap", 3, 4096)],
            fault: None,
        }],
        feeds: vec![
            feed("system/insert/default", &Tally::default()),
            feed("samples/binary/sourced", &tally),
        ],
        left_behind: LeftBehind {
            sources: vec![LeftOut {
                source: "old".to_owned(),
                because: LeftOutBecause::NotConfigured,
            }],
            ..LeftBehind::default()
        },
        odd: vec![Odd {
            weight: Weight::Told,
            what: "something to know".to_owned(),
        }],
        ..Plan::default()
    }
}

fn told<'a>(plan: &'a Plan, resume: &'a Resume) -> Told<'a> {
    Told {
        plan,
        resume,
        selection: r#"{"restore":"all"}"#.to_owned(),
        notes: &[],
        allow_empty: false,
    }
}

fn unfinished() -> Resume {
    let begun = "2026-11-23T16:00:00Z".parse().unwrap();
    Resume::At(Checkpoints {
        unfinished: Unfinished { begun, starts: 2 },
        streams: vec![(
            samples(),
            StreamFigures {
                restored: 10_000,
                there: 2,
                dead: 1,
                bytes: 1,
                ..StreamFigures::default()
            },
        )],
        feeds: vec![(
            "samples/binary/sourced".parse().unwrap(),
            EventFigures {
                bundles: 7,
                unreadable: 1,
                ..EventFigures::default()
            },
        )],
    })
}

#[test]
fn an_operator_reads_the_plan() {
    let (plan, resume) = (plan(), unfinished());
    let told = told(&plan, &resume);
    insta::assert_snapshot!(told.text());
    assert_eq!(told.exit().code(), 0);
}

#[test]
fn what_stands_against_it_is_said_and_ends_with_1() {
    let mut plan = plan();
    plan.odd.push(Odd {
        weight: Weight::Empty,
        what: "source zoo: no streams in the bucket".to_owned(),
    });
    let resume = Resume::FromStart;
    let mut told = told(&plan, &resume);
    let text = told.text();
    assert_eq!(told.exit().code(), 1);
    assert!(
        text.contains("\nWRONG: source zoo: no streams in the bucket.\n"),
        "{text}"
    );
    assert!(
        text.contains("\nIt would begin at the start: there is no unfinished restore"),
        "{text}"
    );
    assert!(
        text.lines()
            .last()
            .unwrap()
            .starts_with("Something stands against this restore"),
        "{text}"
    );
    told.allow_empty = true;
    assert_eq!(told.exit().code(), 0);
    assert!(
        told.text().contains("\nNote: source zoo: no streams"),
        "{}",
        told.text()
    );
}

#[test]
fn machines_read_one_object() {
    let (plan, resume) = (plan(), unfinished());
    let mut out = Vec::new();
    told(&plan, &resume).print(true, &mut out).unwrap();
    assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
    let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(value["streams"][0]["labels"][0]["objects"], 12_345);
    assert_eq!(value["feeds"][1]["feed"], "samples/binary/sourced");
    assert_eq!(value["all_events"]["events"], 21_999);
    assert_eq!(value["resume"]["unfinished"], true);
    assert_eq!(value["resume"]["streams"]["samples"]["done"], 10_003);
    assert_eq!(value["left_out"][0]["source"], "old");
    assert_eq!(value["exit"], 0);
}

#[test]
fn a_state_that_cannot_be_looked_into_is_told() {
    let plan = plan();
    let in_use = Resume::InUse("start 7 commit 12 pid 99".to_owned());
    let text = told(&plan, &in_use).text();
    assert!(
        text.contains("another process works on it just now (start 7 commit 12 pid 99)"),
        "{text}"
    );
    assert_eq!(told(&plan, &in_use).exit().code(), 0);
    let unknown = Resume::Unknown("local state is damaged".to_owned());
    let told = told(&plan, &unknown);
    assert!(
        told.text()
            .contains("WRONG: where it would go on cannot be told: local state is damaged")
    );
    assert_eq!(told.exit().code(), 1, "the restore would not start");
}
