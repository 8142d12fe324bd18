//! The first thing that a newcomer sees: both servers, the program of production as a child process, live progress,
//! an audit of the bucket, and all of it once more the other way round: a restore into a second, empty dispatcher, and a
//! comparison of both.

mod display;
mod table;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::HumanCount;

use self::display::Display;
use self::table::{Half, table};
use crate::audit::{Audit, Expected};
use crate::child::{Ending, Program, Taken};
use crate::comparison::Allowances;
use crate::dispatcher::{self, StandInDispatcher};
use crate::generator::{Shape, World};
use crate::restored::{Restored, Restoring};
use crate::s3::{self, S3Server};

/// Which consumers belong to the backup.
const CONSUMERS: &str = "backup-events-";

/// The buckets' names, without their last word.
const BUCKETS: &str = "azul-backup-1";

/// What the demo is to do.
#[derive(Clone, Debug, clap::Args)]
pub struct Wanted {
    /// How many sources, of seven feeds together with the system's two.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub sources: u32,

    /// How many events, all together; there are three binaries for every twenty.
    #[arg(long, default_value_t = 20_000)]
    pub events: u64,

    /// Another seed makes other events and binaries.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Keep bucket, local state and logs here; without it they are thrown away.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// Both servers, filled.
pub struct Stage {
    /// The stand-in dispatcher.
    pub dispatcher: StandInDispatcher,
    /// The S3 server.
    pub s3: S3Server,
    /// What the dispatcher was filled with.
    pub streams: usize,
    /// Names of the sources.
    pub sources: Vec<String>,
}

impl Stage {
    /// Starts both on these ports (0: any) and fills the dispatcher.
    ///
    /// # Errors
    /// A port is taken, or the folder cannot be made.
    pub fn start(wanted: &Wanted, bucket: &Path, ports: (u16, u16)) -> anyhow::Result<Self> {
        let shape = Shape::new(
            wanted.seed,
            wanted.sources as usize,
            wanted.events / u64::from(wanted.sources),
        );
        let world = World::new(shape)?;
        let config = dispatcher::Config {
            port: ports.0,
            ..dispatcher::Config::default()
        };
        let dispatcher =
            StandInDispatcher::start(config).context("the stand-in dispatcher does not start")?;
        dispatcher.fill(&world, false);
        let config = s3::Config {
            port: ports.1,
            ..s3::Config::at(bucket)
        };
        let s3 = S3Server::start(config).context("the S3 server does not start")?;
        Ok(Self {
            dispatcher,
            s3,
            streams: world.binaries().count(),
            sources: world.shape().sources.clone(),
        })
    }

    /// The settings with which the program finds both.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let sources: Vec<String> = self
            .sources
            .iter()
            .map(|source| format!("{source}: {{}}"))
            .collect();
        vec![
            ("BK__DISPATCHER_EVENTS", self.dispatcher.url()),
            ("BK__EXTERNAL_BACKUP__ENDPOINT", self.s3.endpoint()),
            (
                "BK__EXTERNAL_BACKUP__ACCESS_KEY",
                self.s3.config().access_key.clone(),
            ),
            (
                "BK__EXTERNAL_BACKUP__SECRET_KEY",
                self.s3.config().secret_key.clone(),
            ),
            ("BK__SOURCES", format!("sources: {{{}}}", sources.join(", "))),
        ]
    }

    fn events(&self) -> u64 {
        self.dispatcher
            .shared()
            .broker()
            .feeds()
            .iter()
            .map(|(_, count)| count)
            .sum()
    }

    /// Events that the backup has been handed, and streams that are in the bucket.
    fn progress(&self) -> (u64, usize) {
        let unread = self.dispatcher.shared().broker().unread(CONSUMERS);
        (
            self.events() - unread,
            self.s3.counters().progress(&format!("{BUCKETS}-streams")).0,
        )
    }
}

