//! `sandbox torture`: the program of production, killed with SIGKILL at random instants again and again until its
//! work is done, and then an audit: is anything lost? Then all of it is restored into a second, empty dispatcher, and
//! both dispatchers are compared: does everything come back?
//!
//! A seed decides on everything that can be decided: events and binaries, settings, when events are published, what
//! goes wrong around the program, and when it is killed. What comes of it depends on the machine too, so that a
//! seed that failed may have to be run several times to fail again; what it left is kept.
//!
//! | question | place |
//! | --- | --- |
//! | What is it that must not be lost? | [`verdict`] |
//! | Who says that it had reached local disk? | [`witness`] |
//! | When is the program killed, and what goes wrong around it? | [`plan`] |
//! | How does one run go? | [`mod@run`] |

pub mod plan;
pub mod run;
pub mod trial;
pub mod verdict;
pub mod witness;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use actors::fault_point::FaultPoint;
use comfy_table::{Cell, CellAlignment, Table, presets};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde::Serialize;

use self::run::Outcome;

/// What the torture is to do.
#[derive(Clone, Debug, clap::Args)]
pub struct Wanted {
    /// How many seeds.
    #[arg(long, default_value_t = 25)]
    pub seeds: u64,

    /// The first of them.
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    pub from: u64,

    /// How many are run side by side; as many as the machine has cores, times four, unless told otherwise.
    #[arg(long)]
    pub jobs: Option<usize>,

    /// Keep buckets, local state and logs here; without it only those of seeds that fail are kept.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,

    /// Print JSON instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// What all seeds came to.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// How many seeds were run.
    pub seeds: u64,
    /// The sums of all; `seed` and `seconds` mean nothing in it, and its faults are those of [`Report::failed`].
    #[serde(flatten)]
    pub all: Outcome,
    /// How long it took.
    pub elapsed: f64,
    /// Seeds that lost something, or went wrong otherwise.
    pub failed: Vec<Failed>,
}

/// A seed that failed.
#[derive(Debug, Serialize)]
pub struct Failed {
    /// Which seed.
    pub seed: u64,
    /// What it has lost.
    pub lost: u64,
    /// What went wrong.
    pub faults: Vec<String>,
    /// Where everything lies.
    pub kept: PathBuf,
}

/// Runs it and prints; returns whether nothing was lost.
///
/// # Errors
/// A folder cannot be made.
pub fn run(wanted: &Wanted) -> anyhow::Result<bool> {
    let sandbox = std::env::current_exe()?;
    let report = torture(wanted, &sandbox)?;
    if wanted.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(report.failed.is_empty())
}

fn torture(wanted: &Wanted, sandbox: &Path) -> anyhow::Result<Report> {
    let begun = Instant::now();
    let mut report = Report::default();
    let progress = Progress::new(wanted.seeds);
    run_seeds(
        wanted,
        "torture",
        |seed, base| run::run(seed, base, sandbox),
        |outcome| outcome.faults.is_empty(),
        |outcome, kept| {
            report.add(outcome, kept);
            progress.show(
                report.seeds,
                report.all.kills,
                report.all.lost,
                report.failed.len(),
            );
        },
    )?;
    progress.end();
    report.elapsed = begun.elapsed().as_secs_f64();
    report.failed.sort_by_key(|failed| failed.seed);
    Ok(report)
}

/// Runs all seeds, many side by side, each in a folder of its own, which goes if all `is_well`; `take` is given what
/// each came to, and where it is kept.
pub(crate) fn run_seeds<O: Send>(
    wanted: &Wanted,
    name: &str,
    run: impl Fn(u64, &Path) -> O + Sync,
    is_well: impl Fn(&O) -> bool + Sync,
    take: impl FnMut(O, Option<PathBuf>) + Send,
) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let jobs = wanted.jobs.unwrap_or(4 * cores).max(1).min(wanted.seeds as usize);
    let (next, take) = (AtomicU64::new(0), Mutex::new(take));
    let run_one = |seed: u64| -> anyhow::Result<(O, Option<PathBuf>)> {
        if let Some(keep) = &wanted.keep {
            let base = keep.join(format!("seed-{seed}"));
            std::fs::create_dir_all(&base)?;
            return Ok((run(seed, &base), Some(base)));
        }
        let base = tempfile::Builder::new()
            .prefix(&format!("{name}-{seed}-"))
            .tempdir()?;
        let outcome = run(seed, base.path());
        let kept = (!is_well(&outcome)).then(|| base.keep());
        Ok((outcome, kept))
    };
    let work = || -> anyhow::Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= wanted.seeds {
                return Ok(());
            }
            let (outcome, kept) = run_one(wanted.from + number)?;
            let mut take = take.lock().unwrap_or_else(PoisonError::into_inner);
            take(outcome, kept);
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        let ended = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("a run panicked")));
        ended.collect()
    })
}

