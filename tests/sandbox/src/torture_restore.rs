//! `sandbox torture-restore`: a restore by the program of production, killed with SIGKILL at random instants and at
//! random fault points again and again, while objects come into the bucket and vanish from it, until it ends by
//! itself. Then the second dispatcher has to hold everything that lies in the bucket, in order, and the program has to
//! have told so: no more and no less.
//!
//! A seed decides on everything that can be decided; what a seed that failed has left is kept.
//!
//! | question | place |
//! | --- | --- |
//! | What lies in the bucket, and what has to become of it? | [`stock`] |
//! | When is the program killed, and what happens around it? | [`plan`] |
//! | How does one run go? | [`mod@run`] |
//! | What does it mean that a restore is good? | [`verdict`] |

pub mod plan;
pub mod run;
pub mod stock;
pub mod trial;
pub mod verdict;

use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::HumanCount;
use serde::Serialize;

use self::run::Outcome;
use crate::torture::{Failed, Progress, Wanted, histogram, run_seeds, table};

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

/// Runs it and prints; returns whether all was well.
///
/// # Errors
/// A folder cannot be made.
pub fn run(wanted: &Wanted) -> anyhow::Result<bool> {
    let report = torture(wanted, &std::env::current_exe()?)?;
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
        "torture-restore",
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

impl Report {
    fn add(&mut self, outcome: Outcome, kept: Option<PathBuf>) {
        self.seeds += 1;
        let all = &mut self.all;
        for (sum, more) in [
            (&mut all.starts, outcome.starts),
            (&mut all.kills, outcome.kills),
            (&mut all.ended_early, outcome.ended_early),
            (&mut all.came_late, outcome.came_late),
            (&mut all.vanished, outcome.vanished),
            (&mut all.events, outcome.events),
            (&mut all.repeated_events, outcome.repeated_events),
            (&mut all.streams, outcome.streams),
            (&mut all.repeated_streams, outcome.repeated_streams),
            (&mut all.dead_letters, outcome.dead_letters),
            (&mut all.lost, outcome.lost),
        ] {
            *sum += more;
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

fn print(report: &Report) {
    println!("{}", histogram(&report.all.killed_after));
    let all = &report.all;
    let count = |count: u64| HumanCount(count).to_string();
    let rows = [
        ("seeds", count(report.seeds)),
        ("starts", count(all.starts)),
        ("kills", count(all.kills)),
        ("ended early by themselves", count(all.ended_early)),
        ("objects that came late", count(all.came_late)),
        ("objects that vanished", count(all.vanished)),
        ("events in the dispatcher", count(all.events)),
        ("events given again", count(all.repeated_events)),
        ("streams in the dispatcher", count(all.streams)),
        ("streams given again", count(all.repeated_streams)),
        ("dead letters, all of them planted", count(all.dead_letters)),
        ("lost", count(all.lost)),
        ("time", format!("{:.1} s", report.elapsed)),
    ];
    let rows = rows.map(|(what, how_many)| (what.to_owned(), how_many));
    println!("{}", table(["what", "how many"], rows));
    for failed in &report.failed {
        println!("Seed {} FAILED, {} lost:", failed.seed, failed.lost);
        for fault in failed.faults.iter().take(20) {
            println!("  {fault}");
        }
        println!("  Everything of it is kept in {}.", failed.kept.display());
        println!(
            "  Alone: cargo run --release -p sandbox -- torture-restore --seeds 1 --from {} --keep DIR",
            failed.seed
        );
    }
    if report.failed.is_empty() {
        println!(
            "Nothing is lost, nothing is out of order, and the figures of the reports are those of the bucket."
        );
    }
}
