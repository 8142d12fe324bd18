//! What is backed up or restored in each case: events and binaries, the same ones from the same words on the command line, so
//! that the process that serves them and the one that does the bare work on them agree.

use std::sync::Arc;

use actors::avro::ModelVersion;
use actors::avro::join::bulk_of;
use actors::feed::{Action, Feed, Model, SourceName};
use actors::gzip::{AdaptiveGzip, SEGMENT};
use actors::object_key::{BundleKey, ObjectKey};
use actors::stream_id::StreamId;
use actors::timestamp::Timestamp;
use anyhow::Context;
use bytes::Bytes;

use super::Case;
use super::well::Buckets;
use crate::dispatcher::{Body, RawEvent, StandInDispatcher};
use crate::generator::event::{
    Author, BinaryEvent, Datastream, DeleteEvent, Entity, Event, Hashes, InsertEvent, PathNode, Source,
};
use crate::generator::{Content, FeedEvents, Kind, Shape, World, mix};

/// The model version of all bulks.
const VERSION: i64 = 6;

/// The buckets where a program looks that is told nothing else.
const STREAMS: &str = "azul-backup-1-streams";
const EVENTS: &str = "azul-backup-1-events";

/// What stands in `info` of each event of wide answers.
const WIDE_INFO: usize = 250_000;

/// How large a case is.
#[derive(Clone, Copy, Debug)]
struct Size {
    /// Events of a feed that has any.
    events: u64,
    /// Bytes of each binary.
    binary: u64,
}

fn size(case: Case, short: bool) -> Size {
    let (full, shorter) = match case {
        Case::Binaries => ((2000, 300_000), (200, 300_000)),
        Case::Large => ((20, 100_000_000), (10, 20_000_000)),
        Case::Events => ((100_000, 0), (10_000, 0)),
        Case::Huge => ((1, 1 << 30), (1, 12 << 20)),
        Case::WideAnswers => ((400, 100), (40, 100)),
        Case::RestoreBinaries => ((3333, 300_000), (200, 300_000)),
        Case::RestoreLarge => ((20, 100_000_000), (10, 20_000_000)),
        Case::RestoreEvents => ((100_000, 0), (10_000, 0)),
        Case::RestoreSmall => ((100_000, 1000), (3000, 1000)),
        Case::RestoreHuge => ((1, 1 << 30), (1, 12 << 20)),
    };
    let (events, binary) = if short { shorter } else { full };
    Size { events, binary }
}

/// How many binaries there are in a case with huge ones, one for each worker.
pub(super) const HUGE_AT_ONCE: usize = 40;

/// Everything of one case.
pub(super) struct Load {
    case: Case,
    world: Arc<World>,
    /// Binaries beside those of the world: all of them have the same content.
    huge: Option<(Content, Vec<StreamId>)>,
    /// Events beside those of the world.
    more: Vec<(Feed, RawEvent)>,
    /// How many events make a bundle.
    pub(super) batch: u64,
}

impl Load {
    pub(super) fn new(case: Case, short: bool) -> anyhow::Result<Self> {
        let size = size(case, short);
        let (sources, per_action, info) = match case {
            Case::Binaries
            | Case::Large
            | Case::RestoreBinaries
            | Case::RestoreLarge
            | Case::RestoreSmall => (1, [size.events, 0, 0, 0, 0], 0),
            Case::Events | Case::RestoreEvents => (1, [0, 0, 0, 0, size.events], 0),
            Case::Huge | Case::RestoreHuge => (1, [0; 5], 0),
            Case::WideAnswers => (10, [size.events; 5], WIDE_INFO),
        };
        let shape = Shape {
            system_events: 0,
            kinds: match case {
                Case::Binaries | Case::RestoreBinaries | Case::RestoreSmall => {
                    vec![Kind::Text, Kind::Executable, Kind::Packed]
                }
                _ => vec![Kind::Packed],
            },
            info_bytes: info,
            ..Shape::new(1, sources, 0)
        };
        let world = World::new(
            shape
                .with_events(per_action)
                .with_sizes(size.binary..=size.binary),
        )?;
        let mut load = Self {
            case,
            world,
            huge: None,
            more: Vec::new(),
            batch: size.events.min(1000),
        };
        match case {
            Case::Huge | Case::RestoreHuge => load.add_huge(size.binary)?,
            Case::WideAnswers => load.add_system(size.events),
            _ => {}
        }
        Ok(load)
    }

