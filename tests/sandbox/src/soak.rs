//! `sandbox soak`: a long run through a small hit cache with faults sprinkled in, and what it took, sampled all the
//! way: memory, open files and local state have to stay flat, and all of it has to be in the bucket at the end, and to
//! come back from there: it is restored into a second dispatcher, which keeps hashes only, and both are compared.
//!
//! Events and binaries are made on the fly; events are published as fast as the program takes them. The program is
//! the one of production, in a process of its own. What happens to it on the way is in `course.rs`, what "flat"
//! means in `flat.rs`.

mod course;
mod flat;
mod sample;

use std::collections::BTreeMap;
use std::path::PathBuf;

use actors::ports::LocalState;
use actors::ports::state::StateCounts;
use anyhow::Context;
use azul_backup::adapters::state::SledState;
use comfy_table::{Cell, CellAlignment, Table, presets};
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use self::course::{Course, Happened};
use self::flat::Flat;
use crate::audit::{Audit, Expected};
use crate::comparison::Reason;
use crate::restored::Restored;

/// Which consumers belong to the backup.
const CONSUMERS: &str = "backup-events-";

/// The buckets' names, without their last word.
const BUCKETS: &str = "azul-backup-1";

/// How large a soak is.
#[derive(Clone, Debug, clap::Args)]
pub struct Wanted {
    /// How many events, all together.
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1000..))]
    pub events: u64,

    /// How many binaries; each is named by three events, so at most a quarter of the events.
    #[arg(long, default_value_t = 200_000)]
    pub streams: u64,

    /// Entries of the hit cache.
    #[arg(long, default_value_t = 2000)]
    pub cache: u64,

    /// Another seed makes other events and binaries.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Keep bucket, local state and log here; without it they are thrown away.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,

    /// Print JSON instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// What a soak came to.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Events in bundles.
    pub events: u64,
    /// Events in answers that broke off: each of them in a suspect pull, for a recheck to find.
    pub events_in_suspect_pulls: u64,
    /// Streams in the bucket.
    pub streams: u64,
    /// Streams that the dispatcher did not have.
    pub missing: u64,
    /// From the first start to the last end.
    pub seconds: f64,
    /// What happened on the way.
    pub happened: Happened,
    /// How often the process was looked at.
    pub samples: usize,
    /// Events that a restore has put into a second dispatcher, and are the same there.
    pub restored_events: u64,
    /// Streams, likewise.
    pub restored_streams: u64,
    /// What did not come back, and could not: why, and how often.
    pub not_restored: BTreeMap<Reason, u64>,
    /// How long the restore took.
    pub restore_seconds: f64,
    /// The most memory that the restore had resident, in bytes.
    pub restore_peak_memory: u64,
    /// What has to stay flat.
    pub flat: Vec<Flat>,
    /// Rows that are left in local state.
    pub left: StateCounts,
    /// What was not as it should be; empty if all is well.
    pub misses: Vec<String>,
}

/// Runs it, and prints; returns whether all was flat, and the bucket as it should be.
///
/// # Errors
/// Something did not start, or the program ended otherwise than it should.
pub fn run(wanted: &Wanted) -> anyhow::Result<bool> {
    let temporary = tempfile::tempdir()?;
    let base = wanted.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    let mut course = Course::begin(wanted, &base)?;
    course
        .run(|| left(&base))
        .with_context(|| last_words(&base.join("program.log")))?;
    let left = left(&base)?;
    eprintln!("looking at what lies in the bucket …");
    let expected = Expected::handed_out(course.dispatcher().shared(), CONSUMERS, false);
    let audit = Audit::of(&base.join("bucket"), BUCKETS, &expected)?;
    drop(expected);
    eprintln!("restoring it into a second dispatcher …");
    let restored = course.restore(&audit)?;
    let figures = figures(&course, &audit, left, &restored);
    match wanted.json {
        true => println!("{}", serde_json::to_string_pretty(&figures)?),
        false => print(&figures),
    }
    Ok(figures.misses.is_empty())
}

/// What is left in local state, of a program that has ended.
fn left(base: &std::path::Path) -> anyhow::Result<StateCounts> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let state = SledState::open(&base.join("state").join("backup"))?;
        let counts = state.counts();
        state.close().await?;
        Ok(counts)
    })
}

