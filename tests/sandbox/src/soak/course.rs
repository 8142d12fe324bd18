//! The course of a soak: events are published step by step, the next ones when the program has nearly taken those
//! before, and each step has its trouble. The longest stretch, from [`WARM_UP`] on, is one process.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use actors::feed::Feed;
use actors::object_key::BundleKey;
use actors::ports::state::StateCounts;
use anyhow::{Context, bail};
use serde::Serialize;

use super::flat::WARM_UP;
use super::sample::Sample;
use super::{BUCKETS, CONSUMERS, Wanted};
use crate::audit::Audit;
use crate::child::{Ending, Program};
use crate::comparison::Allowances;
use crate::dispatcher::{self, Call, Fate, Fault, StandInDispatcher};
use crate::generator::{Shape, World};
use crate::restored::{Restored, Restoring};
use crate::s3::{self, Failure, Operation, S3Server};

/// In how many steps events are published.
const STEPS: u64 = 200;

/// How often the program is looked at.
const EVERY: Duration = Duration::from_millis(100);

/// How long nothing may move.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long the bucket is away, each time.
const OUTAGE: Duration = Duration::from_secs(3);

/// How long nothing may be written before it is taken that nothing more will be.
const QUIET: Duration = Duration::from_secs(4);

/// One of so many streams is not there.
const MISSING: usize = 500;

/// What happened to the program on the way.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Happened {
    /// How often it was started.
    pub starts: u64,
    /// How many calls were ordered to go wrong.
    pub faults: u64,
    /// How often the bucket was away.
    pub outages: u64,
}

/// A soak under way.
pub(super) struct Course {
    dispatcher: StandInDispatcher,
    s3: S3Server,
    feeds: Vec<(Feed, u64)>,
    total: u64,
    settings: Vec<(&'static str, String)>,
    base: PathBuf,
    program: Program,
    samples: Vec<Sample>,
    happened: Happened,
    begun: Instant,
    elapsed: Duration,
}

impl Course {
    /// Makes the binaries, starts the servers and the program.
    pub(super) fn begin(wanted: &Wanted, base: &Path) -> anyhow::Result<Self> {
        let world = World::new(shape(wanted))?;
        let dispatcher = StandInDispatcher::start(dispatcher::Config::default())?;
        dispatcher.adopt(&world, false);
        for binary in world.binaries().step_by(MISSING) {
            dispatcher.drop_stream(&binary.stream);
        }
        let s3 = S3Server::start(s3::Config::at(base.join("bucket")))?;
        let feeds: Vec<(Feed, u64)> = world
            .feeds()
            .iter()
            .map(|feed| (feed.feed().clone(), feed.len()))
            .collect();
        let settings = settings(wanted, &world, &dispatcher, &s3, base);
        let program = start(&settings, base, 1)?;
        Ok(Self {
            total: feeds.iter().map(|(_, count)| count).sum(),
            dispatcher,
            s3,
            feeds,
            settings,
            base: base.to_owned(),
            program,
            samples: Vec::new(),
            happened: Happened {
                starts: 1,
                ..Happened::default()
            },
            begun: Instant::now(),
            elapsed: Duration::ZERO,
        })
    }

    pub(super) fn dispatcher(&self) -> &StandInDispatcher {
        &self.dispatcher
    }

    pub(super) fn samples(&self) -> &[Sample] {
        &self.samples
    }

