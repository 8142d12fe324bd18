//! The world of one cell: both servers, a proxy before each, local state, and the program.

use std::collections::{BTreeMap, BTreeSet};
use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use actors::object_key::BundleKey;
use actors::ports::LocalState;
use actors::ports::state::{Change, OpenUpload};
use actors::timestamp::Timestamp;
use anyhow::{Context, bail};
use azul_backup::adapters::state::SledState;
use tempfile::TempDir;

use super::Launcher;
use super::world::{SOURCE, World};
use crate::audit::{Audit, Expected};
use crate::child::{ANYWHERE, Ending, Program};
use crate::comparison::{Allowances, Reason};
use crate::dispatcher::{self, Answer, Fate, StandInDispatcher};
use crate::proxy::{Operation, Proxy};
use crate::restored::{Restored, Restoring, Settings};
use crate::s3::{self, S3Server};

/// How much faster than in production time-outs go by.
pub(super) const HURRY: u32 = 10;

/// The longest that anything is waited for.
const LONGEST: Duration = Duration::from_secs(90);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// The consumers of a backup.
const CONSUMERS: &str = "backup-events-";

/// The buckets.
const PREFIX: &str = "azul-backup-1";

pub(super) struct Scene {
    world: &'static World,
    dispatcher: StandInDispatcher,
    s3: S3Server,
    events: Proxy,
    streams: Proxy,
    bucket: Proxy,
    folder: TempDir,
    settings: BTreeMap<&'static str, String>,
}

impl Scene {
    pub(super) fn new(world: &'static World, with_buckets: bool) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let dispatcher = StandInDispatcher::start(dispatcher::Config::default())?;
        let s3 = S3Server::start(s3::Config::at(folder.path().join("s3")))?;
        world.fill(&dispatcher);
        for bucket in ["events", "streams"].iter().filter(|_| with_buckets) {
            std::fs::create_dir(s3.config().root.join(format!("{PREFIX}-{bucket}")))?;
        }
        let second = Duration::from_secs(1) / HURRY;
        let to_s3 = s3
            .endpoint()
            .to_socket_addrs()?
            .next()
            .context("the S3 server has no address")?;
        let (events, streams, bucket) = (
            Proxy::start(dispatcher.address(), second)?,
            Proxy::start(dispatcher.address(), second)?,
            Proxy::start(to_s3, second)?,
        );
        let settings = BTreeMap::from([
            ("BK__DISPATCHER_EVENTS", format!("http://{}", events.endpoint())),
            ("BK__DISPATCHER_STREAMS", format!("http://{}", streams.endpoint())),
            ("BK__EXTERNAL_BACKUP__ENDPOINT", bucket.endpoint()),
            ("BK__EXTERNAL_BACKUP__ACCESS_KEY", s3.config().access_key.clone()),
            ("BK__EXTERNAL_BACKUP__SECRET_KEY", s3.config().secret_key.clone()),
            ("BK__SOURCES", format!("sources: {{{SOURCE}: {{}}}}")),
            (
                "BK__LOCAL_DATA__ROOTDIR",
                folder.path().join("local").display().to_string(),
            ),
            ("BK__STREAM_ROUTINE_COUNT", "4".to_owned()),
            ("BK__EVENT_BATCH_SIZE", world.batch.to_string()),
            ("BK__EVENT_BATCH_MAX_AGE", "1s".to_owned()),
            ("BK__EVENT_PULL_DEADLINE", "1s".to_owned()),
            ("BK__RETRY_COUNT", "4".to_owned()),
            ("BK__RETRY_AVERAGE_DELAY_MS", "50".to_owned()),
            ("BK__CONSECUTIVE_BACKUP_STREAM_FAILURES", "3".to_owned()),
            ("BK__STAGE_EVENTS", "6s".to_owned()),
            ("BED__LOG_PRETTY", "false".to_owned()),
            ("FAULT_POINTS_HURRY", HURRY.to_string()),
        ]);
        Ok(Self {
            world,
            dispatcher,
            s3,
            events,
            streams,
            bucket,
            folder,
            settings,
        })
    }

    pub(super) fn set(&mut self, name: &'static str, value: &str) {
        self.settings.insert(name, value.to_owned());
    }

