//! The soak in its short form: what a long run takes stays flat, and nothing is lost.

use std::process::{Command, Stdio};

#[test]
fn what_a_long_run_takes_stays_flat_and_nothing_is_lost() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox"));
    command
        .args([
            "soak",
            "--events=60000",
            "--streams=6000",
            "--cache=200",
            "--json",
        ])
        .stderr(Stdio::inherit());
    let output = command.output().unwrap();
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{figures:#}");
    let number = |name: &str| figures[name].as_u64().unwrap();
    assert_eq!(number("events") + number("events_in_suspect_pulls"), 60_000);
    assert_eq!(number("streams") + number("missing"), 6000);
    assert_eq!(number("restored_events"), number("events"));
    assert_eq!(number("restored_streams"), number("streams"));
    assert_eq!(figures["happened"]["outages"], 2);
    assert!(figures["happened"]["starts"].as_u64() >= Some(3), "{figures:#}");
    assert_eq!(figures["flat"].as_array().unwrap().len(), 4);
}
