//! The port, over a table: changes go to the writer, reads to the table.

use std::path::Path;

use actors::feed::Feed;
use actors::ports::archive::Store as Bucket;
use actors::ports::restore_state::{
    DeadLetter, EventFigures, LaneMark, LaneName, LetterPlace, RestoreChange, RestoreId, RestoreState,
    Unfinished,
};
use actors::ports::state::StateFault;
use actors::timestamp::Timestamp;
use async_trait::async_trait;
use bytes::Bytes;

use super::bundles::{self, Position};
use super::checkpoints::{self, Memory, Request, none_begun};
use super::keys;
use super::letter_files::LetterFiles;
use super::rows::LetterRow;
use crate::adapters::state::recorder::Recorder;
use crate::adapters::state::rows;
use crate::adapters::state::table::{Store, Table};

/// Local state of a restore in a table. Clones are the same state, and may be used from any thread.
pub struct RestoreRecorder<T> {
    pub(super) rows: Recorder<T, Memory>,
    files: LetterFiles,
}

impl<T> Clone for RestoreRecorder<T> {
    fn clone(&self) -> Self {
        Self {
            rows: self.rows.clone(),
            files: self.files.clone(),
        }
    }
}

impl<T: Table> RestoreRecorder<T> {
    /// Counts this start, mends the rows, clears away what no row needs, and starts the writer.
    pub(super) fn start(store: Box<dyn Store<Table = T>>, table: T, root: &Path) -> Result<Self, StateFault> {
        let files = LetterFiles::below(root);
        let of_memory = files.clone();
        let rows = Recorder::start_with(store, table, |start| Memory::at_start(start, of_memory))?;
        // Not before the rows are known to be whole.
        rows.read(|table| files.sweep(table))?;
        Ok(Self { rows, files })
    }

    /// Works off what has been asked for, makes it durable, and lets go of the files. Every later call fails. Waits
    /// without a limit: the deadline is the caller's.
    ///
    /// # Errors
    /// See [`StateFault`]; what had been acknowledged before is durable all the same.
    pub async fn close(&self) -> Result<(), StateFault> {
        self.rows.close().await
    }

    fn run(&self) -> Result<u64, StateFault> {
        self.rows.told(|told| told.run).ok_or_else(none_begun)
    }
}

#[async_trait(?Send)]
impl<T: Table> RestoreState for RestoreRecorder<T> {
    async fn begin(
        &self,
        id: &RestoreId,
        from_start: bool,
        now: Timestamp,
    ) -> Result<Unfinished, StateFault> {
        let id = id.clone();
        self.rows
            .ask(|answer| Request::Begin(id, from_start, now, answer))
            .await
    }

    fn unfinished(&self, id: &RestoreId) -> Result<Option<Unfinished>, StateFault> {
        let row = self
            .rows
            .read(|table| checkpoints::restore(table, &keys::restore(id), id))?;
        Ok(row.map(|row| row.unfinished))
    }

    async fn record(&self, change: RestoreChange) -> Result<(), StateFault> {
        // Told here already: a request that the writer refuses would cost the others of its group.
        match change {
            RestoreChange::LaneReached(..) | RestoreChange::BundleDone(_) => self.run().map(drop)?,
            RestoreChange::Finished if self.rows.told(|told| told.route.is_none()) => {
                return Err(none_begun());
            }
            _ => {}
        }
        self.rows
            .ask(|answer| Request::Record(Box::new(change), answer))
            .await
    }

    fn lane(&self, lane: &str) -> Result<Option<LaneMark>, StateFault> {
        let key = keys::lane(self.run()?, lane);
        self.rows.read(|table| rows::get(table, &key))
    }

    fn lanes(&self, prefix: &str) -> Result<Vec<(LaneName, LaneMark)>, StateFault> {
        let range = keys::lanes(self.run()?, prefix);
        self.rows.read(|table| {
            let lanes = table.range(range).map(|row| {
                let (key, value) = row?;
                let name = keys::lane_of(&key);
                let name = name.ok_or_else(|| {
                    let key = key.escape_ascii();
                    StateFault::Broken(format!("the row `{key}` is of no lane"))
                })?;
                Ok((name, rows::decode(&key, &value)?))
            });
            lanes.collect()
        })
    }

    fn done(
        &self,
        feed: &Feed,
        timestamp: Timestamp,
        key: &str,
        size: u64,
    ) -> Result<Option<EventFigures>, StateFault> {
        let (run, position) = (self.run()?, Position::of(timestamp, key, size));
        self.rows.read(|table| bundles::done(table, run, feed, &position))
    }

    fn feed_figures(&self, feed: &Feed) -> Result<EventFigures, StateFault> {
        self.run()?;
        let sum = self.rows.told(|told| told.sums.get(feed).copied());
        Ok(sum.unwrap_or_default())
    }

    fn letters_from(
        &self,
        after: Option<&LetterPlace>,
        limit: usize,
    ) -> Result<Vec<(LetterPlace, DeadLetter)>, StateFault> {
        let (mut first, end) = keys::LETTERS.range();
        if let Some(LetterPlace(after)) = after {
            // Whatever place is asked for, what is read are letters.
            first = first.max(after.clone()).min(end.clone());
            first.push(0);
        }
        self.rows.read(|table| {
            let letters = table.range((first, end)).take(limit).map(|row| {
                let (key, value) = row?;
                let letter: LetterRow = rows::decode(&key, &value)?;
                Ok((LetterPlace(key), letter))
            });
            letters.collect()
        })
    }

    fn letters_of(&self, store: Bucket, key: &str) -> Result<Vec<DeadLetter>, StateFault> {
        let Some(route) = self.rows.told(|told| told.route.clone()) else {
            return Ok(Vec::new());
        };
        let range = keys::letters_of(store, key);
        self.rows.read(|table| {
            let letters = rows::range::<LetterRow>(table, range);
            let is_of_it = |letter: &LetterRow| letter.key == key && letter.route.as_ref() == Some(&*route);
            let of_it = letters.filter(|letter| letter.as_ref().map_or(true, is_of_it));
            of_it.collect()
        })
    }

    async fn letter_event(&self, letter: &DeadLetter) -> Result<Option<Bytes>, StateFault> {
        let key = keys::letter(letter);
        let row: Option<LetterRow> = self.rows.read(|table| rows::get(table, &key))?;
        if row.is_none_or(|row| row.event_bytes == 0) {
            return Ok(None);
        }
        let files = self.files.clone();
        let read = tokio::task::spawn_blocking(move || files.read(&key)).await;
        let event =
            read.map_err(|error| StateFault::Broken(format!("the event of a dead letter: {error}")))?;
        event.map(Some)
    }

    fn letter_count(&self) -> u64 {
        self.rows.told(|told| told.letters)
    }
}