/// Runs it; returns whether all that was handed out is safe in the bucket, and came back from there.
///
/// # Errors
/// Something did not start, or the program ended otherwise than it should.
pub fn run(wanted: &Wanted) -> anyhow::Result<bool> {
    let temporary = tempfile::tempdir()?;
    let base = wanted.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    let started = Instant::now();
    eprintln!("Making {} events and their binaries …", HumanCount(wanted.events));
    let stage = Stage::start(wanted, &base.join("bucket"), (0, 0))?;
    eprintln!(
        "A stand-in dispatcher at {} and an S3 server at {} are up after {:.1} s; the backup begins.",
        stage.dispatcher.url(),
        stage.s3.endpoint(),
        started.elapsed().as_secs_f64()
    );
    let log = base.join("program.log");
    let begun = Instant::now();
    let taken = back_up(&stage, &base, &log).with_context(|| last_lines(&log))?;
    let elapsed = begun.elapsed();
    eprintln!("The backup ended in good order; looking at what lies in the bucket …");
    let expected = Expected::handed_out(stage.dispatcher.shared(), CONSUMERS, false);
    let mut audit = Audit::of(&base.join("bucket"), BUCKETS, &expected)?;
    let again = stage.s3.counters().seen();
    audit.faults.extend(
        again
            .written_again()
            .iter()
            .map(|key| format!("{key} was written more than once")),
    );
    let backup = Half::of_backup(&stage, &audit, elapsed, taken);
    eprintln!("The restore begins, into a second, empty stand-in dispatcher.");
    let restored = restore(&stage, &base, &audit)?;
    let restore_half = Half::of_restore(&restored, audit.stored_bytes);
    println!("{}", table(&backup, &restore_half));
    let is_good = audit.is_clean() && restored.faults.is_empty();
    if is_good {
        println!(
            "Every event is in a bundle, every stream is there, and its SHA-256 is right. All of it came back: the \
             second dispatcher has the same events in the same order, and the same streams, byte for byte."
        );
    }
    if !audit.is_clean() {
        println!("The bucket is NOT as it should be:\n{audit}");
    }
    if !restored.faults.is_empty() {
        println!("What came back is NOT the same:");
        restored.faults.iter().for_each(|fault| println!("  {fault}"));
    }
    if wanted.keep.is_some() {
        println!("Kept in {}.", base.display());
    }
    Ok(is_good)
}

/// Restores what is in the bucket into a second dispatcher, and compares both.
fn restore(stage: &Stage, base: &Path, audit: &Audit) -> anyhow::Result<Restored> {
    let first = stage.dispatcher.shared();
    let allowances = Allowances::of_backup(first, &base.join("bucket"), BUCKETS, audit, &BTreeSet::new())?;
    let settings = stage.settings().into_iter();
    let display = Display::new(audit.events, audit.streams as u64);
    let restored = Restoring {
        first,
        settings: settings.map(|(name, value)| (name.to_owned(), value)).collect(),
        folder: &base.join("restore"),
        allowances: &allowances,
        forgets: false,
    }
    .run(
        |settings, arguments, log| Program::start(settings, arguments, log),
        |second| {
            let (published, uploaded) = (second.publish_totals(), second.upload_totals());
            let bytes = published.bytes + uploaded.bytes;
            display.show((published.events, uploaded.taken), bytes, "put back");
        },
    )?;
    display.end();
    Ok(restored)
}

/// Runs the program until everything is in the bucket, and stops it.
fn back_up(stage: &Stage, base: &Path, log: &Path) -> anyhow::Result<Taken> {
    let mut settings = stage.settings();
    settings.push((
        "BK__LOCAL_DATA__ROOTDIR",
        base.join("state").display().to_string(),
    ));
    settings.push(("BK__EVENT_PULL_DEADLINE", "2s".to_owned()));
    let mut program = Program::start(settings, &["backup"], log)?;
    watch(stage, &mut program)?;
    program.signal(libc::SIGTERM);
    match program.wait(Duration::from_secs(40))? {
        Some(Ending::Exit(0)) => Ok(program.taken()),
        Some(ending) => bail!("told to end, the program ended with {ending:?}"),
        None => bail!("told to end, the program still ran after 40 s"),
    }
}

/// How long nothing may move before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Shows progress until all events have been handed out and all streams are in the bucket.
fn watch(stage: &Stage, program: &mut Program) -> anyhow::Result<()> {
    let display = Display::new(stage.events(), stage.streams as u64);
    let (mut last, mut moved) = ((0, 0), Instant::now());
    loop {
        let now = stage.progress();
        let bytes = stage.s3.counters().progress("").1;
        display.show((now.0, now.1 as u64), bytes, "uploaded");
        if now == (stage.events(), stage.streams) {
            display.end();
            return Ok(());
        }
        if let Some(ending) = program.poll()? {
            bail!("the program ended early with {ending:?}");
        }
        if now != last {
            (last, moved) = (now, Instant::now());
        } else if moved.elapsed() > PATIENCE {
            bail!(
                "nothing has moved for {} s: {} events, {} streams",
                PATIENCE.as_secs(),
                now.0,
                now.1
            );
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The end of what the program printed, for an error.
fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(15)..].join("\n");
    format!("the backup failed; the program's last words were:\n{last}\n")
}
