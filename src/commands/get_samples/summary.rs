//! What was scraped, feed by feed: as a table for people, as JSON for scripts.

use std::fmt;

use actors::feed::Feed;
use comfy_table::{Table, presets};
use serde::Serialize;

use super::sample::Sample;

/// What has been written of one feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Written {
    /// One for each answer with events.
    pub files: Vec<Sample>,
}

/// One feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// As `source/model/action`.
    pub feed: String,
    /// What there is of it.
    #[serde(flatten)]
    pub written: Written,
    /// Why there is not more, if something went wrong.
    pub fault: Option<String>,
}

impl Row {
    /// What became of `feed`.
    pub fn new(feed: &Feed, written: Written, fault: Option<String>) -> Self {
        Self {
            feed: feed.to_string(),
            written,
            fault,
        }
    }

    fn cells(&self) -> [String; 6] {
        let files = &self.written.files;
        let sum = |of: fn(&Sample) -> u64| files.iter().map(of).sum::<u64>();
        let mut versions: Vec<_> = files.iter().map(|sample| sample.version.to_string()).collect();
        versions.dedup();
        let outcome = match (&self.fault, sum(|sample| sample.undecodable)) {
            (Some(fault), _) => fault.clone(),
            (None, 0) if files.is_empty() => "no events".to_owned(),
            (None, 0) => "ok".to_owned(),
            (None, undecodable) => format!("{undecodable} undecodable"),
        };
        [
            self.feed.clone(),
            sum(|sample| sample.events).to_string(),
            files.len().to_string(),
            sum(|sample| sample.bytes).to_string(),
            versions.join(", "),
            outcome,
        ]
    }
}

/// All feeds, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary(pub Vec<Row>);

impl Summary {
    /// Whether no feed failed.
    pub fn is_complete(&self) -> bool {
        self.0.iter().all(|row| row.fault.is_none())
    }

    /// As a JSON array.
    pub fn json(&self) -> String {
        serde_json::to_value(self)
            .map(|value| format!("{value:#}"))
            .expect("texts, numbers and lists are JSON")
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_header(["feed", "events", "files", "bytes", "version", "outcome"])
            .add_rows(self.0.iter().map(Row::cells));
        f.write_str(&table.trim_fmt())
    }
}
