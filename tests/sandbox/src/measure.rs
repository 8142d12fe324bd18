//! `sandbox measure`: what backup and restore take, end to end, against the bare work on the same bytes.
//!
//! Three processes: the servers; the program of production, alone; and this one, which watches them and,
//! when they have ended, does the bare work. So machines can be compared by the ratio of two figures of one run.
//!
//! | case | what is backed up | targets |
//! | --- | --- | --- |
//! | `binaries` | 2,000 binaries of 300 KB, one third incompressible | 1.7 times the bare CPU time, 128 MiB |
//! | `large` | 20 incompressible binaries of 100 MB | the same |
//! | `events` | 100,000 events of 950 bytes, no streams | 2.5 times, 128 MiB |
//! | `huge` | 40 workers with a binary of 1 GiB each; ended once 10 GiB are in the bucket | less than 256 MiB |
//! | `wide-answers` | 52 feeds with an answer of 100 MB each, at once | 128 MiB |
//!
//! | case | what is restored | targets |
//! | --- | --- | --- |
//! | `restore-binaries` | 3,333 binaries of 300 KB, one third incompressible | 1.7 times the bare CPU time, 128 MiB |
//! | `restore-large` | 20 incompressible binaries of 100 MB | the same |
//! | `restore-events` | 100,000 events of 950 bytes, in bundles of 1,000 | the same |
//! | `restore-small` | 100,000 binaries of 1 KB | 128 MiB |
//! | `restore-huge` | 40 workers with a binary of 1 GiB each; ended once 10 GiB are with the dispatcher | less than 256 MiB |
//!
//! The short form is small enough for a test, looks into every object, and judges memory and completeness only.

mod bare;
mod case;
mod load;
mod program;
pub mod servers;
mod sink;
mod well;

use anyhow::Context;
use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::Serialize;

pub use self::case::Case;
use self::load::{HUGE_AT_ONCE, Load};
use self::program::{Watched, ends_early};
use self::servers::Servers;

/// The word that makes the sandbox the process of the servers.
pub const SERVERS: &str = "measure-servers";

const MIB: u64 = 1024 * 1024;

/// What is to be measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Wanted {
    /// Only this case; may be given several times.
    #[arg(long = "case")]
    pub cases: Vec<Case>,

    /// A short form, in which only memory and completeness are judged.
    #[arg(long)]
    pub short: bool,

    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// What one case came to.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Which case.
    pub case: Case,
    /// Events that are on the other side: in bundles, or with the dispatcher.
    pub events: u64,
    /// Streams that are there.
    pub streams: u64,
    /// From the start of the program until all was there; for a restore, to its own end.
    pub seconds: f64,
    /// Bytes that the dispatcher sent or received.
    pub content_bytes: u64,
    /// Bytes that the bucket received or gave.
    pub packed_bytes: u64,
    /// CPU time of the program, user and system.
    pub cpu_seconds: f64,
    /// CPU time of the bare work; `None` where it is not judged.
    pub bare_cpu_seconds: Option<f64>,
    /// How many times the bare work.
    pub ratio: Option<f64>,
    /// The target of the ratio.
    pub most_ratio: Option<f64>,
    /// The most memory that the program had, in bytes.
    pub peak_memory: u64,
    /// The target of it.
    pub most_memory: u64,
    /// What was not as it should be; empty if all targets were met.
    pub misses: Vec<String>,
}

/// Measures, and prints; returns whether all targets were met.
///
/// # Errors
/// Something did not start, or the program ended otherwise than it should.
pub fn run(wanted: &Wanted) -> anyhow::Result<bool> {
    let cases = match wanted.cases.as_slice() {
        [] => <Case as clap::ValueEnum>::value_variants(),
        some => some,
    };
    let mut all = Vec::new();
    for case in cases {
        let figures = measure(*case, wanted.short)?;
        if !wanted.json {
            eprintln!("{case:?}: {:.1} s", figures.seconds);
        }
        all.push(figures);
    }
    match wanted.json {
        true => println!("{}", serde_json::to_string_pretty(&all)?),
        false => {
            println!("{}", table(&all));
            for figures in &all {
                for miss in &figures.misses {
                    println!("{:?}: {miss}", figures.case);
                }
            }
        }
    }
    Ok(all.iter().all(|figures| figures.misses.is_empty()))
}

