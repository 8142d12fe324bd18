//! Azul's events as structures, and how each version of the model writes them.

use crate::encode::{array, boolean, bytes, fixed_u64, long, string, string_map};

/// The version after the present one, as one may imagine it: what a backup must keep without knowing it.
pub const UNKNOWN_VERSION: i64 = 7;

/// Text with text.
pub type Pairs = Vec<(String, String)>;

/// Who made an event.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Author {
    pub name: String,
    pub version: String,
    pub category: String,
    pub security: String,
}

/// One step of the way that a binary took.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct PathNode {
    pub author: Author,
    pub action: String,
    pub sha256: String,
    pub relationship: Pairs,
    pub timestamp: i64,
    pub file_format: String,
    pub size: u64,
    pub filename: String,
    pub language: String,
}

/// Where a binary came from.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Source {
    pub name: String,
    pub references: Pairs,
    pub security: String,
    pub path: Vec<PathNode>,
    pub timestamp: i64,
    pub settings: Pairs,
}

/// Something that is known of a binary.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Feature {
    pub name: String,
    pub value: String,
    pub kind: String,
    pub label: String,
    pub size: u64,
    pub offset: u64,
}

/// A stream that an event names.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Datastream {
    pub identify_version: i64,
    pub label: String,
    pub size: u64,
    pub hashes: Hashes,
    pub ssdeep: String,
    pub tlsh: String,
    pub mime: String,
    pub magic: String,
    pub file_format: String,
    pub file_extension: String,
    pub language: String,
}

/// The digests of a binary, in hex.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Hashes {
    pub sha256: String,
    pub sha512: String,
    pub sha1: String,
    pub md5: String,
}

/// A binary and what is known of it.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Entity {
    pub hashes: Hashes,
    pub ssdeep: String,
    pub tlsh: String,
    pub size: u64,
    pub mime: String,
    pub magic: String,
    pub file_format: String,
    pub file_extension: String,
    pub info: Vec<u8>,
    pub features: Vec<Feature>,
    pub datastreams: Vec<Datastream>,
}

/// Something was learnt about a binary.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct BinaryEvent {
    pub kafka_key: String,
    pub timestamp: i64,
    pub author: Author,
    pub source: Source,
    pub entity: Entity,
    pub action: String,
    pub retries: i64,
    pub bypass_cache: bool,
    pub track_source_references: String,
    pub track_links: Vec<String>,
    pub track_authors: Vec<String>,
}

/// A binary was put below another by hand.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct InsertEvent {
    pub kafka_key: String,
    pub timestamp: i64,
    pub author: Author,
    pub original_source: String,
    pub parent_sha256: String,
    pub child: Entity,
    pub child_history: PathNode,
    pub track_link: String,
    pub track_author: String,
}

/// Something was deleted.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct DeleteEvent {
    pub kafka_key: String,
    pub timestamp: i64,
    pub author: Author,
    pub reason: String,
    pub submission: (String, i64),
    pub track_author: (String, i64),
    pub track_link: String,
    pub ids: Vec<String>,
    pub action: String,
}

/// Any event.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Event {
    Binary(Box<BinaryEvent>),
    Insert(Box<InsertEvent>),
    Delete(Box<DeleteEvent>),
}

impl Event {
    /// Its key in Kafka.
    pub fn kafka_key(&self) -> &str {
        match self {
            Self::Binary(event) => &event.kafka_key,
            Self::Insert(event) => &event.kafka_key,
            Self::Delete(event) => &event.kafka_key,
        }
    }

    /// When it happened, in microseconds since the epoch.
    pub fn timestamp(&self) -> i64 {
        match self {
            Self::Binary(event) => event.timestamp,
            Self::Insert(event) => event.timestamp,
            Self::Delete(event) => event.timestamp,
        }
    }

    /// Appends the event as `version` writes it: 4, 5, 6, or [`UNKNOWN_VERSION`].
    pub fn encode(&self, out: &mut Vec<u8>, version: i64) {
        match self {
            Self::Binary(event) => event.encode(out, version),
            Self::Insert(event) => event.encode(out, version),
            Self::Delete(event) => event.encode(out, version),
        }
        if version >= UNKNOWN_VERSION {
            string(out, "a field that nobody knows yet");
        }
    }

    /// The event alone.
    pub fn encoded(&self, version: i64) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        self.encode(&mut out, version);
        out
    }
}

