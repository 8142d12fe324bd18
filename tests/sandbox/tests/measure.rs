//! The measurement in its short form: everything arrives, in the memory that is allowed.

use std::process::{Command, Stdio};

use serde_json::Value;

/// The figures of the short form of these cases.
fn measured(cases: &[&str]) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox"));
    command.args(["measure", "--short", "--json"]);
    for case in cases {
        command.args(["--case", case]);
    }
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    let figures = figures.as_array().unwrap().clone();
    assert!(output.status.success(), "{figures:#?}");
    assert_eq!(of("case", &figures), cases);
    for case in &figures {
        assert!(
            case["peak_memory"].as_u64() <= case["most_memory"].as_u64(),
            "{case:#}"
        );
    }
    figures
}

fn of(field: &str, figures: &[Value]) -> Vec<Value> {
    figures.iter().map(|case| case[field].clone()).collect()
}

#[test]
fn all_of_every_backup_arrives_within_its_memory() {
    let figures = measured(&["binaries", "large", "events", "huge", "wide-answers"]);
    assert_eq!(of("events", &figures), [200, 10, 10_000, 1, 52 * 40]);
    assert_eq!(of("streams", &figures), [200, 10, 0, 40, 10 * (40 + 20)]);
}

#[test]
fn all_of_every_restore_arrives_once_and_within_its_memory() {
    let figures = measured(&[
        "restore-binaries",
        "restore-large",
        "restore-events",
        "restore-small",
        "restore-huge",
    ]);
    assert_eq!(of("events", &figures), [0, 0, 10_000, 0, 0]);
    assert_eq!(of("streams", &figures), [200, 10, 0, 3000, 40]);
    let uploaded = of("content_bytes", &figures);
    assert_eq!(
        [&uploaded[0], &uploaded[1], &uploaded[3], &uploaded[4]],
        [200 * 300_000, 10 * 20_000_000, 3000 * 1000, 40 * (12_u64 << 20)]
    );
}
