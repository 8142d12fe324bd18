//! Rows of their own shape. Lanes are as the port knows them.

use actors::ports::restore_state::{DeadLetter, EventFigures, RestoreId, Unfinished};
use actors::ports::state::StateFault;
use serde::{Deserialize, Serialize};

use super::bundles::Position;

/// A restore that is not finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RestoreRow {
    /// Whose it is; the key is but a hash of it.
    pub(super) id: RestoreId,
    /// What its checkpoints hang on. No two restores ever have the same number.
    pub(super) run: u64,
    #[serde(flatten)]
    pub(super) unfinished: Unfinished,
}

/// A dead letter; its event, if it has one, is in the file that its key tells.
pub(super) type LetterRow = DeadLetter;

/// One done bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DoneEntry {
    pub(super) position: Position,
    pub(super) figures: EventFigures,
}

impl DoneEntry {
    /// Of the position, and of nine numbers.
    const LENGTH: usize = Position::LENGTH + 9 * 8;

    fn encode(&self, row: &mut Vec<u8>) {
        let EventFigures {
            bundles,
            unreadable,
            gone,
            events,
            accepted,
            refused,
            filtered,
            dead,
            bytes,
        } = self.figures;
        row.extend_from_slice(&self.position.0);
        for number in [
            bundles, unreadable, gone, events, accepted, refused, filtered, dead, bytes,
        ] {
            row.extend_from_slice(&number.to_be_bytes());
        }
    }

    /// `None` if it has another length.
    fn decode(entry: &[u8]) -> Option<Self> {
        let (position, mut numbers) = entry.split_first_chunk()?;
        let mut number = || {
            let (number, rest) = numbers.split_first_chunk()?;
            numbers = rest;
            Some(u64::from_be_bytes(*number))
        };
        let figures = EventFigures {
            bundles: number()?,
            unreadable: number()?,
            gone: number()?,
            events: number()?,
            accepted: number()?,
            refused: number()?,
            filtered: number()?,
            dead: number()?,
            bytes: number()?,
        };
        Some(Self {
            position: Position(*position),
            figures,
        })
    }
}

/// Done bundles of a feed, in the order of their positions. Not JSON, as other rows are: it is read and written with
/// every bundle.
pub(super) type BundlesRow = Vec<DoneEntry>;

pub(super) fn encode_bundles(row: &[DoneEntry]) -> Vec<u8> {
    let mut value = Vec::with_capacity(row.len() * DoneEntry::LENGTH);
    row.iter().for_each(|entry| entry.encode(&mut value));
    value
}

pub(super) fn decode_bundles(key: &[u8], value: &[u8]) -> Result<BundlesRow, StateFault> {
    let entries = value.chunks(DoneEntry::LENGTH).map(DoneEntry::decode);
    let row: Option<BundlesRow> = entries.collect();
    row.filter(|row| row.is_sorted_by(|a, b| a.position < b.position))
        .ok_or_else(|| {
            let key = key.escape_ascii();
            StateFault::Broken(format!("the row `{key}` cannot be read"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::restore_state::keys;
    use crate::adapters::state::rows;
    use actors::ports::archive::Store;
    use actors::ports::restore_state::Route;
    use actors::timestamp::Timestamp;

    #[test]
    fn a_letter_of_an_earlier_version_is_read_and_lies_where_it_lay() {
        let letter = DeadLetter {
            store: Store::Events,
            key: "a/binary/mapped/b".to_owned(),
            event: Some(3),
            route: None,
            kafka_key: None,
            reason: "refused".to_owned(),
            attempts: 1,
            since: Timestamp::from_micros(5),
            event_bytes: 0,
        };
        let mut row = serde_json::to_value(&letter).unwrap();
        row.as_object_mut().unwrap().remove("route").unwrap();
        let read: LetterRow = rows::decode(b"letter", row.to_string().as_bytes()).unwrap();
        assert_eq!(read, letter);
        let old = b"letter/1/a/binary/mapped/b\0\x01\0\0\0\0\0\0\0\x03";
        assert_eq!(keys::letter(&read), old);
        let route = Some(Route {
            bucket: "b".to_owned(),
            target: "t".to_owned(),
        });
        let new = keys::letter(&DeadLetter { route, ..letter });
        assert!(new.starts_with(old) && new.len() == old.len() + 16);
    }
}
