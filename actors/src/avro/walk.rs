//! One event, walked over by its schema: what is needed is borrowed, the rest is stepped over.
//!
//! The walk allocates nothing, never panics and never leaves the bytes it was given, whatever lengths and sizes
//! these claim. It is stricter than decoders need to be in two points (the byte size of a block must be that of
//! its items; a number must fit 64 bits) and laxer in one: a string need not be UTF-8, for Azul's encoder does
//! not enforce it, and a backup keeps the event all the same.

use std::borrow::Cow;

use super::ModelVersion;
use super::cursor::{Cursor, WalkError};
use super::validity::{PathFault, PathNode};
use crate::feed::Model;
use crate::timestamp::Timestamp;

/// What the program needs of an event, borrowed from its bytes.
#[derive(Clone, Debug)]
pub struct EventView<'a> {
    /// The version that the event itself claims.
    pub model_version: i64,
    /// When it happened.
    pub timestamp: Timestamp,
    pub(super) kafka_key: &'a [u8],
    pub(super) author: &'a [u8],
    pub(super) body: Body<'a>,
}

/// What differs between the models.
#[derive(Clone, Debug)]
pub(super) enum Body<'a> {
    Binary(BinaryView<'a>),
    Insert {
        parent_sha256: &'a [u8],
        history: PathNode<'a>,
    },
    Delete,
}

/// What is needed of a binary event.
#[derive(Clone, Debug)]
pub(super) struct BinaryView<'a> {
    pub(super) source: &'a [u8],
    pub(super) action: &'a [u8],
    /// When the source got it.
    pub(super) sourced: Timestamp,
    pub(super) path_length: u64,
    pub(super) path_fault: Option<PathFault<'a>>,
    pub(super) streams: StreamsView<'a>,
}

/// The datastreams of a binary event.
#[derive(Clone, Debug)]
pub(super) struct StreamsView<'a> {
    /// The encoded array, walked once already.
    pub(super) encoded: &'a [u8],
    /// Label and SHA-256 of the first few, so that most events need not be walked again.
    pub(super) first: [(&'a [u8], &'a [u8]); REMEMBERED],
    pub(super) version: ModelVersion,
    pub(super) count: u64,
    pub(super) has_content: bool,
    pub(super) has_other: bool,
}

/// How many datastreams are remembered; few events have more.
pub(super) const REMEMBERED: usize = 3;

/// The label of the binary itself.
pub(super) const CONTENT: &[u8] = b"content";

impl<'a> EventView<'a> {
    /// Its key in Kafka; what is not UTF-8 in it is replaced.
    pub fn kafka_key(&self) -> Cow<'a, str> {
        text(self.kafka_key)
    }

    /// The name of its author.
    pub fn author(&self) -> Cow<'a, str> {
        text(self.author)
    }

    /// The name of its source; empty for the models that have none.
    pub fn source(&self) -> Cow<'a, str> {
        match &self.body {
            Body::Binary(binary) => text(binary.source),
            Body::Insert { .. } | Body::Delete => Cow::Borrowed(""),
        }
    }

    /// When its source got the binary, from which age-off counts; `None` for the models that have none.
    pub fn sourced(&self) -> Option<Timestamp> {
        match &self.body {
            Body::Binary(binary) => Some(binary.sourced),
            Body::Insert { .. } | Body::Delete => None,
        }
    }

    /// Its action; empty for the models whose action says nothing about their feed.
    pub fn action(&self) -> Cow<'a, str> {
        match &self.body {
            Body::Binary(binary) => text(binary.action),
            Body::Insert { .. } | Body::Delete => Cow::Borrowed(""),
        }
    }
}

/// Text with what is not UTF-8 replaced; that nothing is, is the usual case and the quicker one.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// Walks over the event at the front of `bytes`; returns it and the number of bytes that it takes.
///
/// # Errors
/// [`WalkError::Truncated`] if the event goes on beyond `bytes`; [`WalkError::Corrupt`] if it is none.
pub fn walk_event(
    model: Model,
    version: ModelVersion,
    bytes: &[u8],
) -> Result<(EventView<'_>, usize), WalkError> {
    let mut walk = Walk {
        at: Cursor::new(bytes),
        version,
    };
    let event = walk.event(model)?;
    Ok((event, bytes.len() - walk.at.rest().len()))
}

/// Label and SHA-256 of one datastream, as they stand in the event.
pub(super) fn walk_datastream<'a>(
    at: &mut Cursor<'a>,
    version: ModelVersion,
) -> Result<(&'a [u8], &'a [u8]), WalkError> {
    at.long()?; // identify_version
    let label = at.bytes()?;
    at.take(SIZE)?;
    at.skip_strings(1)?; // sha512
    let sha256 = at.bytes()?;
    // sha1, md5, ssdeep, tlsh, mime, magic, file_format, file_extension, language
    at.skip_strings(9 + usize::from(version.has_legacy_format()))?;
    Ok((label, sha256))
}

/// The bytes of a size or an offset.
const SIZE: usize = 8;

struct Walk<'a> {
    at: Cursor<'a>,
    version: ModelVersion,
}

