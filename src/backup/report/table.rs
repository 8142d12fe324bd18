//! The statistics as a table for people, or as one log record a source for machines.

use std::time::Duration;

use actors::statistics::SourceFigures;
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{HumanBytes, HumanCount, HumanDuration};

/// What is still to be done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backlog {
    pub(super) pending: u64,
    pub(super) waiting: usize,
    pub(super) out: usize,
    pub(super) missing: u64,
    pub(super) failed: u64,
    pub(super) suspect_pulls: u64,
    pub(super) journal_bytes: u64,
}

/// The statistics at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) sources: Vec<(String, SourceFigures)>,
    pub(super) running: Duration,
    pub(super) backlog: Backlog,
}

/// A heading, and what stands below it.
type Column = (&'static str, fn(&SourceFigures) -> u64);

const COLUMNS: [Column; 12] = [
    ("events ok", |figures| figures.events_ok),
    ("invalid", |figures| figures.events_invalid),
    ("failed", |figures| figures.events_failed),
    ("bundles", |figures| figures.bundles),
    ("streams ok", |figures| figures.streams_ok),
    ("there", |figures| figures.streams_present),
    ("missing", |figures| figures.streams_missing),
    ("failed", |figures| figures.streams_failed),
    ("duplicates", |figures| figures.duplicates),
    ("suspect pulls", |figures| figures.suspect_pulls),
    ("in", |figures| figures.bytes_in),
    ("out", |figures| figures.bytes_out),
];

/// The columns from here on are bytes.
const BYTES_FROM: usize = 10;

impl Snapshot {
    pub(super) fn duration(&self) -> String {
        HumanDuration(self.running).to_string()
    }

    fn total(&self) -> SourceFigures {
        self.sources
            .iter()
            .fold(SourceFigures::default(), |mut total, (_, figures)| {
                total += *figures;
                total
            })
    }

    pub(super) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(std::iter::once("source").chain(COLUMNS.map(|(heading, _)| heading)));
        for (source, figures) in &self.sources {
            table.add_row(row(source, figures));
        }
        table.add_row(row("all", &self.total()));
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        format!("{table}\n{}", self.rates())
    }

    fn rates(&self) -> String {
        let total = self.total();
        let per_second = |count: u64| count as f64 / self.running.as_secs_f64().max(0.001);
        let Backlog {
            pending,
            waiting,
            out,
            missing,
            failed,
            suspect_pulls,
            journal_bytes,
        } = self.backlog;
        format!(
            "on average {:.1} events/s, {:.1} streams/s, {}/s in; backlog: {} streams pending ({waiting} in memory, \
             {out} being stored), {} in the journal; remembered: {} missing, {} failed, {} suspect pulls",
            per_second(total.events_ok),
            per_second(total.streams_ok),
            HumanBytes(per_second(total.bytes_in) as u64),
            HumanCount(pending),
            HumanBytes(journal_bytes),
            HumanCount(missing),
            HumanCount(failed),
            HumanCount(suspect_pulls),
        )
    }

    /// One record a source, its figures as key-values.
    pub(super) fn log_each(&self, title: &str) {
        for (source, f) in &self.sources {
            log::info!(
                source = source.as_str(), events_ok = f.events_ok, events_invalid = f.events_invalid,
                events_failed = f.events_failed, bundles = f.bundles, streams_ok = f.streams_ok,
                streams_present = f.streams_present, streams_missing = f.streams_missing,
                streams_failed = f.streams_failed, duplicates = f.duplicates,
                suspect_pulls = f.suspect_pulls, bytes_in = f.bytes_in, bytes_out = f.bytes_out;
                "{title}"
            );
        }
        log::info!("{title}: {}", self.rates());
    }
}

fn row(source: &str, figures: &SourceFigures) -> Vec<String> {
    let figure = |(index, (_, read)): (usize, &Column)| match read(figures) {
        bytes if index >= BYTES_FROM => HumanBytes(bytes).to_string(),
        count => HumanCount(count).to_string(),
    };
    std::iter::once(source.to_owned())
        .chain(COLUMNS.iter().enumerate().map(figure))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_reads_the_table() {
        let samples = SourceFigures {
            events_ok: 123_456,
            events_invalid: 2,
            bundles: 124,
            streams_ok: 9_876,
            duplicates: 20_000,
            suspect_pulls: 1,
            bytes_in: 5 << 30,
            bytes_out: 3 << 30,
            ..SourceFigures::default()
        };
        let system = SourceFigures {
            events_ok: 7,
            ..SourceFigures::default()
        };
        let snapshot = Snapshot {
            sources: vec![("samples".into(), samples), ("system".into(), system)],
            running: Duration::from_secs(600),
            backlog: Backlog {
                pending: 12,
                waiting: 2,
                out: 10,
                missing: 3,
                suspect_pulls: 1,
                journal_bytes: 1 << 20,
                ..Backlog::default()
            },
        };
        insta::assert_snapshot!(snapshot.table());
    }
}
