//! The commands, run beside a scene.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs a command with nothing set but the root of local state.
pub fn run(local: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_azul-backup"))
        .args(arguments)
        .env_clear()
        .env("BK__LOCAL_DATA__ROOTDIR", local)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What it prints, if it ends with this code.
pub fn printed(local: &Path, arguments: &[&str], code: i32) -> String {
    let output = run(local, arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}:\n{out}\n{err}");
    out
}

/// What it complains of, if it ends with 1.
pub fn refused(local: &Path, arguments: &[&str]) -> String {
    let output = run(local, arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{arguments:?}:\n{out}\n{err}");
    assert_eq!(out, "");
    err
}

/// The objects that it prints, one a line.
pub fn objects(local: &Path, arguments: &[&str]) -> Vec<serde_json::Value> {
    let lines = printed(local, arguments, 0);
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
