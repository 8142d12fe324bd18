//! What lies in `testdata/`, and that the generator's bytes are Azul's.

use std::path::Path;

use actors::avro::ModelVersion;
use actors::feed::Model;
use sandbox::generator::{Shape, World};
use sandbox::validity::{self, Judge};
use sandbox::{decode, encode, testdata};

#[test]
fn making_it_again_gives_the_committed_bytes() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata"));
    let files = testdata::files().unwrap();
    for file in &files {
        let committed = std::fs::read(folder.join(&file.path)).unwrap_or_default();
        assert!(
            committed == file.bytes,
            "{} differs: cargo run -p sandbox -- testdata",
            file.path
        );
    }
    let size: usize = files.iter().map(|file| file.bytes.len()).sum();
    assert!(size < 300_000, "{size} bytes");
}

#[test]
fn apache_avro_reads_every_generated_event_and_finds_it_valid() {
    let world = World::new(Shape::new(5, 2, 200).with_sizes(1..=100)).unwrap();
    for version in ModelVersion::ALL {
        for feed in world.feeds() {
            let events: Vec<Vec<u8>> = (0..feed.len())
                .map(|number| feed.event(number).encoded(version.number()))
                .collect();
            let bulk = encode::bulk(version.number(), &events, encode::Layout::Sized);
            let model = feed.feed().model();
            let decoded = decode::bulk(model, &bulk).unwrap();
            assert_eq!(decoded.version, version);
            assert!(
                decoded
                    .events
                    .iter()
                    .map(|event| event.bytes)
                    .eq(events.iter().map(Vec::as_slice))
            );
            for (number, event) in (0..).zip(&decoded.events) {
                assert_eq!(validity::fault(model, &event.value, Judge::Dispatcher), None);
                let made = feed.event(number);
                assert_eq!(decode::text(&event.value, &["kafka_key"]), made.kafka_key());
                assert_eq!(decode::micros(&event.value, &["timestamp"]), made.timestamp());
                let named: Vec<String> = decode::items(&event.value, &["entity", "datastreams"])
                    .iter()
                    .map(|stream| {
                        let (label, sha256) = (
                            decode::text(stream, &["label"]),
                            decode::text(stream, &["sha256"]),
                        );
                        format!(
                            "{}/{label}/{sha256}",
                            decode::text(&event.value, &["source", "name"])
                        )
                    })
                    .collect();
                let streams: Vec<String> = feed
                    .streams(number)
                    .iter()
                    .map(|binary| binary.stream.to_string())
                    .collect();
                assert_eq!(named, streams);
            }
        }
    }
}

#[test]
fn the_unknown_version_is_known_to_nobody() {
    for file in testdata::files()
        .unwrap()
        .iter()
        .filter(|file| file.path.starts_with("v7/"))
    {
        let model = Model::ALL
            .into_iter()
            .find(|model| file.path.contains(model.as_str()))
            .unwrap();
        assert!(decode::bulk(model, &file.bytes).is_none(), "{}", file.path);
    }
}

#[test]
fn files_say_what_their_names_say() {
    let files = testdata::files().unwrap();
    let verdicts = |name: &str| -> Option<Vec<bool>> {
        let file = files
            .iter()
            .find(|file| file.path == format!("odd/{name}.avro"))
            .unwrap();
        let bulk = decode::bulk(Model::Binary, &file.bytes)?;
        let valid = |value| validity::fault(Model::Binary, value, Judge::Backup).is_none();
        Some(bulk.events.iter().map(|event| valid(&event.value)).collect())
    };
    assert_eq!(verdicts("invalid-in-the-middle"), Some(vec![true, false, true]));
    assert_eq!(verdicts("all-invalid"), Some(vec![false, false]));
    assert_eq!(verdicts("old-action"), Some(vec![false, false]));
    assert_eq!(verdicts("enriched-not-last"), Some(vec![false]));
    assert_eq!(verdicts("no-datastreams"), Some(vec![true, false]));
    assert_eq!(verdicts("unknown-labels"), Some(vec![true]));
    assert_eq!(verdicts("several-blocks"), Some(vec![true; 5]));
    assert_eq!(verdicts("unsized-blocks"), Some(vec![true; 5]));
    assert_eq!(verdicts("v4-unsized-six"), Some(vec![true; 6]));
    assert_eq!(verdicts("v4-unsized-five"), Some(vec![true; 5]));
    for none in ["truncated", "without-end", "trailing-bytes", "no-bytes"] {
        assert_eq!(verdicts(none), None, "{none}");
    }
    for empty in ["empty", "v4-empty"] {
        assert_eq!(verdicts(empty), Some(Vec::new()), "{empty}");
    }
}
