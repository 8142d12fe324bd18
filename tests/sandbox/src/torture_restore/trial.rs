//! One restore from its first start to its verdict: the bucket, an empty dispatcher, and the program, started as
//! often as it takes. Whoever drives it decides when the program is started and how it ends.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actors::fault_point::FaultPoint;
use anyhow::Context;
use fastrand::Rng;

use super::stock::{Flaws, Stock, Whereabouts};
use super::verdict::Verdict;
use crate::child::Ending;
use crate::dispatcher::{self, SourceRules, StandInDispatcher};
use crate::generator::{Shape, World};
use crate::s3::{self, S3Server};
use crate::torture::trial::{Life, last_lines};

/// What the program logs when it begins a restore.
pub const FROM_THE_START: &str = "restoring from the start";

/// What the program logs when it goes on with one.
pub const GOING_ON: &str = "going on with the restore";

/// Two servers, what lies in the bucket, and a program.
pub struct RestoreTrial {
    /// The dispatcher that is to get everything.
    pub dispatcher: StandInDispatcher,
    /// The S3 server.
    pub s3: S3Server,
    /// What is in the bucket, will be and has been.
    pub stock: Stock,
    /// What the program is told beside its settings.
    pub arguments: Vec<&'static str>,
    settings: BTreeMap<String, String>,
    base: PathBuf,
    sandbox: PathBuf,
    lives: usize,
    /// Of each start: how many requests to publish there had been, and where its log lies.
    begun: Vec<(u64, PathBuf)>,
}