fn head(out: &mut Vec<u8>, version: i64, kafka_key: &str, timestamp: i64, author: &Author) {
    long(out, version);
    string(out, kafka_key);
    long(out, timestamp);
    author.encode(out);
}

/// The format, and before it, in versions 4 and 5, the name that the format had once.
fn file_format(out: &mut Vec<u8>, version: i64, format: &str) {
    if version < 6 {
        let last = format.rsplit('/').next().unwrap_or_default();
        string(out, &last.to_uppercase());
    }
    string(out, format);
}

impl Author {
    fn encode(&self, out: &mut Vec<u8>) {
        for text in [&self.name, &self.version, &self.category, &self.security] {
            string(out, text);
        }
    }
}

impl PathNode {
    fn encode(&self, out: &mut Vec<u8>, version: i64) {
        self.author.encode(out);
        string(out, &self.action);
        string(out, &self.sha256);
        string_map(out, &self.relationship);
        long(out, self.timestamp);
        file_format(out, version, &self.file_format);
        fixed_u64(out, self.size);
        string(out, &self.filename);
        string(out, &self.language);
    }
}

impl Source {
    fn encode(&self, out: &mut Vec<u8>, version: i64) {
        string(out, &self.name);
        string_map(out, &self.references);
        string(out, &self.security);
        array(out, &self.path, |out, node| node.encode(out, version));
        long(out, self.timestamp);
        if version > 4 {
            string_map(out, &self.settings);
        }
    }
}

impl Feature {
    fn encode(&self, out: &mut Vec<u8>) {
        for text in [&self.name, &self.value, &self.kind, &self.label] {
            string(out, text);
        }
        fixed_u64(out, self.size);
        fixed_u64(out, self.offset);
    }
}

impl Datastream {
    fn encode(&self, out: &mut Vec<u8>, version: i64) {
        long(out, self.identify_version);
        string(out, &self.label);
        fixed_u64(out, self.size);
        let hashes = &self.hashes;
        for text in [&hashes.sha512, &hashes.sha256, &hashes.sha1, &hashes.md5] {
            string(out, text);
        }
        for text in [&self.ssdeep, &self.tlsh, &self.mime, &self.magic] {
            string(out, text);
        }
        file_format(out, version, &self.file_format);
        string(out, &self.file_extension);
        string(out, &self.language);
    }
}

impl Entity {
    fn encode(&self, out: &mut Vec<u8>, version: i64) {
        let hashes = &self.hashes;
        for text in [&hashes.sha256, &hashes.sha512, &hashes.sha1, &hashes.md5] {
            string(out, text);
        }
        string(out, &self.ssdeep);
        string(out, &self.tlsh);
        fixed_u64(out, self.size);
        string(out, &self.mime);
        string(out, &self.magic);
        file_format(out, version, &self.file_format);
        string(out, &self.file_extension);
        bytes(out, &self.info);
        array(out, &self.features, |out, feature| feature.encode(out));
        array(out, &self.datastreams, |out, stream| stream.encode(out, version));
    }
}

impl BinaryEvent {
    fn encode(&self, out: &mut Vec<u8>, version: i64) {
        head(out, version, &self.kafka_key, self.timestamp, &self.author);
        self.source.encode(out, version);
        self.entity.encode(out, version);
        string(out, &self.action);
        string(out, ""); // dequeued
        long(out, self.retries);
        boolean(out, self.bypass_cache);
        boolean(out, false); // expedite
        boolean(out, false); // retry
        string(out, &self.track_source_references);
        array(out, &self.track_links, |out, link| string(out, link));
        array(out, &self.track_authors, |out, author| string(out, author));
    }
}

impl InsertEvent {
    fn encode(&self, out: &mut Vec<u8>, version: i64) {
        head(out, version, &self.kafka_key, self.timestamp, &self.author);
        string(out, &self.original_source);
        string(out, &self.parent_sha256);
        self.child.encode(out, version);
        self.child_history.encode(out, version);
        string(out, &self.track_link);
        string(out, &self.track_author);
    }
}

impl DeleteEvent {
    fn encode(&self, out: &mut Vec<u8>, version: i64) {
        head(out, version, &self.kafka_key, self.timestamp, &self.author);
        string(out, &self.reason);
        for (text, time) in [&self.submission, &self.track_author] {
            string(out, text);
            long(out, *time);
        }
        string(out, &self.track_link);
        array(out, &self.ids, |out, id| string(out, id));
        string(out, &self.action);
    }
}