    /// One event that names all huge binaries. They are the same bytes under many labels, and so need room once.
    fn add_huge(&mut self, size: u64) -> anyhow::Result<()> {
        let content = Content {
            seed: 1,
            size,
            kind: Kind::Packed,
        };
        let source = &self.world.shape().sources[0];
        let sha256 = content.sha256().to_string();
        let label = |number: usize| match number {
            0 => "content".to_owned(),
            number => format!("part_{number}"),
        };
        let streams = (0..HUGE_AT_ONCE).map(|number| StreamId::new(source, &label(number), &sha256));
        let streams: Vec<StreamId> = streams.collect::<Result<_, _>>()?;
        let feed = Feed::binary(SourceName::new(source)?, Action::Sourced);
        self.more = vec![(feed, raw(&naming(source, &streams, size)))];
        self.huge = Some((content, streams));
        Ok(())
    }

    /// Events of the feeds that are no source's, as large as the others.
    fn add_system(&mut self, count: u64) {
        for feed in Feed::of_system() {
            for number in 0..count {
                let event = match feed.model() {
                    Model::Insert => wide_insert(number),
                    _ => wide_delete(number),
                };
                self.more.push((feed.clone(), raw(&event)));
            }
        }
    }

    /// Names of the sources.
    pub(super) fn sources(&self) -> &[String] {
        &self.world.shape().sources
    }

    /// Events that are to come to the other side.
    pub(super) fn events(&self) -> u64 {
        if self.case.restores() && self.case != Case::RestoreEvents {
            return 0;
        }
        let generated: u64 = self.world.feeds().iter().map(|feed| feed.len()).sum();
        generated + self.more.len() as u64
    }

    /// Streams that are to come to the other side.
    pub(super) fn streams(&self) -> u64 {
        if self.case == Case::RestoreEvents {
            return 0;
        }
        let huge = self.huge.as_ref().map_or(0, |(_, streams)| streams.len());
        (self.world.binaries().count() + huge) as u64
    }

    /// Gives everything to the dispatcher, made ahead where that needs no more room than a machine has.
    pub(super) fn fill(&self, dispatcher: &StandInDispatcher) {
        match self.case {
            Case::Events => self.fill_ahead(dispatcher),
            _ => dispatcher.fill(&self.world, false),
        }
        for binary in self.world.binaries() {
            dispatcher.put_stream(&binary.stream, Body::Given(binary.content.bytes().into()));
        }
        if let Some((content, streams)) = &self.huge {
            let bytes = Bytes::from(content.bytes());
            for stream in streams {
                dispatcher.put_stream(stream, Body::Given(bytes.clone()));
            }
        }
        for (feed, event) in &self.more {
            dispatcher.append(feed, [event.clone()]);
        }
    }

    fn fill_ahead(&self, dispatcher: &StandInDispatcher) {
        for feed in self.world.feeds() {
            let events = (0..feed.len()).map(|number| raw(&plain(&feed, number)));
            dispatcher.append(feed.feed(), events);
        }
    }

    /// The contents of all binaries, one after the other.
    pub(super) fn contents(&self) -> impl Iterator<Item = Vec<u8>> {
        self.world.binaries().map(|binary| binary.content.bytes())
    }

    /// The events of each bundle, encoded and joined: of cases that are about events.
    pub(super) fn bundles(&self) -> impl Iterator<Item = Vec<u8>> {
        self.named_bundles().map(|(_, events)| events)
    }

    /// The same with their keys.
    fn named_bundles(&self) -> impl Iterator<Item = (BundleKey, Vec<u8>)> {
        self.world.feeds().into_iter().flat_map(move |feed| {
            let starts = (0..feed.len()).step_by(self.batch.max(1) as usize);
            let batch = self.batch;
            starts.map(move |start| {
                let (mut bulk, end) = (Vec::new(), feed.len().min(start + batch));
                for number in start..end {
                    plain(&feed, number).encode(&mut bulk, VERSION);
                }
                let last = plain(&feed, end - 1);
                let time = Timestamp::from_micros(last.timestamp());
                let key = BundleKey::new(feed.feed().clone(), time, end - start, last.kafka_key());
                (key, bulk)
            })
        })
    }

