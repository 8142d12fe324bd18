//! `azul-backup dead-letters`.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use actix::System;
use actors::avro::ModelVersion;
use actors::avro::encode::{self, Framing};
use actors::feed::Model;
use actors::ports::archive::Store;
use actors::ports::restore_state::{DeadLetter, RestoreChange, RestoreState, Route};
use actors::timestamp::Timestamp;
use azul_backup::adapters::restore_state::SledRestoreState;
use azul_backup::local_socket::LocalSocket;
use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{objects, printed, refused, run};

const BUNDLE: &str = "samples/binary/sourced/2025-07-30T06:02:59Z-1000-key.avro.gz";

fn bulk(kafka_key: &str) -> Bytes {
    let author = json!({"name": "gen", "version": "1", "category": "plugin"});
    let json = json!({
        "model_version": 6,
        "kafka_key": kafka_key,
        "timestamp": "2025-07-30T06:02:59Z",
        "author": author,
        "action": "sourced",
        "source": {"name": "samples", "path": [{"author": author, "action": "sourced", "sha256": "a".repeat(64)}]},
        "entity": {"sha256": "a".repeat(64), "datastreams": []},
    });
    let framing = &mut Framing::default();
    let event = encode::event(Model::Binary, ModelVersion::V6, &json, framing);
    encode::bulk(ModelVersion::V6, &[event], framing).into()
}

fn letter(key: &str, event: Option<u64>, reason: &str) -> DeadLetter {
    DeadLetter {
        store: if event.is_some() {
            Store::Events
        } else {
            Store::Streams
        },
        key: key.to_owned(),
        event,
        route: event.map(|_| Route {
            bucket: "http://minio:9000/streams http://minio:9000/events".to_owned(),
            target: "http://dispatcher:8111 http://dispatcher:8111".to_owned(),
        }),
        kafka_key: event.map(|event| format!("kafka-{event}")),
        reason: reason.to_owned(),
        attempts: 2,
        since: "2026-11-23T15:23:25.5Z".parse::<Timestamp>().unwrap(),
        event_bytes: 0,
    }
}

fn stream() -> String {
    format!("other/content/{}", "ab".repeat(32))
}

/// What a restore has given up: a stream, two events of a bundle, and one that nothing is known of.
async fn give_up(state: &SledRestoreState) {
    let all = [
        (letter(&stream(), None, "corrupt gzip"), None),
        (
            letter(BUNDLE, Some(0), "refused: no author"),
            Some(bulk("kafka-0")),
        ),
        (
            letter(BUNDLE, Some(999), "dropped\n\u{1b}[2Jwithout a \"word\""),
            Some(Bytes::from_static(b"\x0cno bulk")),
        ),
        (letter("samples/x/../../y", Some(1), "undecodable"), None),
    ];
    for (letter, event) in all {
        state.record(RestoreChange::GivenUp(letter, event)).await.unwrap();
    }
}

fn given_up() -> TempDir {
    let folder = TempDir::new().unwrap();
    System::new().block_on(async {
        let state = SledRestoreState::open(&folder.path().join("restore")).unwrap();
        give_up(&state).await;
        state.close().await.unwrap();
    });
    folder
}

/// Does `ask` while a process works on the state.
fn while_it_runs<A: Send + 'static>(folder: &TempDir, ask: impl FnOnce(PathBuf) -> A + Send + 'static) -> A {
    let (local, root) = (folder.path().to_owned(), folder.path().join("restore"));
    System::new().block_on(async {
        let state = SledRestoreState::open(&root).unwrap();
        let socket = LocalSocket::serve_restore(&root, Rc::new(state.clone())).unwrap();
        let asked = tokio::task::spawn_blocking(move || ask(local)).await.unwrap();
        drop(socket);
        state.close().await.unwrap();
        asked
    })
}

