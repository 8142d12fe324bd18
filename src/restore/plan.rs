//! What `restore --plan` tells: text for people, or one JSON object. The plan itself is made by
//! [`actors::restore::plan`].

use std::io::{self, Write};

use actors::restore::plan::{FeedPlan, Plan, SourcePlan, Tally, Weight};
use actors::timestamp::Timestamp;
use indicatif::HumanBytes;

use super::report::{count, table};
use super::resume::Resume;
use crate::exit::Exit;

/// Everything that is told.
pub struct Told<'a> {
    /// What would be restored.
    pub plan: &'a Plan,
    /// Where it would go on.
    pub resume: &'a Resume,
    /// What is selected, in one form.
    pub selection: String,
    /// What of the selection may surprise.
    pub notes: &'a [String],
    /// Whether a bucket that holds nothing of what was asked for is no failure.
    pub allow_empty: bool,
}

impl Told<'_> {
    /// How the program ends: as the restore would, as far as listings tell.
    pub fn exit(&self) -> Exit {
        match self.plan.is_doubtful(self.allow_empty) || self.resume.is_doubtful() {
            true => Exit::Failed,
            false if self.plan.has_dead_letters() => Exit::Incomplete,
            false => Exit::Done,
        }
    }

    /// Prints it.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn print(&self, json: bool, out: &mut impl Write) -> io::Result<()> {
        match json {
            true => writeln!(out, "{}", self.json()),
            false => writeln!(out, "{}", self.text()),
        }
    }

    fn json(&self) -> serde_json::Value {
        let (streams, events) = (self.plan.all_streams(), self.plan.all_events());
        serde_json::json!({
            "selection": self.selection,
            "notes": self.notes,
            "streams": self.plan.streams,
            "all_streams": {"objects": streams.objects, "bytes": streams.bytes},
            "feeds": self.plan.feeds,
            "all_events": {"bundles": events.objects, "events": events.events, "bytes": events.bytes},
            "resume": self.resume.json(),
            "left_out": self.plan.left_behind.sources,
            "left_folders": self.plan.left_behind.folders,
            "stray_keys": self.plan.left_behind.strays,
            "unreadable": self.plan.unreadable,
            "odd": self.plan.odd,
            "exit": self.exit().code(),
        })
    }

    fn text(&self) -> String {
        let plan = self.plan;
        let mut parts = vec![format!("Selection: {}", self.selection)];
        parts.extend(self.notes.iter().map(|note| format!("Note: {note}.")));
        if !plan.streams.is_empty() {
            parts.push(String::new());
            parts.push(self.streams());
        }
        if !plan.feeds.is_empty() {
            parts.push(String::new());
            parts.push(self.events());
        }
        parts.push(String::new());
        parts.push(self.resume.text());
        let left_out = plan.left_behind.sources.iter();
        parts.extend(left_out.map(|left_out| format!("Note: {left_out}.")));
        for odd in &plan.odd {
            let weight = match odd.weight {
                Weight::Told => "Note",
                Weight::Empty if self.allow_empty => "Note",
                Weight::Dead | Weight::Empty | Weight::Against => "WRONG",
            };
            parts.push(format!("{weight}: {}.", odd.what));
        }
        parts.push(self.sentence());
        parts.join("\n")
    }

    fn streams(&self) -> String {
        let row = |source: &str, label: &str, tally: &Tally, done: String| {
            let (objects, bytes) = (count(tally.objects), HumanBytes(tally.bytes).to_string());
            [
                source.to_owned(),
                label.escape_debug().to_string(),
                objects,
                bytes,
                done,
            ]
        };
        let mut rows = Vec::new();
        for of_source in &self.plan.streams {
            let SourcePlan { source, labels, .. } = of_source;
            let labels = labels
                .iter()
                .map(|label| row(source.as_str(), &label.label, &label.tally, String::new()));
            rows.extend(labels);
            let done = self.resume.streams_done(source).map(count).unwrap_or_default();
            rows.push(row(source.as_str(), "(all)", &of_source.all(), done));
        }
        rows.push(row("all", "", &self.plan.all_streams(), String::new()));
        table(
            ["streams of", "label", "objects", "stored size", "done already"],
            rows,
        )
    }

    fn events(&self) -> String {
        let row = |name: &str, tally: &Tally, done: String| {
            [
                name.to_owned(),
                count(tally.objects),
                count(tally.events),
                HumanBytes(tally.bytes).to_string(),
                time(tally.first),
                time(tally.last),
                done,
            ]
        };
        let feeds = self.plan.feeds.iter().map(|FeedPlan { feed, tally }| {
            let done = self.resume.bundles_done(feed).map(count).unwrap_or_default();
            row(&feed.to_string(), tally, done)
        });
        let rows = feeds.chain([row("all", &self.plan.all_events(), String::new())]);
        let heading = [
            "events of",
            "bundles",
            "events",
            "stored size",
            "first bundle",
            "last bundle",
            "done already",
        ];
        table(heading, rows.collect())
    }

    fn sentence(&self) -> String {
        let (streams, events) = (self.plan.all_streams(), self.plan.all_events());
        let amount = format!(
            "{} streams ({}) and {} events in {} bundles ({})",
            count(streams.objects),
            HumanBytes(streams.bytes),
            count(events.events),
            count(events.objects),
            HumanBytes(events.bytes)
        );
        match self.exit() {
            Exit::Done => format!("This would restore {amount}. Nothing was written."),
            Exit::Incomplete => format!(
                "This would restore {amount}, and not be complete: some would become dead letters (see above). Nothing \
                 was written."
            ),
            _ => format!(
                "Something stands against this restore (see above); found were {amount}. Nothing was written."
            ),
        }
    }
}

fn time(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "—".to_owned(), |time| time.to_string())
}

#[cfg(test)]
mod tests;
