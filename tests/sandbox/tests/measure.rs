//! The measurement in its short form: everything arrives, in the memory that is allowed.

use std::process::{Command, Stdio};

#[test]
fn all_of_every_case_arrives_within_its_memory() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox"));
    command
        .args(["measure", "--short", "--json"])
        .stderr(Stdio::inherit());
    let output = command.output().unwrap();
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let figures = figures.as_array().unwrap();
    assert!(output.status.success(), "{figures:#?}");
    let of = |field: &str| figures.iter().map(|case| case[field].clone()).collect::<Vec<_>>();
    assert_eq!(
        of("case"),
        ["binaries", "large", "events", "huge", "wide-answers"]
    );
    assert_eq!(of("events"), [200, 10, 10_000, 1, 52 * 40]);
    assert_eq!(of("streams"), [200, 10, 0, 40, 10 * (40 + 20)]);
    for case in figures {
        assert!(
            case["peak_memory"].as_u64() <= case["most_memory"].as_u64(),
            "{case:#}"
        );
    }
}
