//! One seed, from its plan to its verdict.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use actors::fault_point::FaultPoint;
use actors::feed::Feed;
use anyhow::Context;
use serde::Serialize;

use super::plan::{Act, End, LifePlan, Plan, Trouble};
use super::trial::{Life, Trial};
use crate::child::Ending;
use crate::comparison::Reason;
use crate::generator::World;

/// Where a process was killed that had not come to its first fault point.
pub(crate) const BEFORE_THE_FIRST: &str = "before the first";

/// How many requests a fault on order concerns.
const SOME_REQUESTS: usize = 6;

/// What one seed came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// Which seed.
    pub seed: u64,
    /// How often the program was started.
    pub starts: u64,
    /// How often it was killed.
    pub kills: u64,
    /// The fault point that was passed last before each kill, and how often it was that one.
    pub killed_after: BTreeMap<String, u64>,
    /// How often it had ended by itself before it was killed: told to by SIGTERM, or because nothing worked around it.
    pub ended_before: u64,
    /// Events that the dispatcher handed out.
    pub events: u64,
    /// Events that are in the bucket.
    pub events_stored: u64,
    /// Streams that are in the bucket.
    pub streams: u64,
    /// Events and streams that are lost.
    pub lost: u64,
    /// Events that are not in the bucket, but in a suspect pull.
    pub in_suspect_pulls: u64,
    /// Suspect pulls.
    pub suspect_pulls: u64,
    /// Events that restarts of the dispatcher cost with no pull in flight.
    pub lost_by_dispatcher: u64,
    /// Answers that were seen on local disk.
    pub answers_seen: u64,
    /// Events that a restore has put into a second dispatcher, and are the same there.
    pub restored_events: u64,
    /// Streams, likewise.
    pub restored_streams: u64,
    /// What did not come back, and could not: why, and how often.
    pub not_restored: BTreeMap<Reason, u64>,
    /// How long it took.
    pub seconds: f64,
    /// What went wrong, for people.
    pub faults: Vec<String>,
}

/// Runs a seed in a folder of its own; `sandbox` is the executable.
pub fn run(seed: u64, base: &Path, sandbox: &Path) -> Outcome {
    let begun = Instant::now();
    let mut outcome = Outcome {
        seed,
        ..Outcome::default()
    };
    if let Err(error) = try_run(&mut outcome, base, sandbox) {
        outcome.faults.push(format!("{error:#}"));
    }
    outcome.seconds = begun.elapsed().as_secs_f64();
    outcome
}

fn try_run(outcome: &mut Outcome, base: &Path, sandbox: &Path) -> anyhow::Result<()> {
    let plan = Plan::of(outcome.seed);
    let mut run = Run {
        trial: prepare(&plan, base, sandbox)?,
        feeds: Vec::new(),
        is_troubled: false,
    };
    run.feeds = run
        .trial
        .world
        .feeds()
        .iter()
        .map(|events| events.feed().clone())
        .collect();
    for life in &plan.lives {
        run.live(life, outcome)?;
    }
    run.trial.heal()?;
    run.trial.dispatcher.shared().set_model_version(6);
    run.trial.publish_all();
    run.trial.catch_up().context("the last start, without faults")?;
    outcome.starts = run.trial.starts() as u64;
    let verdict = run.trial.verdict()?;
    outcome.events = verdict.handed_out;
    outcome.events_stored = verdict.events;
    outcome.streams = verdict.streams as u64;
    outcome.lost = verdict.lost;
    outcome.in_suspect_pulls = verdict.in_suspect_pulls;
    outcome.suspect_pulls = verdict.suspect_pulls as u64;
    outcome.lost_by_dispatcher = verdict.lost_in_advance as u64;
    outcome.answers_seen = verdict.answers_seen as u64;
    outcome.faults.extend(verdict.faults);
    let restored = run.trial.restore(&verdict.allowances).context("the restore")?;
    outcome.restored_events = restored.comparison.events;
    outcome.restored_streams = restored.comparison.streams;
    outcome.not_restored = restored.comparison.excused;
    let different = restored.faults.into_iter();
    outcome
        .faults
        .extend(different.map(|fault| format!("RESTORED: {fault}")));
    Ok(())
}

fn prepare(plan: &Plan, base: &Path, sandbox: &Path) -> anyhow::Result<Trial> {
    let world = World::new(plan.shape.clone())?;
    let mut trial = Trial::new(base, sandbox, world)?;
    for (name, value) in &plan.settings {
        trial.set(name, value);
    }
    let world = trial.world.clone();
    let mut binaries = world.binaries().step_by(3).map(|binary| binary.stream.clone());
    for stream in binaries.by_ref().take(plan.missing) {
        trial.dispatcher.drop_stream(&stream);
    }
    for stream in binaries.take(plan.wrong) {
        trial.falsify(&stream, b"other bytes than its name says".to_vec());
    }
    Ok(trial)
}