impl RestoreTrial {
    /// Starts the servers in the folder `base`, whose folder [`RestoreTrial::root`] is where the stock goes; `sandbox`
    /// is the executable.
    ///
    /// # Errors
    /// A server cannot be started, or the folder cannot be made.
    pub fn new(base: &Path, sandbox: &Path, world: &Arc<World>, stock: Stock) -> anyhow::Result<Self> {
        let dispatcher = StandInDispatcher::start(dispatcher::Config::default())
            .context("the stand-in dispatcher does not start")?;
        dispatcher.set_rules(SourceRules {
            refused: stock
                .refused()
                .into_iter()
                .map(|key| (key, "refused by a rule".to_owned()))
                .collect(),
            ..SourceRules::default()
        });
        let s3 = S3Server::start(s3::Config::at(Self::root(base))).context("the S3 server does not start")?;
        let sources = world.shape().sources.iter();
        let sources: Vec<String> = sources.map(|source| format!("{source}: {{}}")).collect();
        let settings = [
            ("BK__DISPATCHER_EVENTS", dispatcher.url()),
            ("BK__EXTERNAL_BACKUP__ENDPOINT", s3.endpoint()),
            ("BK__EXTERNAL_BACKUP__ACCESS_KEY", s3.config().access_key.clone()),
            ("BK__EXTERNAL_BACKUP__SECRET_KEY", s3.config().secret_key.clone()),
            ("BK__SOURCES", format!("sources: {{{}}}", sources.join(", "))),
            (
                "BK__LOCAL_DATA__ROOTDIR",
                base.join("local").display().to_string(),
            ),
            ("BK__STREAM_ROUTINE_COUNT", "3".to_owned()),
            ("BK__RETRY_COUNT", "3".to_owned()),
            ("BK__RETRY_AVERAGE_DELAY_MS", "20".to_owned()),
            ("FAULT_POINTS_HURRY", "5".to_owned()),
        ];
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value));
        Ok(Self {
            dispatcher,
            s3,
            stock,
            arguments: vec!["restore", "--json"],
            settings: settings.collect(),
            base: base.to_owned(),
            sandbox: sandbox.to_owned(),
            lives: 0,
            begun: Vec::new(),
        })
    }

    /// The folder whose folders are the buckets.
    pub fn root(base: &Path) -> PathBuf {
        base.join("bucket")
    }

    /// Changes a setting.
    pub fn set(&mut self, name: &str, value: impl ToString) {
        self.settings.insert(name.to_owned(), value.to_string());
    }

    /// How often the program was started.
    pub fn starts(&self) -> usize {
        self.lives
    }

    /// Where local state lies.
    pub fn state(&self) -> PathBuf {
        self.base.join("local/restore")
    }

    /// A fresh trial with a stock of a world of its own, of which nothing is in the bucket yet.
    ///
    /// # Errors
    /// See [`RestoreTrial::new`].
    pub fn with(
        base: &Path,
        sandbox: &Path,
        shape: Shape,
        bundle: usize,
        flaws: Flaws,
    ) -> anyhow::Result<Self> {
        let (world, mut rng) = (World::new(shape)?, Rng::with_seed(7));
        let stock = Stock::of(&world, bundle, flaws, &Self::root(base), &mut rng)?;
        Self::new(base, sandbox, &world, stock)
    }

    /// Puts all objects that are to come into the bucket.
    ///
    /// # Errors
    /// One cannot be written.
    pub fn put_all(&mut self) -> io::Result<()> {
        for number in self.stock.numbers(|object| object.at == Whereabouts::ToCome) {
            self.stock.put(number, false)?;
        }
        Ok(())
    }

    /// Puts an object into the bucket while the program runs.
    ///
    /// # Errors
    /// It cannot be written, or the trace not read.
    pub fn put_late(&mut self, number: usize, life: &Life) -> io::Result<()> {
        self.stock.put(number, true)?;
        if life.passed(FaultPoint::RestoreLastPass)? > 0 {
            self.stock.objects[number].at = Whereabouts::CameTooLate;
        }
        Ok(())
    }

    /// Starts the program with these fault points (as `FAULT_POINTS` has them). What came too late for the last start
    /// comes in time for this one.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&mut self, points: &str) -> io::Result<Life> {
        self.lives += 1;
        for object in &mut self.stock.objects {
            if object.at == Whereabouts::CameTooLate {
                object.at = Whereabouts::There;
            }
        }
        let requests = self.dispatcher.shared().publish_totals().requests;
        let settings = self.settings.clone();
        let (sandbox, base, number) = (&self.sandbox, &self.base, self.lives);
        let life = Life::start(sandbox, base, number, settings, &self.arguments, points)?;
        self.begun.push((requests, life.log_path().to_owned()));
        Ok(life)
    }

    /// How many requests to publish there had been when a start began a restore, and did not go on with one: by its
    /// own words.
    pub(super) fn beginnings(&self) -> Vec<u64> {
        let begun = self
            .begun
            .iter()
            .filter(|(_, log)| std::fs::read_to_string(log).is_ok_and(|log| log.contains(FROM_THE_START)));
        begun.map(|(requests, _)| *requests).collect()
    }

    /// Waits for the end of the program.
    ///
    /// # Errors
    /// It still runs after `longest`.
    pub fn await_end(&self, life: &mut Life, longest: Duration) -> anyhow::Result<Ending> {
        let ending = life.program.wait(longest)?;
        ending.with_context(|| format!("it still runs after {longest:?}; {}", last_lines(&life.log())))
    }

    /// Compares everything with everything, and with what the program reported when it ended by itself.
    ///
    /// # Errors
    /// Something cannot be read; what is wrong is in the verdict.
    pub fn verdict(&self, life: &Life) -> anyhow::Result<Verdict> {
        Verdict::of(self, &report(life)?)
    }

    /// Makes everything work again, whatever was done to the servers.
    ///
    /// # Errors
    /// A port was taken meanwhile.
    pub fn heal(&mut self) -> io::Result<()> {
        self.dispatcher.clear_faults();
        self.dispatcher.shared().set_kafka_hangs(false);
        self.s3.knobs().set_hang(false);
        self.s3.knobs().set_latency(Duration::ZERO);
        if !self.dispatcher.is_up() {
            self.dispatcher.restart()?;
        }
        if !self.s3.is_up() {
            self.s3.restart()?;
        }
        Ok(())
    }
}

/// What the program printed for machines.
///
/// # Errors
/// It printed nothing like it.
pub fn report(life: &Life) -> anyhow::Result<serde_json::Value> {
    let log = life.log();
    let lines = log.lines().rev().filter(|line| line.starts_with('{'));
    let mut lines = lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines
        .find(|report| report.get("all_streams").is_some())
        .with_context(|| format!("there is no report; {}", last_lines(&log)))
}
