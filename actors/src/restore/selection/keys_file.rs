//! The file of `--keys-from`: exactly which objects, one key a line.
//!
//! A key is one of a stream (`source/label/sha256`) or of a bundle (`source/model/action/name`), with or without the
//! mark of encryption: either form stands for both. Empty lines and those that begin with `#` say nothing. Nothing
//! is guessed: a file with a line that is no key is refused as a whole, with the numbers of such lines.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read as _};

use crate::feed::{Feed, SourceName};
use crate::object_key::BundleKey;
use crate::restore::listed_key;
use crate::stream_id::{Sha256, StreamId};

/// The longest line that is looked at; S3 takes keys of 1024 bytes.
const LONGEST_LINE: usize = 4096;

/// All keys are held in memory.
const MOST_KEYS: usize = 1_000_000;

/// So many lines of no use are told.
const MOST_TOLD: usize = 20;

/// Objects by name; never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    streams: BTreeSet<StreamId>,
    /// By the text of their keys, without the mark of encryption.
    bundles: BTreeMap<String, BundleKey>,
}

/// Why a file of keys is of no use.
#[derive(Debug, thiserror::Error)]
pub enum BadKeys {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// Lines that are no keys, with their numbers from 1; the first of them.
    #[error("{}{}", told(.first), more(*.count, .first.len()))]
    Lines {
        /// How many there are.
        count: u64,
        /// The first ones.
        first: Vec<(u64, String)>,
    },
    /// There is no key in it.
    #[error("there is no key in it: nothing would be restored")]
    Empty,
    /// There are more than fit into memory.
    #[error("it holds more than {MOST_KEYS} keys: restore whole sources or labels instead, or in parts")]
    TooMany,
}

fn told(lines: &[(u64, String)]) -> String {
    let lines: Vec<_> = lines
        .iter()
        .map(|(number, text)| format!("line {number}: {text}"))
        .collect();
    lines.join("; ")
}

fn more(count: u64, told: usize) -> String {
    match count.saturating_sub(told as u64) {
        0 => String::new(),
        more => format!("; and {more} more lines"),
    }
}

