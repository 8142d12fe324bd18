//! How streams that are set aside or missing are shown: as a table for people, as JSON lines for scripts.

use std::io::{self, Write};

use actors::ports::state::{FailedStream, MissingStream};
use actors::timestamp::Timestamp;
use serde::Serialize;

use crate::local_socket::protocol::PutBackCounts;

/// One stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    state: &'static str,
    stream: String,
    source: String,
    label: String,
    sha256: String,
    /// When it was set aside, or first found missing.
    since: String,
    last_tried: String,
    tried: u32,
    reason: String,
}

fn seconds(time: Timestamp) -> String {
    Timestamp::from_micros(time.as_micros() - time.as_micros().rem_euclid(1_000_000)).to_string()
}

impl Row {
    pub(super) fn of_failed(row: &FailedStream) -> Self {
        Self {
            state: "failed",
            stream: row.stream.to_string(),
            source: row.stream.source().to_string(),
            label: row.stream.label().to_owned(),
            sha256: row.stream.sha256().to_string(),
            since: seconds(row.since),
            // It is set aside at once when its last try has failed.
            last_tried: seconds(row.since),
            tried: row.failures,
            reason: row.fault.clone(),
        }
    }

    pub(super) fn of_missing(row: &MissingStream) -> Self {
        Self {
            state: "missing",
            stream: row.stream.to_string(),
            source: row.stream.source().to_string(),
            label: row.stream.label().to_owned(),
            sha256: row.stream.sha256().to_string(),
            since: seconds(row.since),
            last_tried: seconds(row.asked),
            tried: row.times,
            reason: "the dispatcher does not have it (404)".to_owned(),
        }
    }
}

/// The list as far as it has been printed.
#[derive(Debug)]
pub(super) struct Listing {
    json: bool,
    failed: u64,
    missing: u64,
    /// Of the column of streams; it may grow from page to page.
    width: usize,
}

impl Listing {
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            failed: 0,
            missing: 0,
            width: 0,
        }
    }

    /// Prints a page.
    pub(super) fn page(&mut self, rows: &[Row], out: &mut impl Write) -> io::Result<()> {
        let is_first = self.failed + self.missing == 0;
        let missing = rows.iter().filter(|row| row.state == "missing").count() as u64;
        self.missing += missing;
        self.failed += rows.len() as u64 - missing;
        if self.json {
            return rows.iter().try_for_each(|row| {
                serde_json::to_writer(&mut *out, row)?;
                writeln!(out)
            });
        }
        let widest = rows.iter().map(|row| row.stream.chars().count()).max();
        self.width = self.width.max(widest.unwrap_or(0));
        if is_first && !rows.is_empty() {
            self.line(
                ["state", "since", "last tried", "tried", "stream", "last reason"],
                out,
            )?;
        }
        rows.iter().try_for_each(|row| {
            let tried = row.tried.to_string();
            // A reason may quote an answer from outside: it must not move the cursor of a terminal.
            let reason: String = row.reason.escape_debug().collect();
            let reason = reason.replace("\\\"", "\"").replace("\\'", "'");
            self.line(
                [
                    row.state,
                    &row.since,
                    &row.last_tried,
                    &tried,
                    &row.stream,
                    &reason,
                ],
                out,
            )
        })
    }

    fn line(&self, cells: [&str; 6], out: &mut impl Write) -> io::Result<()> {
        let [state, since, last_tried, tried, stream, reason] = cells;
        let width = self.width;
        writeln!(
            out,
            "{state:<7}  {since:<20}  {last_tried:<20}  {tried:>5}  {stream:<width$}  {reason}"
        )
    }

    /// Prints what it all amounts to.
    pub(super) fn end(&self, out: &mut impl Write) -> io::Result<()> {
        match self.json {
            true => Ok(()),
            false => writeln!(out, "{}", self.summary()),
        }
    }

    fn summary(&self) -> String {
        let (failed, missing) = (self.failed, self.missing);
        if failed + missing == 0 {
            return "No stream is set aside, and none is missing.".to_owned();
        }
        let mut text = format!(
            "\n{failed} failed, {missing} missing: events name these streams, and they are not in the bucket."
        );
        if failed > 0 {
            text += "\nWhat failed is not tried again by itself. Once its cause is gone, put it back: \
                     azul-backup failed-streams --retry";
        }
        if missing > 0 {
            text += "\nWhat is missing is asked for once more a day after it was first missed, whenever a further \
                     event names it, and when it is put back: azul-backup failed-streams --retry";
        }
        text
    }
}

/// What has been put back.
pub(super) fn put_back_text(counts: &PutBackCounts, is_running: bool) -> String {
    let (failed, missing) = (counts.failed, counts.missing);
    let mut text = match (failed + missing, is_running) {
        (0, _) => "Nothing was put back".to_owned(),
        (all, true) => format!("{all} streams were put back and are tried now"),
        (all, false) => format!("{all} streams were put back and are tried when the backup runs again"),
    };
    if failed + missing > 0 {
        text += &format!(": {failed} that had failed, {missing} that were missing");
    } else if counts.neither == 0 {
        text += ": no stream is set aside, and none is missing";
    }
    if counts.neither > 0 {
        text += &format!(
            "; {} of those named are neither failed nor missing",
            counts.neither
        );
    }
    text + "."
}
