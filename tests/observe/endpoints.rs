//! Each endpoint, each method, each status.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use actors::supervisor::{Pulse, Stage};
use azul_backup::observe::server::{LastScrape, Server, Views};
use serde_json::Value;

use crate::made::{Made, backup_in_trouble, end_of_restore, healthy_backup, restore};
use crate::raw_http::{get, request};

const PATHS: [&str; 5] = ["/", "/metrics", "/livez", "/readyz", "/status"];

#[test]
fn every_path_answers_get_and_head_and_nobody_may_keep_or_guess_the_answer() {
    let made = Made::new(healthy_backup());
    for path in PATHS {
        let full = get(made.address(), path);
        assert_eq!(full.status, 200, "{path}: {full:?}");
        assert_eq!(
            full.header("content-length"),
            full.body.len().to_string(),
            "{path}"
        );
        let head = request(made.address(), "HEAD", path);
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        for answer in [full, head] {
            assert_eq!(answer.header("cache-control"), "no-store", "{path}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
            assert_eq!(answer.header("connection"), "close", "{path}");
        }
    }
}

#[test]
fn each_path_says_what_it_is() {
    let made = Made::new(healthy_backup());
    let kinds = PATHS.map(|path| get(made.address(), path).header("content-type").to_owned());
    assert_eq!(
        kinds,
        [
            "text/html; charset=utf-8",
            "text/plain; version=0.0.4; charset=utf-8",
            "text/plain; charset=utf-8",
            "text/plain; charset=utf-8",
            "application/json",
        ]
    );
    assert_eq!(get(made.address(), "/metrics").body, "azul_backup_ready 1\n");
}

#[test]
fn nothing_else_is_there_and_nothing_can_be_changed() {
    let made = Made::new(healthy_backup());
    for path in ["/nothing", "/metrics/", "/../etc/passwd", "/%6detrics", "//"] {
        for method in ["GET", "POST"] {
            let answer = request(made.address(), method, path);
            assert_eq!(answer.status, 404, "{method} {path}");
            assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
            assert!(answer.body.starts_with("not found"), "{answer:?}");
        }
    }
    for path in PATHS {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW"] {
            let answer = request(made.address(), method, path);
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), "GET, HEAD");
        }
    }
}

#[test]
fn livez_follows_the_pulse_alone() {
    let limit = Duration::from_millis(400);
    let mut snapshot = backup_in_trouble();
    snapshot.last_sign_of_life_seconds = Some(1e9);
    let made = Made::with(snapshot, limit);
    let livez = || get(made.address(), "/livez");
    assert_eq!(
        (livez().status, livez().body.as_str()),
        (200, "alive: starting\n")
    );
    made.pulse.beat(Stage::Running);
    assert_eq!(livez().status, 200);
    let begun = Instant::now();
    let dead = loop {
        let answer = livez();
        if answer.status != 200 {
            break answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it never says so");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(dead.status, 503);
    assert!(
        dead.body.starts_with("not alive: the actors' thread"),
        "{}",
        dead.body
    );
    made.pulse.beat(Stage::Running);
    assert_eq!(livez().status, 200, "it is not remembered against it");
    made.pulse.end(true);
    std::thread::sleep(2 * limit);
    assert_eq!(
        livez().status,
        200,
        "what comes after the last stage is not its affair"
    );
}

#[test]
fn readyz_tells_what_is_not_ready_a_line_each() {
    let made = Made::new(healthy_backup());
    let readyz = || get(made.address(), "/readyz");
    assert_eq!((readyz().status, readyz().body.as_str()), (200, "ready\n"));
    made.change(|snapshot| snapshot.not_ready = vec!["one".to_owned(), "two".to_owned()]);
    assert_eq!((readyz().status, readyz().body.as_str()), (503, "one\ntwo\n"));
    for stage in [
        "starting",
        "events",
        "hit cache",
        "streams",
        "local state",
        "ended",
    ] {
        made.change(|snapshot| {
            snapshot.not_ready.clear();
            snapshot.stage = stage.to_owned();
        });
        let told = (503, format!("stage: {stage}\n"));
        assert_eq!((readyz().status, readyz().body), told);
    }
}

#[test]
fn status_is_one_json_object_with_times_as_people_write_them() {
    let made = Made::new(backup_in_trouble());
    let answer = get(made.address(), "/status");
    assert_eq!(answer.body.lines().count(), 1);
    let status: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(status["mode"], "backup");
    assert_eq!(status["restore"], Value::Null);
    let feed = &status["backup"]["feeds"][2];
    assert_eq!(feed["feed"], "samples/binary/augmented");
    for time in [
        &status["taken"],
        &status["started"],
        &feed["behind_since"],
        &status["recent"][0]["time"],
    ] {
        let time = time.as_str().unwrap_or_else(|| panic!("{time} is no text"));
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    }
    assert_eq!(status["backup"]["feeds"][5]["last_event"], Value::Null);
    let pretty = get(made.address(), "/status?pretty").body;
    assert!(pretty.lines().count() > 50, "{pretty}");
    let restored = Made::new(restore());
    restored.change(end_of_restore);
    let status: Value = serde_json::from_str(&get(restored.address(), "/status?pretty=1").body).unwrap();
    let reached = &status["restore"]["progress"]["feeds"][0]["reached"];
    assert_eq!(reached, "2025-07-30T06:02:59.5Z");
}

#[test]
fn an_address_that_cannot_be_had_is_told_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let told = |listen: String| {
        let views = Views {
            snapshot: std::sync::Arc::new(healthy_backup),
            metrics: std::sync::Arc::new(String::new),
            pulse: Pulse::default(),
            longest_silence: Duration::from_secs(30),
        };
        Server::start(listen.parse().unwrap(), views)
            .unwrap_err()
            .to_string()
    };
    let address = taken.local_addr().unwrap();
    let in_use = told(address.to_string());
    assert!(
        in_use.starts_with(&format!("BK__METRICS_LISTEN: {address} cannot be")),
        "{in_use}"
    );
    assert!(
        in_use.contains("another process listens there: set another port"),
        "{in_use}"
    );
    let foreign = told("192.0.2.1:8900".to_owned());
    assert!(foreign.contains("it is no address of this machine"), "{foreign}");
}

#[test]
fn the_last_scrape_is_one_that_shows_the_end_and_was_read() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let made = Made::new(restore());
    let server = made.server.as_ref().unwrap();
    let wait = |longest| runtime.block_on(server.one_more_scrape(longest));
    let moment = Duration::from_millis(200);
    request(made.address(), "HEAD", "/metrics");
    get(made.address(), "/status");
    assert!(!server.is_scraped());
    assert_eq!(wait(Duration::from_secs(60)), LastScrape::NeverScraped);
    get(made.address(), "/metrics");
    assert!(server.is_scraped());
    let made = Made::new(restore());
    let server = made.server.as_ref().unwrap();
    get(made.address(), "/metrics");
    let wait = |longest| runtime.block_on(server.one_more_scrape(longest));
    assert_eq!(wait(moment), LastScrape::Missed, "the one before was too early");
    get(made.address(), "/status");
    assert_eq!(wait(moment), LastScrape::Missed, "that was no scrape");
    get(made.address(), "/metrics");
    assert_eq!(wait(Duration::from_secs(60)), LastScrape::Came);
}
