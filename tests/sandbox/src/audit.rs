//! Compares what lies in the bucket's folder with what the dispatcher handed out, without any code of the program
//! but its names of objects and its schemas:
//!
//! * every event handed out stands in exactly one bundle, byte for byte, and nothing else does;
//! * a bundle's key tells its feed, its count, and its last valid event;
//! * every stream that these events name, and that the dispatcher has, is there, and gunzips to its SHA-256;
//! * there is no other object, and no multipart upload that is neither complete nor aborted.
//!
//! A bulk of an unknown version is compared as a whole. The streams that it names cannot be told; so where there
//! is one, an object is welcome for any stream that the dispatcher has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;
use std::path::Path;

use actors::avro::ModelVersion;
use actors::feed::Feed;
use actors::object_key::BundleKey;
use actors::stream_id::{Sha256, StreamId};
use actors::timestamp::Timestamp;
use anyhow::Context;
use flate2::read::MultiGzDecoder;
use sha2::Digest;

use crate::decode::{self, items, micros, text};
use crate::dispatcher::{Fate, Place, Shared};
use crate::encode;
use crate::validity::{self, Judge};

/// How often something stands there.
type Multiset = BTreeMap<Unit, i64>;

/// What is backed up as one: an event or, of an unknown version, a whole bulk; by feed and the SHA-256 of its bytes.
pub type Unit = (Feed, Sha256);

/// What a consumer was given as one, or was not given but the dispatcher has forgotten.
#[derive(Clone, Debug)]
pub struct Handed {
    /// Its name.
    pub unit: Unit,
    /// How many events it has.
    pub events: u64,
    /// Where these lie.
    pub places: Vec<Place>,
    /// Whether it is a bulk of an unknown version.
    pub is_unknown: bool,
    /// When the first and the last of these were taken from Kafka.
    pub taken: (Timestamp, Timestamp),
    /// What became of the answer.
    pub fate: Fate,
}

/// Everything that was taken for consumers whose name begins with `prefix`.
pub fn handed_out(shared: &Shared, prefix: &str) -> Vec<Handed> {
    let broker = shared.broker();
    let mut units = Vec::new();
    let answers = broker
        .answers()
        .filter(|answer| answer.consumer.name.starts_with(prefix) && !answer.events.is_empty());
    for answer in answers {
        let events = answer.events.iter().zip(&answer.taken).map(|(place, taken)| {
            let bytes = broker.event_bytes(*place, answer.version);
            (broker.event(*place).feed, bytes, *taken)
        });
        let events: Vec<(Feed, Vec<u8>, Timestamp)> = events.collect();
        let mut known = ModelVersion::ALL.iter();
        let is_unknown = !known.any(|version| version.number() == answer.version);
        let unit = |feed: &Feed, bytes: &[u8], places: &[Place], taken| Handed {
            unit: (feed.clone(), Sha256::of(bytes)),
            events: places.len() as u64,
            places: places.to_vec(),
            is_unknown,
            taken,
            fate: answer.fate,
        };
        if !is_unknown {
            let each = events.iter().zip(answer.events.chunks(1));
            units.extend(each.map(|((feed, bytes, at), place)| unit(feed, bytes, place, (*at, *at))));
        } else if let (Some((feed, _, first)), Some((_, _, last))) = (events.first(), events.last()) {
            let bytes: Vec<&Vec<u8>> = events.iter().map(|(_, bytes, _)| bytes).collect();
            let bulk = encode::bulk(answer.version, &bytes, encode::Layout::Sized);
            units.push(unit(feed, &bulk, &answer.events, (*first, *last)));
        }
    }
    units
}

/// What a bulk is backed up as; none where it has no events.
pub fn units_of(feed: &Feed, bulk: &[u8]) -> Vec<Unit> {
    match decode::bulk(feed.model(), bulk) {
        Some(decoded) => {
            let events = decoded.events.iter();
            events
                .map(|event| (feed.clone(), Sha256::of(event.bytes)))
                .collect()
        }
        None => vec![(feed.clone(), Sha256::of(bulk))],
    }
}

/// What lies in the bundles of the bucket `{prefix}-events` below `root`; what cannot be read is left out.
///
/// # Errors
/// A folder or a file cannot be read.
pub fn in_bundles(root: &Path, prefix: &str) -> anyhow::Result<BTreeSet<Unit>> {
    let mut units = BTreeSet::new();
    for_each_bundle(root, prefix, |bundle, bulk| {
        units.extend(units_of(bundle.feed(), bulk))
    })?;
    Ok(units)
}

