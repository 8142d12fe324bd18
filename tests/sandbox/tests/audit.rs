//! The audit finds what is missing, wrong, or too much.

mod raw;

use std::io::Write;
use std::path::Path;

use actors::feed::Model;
use actors::object_key::BundleKey;
use actors::timestamp::Timestamp;
use flate2::Compression;
use flate2::write::GzEncoder;
use sandbox::audit::{Audit, Expected};
use sandbox::decode;
use sandbox::dispatcher::{Config, StandInDispatcher};
use sandbox::generator::{Shape, World};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn store(root: &Path, bucket: &str, key: &str, bytes: &[u8]) {
    let path = root.join(bucket).join(key);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// A good backup of a small world, made by hand, and what has to be in it.
fn backup(root: &Path, version: i64) -> Expected {
    let world = World::new(Shape::new(3, 1, 100).with_sizes(1..=500)).unwrap();
    let standin = StandInDispatcher::start(Config {
        model_version: version,
        ..Config::default()
    })
    .unwrap();
    standin.fill(&world, false);
    for feed in world.feeds() {
        let (source, model, action) = (feed.feed().source(), feed.feed().model(), feed.feed().action());
        let filter = match model {
            Model::Binary => format!("&r-source={source}&r-action={}", action.as_str()),
            _ => String::new(),
        };
        let path = format!(
            "/api/v2/event/{}/passive?name=backup-events-{source}-{}-1&version=3.0.0&count={}&deadline=60&r-historic=true{filter}",
            model.as_str(),
            feed.feed().event_word(),
            feed.len(),
        );
        let (_, bulk) = raw::pulled(&raw::get(standin.address(), &path));
        let last = feed.event(feed.len() - 1);
        let time = Timestamp::from_micros(last.timestamp());
        let key = BundleKey::new(feed.feed().clone(), time, feed.len(), last.kafka_key());
        store(root, "b-events", &key.to_string(), &gzip(&bulk));
    }
    for binary in world.binaries() {
        store(
            root,
            "b-streams",
            &binary.stream.to_string(),
            &gzip(&binary.content.bytes()),
        );
    }
    Expected::handed_out(standin.shared(), "backup-events-", false)
}

fn faults(root: &Path, expected: &Expected) -> Vec<String> {
    Audit::of(root, "b", expected).unwrap().faults
}

fn some_key(root: &Path, bucket: &str) -> String {
    sandbox::s3::keys(root, bucket).unwrap().unwrap().remove(0)
}

#[test]
fn a_good_backup_is_clean_in_every_version() {
    for version in [4, 5, 6, 7] {
        let root = tempfile::tempdir().unwrap();
        let expected = backup(root.path(), version);
        let audit = Audit::of(root.path(), "b", &expected).unwrap();
        assert!(audit.is_clean(), "{audit}");
        assert_eq!(
            (audit.feeds, audit.bundles, audit.events, audit.streams),
            (7, 7, 104, 15)
        );
        assert_eq!(audit.references, if version == 7 { 0 } else { 45 });
    }
}

#[test]
fn a_lost_bundle_and_a_doubled_event_are_found() {
    let root = tempfile::tempdir().unwrap();
    let expected = backup(root.path(), 6);
    let key = some_key(root.path(), "b-events");
    let path = root.path().join("b-events").join(&key);
    let bundle = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(
        faults(root.path(), &expected)
            .iter()
            .any(|fault| fault.contains("in no bundle"))
    );
    std::fs::write(&path, &bundle).unwrap();
    std::fs::write(
        path.with_file_name(key.rsplit('/').next().unwrap().replace("Z-", ".5Z-")),
        &bundle,
    )
    .unwrap();
    let found = faults(root.path(), &expected);
    assert!(found.iter().any(|fault| fault.contains("too often")), "{found:?}");
    assert!(
        found
            .iter()
            .any(|fault| fault.contains("by its content it should be")),
        "{found:?}"
    );
}

#[test]
fn a_changed_event_is_found() {
    let root = tempfile::tempdir().unwrap();
    let expected = backup(root.path(), 6);
    let key = some_key(root.path(), "b-events");
    let path = root.path().join("b-events").join(&key);
    let mut bulk = Vec::new();
    std::io::Read::read_to_end(
        &mut flate2::read::GzDecoder::new(&std::fs::read(&path).unwrap()[..]),
        &mut bulk,
    )
    .unwrap();
    let at = raw::find(&bulk, b"analyst").unwrap();
    bulk[at] = b'A';
    assert!(decode::bulk(Model::Binary, &bulk).is_some());
    std::fs::write(&path, gzip(&bulk)).unwrap();
    let found = faults(root.path(), &expected);
    assert!(
        found
            .iter()
            .any(|fault| fault.contains("1 events (or whole bulks) handed out")),
        "{found:?}"
    );
}

#[test]
fn a_lost_a_corrupt_and_a_stray_stream_are_found() {
    let root = tempfile::tempdir().unwrap();
    let expected = backup(root.path(), 6);
    let key = some_key(root.path(), "b-streams");
    let path = root.path().join("b-streams").join(&key);
    std::fs::write(&path, gzip(b"something else")).unwrap();
    assert!(faults(root.path(), &expected)[0].contains("unpacks to 14 bytes"));
    std::fs::write(&path, b"no gzip").unwrap();
    assert!(faults(root.path(), &expected)[0].contains("does not unpack"));
    std::fs::remove_file(&path).unwrap();
    assert!(faults(root.path(), &expected)[0].contains("is named, but not in"));
    store(
        root.path(),
        "b-streams",
        &format!("samples/content/{}", "0".repeat(64)),
        b"",
    );
    assert!(faults(root.path(), &expected)[0].contains("is named by no event"));
}
