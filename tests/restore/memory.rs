//! Memory does not depend on the size of what is restored.

use std::fs::File;
use std::io::{BufWriter, Write};

use actors::avro::ModelVersion;
use actors::stream_id::Sha256;
use flate2::Compression;
use flate2::write::GzEncoder;
use sandbox::encode;
use serde_json::json;
use sha2::Digest as _;

use crate::bucket::{EVENTS, STREAMS, bundle_key, event_in, feed};
use crate::scene::Scene;

const MOST: u64 = 128 << 20;

/// Writes an object piece by piece.
fn put(scene: &Scene, bucket: &str, key: &str, pieces: impl Iterator<Item = Vec<u8>>) {
    let path = scene.object_path(bucket, key);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = BufWriter::new(File::create(path).unwrap());
    let mut gzip = GzEncoder::new(file, Compression::fast());
    pieces.for_each(|piece| gzip.write_all(&piece).unwrap());
    gzip.finish().unwrap().flush().unwrap();
}

/// 300 pieces of a MiB, of which no two are the same, and which shrink to almost nothing.
fn pieces() -> impl Iterator<Item = Vec<u8>> {
    (0..300_u32).map(|number| number.to_le_bytes().repeat(1 << 18))
}

#[test]
fn a_stream_of_300_mib_is_restored_in_little_memory() {
    let scene = Scene::new(&["samples"]).set("BK__RESTORE_TYPE", "streams");
    scene.dispatcher.shared().set_forgets(true);
    let mut hash = sha2::Sha256::new();
    pieces().for_each(|piece| hash.update(&piece));
    let key = format!("samples/content/{}", Sha256::from_bytes(hash.finalize().into()));
    put(&scene, STREAMS, &key, pieces());
    let ended = scene.restore(&[]).is(0);
    assert_eq!(scene.dispatcher.shared().stream_size(&key), Some(300 << 20));
    assert!(ended.peak < MOST, "{} MiB", ended.peak >> 20);
}

#[test]
fn a_bundle_of_200_mib_is_restored_in_little_memory() {
    let scene = Scene::new(&["samples"]).set("BK__RESTORE_TYPE", "events");
    scene.dispatcher.shared().set_forgets(true);
    let feed = feed("samples/binary/sourced");
    let event = |number: u64| {
        event_in(&feed, ModelVersion::V6, number, |event| {
            event["author"]["security"] = json!(format!("{number:08}").repeat(1 << 17));
        })
    };
    let mut head = Vec::new();
    encode::bulk_head(&mut head, 6);
    let blocks = (0..200).map(|number| {
        let (bytes, mut block) = (event(number).bytes, Vec::new());
        encode::block(&mut block, 1, &bytes);
        block
    });
    let pieces = std::iter::once(head).chain(blocks).chain([vec![0]]);
    put(&scene, EVENTS, &bundle_key(&feed, &event(199), 200), pieces);
    let ended = scene.restore(&[]).is(0);
    let expected: Vec<String> = (0..200).map(|number| format!("{number:032x}")).collect();
    assert_eq!(scene.published(&feed), expected);
    assert_eq!(ended.events(), [200, 200, 0, 0, 0]);
    assert!(ended.peak < MOST, "{} MiB", ended.peak >> 20);
}