/// Goes through the bundles of the bucket `{prefix}-events` below `root`, unpacked; what cannot be read is left out.
///
/// # Errors
/// A folder or a file cannot be read.
pub(crate) fn for_each_bundle(
    root: &Path,
    prefix: &str,
    mut look: impl FnMut(&BundleKey, &[u8]),
) -> anyhow::Result<()> {
    let bucket = format!("{prefix}-events");
    for key in crate::s3::keys(root, &bucket)?.unwrap_or_default() {
        let packed = std::fs::read(root.join(&bucket).join(&key))?;
        let mut bulk = Vec::new();
        if let Ok(bundle) = key.parse::<BundleKey>()
            && MultiGzDecoder::new(packed.as_slice())
                .read_to_end(&mut bulk)
                .is_ok()
        {
            look(&bundle, &bulk);
        }
    }
    Ok(())
}

/// What has to be in the bucket.
#[derive(Debug, Default)]
pub struct Expected {
    /// Events and, of unknown versions, whole bulks.
    events: Multiset,
    /// How many events these are.
    count: u64,
    /// `source/label/sha256` of everything that the dispatcher has.
    has: BTreeSet<String>,
}

impl Expected {
    /// What was handed out to consumers whose name begins with `prefix`. Answers that the client did not get are
    /// left out, unless `lost_too`: then the bucket must hold also what a recheck finds.
    pub fn handed_out(shared: &Shared, prefix: &str, lost_too: bool) -> Self {
        let handed = handed_out(shared, prefix).into_iter();
        Self::all_of(
            handed.filter(|handed| lost_too || matches!(handed.fate, Fate::HandedOut | Fate::BeingSent)),
            shared.stream_keys(),
        )
    }

