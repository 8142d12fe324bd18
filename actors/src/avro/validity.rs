//! Which events the dispatcher would call valid, and which binaries an event asks for.
//!
//! An invalid event is counted and reported, and kept all the same, for the rules change between versions of
//! Azul; the well-formed streams of an invalid event are requested like all others.

use super::ModelVersion;
use super::cursor::Cursor;
use super::walk::{BinaryView, Body, EventView, REMEMBERED, StreamsView, walk_datastream};
use crate::feed::Action;
use crate::path_segment::{Unsafe, path_segment};
use crate::stream_id::StreamId;

/// Why an event is invalid, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A field that must say something is empty.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// The action is none that is known.
    #[error("action `{0}` is not known")]
    UnknownAction(String),
    /// A node of the path breaks a rule.
    #[error("source.path[{0}]: {1}")]
    Node(u64, Box<Invalid>),
    /// A node that must be the last of its path is not.
    #[error("enriched, but not the last node of the path")]
    EnrichedNotLast,
    /// The datastreams do not go with the action.
    #[error("{0}")]
    Datastreams(&'static str),
}

/// What is needed of one node of a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct PathNode<'a> {
    pub(super) author: &'a [u8],
    pub(super) action: &'a [u8],
    pub(super) sha256: &'a [u8],
}

/// What is wrong with a node.
#[derive(Clone, Copy, Debug)]
pub(super) enum NodeFault<'a> {
    Empty(&'static str),
    UnknownAction(&'a [u8]),
    NotLast,
}

/// What is wrong with which node of the path.
#[derive(Clone, Copy, Debug)]
pub(super) struct PathFault<'a> {
    node: u64,
    fault: NodeFault<'a>,
}

impl<'a> NodeFault<'a> {
    pub(super) fn of_node(self, node: u64) -> PathFault<'a> {
        PathFault { node, fault: self }
    }

    fn explain(self) -> Invalid {
        match self {
            Self::Empty(field) => Invalid::Empty(field),
            Self::UnknownAction(action) => unknown(action),
            Self::NotLast => Invalid::EnrichedNotLast,
        }
    }
}

impl PathFault<'_> {
    /// The enriched `node` is followed by another.
    pub(super) fn not_last(node: u64) -> Self {
        NodeFault::NotLast.of_node(node)
    }

    fn explain(self) -> Invalid {
        Invalid::Node(self.node, Box::new(self.fault.explain()))
    }
}

impl<'a> PathNode<'a> {
    pub(super) fn is_enriched(&self) -> bool {
        self.action == Action::Enriched.as_str().as_bytes()
    }

    pub(super) fn fault(&self) -> Option<NodeFault<'a>> {
        if self.sha256.is_empty() {
            Some(NodeFault::Empty("sha256"))
        } else if self.author.is_empty() {
            Some(NodeFault::Empty("author.name"))
        } else if known(self.action).is_none() {
            Some(NodeFault::UnknownAction(self.action))
        } else {
            None
        }
    }
}

fn known(action: &[u8]) -> Option<Action> {
    Action::BINARY
        .into_iter()
        .find(|known| known.as_str().as_bytes() == action)
}

fn unknown(action: &[u8]) -> Invalid {
    let text: String = String::from_utf8_lossy(action).chars().take(80).collect();
    Invalid::UnknownAction(text.escape_debug().to_string())
}

fn filled(field: &'static str, value: &[u8]) -> Result<(), Invalid> {
    if value.is_empty() {
        Err(Invalid::Empty(field))
    } else {
        Ok(())
    }
}

impl<'a> EventView<'a> {
    /// Holds the event against the rules of the dispatcher.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn validity(&self) -> Result<(), Invalid> {
        filled("author.name", self.author)?;
        match &self.body {
            Body::Binary(binary) => binary.validity(),
            Body::Insert {
                parent_sha256,
                history,
            } => {
                filled("entity.parent_sha256", parent_sha256)?;
                filled("entity.child_history.sha256", history.sha256)?;
                filled("entity.child_history.action", history.action)?;
                filled("entity.child_history.author.name", history.author)
            }
            Body::Delete => Ok(()),
        }
    }

    /// The streams that the event asks for, in its order, under its own source; also those of an invalid event.
    pub fn streams(&self) -> Streams<'a> {
        match &self.body {
            Body::Binary(binary) => Streams::new(binary.source, &binary.streams),
            Body::Insert { .. } | Body::Delete => Streams::none(),
        }
    }
}