    /// The proxy through which an operation goes.
    pub(super) fn proxy(&self, operation: Operation) -> &Proxy {
        match operation {
            Operation::Pull => &self.events,
            Operation::Download => &self.streams,
            _ => &self.bucket,
        }
    }

    /// Everything passes from now on.
    pub(super) fn heal(&self) {
        for proxy in [&self.events, &self.streams, &self.bucket] {
            proxy.clear();
            proxy.open();
        }
    }

    pub(super) fn start(&self, program: &Launcher, name: &str) -> anyhow::Result<Started> {
        let log = self.folder.path().join(format!("{name}.log"));
        let file = std::fs::File::create(&log)?;
        let mut command: Command = program();
        command
            .arg("backup")
            .env_clear()
            .envs([ANYWHERE])
            .envs(&self.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file);
        Ok(Started {
            program: Program::spawn(&mut command)?,
            log,
        })
    }

    /// Answers with events that the program got, or may have got.
    fn delivered(&self, lost: bool) -> Delivered {
        let broker = self.dispatcher.shared().broker();
        let spoiled = self.events.spoiled_pulls();
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        let mut delivered = Delivered::default();
        for answer in broker.answers() {
            let number = numbers.entry(&answer.consumer.name).or_default();
            let is_spoiled = spoiled
                .iter()
                .any(|pull| pull.consumer == answer.consumer.name && pull.number == *number);
            *number += 1;
            delivered.handed_out += answer.events.len();
            if !(lost && is_spoiled) {
                delivered.add(answer, |place| {
                    self.world.stream_of(&broker.event(place).kafka_key)
                });
            }
        }
        delivered
    }

    /// Whether all events that arrived are in the bucket, and the program was told so; of their streams all but
    /// `missing`.
    pub(super) fn is_caught_up(&self, lost: bool, missing: Option<u64>) -> bool {
        let delivered = self.delivered(lost);
        if delivered.handed_out < self.world.len() {
            return false;
        }
        let known = self.bucket.acknowledged();
        let bundled: u64 = known
            .iter()
            .filter_map(|key| key.parse::<BundleKey>().ok())
            .map(|key| key.count())
            .sum();
        let absent = delivered.streams.difference(&known).count() as u64;
        bundled >= delivered.events && missing.is_none_or(|missing| absent <= missing)
    }

    /// What is wrong in the bucket. Pulls whose answers were spoiled count as lost where `lost` says so.
    pub(super) fn audit(&self, lost: bool) -> anyhow::Result<Audit> {
        if lost {
            let mut broker = self.dispatcher.shared().broker();
            for pull in self.events.spoiled_pulls() {
                broker.lose(&pull.consumer, pull.number);
            }
        }
        let expected = Expected::handed_out(self.dispatcher.shared(), CONSUMERS, false);
        Audit::of(&self.s3.config().root, PREFIX, &expected)
    }

    /// Restores what is in the bucket into a second dispatcher, past the proxies, and compares both. With `missing`,
    /// streams that events name and that are not in the bucket were never there, as far as the program was told.
    pub(super) fn restore(&self, program: &Launcher, lost: bool, missing: bool) -> anyhow::Result<Restored> {
        let (first, audit) = (self.dispatcher.shared(), self.audit(lost)?);
        let root = &self.s3.config().root;
        let mut allowances = Allowances::of_backup(first, root, PREFIX, &audit, &BTreeSet::new())?;
        allowances.allow_lost_answers(first, CONSUMERS);
        for stream in audit.absent.iter().filter(|_| missing) {
            allowances.allow_stream(stream, Reason::NotThere);
        }
        let mut settings: Settings = BTreeMap::new();
        for (name, value) in &self.settings {
            settings.insert((*name).to_owned(), value.clone());
        }
        settings.insert("BK__EXTERNAL_BACKUP__ENDPOINT".to_owned(), self.s3.endpoint());
        let restoring = Restoring {
            first,
            settings,
            folder: &self.folder.path().join("restore"),
            allowances: &allowances,
            forgets: false,
        };
        let start = |settings: &Settings, arguments: &[&str], log: &Path| {
            let file = std::fs::File::create(log)?;
            let mut command: Command = program();
            command
                .args(arguments)
                .env_clear()
                .envs([ANYWHERE])
                .envs(settings);
            command
                .stdin(Stdio::null())
                .stdout(file.try_clone()?)
                .stderr(file);
            Program::spawn(&mut command)
        };
        restoring.run(start, |_| {})
    }

