//! The figures that a restore ends with are waited for by whoever has scraped it.

use std::net::SocketAddr;
use std::time::Duration;

use actors::avro::ModelVersion;
use azul_backup::observe::metrics::NAMES;
use sandbox::s3::{Failure, Knobs, Operation};
use serde_json::{Value, json};

use crate::asked::{not_told, value};
use crate::bucket::{event_in, feed};
use crate::program::Running;
use crate::raw_http::{get, served_at};
use crate::scene::Scene;

/// A restore that takes its time until `meanwhile` has been, and then has not.
fn restoring(scene: &Scene, meanwhile: impl FnOnce(SocketAddr)) -> (Running, SocketAddr) {
    restoring_until(scene, meanwhile, Knobs::reset)
}

fn restoring_until(
    scene: &Scene,
    meanwhile: impl FnOnce(SocketAddr),
    no_more: impl FnOnce(&Knobs),
) -> (Running, SocketAddr) {
    scene.s3.knobs().set_latency(Duration::from_millis(700));
    let (running, address) = serving(scene);
    meanwhile(address);
    no_more(scene.s3.knobs());
    (running, address)
}

/// A restore, and where it tells how it stands.
fn serving(scene: &Scene) -> (Running, SocketAddr) {
    scene.put_stream("samples", "content", b"a binary");
    let mut running = scene.start(&[]);
    let mut address = None;
    running.wait_for("it serves", |log| {
        address = served_at(log);
        address.is_some()
    });
    (running, address.unwrap())
}

fn scrape(address: SocketAddr) {
    assert_eq!(get(address, "/metrics").status, 200);
}

const WAITING: &str = "waiting at most 300s for a last scrape";

#[test]
fn who_has_scraped_gets_one_more_scrape_after_the_verdict() {
    let scene = Scene::new(&["samples"]).set("BK__RESTORE_TYPE", "streams");
    let (mut running, address) = restoring(&scene, scrape);
    running.wait_for("it waits", |log| log.contains(WAITING));
    assert!(running.log().contains("RESTORED"), "{}", running.log());
    // Longer than the watchdog grants whom it has not been told of.
    std::thread::sleep(Duration::from_secs(4));
    assert!(!running.has_ended(), "{}", running.log());
    assert_eq!(get(address, "/livez").status, 200);
    assert_eq!(get(address, "/readyz").status, 503);
    let status = get(address, "/status?pretty").body;
    assert!(status.contains("\"verdict\": \"RESTORED: "), "{status}");
    assert!(!running.has_ended(), "neither was a scrape");
    let metrics = get(address, "/metrics").body;
    assert!(
        metrics.contains("azul_backup_restore_stage{stage=\"ended\"} 1"),
        "{metrics}"
    );
    let ended = running.end(None).is(0);
    assert!(
        ended.log.contains("the metrics were scraped once more"),
        "{}",
        ended.log
    );
}

/// What a restore tells: alone, and as a backup does.
fn is_of_restore(name: &str) -> bool {
    let of_both = [
        "process_",
        "azul_backup_retries_total",
        "recovery_backup_object_error",
    ];
    name.contains("restore")
        || name.contains("_event_types_")
        || of_both.iter().any(|start| name.starts_with(start))
}

#[test]
fn every_metric_of_a_restore_is_told_by_one_of_everything() {
    let (scene, feed) = (Scene::new(&["samples"]), feed("samples/binary/sourced"));
    scene.put_stream("samples", "content", b"a binary");
    scene.put_bundle(&feed, &[event_in(&feed, ModelVersion::V6, 0, |_| {})]);
    let knobs = scene.s3.knobs();
    knobs.fail_next(Operation::GetObject, 1, Failure::Status(503));
    let (mut running, address) = restoring_until(&scene, scrape, |knobs| knobs.set_latency(Duration::ZERO));
    running.wait_for("it waits", |log| log.contains(WAITING));
    let status: Value = serde_json::from_str(&get(address, "/status").body).unwrap();
    let looked_at = status["restore"]["progress"]["looked_at"].as_u64().unwrap();
    assert!(
        looked_at >= 2 * 8,
        "eight listings in each of two passes: {looked_at}"
    );
    let metrics = get(address, "/metrics").body;
    let files = ["alerts/restore.yaml", "dashboards/azul-backup.json"];
    let names = not_told(&files, &NAMES, &metrics).into_iter();
    let missing: Vec<_> = names.filter(|name| is_of_restore(name)).collect();
    assert_eq!(missing, [""; 0]);
    for (series, told) in [
        ("recovery_backup_object_error{keyword=\"transient\"}", 1.0),
        ("recovery_backup_object_error{keyword=\"rejected\"}", 0.0),
        ("recovery_total_event_types_for_source{source=\"samples\"}", 5.0),
        (
            "recovery_completed_event_types_for_source{source=\"samples\"}",
            5.0,
        ),
        ("azul_backup_restore_starts", 1.0),
    ] {
        assert_eq!(value(&metrics, series), Some(told), "{series}: {metrics}");
    }
    running.end(None).is(0);
}