impl Report {
    fn add(&mut self, outcome: Outcome, kept: Option<PathBuf>) {
        self.seeds += 1;
        let all = &mut self.all;
        for (sum, more) in [
            (&mut all.starts, outcome.starts),
            (&mut all.kills, outcome.kills),
            (&mut all.ended_before, outcome.ended_before),
            (&mut all.events, outcome.events),
            (&mut all.events_stored, outcome.events_stored),
            (&mut all.streams, outcome.streams),
            (&mut all.lost, outcome.lost),
            (&mut all.in_suspect_pulls, outcome.in_suspect_pulls),
            (&mut all.suspect_pulls, outcome.suspect_pulls),
            (&mut all.lost_by_dispatcher, outcome.lost_by_dispatcher),
            (&mut all.answers_seen, outcome.answers_seen),
            (&mut all.restored_events, outcome.restored_events),
            (&mut all.restored_streams, outcome.restored_streams),
        ] {
            *sum += more;
        }
        for (reason, count) in outcome.not_restored {
            *all.not_restored.entry(reason).or_default() += count;
        }
        for (point, times) in outcome.killed_after {
            *all.killed_after.entry(point).or_default() += times;
        }
        if !outcome.faults.is_empty() {
            self.failed.push(Failed {
                seed: outcome.seed,
                lost: outcome.lost,
                faults: outcome.faults,
                kept: kept.unwrap_or_default(),
            });
        }
    }
}

/// A bar on a terminal, a line for every tenth of the seeds elsewhere.
pub(crate) enum Progress {
    Bar(ProgressBar),
    Lines { seeds: u64 },
}

impl Progress {
    pub(crate) fn new(seeds: u64) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines { seeds };
        }
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {msg}, {elapsed}");
        let bar = ProgressBar::new(seeds).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.tick();
        Self::Bar(bar)
    }

    pub(crate) fn show(&self, done: u64, kills: u64, lost: u64, failed: usize) {
        let text = format!("{kills} kills, {lost} lost, {failed} failed");
        match self {
            Self::Bar(bar) => {
                bar.set_position(done);
                bar.set_message(text);
            }
            Self::Lines { seeds } if done.is_multiple_of(seeds.div_ceil(10)) => {
                eprintln!("{done} of {seeds} seeds: {text}");
            }
            Self::Lines { .. } => {}
        }
    }

    pub(crate) fn end(&self) {
        if let Self::Bar(bar) = self {
            bar.finish();
        }
    }
}

fn print(report: &Report) {
    println!("{}", histogram(&report.all.killed_after));
    println!("{}", figures(report));
    for failed in &report.failed {
        println!("Seed {} FAILED, {} lost:", failed.seed, failed.lost);
        for fault in failed.faults.iter().take(20) {
            println!("  {fault}");
        }
        println!("  Everything of it is kept in {}.", failed.kept.display());
        println!(
            "  Alone: cargo run --release -p sandbox -- torture --seeds 1 --from {} --keep DIR",
            failed.seed
        );
    }
    if report.failed.is_empty() {
        println!(
            "Nothing is lost: what had reached local disk is in the bucket, byte for byte, and what had not falls \
             into a suspect pull that was recorded, where a recheck finds it. What is in the bucket came back: \
             restored into a second, empty dispatcher, event by event and byte for byte, in order; but for events of a \
             version that this dispatcher does not know, which are dead letters of the restore."
        );
    }
}

pub(crate) fn table(header: [&str; 2], rows: impl IntoIterator<Item = (String, String)>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header);
    for (what, how_many) in rows {
        let how_many = Cell::new(how_many).set_alignment(CellAlignment::Right);
        table.add_row([Cell::new(what), how_many]);
    }
    table
}

/// In the order in which a run comes to the points.
pub(crate) fn histogram(killed_after: &BTreeMap<String, u64>) -> Table {
    let names = FaultPoint::ALL.iter().map(|point| point.name());
    let rows = std::iter::once(run::BEFORE_THE_FIRST)
        .chain(names)
        .filter_map(|name| {
            let times = killed_after.get(name)?;
            Some((name.to_owned(), times.to_string()))
        });
    table(["killed after passing", "times"], rows)
}

fn figures(report: &Report) -> Table {
    let all = &report.all;
    let count = |count: u64| HumanCount(count).to_string();
    let rows = [
        ("seeds", count(report.seeds)),
        ("starts", count(all.starts)),
        ("kills", count(all.kills)),
        ("ended before the kill", count(all.ended_before)),
        ("events handed out", count(all.events)),
        ("events in the bucket", count(all.events_stored)),
        ("streams in the bucket", count(all.streams)),
        ("answers seen on local disk", count(all.answers_seen)),
        ("lost", count(all.lost)),
        ("events in suspect pulls", count(all.in_suspect_pulls)),
        ("suspect pulls", count(all.suspect_pulls)),
        (
            "events lost by restarts of the dispatcher",
            count(all.lost_by_dispatcher),
        ),
        ("events restored, and the same", count(all.restored_events)),
        ("streams restored, and the same", count(all.restored_streams)),
    ];
    let excused = all.not_restored.iter();
    let excused = excused.map(|(reason, how_many)| {
        let what = format!("not restored: {}", reason.as_str());
        (what, count(*how_many))
    });
    let time = ("time".to_owned(), format!("{:.1} s", report.elapsed));
    let rows = rows.map(|(what, how_many)| (what.to_owned(), how_many));
    table(
        ["what", "how many"],
        rows.into_iter().chain(excused).chain([time]),
    )
}
