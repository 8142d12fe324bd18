//! Bulks of every kind: versions told apart, damage noticed, bundles joined and split without loss.

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::avro::bulk::{BulkError, EventReader, MOST_TOLD, Scanned, name_after, scan};
use crate::avro::cursor::write_long;
use crate::avro::differential::check_bulk;
use crate::avro::encode::{self, Framing};
use crate::avro::join::{Part, write_bundle};
use crate::avro::{BulkVersion, ModelVersion};
use crate::feed::{Feed, Model};
use crate::stream_id::Sha256;
use crate::timestamp::Timestamp;

const RECEIVED: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const VERSIONS: [ModelVersion; 3] = ModelVersion::ALL;

fn feed() -> Feed {
    "samples/binary/sourced".parse().unwrap()
}

fn try_scan(bytes: &[u8]) -> Result<Scanned, BulkError> {
    scan(&feed(), &mut Cursor::new(bytes), 0..bytes.len() as u64, RECEIVED)
}

fn sourced(number: i64, version: i64) -> Value {
    json!({
        "model_version": version,
        "kafka_key": format!("key-{number}"),
        "timestamp": Timestamp::from_micros(number).to_string(),
        "author": {"name": "author"},
        "action": "sourced",
        "source": {
            "name": "samples",
            "path": [{"author": {"name": "author"}, "action": "sourced", "sha256": "ab"}],
        },
        "entity": {"datastreams": [{"label": "content", "sha256": Sha256::of(b"x").to_string()}]},
    })
}

fn invalid(number: i64, version: i64) -> Value {
    let mut event = sourced(number, version);
    event["author"]["name"] = "".into();
    event
}

fn encoded(version: ModelVersion, events: &[Value]) -> Vec<Vec<u8>> {
    let one = |event| encode::event(Model::Binary, version, event, &mut Framing::default());
    events.iter().map(one).collect()
}

fn valid_bulk(version: ModelVersion, events: Range<i64>, framing: &[u8]) -> Vec<u8> {
    let events: Vec<Value> = events.map(|number| sourced(number, version.number())).collect();
    encode::bulk(version, &encoded(version, &events), &mut Framing::by(framing))
}

/// One block without a size.
const UNSIZED: &[u8] = &[1, 1, 1, 1, 1, 1, 1, 1];

#[test]
fn versions_are_told_apart_whatever_the_framing() {
    for version in VERSIONS {
        for framing in [&[][..], UNSIZED, &[3], &[5, 4, 7], &[9]] {
            // Counts of 5 and 6 without a size begin like a version.
            for count in [1, 5, 6, 12] {
                let bulk = valid_bulk(version, 0..count, framing);
                let scanned = try_scan(&bulk).unwrap();
                assert_eq!(
                    scanned.contents.version,
                    BulkVersion::Known(version),
                    "{framing:?} {count}"
                );
                assert_eq!(scanned.contents.events, count as u64);
                assert_eq!(scanned.contents.invalid, 0, "{:?}", scanned.told);
                assert_eq!(scanned.malformed_streams, 0);
                assert_eq!(scanned.doubt, None);
                check_bulk(Model::Binary, &bulk).unwrap();
            }
        }
    }
}

#[test]
fn a_bulk_without_events_is_named_after_the_time_of_receipt() {
    for body in [&[][..], &[0], &[10, 0], &[12, 0], &[14, 0]] {
        let scanned = try_scan(body).unwrap();
        assert_eq!(scanned.contents.events, 0, "{body:?}");
        assert_eq!(scanned.contents.last.timestamp, RECEIVED);
        assert_eq!(scanned.first, None);
    }
}

#[test]
fn the_last_valid_event_gives_the_name_and_the_first_invalid_ones_are_told() {
    let mut events = vec![sourced(1, 6), sourced(2, 6)];
    events.extend((3..40).map(|number| invalid(number, 6)));
    let bulk = encode::bulk(
        ModelVersion::V6,
        &encoded(ModelVersion::V6, &events),
        &mut Framing::default(),
    );
    let scanned = try_scan(&bulk).unwrap();
    assert_eq!(scanned.contents.last.kafka_key, "key-2");
    assert_eq!(scanned.first, Some(Timestamp::from_micros(1)));
    assert_eq!(scanned.contents.invalid, 37);
    assert_eq!(scanned.told.len(), MOST_TOLD);
    assert_eq!(scanned.told[0].kafka_key, "key-3");
    assert_eq!(scanned.told[0].reason, "author.name is empty");

    let name =
        |events| name_after(Model::Binary, &mut Cursor::new(&bulk), &scanned.contents, events).unwrap();
    assert_eq!(name(0..1).kafka_key, "key-1");
    assert_eq!(name(0..10).kafka_key, "key-2");
    assert_eq!(name(0..39).kafka_key, "key-2");
    assert_eq!(name(5..10).kafka_key, "key-10", "none is valid: the last one");
}

