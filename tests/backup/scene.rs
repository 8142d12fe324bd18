//! The real binary, the two servers, and what lies in the bucket.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::avro::{ModelVersion, encode};
use actors::feed::{Feed, Model};
use actors::stream_id::{Sha256, StreamId};
use sandbox::dispatcher::{self, Body, RawEvent, StandInDispatcher};
use sandbox::generator::World;
use sandbox::s3::{self, S3Server};
use serde_json::json;
use tempfile::TempDir;

/// The longest that any condition is waited for: far beyond what it takes, for machines are shared.
pub const LONGEST: Duration = Duration::from_secs(60);

/// The two servers and a folder for local state.
pub struct Scene {
    pub dispatcher: StandInDispatcher,
    pub s3: S3Server,
    pub folder: TempDir,
    /// What the program is told.
    pub settings: BTreeMap<String, String>,
}

impl Scene {
    pub fn new(sources: &[&str]) -> Self {
        Self::with(dispatcher::Config::default(), sources)
    }

    pub fn with(config: dispatcher::Config, sources: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let dispatcher = StandInDispatcher::start(config).unwrap();
        let s3 = S3Server::start(s3::Config::at(folder.path().join("s3"))).unwrap();
        let listed: Vec<String> = sources.iter().map(|source| format!("{source}: {{}}")).collect();
        let settings = [
            ("BK__DISPATCHER_EVENTS", dispatcher.url()),
            ("BK__EXTERNAL_BACKUP__ENDPOINT", s3.endpoint()),
            ("BK__EXTERNAL_BACKUP__ACCESS_KEY", s3.config().access_key.clone()),
            ("BK__EXTERNAL_BACKUP__SECRET_KEY", s3.config().secret_key.clone()),
            ("BK__SOURCES", format!("sources: {{{}}}", listed.join(", "))),
            (
                "BK__LOCAL_DATA__ROOTDIR",
                folder.path().join("local").display().to_string(),
            ),
            ("BK__STREAM_ROUTINE_COUNT", "4".to_owned()),
            ("BK__RETRY_AVERAGE_DELAY_MS", "50".to_owned()),
            ("BK__EVENT_BATCH_MAX_AGE", "2s".to_owned()),
            ("BK__EVENT_PULL_DEADLINE", "2s".to_owned()),
        ];
        let settings = settings
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        Self {
            dispatcher,
            s3,
            folder,
            settings,
        }
    }

    #[must_use]
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.insert(name.to_owned(), value.to_string());
        self
    }

    /// The same without a setting, for the next start.
    pub fn unset(&mut self, name: &str) {
        self.settings.remove(name);
    }

    /// The same scene without a setting.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.unset(name);
        self
    }

    /// Starts the program, in `backup` mode.
    pub fn start(&self) -> Program {
        Program::start(&self.settings, &["backup"], self.folder.path())
    }

    /// The same with other sources, which forgets none of what is on disk.
    pub fn sources_instead(self, sources: &[&str]) -> Self {
        let listed: Vec<String> = sources.iter().map(|source| format!("{source}: {{}}")).collect();
        self.set("BK__SOURCES", format!("sources: {{{}}}", listed.join(", ")))
    }

    /// How many pulls of this consumer have come in.
    pub fn pulls(&self, consumer: &str) -> usize {
        let name = format!("name={consumer}&");
        let arrivals = self.dispatcher.shared().arrivals();
        arrivals
            .into_iter()
            .filter(|arrival| format!("{}&", arrival.query).contains(&name))
            .count()
    }

    /// What every start so far has logged.
    pub fn logs(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let logs = files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("log-"));
        logs.map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }

    /// The keys of the bundles, in the order of their text.
    pub fn bundles(&self) -> Vec<String> {
        self.s3.keys("azul-backup-1-events").unwrap().unwrap_or_default()
    }

    /// The keys of the streams.
    pub fn streams(&self) -> Vec<String> {
        self.s3.keys("azul-backup-1-streams").unwrap().unwrap_or_default()
    }

    /// What a bundle decompresses to.
    pub fn bundle(&self, key: &str) -> Vec<u8> {
        gunzip(&self.s3.object_path("azul-backup-1-events", key))
    }

    /// What a stream decompresses to.
    pub fn stream(&self, key: &str) -> Vec<u8> {
        gunzip(&self.s3.object_path("azul-backup-1-streams", key))
    }

    /// The number of events in all bundles, as their keys say.
    pub fn events_in_bundles(&self) -> u64 {
        let count = |key: &String| key.parse::<actors::object_key::BundleKey>().unwrap().count();
        self.bundles().iter().map(count).sum()
    }
}