    pub(super) fn happened(&self) -> Happened {
        self.happened
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Publishes everything, and goes on until all of it is in the bucket; `left` tells what local state holds.
    pub(super) fn run(&mut self, left: impl Fn() -> anyhow::Result<StateCounts>) -> anyhow::Result<()> {
        for step in 0..STEPS {
            for (feed, count) in &self.feeds {
                self.dispatcher.release(feed, part(*count, step));
            }
            self.make_trouble(step)?;
            let enough = self.total / STEPS / 2;
            self.watch("the program takes the events", |course| course.unread() <= enough)?;
            if step % 10 == 9 {
                eprintln!("{:3} %: {}", (step + 1) * 100 / STEPS, self.told());
            }
        }
        self.dispatcher.clear_faults();
        self.s3.knobs().reset();
        self.watch("all events are taken", |course| course.unread() == 0)?;
        self.watch("all events are in bundles", |course| {
            course.events_in_bundles() >= course.events_handed_out()
        })?;
        self.wait_until_quiet()?;
        self.stop()?;
        // What failed while the bucket was away is tried again after a while, or at once by the next start.
        for _ in 0..5 {
            if left()?.pending == 0 {
                break;
            }
            self.start()?;
            self.wait_until_quiet()?;
            self.stop()?;
        }
        self.elapsed = self.begun.elapsed();
        Ok(())
    }

    /// Restores what is in the bucket into a second dispatcher, and compares both.
    pub(super) fn restore(&self, audit: &Audit) -> anyhow::Result<Restored> {
        let first = self.dispatcher.shared();
        let bucket = self.base.join("bucket");
        let mut allowances = Allowances::of_backup(first, &bucket, BUCKETS, audit, &BTreeSet::new())?;
        allowances.allow_lost_answers(first, CONSUMERS);
        let settings = self.settings.iter().cloned();
        let restoring = Restoring {
            first,
            settings: settings.map(|(name, value)| (name.to_owned(), value)).collect(),
            folder: &self.base.join("restore"),
            allowances: &allowances,
            forgets: true,
        };
        restoring.run(
            |settings, arguments, log| Program::start(settings, arguments, log),
            |_| {},
        )
    }

    /// What goes wrong in this step.
    fn make_trouble(&mut self, step: u64) -> anyhow::Result<()> {
        for (call, fault) in [
            (Call::Pull, Fault::Status(500)),
            (Call::Download, Fault::Status(500)),
            (Call::Download, Fault::CutAfter(90)),
            (Call::Download, Fault::FlippedBit),
        ] {
            self.dispatcher.order_fault(call, fault, 1);
        }
        if step.is_multiple_of(20) {
            let fault = match step.is_multiple_of(40) {
                true => Fault::CutAfter(5000),
                false => Fault::StatusAfterTaking(500),
            };
            self.dispatcher.order_fault(Call::Pull, fault, 1);
            self.happened.faults += 1;
        }
        let failure = match step % 2 {
            0 => Failure::Status(503),
            _ => Failure::StatusAfter(503),
        };
        for operation in [Operation::PutObject, Operation::HeadObject] {
            self.s3.knobs().fail_next(operation, 2, failure);
        }
        self.happened.faults += 8;
        let slow = step % 20 == 5;
        self.s3
            .knobs()
            .set_latency(Duration::from_millis(if slow { 10 } else { 0 }));
        let at = |part: f64| step == (part * STEPS as f64) as u64;
        if at(0.03) || at(0.6) {
            self.take_the_bucket_away()?;
        }
        if at(WARM_UP / 2.0) || at(WARM_UP * 0.9) {
            self.stop()?;
            self.start()?;
        }
        Ok(())
    }

    fn take_the_bucket_away(&mut self) -> anyhow::Result<()> {
        self.s3.stop();
        let back = Instant::now() + OUTAGE;
        self.watch("the bucket comes back", |_| Instant::now() >= back)?;
        self.s3.restart().context("the bucket does not come back")?;
        self.happened.outages += 1;
        Ok(())
    }

    fn start(&mut self) -> anyhow::Result<()> {
        self.happened.starts += 1;
        self.program = start(&self.settings, &self.base, self.happened.starts)?;
        Ok(())
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        self.program.signal(libc::SIGTERM);
        match self.program.wait(Duration::from_secs(60))? {
            Some(Ending::Exit(0)) => Ok(()),
            ending => bail!("told to end, the program ended with {ending:?}"),
        }
    }

    /// Looks at the program again and again until `reached`.
    fn watch(&mut self, what: &str, mut reached: impl FnMut(&Self) -> bool) -> anyhow::Result<()> {
        let (mut moved, mut at) = (Instant::now(), self.movement());
        loop {
            if reached(self) {
                return Ok(());
            }
            if let Some(ending) = self.program.poll()? {
                bail!("the program ended with {ending:?} before: {what}");
            }
            let progress = (self.released() - self.unread()) as f64 / self.total as f64;
            let root = self.base.join("state").join("backup");
            self.samples
                .extend(Sample::of(self.program.pid(), &root, progress));
            let now = self.movement();
            if now != at {
                (moved, at) = (Instant::now(), now);
            } else if moved.elapsed() > PATIENCE {
                bail!("nothing has moved for {PATIENCE:?}: {what}; {}", self.told());
            }
            std::thread::sleep(EVERY);
        }
    }

    fn wait_until_quiet(&mut self) -> anyhow::Result<()> {
        let (mut since, mut seen) = (Instant::now(), self.movement());
        self.watch("nothing is left to do", |course| {
            let now = course.movement();
            if now != seen {
                (since, seen) = (Instant::now(), now);
            }
            since.elapsed() >= QUIET
        })
    }

    /// What moves while there is something to do.
    fn movement(&self) -> (u64, u64) {
        (self.unread(), self.s3.counters().bytes_in())
    }

    fn released(&self) -> u64 {
        let feeds = self.dispatcher.shared().broker().feeds();
        feeds.iter().map(|(_, count)| count).sum()
    }

    fn unread(&self) -> u64 {
        self.dispatcher.shared().broker().unread(CONSUMERS)
    }

    fn events_in(&self, wanted: impl Fn(Fate) -> bool) -> u64 {
        let broker = self.dispatcher.shared().broker();
        let answers = broker.answers().filter(|answer| wanted(answer.fate));
        answers.map(|answer| answer.events.len() as u64).sum()
    }

    fn events_handed_out(&self) -> u64 {
        self.events_in(|fate| matches!(fate, Fate::HandedOut | Fate::BeingSent))
    }

    pub(super) fn events_broken_off(&self) -> u64 {
        self.events_in(|fate| !matches!(fate, Fate::HandedOut | Fate::BeingSent))
    }

    fn events_in_bundles(&self) -> u64 {
        let bucket = format!("{BUCKETS}-events/");
        let count = |key: &str| {
            percent_decoded(key)
                .parse::<BundleKey>()
                .map_or(0, |key| key.count())
        };
        self.s3.counters().written_below(&bucket, count)
    }

    fn told(&self) -> String {
        let last = self.samples.last().copied().unwrap_or_default();
        format!(
            "{} of {} events taken after {:.0} s; {} MiB resident, {} files, {} KiB of rows, {} KiB of journal",
            self.released() - self.unread(),
            self.total,
            self.begun.elapsed().as_secs_f64(),
            last.resident >> 20,
            last.files,
            last.state >> 10,
            last.journal >> 10,
        )
    }
}

/// How many of `count` are published in a step.
fn part(count: u64, step: u64) -> u64 {
    count * (step + 1) / STEPS - count * step / STEPS
}

fn percent_decoded(text: &str) -> String {
    let spelled = format!("k={}", text.replace('+', "%2B"));
    let mut pairs = url::form_urlencoded::parse(spelled.as_bytes());
    pairs
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

/// Four sources; three of ten events name streams, each stream three times.
fn shape(wanted: &Wanted) -> Shape {
    const SOURCES: u64 = 4;
    let system = wanted.events / 2000;
    let per_source = (wanted.events - 2 * system) / SOURCES;
    let naming = (wanted.streams / (SOURCES * 3 / 2)).min(per_source / 4);
    let mut shape = Shape::new(wanted.seed, SOURCES as usize, per_source)
        .with_sizes(100..=20_000)
        .with_events([naming, naming, naming, naming, per_source - 4 * naming]);
    shape.system_events = system;
    shape
}

fn settings(
    wanted: &Wanted,
    world: &World,
    dispatcher: &StandInDispatcher,
    s3: &S3Server,
    base: &Path,
) -> Vec<(&'static str, String)> {
    let sources: Vec<String> = world
        .shape()
        .sources
        .iter()
        .map(|source| format!("{source}: {{}}"))
        .collect();
    vec![
        ("BK__DISPATCHER_EVENTS", dispatcher.url()),
        ("BK__EXTERNAL_BACKUP__ENDPOINT", s3.endpoint()),
        ("BK__EXTERNAL_BACKUP__ACCESS_KEY", s3.config().access_key.clone()),
        ("BK__EXTERNAL_BACKUP__SECRET_KEY", s3.config().secret_key.clone()),
        ("BK__SOURCES", format!("sources: {{{}}}", sources.join(", "))),
        (
            "BK__LOCAL_DATA__ROOTDIR",
            base.join("state").display().to_string(),
        ),
        ("BK__HIT_CACHE_SIZE", wanted.cache.to_string()),
        ("BK__EVENT_BATCH_MAX_AGE", "3s".to_owned()),
        ("BK__EVENT_PULL_DEADLINE", "2s".to_owned()),
        ("BK__JOURNAL_MAX_BYTES", "64MiB".to_owned()),
        ("BK__RETRY_AVERAGE_DELAY_MS", "50".to_owned()),
        // an outage of the bucket shall not end the program: the kill harness is about that
        ("BK__CONSECUTIVE_BACKUP_STREAM_FAILURES", "100000".to_owned()),
    ]
}

fn start(settings: &[(&'static str, String)], base: &Path, number: u64) -> anyhow::Result<Program> {
    let log = base.join("program.log");
    if number > 1 {
        std::fs::rename(&log, base.join(format!("program-{}.log", number - 1)))?;
    }
    Ok(Program::start(settings.iter().cloned(), &["backup"], &log)?)
}