fn measure(case: Case, short: bool) -> anyhow::Result<Figures> {
    let mut servers = Servers::start(servers::Wanted { case, short })?;
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("program.log");
    let watched = program::watched(case, short, &mut servers, folder.path(), &log).with_context(|| {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        format!(
            "the program's last words:\n{}",
            lines[lines.len().saturating_sub(15)..].join("\n")
        )
    })?;
    let wanted = (servers.ready.events, servers.ready.streams);
    let complete = (watched.seen.arrived.events, watched.seen.arrived.streams) == wanted;
    // two gigabytes of content need not be there twice
    drop(servers);
    let bare = match case.is_compared() {
        true => Some(bare::cpu(case, &Load::new(case, short)?)?.as_secs_f64()),
        false => None,
    };
    let mut figures = figures(case, &watched, bare);
    if !complete && !ends_early(case, short) {
        figures
            .misses
            .push(format!("not all of {} events and {} streams", wanted.0, wanted.1));
    }
    // On a busy machine the first may be through before the last has begun.
    if case.is_huge() && watched.seen.streams_at_once < HUGE_AT_ONCE / 4 * 3 {
        figures
            .misses
            .push(format!("only {} streams at once", watched.seen.streams_at_once));
    }
    figures.misses.extend(watched.seen.arrived.faults);
    judge(&mut figures, short);
    Ok(figures)
}

fn figures(case: Case, watched: &Watched, bare: Option<f64>) -> Figures {
    let cpu = watched.taken.cpu.as_secs_f64();
    Figures {
        case,
        events: watched.seen.arrived.events,
        streams: watched.seen.arrived.streams,
        seconds: watched.elapsed.as_secs_f64(),
        content_bytes: watched.seen.dispatched,
        packed_bytes: watched.seen.packed,
        cpu_seconds: cpu,
        bare_cpu_seconds: bare,
        ratio: bare.map(|bare| cpu / bare),
        most_ratio: case.most_cpu(),
        peak_memory: watched.taken.peak_memory,
        most_memory: case.most_memory(),
        misses: Vec::new(),
    }
}

fn judge(figures: &mut Figures, short: bool) {
    if figures.peak_memory > figures.most_memory {
        figures.misses.push(format!(
            "{} MiB of memory, {} are allowed",
            figures.peak_memory.div_ceil(MIB),
            figures.most_memory.div_ceil(MIB)
        ));
    }
    if let (Some(ratio), Some(most), false) = (figures.ratio, figures.most_ratio, short)
        && ratio > most
    {
        figures.misses.push(format!(
            "{ratio:.2} times the bare work, {most} times are allowed"
        ));
    }
}

fn table(all: &[Figures]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header([
        "case",
        "events/s",
        "objects/s",
        "MB/s",
        "CPU s",
        "bare CPU s",
        "ratio (target)",
        "peak MiB (target)",
        "verdict",
    ]);
    for figures in all {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "—".to_owned());
        let ratio = figures.ratio.map(|ratio| match figures.most_ratio {
            Some(most) => format!("{ratio:.2} ({most})"),
            None => format!("{ratio:.2}"),
        });
        let cells = [
            format!("{:.0}", figures.events as f64 / figures.seconds),
            format!("{:.0}", figures.streams as f64 / figures.seconds),
            format!("{:.1}", figures.content_bytes as f64 / 1e6 / figures.seconds),
            format!("{:.2}", figures.cpu_seconds),
            or_none(figures.bare_cpu_seconds.map(|bare| format!("{bare:.2}"))),
            or_none(ratio),
            format!(
                "{} ({})",
                figures.peak_memory.div_ceil(MIB),
                figures.most_memory.div_ceil(MIB)
            ),
        ];
        let name = format!("{:?}", figures.case);
        let verdict = match figures.misses.is_empty() {
            true => "met",
            false => "MISSED",
        };
        let cells = cells
            .into_iter()
            .map(|text| Cell::new(text).set_alignment(CellAlignment::Right));
        table.add_row(
            [Cell::new(name)]
                .into_iter()
                .chain(cells)
                .chain([Cell::new(verdict)]),
        );
    }
    table
}
