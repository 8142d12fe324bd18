//! The matrix as a command: runs cells, and prints what became of them as a table or as JSON.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, bail};
use comfy_table::Table;
use serde_json::json;

use super::{Cell, FOR_EVER, ONCE, Place, Report, Rule};
use crate::child::PROGRAM;
use crate::comparison::Comparison;
use crate::proxy::Operation;

/// What is to be run.
#[derive(Clone, Debug, clap::Args)]
pub struct Wanted {
    /// Only cells whose name contains one of these, such as `pull`, or `put-stream × hang`.
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,

    /// How many cells run side by side.
    #[arg(long, default_value_t = 8)]
    at_once: usize,

    /// Print one JSON object a cell.
    #[arg(long)]
    json: bool,

    /// Also print what the program logged in cells that went wrong.
    #[arg(long)]
    logs: bool,
}

/// Runs the cells that are wanted; whether all took their course.
///
/// # Errors
/// No cell has such a name, or this executable cannot be found.
pub fn run(wanted: &Wanted) -> anyhow::Result<bool> {
    let chosen = |cell: &Cell| {
        wanted.only.is_empty() || wanted.only.iter().any(|text| cell.name().contains(text.as_str()))
    };
    let cells: Vec<Cell> = super::cells().into_iter().filter(chosen).collect();
    if cells.is_empty() {
        bail!("no cell has such a name");
    }
    let executable = std::env::current_exe().context("this executable has no path")?;
    let program = move || {
        let mut command = Command::new(&executable);
        command.arg(PROGRAM);
        command
    };
    let begun = std::time::Instant::now();
    let reports = super::run(&cells, &program, wanted.at_once.max(1));
    if wanted.json {
        reports.iter().for_each(|report| println!("{}", as_json(report)));
    } else {
        for (rows, title) in [(ONCE, "once"), (FOR_EVER, "for ever")] {
            println!("{title}\n{}\n", table(rows, title == "for ever", &reports));
        }
        println!("left out: {}", legend());
    }
    let wrong: Vec<&Report> = reports.iter().filter(|report| !report.wrong.is_empty()).collect();
    for report in &wrong {
        eprintln!("{}:", report.cell.name());
        report.wrong.iter().for_each(|text| eprintln!("  {text}"));
        if wanted.logs {
            report.logs.iter().for_each(|log| eprintln!("{log}"));
        }
    }
    let restored = || reports.iter().filter_map(|report| report.restored.as_ref());
    let sum = |count: fn(&Comparison) -> u64| restored().map(|(same, _)| count(same)).sum::<u64>();
    eprintln!(
        "{} cells ended with a restore: {} events and {} streams came back the same, {} could not; it took {:.0} % of \
         the time",
        restored().count(),
        sum(|same| same.events),
        sum(|same| same.streams),
        sum(Comparison::all_excused),
        100.0 * restored().map(|(_, took)| took.as_secs_f64()).sum::<f64>()
            / reports
                .iter()
                .map(|report| report.took.as_secs_f64())
                .sum::<f64>()
    );
    eprintln!(
        "{} cells in {:.0?}, {} went wrong",
        reports.len(),
        begun.elapsed(),
        wrong.len()
    );
    Ok(wrong.is_empty())
}

fn as_json(report: &Report) -> serde_json::Value {
    json!({
        "operation": report.cell.operation.name(),
        "fault": report.cell.fault.name(),
        "for_ever": report.cell.for_ever,
        "course": format!("{:?}", report.cell.course),
        "ok": report.wrong.is_empty(),
        "wrong": report.wrong,
        "seconds": report.took.as_secs_f64(),
        "restored": report.restored.as_ref().map(|(same, took)| json!({
            "events": same.events,
            "streams": same.streams,
            "not_restored": same.excused,
            "seconds": took.as_secs_f64(),
        })),
    })
}

/// Faults below each other, operations side by side.
fn table(rows: &[super::table::Row], for_ever: bool, reports: &[Report]) -> Table {
    let found: BTreeMap<(String, Operation), &Report> = reports
        .iter()
        .filter(|report| report.cell.for_ever == for_ever)
        .map(|report| ((report.cell.fault.name(), report.cell.operation), report))
        .collect();
    let mut table = Table::new();
    table.set_header(std::iter::once("fault").chain(Operation::ALL.iter().map(|operation| operation.name())));
    for (fault, places) in rows {
        let mut row = vec![fault.name()];
        for (operation, place) in Operation::ALL.into_iter().zip(places) {
            row.push(match (place, found.get(&(fault.name(), operation))) {
                (Place::Out(rule), _) => letter(*rule).to_owned(),
                (_, None) => String::new(),
                (_, Some(report)) if report.wrong.is_empty() => "ok".to_owned(),
                (_, Some(_)) => "WRONG".to_owned(),
            });
        }
        table.add_row(row);
    }
    table
}

/// Short for the reason why there is no cell.
fn letter(rule: Rule) -> &'static str {
    RULES
        .iter()
        .find(|(known, _)| *known == rule)
        .map_or("-", |(_, letter)| letter)
}

const RULES: [(Rule, &str); 9] = [
    (Rule::NoBody, "a"),
    (Rule::NoRequestBody, "b"),
    (Rule::NoEffect, "c"),
    (Rule::NoMultipart, "d"),
    (Rule::NotFirst, "e"),
    (Rule::Success, "f"),
    (Rule::Same, "g"),
    (Rule::NoChecksum, "h"),
    (Rule::TooLong, "i"),
];

fn legend() -> String {
    let rules = RULES.map(|(rule, letter)| format!("{letter} {}", rule.why()));
    rules.join("; ")
}
