//! `get-samples`, through the real program, from the stand-in dispatcher.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use sandbox::dispatcher::{Config, StandInDispatcher};
use sandbox::generator::{Shape, UNKNOWN_VERSION, World};

fn dispatcher() -> StandInDispatcher {
    let dispatcher = StandInDispatcher::start(Config::default()).expect("it starts");
    let shape = Shape::new(7, 1, 100).with_sizes(100..=200);
    dispatcher.fill(&World::new(shape).expect("a world"), false);
    dispatcher
}

fn get_samples(dispatcher: &StandInDispatcher, out: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_azul-backup"))
        .args(["get-samples", "--json", "--count", "2", "--out"])
        .arg(out)
        .stdin(Stdio::null())
        .env_clear()
        .env("BK__DISPATCHER_EVENTS", dispatcher.url())
        .env("BK__SOURCES", format!("sources: {{{}: {{}}}}", source()))
        .output()
        .expect("the program starts")
}

/// The name that the generator gives to its first source.
fn source() -> String {
    Shape::new(7, 1, 100).sources.remove(0)
}

fn rows(output: &Output) -> Vec<serde_json::Value> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn json_of(out: &Path, bulk: &str) -> Vec<serde_json::Value> {
    let name = bulk.replace(".bulk.avro", ".json");
    serde_json::from_slice(&std::fs::read(out.join(name)).expect("the file")).expect("JSON")
}

#[test]
fn every_feed_is_scraped_in_every_version_the_dispatcher_may_speak() {
    let (dispatcher, folder) = (dispatcher(), tempfile::tempdir().expect("a folder"));
    for version in [4, 5, 6, UNKNOWN_VERSION] {
        dispatcher.shared().set_model_version(version);
        let out = folder.path().join(version.to_string());

        let rows = rows(&get_samples(&dispatcher, &out));

        assert_eq!(rows.len(), 7);
        for row in rows {
            let sample = &row["files"][0];
            let bulk = sample["file"].as_str().expect("a file");
            assert_eq!(sample["version"], version, "{row}");
            let bytes = std::fs::metadata(out.join(bulk)).expect("the bulk").len();
            assert_eq!(sample["bytes"], bytes);
            let events = json_of(&out, bulk);
            if version == UNKNOWN_VERSION {
                assert!(events[0]["undecodable"].is_string(), "{row}");
            } else {
                assert_eq!((sample["events"].as_u64(), events.len()), (Some(2), 2), "{row}");
                assert_eq!(sample["undecodable"], 0, "{row}");
                assert!(
                    events.iter().all(|event| event["kafka_key"].is_string()),
                    "{events:?}"
                );
            }
        }
    }
}

#[test]
fn neither_the_backup_nor_autoscaling_notices() {
    let (dispatcher, folder) = (dispatcher(), tempfile::tempdir().expect("a folder"));
    let first = rows(&get_samples(&dispatcher, &folder.path().join("first")));
    let second = rows(&get_samples(&dispatcher, &folder.path().join("second")));
    assert_eq!(first, second, "each run begins at the oldest event");

    let arrivals = dispatcher.shared().arrivals();
    assert_eq!(arrivals.len(), 14);
    for arrival in arrivals {
        assert!(
            arrival.query.contains("name=backup-samples-"),
            "{}",
            arrival.query
        );
        assert!(!arrival.query.contains("deployment_key"), "{}", arrival.query);
    }
    let backup = dispatcher.given(&format!("backup-events-{}-sourced-1", source()));
    assert!(backup.handed_out.is_empty());
}
