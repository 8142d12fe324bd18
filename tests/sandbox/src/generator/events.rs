//! What generated events say.

use actors::feed::{Action, Feed};

use super::event::{
    Author, BinaryEvent, Datastream, DeleteEvent, Entity, Event, Feature, Hashes, InsertEvent, Pairs,
    PathNode, Source,
};
use super::{Binary, Kind, Shape, mix};

/// 2025-07-01T00:00:00Z in microseconds.
const FIRST: i64 = 1_751_328_000_000_000;

/// Makes one event.
pub(super) struct Maker<'a> {
    pub(super) shape: &'a Shape,
    pub(super) seed: u64,
    pub(super) number: u64,
}

fn hex(seed: u64, words: u64) -> String {
    (0..words)
        .map(|word| format!("{:016x}", mix(seed, word)))
        .collect()
}

fn author(name: &str) -> Author {
    Author {
        name: name.to_owned(),
        version: "2025.07.01".to_owned(),
        category: "plugin".to_owned(),
        security: String::new(),
    }
}

fn pairs(entries: &[(&str, String)]) -> Pairs {
    entries
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect()
}

const PLUGINS: [&str; 6] = [
    "Entropy",
    "MimeDecoder",
    "PeInfo",
    "Yara",
    "Unbox",
    "OfficeMacros",
];