    /// The objects of a backup of all this, whose bundles are bulks of the present version: each with its key.
    pub(super) fn objects(&self) -> impl Iterator<Item = (ObjectKey, Bytes)> {
        let streams = self.world.binaries().filter(|_| self.case != Case::RestoreEvents);
        let streams = streams.map(|binary| (binary.stream.clone().into(), packed(&binary.content.bytes())));
        let huge = self.huge.iter().flat_map(|(content, streams)| {
            let object = packed(&content.bytes());
            streams
                .iter()
                .map(move |stream| (stream.clone().into(), object.clone()))
        });
        let bundles = self.named_bundles().filter(|_| self.case == Case::RestoreEvents);
        let bundles = bundles.map(|(key, events)| {
            let bulk = bulk_of(ModelVersion::V6, key.count(), &events);
            (key.into(), packed(&bulk))
        });
        streams.chain(huge).chain(bundles)
    }

    /// The same, in the buckets where a restore looks for them.
    pub(super) fn bucket(&self) -> anyhow::Result<Buckets> {
        let mut buckets = Buckets::default();
        for name in [STREAMS, EVENTS] {
            buckets.insert(name.to_owned(), Default::default());
        }
        for (key, object) in self.objects() {
            let name = match key {
                ObjectKey::Stream(_) => STREAMS,
                ObjectKey::Bundle(_) => EVENTS,
            };
            let bucket = buckets.get_mut(name).context("a bucket that is not there")?;
            bucket.insert(key.to_string(), object);
        }
        Ok(buckets)
    }
}

/// As the backup packs it.
fn packed(content: &[u8]) -> Bytes {
    let (mut gzip, mut packed) = (AdaptiveGzip::new(), Vec::new());
    for piece in content.chunks(SEGMENT) {
        gzip.push(piece, &mut packed);
    }
    gzip.finish(&mut packed);
    packed.into()
}

/// A generated event without features: of about 950 bytes.
fn plain(feed: &FeedEvents, number: u64) -> Event {
    let mut event = feed.event(number);
    if let Event::Binary(binary) = &mut event {
        binary.entity.features.clear();
    }
    event
}

fn raw(event: &Event) -> RawEvent {
    RawEvent {
        kafka_key: event.kafka_key().to_owned(),
        timestamp: Timestamp::from_micros(event.timestamp()),
        bytes: event.encoded(VERSION).into(),
    }
}

/// 2025-07-01T00:00:00Z, and a second later for each number.
fn time(number: u64) -> i64 {
    (1_751_328_000 + number as i64) * 1_000_000
}

fn key(number: u64) -> String {
    format!("{:016x}{:016x}", mix(2, number), mix(3, number))
}

fn author() -> Author {
    Author {
        name: "Measurement".to_owned(),
        version: "1".to_owned(),
        ..Author::default()
    }
}

fn sourced(sha256: &str) -> PathNode {
    PathNode {
        author: author(),
        action: "sourced".to_owned(),
        sha256: sha256.to_owned(),
        ..PathNode::default()
    }
}

/// An event that names all these streams.
fn naming(source: &str, streams: &[StreamId], size: u64) -> Event {
    let hashes = |stream: &StreamId| Hashes {
        sha256: stream.sha256().to_string(),
        ..Hashes::default()
    };
    let first = hashes(&streams[0]);
    let datastream = |stream: &StreamId| Datastream {
        label: stream.label().to_owned(),
        size,
        hashes: hashes(stream),
        ..Datastream::default()
    };
    Event::Binary(Box::new(BinaryEvent {
        kafka_key: key(0),
        timestamp: time(0),
        author: author(),
        source: Source {
            name: source.to_owned(),
            path: vec![sourced(&first.sha256)],
            timestamp: time(0),
            ..Source::default()
        },
        entity: Entity {
            hashes: first,
            size,
            datastreams: streams.iter().map(datastream).collect(),
            ..Entity::default()
        },
        action: "sourced".to_owned(),
        ..BinaryEvent::default()
    }))
}

fn wide_insert(number: u64) -> Event {
    Event::Insert(Box::new(InsertEvent {
        kafka_key: key(number),
        timestamp: time(number),
        author: author(),
        parent_sha256: "0".repeat(64),
        child: Entity {
            info: vec![b'i'; WIDE_INFO],
            ..Entity::default()
        },
        child_history: sourced(&"1".repeat(64)),
        ..InsertEvent::default()
    }))
}

fn wide_delete(number: u64) -> Event {
    Event::Delete(Box::new(DeleteEvent {
        kafka_key: key(number),
        timestamp: time(number),
        author: author(),
        reason: "r".repeat(WIDE_INFO),
        action: "submission".to_owned(),
        ..DeleteEvent::default()
    }))
}
