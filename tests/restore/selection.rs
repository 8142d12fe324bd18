//! What is chosen, and nothing else, is restored.

use std::time::Duration;

use actors::stream_id::Sha256;
use sandbox::s3::Operation;

use crate::bucket::{event, event_at, feed};
use crate::scene::Scene;

fn named(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers
        .into_iter()
        .map(|number| format!("{number:032x}"))
        .collect()
}

fn scene() -> Scene {
    let scene = Scene::new(&["alpha", "zoo"]);
    for source in ["alpha", "zoo"] {
        scene.put_stream(source, "content", source.as_bytes());
        scene.put_stream(source, "text", format!("text of {source}").as_bytes());
        for action in ["sourced", "mapped"] {
            let feed = feed(&format!("{source}/binary/{action}"));
            let events: Vec<_> = (0..10).map(|number| event(&feed, number)).collect();
            scene.put_bundle(&feed, &events);
            let events: Vec<_> = (10..20).map(|number| event(&feed, number)).collect();
            scene.put_bundle(&feed, &events);
        }
    }
    let feed = feed("system/insert/default");
    scene.put_bundle(&feed, &[event(&feed, 0)]);
    scene
}

fn feeds(scene: &Scene) -> Vec<String> {
    let feeds = scene.dispatcher.shared().published_feeds();
    feeds.iter().map(ToString::to_string).collect()
}

#[test]
fn a_source_an_action_a_label_choose() {
    let alpha = |label: &str, content: &str| format!("alpha/{label}/{}", Sha256::of(content.as_bytes()));
    for (options, streams, events) in [
        (
            vec!["--source", "alpha"],
            vec![alpha("content", "alpha"), alpha("text", "text of alpha")],
            vec!["alpha/binary/mapped", "alpha/binary/sourced"],
        ),
        (
            vec!["--source", "alpha", "--label", "text"],
            vec![alpha("text", "text of alpha")],
            vec![],
        ),
        (
            vec!["--action", "mapped"],
            vec![],
            vec!["alpha/binary/mapped", "zoo/binary/mapped"],
        ),
        (vec!["--model", "insert"], vec![], vec!["system/insert/default"]),
        (vec!["--source", "system"], vec![], vec!["system/insert/default"]),
    ] {
        let scene = scene();
        let ended = scene.restore(&options).is(0);
        let mut found = feeds(&scene);
        found.sort();
        assert_eq!(
            (scene.uploaded(), found),
            (streams, events.iter().map(ToString::to_string).collect())
        );
        assert!(ended.letters.is_empty());
    }
}

#[test]
fn a_window_of_time_cuts_inside_a_bundle() {
    let scene = scene();
    let chosen = feed("alpha/binary/sourced");
    let (since, until) = (
        event(&chosen, 3).timestamp.to_string(),
        event(&chosen, 13).timestamp.to_string(),
    );
    let options = [
        "--source", "alpha", "--action", "sourced", "--since", &since, "--until", &until,
    ];
    let ended = scene.restore(&options).is(0);
    assert_eq!(scene.published(&chosen), named(3..13));
    assert_eq!((feeds(&scene).len(), scene.uploaded().len()), (1, 0));
    assert_eq!(ended.events(), [10, 10, 0, 0, 0]);
    assert_eq!(ended.figure("feeds/0/not_wanted"), 10);
}

#[test]
fn what_an_earlier_start_has_left_out_and_how_far_it_had_come_is_told_by_the_next_one() {
    let scene = scene().spoilable();
    let system = feed("system/insert/default");
    let events: Vec<_> = (10..20).map(|number| event(&system, number)).collect();
    scene.put_bundle(&system, &events);
    let since = event(&system, 15).timestamp.to_string();
    let down = sandbox::proxy::Fault::Answer(sandbox::proxy::Reply::Xml(503));
    scene.spoil_hub("model=binary", down, crate::scene::EVER);
    let told = |ended: &crate::program::Ended| {
        let of_system = &ended.told["feeds"][0];
        assert_eq!(of_system["feed"], "system/insert/default");
        (
            of_system["figures"]["events"].clone(),
            of_system["not_wanted"].clone(),
            of_system["reached"].clone(),
        )
    };
    // Of two bundles: one of ten events, and one that is named a few seconds before.
    let expected = (5.into(), 6.into(), events[9].timestamp.to_string().into());
    let stopped = scene.restore(&["--since", &since]).is(1);
    assert_eq!(told(&stopped), expected);
    scene.heal();
    let ended = scene.restore(&["--since", &since]).is(0);
    assert_eq!(told(&ended), expected);
}

