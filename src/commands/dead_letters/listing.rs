//! How dead letters are shown: as a table for people, as JSON lines for scripts.

use std::io::{self, Write};

use actors::ports::archive::Store;
use actors::ports::restore_state::DeadLetter;
use actors::timestamp::Timestamp;
use serde::Serialize;

use super::export::Exported;

/// One letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    store: Store,
    /// Of the object.
    key: String,
    /// Which of its events, counted from 0; nothing for the whole object.
    event: Option<u64>,
    kafka_key: Option<String>,
    /// From where it was to be put back; nothing where that is not known.
    bucket: Option<String>,
    /// To where.
    target: Option<String>,
    /// When it was given up last.
    since: String,
    /// How often it was tried.
    attempts: u32,
    reason: String,
    /// The length of the bulk of one event that is kept with it.
    event_bytes: u64,
}

impl Row {
    pub(super) fn of(letter: &DeadLetter) -> Self {
        let since = letter.since.as_micros();
        Self {
            store: letter.store,
            key: letter.key.clone(),
            event: letter.event,
            kafka_key: letter.kafka_key.clone(),
            bucket: letter.route.as_ref().map(|route| route.bucket.clone()),
            target: letter.route.as_ref().map(|route| route.target.clone()),
            since: Timestamp::from_micros(since - since.rem_euclid(1_000_000)).to_string(),
            attempts: letter.attempts,
            reason: letter.reason.clone(),
            event_bytes: letter.event_bytes,
        }
    }
}

/// Text from outside, so that it cannot move the cursor of a terminal.
fn harmless(text: &str) -> String {
    let text: String = text.escape_debug().collect();
    text.replace("\\\"", "\"").replace("\\'", "'")
}

/// The list as far as it has been printed.
#[derive(Debug)]
pub(super) struct Listing {
    json: bool,
    objects: u64,
    events: u64,
    /// Of the column of keys; it may grow from page to page.
    width: usize,
}

impl Listing {
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            objects: 0,
            events: 0,
            width: 0,
        }
    }

    /// Prints a page.
    pub(super) fn page(&mut self, rows: &[Row], out: &mut impl Write) -> io::Result<()> {
        let is_first = self.objects + self.events == 0;
        let events = rows.iter().filter(|row| row.event.is_some()).count() as u64;
        self.events += events;
        self.objects += rows.len() as u64 - events;
        if self.json {
            return rows.iter().try_for_each(|row| {
                serde_json::to_writer(&mut *out, row)?;
                writeln!(out)
            });
        }
        let widest = rows.iter().map(|row| harmless(&row.key).chars().count()).max();
        self.width = self.width.max(widest.unwrap_or(0));
        if is_first && !rows.is_empty() {
            self.line(["since", "tried", "object", "event", "kafka key", "reason"], out)?;
        }
        rows.iter().try_for_each(|row| {
            let (tried, event) = (row.attempts.to_string(), row.event.map(|event| event.to_string()));
            let kafka_key = row.kafka_key.as_deref().map(harmless);
            self.line(
                [
                    &row.since,
                    &tried,
                    &harmless(&row.key),
                    event.as_deref().unwrap_or("-"),
                    kafka_key.as_deref().unwrap_or("-"),
                    &harmless(&row.reason),
                ],
                out,
            )
        })
    }

    fn line(&self, cells: [&str; 6], out: &mut impl Write) -> io::Result<()> {
        let [since, tried, object, event, kafka_key, reason] = cells;
        let width = self.width;
        writeln!(
            out,
            "{since:<20}  {tried:>5}  {object:<width$}  {event:>5}  {kafka_key:<20}  {reason}"
        )
    }

    /// Prints what it all amounts to.
    pub(super) fn end(&self, exported: Option<&Exported>, out: &mut impl Write) -> io::Result<()> {
        match self.json {
            true => Ok(()),
            false => writeln!(out, "{}", self.summary(exported)),
        }
    }

    fn summary(&self, exported: Option<&Exported>) -> String {
        let (objects, events) = (self.objects, self.events);
        let mut text = match objects + events {
            0 => "There is no dead letter: nothing was given up.".to_owned(),
            _ => format!(
                "\n{events} events and {objects} whole objects could not be put back. They are still in the backup; \
                 the events are kept with this list too."
            ),
        };
        match exported {
            Some(exported) => text += &exported.text(),
            None if events > 0 => {
                text += "\nTo have the events as files: azul-backup dead-letters --out DIR";
            }
            None => {}
        }
        text
    }
}
