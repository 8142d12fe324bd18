//! Settings, through the real program: faults, secrets, and both forms of the log.

use std::process::{Command, Output};

fn run(variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_azul-backup"))
        .arg("backup")
        .stdin(std::process::Stdio::null())
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .expect("the program starts")
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// Four faults, and a secret.
const FAULTY: [(&str, &str); 5] = [
    ("BK__DISPATCHER_EVENTS", "http://me:hunter2@dispatcher"),
    ("BK__EXTERNAL_BACKUP__ENDPOINT", "minio:9000"),
    ("BK__EXTERNAL_BACKUP__SECRET_KEY", "hunter2"),
    ("BK__SOURCES", "sources: {samples: {}}"),
    ("BK__RECHECK_SHARE", "0.5"),
];

#[test]
fn all_faults_are_told_at_once_without_secrets_and_end_with_2() {
    let output = run(&FAULTY);
    let told = told(&output);
    assert_eq!(output.status.code(), Some(2));
    for variable in [
        "BK__DISPATCHER_EVENTS: ",
        "BK__EXTERNAL_BACKUP__ACCESS_KEY is not set",
        "BK__RECHECK_SHARE: `0.5` is not supported yet",
        "3 faults in the settings",
    ] {
        assert!(told.contains(variable), "{variable}: {told}");
    }
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn faults_are_json_lines_where_these_are_asked_for() {
    let mut variables = FAULTY.to_vec();
    variables.push(("BED__LOG_PRETTY", "false"));
    let told = told(&run(&variables));
    let lines: Vec<serde_json::Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 4);
    assert!(lines.iter().all(|line| line["level"] == "ERROR"), "{told}");
}

#[test]
fn faults_are_told_although_the_filters_let_nothing_through() {
    let mut variables = FAULTY.to_vec();
    variables.push(("RUST_LOG", "off"));
    let output = run(&variables);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(told(&output).lines().count(), 4, "{}", told(&output));
}

#[test]
fn faults_of_logging_stand_beside_the_others() {
    let mut variables = FAULTY.to_vec();
    variables.extend([("BED__LOG_LEVEL", "LOUD"), ("BED.LOG_PRETTY", "pretty")]);
    let output = run(&variables);
    let told = told(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(told.contains("BED__LOG_LEVEL: `LOUD` is not accepted"), "{told}");
    assert!(
        told.contains("BED.LOG_PRETTY: `pretty` is not accepted"),
        "{told}"
    );
    assert!(told.contains("5 faults in the settings"), "{told}");
}
