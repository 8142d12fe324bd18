//! Scraping from a dispatcher in memory, under virtual time, into a real folder.

use std::time::Duration;

use actors::avro::ModelVersion;
use actors::avro::encode::{self, Framing};
use actors::feed::Model;
use actors::testkit::{Answer, FakeDispatcher};
use serde_json::json;

use super::*;

fn feed(text: &str) -> Feed {
    text.parse().unwrap()
}

/// A bulk of inserts with these keys in Kafka.
fn bulk(version: ModelVersion, keys: &[&str]) -> Vec<u8> {
    let events: Vec<_> = keys
        .iter()
        .map(|key| {
            let event = json!({
                "model_version": version.number(), "kafka_key": key, "timestamp": "2026-11-23T09:48:00Z",
                "author": { "name": "tester" },
            });
            encode::event(Model::Insert, version, &event, &mut Framing::default())
        })
        .collect();
    encode::bulk(version, &events, &mut Framing::default())
}

async fn scrape(dispatcher: &FakeDispatcher, feeds: &[&str], count: u32, out: &Path) -> Summary {
    let from = Scraping {
        dispatcher,
        retry: &RetryPolicy {
            attempts: 2,
            average_delay: Duration::from_millis(1),
            retries: Default::default(),
        },
        backup_id: "7",
        started: "20261123T094800.000Z",
    };
    scrape_all(&from, feeds.iter().map(|text| feed(text)).collect(), count, out).await
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn json_of(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn bulks_are_written_byte_for_byte_with_readable_events_beside_them() {
    let (dispatcher, folder) = (FakeDispatcher::new(), tempfile::tempdir().unwrap());
    let insert = feed("system/insert/default");
    let bulks = [
        bulk(ModelVersion::V5, &["a", "b"]),
        bulk(ModelVersion::V6, &["c"]),
    ];
    dispatcher.answer(&insert, Answer::events(2, &bulks[0]).in_chunks(7));
    dispatcher.answer(&insert, Answer::empty());
    dispatcher.answer(&insert, Answer::events(1, &bulks[1]));

    let summary = scrape(&dispatcher, &["system/insert/default"], 3, folder.path()).await;

    assert!(summary.is_complete());
    assert_eq!(
        files(folder.path()),
        [
            "system.insert.default.1.bulk.avro",
            "system.insert.default.1.json",
            "system.insert.default.2.bulk.avro",
            "system.insert.default.2.json",
        ]
    );
    for (number, bulk) in (1..).zip(&bulks) {
        let path = folder
            .path()
            .join(format!("system.insert.default.{number}.bulk.avro"));
        assert_eq!(&std::fs::read(path).unwrap(), bulk);
    }
    let events = json_of(&folder.path().join("system.insert.default.1.json"));
    let keys: Vec<_> = events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["kafka_key"])
        .collect();
    assert_eq!(keys, ["a", "b"]);
    assert_eq!(events[0]["author"]["name"], "tester");
}

#[tokio::test(start_paused = true)]
async fn a_feed_is_asked_for_what_is_wanted_still_under_a_name_of_its_own() {
    let (dispatcher, folder) = (FakeDispatcher::new(), tempfile::tempdir().unwrap());
    let insert = feed("system/insert/default");
    dispatcher.answer(&insert, Answer::events(2, &bulk(ModelVersion::V6, &["a", "b"])));
    dispatcher.answer(&insert, Answer::events(1, &bulk(ModelVersion::V6, &["c"])));

    scrape(&dispatcher, &["system/insert/default"], 3, folder.path()).await;

    let pulls = dispatcher.pulls();
    assert_eq!(pulls.iter().map(|pull| pull.count).collect::<Vec<_>>(), [3, 1]);
    for pull in pulls {
        assert_eq!(
            pull.consumer,
            "backup-samples-system-insert-7-20261123T094800.000Z"
        );
        assert_eq!(
            (pull.deployment_key, pull.deadline),
            (None, Duration::from_secs(1))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_bulk_of_an_unknown_version_is_written_and_said_to_be_one() {
    let (dispatcher, folder) = (FakeDispatcher::new(), tempfile::tempdir().unwrap());
    let mut newer = bulk(ModelVersion::V6, &["a"]);
    newer[0] = 14;
    newer.extend_from_slice(b"what nobody knows yet");
    dispatcher.answer(&feed("system/insert/default"), Answer::events(1, &newer));

    let summary = scrape(&dispatcher, &["system/insert/default"], 1, folder.path()).await;

    assert!(summary.is_complete());
    let path = folder.path().join("system.insert.default.1.bulk.avro");
    assert_eq!(std::fs::read(path).unwrap(), newer);
    assert_eq!(
        json_of(&folder.path().join("system.insert.default.1.json")),
        json!([{ "undecodable": "model version 7 is not known to this program" }])
    );
    assert_eq!(summary.0[0].written.files[0].version, 7);
}

#[tokio::test(start_paused = true)]
async fn a_feed_ends_after_four_empty_answers_of_a_dispatcher_that_is_ready() {
    let (dispatcher, folder) = (FakeDispatcher::new(), tempfile::tempdir().unwrap());
    let insert = feed("system/insert/default");
    for answer in [
        Answer::empty(),
        Answer::empty(),
        Answer::empty(),
        Answer::not_ready(),
    ] {
        dispatcher.answer(&insert, answer);
    }
    let summary = scrape(&dispatcher, &["system/insert/default"], 1, folder.path()).await;
    assert!(summary.is_complete());
    assert_eq!(dispatcher.pulls().len(), 8);
    assert_eq!(files(folder.path()), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_dispatcher_that_never_gets_ready_is_a_fault() {
    let (dispatcher, folder) = (FakeDispatcher::new(), tempfile::tempdir().unwrap());
    let insert = feed("system/insert/default");
    for _ in 0..50 {
        dispatcher.answer(&insert, Answer::not_ready());
        dispatcher.answer(&insert, Answer::empty());
    }
    let summary = scrape(&dispatcher, &["system/insert/default"], 1, folder.path()).await;
    assert!(!summary.is_complete());
    assert_eq!(dispatcher.pulls().len(), 59);
}

#[tokio::test(start_paused = true)]
async fn what_fails_in_one_feed_keeps_no_other_from_being_scraped() {
    let (dispatcher, folder) = (FakeDispatcher::new(), tempfile::tempdir().unwrap());
    let feeds = [
        "my samples/binary/sourced",
        "system/insert/default",
        "system/delete/default",
    ];
    let (insert, delete) = (feed(feeds[1]), feed(feeds[2]));
    dispatcher.answer(&insert, Answer::events(2, &bulk(ModelVersion::V6, &["a", "b"])));
    dispatcher.answer(&insert, Answer::suspect("502 Bad Gateway"));
    dispatcher.answer(
        &insert,
        Answer::events(1, &bulk(ModelVersion::V5, &["c"])).breaking_off_after(40),
    );
    let torn = Answer::body("text/html", "<html>hello</html>");
    dispatcher.answer(&delete, torn);

    let summary = scrape(&dispatcher, &feeds, 5, folder.path()).await;

    assert!(!summary.is_complete());
    insta::assert_snapshot!("table", without_time(&summary.to_string()));
    insta::assert_snapshot!("json", without_time(&summary.json()));
    assert_eq!(
        files(folder.path()),
        [
            "system.insert.default.1.bulk.avro",
            "system.insert.default.1.json"
        ],
        "no part of an answer stays behind"
    );
}

fn without_time(text: &str) -> String {
    let begin = text.find(" in ").map(|at| at + 4);
    match begin.zip(begin.and_then(|at| text[at..].find(')').map(|len| at + len))) {
        // How long it took is different each time.
        Some((begin, end)) => format!("{}TIME{}", &text[..begin], &text[end..]),
        None => text.to_owned(),
    }
}
