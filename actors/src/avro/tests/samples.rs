//! Bulks and events as Azul's own encoder wrote them.

use std::fs;
use std::io::Cursor;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::avro::bulk::{Scanned, scan, visit_events};
use crate::avro::encode::{self, Framing};
use crate::avro::json::to_json;
use crate::avro::walk::walk_event;
use crate::avro::{BulkVersion, ModelVersion};
use crate::feed::{Action, Feed, Model, SourceName};
use crate::timestamp::Timestamp;

/// All samples of one model version: model, JSON, Avro.
fn samples(version: &str) -> Vec<(Model, PathBuf, Value, Vec<u8>)> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/wire-samples")).join(version);
    if !root.is_dir() {
        println!("skipped: no samples at {}", root.display());
        return Vec::new();
    }
    let mut found = Vec::new();
    for model in Model::ALL {
        let Ok(folder) = fs::read_dir(root.join(model.as_str())) else {
            continue;
        };
        for file in folder.map(|file| file.unwrap().path()) {
            if file.extension().is_some_and(|ending| ending == "avro") {
                let json = serde_json::from_slice(&fs::read(file.with_extension("")).unwrap()).unwrap();
                let avro = fs::read(&file).unwrap();
                found.push((model, file, json, avro));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

fn feed(model: Model) -> Feed {
    match model {
        Model::Binary => Feed::binary(SourceName::new("virustotal").unwrap(), Action::Augmented),
        Model::Insert => Feed::of_system()[0].clone(),
        Model::Delete => Feed::of_system()[1].clone(),
    }
}

fn scan_bytes(model: Model, bytes: &[u8]) -> Scanned {
    scan(
        &feed(model),
        &mut Cursor::new(bytes),
        0..bytes.len() as u64,
        Timestamp::from_micros(7),
    )
    .unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn events_of_the_samples_say_what_their_json_says() {
    for (name, version) in [("v5", ModelVersion::V5), ("v6", ModelVersion::V6)] {
        for (model, file, json, avro) in samples(name) {
            if file.to_string_lossy().contains("bulk") {
                continue;
            }
            let (event, length) = walk_event(model, version, &avro).unwrap();
            assert_eq!(length, avro.len());
            assert_eq!(event.model_version, version.number());
            assert_eq!(event.kafka_key(), text(&json["kafka_key"]));
            assert_eq!(event.timestamp, text(&json["timestamp"]).parse().unwrap());
            assert_eq!(event.author(), text(&json["author"]["name"]));
            assert_eq!(event.source(), text(&json["source"]["name"]));
            assert_eq!(event.action(), text(&json["action"]));
            let streams: Vec<String> = event.streams().map(|id| id.unwrap().to_string()).collect();
            let none = Vec::new();
            let named = json["entity"]["datastreams"].as_array().unwrap_or(&none);
            let named: Vec<String> = named
                .iter()
                .map(|stream| {
                    let source = text(&json["source"]["name"]);
                    format!("{source}/{}/{}", text(&stream["label"]), text(&stream["sha256"]))
                })
                .collect();
            assert_eq!(streams, named, "{}", file.display());
            // The samples of version 5 know an action that is no longer one.
            let valid = name != "v5" && !file.to_string_lossy().contains("invalid_path");
            assert_eq!(
                event.validity().is_ok(),
                valid,
                "{} {:?}",
                file.display(),
                event.validity()
            );
        }
    }
}

#[test]
fn bulks_of_the_samples_are_scanned() {
    for (name, version) in [("v5", ModelVersion::V5), ("v6", ModelVersion::V6)] {
        for (model, file, json, avro) in samples(name) {
            if !file.to_string_lossy().contains("bulk") {
                continue;
            }
            let scanned = scan_bytes(model, &avro);
            let events = json["events"].as_array().unwrap();
            let contents = &scanned.contents;
            assert_eq!(contents.version, BulkVersion::Known(version));
            assert_eq!(contents.events, events.len() as u64);
            assert_eq!(contents.blocks, 1..avro.len() as u64 - 1);
            assert_eq!(
                contents.last.kafka_key,
                text(&events[events.len() - 1]["kafka_key"])
            );
            assert_eq!(
                scanned.first,
                Some(text(&events[0]["timestamp"]).parse().unwrap())
            );
            let invalid = if name == "v5" { contents.events } else { 0 };
            assert_eq!(contents.invalid, invalid, "{} {:?}", file.display(), scanned.told);
            assert_eq!(scanned.doubt, None);
        }
    }
}

/// Without what Azul leaves out of its JSON because it is empty, and what tells version 5 from version 6: the JSON
/// of its samples is that of the upgraded event.
fn without_empty(json: &Value) -> Value {
    let is_empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty() || text == "0001-01-01T00:00:00Z",
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) => false,
    };
    match json {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), without_empty(value)))
            .filter(|(name, value)| {
                !is_empty(value) && !["file_format_legacy", "model_version"].contains(&name.as_str())
            })
            .collect(),
        Value::Array(items) => items.iter().map(without_empty).collect(),
        other => other.clone(),
    }
}

#[test]
fn a_full_decode_of_the_samples_is_their_json() {
    for (name, version) in [("v5", ModelVersion::V5), ("v6", ModelVersion::V6)] {
        for (model, file, json, avro) in samples(name) {
            let (decoded, encoded) = if json["events"].is_array() {
                let contents = scan_bytes(model, &avro).contents;
                let mut decoded = Vec::new();
                visit_events(model, &mut Cursor::new(&avro), &contents, &mut |found| {
                    decoded.push(to_json(model, version, found.bytes).unwrap());
                    ControlFlow::Continue(())
                })
                .unwrap();
                let one = |event| encode::event(model, version, event, &mut Framing::default());
                let events: Vec<Vec<u8>> = decoded.iter().map(one).collect();
                let bulk = encode::bulk(version, &events, &mut Framing::default());
                (
                    json!({"model_version": version.number(), "events": decoded}),
                    bulk,
                )
            } else {
                let decoded = to_json(model, version, &avro).unwrap();
                let encoded = encode::event(model, version, &decoded, &mut Framing::default());
                (decoded, encoded)
            };
            assert_eq!(
                without_empty(&decoded),
                without_empty(&json),
                "{}",
                file.display()
            );
            // The order of a map's entries is not kept, so that the bytes may differ, their number not; the
            // blanks in `info` are not kept either.
            if !json.to_string().contains("\"info\"") {
                assert_eq!(encoded.len(), avro.len(), "{}", file.display());
            }
        }
    }
}