#[test]
fn malformed_streams_are_counted_and_well_formed_ones_of_invalid_events_asked_for() {
    let mut event = invalid(1, 6);
    let hash = Sha256::of(b"x").to_string();
    event["entity"]["datastreams"] = json!([
        {"label": "content", "sha256": hash},
        {"label": "../x", "sha256": hash},
        {"label": "text", "sha256": "AB"},
    ]);
    let mut bytes = encoded(ModelVersion::V6, &[event]).remove(0);
    let bulk = encode::bulk(ModelVersion::V6, &[bytes.clone()], &mut Framing::default());
    let scanned = try_scan(&bulk).unwrap();
    assert_eq!((scanned.contents.invalid, scanned.malformed_streams), (1, 2));

    // A label that is not UTF-8 names nothing that could be requested, and fails nothing else.
    let place = memchr::memmem::find(&bytes, b"content").unwrap();
    bytes[place] = 0xff;
    let (view, _) = crate::avro::walk::walk_event(Model::Binary, ModelVersion::V6, &bytes).unwrap();
    assert!(view.streams().all(|stream| stream.is_err()));
}

#[test]
fn a_damaged_bulk_of_version_4_is_not_understood() {
    let bulk = valid_bulk(ModelVersion::V4, 0..3, &[]);
    for cut in 1..bulk.len() {
        assert!(
            matches!(try_scan(&bulk[..cut]), Err(BulkError::NotUnderstood { .. })),
            "{cut}"
        );
    }
    let trailing = [&bulk[..], b"x"].concat();
    assert!(matches!(
        try_scan(&trailing),
        Err(BulkError::NotUnderstood { .. })
    ));
}

#[test]
fn a_damaged_bulk_of_a_later_version_is_kept_whole_with_the_doubt_told() {
    let bulk = valid_bulk(ModelVersion::V6, 0..3, &[]);
    for damaged in [
        &bulk[..bulk.len() - 1],
        &bulk[..100],
        &bulk[..1],
        &[&bulk[..], b"x"].concat(),
    ] {
        let scanned = try_scan(damaged).unwrap();
        assert_eq!(scanned.contents.version, BulkVersion::Unknown(6));
        assert!(scanned.contents.events > 0, "what has none is not stored");
        assert!(scanned.doubt.unwrap().starts_with("version 6 in name only"));
    }
}

#[test]
fn events_of_an_unknown_version_are_counted_and_named_as_far_as_they_can_be() {
    let newer = |number| {
        let mut event = Vec::new();
        write_long(7, &mut event);
        write_long(4, &mut event);
        event.extend_from_slice(b"key!");
        write_long(number, &mut event);
        event.extend_from_slice(&[0xff; 300]);
        event
    };
    let events: Vec<Vec<u8>> = (5..9).map(newer).collect();
    for (framing, counted) in [(&[][..], 4), (&[4, 4], 4), (UNSIZED, 4), (&[4, 3, 3], 3)] {
        let mut bulk = vec![14];
        Framing::by(framing).array(&events, &mut bulk);
        let scanned = try_scan(&bulk).unwrap();
        assert_eq!(scanned.contents.version, BulkVersion::Unknown(7));
        assert_eq!(scanned.contents.events, counted, "{framing:?}");
        assert_eq!(scanned.contents.last.kafka_key, "key!");
        assert_eq!(scanned.contents.last.timestamp, Timestamp::from_micros(5));
        assert_eq!(scanned.first, Some(Timestamp::from_micros(5)));
        assert_eq!(scanned.contents.bulk, 0..bulk.len() as u64);
        assert!(scanned.contents.blocks.is_empty());
        check_bulk(Model::Binary, &bulk).unwrap();
    }
}

#[test]
fn a_bulk_of_which_nothing_is_understood_is_named_by_its_hash() {
    for body in [
        &[14, 0xff, 0xff, 0xff][..],
        &[14, 2, 1, 2, 3],
        &[0x80],
        &[0, 1],
        &[14, 4],
    ] {
        let scanned = try_scan(body).unwrap();
        assert!(
            matches!(scanned.contents.version, BulkVersion::Unknown(_)),
            "{body:?}"
        );
        assert!(scanned.contents.events > 0);
        assert_eq!(scanned.contents.last.timestamp, RECEIVED);
        assert_eq!(scanned.contents.last.kafka_key, Sha256::of(body).to_string());
        check_bulk(Model::Binary, body).unwrap();
    }
}

/// Gives a few bytes at a time.
struct Drip(Cursor<Vec<u8>>);

impl Read for Drip {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(7);
        self.0.read(&mut into[..most])
    }
}

impl Seek for Drip {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn a_large_event_in_the_middle_of_a_file_is_read_in_small_pieces() {
    let mut large = sourced(1, 6);
    large["entity"]["info"] = "x".repeat(3 << 20).into();
    let events = encoded(ModelVersion::V6, &[sourced(0, 6), large, sourced(2, 6)]);
    let bulk = encode::bulk(ModelVersion::V6, &events, &mut Framing::default());
    let range = 100..100 + bulk.len() as u64;
    let file = [vec![7; 100], bulk, vec![7; 100]].concat();
    let scanned = scan(&feed(), &mut Cursor::new(&file), range.clone(), RECEIVED).unwrap();
    assert_eq!((scanned.contents.events, scanned.contents.invalid), (3, 0));
    assert_eq!(scanned.contents.blocks, range.start + 1..range.end - 1);
    assert_eq!(scanned.contents.last.kafka_key, "key-2");

