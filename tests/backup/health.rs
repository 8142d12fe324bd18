//! What a running backup says of itself to who asks over HTTP.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use sandbox::generator::{Shape, World};
use sandbox::s3::{Failure, Operation};

use crate::aftermath::hasty;
use crate::asked::not_told;
use crate::raw_http::{get, served_at};
use crate::scene::{Program, Scene, wait_for};

fn scene(seed: u64) -> Scene {
    let world = World::new(Shape::new(seed, 1, 30)).unwrap();
    let scene = hasty(Scene::new(&["samples"]).set("BK__EVENT_BATCH_SIZE", 10));
    scene.dispatcher.fill(&world, true);
    scene
}

/// A running program, and where it serves.
fn served(scene: &Scene) -> (Program, SocketAddr) {
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

/// Of what alerts and dashboard ask for: what has no series while there is nothing to tell, or nobody has been asked.
const ONLY_SOMETIMES: [&str; 7] = [
    "azul_backup_feed_behind_since_timestamp_seconds",
    "azul_backup_feed_oldest_waiting_timestamp_seconds",
    "azul_backup_last_sign_of_life_seconds",
    "azul_backup_retries_total",
    "recovery_backup_events_error",
    "recovery_backup_object_error",
    "recovery_backup_stream_cant_be_backed_up",
];

#[test]
fn a_running_backup_tells_how_its_feeds_stand_and_all_that_alerts_and_dashboard_ask_for() {
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
    let not_told = not_told(&["alerts/backup.yaml", "dashboards/azul-backup.json"], &metrics);
    let of_restore = |name: &String| name.contains("restore") || name.contains("_event_types_");
    let not_told: Vec<_> = not_told
        .into_iter()
        .filter(|name| !of_restore(name) && !ONLY_SOMETIMES.contains(&name.as_str()))
        .collect();
    assert_eq!(not_told, [""; 0]);
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
