//! The walk held against apache-avro: the checks that the tests and the fuzz target share. They panic when a
//! promise is broken.
//!
//! Where the walk succeeds, the decoder must succeed, find the same fields and take the same bytes; where the walk
//! fails, so must the decoder. The known differences, all on the safe side:
//! * text that is not UTF-8 fails the decoder only ([`super::walk`] says why);
//! * a block size that is wrong or negative fails the walk only: the decoder ignores sizes;
//! * a tenth byte of a number that exceeds 64 bits fails the walk only: the decoder drops the surplus bits;
//! * text or a truth value that begins beyond the end is null to the decoder; here that counts as a failure.

use std::io::Cursor;

use apache_avro::error::Details;
use serde_json::Value;

use super::bulk::{BulkError, EventReader, Scanned, scan};
use super::cursor::{BEYOND_64_BITS, NEGATIVE_SIZE, WRONG_SIZE};
use super::encode::{self, Framing};
use super::join::{Part, write_bundle};
use super::json::{decode, json_of};
use super::walk::{EventView, walk_event};
use super::{BulkVersion, ModelVersion, WalkError};
use crate::feed::{Action, Feed, Model, SourceName};
use crate::stream_id::StreamId;
use crate::timestamp::Timestamp;

mod made;

/// How much the decoder may allocate for one claim. Set once per process.
const MOST_FOR_THE_DECODER: usize = 16 * 1024 * 1024;

/// Walks and decodes the event at the front of `bytes`, and compares. Returns what the walk said.
pub fn compare(model: Model, version: ModelVersion, bytes: &[u8]) -> Result<usize, WalkError> {
    apache_avro::util::max_allocation_bytes(MOST_FOR_THE_DECODER);
    let walked = walk_event(model, version, bytes);
    let mut rest = bytes;
    let decoded = decode(model, version, &mut rest);
    match (walked, decoded) {
        (Ok((event, length)), Ok(Some(value))) => {
            assert_eq!(length, bytes.len() - rest.len(), "the length of the event");
            agree(model, &event, &json_of(value));
            Ok(length)
        }
        (Ok((event, length)), Err(fault)) => {
            assert!(matches!(fault.details(), Details::ConvertToUtf8(_)), "{fault}");
            let _ = (event.validity(), event.streams().count_malformed());
            Ok(length)
        }
        (Ok(_), Ok(None)) => panic!("the walk found an event that ends too early"),
        (Err(WalkError::Corrupt(reason)), Ok(Some(_))) => {
            assert!(
                [BEYOND_64_BITS, NEGATIVE_SIZE, WRONG_SIZE].contains(&reason),
                "{reason}"
            );
            Err(WalkError::Corrupt(reason))
        }
        (Err(WalkError::Truncated), Ok(Some(value))) => panic!("the walk wants more than {value:?}"),
        (Err(fault), _) => Err(fault),
    }
}

fn text<'a>(json: &'a Value, pointer: &str) -> &'a str {
    json.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn agree(model: Model, event: &EventView<'_>, json: &Value) {
    assert_eq!(
        event.model_version,
        json["model_version"].as_i64().unwrap_or_default()
    );
    assert_eq!(event.kafka_key(), text(json, "/kafka_key"));
    assert_eq!(event.timestamp.to_string(), text(json, "/timestamp"));
    assert_eq!(event.author(), text(json, "/author/name"));
    assert_eq!(event.source(), text(json, "/source/name"));
    if model == Model::Binary {
        assert_eq!(event.action(), text(json, "/action"));
    }
    assert_eq!(
        event.validity().is_ok(),
        is_valid(model, json),
        "{:?} {json}",
        event.validity()
    );
    let streams: Vec<Option<StreamId>> = event.streams().map(Result::ok).collect();
    let expected: Vec<Option<StreamId>> = match json["entity"]["datastreams"].as_array() {
        Some(streams) => streams
            .iter()
            .map(|stream| {
                let source = text(json, "/source/name");
                StreamId::new(source, text(stream, "/label"), text(stream, "/sha256")).ok()
            })
            .collect(),
        None => Vec::new(),
    };
    assert_eq!(streams, expected);
    let malformed = expected.iter().filter(|stream| stream.is_none()).count();
    assert_eq!(event.streams().count_malformed(), malformed as u64);
}

/// The rules of validity once more, as they read in the description, over a full decode.
fn is_valid(model: Model, json: &Value) -> bool {
    let filled = |pointers: &[&str]| pointers.iter().all(|pointer| !text(json, pointer).is_empty());
    let known = |action: &str| ["sourced", "extracted", "augmented", "mapped", "enriched"].contains(&action);
    match model {
        Model::Delete => filled(&["/author/name"]),
        Model::Insert => filled(&[
            "/author/name",
            "/entity/parent_sha256",
            "/entity/child_history/sha256",
            "/entity/child_history/action",
            "/entity/child_history/author/name",
        ]),
        Model::Binary => {
            let path = json["source"]["path"].as_array().map_or(&[][..], Vec::as_slice);
            let streams = json["entity"]["datastreams"]
                .as_array()
                .map_or(&[][..], Vec::as_slice);
            let content = streams.iter().any(|stream| text(stream, "/label") == "content");
            let other = streams.iter().any(|stream| text(stream, "/label") != "content");
            let nodes = path.iter().enumerate().all(|(index, node)| {
                !text(node, "/sha256").is_empty()
                    && !text(node, "/author/name").is_empty()
                    && known(text(node, "/action"))
                    && (text(node, "/action") != "enriched" || index + 1 == path.len())
            });
            let datastreams = match text(json, "/action") {
                "enriched" => streams.is_empty(),
                "mapped" => !content,
                "sourced" | "extracted" => content,
                "augmented" => content && other,
                _ => false,
            };
            filled(&["/author/name", "/source/name"]) && !path.is_empty() && nodes && datastreams
        }
    }
}

