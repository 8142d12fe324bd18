//! One seed, from its plan to its verdict.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use actors::fault_point::FaultPoint;
use anyhow::Context;
use fastrand::Rng;
use serde::Serialize;

use super::plan::{Act, End, LifePlan, Plan, Trouble};
use super::stock::{Object, Stock, Whereabouts};
use super::trial::RestoreTrial;
use crate::child::Ending;
use crate::generator::World;
use crate::torture::run::{BEFORE_THE_FIRST, sleep_until};
use crate::torture::trial::{Life, last_lines};

/// How many requests a fault on order concerns: fewer than make a stream a dead letter.
const SOME_REQUESTS: usize = 2;

/// How long the last start may take.
const LONGEST: Duration = Duration::from_secs(120);

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
    /// How often it had ended early by itself: told to by SIGTERM, or because nothing worked around it.
    pub ended_early: u64,
    /// Objects that came into the bucket when the restore had begun.
    pub came_late: u64,
    /// Objects that vanished from the bucket.
    pub vanished: u64,
    /// Events that the second dispatcher has.
    pub events: u64,
    /// Events that it was given again.
    pub repeated_events: u64,
    /// Streams that it has.
    pub streams: u64,
    /// Streams that it was given again.
    pub repeated_streams: u64,
    /// Dead letters: those that had been planted.
    pub dead_letters: u64,
    /// Events and streams that are lost.
    pub lost: u64,
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
    let mut rng = Rng::with_seed(outcome.seed ^ 0x5eed);
    let mut run = Run {
        trial: prepare(&plan, base, sandbox, &mut rng)?,
        rng,
        is_troubled: false,
        outcome,
    };
    let ended = run.live_through(&plan)?;
    let Run { trial, outcome, .. } = run;
    outcome.starts = trial.starts() as u64;
    let verdict = trial.verdict(&ended.life)?;
    let right = match verdict.letters {
        0 => Ending::Exit(0),
        _ => Ending::Exit(3),
    };
    if ended.ending != right {
        let fault = format!(
            "with {} dead letters it ended with {:?}",
            verdict.letters, ended.ending
        );
        outcome.faults.push(fault);
    }
    outcome.came_late = trial.stock.numbers(|object| object.came_late).len() as u64;
    outcome.vanished = trial
        .stock
        .numbers(|object| object.at == Whereabouts::Vanished)
        .len() as u64;
    outcome.events = verdict.events;
    outcome.repeated_events = verdict.repeated_events;
    outcome.streams = verdict.streams;
    outcome.repeated_streams = verdict.repeated_streams;
    outcome.dead_letters = verdict.letters;
    outcome.lost = verdict.lost;
    outcome.faults.extend(verdict.faults);
    Ok(())
}

fn prepare(plan: &Plan, base: &Path, sandbox: &Path, rng: &mut Rng) -> anyhow::Result<RestoreTrial> {
    let world = World::new(plan.shape.clone())?;
    let root = RestoreTrial::root(base);
    let stock = Stock::of(&world, plan.bundle, plan.flaws, &root, rng)?;
    let mut trial = RestoreTrial::new(base, sandbox, &world, stock)?;
    for (name, value) in &plan.settings {
        trial.set(name, value);
    }
    if plan.skips_existing {
        trial.arguments.push("--skip-existing");
    }
    trial.s3.knobs().set_page(Some(plan.page));
    for number in 0..trial.stock.objects.len() {
        if rng.u32(..100) >= plan.late_percent {
            trial.stock.put(number, false)?;
        }
    }
    Ok(trial)
}

/// A seed that is being run.
struct Run<'a> {
    trial: RestoreTrial,
    rng: Rng,
    is_troubled: bool,
    outcome: &'a mut Outcome,
}

/// A start after which nothing is left to do.
struct Ended {
    life: Life,
    ending: Ending,
}

