//! What stands against a restore is known before anything is sent; what is left behind, and what was not found, in the end.

use sandbox::proxy::{Fault, Reply};
use sandbox::s3::Operation;

use crate::bucket::{EVENTS, STREAMS, bundle_key, event, feed, gzip};
use crate::program::Ended;
use crate::scene::{EVER, Scene};

/// Two streams and a bundle of `samples`; `others` may have nothing.
fn scene(sources: &[&str]) -> Scene {
    fill(Scene::new(sources))
}

fn fill(scene: Scene) -> Scene {
    scene.put_stream("samples", "content", b"one");
    scene.put_stream("samples", "text", b"two");
    let feed = feed("samples/binary/sourced");
    scene.put_bundle(&feed, &[event(&feed, 1)]);
    scene
}

fn text(ended: &Ended) -> &str {
    ended.told["text"].as_str().unwrap()
}

/// Uploads and bulks that have arrived.
fn sent(scene: &Scene) -> (usize, usize) {
    let shared = scene.dispatcher.shared();
    (
        usize::try_from(shared.upload_totals().requests).unwrap(),
        usize::try_from(shared.publish_totals().requests).unwrap(),
    )
}

#[test]
fn a_wrong_url_is_told_before_anything_is_sent() {
    let nobody = "http://127.0.0.1:1";
    for (setting, options) in [
        ("BK__DISPATCHER_EVENTS", &[][..]),
        ("BK__DISPATCHER_STREAMS", &[]),
        ("BK__DISPATCHER_STREAMS", &["--label", "text"]),
    ] {
        let scene = scene(&["samples"]);
        let url = scene.dispatcher.url();
        let scene = scene.set("BK__DISPATCHER_STREAMS", url).set(setting, nobody);
        let ended = scene.restore(options).is(1);
        assert_eq!(sent(&scene), (0, 0));
        assert!(
            text(&ended).contains(&format!("look at {setting}")),
            "{}",
            ended.told
        );
        assert!(text(&ended).contains("nothing was uploaded"), "{}", ended.told);
    }
    // What is not needed is not looked at.
    let scene = scene(&["samples"]);
    let url = scene.dispatcher.url();
    let scene = scene
        .set("BK__DISPATCHER_STREAMS", url)
        .set("BK__DISPATCHER_EVENTS", nobody);
    scene.restore(&["--label", "text"]).is(0);
}

#[test]
fn what_is_no_dispatcher_is_told_before_anything_is_sent() {
    let scene = fill(Scene::new(&["samples"]).spoilable());
    scene.spoil_hub("/", Fault::Answer(Reply::Page), EVER);
    let ended = scene.restore(&[]).is(1);
    assert_eq!(sent(&scene), (0, 0));
    assert!(
        text(&ended).contains("it does not say `Azul Dispatcher`"),
        "{}",
        ended.told
    );
}

#[test]
fn a_missing_bucket_is_told_before_anything_is_sent() {
    for (bucket, name) in [
        (EVENTS, "the bucket of events"),
        (STREAMS, "the bucket of streams"),
    ] {
        let scene = scene(&["samples"]);
        let path = scene.s3.config().root.join(bucket);
        std::fs::remove_dir_all(path).unwrap();
        let ended = scene.restore(&["--allow-empty"]).is(1);
        assert_eq!(sent(&scene), (0, 0));
        assert!(
            text(&ended).contains(name) && text(&ended).contains(bucket),
            "{}",
            ended.told
        );
    }
}

#[test]
fn a_source_that_is_empty_is_told_at_the_start_and_again_by_a_second_start_that_sends_nothing() {
    let scene = scene(&["samples", "others"]);
    let first = scene.restore(&[]).is(1);
    let early = first.log.find("source others: no streams in the bucket").unwrap();
    let begun = first.log.find("streams: ").unwrap_or(first.log.len());
    assert!(early < begun, "{}", first.log);
    assert_eq!(sent(&scene), (2, 1));
    let second = scene.restore(&[]).is(1);
    assert_eq!(sent(&scene), (2, 1), "the second start sends nothing");
    assert_eq!(text(&second), text(&first));
    assert!(second.log.contains("this is start 2"), "{}", second.log);
    // Who allows it ends it.
    scene.restore(&["--allow-empty"]).is(0);
    assert_eq!(sent(&scene), (2, 1));
    let anew = scene.restore(&["--allow-empty"]).is(0);
    assert!(
        anew.log.contains("there is no unfinished restore"),
        "{}",
        anew.log
    );
}

#[test]
fn where_everything_is_empty_it_ends_at_once() {
    let scene = Scene::new(&["samples", "others"]);
    let first = scene.restore(&[]).is(1);
    assert_eq!(scene.s3.counters().seen().requests_of(Operation::GetObject), 0);
    assert!(first.log.contains("there is nothing to restore"), "{}", first.log);
    let second = scene.restore(&[]).is(1);
    assert_eq!(text(&second), text(&first));
    assert!(second.log.contains("this is start 2"), "{}", second.log);
}

