//! One cell: a start with the fault, a second one without it, the audit, and a restore.

use std::time::{Duration, Instant};

use anyhow::Context;

use super::Launcher;
use super::course::{Bounds, Bucket, Course, Expect, Until};
use super::scene::{Local, Scene, Started};
use super::world::World;
use crate::comparison::Comparison;
use crate::proxy::{Fault, Operation, Order, Spot};

/// What a start says once its actors run, and so once it can be stopped in good order.
const RUNNING: &str = "backing up ";

/// What a start says when a stream or a bundle was given up for the time being.
const GIVEN_UP: [&str; 2] = [
    "could not be stored and stays pending",
    "the bundle is tried again",
];

/// What a start says of a port where nobody listens.
const REFUSED: &str = "onnection refused";

/// One cell of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What is asked for.
    pub operation: Operation,
    /// What happens to it.
    pub fault: Fault,
    /// Whether it happens for as long as the first start runs, or to the first request only.
    pub for_ever: bool,
    /// What is expected.
    pub course: Course,
}

/// What became of a cell.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which one.
    pub cell: Cell,
    /// What went otherwise than expected.
    pub wrong: Vec<String>,
    /// What the starts logged, where something was wrong.
    pub logs: Vec<String>,
    /// How long it took.
    pub took: Duration,
    /// What a restore of the bucket came to at the end, and how long it took; none where the bucket holds what
    /// arrived, and not what was sent.
    pub restored: Option<(Comparison, Duration)>,
}

impl Cell {
    /// For reports.
    pub fn name(&self) -> String {
        let often = if self.for_ever { "for ever" } else { "once" };
        format!("{} × {} ({often})", self.operation, self.fault.name())
    }

    /// Runs it.
    pub fn run(&self, program: &Launcher) -> Report {
        let begun = Instant::now();
        let mut run = Run {
            cell: self,
            wrong: Vec::new(),
            logs: Vec::new(),
            restored: None,
        };
        if let Err(error) = run.all(program) {
            run.wrong.push(format!("{error:#}"));
        }
        Report {
            cell: *self,
            logs: if run.wrong.is_empty() {
                Vec::new()
            } else {
                run.logs
            },
            wrong: run.wrong,
            took: begun.elapsed(),
            restored: run.restored,
        }
    }

    fn world(&self) -> &'static World {
        match self.operation {
            Operation::BeginUpload
            | Operation::UploadPart
            | Operation::CompleteUpload
            | Operation::AbortUpload
            | Operation::ListUploads => World::large(),
            _ => World::small(),
        }
    }

    fn order(&self, scene: &Scene) {
        let proxy = scene.proxy(self.operation);
        if self.fault == Fault::Refused {
            proxy.close();
            return;
        }
        if self.operation == Operation::AbortUpload {
            // nothing is dropped but for a reason
            scene.proxy(Operation::Download).order(Order {
                operation: Operation::Download,
                target: self.world().first_sha256(),
                fault: Fault::Flip(Spot::Middle),
                times: 1,
            });
        }
        let target = match self.operation {
            Operation::Pull => "-samples-sourced-",
            _ => "",
        };
        proxy.order(Order {
            operation: self.operation,
            target: target.to_owned(),
            fault: self.fault,
            times: if self.for_ever { usize::MAX } else { 1 },
        });
    }
}

struct Run<'a> {
    cell: &'a Cell,
    wrong: Vec<String>,
    logs: Vec<String>,
    restored: Option<(Comparison, Duration)>,
}