    let small = valid_bulk(ModelVersion::V6, 0..50, &[]);
    let length = small.len() as u64;
    let dripped = scan(
        &feed(),
        &mut Drip(Cursor::new(small.clone())),
        0..length,
        RECEIVED,
    )
    .unwrap();
    assert_eq!(dripped, try_scan(&small).unwrap());
}

#[test]
fn an_event_beyond_the_limit_is_not_understood() {
    let mut large = sourced(1, 4);
    large["entity"]["info"] = "x".repeat(33 << 20).into();
    let bulk = encode::bulk(
        ModelVersion::V4,
        &encoded(ModelVersion::V4, &[large]),
        &mut Framing::default(),
    );
    let fault = try_scan(&bulk).unwrap_err();
    assert!(fault.to_string().contains("an event exceeds 32 MiB"), "{fault}");
}

fn events_of(bytes: &[u8]) -> Vec<Vec<u8>> {
    let scanned = try_scan(bytes).unwrap();
    let mut reader = EventReader::new(Model::Binary, &scanned.contents, Cursor::new(bytes));
    let mut events = Vec::new();
    while let Some(event) = reader.next(|found| found.bytes.to_vec()).unwrap() {
        events.push(event);
    }
    events
}

fn joined(version: ModelVersion, bulks: &[(Vec<u8>, Range<u64>)], copies: u32) -> Result<Vec<u8>, BulkError> {
    let scanned: Vec<Scanned> = bulks.iter().map(|(bulk, _)| try_scan(bulk).unwrap()).collect();
    let parts: Vec<Part<'_>> = scanned
        .iter()
        .zip(bulks)
        .map(|(scanned, (_, events))| Part {
            contents: &scanned.contents,
            events: events.clone(),
        })
        .collect();
    let mut out = Vec::new();
    let open = &mut |index: usize| Ok(Box::new(Cursor::new(bulks[index].0.clone())) as _);
    write_bundle(
        Model::Binary,
        BulkVersion::Known(version),
        &parts,
        copies,
        open,
        &mut out,
    )?;
    Ok(out)
}

#[test]
fn whole_batches_are_joined_at_their_borders_byte_for_byte() {
    let one = valid_bulk(ModelVersion::V6, 0..3, &[]);
    let two = valid_bulk(ModelVersion::V6, 3..5, UNSIZED);
    let bundle = joined(ModelVersion::V6, &[(one.clone(), 0..3), (two.clone(), 0..2)], 1).unwrap();
    assert_eq!(bundle, [&one[..one.len() - 1], &two[1..]].concat());
}

#[test]
fn a_bundle_of_version_4_begins_with_a_negative_number() {
    let bulk = valid_bulk(ModelVersion::V4, 0..3, UNSIZED);
    assert_eq!(bulk[0], 6, "a positive count");
    let bundle = joined(ModelVersion::V4, &[(bulk.clone(), 0..3)], 1).unwrap();
    assert_eq!(bundle[0], 5, "a negative count");
    assert_eq!(events_of(&bundle), events_of(&bulk));
}

#[test]
fn bulks_of_different_versions_are_never_joined() {
    let five = valid_bulk(ModelVersion::V5, 0..3, &[]);
    assert!(matches!(
        joined(ModelVersion::V6, &[(five, 0..3)], 1),
        Err(BulkError::CannotJoin)
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_and_join_keeps_every_event_as_it_was(
        version in 0..3usize,
        bulks in prop::collection::vec(
            (1..8i64, prop::collection::vec(any::<u8>(), 0..6), 0..9u64, 0..9u64),
            1..5,
        ),
        copies in 1..3u32,
    ) {
        let version = VERSIONS[version];
        let mut expected = Vec::new();
        let mut members = Vec::new();
        for (index, (count, framing, from, to)) in bulks.iter().enumerate() {
            let first = index as i64 * 10;
            let bulk = valid_bulk(version, first..first + count, framing);
            let from = (*from).min(*count as u64);
            let events = from..(*to).clamp(from, *count as u64);
            expected.extend_from_slice(&events_of(&bulk)[events.start as usize..events.end as usize]);
            members.push((bulk, events));
        }
        let bundle = joined(version, &members, copies).unwrap();
        prop_assert_eq!(events_of(&bundle), vec![expected.clone(); copies as usize].concat());
        prop_assert_eq!(&joined(version, &members, copies).unwrap(), &bundle, "repeated, it is the same");
        if !expected.is_empty() {
            prop_assert_eq!(try_scan(&bundle).unwrap().contents.version, BulkVersion::Known(version));
        }
    }
}