/// Reads `bytes` as a journaled bulk, and if it can be read joins it, whole and in two pieces, and holds the
/// bundles against it.
pub fn check_bulk(model: Model, bytes: &[u8]) -> Option<Scanned> {
    let feed = match model {
        Model::Binary => SourceName::new("samples").map(|source| Feed::binary(source, Action::Sourced)),
        Model::Insert => Ok(Feed::of_system()[0].clone()),
        Model::Delete => Ok(Feed::of_system()[1].clone()),
    };
    let feed = feed.expect("`samples` is a name");
    let received = Timestamp::from_micros(7);
    let scanned = match scan(&feed, &mut Cursor::new(bytes), 0..bytes.len() as u64, received) {
        Ok(scanned) => scanned,
        Err(BulkError::NotUnderstood { offset, .. }) => {
            assert!(offset <= bytes.len() as u64);
            return None;
        }
        Err(fault) => panic!("{fault}"),
    };
    let contents = &scanned.contents;
    assert!(contents.invalid <= contents.events);
    assert!(
        contents.events <= bytes.len() as u64,
        "an event takes a byte at least"
    );
    let whole = join(model, bytes, &scanned, contents.events);
    match contents.version {
        BulkVersion::Unknown(_) => assert_eq!(whole, bytes),
        BulkVersion::Known(_) => {
            let events = events_of(model, bytes, &scanned);
            assert_eq!(events.len() as u64, contents.events);
            let halves = join(model, bytes, &scanned, contents.events / 2);
            for bundle in [whole, halves] {
                let again = scan(&feed, &mut Cursor::new(&bundle), 0..bundle.len() as u64, received)
                    .expect("a bundle is a bulk");
                assert_eq!(events_of(model, &bundle, &again), events);
                if contents.events > 0 {
                    assert_eq!(again.contents.version, contents.version);
                    assert_eq!(again.contents.last, contents.last);
                }
            }
        }
    }
    Some(scanned)
}

/// The bundle of all events, given in two parts: those before `cut`, and the rest.
fn join(model: Model, bytes: &[u8], scanned: &Scanned, cut: u64) -> Vec<u8> {
    let contents = &scanned.contents;
    let mut parts = vec![Part {
        contents,
        events: 0..cut,
    }];
    if cut < contents.events {
        parts.push(Part {
            contents,
            events: cut..contents.events,
        });
    }
    let mut bundle = Vec::new();
    let version = scanned.contents.version;
    let bytes = bytes.to_vec();
    write_bundle(
        model,
        version,
        &parts,
        1,
        &mut |_| Ok(Box::new(Cursor::new(bytes.clone()))),
        &mut bundle,
    )
    .expect("what was scanned can be joined");
    bundle
}

fn events_of(model: Model, bytes: &[u8], scanned: &Scanned) -> Vec<Vec<u8>> {
    let mut reader = EventReader::new(model, &scanned.contents, Cursor::new(bytes));
    let mut events = Vec::new();
    while let Some(event) = reader
        .next(|found| {
            assert_eq!(found.index, events.len() as u64);
            assert_eq!(
                found.bytes,
                &bytes[found.place.start as usize..found.place.end as usize]
            );
            found.bytes.to_vec()
        })
        .expect("what was scanned can be read")
    {
        events.push(event);
    }
    events
}

/// What the fuzz target runs: the first byte chooses a model, a version and whether the rest is an event, a bulk,
/// or chance from which an event is made and then damaged.
pub fn check(input: &[u8]) {
    let Some((choice, rest)) = input.split_first() else {
        return;
    };
    let model = Model::ALL[usize::from(choice % 3)];
    let version = ModelVersion::ALL[usize::from(choice / 3 % 3)];
    match choice / 9 % 3 {
        0 => drop(compare(model, version, rest)),
        1 => drop(check_bulk(model, rest)),
        _ => {
            let (framing, made_of) = rest.split_at(rest.len() / 4);
            let mut event = made_event(model, version, made_of, framing);
            assert_eq!(compare(model, version, &event), Ok(event.len()));
            if let [place, value, ..] = *framing {
                let place = usize::from(place) * event.len() / 256;
                event[place] ^= value;
                let _ = compare(model, version, &event);
                let _ = compare(model, version, &event[..place]);
            }
        }
    }
}

/// An event made of `chance`, its arrays and maps cut into blocks by `framing`.
pub fn made_event(model: Model, version: ModelVersion, chance: &[u8], framing: &[u8]) -> Vec<u8> {
    let json = made::event(model, version, &mut made::Chance(chance));
    encode::event(model, version, &json, &mut Framing::by(framing))
}