impl Maker<'_> {
    /// Rises with the event's number; in turn with no, four and six fractional digits.
    fn timestamp(&self) -> i64 {
        let time = FIRST + self.number as i64 * 1_370_000;
        match self.number % 3 {
            0 => time - time % 1_000_000,
            1 => {
                time - time % 1_000_000 + 1_000 * (self.seed % 999) as i64 + 100 * (1 + self.seed % 9) as i64
            }
            _ => time - time % 1_000_000 + 1_000 * (self.seed % 999) as i64 + 1 + (self.seed % 9) as i64,
        }
    }

    fn author(&self) -> Author {
        author(PLUGINS[(self.seed % PLUGINS.len() as u64) as usize])
    }

    pub(super) fn binary(&self, feed: &Feed, streams: &[&Binary]) -> Event {
        let source = feed.source().as_str();
        let action = feed.action();
        let main = streams.iter().find(|binary| binary.stream.label() == "content");
        let hashes = main.map_or_else(
            || self.hashes(&hex(self.seed, 4)),
            |binary| self.hashes(&sha256(binary)),
        );
        let size = main.map_or(self.seed % 1_000_000, |binary| binary.content.size);
        let references = pairs(&[
            ("submitter", format!("analyst {}", self.seed % 17)),
            ("task", format!("t{}-{}", self.seed % 5, self.number)),
        ]);
        let track = format!("{source}.{}", hex(self.seed ^ 5, 2));
        Event::Binary(Box::new(BinaryEvent {
            kafka_key: hex(self.seed, 2),
            timestamp: self.timestamp(),
            author: self.author(),
            source: Source {
                name: source.to_owned(),
                references,
                security: String::new(),
                path: self.path(action, &hashes.sha256, size),
                timestamp: self.timestamp() - 86_400_000_000,
                settings: pairs(&[("remove_at_depth", (self.seed % 4).to_string())]),
            },
            entity: self.entity(hashes, size, main.map(|binary| binary.content.kind), streams),
            action: action.as_str().to_owned(),
            retries: 0,
            bypass_cache: false,
            track_source_references: track,
            track_links: Vec::new(),
            track_authors: vec!["plugin.gen.1".to_owned()],
        }))
    }

    fn hashes(&self, sha256: &str) -> Hashes {
        Hashes {
            sha256: sha256.to_owned(),
            sha512: hex(self.seed ^ 2, 8),
            sha1: hex(self.seed ^ 3, 3)[..40].to_owned(),
            md5: hex(self.seed ^ 4, 2),
        }
    }

    fn path(&self, action: Action, sha256: &str, size: u64) -> Vec<PathNode> {
        let node = |action: &str, sha256: &str, relationship: Pairs| PathNode {
            author: self.author(),
            action: action.to_owned(),
            sha256: sha256.to_owned(),
            relationship,
            timestamp: self.timestamp() - 1_000_000,
            file_format: "executable/windows/pe32".to_owned(),
            size,
            filename: format!("file{}.exe", self.number),
            language: String::new(),
        };
        if action == Action::Sourced {
            return vec![node("sourced", sha256, Pairs::new())];
        }
        let relationship = pairs(&[
            ("action", "extracted".to_owned()),
            ("encoding", "base64".to_owned()),
        ]);
        vec![
            node("sourced", &hex(self.seed ^ 6, 4), Pairs::new()),
            node(action.as_str(), sha256, relationship),
        ]
    }

    fn entity(&self, hashes: Hashes, size: u64, kind: Option<Kind>, streams: &[&Binary]) -> Entity {
        let (mime, magic, format) = describe(kind.unwrap_or(Kind::Executable));
        Entity {
            hashes,
            ssdeep: String::new(),
            tlsh: String::new(),
            size,
            mime: mime.to_owned(),
            magic: magic.to_owned(),
            file_format: format.to_owned(),
            file_extension: "bin".to_owned(),
            info: vec![b'i'; self.shape.info_bytes],
            features: (0..self.seed % 6).map(|number| self.feature(number)).collect(),
            datastreams: streams.iter().map(|binary| self.datastream(binary)).collect(),
        }
    }

    fn feature(&self, number: u64) -> Feature {
        Feature {
            name: format!("feature_{number}"),
            value: format!("value of feature {number}: {}", mix(self.seed, number) % 100_000),
            kind: "string".to_owned(),
            label: String::new(),
            size: 0,
            offset: number * 16,
        }
    }

    fn datastream(&self, binary: &Binary) -> Datastream {
        let (mime, magic, format) = describe(binary.content.kind);
        Datastream {
            identify_version: 1,
            label: binary.stream.label().to_owned(),
            size: binary.content.size,
            hashes: self.hashes(&sha256(binary)),
            ssdeep: String::new(),
            tlsh: String::new(),
            mime: mime.to_owned(),
            magic: magic.to_owned(),
            file_format: format.to_owned(),
            file_extension: "bin".to_owned(),
            language: String::new(),
        }
    }

    pub(super) fn insert(&self) -> Event {
        let child = hex(self.seed ^ 7, 4);
        Event::Insert(Box::new(InsertEvent {
            kafka_key: hex(self.seed, 2),
            timestamp: self.timestamp(),
            author: author("analyst"),
            original_source: "tasking".to_owned(),
            parent_sha256: hex(self.seed ^ 8, 4),
            child: Entity {
                hashes: self.hashes(&child),
                ..Entity::default()
            },
            child_history: PathNode {
                author: author("some_enhancer"),
                action: "extracted".to_owned(),
                sha256: child.clone(),
                timestamp: self.timestamp(),
                filename: format!("child{}.jar", self.number),
                size: self.seed % 100_000,
                ..PathNode::default()
            },
            track_link: format!("parent.{child}"),
            track_author: "user.analyst.1".to_owned(),
        }))
    }

    pub(super) fn delete(&self) -> Event {
        Event::Delete(Box::new(DeleteEvent {
            kafka_key: hex(self.seed, 2),
            timestamp: self.timestamp(),
            author: author("analyst"),
            reason: "was a bad file".to_owned(),
            submission: (format!("samples.{}", hex(self.seed, 1)), self.timestamp()),
            track_author: (String::new(), 0),
            track_link: String::new(),
            ids: vec![hex(self.seed ^ 9, 2)],
            action: "submission".to_owned(),
        }))
    }
}

fn sha256(binary: &Binary) -> String {
    binary.stream.sha256().to_string()
}

/// MIME type, magic and format of a kind.
fn describe(kind: Kind) -> (&'static str, &'static str, &'static str) {
    match kind {
        Kind::Text => (
            "text/plain",
            "ASCII text, with CRLF line terminators",
            "text/plain",
        ),
        Kind::Executable => (
            "application/x-executable",
            "ELF 64-bit LSB executable, x86-64, version 1 (SYSV)",
            "executable/linux/elf64",
        ),
        Kind::Packed => ("application/octet-stream", "data", "unknown"),
    }
}
