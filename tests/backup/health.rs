//! What a running backup says of itself to who asks over HTTP.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use sandbox::dispatcher::{Call, Fault};
use sandbox::generator::{Shape, World};
use sandbox::s3::{Failure, Operation};

use crate::aftermath::hasty;
use crate::raw_http::{get, served_at};
use crate::scene::{Program, Scene, events_of, wait_for};

pub fn scene(seed: u64) -> Scene {
    let world = World::new(Shape::new(seed, 1, 30)).unwrap();
    let scene = hasty(Scene::new(&["samples"]).set("BK__EVENT_BATCH_SIZE", 10));
    scene.dispatcher.fill(&world, true);
    scene
}

/// A running program, and where it serves.
pub fn served(scene: &Scene) -> (Program, SocketAddr) {
    let mut program = scene.start();
    let log = |program: &Program| served_at(&program.log());
    let begun = std::time::Instant::now();
    while log(&program).is_none() {
        assert!(begun.elapsed() < crate::scene::LONGEST, "{}", program.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    wait_for("it answers", &mut program, || true);
    let address = log(&program).unwrap();
    (program, address)
}

#[test]
fn a_blocked_thread_of_actors_is_told_by_livez_before_the_watchdog_ends_the_process() {
    let scene = scene(31)
        .set("FAULT_POINTS", "bundle.sealed=hang")
        .set("FAULT_POINTS_HURRY", 6);
    let (mut program, address) = served(&scene);
    assert_eq!(get(address, "/livez").status, 200);
    let mut told = None;
    wait_for("livez says so", &mut program, || {
        let answer = get(address, "/livez");
        let is_dead = answer.status == 503;
        told = Some(answer);
        is_dead
    });
    let told = told.unwrap().body;
    assert!(
        told.starts_with("not alive: the actors' thread has given no sign"),
        "{told}"
    );
    for path in ["/metrics", "/status", "/"] {
        assert_eq!(get(address, path).status, 200, "{path} still answers");
    }
    assert_eq!(program.wait().code(), Some(1), "{}", program.log());
    assert!(
        program.log().contains("watchdog: the thread of the actors"),
        "{}",
        program.log()
    );
}

#[test]
fn a_running_backup_tells_how_its_feeds_stand_and_counts_losses_from_zero() {
    let scene = scene(36);
    let (mut program, address) = served(&scene);
    wait_for("it is ready", &mut program, || {
        get(address, "/readyz").status == 200
    });
    wait_for("bundles are told", &mut program, || {
        let status = get(address, "/status").body;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let feeds = status["backup"]["feeds"].as_array().unwrap();
        let bundles: u64 = feeds.iter().map(|feed| feed["bundles"].as_u64().unwrap()).sum();
        feeds.len() == 7 && bundles == scene.bundles().len() as u64 && bundles > 0
    });
    let page = get(address, "/").body;
    assert!(
        page.contains("<th scope=\"row\">samples/binary/sourced</th>"),
        "{page}"
    );
    let metrics = get(address, "/metrics").body;
    assert!(metrics.contains("azul_backup_ready 1"), "{metrics}");
    let suspects = metrics
        .lines()
        .filter(|line| line.starts_with("azul_backup_feed_suspect_pulls_total{") && line.ends_with(" 0"));
    assert_eq!(suspects.count(), 7, "{metrics}");
    assert_eq!(program.stop().0, Some(0));
}

#[test]
fn a_start_that_waits_for_the_bucket_is_alive_and_not_ready() {
    let scene = scene(32);
    scene.s3.knobs().set_hang(true);
    let (mut program, address) = served(&scene);
    wait_for("it waits", &mut program, || {
        scene.s3.counters().seen().in_flight > 0
    });
    assert_eq!(get(address, "/livez").body, "alive: starting\n");
    let readyz = get(address, "/readyz");
    assert_eq!(readyz.status, 503);
    assert!(readyz.body.contains("have not started"), "{}", readyz.body);
    assert_eq!(program.stop().0, Some(0));
}

#[test]
fn who_ends_is_alive_and_not_ready() {
    let scene = scene(33).set("BK__STAGE_EVENTS", "6s");
    let put = Operation::PutObject;
    scene.s3.knobs().fail_next(put, usize::MAX, Failure::Hang);
    let (mut program, address) = served(&scene);
    wait_for("it is ready", &mut program, || {
        get(address, "/readyz").status == 200
    });
    wait_for("it hangs", &mut program, || {
        scene.s3.counters().seen().requests_of(put) > 0
    });
    program.signal("-TERM");
    wait_for("it is not ready", &mut program, || {
        get(address, "/readyz").status == 503
    });
    assert!(get(address, "/readyz").body.contains("stage"), "it says why");
    assert_eq!(get(address, "/livez").status, 200);
    assert_eq!(program.wait().code(), Some(0), "{}", program.log());
}

#[test]
fn an_address_that_another_process_has_is_the_end_before_local_state_is_touched() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let scene = scene(34).set("BK__METRICS_LISTEN", address);
    let mut program = scene.start();
    assert_eq!(program.wait().code(), Some(1), "{}", program.log());
    let told = format!("BK__METRICS_LISTEN: {address} cannot be listened on");
    assert!(program.log().contains(&told), "{}", program.log());
    assert!(!scene.folder.path().join("local").exists());
}

#[test]
fn nothing_is_served_where_that_is_switched_off() {
    let scene = scene(35).set("BK__METRICS_LISTEN", "Off");
    let mut program = scene.start();
    wait_for("it says so", &mut program, || {
        program_says(&scene, "BK__METRICS_LISTEN is off")
    });
    wait_for("it runs", &mut program, || !scene.bundles().is_empty());
    assert_eq!(served_at(&program.log()), None);
    assert_eq!(program.stop().0, Some(0));
}

fn program_says(scene: &Scene, what: &str) -> bool {
    scene.logs().iter().any(|log| log.contains(what))
}

/// When feeds last had an event and a bundle, by series.
fn times(address: SocketAddr) -> BTreeMap<String, f64> {
    let metrics = get(address, "/metrics").body;
    let of_feeds = |line: &&str| {
        line.starts_with("azul_backup_feed_last_event_timestamp_seconds{")
            || line.starts_with("azul_backup_feed_last_bundle_timestamp_seconds{")
    };
    let series = metrics.lines().filter(of_feeds).map(|line| {
        let (series, seconds) = line.rsplit_once(' ').unwrap();
        (series.to_owned(), seconds.parse().unwrap())
    });
    series.collect()
}

#[test]
fn a_restart_goes_on_to_tell_when_feeds_last_had_an_event_and_a_bundle() {
    let world = World::new(Shape::new(37, 1, 30)).unwrap();
    let scene = scene(37);
    let (mut program, address) = served(&scene);
    wait_for("all is in the bucket", &mut program, || {
        scene.events_in_bundles() == events_of(&world)
    });
    wait_for("no event waits", &mut program, || {
        let metrics = get(address, "/metrics").body;
        let mut lines = metrics.lines();
        !lines.any(|line| line.starts_with("azul_backup_feed_oldest_waiting_timestamp_seconds{"))
    });
    let before = times(address);
    assert!(!before.is_empty());
    program.kill();

    // Nothing newer comes as long as the bucket does not answer.
    scene.s3.knobs().set_hang(true);
    let (mut program, address) = served(&scene);
    wait_for("it waits", &mut program, || {
        scene.s3.counters().seen().in_flight > 0
    });
    let after = times(address);
    assert!(after.keys().eq(before.keys()), "{after:?} is not {before:?}");
    for (series, time) in &after {
        assert!((time - before[series]).abs() < 1.0, "{series} {time}: {before:?}");
    }
    assert_eq!(program.stop().0, Some(0));
}

/// How the pulls of feeds stand, by series.
fn pulls(metrics: &str) -> BTreeMap<String, f64> {
    let of_pulls = |line: &&str| {
        line.starts_with("azul_backup_feed_last_pull_timestamp_seconds{")
            || line.starts_with("azul_backup_feed_behind_since_timestamp_seconds{")
    };
    let series = metrics.lines().filter(of_pulls).map(|line| {
        let (series, seconds) = line.rsplit_once(' ').unwrap();
        (series.to_owned(), seconds.parse().unwrap())
    });
    series.collect()
}

#[test]
fn a_restart_goes_on_to_tell_since_when_feeds_are_behind_and_when_they_were_last_pulled() {
    let scene = scene(39);
    let (mut program, address) = served(&scene);
    wait_for("all feeds are pulled", &mut program, || {
        let status: serde_json::Value = serde_json::from_str(&get(address, "/status").body).unwrap();
        let feeds = status["backup"]["feeds"].as_array().cloned().unwrap_or_default();
        feeds.len() == 7 && feeds.iter().all(|feed| !feed["last_pull"].is_null())
    });
    // From now on nothing is pulled any more.
    let fault = Fault::Status(503);
    scene.dispatcher.order_fault(Call::Pull, fault, 10_000);
    let mut before = BTreeMap::new();
    wait_for("all feeds are behind", &mut program, || {
        before = pulls(&get(address, "/metrics").body);
        before.len() == 14
    });
    assert_eq!(program.stop().0, Some(0));

    // Nothing newer comes as long as the bucket does not answer.
    scene.s3.knobs().set_hang(true);
    let (mut program, address) = served(&scene);
    wait_for("it waits", &mut program, || {
        scene.s3.counters().seen().in_flight > 0
    });
    let after = pulls(&get(address, "/metrics").body);
    assert!(after.keys().eq(before.keys()), "{after:?} is not {before:?}");
    for (series, time) in &after {
        assert!(
            (time - before[series]).abs() < 0.01,
            "{series} {time}: {before:?}"
        );
    }
    assert_eq!(program.stop().0, Some(0));
}
