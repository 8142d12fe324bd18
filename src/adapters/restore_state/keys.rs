//! How rows are called, in the manner of the backup's.
//!
//! | key | row |
//! | --- | --- |
//! | `meta/…` | as for the backup |
//! | `restore/{hash}` | a restore that is not finished, and the number of its run |
//! | `lane/{run}/{lane}` | how far a lane has come |
//! | `bundle/{run}/{feed}/{position}` | done bundles from this position on |
//! | `letter/{store}/{key}\0{event}{route}` | a dead letter; the route is a hash, and nothing in those of earlier versions |

use actors::feed::Feed;
use actors::ports::archive::Store;
use actors::ports::restore_state::{DeadLetter, RestoreId, Route};
use sha2::{Digest, Sha256};

use super::bundles::Position;
use crate::adapters::state::keys::prefix_range;
pub(super) use crate::adapters::state::keys::{Kind, numbered};

pub(super) const RESTORES: Kind = Kind("restore");
pub(super) const LANES: Kind = Kind("lane");
pub(super) const BUNDLES: Kind = Kind("bundle");
pub(super) const LETTERS: Kind = Kind("letter");

/// The first and the last key of a range, the latter not included.
pub(super) type Range = (Vec<u8>, Vec<u8>);

pub(super) fn restore(id: &RestoreId) -> Vec<u8> {
    RESTORES.key(&hex::encode(hash([&*id.bucket, &*id.target, &*id.selection])))
}

fn hash<'a>(parts: impl IntoIterator<Item = &'a str>) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut short = [0; 16];
    short.copy_from_slice(&hash.finalize()[..16]);
    short
}

/// All rows of a kind that belong to one run.
pub(super) fn of_run(kind: Kind, run: u64) -> Range {
    prefix_range(kind.key(&format!("{run:016x}/")))
}

/// The run that a lane or a row of bundles belongs to; `None` for a key that is neither.
pub(super) fn run_of(kind: Kind, key: &[u8]) -> Option<u64> {
    let run = key.strip_prefix(&*kind.key(""))?.get(..16)?;
    u64::from_str_radix(std::str::from_utf8(run).ok()?, 16).ok()
}

pub(super) fn lane(run: u64, lane: &str) -> Vec<u8> {
    LANES.key(&format!("{run:016x}/{lane}"))
}

/// Lanes whose names begin with `prefix`.
pub(super) fn lanes(run: u64, prefix: &str) -> Range {
    prefix_range(lane(run, prefix))
}

/// The name of a lane, out of its key.
pub(super) fn lane_of(key: &[u8]) -> Option<String> {
    let name = key.strip_prefix(&*LANES.key(""))?.get(17..)?;
    String::from_utf8(name.to_vec()).ok()
}

pub(super) fn bundles(run: u64, feed: &Feed, from: &Position) -> Vec<u8> {
    let mut key = BUNDLES.key(&format!("{run:016x}/{feed}/"));
    key.extend_from_slice(&from.0);
    key
}

/// The rows of a feed, up to and with the one at `position`.
pub(super) fn bundles_up_to(run: u64, feed: &Feed, position: &Position) -> Range {
    let mut end = bundles(run, feed, position);
    end.push(0);
    (bundles(run, feed, &Position::FIRST), end)
}

/// The feed of a row of bundles and where it begins, out of its key.
pub(super) fn bundles_of(key: &[u8]) -> Option<(Feed, Position)> {
    let rest = key.strip_prefix(&*BUNDLES.key(""))?.get(17..)?;
    let (feed, position) = rest.split_at_checked(rest.len().checked_sub(Position::LENGTH)?)?;
    let feed = std::str::from_utf8(feed.strip_suffix(b"/")?).ok()?;
    Some((feed.parse().ok()?, Position(position.try_into().ok()?)))
}

fn letters_of_key(store: Store, key: &str) -> Vec<u8> {
    let store = match store {
        Store::Streams => 0,
        Store::Events => 1,
    };
    LETTERS.key(&format!("{store}/{key}\0"))
}

/// Sorts by store, key, event and route. What follows the key always has the same length, so no two letters of a route
/// share a key whatever the text.
pub(super) fn letter(letter: &DeadLetter) -> Vec<u8> {
    let mut key = letters_of_key(letter.store, &letter.key);
    key.push(letter.event.is_some().into());
    let mut key = numbered(key, letter.event.unwrap_or(0));
    if let Some(Route { bucket, target }) = &letter.route {
        key.extend_from_slice(&hash([&**bucket, &**target]));
    }
    key
}

/// Where all letters of an object lie, and perhaps some of others whose keys begin like its.
pub(super) fn letters_of(store: Store, key: &str) -> Range {
    prefix_range(letters_of_key(store, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actors::timestamp::Timestamp;

    #[test]
    fn keys_can_be_taken_apart() {
        let feed: Feed = "samples/binary/mapped".parse().unwrap();
        let position = Position::of(Timestamp::from_micros(-5), "key", 7);
        let key = bundles(u64::MAX, &feed, &position);
        assert_eq!(bundles_of(&key), Some((feed, position)));
        assert_eq!(run_of(BUNDLES, &key), Some(u64::MAX));
        let key = lane(12, "samples/content/ü");
        assert_eq!(run_of(LANES, &key), Some(12));
        assert_eq!(lane_of(&key).as_deref(), Some("samples/content/ü"));
        assert_eq!(run_of(LANES, b"lane/short"), None);
        assert_eq!(bundles_of(b"bundle/0000000000000001/a/"), None);
    }

    #[test]
    fn a_run_or_a_feed_that_begins_like_another_is_another() {
        let (first, beyond) = of_run(LANES, 1);
        for other in [lane(0x10, "a"), lane(0x11, "a"), lane(2, "a"), lane(0, "z")] {
            assert!(other < first || other >= beyond);
        }
        let [a, longer] = ["a/binary/mapped", "a!/binary/mapped"].map(|feed| feed.parse::<Feed>().unwrap());
        let (first, beyond) = bundles_up_to(1, &a, &Position([0xff; Position::LENGTH]));
        let other = bundles(1, &longer, &Position::FIRST);
        assert!(other < first || other >= beyond);
    }
}
