//! The torture in its short form: 25 seeds, nothing lost.

use std::process::{Command, Stdio};

#[test]
fn whenever_it_is_killed_nothing_is_lost() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox"));
    command
        .args(["torture", "--seeds", "25", "--json"])
        .stderr(Stdio::inherit());
    let output = command.output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{report:#}");
    let figure = |name: &str| report[name].as_u64().unwrap();
    assert_eq!((figure("seeds"), figure("lost")), (25, 0));
    assert!(figure("kills") >= 5 * 25 / 2, "{report:#}");
    assert!(figure("events_stored") > 25 * 50, "{report:#}");
    assert!(
        report["killed_after"].as_object().unwrap().len() > 10,
        "{report:#}"
    );
    // What was handed out is in the bucket or in a suspect pull: nothing is counted twice, nothing is left out.
    let in_suspect_pulls = figure("in_suspect_pulls");
    assert_eq!(figure("events"), figure("events_stored") + in_suspect_pulls);
    // What is in the bucket comes back, but for bulks of a version that the second dispatcher does not know.
    let dead_letters = report["not_restored"]["dead_letter"].as_u64().unwrap_or(0);
    assert_eq!(figure("restored_events") + dead_letters, figure("events_stored"));
    assert_eq!(figure("restored_streams"), figure("streams"));
}