#[test]
fn one_hash_is_restored_without_a_full_listing() {
    let scene = scene();
    for number in 0..300 {
        scene.put_stream("alpha", "content", format!("other {number}").as_bytes());
    }
    scene.s3.knobs().set_page(Some(3));
    let (wanted, other) = (
        Sha256::of(b"zoo").to_string(),
        Sha256::of(b"text of alpha").to_string(),
    );
    let ended = scene
        .restore(&["--sha256", &wanted, "--sha256", &other.to_uppercase()])
        .is(0);
    assert_eq!(
        scene.uploaded(),
        [format!("alpha/text/{other}"), format!("zoo/content/{wanted}")]
    );
    assert_eq!(ended.streams(), [2, 0, 0]);
    let seen = scene.s3.counters().seen();
    let listings = seen.requests_of(Operation::ListObjects);
    // Two sources of two labels and two hashes, gone through twice, and counted once.
    assert!(listings <= 40, "{listings} listings");
    assert_eq!(seen.requests_of(Operation::GetObject), 2);
}

#[test]
fn events_that_stray_by_years_from_the_name_of_their_bundle_are_found_where_every_bundle_is_read() {
    let scene = Scene::new(&["samples"]);
    let feed = feed("samples/binary/mapped");
    // As a backup of an Azul that was restored once writes it: an event of today among those of long ago.
    let (today, long_ago) = (event(&feed, 0), event_at(&feed, 1, "2023-05-01T00:00:00Z"));
    scene.put_bundle(&feed, &[today, long_ago]);
    let july = ["--since", "2025-07-01", "--until", "2025-08-01"];
    let by_name = scene.restore(&[&july[..], &["--allow-empty"]].concat()).is(0);
    assert!(scene.published(&feed).is_empty());
    let note = by_name.told["notes"][0].as_str().unwrap();
    assert!(note.contains("--read-every-bundle"), "{note}");
    assert!(by_name.log.contains(note), "{}", by_name.log);
    let read = scene
        .restore(&[&july[..], &["--read-every-bundle"]].concat())
        .is(0);
    assert_eq!(scene.published(&feed), named([0]));
    assert_eq!(
        (read.events(), read.told["notes"].as_array().unwrap().len()),
        ([1, 1, 0, 0, 0], 0)
    );
}

#[test]
fn a_hash_that_is_nowhere_is_told() {
    let scene = scene();
    let ended = scene.restore(&["--sha256", &"e".repeat(64)]).is(1);
    assert!(
        ended.told["text"].as_str().unwrap().contains(&"e".repeat(64)),
        "{}",
        ended.told
    );
}

#[test]
fn keys_of_a_file_are_restored_and_one_that_is_not_there_is_a_dead_letter() {
    let scene = scene();
    let chosen = feed("zoo/binary/sourced");
    let last = event(&chosen, 19);
    let bundle = format!("zoo/binary/sourced/{}-10-{}", last.timestamp, last.kafka_key);
    let stream = format!("zoo/content/{}", Sha256::of(b"zoo"));
    let absent = [
        format!("alpha/content/{}", "0".repeat(64)),
        "zoo/binary/sourced/2025-07-30T06:02:59Z-7-0123".to_owned(),
    ];
    let file = scene.folder.path().join("keys");
    let text = format!(
        "# these\n\n{stream}\n{}\n{bundle}.aesc1\n{}\n",
        absent[0], absent[1]
    );
    std::fs::write(&file, text).unwrap();
    let ended = scene.restore(&["--keys-from", file.to_str().unwrap()]).is(3);
    assert_eq!(scene.uploaded(), [stream]);
    assert_eq!(scene.published(&chosen), named(10..20));
    assert_eq!(feeds(&scene).len(), 1);
    let mut lost: Vec<_> = ended.lost().iter().map(|(key, ..)| (*key).to_owned()).collect();
    lost.sort();
    assert_eq!(lost, absent);
}

