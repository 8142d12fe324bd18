//! The walk over 1000 augmented events with two datastreams each, and apache-avro's full decode of the same.
//!
//! `cargo bench -p azul-backup-actors --bench walk` measures by criterion and then judges: at least 1,000,000
//! events/s, and 20 times the rate of the decoder. `-- --quick` takes seconds instead of half a minute.

use std::hint::black_box;
use std::io::Cursor;
use std::time::{Duration, Instant};

use apache_avro::reader::datum::GenericDatumReader;
use azul_backup_actors::avro::ModelVersion;
use azul_backup_actors::avro::bulk::scan;
use azul_backup_actors::avro::encode::{self, Framing};
use azul_backup_actors::avro::schema::bulk_schema;
use azul_backup_actors::avro::walk::walk_event;
use azul_backup_actors::feed::{Feed, Model};
use azul_backup_actors::stream_id::Sha256;
use azul_backup_actors::timestamp::Timestamp;
use criterion::{Criterion, Throughput};
use serde_json::{Value, json};

const EVENTS: usize = 1000;
const VERSION: ModelVersion = ModelVersion::V6;

fn sha256(number: usize) -> String {
    Sha256::of(&number.to_le_bytes()).to_string()
}

/// Text of the right length.
fn sha512(number: usize) -> String {
    sha256(number) + &sha256(number + 1)
}

fn datastream(number: usize, label: &str) -> Value {
    json!({
        "identify_version": 1, "label": label, "size": 35054 + number,
        "sha512": sha512(number), "sha256": sha256(number),
        "sha1": &sha256(number)[..40], "md5": &sha256(number)[..32],
        "mime": "image/gif", "magic": "GIF image data, version 89a, 80 x 35",
        "file_format": "image/gif", "file_extension": "gif",
    })
}

fn node(number: usize, action: &str) -> Value {
    json!({
        "author": {"name": "MimeDecoder", "version": "2021.02.14", "category": "plugin"},
        "action": action, "sha256": sha256(number), "size": 343_964,
        "relationship": {"action": "extracted", "encoding": "base64"},
        "timestamp": "2021-02-07T10:40:33.075142Z", "file_format": "image/gif", "filename": "picture.gif",
    })
}

/// An event of about 1.9 KB, such as Azul's plugins make.
fn augmented(number: usize) -> Value {
    let feature = |name: &str, value: &str| json!({"name": name, "value": value, "type": "string"});
    json!({
        "model_version": 6, "kafka_key": sha256(number), "timestamp": "2021-02-14T12:12:21.426232Z",
        "author": {"name": "MimeDecoder", "version": "2021.02.14", "category": "plugin"},
        "action": "augmented",
        "source": {
            "name": "samples", "timestamp": "2021-02-06T16:43:23Z",
            "references": {
                "interface": "web", "submitter_city": "canberra", "submitter_country": "AU",
                "submitter_id": "0a9e3094", "submitter_region": "63",
            },
            "path": [node(number + 7, "sourced"), node(number, "augmented")],
        },
        "entity": {
            "sha256": sha256(number), "sha512": sha512(number),
            "sha1": &sha256(number)[..40], "md5": &sha256(number)[..32], "size": 35054,
            "features": [
                feature("filename", "picture.gif"),
                feature("mime_content_encoding", "base64"),
                feature("mime_content_location", "http://an.example/images/banners/picture.gif"),
                feature("mime_content_type", "application/octet-stream"),
                feature("mime", "image/gif"),
                feature("magic", "GIF image data, version 89a, 80 x 35"),
            ],
            "datastreams": [datastream(number, "content"), datastream(number + 1, "deob_js")],
        },
    })
}

fn events() -> Vec<Vec<u8>> {
    (0..EVENTS)
        .map(|number| {
            encode::event(
                Model::Binary,
                VERSION,
                &augmented(number),
                &mut Framing::default(),
            )
        })
        .collect()
}

/// The walk with all that the backup asks of an event: validity, name, and what its streams are called.
fn walk(mut events: &[u8]) -> usize {
    let mut seen = 0;
    while !events.is_empty() {
        let (event, length) = walk_event(Model::Binary, VERSION, events).expect("a sound event");
        assert!(black_box(event.validity()).is_ok());
        black_box((event.kafka_key(), event.timestamp, event.source()));
        let mut streams = event.streams();
        while let Some(stream) = streams.next_raw() {
            black_box(stream);
            seen += 1;
        }
        events = &events[length..];
    }
    seen
}

fn decode(bulk: &[u8]) -> apache_avro::types::Value {
    GenericDatumReader::builder(bulk_schema(Model::Binary, VERSION))
        .build()
        .and_then(|reader| reader.read_value(&mut &*bulk))
        .expect("a sound bulk")
}

fn scanned(feed: &Feed, bulk: &[u8]) -> u64 {
    let range = 0..bulk.len() as u64;
    let scanned = scan(feed, &mut Cursor::new(bulk), range, Timestamp::from_micros(0)).expect("a sound bulk");
    scanned.contents.events
}

/// Seconds that one run of each takes: the best of many, taken in turns, for whatever else the machine does can
/// only slow a run down.
fn compare(spent: Duration, mut walk: impl FnMut(), mut decode: impl FnMut()) -> (f64, f64) {
    let timed = |run: &mut dyn FnMut()| {
        let begun = Instant::now();
        run();
        begun.elapsed()
    };
    let begun = Instant::now();
    let mut best = (Duration::MAX, Duration::MAX);
    while begun.elapsed() < spent {
        best.1 = best.1.min(timed(&mut decode));
        for _ in 0..10 {
            best.0 = best.0.min(timed(&mut walk));
        }
    }
    (best.0.as_secs_f64(), best.1.as_secs_f64())
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let events = events();
    let bulk = encode::bulk(VERSION, &events, &mut Framing::default());
    let events = events.concat();
    let feed: Feed = "samples/binary/augmented".parse().expect("a feed");
    assert_eq!(walk(&events), 2 * EVENTS);
    assert_eq!(scanned(&feed, &bulk), EVENTS as u64);

    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("1000 augmented events");
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("walk", |b| b.iter(|| walk(&events)));
    group.bench_function("scan of the bulk", |b| b.iter(|| scanned(&feed, &bulk)));
    group.bench_function("decode to values", |b| b.iter(|| decode(&bulk)));
    group.finish();

    let spent = Duration::from_secs(if quick { 1 } else { 5 });
    let (walked, decoded) = compare(
        spent,
        || {
            black_box(walk(&events));
        },
        || drop(black_box(decode(&bulk))),
    );
    let (walked, decoded) = (EVENTS as f64 / walked, EVENTS as f64 / decoded);
    let times = walked / decoded;
    println!(
        "{EVENTS} events, {} bytes: walk {walked:.0} events/s, decode {decoded:.0} events/s, {times:.0} times as fast",
        events.len()
    );
    let verdict = |met| if met { "met" } else { "MISSED" };
    println!("at least 1,000,000 events/s: {}", verdict(walked >= 1e6));
    println!("at least 20 times the decoder: {}", verdict(times >= 20.0));
    criterion.final_summary();
}
