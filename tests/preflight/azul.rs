//! What can be wrong with the dispatcher, and with what it has.

use sandbox::dispatcher::{Call, Fault};

use crate::odd_server::{OddServer, http};
use crate::run::{Checks, Terms, ready_scene};

fn against(server: &OddServer) -> Checks {
    Terms::of(&ready_scene())
        .with("BK__DISPATCHER_EVENTS", format!("http://{}", server.authority()))
        .checks(&[])
}

#[test]
fn a_dispatcher_that_does_not_work_is_told() {
    let server = OddServer::plain(|_| http("503 Service Unavailable", "", "no backend"));
    let checks = against(&server);
    checks.fails_only("dispatcher", &["503", "no backend"]);
    assert_eq!(checks.results("feeds"), ["not tried"; 3]);
}

#[test]
fn the_page_of_a_proxy_is_not_taken_for_the_dispatcher() {
    let server = OddServer::plain(|_| {
        http(
            "200 OK",
            "Content-Type: text/html\r\n",
            "<html><title>Sign in</title></html>",
        )
    });
    let checks = against(&server);
    checks.fails_only(
        "dispatcher",
        &[
            "a web page answers, as that of a proxy",
            "Sign in",
            "BK__DISPATCHER_EVENTS",
        ],
    );
    assert_eq!(checks.results("feeds"), ["not tried"; 3]);
}

#[test]
fn a_refused_pull_is_told_with_the_words_of_the_dispatcher() {
    let server = OddServer::plain(|request| match request.starts_with("GET / ") {
        true => http("200 OK", "", "Azul Dispatcher"),
        false => http(
            "422 Unprocessable Entity",
            "",
            r#"{"title":"bad parameters","detail":"no such model"}"#,
        ),
    });
    let checks = against(&server);
    assert_eq!(
        (checks.code, checks.results("feeds")),
        (Some(1), vec!["failed"; 3])
    );
    assert!(
        checks.shown().contains("bad parameters: no such model"),
        "{}",
        checks.shown()
    );
}

#[test]
fn a_source_without_events_is_a_warning_and_a_passing_fault_is_none() {
    let scene = ready_scene();
    scene.dispatcher.order_fault(Call::Pull, Fault::Status(500), 1);
    let checks = Terms::of(&scene)
        .with(
            "BK__SOURCES",
            "sources: {samples: {}, smaples: {}, private: {exclude_from_backup: true}}",
        )
        .checks(&[]);
    assert_eq!(checks.code, Some(0), "{}", checks.shown());
    checks.says("feeds", "warning", &["there are no events", "BK__SOURCES"]);
    assert_eq!(
        checks.results("feeds"),
        ["passed", "warning", "passed", "passed"],
        "{}",
        checks.shown()
    );
}

#[test]
fn a_dispatcher_that_is_not_ready_is_waited_for() {
    let config = sandbox::dispatcher::Config {
        ready_after_restart: std::time::Duration::from_secs(3),
        ..Default::default()
    };
    let mut scene = crate::scene::Scene::with(config, &["samples"]);
    scene.dispatcher.append(
        &crate::scene::feed("samples/binary/mapped"),
        [
            crate::scene::event("samples", "mapped", "one", "2026-01-01T00:00:00Z", &[]),
            crate::scene::event("samples", "mapped", "two", "2026-01-01T00:00:01Z", &[]),
        ],
    );
    scene.dispatcher.restart().unwrap();
    let checks = Terms::of(&scene).checks(&[]);
    assert_eq!(checks.results("feeds"), ["passed"; 3], "{}", checks.shown());
    assert!(checks.shown().contains("there are events"));
}
