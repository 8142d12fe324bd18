//! The real binary, run to its end, and what it leaves behind.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
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

/// A restore that runs; killed when it is dropped.
pub struct Running {
    child: Child,
    told: PathBuf,
    log: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Starts it; what it prints goes to files beside `output`.
    pub fn start(settings: &BTreeMap<String, String>, arguments: &[&str], output: &Path) -> Self {
        let (told, log) = (output.with_extension("json"), output.with_extension("log"));
        let child = Command::new(env!("CARGO_BIN_EXE_azul-backup"))
            .args(arguments)
            .env_clear()
            .envs([sandbox::child::ANYWHERE])
            .envs(settings)
            .stdin(Stdio::null())
            .stdout(File::create(&told).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, told, log }
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn terminate(&self) {
        self.signal("TERM");
    }

    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args(["-s", signal, &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits until `reached` of what it has logged, and panics if it never is.
    pub fn wait_for(&mut self, what: &str, mut reached: impl FnMut(&str) -> bool) {
        let begun = Instant::now();
        while !reached(&self.log()) {
            assert!(!self.has_ended(), "it ended before: {what}\n{}", self.log());
            assert!(begun.elapsed() < LONGEST, "never: {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for its end; `local_state` is looked at if it is given.
    pub fn end(mut self, local_state: Option<&Path>) -> Ended {
        let (begun, mut peak) = (Instant::now(), 0);
        let status = loop {
            peak = peak.max(peak_memory(self.child.id()).unwrap_or(0));
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < LONGEST, "it does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        };
        let told = std::fs::read_to_string(&self.told).unwrap();
        Ended {
            code: status.code(),
            told: match told.as_str() {
                "" => Value::Null,
                told => serde_json::from_str(told).unwrap(),
            },
            log: self.log(),
            letters: local_state.map(letters).unwrap_or_default(),
            peak,
        }
    }
}

/// Runs it to its end.
pub fn run(
    settings: &BTreeMap<String, String>,
    arguments: &[&str],
    output: &Path,
    local_state: &Path,
) -> Ended {
    // To look at local state changes it, if only its files.
    let is_looked_at = !arguments.contains(&"--plan");
    Running::start(settings, arguments, output).end(is_looked_at.then_some(local_state))
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
