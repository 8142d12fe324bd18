//! The final report: what became of the streams of each source, and of the events of each feed.

use actors::ports::restore_state::{EventFigures, StreamFigures};
use actors::restore::progress::{FeedProgress, Progress, accounted};
use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use indicatif::{HumanBytes, HumanCount};

use super::verdict::Verdict;

/// Without lines between columns it fits a wide terminal.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─'));

/// Tables, what has to be said about them, and the verdict.
pub(super) fn text(progress: &Progress, verdict: &Verdict) -> String {
    let mut parts = Vec::new();
    if !progress.streams.is_empty() {
        parts.push(streams(progress));
    }
    if !progress.feeds.is_empty() {
        parts.push(events(progress));
    }
    parts.extend(progress.unsound().into_iter().map(wrong_sum));
    parts.extend(
        progress
            .left_behind
            .notes()
            .into_iter()
            .map(|left| format!("Note: {left}.")),
    );
    parts.extend(progress.notes.iter().map(|note| format!("Note: {note}.")));
    parts.push(verdict.to_string());
    parts.join("\n")
}

/// The same for machines.
pub(super) fn json(progress: &Progress, verdict: &Verdict) -> serde_json::Value {
    let (streams, events) = (progress.all_streams(), progress.all_events());
    serde_json::json!({
        "verdict": verdict.word(),
        "exit": verdict.exit().code(),
        "text": verdict.to_string(),
        "streams": progress.streams,
        "feeds": progress.feeds,
        "all_streams": streams,
        "all_events": events,
        "sums_hold": progress.unsound().is_empty(),
        "left_out": progress.left_behind.sources,
        "left_folders": progress.left_behind.folders,
        "stray_keys": progress.left_behind.strays,
        "not_looked_at": progress.left_behind.unknown,
        "notes": progress.notes,
    })
}

fn streams(progress: &Progress) -> String {
    let row = |name: &str, figures: &StreamFigures| {
        [
            name.to_owned(),
            count(figures.objects()),
            count(figures.restored),
            count(figures.there),
            count(figures.gone),
            count(figures.dead),
            HumanBytes(figures.bytes).to_string(),
        ]
    };
    let mut rows: Vec<_> = progress
        .streams
        .iter()
        .map(|source| row(source.source.as_str(), &source.figures))
        .collect();
    rows.push(row("all", &progress.all_streams()));
    table(
        [
            "streams of",
            "objects",
            "restored",
            "there",
            "gone",
            "dead letters",
            "stored size",
        ],
        rows,
    )
}

fn events(progress: &Progress) -> String {
    let row = |name: &str, figures: &EventFigures| {
        let sum = match accounted(figures) == figures.events {
            true => "",
            false => "WRONG SUM",
        };
        [
            name.to_owned(),
            count(figures.bundles),
            count(figures.unreadable),
            count(figures.gone),
            count(figures.events),
            count(figures.accepted),
            count(figures.refused),
            count(figures.filtered),
            count(figures.dead),
            HumanBytes(figures.bytes).to_string(),
            sum.to_owned(),
        ]
    };
    let mut rows: Vec<_> = progress
        .feeds
        .iter()
        .map(|feed| row(&feed.feed.to_string(), &feed.figures))
        .collect();
    rows.push(row("all", &progress.all_events()));
    let heading = [
        "events of",
        "bundles",
        "unreadable",
        "gone",
        "in bundles",
        "= accepted",
        "+ refused",
        "+ filtered",
        "+ dead letters",
        "stored size",
        "",
    ];
    let mut text = table(heading, rows);
    let not_wanted: u64 = progress.feeds.iter().map(|feed| feed.not_wanted).sum();
    if not_wanted > 0 {
        text += &format!(
            "\n{} more events of these bundles lie outside of --since and --until, and were left.",
            count(not_wanted)
        );
    }
    text
}

fn wrong_sum(feed: &FeedProgress) -> String {
    format!(
        "WRONG SUM in {}: {} events in its bundles, {} accounted for.",
        feed.feed,
        count(feed.figures.events),
        count(accounted(&feed.figures))
    )
}

/// A table whose columns but the first hold numbers.
pub(in crate::restore) fn table<const N: usize>(heading: [&str; N], rows: Vec<[String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(STYLE);
    table.set_header(heading);
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

pub(in crate::restore) fn count(count: u64) -> String {
    HumanCount(count).to_string()
}

#[cfg(test)]
pub(super) mod tests;