impl Run<'_> {
    /// Starts the program until it ends by itself, with all done.
    fn live_through(&mut self, plan: &Plan) -> anyhow::Result<Ended> {
        for life in &plan.lives {
            if let Some(ended) = self.live(life)? {
                return Ok(ended);
            }
        }
        self.act(Act::Put(usize::MAX), None)?;
        let mut life = self.trial.start("")?;
        let ending = self
            .trial
            .await_end(&mut life, LONGEST)
            .context("the last start, without faults")?;
        Ok(Ended { life, ending })
    }

    fn live(&mut self, plan: &LifePlan) -> anyhow::Result<Option<Ended>> {
        let points = match plan.end {
            End::KillAt(point, times) => format!("{point}=kill@{times}"),
            End::Kill | End::KillWhileEnding(_) => String::new(),
        };
        self.trial.s3.knobs().set_latency(plan.latency);
        self.is_troubled = false;
        let mut life = self.trial.start(&points)?;
        if !plan.from_the_process {
            await_opened(&mut life)?;
        }
        let begun = Instant::now();
        for (at, act) in &plan.acts {
            sleep_until(begun + *at, &mut life)?;
            self.act(*act, Some(&life))?;
        }
        sleep_until(begun + plan.length, &mut life)?;
        let is_told = matches!(plan.end, End::KillWhileEnding(_));
        if let End::KillWhileEnding(after) = plan.end {
            life.program.signal(libc::SIGTERM);
            sleep_until(Instant::now() + after, &mut life)?;
        }
        life.program.signal(libc::SIGKILL);
        let ending = self.trial.await_end(&mut life, Duration::from_secs(10))?;
        self.trial.heal()?;
        match ending {
            Ending::Signal(libc::SIGKILL) => {
                self.outcome.kills += 1;
                let last = life.trace()?.last;
                let last = last.map_or(BEFORE_THE_FIRST, |point| point.name());
                *self.outcome.killed_after.entry(last.to_owned()).or_default() += 1;
            }
            Ending::Exit(0 | 3) => return Ok(Some(Ended { life, ending })),
            Ending::Exit(1) | Ending::Signal(libc::SIGTERM) if is_told => self.outcome.ended_early += 1,
            Ending::Exit(1) if self.is_troubled => self.outcome.ended_early += 1,
            other => {
                let last = last_lines(&life.log());
                let fault = format!("start {} ended with {other:?}: {last}", self.trial.starts());
                self.outcome.faults.push(fault);
            }
        }
        Ok(None)
    }

    fn act(&mut self, act: Act, life: Option<&Life>) -> anyhow::Result<()> {
        match act {
            Act::Put(count) => {
                for number in self.some(count, |object| object.at == Whereabouts::ToCome) {
                    match life {
                        Some(life) => self.trial.put_late(number, life)?,
                        None => self.trial.stock.put(number, true)?,
                    }
                }
            }
            Act::Vanish(count) => {
                let may_go = |object: &Object| object.at == Whereabouts::There && object.is_good();
                for number in self.some(count, may_go) {
                    self.trial.stock.vanish(number)?;
                }
            }
            Act::Trouble(trouble) => {
                self.is_troubled = true;
                match trouble {
                    Trouble::BucketAway => self.trial.s3.stop(),
                    Trouble::BucketHangs => self.trial.s3.knobs().set_hang(true),
                    Trouble::DispatcherAway => self.trial.dispatcher.stop(),
                    Trouble::DispatcherFails(call, fault) => {
                        self.trial.dispatcher.order_fault(call, fault, SOME_REQUESTS);
                    }
                }
            }
        }
        Ok(())
    }

    /// Up to `count` of the objects that `are` so, by chance.
    fn some(&mut self, count: usize, are: impl Fn(&Object) -> bool) -> Vec<usize> {
        let mut numbers = self.trial.stock.numbers(are);
        self.rng.shuffle(&mut numbers);
        numbers.truncate(count);
        numbers
    }
}

/// Waits until local state is open, or the program has ended; not for ever.
fn await_opened(life: &mut Life) -> anyhow::Result<()> {
    let until = Instant::now() + Duration::from_secs(2);
    while life.passed(FaultPoint::StateOpened)? == 0 && Instant::now() < until {
        if life.program.poll()?.is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
