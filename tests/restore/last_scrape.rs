//! The figures that a restore ends with are waited for by whoever has scraped it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::asked::not_told;
use crate::program::Running;
use crate::raw_http::{get, served_at};
use crate::scene::Scene;

/// A restore that takes its time until `meanwhile` has been, and then has not.
fn restoring(scene: &Scene, meanwhile: impl FnOnce(SocketAddr)) -> (Running, SocketAddr) {
    scene.put_stream("samples", "content", b"a binary");
    scene.s3.knobs().set_latency(Duration::from_millis(700));
    let mut running = scene.start(&[]);
    let mut address = None;
    running.wait_for("it serves", |log| {
        address = served_at(log);
        address.is_some()
    });
    let address = address.unwrap();
    meanwhile(address);
    scene.s3.knobs().reset();
    (running, address)
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
    let not_told = not_told(&["alerts/restore.yaml", "dashboards/azul-backup.json"], &metrics);
    let of_restore = |name: &String| name.contains("restore");
    let not_told: Vec<_> = not_told.into_iter().filter(of_restore).collect();
    assert_eq!(not_told, [""; 0]);
    let ended = running.end(None).is(0);
    assert!(
        ended.log.contains("the metrics were scraped once more"),
        "{}",
        ended.log
    );
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
fn a_restore_that_a_signal_ends_waits_for_nobody() {
    let scene = Scene::new(&["samples"]).set("BK__RESTORE_TYPE", "streams");
    let (running, _) = restoring(&scene, scrape);
    running.terminate();
    let ended = running.end(None);
    assert!(!ended.log.contains("waiting at most"), "{}", ended.log);
}
