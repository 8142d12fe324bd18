//! The file of `--keys-from`: exactly which objects, one key a line.
//!
//! A key is one of a stream (`source/label/sha256`) or of a bundle (`source/model/action/name`), with or without the
//! mark of encryption: either form stands for both. Empty lines and those that begin with `#` say nothing. Nothing
//! is guessed: a file with a line that is no key is refused as a whole, with the numbers of such lines.
//!
//! # Memory
//! All keys are held for as long as the restore runs, once, whoever works with them: of a stream its hash, of a bundle
//! its name. Together they are bounded by [`MOST_KEYS`] and [`MOST_BYTES`].

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read as _};
use std::sync::Arc;

use crate::feed::{Feed, SourceName};
use crate::object_key::BundleKey;
use crate::restore::listed_key;
use crate::restore::named_streams::{Hashes, NamedStreams};
use crate::stream_id::Sha256;

/// The longest line that is looked at; S3 takes keys of 1024 bytes.
const LONGEST_LINE: usize = 4096;

/// So many lines may hold keys: of streams alone they are 32 MB.
const MOST_KEYS: usize = 1_000_000;

/// So much memory may they take: a restore keeps within 128 MiB, and needs most of it for itself.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// What the name of a bundle takes beside its bytes, in the list and in the heap.
const BESIDE_A_NAME: usize = size_of::<Box<str>>() + 16;

/// So many lines of no use are told.
const MOST_TOLD: usize = 20;

/// Names of the bundles of a feed, without the mark of encryption, in the order of their time.
pub type BundleNames = Arc<Vec<Box<str>>>;

/// Objects by name; never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    streams: BTreeMap<(SourceName, String), Hashes>,
    bundles: BTreeMap<Feed, BundleNames>,
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
    #[error(
        "it holds more keys than a restore can remember ({MOST_KEYS}, or fewer that take {} MiB: about {} bundles): \
         restore whole sources or labels instead, or cut it into parts",
        MOST_BYTES >> 20, MOST_BYTES / (BESIDE_A_NAME + 66)
    )]
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

/// Keys as they are read, in no order.
#[derive(Default)]
struct Reading {
    streams: BTreeMap<(SourceName, String), Vec<Sha256>>,
    bundles: BTreeMap<Feed, Vec<Box<str>>>,
    keys: usize,
    bytes: usize,
}

impl Reading {
    fn take(&mut self, line: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(line)
            .map_err(|_| "it is not UTF-8".to_owned())?
            .trim();
        // What is beyond the limit is counted no further than needed to refuse it.
        if text.is_empty() || text.starts_with('#') || self.is_too_much() {
            return Ok(());
        }
        self.keys += 1;
        if text.matches('/').count() == 2 {
            let stream = listed_key::stream(text).map_err(|error| error.to_string())?.name;
            self.bytes += size_of::<Sha256>();
            let label = (stream.source().clone(), stream.label().to_owned());
            self.streams.entry(label).or_default().push(*stream.sha256());
            return Ok(());
        }
        let bundle = listed_key::bundle(text).map_err(|_| {
            format!(
                "`{}` is neither the key of a stream (source/label/sha256) nor of a bundle \
                 (source/model/action/timestamp-count-kafka_key)",
                text.chars().take(120).collect::<String>().escape_debug()
            )
        })?;
        let (plain, _) = listed_key::plain(text);
        let name = plain.rsplit_once('/').map_or(plain, |(_, name)| name);
        self.bytes += name.len() + BESIDE_A_NAME;
        let of_feed = self.bundles.entry(bundle.name.feed().clone()).or_default();
        of_feed.push(name.into());
        Ok(())
    }

    fn is_too_much(&self) -> bool {
        self.keys > MOST_KEYS || self.bytes > MOST_BYTES
    }

    fn finish(self) -> Keys {
        let streams = self.streams.into_iter().map(|(label, mut hashes)| {
            hashes.sort_unstable();
            hashes.dedup();
            hashes.shrink_to_fit();
            (label, Arc::new(hashes))
        });
        let bundles = self.bundles.into_iter().map(|(feed, mut names)| {
            names.sort_unstable();
            names.dedup();
            names.sort_by_cached_key(|name| named(&feed, name).map(|bundle| bundle.timestamp()));
            names.shrink_to_fit();
            (feed, Arc::new(names))
        });
        Keys {
            streams: streams.collect(),
            bundles: bundles.collect(),
        }
    }
}

fn named(feed: &Feed, name: &str) -> Option<BundleKey> {
    format!("{feed}/{name}").parse().ok()
}