impl<'a> Walk<'a> {
    #[inline]
    fn event(&mut self, model: Model) -> Result<EventView<'a>, WalkError> {
        Ok(EventView {
            model_version: self.at.long()?,
            kafka_key: self.at.bytes()?,
            timestamp: Timestamp::from_micros(self.at.long()?),
            author: self.author()?,
            body: match model {
                Model::Binary => Body::Binary(self.binary()?),
                Model::Insert => self.insert()?,
                Model::Delete => self.delete()?,
            },
        })
    }

    /// The name; version, category and security are stepped over.
    fn author(&mut self) -> Result<&'a [u8], WalkError> {
        let name = self.at.bytes()?;
        self.at.skip_strings(3)?;
        Ok(name)
    }

    #[inline]
    fn binary(&mut self) -> Result<BinaryView<'a>, WalkError> {
        let source = self.at.bytes()?;
        self.map()?; // references
        self.at.skip_strings(1)?; // security
        let (path_length, path_fault) = self.path()?;
        let sourced = Timestamp::from_micros(self.at.long()?);
        if self.version.has_settings() {
            self.map()?;
        }
        let streams = self.entity()?;
        let action = self.at.bytes()?;
        self.at.skip_strings(1)?; // dequeued
        self.at.long()?; // retries
        for _flag in 0..3 {
            self.at.boolean()?;
        }
        self.at.skip_strings(1)?; // track_source_references
        self.strings()?; // track_links
        self.strings()?; // track_authors
        Ok(BinaryView {
            source,
            action,
            sourced,
            path_length,
            path_fault,
            streams,
        })
    }

    /// The number of nodes, and the first fault in them.
    fn path(&mut self) -> Result<(u64, Option<PathFault<'a>>), WalkError> {
        let version = self.version;
        let (mut length, mut fault) = (0, None);
        let mut enriched = None;
        self.at.each(|at| {
            let node = Walk::path_node(at, version)?;
            fault = fault.or_else(|| {
                let not_last = enriched.map(PathFault::not_last);
                not_last.or_else(|| node.fault().map(|fault| fault.of_node(length)))
            });
            if node.is_enriched() {
                enriched = Some(length);
            }
            length += 1;
            Ok(())
        })?;
        Ok((length, fault))
    }

    fn path_node(at: &mut Cursor<'a>, version: ModelVersion) -> Result<PathNode<'a>, WalkError> {
        let author = at.bytes()?;
        at.skip_strings(3)?; // version, category, security of the author
        let action = at.bytes()?;
        let sha256 = at.bytes()?;
        skip_map(at)?; // relationship
        at.long()?; // timestamp
        at.skip_strings(1 + usize::from(version.has_legacy_format()))?; // file_format
        at.take(SIZE)?;
        at.skip_strings(2)?; // filename, language
        Ok(PathNode {
            author,
            action,
            sha256,
        })
    }

    /// A binary's metadata, of which only the datastreams are needed.
    fn entity(&mut self) -> Result<StreamsView<'a>, WalkError> {
        let legacy = usize::from(self.version.has_legacy_format());
        self.at.skip_strings(6)?; // sha256, sha512, sha1, md5, ssdeep, tlsh
        self.at.take(SIZE)?;
        self.at.skip_strings(4 + legacy)?; // mime, magic, file_format, file_extension
        self.at.bytes()?; // info
        self.at.each(|feature| {
            feature.skip_strings(4)?; // name, value, type, label
            feature.take(2 * SIZE).map(drop) // size, offset
        })?;
        self.datastreams()
    }

    #[inline]
    fn datastreams(&mut self) -> Result<StreamsView<'a>, WalkError> {
        let version = self.version;
        let before = self.at.rest();
        let mut streams = StreamsView {
            encoded: before,
            first: [(&[], &[]); REMEMBERED],
            version,
            count: 0,
            has_content: false,
            has_other: false,
        };
        self.at.each(|at| {
            let (label, sha256) = walk_datastream(at, version)?;
            if let Some(remembered) = streams.first.get_mut(streams.count as usize) {
                *remembered = (label, sha256);
            }
            streams.count += 1;
            if label == CONTENT {
                streams.has_content = true;
            } else {
                streams.has_other = true;
            }
            Ok(())
        })?;
        streams.encoded = &before[..before.len() - self.at.rest().len()];
        Ok(streams)
    }

    fn insert(&mut self) -> Result<Body<'a>, WalkError> {
        self.at.skip_strings(1)?; // original_source
        let parent_sha256 = self.at.bytes()?;
        self.entity()?; // child
        let history = Self::path_node(&mut self.at, self.version)?;
        self.at.skip_strings(2)?; // track_link, track_author
        Ok(Body::Insert {
            parent_sha256,
            history,
        })
    }

    fn delete(&mut self) -> Result<Body<'a>, WalkError> {
        self.at.skip_strings(2)?; // reason, submission.track_source_references
        self.at.long()?; // submission.timestamp
        self.at.skip_strings(1)?; // author.track_author
        self.at.long()?; // author.timestamp
        self.at.skip_strings(1)?; // link.track_link
        self.strings()?; // ids.ids
        self.at.skip_strings(1)?; // action
        Ok(Body::Delete)
    }

    fn map(&mut self) -> Result<(), WalkError> {
        skip_map(&mut self.at)
    }

    fn strings(&mut self) -> Result<(), WalkError> {
        self.at.each(|at| at.skip_strings(1))
    }
}

fn skip_map(at: &mut Cursor<'_>) -> Result<(), WalkError> {
    at.each(|entry| entry.skip_strings(2))
}
