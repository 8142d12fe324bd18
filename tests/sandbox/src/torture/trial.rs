//! One backup from its first start to its audit: both servers, the program (started as often as it takes), and the
//! witness beside them. Whoever drives it decides when the program is started and how it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::fault_point::{FaultPoint, Trace, read_trace};
use actors::stream_id::{Sha256, StreamId};
use anyhow::{Context, bail};

use super::verdict::Verdict;
use super::witness::{Witness, entries};
use crate::audit::{Audit, Expected};
use crate::child::{Ending, Program};
use crate::comparison::Allowances;
use crate::dispatcher::{self, Body, Call, Fault, StandInDispatcher};
use crate::generator::World;
use crate::restored::{Restored, Restoring};
use crate::s3::{self, S3Server};

/// Which consumers belong to the backup.
pub(super) const CONSUMERS: &str = "backup-events-";

/// The buckets' names, without their last word.
pub(super) const BUCKETS: &str = "azul-backup-1";

/// How long nothing may move while the rest is worked off.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a stop may take: what Kubernetes grants, and some for a machine that has other things to do.
const LONGEST_STOP: Duration = Duration::from_secs(60);

/// Two servers, a program, a witness.
pub struct Trial {
    /// The stand-in dispatcher.
    pub dispatcher: StandInDispatcher,
    /// The S3 server.
    pub s3: S3Server,
    /// All events and binaries that there will be.
    pub world: Arc<World>,
    pub(super) witness: Witness,
    pub(super) wrong: BTreeSet<String>,
    pub(super) objects: BTreeMap<String, Sha256>,
    pub(super) vanished: BTreeSet<String>,
    base: PathBuf,
    sandbox: PathBuf,
    settings: BTreeMap<String, String>,
    lives: usize,
}

/// The program from one start to its end.
pub struct Life {
    /// The process.
    pub program: Program,
    trace: PathBuf,
    log: PathBuf,
}

impl Life {
    /// Starts the program for the `number`th time, with its log and its trace in the folder `base`, and with these
    /// fault points (as `FAULT_POINTS` has them); `sandbox` is the executable.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(
        sandbox: &Path,
        base: &Path,
        number: usize,
        mut settings: BTreeMap<String, String>,
        arguments: &[&str],
        points: &str,
    ) -> io::Result<Self> {
        let trace = base.join(format!("trace-{number}"));
        let log = base.join(format!("program-{number}.log"));
        settings.insert("FAULT_POINTS".to_owned(), points.to_owned());
        settings.insert("FAULT_POINTS_TRACE".to_owned(), trace.display().to_string());
        let program = Program::start_as(sandbox, settings, arguments, &log)?;
        Ok(Self { program, trace, log })
    }

    /// The fault points that it has passed; complete once it is dead.
    ///
    /// # Errors
    /// The trace cannot be read.
    pub fn trace(&self) -> io::Result<Trace> {
        read_trace(&self.trace)
    }

    /// Where its log lies.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How often it has passed a point so far.
    ///
    /// # Errors
    /// The trace cannot be read.
    pub fn passed(&self, point: FaultPoint) -> io::Result<u64> {
        let passed = self.trace()?.passed;
        Ok(passed
            .iter()
            .find(|(other, _)| *other == point)
            .map_or(0, |(_, count)| *count))
    }
}

impl Trial {
    /// Starts the servers in the folder `base`, without a single event yet; `sandbox` is the executable.
    ///
    /// # Errors
    /// A server cannot be started, or the folder cannot be made.
    pub fn new(base: &Path, sandbox: &Path, world: Arc<World>) -> anyhow::Result<Self> {
        let config = dispatcher::Config {
            hurry: 5,
            ..dispatcher::Config::default()
        };
        let dispatcher =
            StandInDispatcher::start(config).context("the stand-in dispatcher does not start")?;
        dispatcher.adopt(&world, false);
        let s3 =
            S3Server::start(s3::Config::at(base.join("bucket"))).context("the S3 server does not start")?;
        let local = base.join("local");
        let witness = Witness::of(&local, &base.join("witness"))?;
        let sources: Vec<String> = world
            .shape()
            .sources
            .iter()
            .map(|source| format!("{source}: {{}}"))
            .collect();
        let settings = [
            ("BK__DISPATCHER_EVENTS", dispatcher.url()),
            ("BK__EXTERNAL_BACKUP__ENDPOINT", s3.endpoint()),
            ("BK__EXTERNAL_BACKUP__ACCESS_KEY", s3.config().access_key.clone()),
            ("BK__EXTERNAL_BACKUP__SECRET_KEY", s3.config().secret_key.clone()),
            ("BK__SOURCES", format!("sources: {{{}}}", sources.join(", "))),
            ("BK__LOCAL_DATA__ROOTDIR", local.display().to_string()),
            ("BK__EVENT_PULL_DEADLINE", "1s".to_owned()),
            ("BK__EVENT_BATCH_MAX_AGE", "1s".to_owned()),
            ("BK__EVENT_BATCH_SIZE", "20".to_owned()),
            ("BK__STREAM_ROUTINE_COUNT", "3".to_owned()),
            ("BK__RETRY_COUNT", "2".to_owned()),
            ("BK__RETRY_AVERAGE_DELAY_MS", "20".to_owned()),
            ("FAULT_POINTS_HURRY", "5".to_owned()),
        ];
        Ok(Self {
            dispatcher,
            s3,
            world,
            witness,
            wrong: BTreeSet::new(),
            objects: BTreeMap::new(),
            vanished: BTreeSet::new(),
            base: base.to_owned(),
            sandbox: sandbox.to_owned(),
            settings: settings
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            lives: 0,
        })
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
        self.base.join("local/backup")
    }

