//! The statistics as a table for people, or as one log record a source for machines.

use std::time::Duration;

use actors::hit_cache::QueueDepth;
use actors::ports::state::SuspectFeed;
use actors::statistics::SourceFigures;
use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use indicatif::{HumanBytes, HumanCount, HumanDuration};
use log::kv::Value;

/// What is still to be done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backlog {
    pub(super) pending: u64,
    /// Of these in memory; `None` once nobody can tell, because the actors have ended.
    pub(super) queue: Option<QueueDepth>,
    pub(super) missing: u64,
    pub(super) failed: u64,
    pub(super) journal_bytes: u64,
    /// What was put aside, for an operator to look at.
    pub(super) aside_bytes: u64,
}

/// The figures of all sources, each under its name.
pub(super) type Figures = Vec<(String, SourceFigures)>;

/// The statistics at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) sources: Figures,
    /// The figures that rates are reckoned from; a source that is not among them was at zero.
    pub(super) before: Figures,
    /// How long ago those were taken.
    pub(super) took: Duration,
    /// How long ago everything was at zero.
    pub(super) running: Duration,
    pub(super) backlog: Backlog,
    /// The suspect pulls of each feed that has any, over all starts.
    pub(super) suspects: Vec<SuspectFeed>,
}

/// Most feeds whose suspect pulls are told one by one in the table; the command tells all.
const MOST_FEEDS: usize = 10;

/// All sources together.
pub(super) fn total(figures: &Figures) -> SourceFigures {
    figures
        .iter()
        .fold(SourceFigures::default(), |mut total, (_, figures)| {
            total += *figures;
            total
        })
}

/// What is told of one source, or of all.
struct Row<'a> {
    source: &'a str,
    figures: SourceFigures,
    /// Received and not yet in the bucket.
    events_backlog: u64,
    events_per_second: f64,
    streams_per_second: f64,
    bytes_in_per_second: f64,
}

impl Row<'_> {
    fn key_values(&self) -> Vec<(&'static str, Value<'_>)> {
        let f = &self.figures;
        vec![
            ("source", self.source.into()),
            ("events_ok", f.events_ok.into()),
            ("events_backlog", self.events_backlog.into()),
            ("events_per_second", tenths(self.events_per_second).into()),
            ("events_invalid", f.events_invalid.into()),
            ("events_newer", f.events_unknown.into()),
            ("answers_aside", f.events_failed.into()),
            ("suspect_pulls", f.suspect_pulls.into()),
            ("bundles", f.bundles.into()),
            ("streams_ok", f.streams_ok.into()),
            ("streams_per_second", tenths(self.streams_per_second).into()),
            ("streams_present", f.streams_present.into()),
            ("streams_missing", f.streams_missing.into()),
            ("streams_failed", f.streams_failed.into()),
            ("streams_malformed", f.streams_malformed.into()),
            ("duplicates", f.duplicates.into()),
            ("bytes_in", f.bytes_in.into()),
            ("bytes_out", f.bytes_out.into()),
        ]
    }
}

/// A heading, and what stands below it.
type Column = (&'static str, fn(&Row<'_>) -> String);

const COLUMNS: [Column; 16] = [
    ("source", |row| row.source.to_owned()),
    ("events\nok", |row| count(row.figures.events_ok)),
    ("events\nbacklog", |row| count(row.events_backlog)),
    ("events\n/s", |row| rate(row.events_per_second)),
    ("events\ninvalid", |row| count(row.figures.events_invalid)),
    ("answers\naside", |row| count(row.figures.events_failed)),
    ("suspect\npulls", |row| count(row.figures.suspect_pulls)),
    ("bundles", |row| count(row.figures.bundles)),
    ("streams\nok", |row| count(row.figures.streams_ok)),
    ("streams\n/s", |row| rate(row.streams_per_second)),
    ("streams\nthere", |row| count(row.figures.streams_present)),
    ("streams\nmissing", |row| count(row.figures.streams_missing)),
    ("streams\nfailed", |row| count(row.figures.streams_failed)),
    ("duplicates", |row| count(row.figures.duplicates)),
    ("in", |row| HumanBytes(row.figures.bytes_in).to_string()),
    ("out", |row| HumanBytes(row.figures.bytes_out).to_string()),
];

/// Without lines between columns it fits a wide terminal.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─'));

impl Snapshot {
    pub(super) fn duration(&self) -> String {
        HumanDuration(self.running).to_string()
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.sources.iter().map(|(source, figures)| {
            let before = self.before.iter().find(|(name, _)| name == source);
            self.row(
                source,
                *figures,
                before.map(|(_, figures)| *figures).unwrap_or_default(),
            )
        })
    }

