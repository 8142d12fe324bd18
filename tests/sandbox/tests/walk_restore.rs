//! A walk over all fault points of a restore: at each the program dies, fails or panics once, is started again, and
//! afterwards the second dispatcher holds everything, in order, and the figures are right.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use actors::fault_point::FaultPoint as At;
use anyhow::{Context, bail, ensure};
use sandbox::child::Ending;
use sandbox::dispatcher::SourceRules;
use sandbox::generator::Shape;
use sandbox::torture::trial::Life;
use sandbox::torture_restore::plan::points;
use sandbox::torture_restore::stock::{Flaws, Holds, Object};
use sandbox::torture_restore::trial::RestoreTrial;

/// How many walk side by side.
const SIDE_BY_SIDE: usize = 4;

/// How long it may take until the program comes to a point, or to its end.
const LONGEST: Duration = Duration::from_secs(60);

/// Where the disk may fail.
const ON_DISK: [At; 11] = [
    At::StateBegun,
    At::StateWritten,
    At::StateFlushed,
    At::StateClosing,
    At::RestoreBegun,
    At::RestoreRowHalved,
    At::RestoreLetterWritten,
    At::RestoreLetterKept,
    At::RestoreLetterForgotten,
    At::RestoreFinished,
    At::RestoreSweeping,
];

/// Where a panic takes with it the conductor, a worker, or the writer of local state.
const PANICS: [At; 15] = [
    At::StateWritten,
    At::StateFlushed,
    At::RestoreStreamBegun,
    At::RestoreStreamSent,
    At::RestoreStreamBuried,
    At::RestoreLaneSaved,
    At::RestoreBundlePublished,
    At::RestoreEventBuried,
    At::RestoreBundleBuried,
    At::RestoreBundleDone,
    At::RestoreLastPass,
    At::RestoreStreamTold,
    At::RestoreEnding,
    At::RestoreLetterKept,
    At::RestoreFinished,
];

/// Points that are passed often, at a later passing.
const LATER: [(At, u64); 8] = [
    (At::StateWritten, 5),
    (At::StateWritten, 30),
    (At::StateFlushed, 6),
    (At::StateFlushed, 31),
    (At::RestoreStreamSent, 9),
    (At::RestoreBundlePublished, 20),
    (At::RestoreBundleDone, 21),
    (At::RestoreLetterKept, 2),
];

#[derive(Clone, Copy, Debug)]
struct Case {
    at: At,
    action: &'static str,
    passing: u64,
}

impl Case {
    fn new(at: At, action: &'static str) -> Self {
        Self {
            at,
            action,
            passing: 1,
        }
    }

    fn all() -> VecDeque<Self> {
        let kills = points().into_iter().map(|at| Self::new(at, "kill"));
        let failures = ON_DISK.iter().map(|at| Self::new(*at, "fail"));
        let full = ON_DISK.iter().map(|at| Self::new(*at, "full"));
        let panics = PANICS.iter().map(|at| Self::new(*at, "panic"));
        let later = LATER.iter().map(|(at, passing)| Self {
            passing: *passing,
            ..Self::new(*at, "kill")
        });
        kills
            .chain(failures)
            .chain(full)
            .chain(panics)
            .chain(later)
            .collect()
    }

    /// Whether an earlier start has to have gone through everything once, before more comes into the bucket.
    fn needs_latecomers(&self) -> bool {
        matches!(self.at, At::RestoreRowHalved | At::RestoreStreamTold)
    }

    fn is_at_the_end(&self) -> bool {
        (At::EndEvents..=At::EndState).contains(&self.at)
    }
}

/// The executable; another one, where the environment names it.
fn sandbox() -> PathBuf {
    let named = std::env::var_os("CARGO_BIN_EXE_sandbox");
    named.map_or_else(|| env!("CARGO_BIN_EXE_sandbox").into(), PathBuf::from)
}

/// One source with one large feed, most bundles of one event each; the first bundles of it, and some streams, come
/// late.
fn trial(base: &Path) -> anyhow::Result<RestoreTrial> {
    let mut shape = Shape::new(5, 1, 0)
        .with_events([12, 6, 6, 4, 70])
        .with_sizes(1..=3000);
    shape.system_events = 3;
    let flaws = Flaws {
        too_large: 0,
        ..Flaws::ONE_OF_EACH
    };
    let mut trial = RestoreTrial::with(base, &sandbox(), shape, 2, flaws)?;
    trial.s3.knobs().set_page(Some(5));
    let mut late: Vec<String> = latecomers(&trial, |object| matches!(object.holds, Holds::Bundle { .. }));
    late.extend(latecomers(&trial, |object| matches!(object.holds, Holds::Stream)));
    for number in trial.stock.numbers(|object| !late.contains(&object.key)) {
        trial.stock.put(number, false)?;
    }
    Ok(trial)
}

/// The first keys of a bucket.
fn latecomers(trial: &RestoreTrial, are: impl Fn(&Object) -> bool) -> Vec<String> {
    let objects = trial
        .stock
        .objects
        .iter()
        .filter(|object| are(object) && object.is_good());
    let enriched = |object: &&Object| !object.key.contains("/binary/") || object.key.contains("/enriched/");
    let mut keys: Vec<String> = objects
        .filter(enriched)
        .map(|object| object.key.clone())
        .collect();
    keys.retain(|key| !key.starts_with("system/"));
    keys.sort();
    keys.truncate(3);
    keys
}