/// The number of events in all feeds of a generated world.
pub fn events_of(world: &Arc<World>) -> u64 {
    world
        .feeds()
        .iter()
        .map(sandbox::generator::FeedEvents::len)
        .sum()
}

pub fn feed(text: &str) -> Feed {
    text.parse().unwrap()
}

fn gunzip(path: &Path) -> Vec<u8> {
    let mut content = Vec::new();
    let file = std::fs::File::open(path).unwrap();
    flate2::read::MultiGzDecoder::new(file)
        .read_to_end(&mut content)
        .unwrap();
    content
}

/// Waits until `reached`, and panics with what the program logged if it never is.
pub fn wait_for(what: &str, program: &mut Program, mut reached: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !reached() {
        let ended = program.child.try_wait().unwrap();
        assert!(
            ended.is_none(),
            "the program ended ({ended:?}) before: {what}\n{}",
            program.log()
        );
        assert!(
            begun.elapsed() < LONGEST,
            "not within {LONGEST:?}: {what}\n{}",
            program.log()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The program, running. Killed when it is dropped.
pub struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    pub fn start(settings: &BTreeMap<String, String>, arguments: &[&str], folder: &Path) -> Self {
        let log = tempfile::Builder::new()
            .prefix("log-")
            .tempfile_in(folder)
            .unwrap();
        let (file, log) = log.keep().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_azul-backup"))
            .args(arguments)
            .env_clear()
            .envs([sandbox::child::ANYWHERE])
            .envs(settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Memory that is resident now, in bytes.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// SIGTERM, and the exit code.
    pub fn stop(mut self) -> (Option<i32>, String) {
        self.signal("-TERM");
        let code = self.wait().code();
        (code, self.log())
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < LONGEST, "it does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Already gone: nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An event of a source with these streams, made by hand.
pub fn event(
    source: &str,
    action: &str,
    kafka_key: &str,
    timestamp: &str,
    streams: &[(&str, String)],
) -> RawEvent {
    let author = json!({"name": "gen", "version": "1", "category": "plugin"});
    let datastreams: Vec<_> = streams
        .iter()
        .map(|(label, sha256)| json!({"label": label, "sha256": sha256}))
        .collect();
    let json = json!({
        "model_version": 6,
        "kafka_key": kafka_key,
        "timestamp": timestamp,
        "author": author,
        "action": action,
        "source": {"name": source, "path": [{"author": author, "action": action, "sha256": "a".repeat(64)}]},
        "entity": {"sha256": "a".repeat(64), "datastreams": datastreams},
    });
    let bytes = encode::event(
        Model::Binary,
        ModelVersion::V6,
        &json,
        &mut encode::Framing::default(),
    );
    RawEvent {
        kafka_key: kafka_key.to_owned(),
        timestamp: timestamp.parse().unwrap(),
        bytes: bytes.into(),
    }
}

/// A binary that the dispatcher has, and its SHA-256.
pub fn binary(scene: &Scene, source: &str, content: &[u8]) -> String {
    let sha256 = Sha256::of(content).to_string();
    let stream = StreamId::new(source, "content", &sha256).unwrap();
    scene
        .dispatcher
        .put_stream(&stream, Body::Given(content.to_vec().into()));
    sha256
}