fn names(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn read(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn without_the_state_of_a_restore_it_is_said_where_and_nothing_is_made() {
    let folder = TempDir::new().unwrap();
    let told = refused(folder.path(), &["dead-letters"]);
    let root = folder.path().join("restore");
    let wanted = format!("there is no local state of a restore in {}", root.display());
    assert!(told.contains(&wanted), "{told}");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn a_restore_that_gave_nothing_up_has_an_empty_list() {
    let folder = TempDir::new().unwrap();
    drop(SledRestoreState::open(&folder.path().join("restore")).unwrap());
    assert_eq!(
        printed(folder.path(), &["dead-letters"], 0),
        "There is no dead letter: nothing was given up.\n"
    );
    assert_eq!(printed(folder.path(), &["dead-letters", "--json"], 0), "");
    let out = folder.path().join("out");
    printed(
        folder.path(),
        &["dead-letters", "--out", out.to_str().unwrap()],
        0,
    );
    assert_eq!(read(out.join("letters.json")), json!([]));
}

#[test]
fn letters_are_told_to_people_and_to_scripts_whether_a_restore_runs_or_not() {
    let folder = given_up();
    let told = printed(folder.path(), &["dead-letters"], 0);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(
        lines[0].split_whitespace().collect::<Vec<_>>(),
        ["since", "tried", "object", "event", "kafka", "key", "reason"]
    );
    let cells: Vec<_> = lines[1].split_whitespace().collect();
    assert_eq!(
        cells,
        [
            "2026-11-23T15:23:25Z",
            "2",
            &stream(),
            "-",
            "-",
            "corrupt",
            "gzip"
        ]
    );
    assert!(
        lines[3].ends_with("dropped\\n\\u{1b}[2Jwithout a \"word\""),
        "{told}"
    );
    assert_eq!(
        lines[5..],
        [
            "",
            "3 events and 1 whole objects could not be put back. They are still in the backup; the events are kept \
             with this list too.",
            "To have the events as files: azul-backup dead-letters --out DIR",
        ]
    );
    let rows = objects(folder.path(), &["dead-letters", "--json"]);
    assert_eq!(
        rows[1],
        json!({
            "store": "events", "key": BUNDLE, "event": 0, "kafka_key": "kafka-0", "since": "2026-11-23T15:23:25Z",
            "attempts": 2, "reason": "refused: no author", "event_bytes": bulk("kafka-0").len(),
            "bucket": "http://minio:9000/streams http://minio:9000/events",
            "target": "http://dispatcher:8111 http://dispatcher:8111",
        })
    );
    // One of an earlier version, which kept no route.
    assert_eq!(
        (&rows[0]["bucket"], &rows[0]["target"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!((rows.len(), &rows[0]["event"]), (4, &Value::Null));
    let of_other = objects(folder.path(), &["dead-letters", "--json", "--source", "other"]);
    assert_eq!(of_other, rows[..1]);
    let none = objects(folder.path(), &["dead-letters", "--json", "--source", "sample"]);
    assert_eq!(none, [Value::Null; 0]);

    let (asked, table) = while_it_runs(&folder, |local| {
        let rows = objects(&local, &["dead-letters", "--json"]);
        (rows, printed(&local, &["dead-letters"], 0))
    });
    assert_eq!(asked, rows);
    assert_eq!(table, told);
}

fn is_exported(out: &Path) {
    assert_eq!(
        names(out),
        [
            "letter-000002.avro",
            "letter-000002.json",
            "letter-000003.avro",
            "letter-000003.json",
            "letters.json"
        ]
    );
    assert_eq!(
        std::fs::read(out.join("letter-000002.avro")).unwrap(),
        bulk("kafka-0")
    );
    let event = read(out.join("letter-000002.json"));
    assert_eq!(event[0]["kafka_key"], "kafka-0");
    assert_eq!(event.as_array().unwrap().len(), 1);
    assert_eq!(
        std::fs::read(out.join("letter-000003.avro")).unwrap(),
        b"\x0cno bulk"
    );
    assert!(read(out.join("letter-000003.json"))[0]["undecodable"].is_string());
    let letters = read(out.join("letters.json"));
    let files: Vec<_> = letters
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["avro"])
        .collect();
    assert_eq!(
        files,
        [
            &Value::Null,
            &json!("letter-000002.avro"),
            &json!("letter-000003.avro"),
            &Value::Null
        ]
    );
    assert_eq!(letters[1]["json"], "letter-000002.json");
    assert_eq!(letters[3]["reason"], "undecodable");
}

#[test]
fn letters_are_exported_byte_for_byte_whether_a_restore_runs_or_not() {
    let folder = given_up();
    let out = folder.path().join("deep/out");
    let arguments = ["dead-letters", "--out", out.to_str().unwrap()];
    let told = printed(folder.path(), &arguments, 0);
    let wanted = format!(
        "Exported to {}: letters.json tells all 4, and 2 events are there as .avro and .json. 1 of them cannot be \
         decoded.",
        out.display()
    );
    assert!(told.contains(&wanted), "{told}");
    is_exported(&out);
    // Files of two exports would belong to no list.
    let told = refused(folder.path(), &arguments);
    assert!(told.contains("an export goes into an empty folder"), "{told}");
    is_exported(&out);

    let again = folder.path().join("again");
    let text = again.to_str().unwrap().to_owned();
    while_it_runs(&folder, move |local| {
        printed(&local, &["dead-letters", "--json", "--out", &text], 0)
    });
    is_exported(&again);
}

#[test]
fn an_event_that_cannot_be_read_is_said_and_the_others_are_exported() {
    let folder = given_up();
    let kept = folder.path().join("restore/dead-letters");
    let damaged = names(&kept)
        .into_iter()
        .map(|name| kept.join(name))
        .find(|file| std::fs::read(file).unwrap().ends_with(b"no bulk"));
    std::fs::remove_file(damaged.unwrap()).unwrap();
    let out = folder.path().join("out");
    let output = run(folder.path(), &["dead-letters", "--out", out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let (told, complaint) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(
        told.contains("1 events should be kept and could not be read"),
        "{told}"
    );
    assert!(
        complaint.contains(BUNDLE) && complaint.contains("No such file"),
        "{complaint}"
    );
    assert_eq!(
        names(&out),
        ["letter-000002.avro", "letter-000002.json", "letters.json"]
    );
}

#[test]
fn a_backup_is_not_asked_for_dead_letters_nor_a_restore_for_streams() {
    let folder = given_up();
    let told = while_it_runs(&folder, |local| refused(&local, &["failed-streams"]));
    assert!(told.contains("there is no local state of a backup"), "{told}");
}