impl Keys {
    /// Reads a whole file.
    ///
    /// # Errors
    /// See [`BadKeys`].
    pub fn read(mut file: impl BufRead) -> Result<Self, BadKeys> {
        let mut keys = Self::default();
        let (mut count, mut first) = (0, Vec::new());
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            if (&mut file)
                .take(LONGEST_LINE as u64 + 1)
                .read_until(b'\n', &mut line)?
                == 0
            {
                break;
            }
            let reason = if line.len() > LONGEST_LINE {
                file.skip_until(b'\n')?;
                "it is too long for a key".to_owned()
            } else if let Err(reason) = keys.take(&line) {
                reason
            } else {
                continue;
            };
            count += 1;
            if first.len() < MOST_TOLD {
                first.push((number, reason));
            }
        }
        match (count, keys.len()) {
            (1.., _) => Err(BadKeys::Lines { count, first }),
            (_, 0) => Err(BadKeys::Empty),
            (_, len) if len > MOST_KEYS => Err(BadKeys::TooMany),
            _ => Ok(keys),
        }
    }

    fn take(&mut self, line: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(line)
            .map_err(|_| "it is not UTF-8".to_owned())?
            .trim();
        // What is beyond the limit is counted no further than needed to refuse it.
        if text.is_empty() || text.starts_with('#') || self.len() > MOST_KEYS {
            return Ok(());
        }
        if text.matches('/').count() == 2 {
            let stream = listed_key::stream(text).map_err(|error| error.to_string())?;
            self.streams.insert(stream.name);
        } else {
            let bundle = listed_key::bundle(text).map_err(|_| {
                format!(
                    "`{}` is neither the key of a stream (source/label/sha256) nor of a bundle \
                     (source/model/action/timestamp-count-kafka_key)",
                    text.chars().take(120).collect::<String>().escape_debug()
                )
            })?;
            self.bundles
                .insert(listed_key::plain(text).0.to_owned(), bundle.name);
        }
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.streams.len() + self.bundles.len()
    }

    /// Never, of a file that was read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The streams.
    pub fn streams(&self) -> &BTreeSet<StreamId> {
        &self.streams
    }

    /// The keys of the streams of a source.
    pub fn streams_of(&self, source: &SourceName) -> Vec<String> {
        let of_source = self.streams.iter().filter(|stream| stream.source() == source);
        of_source.map(ToString::to_string).collect()
    }

    /// The sources of the streams.
    pub fn stream_sources(&self) -> BTreeSet<SourceName> {
        self.streams
            .iter()
            .map(|stream| stream.source().clone())
            .collect()
    }

    /// How many bundles there are.
    pub fn bundle_count(&self) -> usize {
        self.bundles.len()
    }

    /// The feeds of the bundles.
    pub fn feeds(&self) -> BTreeSet<Feed> {
        self.bundles
            .values()
            .map(|bundle| bundle.feed().clone())
            .collect()
    }

    /// The bundles of a feed in the order of their time, each with its key without the mark of encryption.
    pub fn bundles_of(&self, feed: &Feed) -> Vec<(&str, &BundleKey)> {
        let mut bundles: Vec<_> = self
            .bundles
            .iter()
            .filter(|(_, bundle)| bundle.feed() == feed)
            .map(|(key, bundle)| (key.as_str(), bundle))
            .collect();
        bundles.sort_by_key(|(key, bundle)| (bundle.timestamp(), *key));
        bundles
    }

    /// The SHA-256 of all keys in their order: the same for the same keys.
    pub(super) fn digest(&self) -> Sha256 {
        use sha2::Digest as _;
        let mut hasher = sha2::Sha256::new();
        for stream in &self.streams {
            hasher.update(format!("{stream}\n"));
        }
        for bundle in self.bundles.keys() {
            hasher.update(format!("{bundle}\n"));
        }
        Sha256::from_bytes(hasher.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUNDLE: &str = "samples/binary/mapped/2025-07-30T06:02:59.50Z-20-key";

    fn sha256() -> String {
        "ab".repeat(32)
    }

    #[test]
    fn streams_and_bundles_are_told_apart_in_either_form() {
        let stream = format!("samples/content/{}", sha256());
        let text = format!("# from the ticket\n\n{stream}\r\n  {stream}.aesc1\n{BUNDLE}.aesc1\n{BUNDLE}");
        let keys = Keys::read(text.as_bytes()).unwrap();
        assert_eq!((keys.len(), keys.streams().len(), keys.bundle_count()), (2, 1, 1));
        let feed = "samples/binary/mapped".parse().unwrap();
        assert_eq!(keys.feeds().into_iter().collect::<Vec<_>>(), [feed]);
        let feed = "samples/binary/mapped".parse().unwrap();
        assert_eq!(
            keys.bundles_of(&feed)[0].0,
            BUNDLE,
            "as it is written, digits that are not needed included"
        );
        assert_eq!(
            keys,
            Keys::read(format!("{BUNDLE}\n{stream}").as_bytes()).unwrap()
        );
    }

    #[test]
    fn lines_of_no_use_are_told_with_their_numbers() {
        let long = "x".repeat(LONGEST_LINE + 1);
        let text = format!(
            "samples/content/{}\nsamples\n#\n{long}\n../content/{}\n",
            sha256(),
            sha256()
        );
        let mut text = text.into_bytes();
        text.extend(b"\xff\n");
        let fault = Keys::read(text.as_slice()).unwrap_err().to_string();
        assert_eq!(
            fault,
            "line 2: `samples` is neither the key of a stream (source/label/sha256) nor of a bundle \
             (source/model/action/timestamp-count-kafka_key); line 4: it is too long for a key; line 5: source `..` \
             cannot be used in a key or URL; line 6: it is not UTF-8"
        );
        let many = Keys::read("a\n".repeat(25).as_bytes()).unwrap_err().to_string();
        assert!(many.ends_with("; and 5 more lines"), "{many}");
    }

    #[test]
    fn a_file_without_keys_is_no_selection() {
        for text in ["", "\n\n# nothing\n"] {
            assert!(
                matches!(Keys::read(text.as_bytes()), Err(BadKeys::Empty)),
                "{text:?}"
            );
        }
    }

    #[test]
    fn bundles_come_in_the_order_of_time_and_not_of_text() {
        let names = ["40Z-1-a", "40.5Z-1-a", "39Z-1-a"];
        let text: String = names
            .iter()
            .map(|name| format!("samples/binary/mapped/2025-07-30T00:00:{name}\n"))
            .collect();
        let keys = Keys::read(text.as_bytes()).unwrap();
        let feed = "samples/binary/mapped".parse().unwrap();
        let order: Vec<_> = keys.bundles_of(&feed).iter().map(|(key, _)| &key[39..]).collect();
        assert_eq!(order, ["39Z-1-a", "40Z-1-a", "40.5Z-1-a"]);
    }
}