impl BinaryView<'_> {
    fn validity(&self) -> Result<(), Invalid> {
        filled("action", self.action)?;
        let action = known(self.action).ok_or_else(|| unknown(self.action))?;
        filled("source.name", self.source)?;
        if self.path_length == 0 {
            return Err(Invalid::Empty("source.path"));
        }
        if let Some(fault) = self.path_fault {
            return Err(fault.explain());
        }
        self.streams.validity(action)
    }
}

impl StreamsView<'_> {
    fn validity(&self, action: Action) -> Result<(), Invalid> {
        let broken = match action {
            Action::Enriched if self.count > 0 => "an enriched event has datastreams",
            Action::Mapped if self.has_content => "a mapped event has a content stream",
            Action::Sourced | Action::Extracted | Action::Augmented if !self.has_content => {
                "there is no content stream"
            }
            Action::Augmented if !self.has_other => "an augmented event has no second label",
            _ => return Ok(()),
        };
        Err(Invalid::Datastreams(broken))
    }
}

/// The streams of one event; see [`EventView::streams`].
#[derive(Clone, Debug)]
pub struct Streams<'a> {
    source: &'a [u8],
    left: Left<'a>,
}

/// What is still to come.
#[derive(Clone, Debug)]
enum Left<'a> {
    /// All that there are have been remembered.
    Remembered(std::iter::Take<std::array::IntoIter<(&'a [u8], &'a [u8]), REMEMBERED>>),
    /// The array is walked once more.
    Encoded {
        at: Cursor<'a>,
        version: ModelVersion,
        left_in_block: u64,
    },
}

impl<'a> Streams<'a> {
    fn new(source: &'a [u8], streams: &StreamsView<'a>) -> Self {
        let left = if streams.count <= REMEMBERED as u64 {
            Left::Remembered(streams.first.into_iter().take(streams.count as usize))
        } else {
            Left::Encoded {
                at: Cursor::new(streams.encoded),
                version: streams.version,
                left_in_block: 0,
            }
        };
        Self { source, left }
    }

    fn none() -> Self {
        Self {
            source: b"",
            left: Left::Remembered([(&b""[..], &b""[..]); REMEMBERED].into_iter().take(0)),
        }
    }

    /// Label and SHA-256 of the next one, as they stand in the event. The array has been walked before, so that
    /// an error means no more than its end.
    pub fn next_raw(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        match &mut self.left {
            Left::Remembered(streams) => streams.next(),
            Left::Encoded {
                at,
                version,
                left_in_block,
            } => {
                if *left_in_block == 0 {
                    *left_in_block = at.block().ok()??.count;
                }
                *left_in_block -= 1;
                walk_datastream(at, *version).ok()
            }
        }
    }

    /// How many of them are named so that they cannot be requested.
    pub fn count_malformed(mut self) -> u64 {
        let mut malformed = 0;
        let source_is_safe = path_segment("source", &text(self.source)).is_ok();
        while let Some((label, sha256)) = self.next_raw() {
            let safe = source_is_safe && is_sha256(sha256) && path_segment("label", &text(label)).is_ok();
            malformed += u64::from(!safe);
        }
        malformed
    }
}

/// Whether these are 64 lower-case hex digits.
fn is_sha256(digits: &[u8]) -> bool {
    digits.len() == 64
        && digits
            .iter()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

impl Iterator for Streams<'_> {
    type Item = Result<StreamId, Unsafe>;

    fn next(&mut self) -> Option<Self::Item> {
        let (label, sha256) = self.next_raw()?;
        Some(StreamId::new(&text(self.source), &text(label), &text(sha256)))
    }
}

/// What is not UTF-8 is escaped, and so made something that cannot become part of a key: a replacement
/// character would name a stream that nobody has.
fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.escape_ascii().to_string().into(),
    }
}
