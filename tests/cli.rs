//! The command line, through the real program: what it prints, and how it ends.

use std::process::{Command, Output};

/// Runs the program with these arguments, and with these variables only.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_azul-backup"))
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Standard error without the time of each line.
fn told(output: &Output) -> String {
    let lines = text(&output.stderr);
    let lines: Vec<_> = lines
        .lines()
        .map(|line| line.split_once("Z ").map_or(line, |(_, rest)| rest))
        .collect();
    lines.join("\n")
}

#[test]
fn help_tells_modes_settings_exit_codes_and_examples() {
    let output = run(&["--help"], &[]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(text(&output.stdout));
    assert!(output.stderr.is_empty());
}

#[test]
fn short_help_fits_on_a_screen() {
    let output = run(&["-h"], &[]);
    let help = text(&output.stdout);
    assert!(help.lines().count() < 25, "{help}");
}

#[test]
fn help_of_a_subcommand_points_at_the_settings() {
    for arguments in [&["backup", "--help"][..], &["get-samples", "--help"]] {
        let output = run(arguments, &[]);
        assert_eq!(output.status.code(), Some(0));
        let help = text(&output.stdout);
        assert!(help.contains("`azul-backup --help` lists"), "{help}");
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let output = run(&["--version"], &[]);
    assert_eq!(
        (text(&output.stdout), output.status.code()),
        (format!("azul-backup {}\n", env!("CARGO_PKG_VERSION")), Some(0))
    );
}

#[test]
fn nothing_at_all_tells_what_is_needed_and_ends_with_2() {
    let output = run(&[], &[]);
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(told(&output));
}

#[test]
fn subcommand_option_and_variable_ask_for_the_same() {
    let told_by = |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = run(arguments, variables);
        assert_eq!(output.status.code(), Some(2));
        told(&output)
    };
    let backup = told_by(&["backup"], &[]);
    assert!(!backup.contains("BK__MODE"), "{backup}");
    assert_eq!(backup, told_by(&["--mode", "backup"], &[]));
    assert_eq!(backup, told_by(&[], &[("BK__MODE", "backup")]));
    assert_eq!(backup, told_by(&[], &[("BK.MODE", "backup")]));
    assert_eq!(backup, told_by(&["backup"], &[("BK__MODE", "restore")]));
    assert_eq!(
        backup,
        told_by(&["--mode", "backup"], &[("BK__MODE", "nonsense")])
    );
}

#[test]
fn a_restore_is_asked_for_in_three_ways_and_needs_only_its_own_settings() {
    for (arguments, variables) in [
        (&["restore"][..], &[][..]),
        (&["--mode", "restore"], &[("BK__MODE", "backup")]),
        (
            &[],
            &[("BK__MODE", "restore"), ("BK__HIT_CACHE_SIZE", "nonsense")],
        ),
    ] {
        let output = run(arguments, variables);
        assert_eq!(output.status.code(), Some(2));
        let told = told(&output);
        assert!(told.contains("BK__DISPATCHER_EVENTS is not set"), "{told}");
        assert!(told.contains("5 faults in the settings"), "{told}");
    }
}

#[test]
fn help_of_restore_tells_selection_exit_codes_and_examples() {
    let output = run(&["restore", "--help"], &[]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(text(&output.stdout));
}

/// What a restore cannot do without; nothing is ever connected to.
const RESTORE: [(&str, &str); 5] = [
    ("BK__DISPATCHER_EVENTS", "http://127.0.0.1:1"),
    ("BK__EXTERNAL_BACKUP__ENDPOINT", "127.0.0.1:1"),
    ("BK__EXTERNAL_BACKUP__ACCESS_KEY", "access"),
    ("BK__EXTERNAL_BACKUP__SECRET_KEY", "hunter2"),
    (
        "BK__SOURCES",
        "sources: {samples: {}, private: {exclude_from_backup: true}}",
    ),
];

#[test]
fn a_selection_of_no_use_ends_with_2_before_anything_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = folder.path().join("keys");
    std::fs::write(&keys, "# two\nsamples\n").expect("written");
    let keys = keys.display().to_string();
    let hash = "ab".repeat(32);
    for (arguments, variables, reason) in [
        (
            &["--source", "sampels"][..],
            None,
            "--source sampels: BK__SOURCES does not name it; it names private (excluded), samples",
        ),
        (
            &["--since", "2025-07-02", "--until", "2025-07-01"],
            None,
            "is not before --until 2025-07-01T00:00:00Z",
        ),
        (
            &["--sha256", &hash],
            Some(("BK__RESTORE_TYPE", "events")),
            "--sha256 can only select streams",
        ),
        (&["--keys-from", &keys], None, "line 2: `samples` is neither"),
        (
            &["--keys-from", "/nonexistent"],
            None,
            "--keys-from /nonexistent: it cannot be read: No such file",
        ),
        (
            &["--source", "private", "--model", "insert"],
            None,
            "no feed is of that --source",
        ),
    ] {
        let variables: Vec<_> = RESTORE.into_iter().chain(variables).collect();
        let output = run(&[&["restore"], arguments].concat(), &variables);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let told = told(&output);
        assert!(
            told.contains(reason) && told.contains("one fault in the settings"),
            "{told}"
        );
    }
    // Faults of both are told at once.
    let output = run(
        &["restore", "--since", "2025-07-02", "--until", "2025-07-01"],
        &[],
    );
    assert!(told(&output).contains("6 faults in the settings"));
}

#[test]
fn a_command_line_of_no_use_ends_with_2() {
    for arguments in [
        &["--mode", "sleep"][..],
        &["get-samples"],
        &["get-samples", "--out", "x", "--count", "0"],
        &["--mode", "backup", "restore"],
        &["--mode", "backup", "get-samples", "--out", "x"],
        &["upload"],
        &["restore", "--since", "yesterday"],
        &["restore", "--action", "binary_sourced"],
        &["restore", "--model", "status"],
        &["restore", "--sha256", "abc"],
        &["restore", "--label", "../content"],
        &["restore", "--source", "a/b"],
        &["--mode", "restore", "backup"],
    ] {
        let output = run(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains("error: "), "{arguments:?}");
    }
}

#[test]
fn samples_of_a_dispatcher_that_is_not_there_end_with_1_and_tell_every_feed() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("new/samples");
    // Free a moment ago: connections to it are refused.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port();
    let output = run(
        &["get-samples", "--json", "--out", &out.display().to_string()],
        &[
            ("BK__DISPATCHER_EVENTS", &format!("http://127.0.0.1:{port}")),
            (
                "BK__SOURCES",
                "sources: {samples: {}, private: {exclude_from_backup: true}}",
            ),
            ("BK__RETRY_COUNT", "1"),
        ],
    );
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(rows.len(), 7);
    for row in rows {
        let fault = row["fault"].as_str().expect("a fault");
        assert!(fault.contains("Connection refused"), "{fault}");
    }
    assert_eq!(std::fs::read_dir(&out).expect("the folder was made").count(), 0);
}
