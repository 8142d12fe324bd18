//! Runs the program, and finds one check among those that it tells.

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::scene::{Scene, event, feed};

/// What a scene is set to, with what a test changes.
pub struct Terms(pub BTreeMap<String, String>);

impl Terms {
    pub fn of(scene: &Scene) -> Self {
        Self(scene.settings.clone())
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.0.insert(name.to_owned(), value.to_string());
        self
    }

    pub fn output(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_azul-backup"))
            .args(arguments)
            .env_clear()
            .envs(&self.0)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// The checks, and the exit code; the last line has to be a summary that agrees with them.
    pub fn checks(&self, arguments: &[&str]) -> Checks {
        let output = self.output(&[&["preflight", "--json"], arguments].concat());
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        for secret in ["sandbox-secret", "hunter2"] {
            assert!(!out.contains(secret) && !err.contains(secret), "{out}\n{err}");
        }
        let mut rows: Vec<Value> = out
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let summary = rows.pop().unwrap_or_else(|| panic!("no output: {err}"));
        for (key, result) in [
            ("passed", "passed"),
            ("warnings", "warning"),
            ("failed", "failed"),
            ("not_tried", "not tried"),
        ] {
            let count = rows.iter().filter(|row| row["result"] == result).count();
            assert_eq!(summary["summary"][key], count, "{out}");
        }
        Checks {
            rows,
            code: output.status.code(),
        }
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

pub struct Checks {
    pub rows: Vec<Value>,
    pub code: Option<i32>,
}

impl Checks {
    /// The results of all checks of this name.
    pub fn results(&self, check: &str) -> Vec<&str> {
        let of = self.rows.iter().filter(|row| row["check"] == check);
        of.map(|row| row["result"].as_str().unwrap()).collect()
    }

    /// The only check of this name that ended so, as `found → advice`.
    pub fn only(&self, check: &str, result: &str) -> String {
        let mut of = self
            .rows
            .iter()
            .filter(|row| row["check"] == check && row["result"] == result);
        let (row, more) = (of.next(), of.next());
        let row = row.unwrap_or_else(|| panic!("no {check} is {result}: {}", self.shown()));
        assert!(more.is_none(), "{}", self.shown());
        format!(
            "{} → {}",
            row["found"].as_str().unwrap(),
            row["advice"].as_str().unwrap()
        )
    }

    pub fn shown(&self) -> String {
        self.rows.iter().map(|row| format!("{row}\n")).collect()
    }

    /// What failed, and nothing else did: the check, and what was found and is to be done.
    pub fn fails_only(&self, check: &str, words: &[&str]) {
        assert_eq!(self.code, Some(1), "{}", self.shown());
        let failed = self.rows.iter().filter(|row| row["result"] == "failed");
        let failed: Vec<_> = failed.map(|row| row["check"].as_str().unwrap()).collect();
        assert_eq!(failed, [check], "{}", self.shown());
        self.says(check, "failed", words);
    }

    /// The exit code, and the results of all checks of this name.
    pub fn end_with(&self, code: i32, check: &str, results: &[&str]) {
        let ended = (self.code, self.results(check));
        assert_eq!(ended, (Some(code), results.to_vec()), "{}", self.shown());
    }

    /// These words are anywhere in what was found and is to be done.
    pub fn show(&self, words: &str) {
        assert!(self.shown().contains(words), "{words}: {}", self.shown());
    }

    pub fn says(&self, check: &str, result: &str, words: &[&str]) {
        let told = self.only(check, result);
        for word in words {
            assert!(told.contains(word), "`{word}` is not in: {told}");
        }
    }
}

/// A scene with both buckets, and a source that has an event.
pub fn ready_scene() -> Scene {
    let config = sandbox::dispatcher::Config {
        hurry: 10,
        ..Default::default()
    };
    let scene = Scene::with(config, &["samples"]);
    for bucket in ["azul-backup-1-streams", "azul-backup-1-events"] {
        std::fs::create_dir_all(scene.s3.config().root.join(bucket)).unwrap();
    }
    scene.dispatcher.append(
        &feed("samples/binary/mapped"),
        [event("samples", "mapped", "one", "2026-01-01T00:00:00Z", &[])],
    );
    scene
}
