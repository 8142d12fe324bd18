//! The torture of a restore in its short form: 25 seeds, nothing lost, nothing told twice.

use std::process::{Command, Stdio};

#[test]
fn whenever_a_restore_is_killed_everything_comes_back_in_order_and_is_counted_once() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox"));
    command
        .args(["torture-restore", "--seeds", "25", "--json"])
        .stderr(Stdio::inherit());
    let output = command.output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{report:#}");
    let figure = |name: &str| report[name].as_u64().unwrap();
    assert_eq!((figure("seeds"), figure("lost")), (25, 0));
    assert!(figure("kills") >= 25, "{report:#}");
    assert!(
        figure("events") > 25 * 50 && figure("streams") > 25 * 20,
        "{report:#}"
    );
    assert!(figure("came_late") > 25 && figure("vanished") > 10, "{report:#}");
    assert!(figure("dead_letters") > 25, "{report:#}");
    assert!(
        report["killed_after"].as_object().unwrap().len() > 10,
        "{report:#}"
    );
}
