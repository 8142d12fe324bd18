//! `sandbox measure`: what the backup takes, end to end, against the bare work on the same bytes.
//!
//! Three processes: the servers; the backup program of production, alone; and this one, which watches them and,
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
//! The short form is small enough for a test, looks into every object, and judges memory and completeness only.

mod bare;
mod load;
pub mod servers;
mod sink;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::Serialize;

use self::load::{HUGE_AT_ONCE, Load};
use self::servers::{Seen, Servers};
use crate::child::{Ending, Program, Taken};

/// The word that makes the sandbox the process of the servers.
pub const SERVERS: &str = "measure-servers";

const MIB: u64 = 1024 * 1024;

/// How much of the huge binaries has to be in the bucket before the program is told to end: memory has long peaked.
const ENOUGH_OF_HUGE: u64 = 10 * 1024 * MIB;

/// How long nothing may move.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Case {
    /// 2,000 binaries of 300 KB, one third incompressible.
    Binaries,
    /// 20 incompressible binaries of 100 MB.
    Large,
    /// 100,000 events without new streams.
    Events,
    /// 40 workers, each with a binary of 1 GiB.
    Huge,
    /// 52 feeds with answers of 100 MB at once.
    WideAnswers,
}

impl Case {
    fn workers(self) -> usize {
        match self {
            Self::Huge => HUGE_AT_ONCE,
            _ => 20,
        }
    }

    /// The most memory, in bytes.
    fn most_memory(self) -> u64 {
        match self {
            Self::Huge => 256 * MIB - 1,
            _ => 128 * MIB,
        }
    }

    /// The most CPU time, as a multiple of that of the bare work.
    fn most_cpu(self) -> Option<f64> {
        match self {
            Self::Binaries | Self::Large => Some(1.7),
            Self::Events => Some(2.5),
            Self::Huge | Self::WideAnswers => None,
        }
    }
}

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
    /// Events that are in bundles.
    pub events: u64,
    /// Streams that are in the bucket.
    pub streams: u64,
    /// From the start of the program until all was in the bucket.
    pub seconds: f64,
    /// Bytes that the dispatcher sent.
    pub bytes_in: u64,
    /// Bytes that the bucket received.
    pub bytes_out: u64,
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
    let watched = back_up(case, short, &mut servers, folder.path(), &log).with_context(|| {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        format!(
            "the program's last words:\n{}",
            lines[lines.len().saturating_sub(15)..].join("\n")
        )
    })?;
    let complete = (watched.seen.received.events, watched.seen.received.streams)
        == (servers.ready.events, servers.ready.streams);
    let wanted = (servers.ready.events, servers.ready.streams);
    // two gigabytes of content need not be there twice
    drop(servers);
    let bare = match case.most_cpu() {
        Some(_) => Some(bare::cpu(case, &Load::new(case, short)?).as_secs_f64()),
        None => None,
    };
    let mut figures = figures(case, &watched, bare);
    if !complete && !ends_early(case, short) {
        figures
            .misses
            .push(format!("not all of {} events and {} streams", wanted.0, wanted.1));
    }
    if case == Case::Huge && watched.seen.downloads_at_once < HUGE_AT_ONCE {
        figures.misses.push(format!(
            "only {} downloads at once",
            watched.seen.downloads_at_once
        ));
    }
    figures.misses.extend(watched.seen.received.faults);
    judge(&mut figures, short);
    Ok(figures)
}

fn figures(case: Case, watched: &Watched, bare: Option<f64>) -> Figures {
    let cpu = watched.taken.cpu.as_secs_f64();
    Figures {
        case,
        events: watched.seen.received.events,
        streams: watched.seen.received.streams,
        seconds: watched.elapsed.as_secs_f64(),
        bytes_in: watched.seen.sent,
        bytes_out: watched.seen.received.bytes,
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

/// What was seen of one run of the program.
struct Watched {
    seen: Seen,
    elapsed: Duration,
    taken: Taken,
}

fn back_up(
    case: Case,
    short: bool,
    servers: &mut Servers,
    folder: &Path,
    log: &Path,
) -> anyhow::Result<Watched> {
    let mut program = Program::start(settings(case, servers, folder), &["backup"], log)?;
    let begun = Instant::now();
    let (mut moved, mut at) = (Instant::now(), (0, 0));
    let (elapsed, seen) = loop {
        let seen = servers.seen()?;
        if is_enough(case, short, servers, &seen) {
            break (begun.elapsed(), seen);
        }
        if let Some(ending) = program.poll()? {
            bail!("the program ended early with {ending:?}");
        }
        let now = (seen.sent, seen.received.bytes);
        if now != at {
            (moved, at) = (Instant::now(), now);
        } else if moved.elapsed() > PATIENCE {
            bail!("nothing has moved for {PATIENCE:?}: {seen:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    program.signal(libc::SIGTERM);
    match program.wait(Duration::from_secs(40))? {
        Some(Ending::Exit(0)) => {}
        ending => bail!("told to end, the program ended with {ending:?}"),
    }
    Ok(Watched {
        seen,
        elapsed,
        taken: program.taken(),
    })
}

fn is_enough(case: Case, short: bool, servers: &Servers, seen: &Seen) -> bool {
    let all = seen.received.events >= servers.ready.events && seen.received.streams >= servers.ready.streams;
    all || ends_early(case, short) && seen.received.bytes >= ENOUGH_OF_HUGE
}

/// Whether the program is told to end before everything is backed up.
fn ends_early(case: Case, short: bool) -> bool {
    case == Case::Huge && !short
}

fn settings(case: Case, servers: &Servers, folder: &Path) -> Vec<(&'static str, String)> {
    let ready = &servers.ready;
    let sources: Vec<String> = ready
        .sources
        .iter()
        .map(|source| format!("{source}: {{}}"))
        .collect();
    vec![
        ("BK__DISPATCHER_EVENTS", ready.dispatcher.clone()),
        ("BK__EXTERNAL_BACKUP__ENDPOINT", ready.bucket.clone()),
        ("BK__EXTERNAL_BACKUP__ACCESS_KEY", "sandbox".to_owned()),
        ("BK__EXTERNAL_BACKUP__SECRET_KEY", "sandbox-secret".to_owned()),
        ("BK__SOURCES", format!("sources: {{{}}}", sources.join(", "))),
        (
            "BK__LOCAL_DATA__ROOTDIR",
            folder.join("state").display().to_string(),
        ),
        ("BK__EVENT_BATCH_SIZE", ready.batch.to_string()),
        ("BK__STREAM_ROUTINE_COUNT", case.workers().to_string()),
        // so that all answers come at once: there must be room for them on the disk
        ("BK__JOURNAL_MAX_BYTES", "8GiB".to_owned()),
    ]
}

fn table(all: &[Figures]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header([
        "case",
        "events/s",
        "MB/s in",
        "CPU s",
        "bare CPU s",
        "ratio (target)",
        "peak MiB (target)",
        "verdict",
    ]);
    for figures in all {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "—".to_owned());
        let ratio = figures
            .ratio
            .zip(figures.most_ratio)
            .map(|(ratio, most)| format!("{ratio:.2} ({most})"));
        let cells = [
            format!("{:.0}", figures.events as f64 / figures.seconds),
            format!("{:.1}", figures.bytes_in as f64 / 1e6 / figures.seconds),
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