    fn all(&self) -> Row<'_> {
        let events_backlog = self.rows().map(|row| row.events_backlog).sum();
        Row {
            events_backlog,
            ..self.row("all", total(&self.sources), total(&self.before))
        }
    }

    fn row<'a>(&self, source: &'a str, figures: SourceFigures, before: SourceFigures) -> Row<'a> {
        let per_second =
            |now: u64, before: u64| now.saturating_sub(before) as f64 / self.took.as_secs_f64().max(0.001);
        Row {
            source,
            figures,
            // What an earlier start had received is counted only once it is in the bucket.
            events_backlog: figures.events_received.saturating_sub(figures.events_ok),
            events_per_second: per_second(figures.events_ok, before.events_ok),
            streams_per_second: per_second(figures.streams_ok, before.streams_ok),
            bytes_in_per_second: per_second(figures.bytes_in, before.bytes_in),
        }
    }

    pub(super) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(STYLE);
        table.set_header(COLUMNS.map(|(heading, _)| heading));
        let all = self.all();
        for row in self.rows().chain([self.all()]) {
            table.add_row(COLUMNS.map(|(_, cell)| cell(&row)));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let (rates, to_do, suspects) = (self.rates(&all), self.to_do(&all), self.suspects());
        format!("{}\n{rates}; {to_do}{suspects}", table.trim_fmt())
    }

    fn suspect_pulls(&self) -> u64 {
        self.suspects.iter().map(|feed| feed.pulls).sum()
    }

    /// What may have been lost, and where; nothing where nothing was.
    fn suspects(&self) -> String {
        if self.suspects.is_empty() {
            return String::new();
        }
        let mut newest: Vec<&SuspectFeed> = self.suspects.iter().collect();
        newest.sort_by_key(|feed| std::cmp::Reverse(feed.until));
        let told: Vec<String> = newest
            .iter()
            .take(MOST_FEEDS)
            .map(|feed| {
                format!(
                    "{} {} (newest {} to {})",
                    feed.feed,
                    HumanCount(feed.pulls),
                    feed.since,
                    feed.until
                )
            })
            .collect();
        let more = match newest.len().saturating_sub(MOST_FEEDS) {
            0 => String::new(),
            more => format!(", and {more} more feeds"),
        };
        format!(
            "\nsuspect pulls, over all starts: {}{more}; events may have been lost on the way, and nothing brings them \
             back by itself yet (azul-backup suspect-pulls says what that means)",
            told.join(", ")
        )
    }

    fn rates(&self, all: &Row<'_>) -> String {
        let over = if self.took == self.running {
            "on average since the start".to_owned()
        } else {
            format!("over the last {}", HumanDuration(self.took))
        };
        format!(
            "rates {over}, {}/s in",
            HumanBytes(all.bytes_in_per_second as u64)
        )
    }

    fn to_do(&self, all: &Row<'_>) -> String {
        let queue = self.backlog.queue.map_or_else(String::new, |queue| {
            format!(" ({} in memory, {} being stored)", queue.waiting, queue.out)
        });
        let odd: String = [
            (all.figures.events_unknown, "events of a newer model version"),
            (all.figures.streams_malformed, "malformed names of streams"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("; {} {what}", HumanCount(count)))
        .collect();
        let aside = match self.backlog.aside_bytes {
            0 => String::new(),
            bytes => format!(", {} put aside", HumanBytes(bytes)),
        };
        format!(
            "backlog: {} streams pending{queue}, {} in the journal{aside}; remembered: {} missing, {} failed, {} suspect \
             pulls{odd}",
            HumanCount(self.backlog.pending),
            HumanBytes(self.backlog.journal_bytes),
            HumanCount(self.backlog.missing),
            HumanCount(self.backlog.failed),
            HumanCount(self.suspect_pulls()),
        )
    }

    /// Of all sources together: the rates, and what is still to be done.
    fn key_values(&self) -> Vec<(&'static str, Value<'static>)> {
        let all = self.all();
        let backlog = &self.backlog;
        let mut pairs = vec![
            ("running_seconds", tenths(self.running.as_secs_f64()).into()),
            ("rates_over_seconds", tenths(self.took.as_secs_f64()).into()),
            ("events_per_second", tenths(all.events_per_second).into()),
            ("streams_per_second", tenths(all.streams_per_second).into()),
            ("bytes_in_per_second", (all.bytes_in_per_second as u64).into()),
            ("events_backlog", all.events_backlog.into()),
            ("streams_pending", backlog.pending.into()),
            ("journal_bytes", backlog.journal_bytes.into()),
            ("aside_bytes", backlog.aside_bytes.into()),
            ("remembered_missing", backlog.missing.into()),
            ("remembered_failed", backlog.failed.into()),
            ("remembered_suspect_pulls", self.suspect_pulls().into()),
        ];
        if let Some(QueueDepth { waiting, out }) = backlog.queue {
            pairs.extend([
                ("streams_in_memory", waiting.into()),
                ("streams_being_stored", out.into()),
            ]);
        }
        pairs
    }

    /// One record a source, its figures as key-values, one of all together, and one a feed that has suspect pulls.
    pub(super) fn log_each(&self, title: &str) {
        for row in self.rows() {
            log_pairs(title, &row.key_values());
        }
        log_pairs(&format!("{title}, all sources"), &self.key_values());
        for feed in &self.suspects {
            let [name, since, until] = [
                feed.feed.to_string(),
                feed.since.to_string(),
                feed.until.to_string(),
            ];
            log_pairs(
                &format!("{title}, suspect pulls"),
                &[
                    ("feed", name.as_str().into()),
                    ("suspect_pulls_of_all_starts", feed.pulls.into()),
                    ("newest_since", since.as_str().into()),
                    ("newest_until", until.as_str().into()),
                ],
            );
        }
    }
}

fn log_pairs(title: &str, pairs: &[(&str, Value<'_>)]) {
    log::logger().log(
        &log::Record::builder()
            .level(log::Level::Info)
            .target(module_path!())
            .args(format_args!("{title}"))
            .key_values(&pairs)
            .build(),
    );
}

fn count(count: u64) -> String {
    HumanCount(count).to_string()
}

/// A tenth matters only while there are few.
fn rate(rate: f64) -> String {
    if rate < 99.95 {
        format!("{rate:.1}")
    } else {
        count(rate.round() as u64)
    }
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests;