#[test]
fn which_start_of_a_restore_it_is_counts_those_that_ended_early() {
    let scene = Scene::new(&["samples"]).set("BK__RESTORE_TYPE", "streams");
    for start in 1..=2 {
        scene.s3.knobs().set_hang(true);
        let (mut running, address) = serving(&scene);
        let told = || value(&get(address, "/metrics").body, "azul_backup_restore_starts");
        running.wait_for("it is told", |_| told() == Some(f64::from(start)));
        running.wait_for("it restores", |_| get(address, "/readyz").status == 200);
        running.terminate();
        running.end(None).is(1);
    }
}

#[test]
fn who_was_never_scraped_ends_at_once() {
    let scene = Scene::new(&["samples"]).set("BK__RESTORE_TYPE", "streams");
    let (running, _) = restoring(&scene, |address| {
        for path in ["/livez", "/readyz", "/status", "/"] {
            get(address, path);
        }
    });
    let ended = running.end(None).is(0);
    assert!(!ended.log.contains("last scrape"), "{}", ended.log);
}

#[test]
fn a_signal_ends_the_wait_and_changes_nothing_of_the_verdict() {
    let scene = Scene::new(&["samples"]).set("BK__RESTORE_TYPE", "streams");
    let (mut running, _) = restoring(&scene, scrape);
    running.wait_for("it waits", |log| log.contains(WAITING));
    running.terminate();
    let ended = running.end(None).is(0);
    assert!(
        ended.log.contains("ending without a last scrape"),
        "{}",
        ended.log
    );
    assert!(!ended.log.contains("watchdog"), "{}", ended.log);
}

#[test]
fn a_signal_in_the_wait_takes_nothing_from_what_could_not_be_put_back() {
    let feed = feed("samples/binary/sourced");
    // Kafka takes 3 MiB.
    let too_large = |event: &mut Value| {
        for field in ["name", "version", "category", "security"] {
            event["author"][field] = json!("x".repeat(800_000));
        }
    };
    for signal in ["TERM", "INT"] {
        let scene = Scene::new(&["samples"]).set("BK__RESTORE_TYPE", "events");
        let event = |number, spoil: bool| {
            event_in(&feed, ModelVersion::V6, number, |event| {
                if spoil {
                    too_large(event);
                }
            })
        };
        let events = [event(0, false), event(1, true), event(2, false)];
        let key = scene.put_bundle(&feed, &events);
        let (mut running, address) = restoring(&scene, scrape);
        running.wait_for("it waits", |log| log.contains(WAITING));
        // The bundle was not produced, and then the event that it was cut down to.
        let status: Value = serde_json::from_str(&get(address, "/status").body).unwrap();
        assert_eq!(status["retries"], json!({"publish events": 2}));
        running.signal(signal);
        let ended = running.end(Some(&scene.local_state())).is(3);
        assert!(!ended.log.contains("watchdog"), "{}", ended.log);
        assert_eq!(ended.events(), [3, 2, 0, 0, 1]);
        let [(letter, kept)] = &ended.letters[..] else {
            panic!("{:?}", ended.letters);
        };
        assert_eq!((&letter.key, letter.event), (&key, Some(1)));
        let kept = kept.as_ref().unwrap();
        assert!(memchr::memmem::find(kept, &events[1].bytes).is_some());
        let good = [&events[0], &events[2]].map(|event| event.kafka_key.clone());
        assert_eq!(scene.published(&feed), good);
    }
}

#[test]
fn a_restore_that_a_signal_ends_waits_for_nobody() {
    let scene = Scene::new(&["samples"]).set("BK__RESTORE_TYPE", "streams");
    // It has begun, and is not over as long as the bucket does not answer.
    scene.s3.knobs().set_hang(true);
    let (mut running, address) = serving(&scene);
    running.wait_for("it restores", |_| get(address, "/readyz").status == 200);
    scrape(address);
    running.terminate();
    let ended = running.end(None).is(1);
    assert!(!ended.log.contains("waiting at most"), "{}", ended.log);
}
