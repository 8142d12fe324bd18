//! The demo goes round: backup, audit, restore into a second dispatcher, comparison.

use std::process::Command;

#[test]
fn what_the_demo_backs_up_comes_back() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox"));
    command.args(["demo", "--sources=2", "--events=2000"]);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{log}");
    // What is in the bucket stands beside what is the same in both dispatchers.
    let row = |what: &str| {
        let line = text.lines().find(|line| line.contains(what)).unwrap();
        let cells = line.split(['│', '┆']).map(|cell| cell.trim().to_owned());
        cells.filter(|cell| !cell.is_empty()).skip(1).collect::<Vec<_>>()
    };
    assert_eq!(row(" feeds "), ["12", "12"]);
    assert_eq!(row(" events "), ["2,040", "2,040"]);
    assert_eq!(row(" streams "), ["300", "300"]);
    let last = text.lines().last().unwrap();
    assert!(last.contains("All of it came back"), "{last}");
}