impl Keys {
    /// Reads a whole file.
    ///
    /// # Errors
    /// See [`BadKeys`].
    pub fn read(mut file: impl BufRead) -> Result<Self, BadKeys> {
        let mut keys = Reading::default();
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
        match (count, keys.keys) {
            (1.., _) => Err(BadKeys::Lines { count, first }),
            (_, 0) => Err(BadKeys::Empty),
            _ if keys.is_too_much() => Err(BadKeys::TooMany),
            _ => Ok(keys.finish()),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.stream_count() + self.bundle_count()
    }

    /// Never, of a file that was read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many streams there are.
    pub fn stream_count(&self) -> usize {
        self.streams.values().map(|hashes| hashes.len()).sum()
    }

    /// The streams, each as source, label and hash.
    pub fn streams(&self) -> impl Iterator<Item = (&SourceName, &str, Sha256)> {
        self.streams.iter().flat_map(|((source, label), hashes)| {
            let streams = hashes.iter();
            streams.map(move |hash| (source, label.as_str(), *hash))
        })
    }

    /// The streams of a source.
    pub fn streams_of(&self, source: &SourceName) -> NamedStreams {
        let labels = self.streams.iter().filter(|((of, _), _)| of == source);
        let labels = labels.map(|((_, label), hashes)| (label.clone(), Arc::clone(hashes)));
        NamedStreams::new(source.clone(), labels)
    }

    /// The sources of the streams.
    pub fn stream_sources(&self) -> BTreeSet<SourceName> {
        self.streams.keys().map(|(source, _)| source.clone()).collect()
    }

    /// How many bundles there are.
    pub fn bundle_count(&self) -> usize {
        self.bundles.values().map(|names| names.len()).sum()
    }

    /// The feeds of the bundles.
    pub fn feeds(&self) -> BTreeSet<Feed> {
        self.bundles.keys().cloned().collect()
    }

    /// The names of the bundles of a feed, in the order of their time.
    pub fn bundles_of(&self, feed: &Feed) -> BundleNames {
        self.bundles.get(feed).cloned().unwrap_or_default()
    }

    /// The SHA-256 of all keys in their order: the same for the same keys.
    pub(super) fn digest(&self) -> Sha256 {
        use sha2::Digest as _;
        let mut hasher = sha2::Sha256::new();
        for (source, label, hash) in self.streams() {
            hasher.update(format!("{source}/{label}/{hash}\n"));
        }
        let mut feeds: Vec<(String, &BundleNames)> = self
            .bundles
            .iter()
            .map(|(feed, names)| (format!("{feed}/"), names))
            .collect();
        feeds.sort();
        for (feed, names) in feeds {
            let mut names: Vec<&str> = names.iter().map(|name| &**name).collect();
            names.sort_unstable();
            for name in names {
                hasher.update(format!("{feed}{name}\n"));
            }
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
        assert_eq!((keys.len(), keys.stream_count(), keys.bundle_count()), (2, 1, 1));
        let feed = "samples/binary/mapped".parse().unwrap();
        assert_eq!(keys.feeds().into_iter().collect::<Vec<_>>(), [feed]);
        let feed = "samples/binary/mapped".parse().unwrap();
        assert_eq!(
            format!("{feed}/{}", keys.bundles_of(&feed)[0]),
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
        let names = keys.bundles_of(&feed);
        let order: Vec<_> = names.iter().map(|name| &name[17..]).collect();
        assert_eq!(order, ["39Z-1-a", "40Z-1-a", "40.5Z-1-a"]);
    }

    /// A file that is made while it is read.
    struct Endless<F: FnMut(u64) -> String>(F, u64, u64);

    impl<F: FnMut(u64) -> String> io::Read for Endless<F> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.1 == self.2 {
                return Ok(0);
            }
            let line = (self.0)(self.1);
            self.1 += 1;
            into[..line.len()].copy_from_slice(line.as_bytes());
            Ok(line.len())
        }
    }

    fn read_many(count: usize, line: impl FnMut(u64) -> String) -> Result<Keys, BadKeys> {
        Keys::read(io::BufReader::new(Endless(line, 0, count as u64)))
    }

    fn bundle(number: u64) -> String {
        format!("samples/binary/mapped/2025-07-30T06:02:59.867075Z-1000-{number:032x}\n")
    }

    #[test]
    fn what_is_held_of_all_keys_fits_into_its_share_of_memory() {
        let stream = |number: u64| format!("samples/content/{number:064x}\n");
        let keys = read_many(MOST_KEYS, stream).unwrap();
        assert_eq!(keys.stream_count(), MOST_KEYS);
        let held: usize = keys
            .streams
            .values()
            .map(|hashes| hashes.capacity() * size_of::<Sha256>())
            .sum();
        assert!(held <= MOST_BYTES, "{held} bytes");
        let mut full = Reading {
            keys: MOST_KEYS,
            ..Reading::default()
        };
        full.take(stream(0).as_bytes()).unwrap();
        assert!(full.is_too_much());
        // Whoever works with them holds the same ones.
        let named = keys.streams_of(&SourceName::new("samples").unwrap());
        let label = (SourceName::new("samples").unwrap(), "content".to_owned());
        assert_eq!(
            (named.len(), Arc::strong_count(&keys.streams[&label])),
            (MOST_KEYS, 2)
        );

        let bundles = MOST_BYTES / (BESIDE_A_NAME + bundle(0).len() - "samples/binary/mapped/\n".len());
        let keys = read_many(bundles, bundle).unwrap();
        assert_eq!(keys.bundle_count(), bundles);
        let fault = read_many(bundles + 1, bundle).unwrap_err().to_string();
        assert_eq!(
            fault,
            "it holds more keys than a restore can remember (1000000, or fewer that take 32 MiB: about 342392 bundles): \
             restore whole sources or labels instead, or cut it into parts"
        );
    }
}