    /// Lets the dispatcher have other bytes under this name: what can never be stored.
    pub fn falsify(&mut self, stream: &StreamId, bytes: Vec<u8>) {
        self.wrong.insert(stream.to_string());
        self.dispatcher.put_stream(stream, Body::Given(bytes.into()));
    }

    /// Publishes all events that are not visible yet.
    pub fn publish_all(&self) {
        for feed in self.world.feeds() {
            self.dispatcher.release(feed.feed(), feed.len());
        }
    }

    /// Starts the program with these fault points (as `FAULT_POINTS` has them).
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&mut self, points: &str) -> io::Result<Life> {
        self.lives += 1;
        let settings = self.settings.clone();
        Life::start(
            &self.sandbox,
            &self.base,
            self.lives,
            settings,
            &["backup"],
            points,
        )
    }

    /// Notes what lies on local disk and in the bucket. To be called when the program is dead.
    ///
    /// # Errors
    /// Something cannot be read.
    pub fn look(&mut self) -> anyhow::Result<()> {
        self.witness.look()?;
        let mut there = BTreeSet::new();
        for bucket in ["events", "streams"].map(|word| format!("{BUCKETS}-{word}")) {
            for key in self.s3.keys(&bucket)?.unwrap_or_default() {
                let path = self.s3.object_path(&bucket, &key);
                let name = format!("{bucket}/{key}");
                if !self.objects.contains_key(&name) {
                    self.objects
                        .insert(name.clone(), Sha256::of(&std::fs::read(path)?));
                }
                there.insert(name);
            }
        }
        let vanished = self.objects.keys().filter(|name| !there.contains(*name));
        self.vanished.extend(vanished.cloned());
        Ok(())
    }

    /// Starts the program without faults, and stops it with a SIGTERM when nothing is left to do.
    ///
    /// # Errors
    /// It ends before, or not with 0, or not at all.
    pub fn catch_up(&mut self) -> anyhow::Result<()> {
        let mut life = self.start("")?;
        let ending = self.finish(&mut life)?;
        match ending {
            Ending::Exit(0) => Ok(()),
            other => bail!("it ended with {other:?}; {}", last_lines(&life.log())),
        }
    }

    /// Waits until nothing is left to do, and stops the program with a SIGTERM; or until it has ended by itself.
    ///
    /// # Errors
    /// It does not end.
    pub fn finish(&mut self, life: &mut Life) -> anyhow::Result<Ending> {
        self.await_all(life)?;
        life.program.signal(libc::SIGTERM);
        let ending = self.await_end(life, LONGEST_STOP)?;
        Ok(ending)
    }

    /// Waits for the end of the program, and notes what it has left.
    ///
    /// # Errors
    /// It still runs after `longest`.
    pub fn await_end(&mut self, life: &mut Life, longest: Duration) -> anyhow::Result<Ending> {
        let ending = life.program.wait(longest)?;
        self.look()?;
        ending.with_context(|| {
            format!(
                "the program still runs after {longest:?}; {}",
                last_lines(&life.log())
            )
        })
    }

    /// Nothing to do is: what was left over is in order, every event was handed out, the journal is empty, and every stream that the bundles name
    /// and the dispatcher has is in the bucket. Also returns when nothing moves any more, for the audit tells what
    /// is missing, and when the program has ended.
    fn await_all(&self, life: &mut Life) -> anyhow::Result<()> {
        let (mut last, mut moved, mut calm) = (self.progress()?, Instant::now(), 0);
        let mut awaited: Option<BTreeSet<String>> = None;
        while life.program.poll()?.is_none() {
            let now = self.progress()?;
            if now != last {
                (last, moved) = (now, Instant::now());
            } else if moved.elapsed() > PATIENCE {
                log::warn!("nothing has moved for {PATIENCE:?}: {now:?}; {awaited:?} to come");
                break;
            }
            let (unread, idle, journal, _) = now;
            let is_begun = life.passed(FaultPoint::LeftoversKnown)? > 0;
            calm = if is_begun && unread == 0 && idle && journal == 0 {
                calm + 1
            } else {
                0
            };
            if calm == 0 {
                awaited = None;
            } else if calm >= 3 {
                let left = match awaited.take() {
                    Some(left) => left.into_iter().filter(|key| !self.is_stored(key)).collect(),
                    None => self.streams_to_come()?,
                };
                if left.is_empty() {
                    break;
                }
                awaited = Some(left);
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        Ok(())
    }

    /// Events not handed out yet, whether none is on its way, files in the journal, objects written.
    fn progress(&self) -> anyhow::Result<(u64, bool, usize, usize)> {
        let journal = self.witness.look()?;
        let objects = self.s3.counters().progress("").0;
        let broker = self.dispatcher.shared().broker();
        Ok((
            broker.unread(CONSUMERS),
            broker.is_idle(CONSUMERS),
            journal,
            objects,
        ))
    }

    fn is_stored(&self, key: &str) -> bool {
        self.s3.object_path(&format!("{BUCKETS}-streams"), key).exists()
    }

    fn streams_to_come(&self) -> anyhow::Result<BTreeSet<String>> {
        let audit = Audit::of(&self.bucket(), BUCKETS, &Expected::default())?;
        let has = self.dispatcher.shared().stream_keys();
        let right = audit
            .absent
            .into_iter()
            .filter(|key| has.contains(key) && !self.wrong.contains(key));
        Ok(right.collect())
    }

    /// The folder whose folders are the buckets.
    pub fn bucket(&self) -> PathBuf {
        self.base.join("bucket")
    }

    /// Files that were put aside, by the SHA-256 of what they hold.
    pub(super) fn put_aside(&self) -> io::Result<BTreeSet<Sha256>> {
        let (mut folders, mut found) = (vec![self.state().join("aside")], BTreeSet::new());
        while let Some(folder) = folders.pop() {
            for entry in entries(&folder)? {
                if entry.is_dir() {
                    folders.push(entry);
                } else {
                    found.insert(Sha256::of(&std::fs::read(entry)?));
                }
            }
        }
        Ok(found)
    }

    /// Compares everything with everything. The program must have ended in good order.
    ///
    /// # Errors
    /// Something cannot be read; what is wrong is in the verdict.
    pub fn verdict(&self) -> anyhow::Result<Verdict> {
        Verdict::of(self)
    }

    /// Restores what is in the bucket into a second, empty dispatcher, and compares both.
    ///
    /// # Errors
    /// It does not start, or does not end.
    pub fn restore(&self, allowances: &Allowances) -> anyhow::Result<Restored> {
        let restoring = Restoring {
            first: self.dispatcher.shared(),
            settings: self.settings.clone(),
            folder: &self.base.join("restore"),
            allowances,
            forgets: false,
        };
        restoring.run(
            |settings, arguments, log| Program::start_as(&self.sandbox, settings, arguments, log),
            |_| {},
        )
    }

    /// Makes everything work again, whatever was done to the servers.
    ///
    /// # Errors
    /// A port was taken meanwhile.
    pub fn heal(&mut self) -> io::Result<()> {
        self.dispatcher.clear_faults();
        self.dispatcher.shared().set_kafka_hangs(false);
        self.s3.knobs().reset();
        if !self.dispatcher.is_up() {
            self.dispatcher.restart()?;
        }
        if !self.s3.is_up() {
            self.s3.restart()?;
        }
        Ok(())
    }

    /// Answers that nobody understands, for the next pulls.
    pub fn talk_nonsense(&self, times: usize) {
        self.dispatcher.order_fault(Call::Pull, Fault::Nonsense, times);
    }
}

/// The end of what the program logged, for an error.
pub(crate) fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    format!(
        "the program's last words were:\n{}\n",
        lines[lines.len().saturating_sub(15)..].join("\n")
    )
}