fn await_passing(life: &mut Life, at: At, times: u64) -> anyhow::Result<()> {
    let begun = Instant::now();
    while life.passed(at)? < times {
        if let Some(ending) = life.program.poll()?
            && life.passed(at)? < times
        {
            bail!("it ended with {ending:?} before {at}; {}", life.log());
        }
        ensure!(
            begun.elapsed() < LONGEST,
            "it does not come to {at}; {}",
            life.log()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// What a case has left is kept if it failed.
fn walk(case: &Case) -> anyhow::Result<()> {
    let base = tempfile::tempdir()?;
    let walked = match case.at {
        At::RestoreLetterForgotten => put_back(base.path(), case),
        _ => walk_in(base.path(), case),
    };
    walked.with_context(|| format!("everything is kept in {}", base.keep().display()))
}

fn walk_in(base: &Path, case: &Case) -> anyhow::Result<()> {
    let mut trial = trial(base)?;
    if case.needs_latecomers() {
        let mut life = trial.start(&format!("{}=kill", At::RestoreLastPass))?;
        let ending = trial.await_end(&mut life, LONGEST)?;
        ensure!(
            ending == Ending::Signal(libc::SIGKILL),
            "{ending:?}; {}",
            life.log()
        );
    }
    for number in trial
        .stock
        .numbers(|object| object.at == sandbox::torture_restore::stock::Whereabouts::ToCome)
    {
        trial.stock.put(number, case.needs_latecomers())?;
    }
    let Case { at, action, passing } = case;
    let mut life = trial.start(&format!("{at}={action}@{passing}"))?;
    if case.is_at_the_end() {
        await_passing(&mut life, At::RestoreStreamSent, 1)?;
        life.program.signal(libc::SIGTERM);
    }
    await_passing(&mut life, *at, *passing)?;
    let ending = trial.await_end(&mut life, LONGEST)?;
    let may_be = match *action {
        "kill" => ending == Ending::Signal(libc::SIGKILL),
        // One that had finished before it failed may say so.
        _ => matches!(ending, Ending::Exit(1 | 3)),
    };
    ensure!(may_be, "it ended with {ending:?}; {}", life.log());
    if ending != Ending::Exit(3) {
        life = trial.start("")?;
        let ending = trial.await_end(&mut life, LONGEST)?;
        ensure!(
            ending == Ending::Exit(3),
            "the next start ended with {ending:?}; {}",
            life.log()
        );
    }
    let verdict = trial.verdict(&life)?;
    ensure!(
        verdict.is_good() && verdict.events > 0,
        "{verdict:#?}\n{}",
        life.log()
    );
    Ok(())
}

/// A refused event is put back after all, with an accident on the way; a second attempt finishes it.
fn put_back(base: &Path, case: &Case) -> anyhow::Result<()> {
    let mut trial = trial(base)?;
    let mut life = trial.start("")?;
    let ending = trial.await_end(&mut life, LONGEST)?;
    ensure!(ending == Ending::Exit(3), "{ending:?}; {}", life.log());
    trial.dispatcher.set_rules(SourceRules::default());
    trial.arguments = vec!["dead-letters", "--retry", "--json"];
    let mut life = trial.start(&format!("{}={}", case.at, case.action))?;
    let ending = trial.await_end(&mut life, LONGEST)?;
    ensure!(life.passed(case.at)? > 0, "{}", life.log());
    let may_be = match case.action {
        "kill" => ending == Ending::Signal(libc::SIGKILL),
        _ => matches!(ending, Ending::Exit(0 | 1 | 3)),
    };
    ensure!(may_be, "{ending:?}; {}", life.log());
    let mut life = trial.start("")?;
    let ending = trial.await_end(&mut life, LONGEST)?;
    ensure!(
        matches!(ending, Ending::Exit(0 | 3)),
        "{ending:?}; {}",
        life.log()
    );
    let refused = trial.stock.refused();
    for key in &refused {
        let shared = trial.dispatcher.shared();
        let mut feeds = shared.published_feeds().into_iter();
        let is_there = feeds.any(|feed| {
            shared
                .published(&feed)
                .0
                .iter()
                .any(|receipt| *receipt.kafka_key == **key)
        });
        ensure!(is_there, "{key} was not put back; {}", life.log());
    }
    ensure!(!refused.is_empty(), "no event was refused");
    // One invalid event is left; the file of the other is gone, at the latest with the start after the accident.
    let letters = std::fs::read_dir(trial.state().join("dead-letters"))?.count();
    ensure!(letters == 1, "{letters} files of letters; {}", life.log());
    Ok(())
}

#[test]
fn at_whatever_point_a_restore_dies_the_next_start_finishes_it() {
    let only = std::env::var("WALK_ONLY").unwrap_or_default();
    let cases = Case::all()
        .into_iter()
        .filter(|case| format!("{case:?}").contains(&only));
    let cases: Mutex<VecDeque<Case>> = Mutex::new(cases.collect());
    let (walked, faults) = (Mutex::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(case) = { cases.lock().unwrap().pop_front() } {
                    if let Err(fault) = walk(&case) {
                        faults.lock().unwrap().push(format!("{case:?}: {fault:#}"));
                    }
                    *walked.lock().unwrap() += 1;
                }
            });
        }
    });
    let (walked, faults) = (walked.into_inner().unwrap(), faults.into_inner().unwrap());
    assert!(
        faults.is_empty(),
        "{} of {walked} cases:\n{}",
        faults.len(),
        faults.join("\n\n")
    );
    assert!(walked > points().len() || !only.is_empty());
}
