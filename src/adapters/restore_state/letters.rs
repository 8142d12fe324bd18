//! What is written of dead letters: the file of the event, then the row; the row goes, then the file.

use actors::ports::restore_state::DeadLetter;
use actors::ports::state::StateFault;
use bytes::Bytes;

use super::checkpoints::Writing;
use super::keys;
use super::rows::LetterRow;
use crate::adapters::state::rows;
use crate::adapters::state::streams::shortened;
use crate::adapters::state::table::Table;

impl<T: Table> Writing<'_, T> {
    pub(super) fn give_up(&mut self, mut letter: DeadLetter, event: Option<Bytes>) -> Result<(), StateFault> {
        let route = self.memory.route();
        letter.route = letter.route.or_else(|| route.map(|route| (**route).clone()));
        let key = keys::letter(&letter);
        let known: Option<LetterRow> = rows::get(self.table, &key)?;
        let event = event.filter(|event| !event.is_empty());
        if let Some(event) = &event {
            self.memory.files.keep(&key, event)?;
        }
        letter.event_bytes = match (&event, &known) {
            (Some(event), _) => event.len() as u64,
            (None, Some(known)) => known.event_bytes,
            (None, None) => 0,
        };
        let attempts = known.as_ref().map_or(0, |known| known.attempts);
        letter.attempts = letter.attempts.saturating_add(attempts);
        letter.reason = shortened(letter.reason);
        letter.kafka_key = letter.kafka_key.map(shortened);
        self.put(&key, &letter)?;
        self.memory.counts.letters += u64::from(known.is_none());
        Ok(())
    }

    pub(super) fn settle(&mut self, letter: &DeadLetter) -> Result<(), StateFault> {
        let key = keys::letter(letter);
        let known: Option<LetterRow> = rows::get(self.table, &key)?;
        let Some(known) = known else { return Ok(()) };
        self.remove(&key)?;
        self.memory.counts.letters -= 1;
        if known.event_bytes > 0 {
            self.memory.forgotten.push(key);
        }
        Ok(())
    }
}