    /// All of these, and the streams that they name, as far as they are among `streams` (`source/label/sha256`).
    pub fn all_of(handed: impl IntoIterator<Item = Handed>, streams: BTreeSet<String>) -> Self {
        let mut expected = Self {
            has: streams,
            ..Self::default()
        };
        for handed in handed {
            *expected.events.entry(handed.unit).or_default() += 1;
            expected.count += handed.events;
        }
        expected
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Audit {
    /// Feeds with at least one bundle.
    pub feeds: usize,
    /// Events in bundles, those of unknown versions as their keys count them.
    pub events: u64,
    /// Bundles.
    pub bundles: usize,
    /// Streams that are there and whole.
    pub streams: usize,
    /// References to streams, repetitions included.
    pub references: u64,
    /// Streams that events name and the dispatcher does not have.
    pub missing: usize,
    /// Bytes of binaries, unpacked.
    pub stream_bytes: u64,
    /// Bytes of all objects, as stored.
    pub stored_bytes: u64,
    /// Streams that events name and that are not in the bucket, whether the dispatcher has them or not.
    pub absent: BTreeSet<String>,
    /// What is wrong, for people; nothing where the backup is good.
    pub faults: Vec<String>,
}

impl Audit {
    /// Looks at the buckets `{prefix}-events` and `{prefix}-streams` below `root`.
    ///
    /// # Errors
    /// A folder or a file cannot be read; what is wrong with their content is in [`Audit::faults`].
    pub fn of(root: &Path, prefix: &str, expected: &Expected) -> anyhow::Result<Self> {
        let mut audit = Self::default();
        let named = audit.bundles(root, &format!("{prefix}-events"), expected)?;
        audit.streams(root, &format!("{prefix}-streams"), expected, &named)?;
        for upload in crate::s3::open_uploads(root)? {
            audit.fault(format!(
                "a multipart upload of {}/{} was left open",
                upload.bucket, upload.key
            ));
        }
        Ok(audit)
    }

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    fn fault(&mut self, fault: impl Into<String>) {
        self.faults.push(fault.into());
    }

    fn bundles(&mut self, root: &Path, bucket: &str, expected: &Expected) -> anyhow::Result<Named> {
        let mut left = expected.events.clone();
        let (mut named, mut feeds) = (Named::default(), BTreeSet::new());
        for key in crate::s3::keys(root, bucket)?.unwrap_or_default() {
            let path = root.join(bucket).join(&key);
            let packed = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            self.stored_bytes += packed.len() as u64;
            let Ok(bundle) = key.parse::<BundleKey>() else {
                self.fault(format!("{bucket}/{key} is not the key of a bundle"));
                continue;
            };
            let mut bulk = Vec::new();
            if let Err(error) = MultiGzDecoder::new(packed.as_slice()).read_to_end(&mut bulk) {
                self.fault(format!("{key} does not unpack: {error}"));
                continue;
            }
            self.bundles += 1;
            self.events += bundle.count();
            feeds.insert(bundle.feed().clone());
            let mut take = |bytes: &[u8]| {
                *left
                    .entry((bundle.feed().clone(), Sha256::of(bytes)))
                    .or_default() -= 1
            };
            match decode::bulk(bundle.feed().model(), &bulk) {
                Some(decoded) => {
                    decoded.events.iter().for_each(|event| take(event.bytes));
                    named.note(&decoded);
                    if let Some(fault) = key_fault(&bundle, &decoded) {
                        self.fault(format!("{key}: {fault}"));
                    }
                }
                None => {
                    take(&bulk);
                    named.unknown = true;
                }
            }
        }
        self.feeds = feeds.len();
        self.references = named.references;
        let absent: i64 = left.values().filter(|count| **count > 0).sum();
        let surplus: i64 = -left.values().filter(|count| **count < 0).sum::<i64>();
        for (what, count) in [
            ("handed out, but in no bundle", absent),
            ("in bundles, but too often or never handed out", surplus),
        ] {
            if count > 0 {
                let feeds: BTreeSet<String> = left
                    .iter()
                    .filter(|(_, count)| **count != 0)
                    .map(|((feed, _), _)| feed.to_string())
                    .collect();
                self.fault(format!(
                    "{count} events (or whole bulks) {what}; feeds concerned: {feeds:?}"
                ));
            }
        }
        if self.events != expected.count {
            self.fault(format!(
                "bundles count {} events, {} were handed out",
                self.events, expected.count
            ));
        }
        Ok(named)
    }

    fn streams(
        &mut self,
        root: &Path,
        bucket: &str,
        expected: &Expected,
        named: &Named,
    ) -> anyhow::Result<()> {
        let keys: BTreeSet<String> = crate::s3::keys(root, bucket)?
            .unwrap_or_default()
            .into_iter()
            .collect();
        for key in &keys {
            let path = root.join(bucket).join(key);
            self.stored_bytes += std::fs::metadata(&path)?.len();
            let Ok(stream) = key.parse::<StreamId>() else {
                self.fault(format!("{bucket}/{key} is not the key of a stream"));
                continue;
            };
            let welcome = named.unknown && expected.has.contains(key);
            if !(welcome || named.streams.contains(key)) {
                self.fault(format!("{bucket}/{key} is named by no event"));
            }
            match unpacked(&path) {
                Ok((size, sha256)) if sha256 == *stream.sha256() => {
                    self.streams += 1;
                    self.stream_bytes += size;
                }
                Ok((size, sha256)) => {
                    self.fault(format!("{key} unpacks to {size} bytes with SHA-256 {sha256}"))
                }
                Err(error) => self.fault(format!("{key} does not unpack: {error}")),
            }
        }
        self.absent = named.streams.difference(&keys).cloned().collect();
        for stream in &named.streams {
            match expected.has.contains(stream) {
                true if !keys.contains(stream) => {
                    self.fault(format!("{stream} is named, but not in {bucket}"))
                }
                true => {}
                false => self.missing += 1,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 20;
        for fault in self.faults.iter().take(MOST) {
            writeln!(f, "  {fault}")?;
        }
        match self.faults.len().checked_sub(MOST) {
            Some(more) if more > 0 => writeln!(f, "  and {more} more"),
            _ => Ok(()),
        }
    }
}

/// What the events in bundles name.
#[derive(Debug, Default)]
struct Named {
    streams: BTreeSet<String>,
    references: u64,
    unknown: bool,
}

impl Named {
    fn note(&mut self, bulk: &decode::Bulk<'_>) {
        for event in &bulk.events {
            for stream in items(&event.value, &["entity", "datastreams"]) {
                let source = text(&event.value, &["source", "name"]);
                let (label, sha256) = (text(stream, &["label"]), text(stream, &["sha256"]));
                if let Ok(stream) = StreamId::new(source, label, sha256) {
                    self.references += 1;
                    self.streams.insert(stream.to_string());
                }
            }
        }
    }
}

/// What the key of a bundle tells wrongly.
fn key_fault(key: &BundleKey, bulk: &decode::Bulk<'_>) -> Option<String> {
    let model = key.feed().model();
    let valid = |event: &&decode::Decoded<'_>| validity::fault(model, &event.value, Judge::Backup).is_none();
    let Some(last) = bulk.events.iter().rev().find(valid).or(bulk.events.last()) else {
        return Some("an empty bundle".to_owned());
    };
    let time = actors::timestamp::Timestamp::from_micros(micros(&last.value, &["timestamp"]));
    let right = BundleKey::new(
        key.feed().clone(),
        time,
        bulk.events.len() as u64,
        text(&last.value, &["kafka_key"]),
    );
    (right != *key).then(|| format!("by its content it should be {right}"))
}

/// Length and SHA-256 of what a file unpacks to.
fn unpacked(path: &Path) -> std::io::Result<(u64, Sha256)> {
    let mut unpacked = MultiGzDecoder::new(std::io::BufReader::with_capacity(
        1 << 16,
        std::fs::File::open(path)?,
    ));
    let (mut hash, mut size, mut piece) = (sha2::Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        match unpacked.read(&mut piece)? {
            0 => return Ok((size, Sha256::from_bytes(hash.finalize().into()))),
            count => {
                hash.update(&piece[..count]);
                size += count as u64;
            }
        }
    }
}
