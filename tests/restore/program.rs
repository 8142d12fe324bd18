//! The real binary, run to its end, and what it leaves behind.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use actors::ports::restore_state::{DeadLetter, RestoreState};
use azul_backup::adapters::restore_state::SledRestoreState;
use bytes::Bytes;
use serde_json::Value;

/// The longest that a run may take: far beyond what it takes, for machines are shared.
const LONGEST: Duration = Duration::from_secs(80);

/// A restore that has ended.
pub struct Ended {
    /// The exit code.
    pub code: Option<i32>,
    /// What `--json` printed; null if that was nothing.
    pub told: Value,
    /// What was logged.
    pub log: String,
    /// The dead letters in local state, with their events.
    pub letters: Vec<(DeadLetter, Option<Bytes>)>,
    /// The most memory that was resident at once, in bytes.
    pub peak: u64,
}

impl Ended {
    /// A figure of the report: `all_streams/restored`.
    pub fn figure(&self, path: &str) -> u64 {
        let found = self.told.pointer(&format!("/{path}"));
        let found = found.and_then(Value::as_u64);
        found.unwrap_or_else(|| panic!("no figure {path} in {}\n{}", self.told, self.log))
    }

    /// Panics with everything that was said, unless it ended so.
    #[track_caller]
    pub fn is(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.told, self.log);
        self
    }

    /// `restored, there, dead` of streams.
    pub fn streams(&self) -> [u64; 3] {
        ["restored", "there", "dead"].map(|name| self.figure(&format!("all_streams/{name}")))
    }

    /// `events, accepted, refused, filtered, dead` of events.
    pub fn events(&self) -> [u64; 5] {
        ["events", "accepted", "refused", "filtered", "dead"]
            .map(|name| self.figure(&format!("all_events/{name}")))
    }

    /// Of each dead letter the key, the event and the reason.
    pub fn lost(&self) -> Vec<(&str, Option<u64>, &str)> {
        let letters = self.letters.iter();
        letters
            .map(|(letter, _)| (letter.key.as_str(), letter.event, letter.reason.as_str()))
            .collect()
    }
}

/// Kills what a test that fails leaves behind.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs it; what it prints goes to files beside `output`.
pub fn run(
    settings: &BTreeMap<String, String>,
    arguments: &[&str],
    output: &Path,
    local_state: &Path,
) -> Ended {
    let (told, log) = (output.with_extension("json"), output.with_extension("log"));
    let child = Command::new(env!("CARGO_BIN_EXE_azul-backup"))
        .args(arguments)
        .env_clear()
        .envs(settings)
        .stdin(Stdio::null())
        .stdout(File::create(&told).unwrap())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let (begun, mut peak) = (Instant::now(), 0);
    let status = loop {
        peak = peak.max(peak_memory(running.0.id()).unwrap_or(0));
        if let Some(status) = running.0.try_wait().unwrap() {
            break status;
        }
        let log = || std::fs::read_to_string(&log).unwrap();
        assert!(begun.elapsed() < LONGEST, "it does not end:\n{}", log());
        std::thread::sleep(Duration::from_millis(5));
    };
    let told = std::fs::read_to_string(&told).unwrap();
    Ended {
        code: status.code(),
        told: match told.as_str() {
            "" => Value::Null,
            told => serde_json::from_str(told).unwrap(),
        },
        log: std::fs::read_to_string(&log).unwrap(),
        letters: match arguments.contains(&"--plan") {
            // To look at local state changes it, if only its files.
            true => Vec::new(),
            false => letters(local_state),
        },
        peak,
    }
}

/// The high-water mark of a process's resident memory, in bytes; that of the end is not seen, a moment before is.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn letters(root: &Path) -> Vec<(DeadLetter, Option<Bytes>)> {
    if !SledRestoreState::is_there(root).unwrap() {
        return Vec::new();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let state = SledRestoreState::open(root).unwrap();
        let mut letters = Vec::new();
        for (_, letter) in state.letters_from(None, usize::MAX).unwrap() {
            let event = state.letter_event(&letter).await.unwrap();
            letters.push((letter, event));
        }
        state.close().await.unwrap();
        letters
    })
}