#[test]
fn what_is_left_in_the_bucket_stands_in_the_report_and_in_its_sentence() {
    let scene = scene(&["samples"]);
    scene.put_stream("old", "content", b"old");
    scene.put(STREAMS, "README", b"x");
    let key = "samples/binary/rescored/2025-07-30T06:02:59Z-1-k";
    scene.put(EVENTS, key, &gzip(b"of a version to come"));
    let ended = scene.restore(&[]).is(0);
    assert_eq!(ended.told["left_out"][0]["source"], "old");
    assert_eq!(ended.told["left_folders"][0], "samples/binary/rescored/");
    assert_eq!(ended.figure("stray_keys/count"), 1);
    let expected =
        "Left in the bucket, and not restored: source `old`, `samples/binary/rescored/`, 1 stray keys.";
    assert!(text(&ended).ends_with(expected), "{}", ended.told);
}

#[test]
fn what_has_everything_it_is_asked_for_is_not_believed() {
    for reply in [Reply::Empty, Reply::Page] {
        let scene = fill(Scene::new(&["samples"]).spoilable());
        scene.spoil_questions(Fault::Answer(reply));
        let ended = scene.restore(&["--skip-existing"]).is(1);
        assert_eq!(sent(&scene), (0, 0), "{}", ended.told);
        // The last pass does without.
        let ended = scene.restore(&[]).is(0);
        assert_eq!((scene.uploaded().len(), ended.streams()), (2, [2, 0, 0]));
        assert!(
            ended.log.contains("is sent once more instead of asked for"),
            "{}",
            ended.log
        );
    }
}

#[test]
fn a_bundle_that_holds_fewer_events_than_its_name_says_is_never_everything() {
    let scene = scene(&["samples"]);
    let feed = feed("samples/binary/mapped");
    let events = [event(&feed, 5), event(&feed, 6)];
    let key = scene.put_bundle(&feed, &events);
    let bytes = std::fs::read(scene.object_path(EVENTS, &key)).unwrap();
    std::fs::remove_file(scene.object_path(EVENTS, &key)).unwrap();
    scene.put(EVENTS, &bundle_key(&feed, &events[1], 9), &bytes);
    let ended = scene.restore(&[]).is(3);
    assert_eq!(scene.published(&feed).len(), 2);
    assert_eq!(ended.events(), [10, 3, 0, 0, 7]);
    assert!(
        ended.lost()[0].2.contains("holds 2 events, its name says 9"),
        "{:?}",
        ended.lost()
    );
    assert!(
        text(&ended).contains("1 bundle holds another number of events"),
        "{}",
        ended.told
    );
    let retried = scene.run(&["dead-letters", "--retry", "--json"]);
    assert_eq!((retried.code, retried.letters.len()), (Some(3), 1));
}

#[test]
fn a_plan_ends_as_the_restore_does() {
    let keys = |scene: &Scene, text: &str| {
        let file = scene.folder.path().join("keys");
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let absent = format!("samples/content/{}\n", "0".repeat(64));
    type Change = fn(&Scene);
    let cases: [(&str, Change, Vec<String>, i32); 9] = [
        ("as it should be", |_| {}, vec![], 0),
        (
            "a stray among streams",
            |scene| scene.put(STREAMS, "samples/content/x", b"x"),
            vec![],
            3,
        ),
        (
            "a stray in no label",
            |scene| scene.put(STREAMS, "samples/x", b"x"),
            vec![],
            3,
        ),
        (
            "a stray among bundles",
            |scene| scene.put(EVENTS, "samples/binary/sourced/x", b"x"),
            vec![],
            3,
        ),
        (
            "a stray in no feed",
            |scene| scene.put(EVENTS, "samples/binary/x", b"x"),
            vec![],
            0,
        ),
        (
            "a stray in no source",
            |scene| scene.put(STREAMS, "x", b"x"),
            vec![],
            0,
        ),
        (
            "a stray, and a hash that is asked for",
            |scene| scene.put(STREAMS, "samples/x", b"x"),
            vec![
                "--sha256".to_owned(),
                actors::stream_id::Sha256::of(b"one").to_string(),
            ],
            0,
        ),
        (
            "a key that is not there",
            |_| {},
            vec!["--keys-from".to_owned()],
            3,
        ),
        (
            "a key that is not there, and empty is allowed",
            |_| {},
            vec!["--allow-empty".to_owned(), "--keys-from".to_owned()],
            3,
        ),
    ];
    for (name, change, mut options, code) in cases {
        let scene = scene(&["samples"]);
        change(&scene);
        if options.last().is_some_and(|option| option == "--keys-from") {
            options.push(keys(&scene, &absent));
        }
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let planned = scene.restore(&[&["--plan"], &options[..]].concat());
        let ended = scene.restore(&options);
        assert_eq!(
            (planned.code, ended.code),
            (Some(code), Some(code)),
            "{name}\n{}\n{}",
            planned.told,
            ended.told
        );
        assert_eq!(planned.figure("exit"), ended.figure("exit"), "{name}");
    }
    for (sources, options) in [
        (&["samples", "others"][..], &[][..]),
        (&["samples", "others"], &["--allow-empty"]),
        (&["others"], &[]),
    ] {
        let scene = scene(sources);
        let planned = scene.restore(&[&["--plan"], options].concat());
        let ended = scene.restore(options);
        assert_eq!(planned.code, ended.code, "{sources:?} {options:?}");
    }
}