impl Run<'_> {
    fn all(&mut self, program: &Launcher) -> anyhow::Result<()> {
        let cell = self.cell;
        let expect = cell.course.expect(cell.world().len() as u64);
        let mut scene = Scene::new(cell.world(), cell.operation != Operation::CreateBucket)?;
        match (cell.fault, cell.for_ever) {
            // each try takes its time-out
            (Fault::HangUnsent, true) => scene.set("BK__RETRY_COUNT", "2"),
            // how long nobody listens is not a matter of tries
            (Fault::Refused | Fault::AwayUnanswered, false) => scene.set("BK__RETRY_COUNT", "9"),
            _ => {}
        }
        let prior = match cell.operation {
            Operation::ListUploads => self.begin_in_doubt(&scene, program)?,
            _ => None,
        };
        cell.order(&scene);
        let first = self.first(&scene, program, &expect)?;
        self.after_first(&scene, &expect)?;
        scene.heal();
        let second = self.second(&scene, program, &expect)?;
        let local = scene.local_state()?;
        self.at_the_end(&scene, &expect, local)?;
        self.figures(&scene, &expect, local, &[first, second, prior]);
        self.restore(&scene, program, &expect)
    }

    /// What is in the bucket comes back.
    fn restore(&mut self, scene: &Scene, program: &Launcher, expect: &Expect) -> anyhow::Result<()> {
        let missing = match expect.bucket {
            Bucket::Whole => false,
            Bucket::Without(_) => true,
            // What arrived is not what was sent: there is nothing to compare it with but what arrived.
            Bucket::OneAsReceived | Bucket::BulkAsReceived => return Ok(()),
        };
        let restored = scene
            .restore(program, expect.lost, missing)
            .context("the restore")?;
        let faults = restored.faults.iter();
        self.wrong
            .extend(faults.map(|fault| format!("restored: {fault}")));
        self.restored = Some((restored.comparison, restored.elapsed));
        Ok(())
    }

    /// A start that leaves an upload open whose id was lost with the answer, long ago.
    fn begin_in_doubt(&mut self, scene: &Scene, program: &Launcher) -> anyhow::Result<Option<Figures>> {
        scene.proxy(Operation::BeginUpload).order(Order {
            operation: Operation::BeginUpload,
            target: String::new(),
            fault: Fault::ResetUnanswered,
            times: 1,
        });
        let mut started = scene.start(program, "prior")?;
        let reached = started.wait_until(|_| scene.is_caught_up(false, Some(0)));
        let code = started.stop();
        self.logs.push(started.log());
        if !(reached? && code? == 0) {
            self.wrong
                .push("the start before did not come to its end".to_owned());
        }
        scene.age_doubts(2 * actors::upload_sweep::SETTLED)?;
        Ok(started.statistics())
    }

    /// With the fault, until the course says so.
    fn first(
        &mut self,
        scene: &Scene,
        program: &Launcher,
        expect: &Expect,
    ) -> anyhow::Result<Option<Figures>> {
        let cell = self.cell;
        let proxy = scene.proxy(cell.operation);
        let mut started = scene.start(program, "first")?;
        let reached = self.wait(scene, &mut started, expect);
        let code = match (&reached, expect.until) {
            (Ok(_), Until::Ended) | (Ok(false), _) => started.wait(),
            _ => started.stop(),
        };
        self.logs.push(started.log());
        if !reached? && expect.until != Until::Ended {
            self.wrong.push("the first start ended by itself".to_owned());
        }
        let code = code?;
        if code != expect.exit {
            self.wrong
                .push(format!("the first start ended with {code}, not {}", expect.exit));
        }
        let counts = proxy.counts(cell.operation);
        if cell.fault != Fault::Refused {
            self.check(
                "requests that met the fault",
                counts.struck as u64,
                &(1..=u64::MAX),
            );
            if expect.repeated {
                let least = counts.struck as u64 + 1;
                self.check(
                    "requests of the operation",
                    counts.seen as u64,
                    &(least..=u64::MAX),
                );
            }
        }
        Ok(started.statistics())
    }

    fn wait(&self, scene: &Scene, started: &mut Started, expect: &Expect) -> anyhow::Result<bool> {
        let cell = self.cell;
        let proxy = scene.proxy(cell.operation);
        if cell.fault == Fault::Refused && expect.until != Until::Ended {
            if !started.wait_until(|log| log.contains(REFUSED))? {
                return Ok(false);
            }
            if cell.for_ever {
                return started.wait_until(|log| log.contains(RUNNING) && log.matches(REFUSED).count() > 1);
            }
            proxy.open();
        }
        let struck = |times: usize| proxy.counts(cell.operation).struck >= times;
        let missing = match expect.bucket {
            Bucket::Without(count) => count,
            _ => 0,
        };
        let given_up = |log: &str| GIVEN_UP.iter().any(|text| log.contains(text));
        started.wait_until(|log| {
            log.contains(RUNNING)
                && (struck(1) || cell.fault == Fault::Refused)
                && match expect.until {
                    Until::CaughtUp => {
                        scene.is_caught_up(expect.lost, Some(missing)) && struck(missing as usize)
                    }
                    Until::Bundled => scene.is_caught_up(expect.lost, None),
                    Until::GivenUp => given_up(log),
                    Until::Either => given_up(log) || scene.is_caught_up(expect.lost, Some(missing)),
                    Until::Struck(times) => struck(times),
                    Until::Ended => false,
                }
        })
    }

    fn after_first(&mut self, scene: &Scene, expect: &Expect) -> anyhow::Result<()> {
        let local = scene.local_state()?;
        self.check(
            "pending streams after the first start",
            local.pending,
            &expect.pending,
        );
        self.check(
            "batches and sealed bundles after the first start",
            local.batches + local.sealed,
            &expect.journal,
        );
        self.check(
            "open uploads after the first start",
            local.uploads,
            &expect.uploads,
        );
        self.check("failed streams after the first start", local.failed, &(0..=0));
        // What is not there yet is no fault; what is there and wrong is.
        let wrong = ["unpack", "is not the key", "by its content", "too often"];
        let audit = scene.audit(expect.lost)?;
        if matches!(expect.bucket, Bucket::Whole | Bucket::Without(_)) {
            self.wrong.extend(
                audit
                    .faults
                    .into_iter()
                    .filter(|fault| wrong.iter().any(|text| fault.contains(text)))
                    .map(|fault| format!("after the first start: {fault}")),
            );
        }
        Ok(())
    }

    /// Without the fault, until everything is there.
    fn second(
        &mut self,
        scene: &Scene,
        program: &Launcher,
        expect: &Expect,
    ) -> anyhow::Result<Option<Figures>> {
        let mut started = scene.start(program, "second")?;
        let missing = match expect.bucket {
            Bucket::Without(count) => Some(count),
            Bucket::BulkAsReceived => None,
            _ => Some(0),
        };
        let reached =
            started.wait_until(|log| log.contains(RUNNING) && scene.is_caught_up(expect.lost, missing));
        let code = match &reached {
            Ok(false) => started.wait(),
            _ => started.stop(),
        };
        self.logs.push(started.log());
        if !reached? {
            self.wrong.push("the second start ended by itself".to_owned());
        }
        let code = code?;
        if code != 0 {
            self.wrong.push(format!("the second start ended with {code}"));
        }
        Ok(started.statistics())
    }

    fn at_the_end(&mut self, scene: &Scene, expect: &Expect, local: Local) -> anyhow::Result<()> {
        let missing = match expect.bucket {
            Bucket::Without(count) => count,
            _ => 0,
        };
        for (what, count, bounds) in [
            ("pending streams", local.pending, 0..=0),
            ("missing streams", local.missing, missing..=missing),
            ("failed streams", local.failed, 0..=0),
            ("suspect pulls", local.suspects, expect.suspects.clone()),
            ("outstanding pulls", local.marks, 0..=0),
            ("batches", local.batches, 0..=0),
            ("sealed bundles", local.sealed, 0..=0),
            ("open uploads", local.uploads, expect.doubts.clone()),
        ] {
            self.check(&format!("{what} in local state at the end"), count, &bounds);
        }
        let mut faults = scene.audit(expect.lost)?.faults;
        if expect.strays {
            faults.retain(|fault| !fault.ends_with("was left open"));
        }
        if expect.bucket == Bucket::BulkAsReceived {
            // how many events such a bulk has is anybody's guess
            faults.retain(|fault| !fault.starts_with("bundles count "));
        }
        let expected: Vec<&str> = match expect.bucket {
            Bucket::Whole => vec![],
            Bucket::Without(count) => vec!["is named, but not in"; count as usize],
            Bucket::OneAsReceived => vec![
                "1 events (or whole bulks) handed out, but in no bundle",
                "1 events (or whole bulks) in bundles, but too often or never handed out",
            ],
            Bucket::BulkAsReceived => vec![
                "3 events (or whole bulks) handed out, but in no bundle",
                "1 events (or whole bulks) in bundles, but too often or never handed out",
            ],
        };
        let as_expected = faults.len() == expected.len()
            && faults
                .iter()
                .zip(&expected)
                .all(|(fault, text)| fault.contains(text));
        if !as_expected {
            self.wrong
                .push(format!("in the bucket: {faults:?}, not {expected:?}"));
        }
        Ok(())
    }

    /// What the statistics of all starts say; those of the one with the fault come first.
    fn figures(&mut self, scene: &Scene, expect: &Expect, local: Local, starts: &[Option<Figures>]) {
        let of = |figures: &Option<Figures>, name: &str| {
            let figure = figures.as_ref().and_then(|figures| figures.get(name));
            figure.copied().unwrap_or(0)
        };
        let all = |name: &str| starts.iter().map(|figures| of(figures, name)).sum::<u64>();
        let first = starts.first().unwrap_or(&None);
        let first_of = |name: &str| of(first, name);
        let started = self.cell.course != Course::NotStarted;
        let (failed, aside) = (first_of("streams_failed"), first_of("answers_aside"));
        let (suspect, events) = (all("suspect_pulls"), all("events_ok"));
        let missing = first_of("streams_missing");
        if first.is_some() != started {
            self.wrong
                .push(format!("statistics of the first start: {first:?}"));
        }
        self.check("failed streams in the statistics", failed, &expect.failed);
        self.check("answers put aside in the statistics", aside, &expect.aside);
        self.check(
            "suspect pulls in the statistics",
            suspect,
            &(local.suspects..=local.suspects),
        );
        self.check(
            "missing streams in the statistics",
            missing,
            &(local.missing..=local.missing),
        );
        let arrived = scene.arrived(expect.lost);
        if expect.bucket != Bucket::BulkAsReceived {
            self.check("events in the statistics", events, &(arrived..=arrived));
        }
    }

    fn check(&mut self, what: &str, found: u64, expected: &Bounds) {
        if !expected.contains(&found) {
            let expected = match (*expected.start(), *expected.end()) {
                (least, u64::MAX) => format!("{least} or more"),
                (least, most) if least == most => format!("{least}"),
                (least, most) => format!("{least} to {most}"),
            };
            self.wrong.push(format!("{what}: {found}, not {expected}"));
        }
    }
}

type Figures = std::collections::BTreeMap<String, u64>;