    /// How many events arrived.
    pub(super) fn arrived(&self, lost: bool) -> u64 {
        self.delivered(lost).events
    }

    /// Makes all doubts about uploads older in local state; the program must have ended.
    pub(super) fn age_doubts(&self, age: Duration) -> anyhow::Result<()> {
        self.with_state(async |state| {
            for row in state.open_uploads()? {
                let micros = i64::try_from(age.as_micros())?;
                let since = Timestamp::from_micros(row.since.as_micros() - micros);
                let older = OpenUpload { since, ..row.clone() };
                state.record(Change::UploadBegun(older)).await?;
                state.record(Change::UploadEnded(row)).await?;
            }
            Ok(())
        })
    }

    /// What local state holds; the program must have ended.
    pub(super) fn local_state(&self) -> anyhow::Result<Local> {
        self.with_state(async |state| {
            let counts = state.counts();
            Ok(Local {
                pending: counts.pending,
                missing: counts.missing,
                failed: counts.failed,
                suspects: state.suspect_pulls()?.iter().map(|span| span.pulls).sum(),
                marks: state.marks()?.len() as u64,
                batches: state.batches()?.len() as u64,
                sealed: state.sealed()?.len() as u64,
                uploads: state.open_uploads()?.len() as u64,
            })
        })
    }

    /// Opens local state for as long as `look` takes.
    fn with_state<T>(&self, look: impl AsyncFnOnce(&SledState) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let root = self.folder.path().join("local").join("backup");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let state = SledState::open(&root)?;
            let seen = look(&state).await;
            state.close().await?;
            seen
        })
    }
}

#[derive(Default)]
struct Delivered {
    handed_out: usize,
    events: u64,
    streams: BTreeSet<String>,
}

impl Delivered {
    fn add(&mut self, answer: &Answer, stream_of: impl Fn(dispatcher::Place) -> Option<String>) {
        if matches!(answer.fate, Fate::HandedOut | Fate::BeingSent) {
            self.events += answer.events.len() as u64;
            self.streams
                .extend(answer.events.iter().filter_map(|place| stream_of(*place)));
        }
    }
}

/// How many rows local state has of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Local {
    pub(super) pending: u64,
    pub(super) missing: u64,
    pub(super) failed: u64,
    pub(super) suspects: u64,
    pub(super) marks: u64,
    pub(super) batches: u64,
    pub(super) sealed: u64,
    pub(super) uploads: u64,
}

/// One start of the program.
pub(super) struct Started {
    program: Program,
    log: PathBuf,
}

impl Started {
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `reached`; false if the program ended before.
    pub(super) fn wait_until(&mut self, mut reached: impl FnMut(&str) -> bool) -> anyhow::Result<bool> {
        let begun = Instant::now();
        loop {
            if reached(&self.log()) {
                return Ok(true);
            }
            if self.program.poll()?.is_some() {
                return Ok(false);
            }
            if begun.elapsed() > LONGEST {
                bail!("it did not come about within {LONGEST:?}");
            }
            std::thread::sleep(LOOK);
        }
    }

    pub(super) fn wait(&mut self) -> anyhow::Result<i32> {
        match self.program.wait(LONGEST)? {
            Some(Ending::Exit(code)) => Ok(code),
            Some(Ending::Signal(signal)) => bail!("signal {signal} ended it"),
            None => bail!("it does not end"),
        }
    }

    pub(super) fn stop(&mut self) -> anyhow::Result<i32> {
        self.program.signal(libc::SIGTERM);
        self.wait()
    }

    /// The last statistics: the sum over all sources. None if there were none.
    pub(super) fn statistics(&self) -> Option<BTreeMap<String, u64>> {
        let mut sums = BTreeMap::new();
        let log = self.log();
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|line| {
                line["message"]
                    .as_str()
                    .is_some_and(|text| text.starts_with("final statistics"))
            });
        for line in lines {
            for (name, value) in line.as_object()? {
                if let Some(value) = value.as_u64() {
                    *sums.entry(name.clone()).or_default() += value;
                }
            }
        }
        (!sums.is_empty()).then_some(sums)
    }
}