/// A seed that is being run.
struct Run {
    trial: Trial,
    feeds: Vec<Feed>,
    is_troubled: bool,
}

impl Run {
    fn live(&mut self, plan: &LifePlan, outcome: &mut Outcome) -> anyhow::Result<()> {
        let points = match plan.end {
            End::KillAt(point, times) => format!("{point}=kill@{times}"),
            End::Kill | End::KillWhileEnding(_) => String::new(),
        };
        let mut was_troubled = self.is_troubled;
        let mut life = self.trial.start(&points)?;
        if plan.from_the_first_pull {
            await_first_pull(&mut life)?;
        }
        let begun = Instant::now();
        for (at, act) in &plan.acts {
            sleep_until(begun + *at, &mut life)?;
            self.act(*act)?;
            was_troubled |= self.is_troubled;
        }
        sleep_until(begun + plan.length, &mut life)?;
        let is_told = matches!(plan.end, End::KillWhileEnding(_));
        if let End::KillWhileEnding(after) = plan.end {
            life.program.signal(libc::SIGTERM);
            sleep_until(Instant::now() + after, &mut life)?;
        }
        life.program.signal(libc::SIGKILL);
        match self.trial.await_end(&mut life, Duration::from_secs(10))? {
            Ending::Signal(libc::SIGKILL) => {
                outcome.kills += 1;
                let last = life.trace()?.last;
                let last = last.map_or(BEFORE_THE_FIRST, |point| point.name());
                *outcome.killed_after.entry(last.to_owned()).or_default() += 1;
            }
            Ending::Exit(0) | Ending::Signal(libc::SIGTERM) if is_told => outcome.ended_before += 1,
            Ending::Exit(1) if was_troubled => outcome.ended_before += 1,
            other => {
                let log = life.log();
                let last: Vec<&str> = log.lines().rev().take(5).collect();
                let fault = format!("start {} ended with {other:?}: {last:?}", self.trial.starts());
                outcome.faults.push(fault);
            }
        }
        Ok(())
    }

    fn act(&mut self, act: Act) -> anyhow::Result<()> {
        match act {
            Act::Publish(feed, events) => {
                let feed = &self.feeds[feed % self.feeds.len()];
                self.trial.dispatcher.release(feed, events);
            }
            Act::Version(version) => self.trial.dispatcher.shared().set_model_version(version),
            Act::Heal => {
                self.trial.heal()?;
                self.is_troubled = false;
            }
            Act::Trouble(trouble) => {
                self.is_troubled = true;
                self.trouble(trouble)?;
            }
        }
        Ok(())
    }

    fn trouble(&mut self, trouble: Trouble) -> anyhow::Result<()> {
        let (dispatcher, s3) = (&mut self.trial.dispatcher, &mut self.trial.s3);
        match trouble {
            Trouble::BucketSlow(latency) => s3.knobs().set_latency(latency),
            Trouble::BucketHangs => s3.knobs().set_hang(true),
            Trouble::BucketAway => s3.stop(),
            Trouble::BucketFails(operation, failure) => {
                s3.knobs().fail_next(operation, SOME_REQUESTS, failure)
            }
            Trouble::DispatcherAway => dispatcher.stop(),
            Trouble::DispatcherRestarts => dispatcher.restart()?,
            Trouble::DispatcherFails(call, fault) => dispatcher.order_fault(call, fault, SOME_REQUESTS),
        }
        Ok(())
    }
}

/// Waits until the program is about to pull, or has ended; not for ever, for it may wait for the bucket.
fn await_first_pull(life: &mut Life) -> anyhow::Result<()> {
    const LONGEST: Duration = Duration::from_secs(2);
    let until = Instant::now() + LONGEST;
    while life.passed(FaultPoint::LeftoversKnown)? == 0 && Instant::now() < until {
        if life.program.poll()?.is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Waits until then, or until the program has ended by itself.
pub(crate) fn sleep_until(then: Instant, life: &mut Life) -> anyhow::Result<()> {
    const STEP: Duration = Duration::from_millis(10);
    loop {
        let left = then.saturating_duration_since(Instant::now());
        if left.is_zero() || life.program.poll()?.is_some() {
            return Ok(());
        }
        std::thread::sleep(left.min(STEP));
    }
}