#[test]
fn nothing_where_something_was_asked_for_is_a_failure_unless_allowed() {
    let empty = || Scene::new(&["samples"]);
    let ended = empty().restore(&[]).is(1);
    let text = ended.told["text"].as_str().unwrap().to_owned();
    assert!(
        text.contains("source samples: no streams") && text.contains("no events"),
        "{text}"
    );
    empty().restore(&["--allow-empty"]).is(0);

    let half = || {
        let scene = Scene::new(&["samples", "others"]);
        scene.put_stream("samples", "content", b"something");
        let feed = feed("samples/binary/sourced");
        scene.put_bundle(&feed, &[event(&feed, 1)]);
        scene
    };
    let (scene, allowing) = (half(), half());
    let ended = scene.restore(&[]).is(1);
    let text = ended.told["text"].as_str().unwrap();
    assert!(
        text.contains("source others: no streams") && !text.contains("samples"),
        "{text}"
    );
    allowing.restore(&["--allow-empty"]).is(0);
    for scene in [scene, allowing] {
        assert_eq!((scene.uploaded().len(), feeds(&scene).len()), (1, 1));
    }

    for options in [&[][..], &["--allow-empty"]] {
        let ended = Scene::without_buckets(&["samples"]).restore(options).is(1);
        assert!(ended.log.contains("azul-backup-1-streams"), "{}", ended.log);
    }
}

#[test]
fn a_bucket_full_of_unreadable_keys_is_not_restored() {
    let scene = Scene::new(&["samples"]);
    for number in 0..3 {
        scene.put(
            crate::bucket::STREAMS,
            &format!("samples/content/not-a-hash-{number}"),
            b"x",
        );
        let key = format!("samples/binary/sourced/not-a-bundle-{number}");
        scene.put(crate::bucket::EVENTS, &key, b"x");
    }
    let ended = scene.restore(&[]).is(3);
    assert_eq!(ended.letters.len(), 6, "{:?}", ended.lost());
    assert_eq!(
        (ended.streams(), ended.figure("all_events/unreadable")),
        ([0, 0, 3], 3)
    );
    let totals = scene.dispatcher.shared().publish_totals().requests;
    assert_eq!(
        (totals, scene.dispatcher.shared().upload_totals().requests),
        (0, 0)
    );
}

/// Every file below a folder, with its content.
fn files(root: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push((path.clone(), std::fs::read(path).unwrap())),
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_plan_writes_nothing() {
    let fresh = scene();
    let planned = fresh.restore(&["--plan"]).is(0);
    assert_eq!(planned.figure("all_streams/objects"), 4);
    assert_eq!(planned.figure("all_events/events"), 81);
    assert!(!fresh.local_state().exists());

    // A restore that has stopped on its way.
    let scene = scene();
    scene.dispatcher.order_fault(
        sandbox::dispatcher::Call::Publish,
        sandbox::dispatcher::Fault::Status(500),
        100,
    );
    scene.restore(&[]).is(1);
    scene.dispatcher.clear_faults();
    let (before, asked) = (
        files(&scene.local_state()),
        scene.dispatcher.shared().arrivals().len(),
    );
    let planned = scene.restore(&["--plan"]).is(0);
    assert!(planned.told["resume"].is_object(), "{}", planned.told);
    assert!(files(&scene.local_state()) == before, "local state has changed");
    assert_eq!(scene.dispatcher.shared().arrivals().len(), asked);

    for scene in [&fresh, &scene] {
        assert!(scene.s3.is_idle_within(Duration::from_secs(10)));
        let seen = scene.s3.counters().seen();
        assert!(seen.writes.is_empty());
    }
    let seen = fresh.s3.counters().seen();
    assert_eq!(
        seen.requests.keys().collect::<Vec<_>>(),
        [&Operation::ListObjects]
    );
    assert!(fresh.dispatcher.shared().arrivals().is_empty());
}