fn last_words(log: &std::path::Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    format!(
        "the program's last words:\n{}",
        lines[lines.len().saturating_sub(15)..].join("\n")
    )
}

fn figures(course: &Course, audit: &Audit, left: StateCounts, restored: &Restored) -> Figures {
    let flat = flat::judge(course.samples());
    let mut misses: Vec<String> = flat.iter().filter_map(Flat::miss).collect();
    misses.extend(audit.faults.iter().cloned());
    misses.extend(restored.faults.iter().map(|fault| format!("RESTORED: {fault}")));
    for (what, found, right) in [
        ("streams are pending", left.pending, 0),
        ("streams are set aside", left.failed, 0),
        (
            "streams are remembered as missing",
            left.missing,
            audit.missing as u64,
        ),
    ] {
        if found != right {
            misses.push(format!("{found} {what} at the end, {right} should be"));
        }
    }
    let broken_off = course.events_broken_off();
    if broken_off > 0 && left.suspect_pulls == 0 {
        misses.push(format!(
            "{broken_off} events were lost on the way, and no pull is suspect"
        ));
    }
    Figures {
        events: audit.events,
        events_in_suspect_pulls: broken_off,
        streams: audit.streams as u64,
        missing: audit.missing as u64,
        seconds: course.elapsed().as_secs_f64(),
        happened: course.happened(),
        samples: course.samples().len(),
        restored_events: restored.comparison.events,
        restored_streams: restored.comparison.streams,
        not_restored: restored.comparison.excused.clone(),
        restore_seconds: restored.elapsed.as_secs_f64(),
        restore_peak_memory: restored.taken.peak_memory,
        flat,
        left,
        misses,
    }
}

fn print(figures: &Figures) {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_header(["what", "how much"]);
    let count = |count: u64| HumanCount(count).to_string();
    let rows = [
        ("events", count(figures.events)),
        ("events in suspect pulls", count(figures.events_in_suspect_pulls)),
        ("streams", count(figures.streams)),
        ("streams missing", count(figures.missing)),
        ("time", format!("{:.0} s", figures.seconds)),
        ("starts", count(figures.happened.starts)),
        ("faults on order", count(figures.happened.faults)),
        ("times that the bucket was away", count(figures.happened.outages)),
        ("samples", count(figures.samples as u64)),
        ("events restored, and the same", count(figures.restored_events)),
        ("streams restored, and the same", count(figures.restored_streams)),
        ("time of the restore", format!("{:.0} s", figures.restore_seconds)),
        (
            "peak memory of the restore",
            HumanBytes(figures.restore_peak_memory).to_string(),
        ),
    ];
    let rows = rows
        .map(|(what, how_much)| (what.to_owned(), how_much))
        .into_iter();
    let excused = figures.not_restored.iter();
    let excused = excused.map(|(reason, how_many)| {
        let what = format!("not restored: {}", reason.as_str());
        (what, count(*how_many))
    });
    for (what, how_much) in rows.chain(excused) {
        table.add_row([
            Cell::new(what),
            Cell::new(how_much).set_alignment(CellAlignment::Right),
        ]);
    }
    println!("{table}");
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header([
        "stays flat",
        "peak early",
        "peak late",
        "allowed",
        "verdict",
    ]);
    for flat in &figures.flat {
        let told = |value: u64| match flat.is_bytes {
            true => HumanBytes(value).to_string(),
            false => HumanCount(value).to_string(),
        };
        let verdict = if flat.is_kept() { "kept" } else { "BROKEN" };
        let cells = [flat.early, flat.late, flat.allowed]
            .map(|value| Cell::new(told(value)).set_alignment(CellAlignment::Right));
        table.add_row(
            [Cell::new(flat.what)]
                .into_iter()
                .chain(cells)
                .chain([Cell::new(verdict)]),
        );
    }
    println!("{table}");
    match figures.misses.is_empty() {
        true => println!(
            "Nothing is lost, nothing is wrong, and nothing has grown; and all of it came back, restored into a \
             second, empty dispatcher, event by event and byte for byte, in order."
        ),
        false => figures
            .misses
            .iter()
            .take(20)
            .for_each(|miss| println!("MISS: {miss}")),
    }
}
