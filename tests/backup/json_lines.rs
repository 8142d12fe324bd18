//! The log for machines: whatever goes wrong, each line is one JSON object, and says what it is about under known names.

use sandbox::dispatcher::{Call, Fault};
use sandbox::s3::{Failure, Operation};
use serde_json::Value;

use crate::scene::{Scene, binary, event, feed, wait_for};

#[test]
fn every_line_is_an_object_and_names_feed_key_and_error() {
    let scene = Scene::new(&["samples"])
        .set("BED__LOG_PRETTY", "false")
        .set("BK__RETRY_COUNT", "1")
        .set("BK__CONSECUTIVE_BACKUP_STREAM_FAILURES", "100");
    let sha256 = binary(&scene, "samples", b"content");
    let streams = [("content", sha256.clone())];
    scene.dispatcher.append(
        &feed("samples/binary/mapped"),
        [event(
            "samples",
            "mapped",
            "one",
            "2026-01-01T00:00:00Z",
            &streams,
        )],
    );
    scene.dispatcher.order_fault(Call::Pull, Fault::Status(500), 3);
    scene
        .dispatcher
        .order_fault(Call::Download, Fault::Status(500), 1);
    scene
        .s3
        .knobs()
        .fail_next(Operation::PutObject, 1, Failure::Status(503));

    let mut program = scene.start();
    wait_for("the bundle", &mut program, || scene.events_in_bundles() == 1);
    wait_for("a stream that could not be stored", &mut program, || {
        scene.logs().iter().any(|log| log.contains("stays pending"))
    });
    let (code, log) = program.stop();

    assert_eq!(code, Some(0), "{log}");
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect();
    let samples = actors::feed::SourceName::new("samples").unwrap();
    let feeds = actors::feed::Feed::of_source(&samples).chain(actors::feed::Feed::of_system());
    let feeds: Vec<String> = feeds.map(|feed| feed.to_string()).collect();
    for line in &lines {
        for key in ["time", "level", "target", "message"] {
            assert!(line[key].is_string(), "{key}: {line}");
        }
        let message = line["message"].as_str().unwrap();
        // A line about several feeds is about none of them.
        let named = feeds.iter().filter(|feed| message.contains(feed.as_str()));
        if let [feed] = named.collect::<Vec<_>>()[..] {
            assert_eq!(line["feed"], *feed, "{line}");
        }
    }
    let of = |words: &str| {
        let found = lines
            .iter()
            .find(|line| line["message"].as_str().unwrap().contains(words));
        found.unwrap_or_else(|| panic!("{words}: {log}"))
    };
    let pull = of("; next pull in");
    assert!(pull["error"].as_str().unwrap().contains("500"), "{pull}");
    assert!(of("suspect pull of feed")["feed"].is_string());
    let stream = of("stays pending");
    assert_eq!(stream["key"], format!("samples/content/{sha256}"));
    assert!(stream["error"].as_str().unwrap().contains("500"), "{stream}");
}
