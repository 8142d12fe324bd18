//! `dead-letters --retry`: what can be put back now is, what cannot stays, and nothing else is touched.

use sandbox::dispatcher::{Config, SourceRules, StandInDispatcher};
use sandbox::proxy::{Fault, Reply};

use crate::bucket::{self, Event, event, feed};
use crate::scene::Scene;

#[test]
fn letters_that_can_be_put_back_now_are_and_the_others_stay() {
    let scene = Scene::new(&["samples", "other"]);
    let feed = feed("samples/binary/sourced");
    let events: Vec<Event> = (0..5).map(|number| event(&feed, number)).collect();
    let refused = events[2].kafka_key.clone();
    let refuses = SourceRules {
        refused: [(refused.clone(), "not on a Monday".to_owned())].into(),
        ..SourceRules::default()
    };
    scene.dispatcher.set_rules(refuses);
    scene.put_bundle(&feed, &events);
    scene.put_stream("other", "content", b"a binary that is whole");
    scene.put_bundle(
        &crate::bucket::feed("other/binary/sourced"),
        &[event(&crate::bucket::feed("other/binary/sourced"), 9)],
    );
    // One stream is damaged in the bucket, and whole again later; one stays damaged.
    let (mends, stays) = (
        b"a binary to be mended".as_slice(),
        b"a binary that is lost".as_slice(),
    );
    let keys = [mends, stays].map(|content| {
        let key = scene.put_stream("samples", "content", content);
        scene.put(bucket::STREAMS, &key, b"no gzip at all");
        key
    });
    let ended = scene.restore(&[]).is(3);
    assert_eq!(ended.letters.len(), 3, "{:?}", ended.lost());

    scene.dispatcher.set_rules(SourceRules::default());
    scene.put_stream("samples", "content", mends);
    let retried = scene.run(&["dead-letters", "--retry", "--json"]).is(3);
    let expected = serde_json::json!({"retried": {
        "put_back": 2, "put_back_in_part": 0, "stay": 1, "not_tried": 0, "elsewhere": 0, "ended_early": null,
    }});
    assert_eq!(retried.told, expected, "{}", retried.log);
    let left: Vec<&str> = retried
        .letters
        .iter()
        .map(|(letter, _)| letter.key.as_str())
        .collect();
    assert_eq!(left, [keys[1].as_str()]);
    assert!(retried.letters[0].0.attempts > 1, "{:?}", retried.lost());
    // It comes after all others: that is what a retry is.
    let published = scene.dispatcher.shared().published(&feed);
    let last = published
        .distinct()
        .last()
        .map(|receipt| receipt.kafka_key.to_string());
    assert_eq!(last, Some(refused));
    assert!(scene.uploaded().contains(&keys[0]) && !scene.uploaded().contains(&keys[1]));

    let of_other = scene
        .run(&["dead-letters", "--retry", "--json", "--source", "other"])
        .is(0);
    assert_eq!(of_other.letters.len(), 1, "that of another source is left alone");
}

#[test]
fn an_outage_says_nothing_of_a_letter() {
    let scene = Scene::new(&["samples"])
        .set("BK__RESTORE_TYPE", "streams")
        .spoilable();
    scene.put_stream("samples", "content", b"whole");
    let key = scene.put_stream("samples", "content", b"to be damaged");
    scene.put(bucket::STREAMS, &key, b"no gzip at all");
    scene.restore(&[]).is(3);
    scene.spoil_bucket(&key, Fault::AnswerInstead(Reply::Xml(503)), crate::scene::EVER);
    let retried = scene.run(&["dead-letters", "--retry", "--json"]).is(1);
    assert_eq!(retried.letters.len(), 1, "{}", retried.log);
    assert!(
        retried.letters[0].0.reason.contains("gzip"),
        "{:?}",
        retried.lost()
    );
}

/// Streams that are damaged when they are restored, and whole later: their keys, in order.
fn damaged(scene: &Scene, count: usize) -> Vec<String> {
    let contents: Vec<String> = (0..count).map(|number| format!("damaged {number}")).collect();
    let put = |content: &String| scene.put_stream("samples", "content", content.as_bytes());
    let mut keys: Vec<String> = contents.iter().map(put).collect();
    for key in &keys {
        scene.put(bucket::STREAMS, key, b"no gzip at all");
    }
    scene.put_stream("samples", "content", b"one that goes through");
    scene.restore(&[]).is(3);
    contents.iter().for_each(|content| drop(put(content)));
    keys.sort();
    keys
}

fn streams_only(scene: Scene) -> Scene {
    scene.set("BK__RESTORE_TYPE", "streams")
}

#[test]
fn letters_that_cannot_be_tried_keep_no_other_from_being_put_back() {
    let scene = streams_only(Scene::new(&["samples"]).spoilable());
    let keys = damaged(&scene, 5);
    for key in &keys[..2] {
        scene.spoil_bucket(key, Fault::AnswerInstead(Reply::Xml(503)), crate::scene::EVER);
    }
    let retried = scene.run(&["dead-letters", "--retry", "--json"]).is(1);
    let tally = serde_json::json!({"retried": {
        "put_back": 3, "put_back_in_part": 0, "stay": 0, "not_tried": 2, "elsewhere": 0, "ended_early": null,
    }});
    assert_eq!(retried.told, tally, "{}", retried.log);
    let left: Vec<&str> = retried.lost().into_iter().map(|(key, ..)| key).collect();
    assert_eq!(left, [&keys[0], &keys[1]]);
    assert!(
        retried
            .letters
            .iter()
            .all(|(letter, _)| letter.reason.contains("gzip"))
    );
    scene.heal();
    let retried = scene.run(&["dead-letters", "--retry", "--json"]).is(0);
    assert!(retried.letters.is_empty(), "{:?}", retried.lost());
}

#[test]
fn several_letters_in_a_row_that_cannot_be_tried_end_it_and_the_tally_is_told() {
    let scene = streams_only(Scene::new(&["samples"]).spoilable());
    let keys = damaged(&scene, 8);
    for key in &keys[1..] {
        scene.spoil_bucket(key, Fault::AnswerInstead(Reply::Xml(503)), crate::scene::EVER);
    }
    let retried = scene.run(&["dead-letters", "--retry", "--json"]).is(1);
    let tally = &retried.told["retried"];
    assert_eq!(
        (&tally["put_back"], &tally["not_tried"]),
        (&1.into(), &5.into()),
        "{}",
        retried.log
    );
    let why = tally["ended_early"].as_str().unwrap_or_default();
    assert!(
        why.contains("5 letters in a row could not be tried") && why.contains("503"),
        "{why}"
    );
    assert_eq!(retried.letters.len(), 7);
}

#[test]
fn a_damaged_letter_keeps_no_other_from_being_put_back() {
    let scene = Scene::new(&["samples"]).set("BK__RESTORE_TYPE", "events");
    let feed = feed("samples/binary/sourced");
    let events: Vec<Event> = (0..5).map(|number| event(&feed, number)).collect();
    let refused = [0, 2, 4].map(|place: usize| (events[place].kafka_key.clone(), "no".to_owned()));
    scene.dispatcher.set_rules(SourceRules {
        refused: refused.into(),
        ..SourceRules::default()
    });
    scene.put_bundle(&feed, &events);
    scene.restore(&[]).is(3);
    scene.dispatcher.set_rules(SourceRules::default());
    let kept = std::fs::read_dir(scene.local_state().join("dead-letters")).unwrap();
    let mut kept: Vec<_> = kept.map(|file| file.unwrap().path()).collect();
    kept.sort();
    let event = std::fs::read(&kept[0]).unwrap();
    std::fs::write(&kept[0], "damaged").unwrap();
    let retried = scene
        .begin(&["dead-letters", "--retry", "--json"])
        .end(None)
        .is(1);
    let tally = &retried.told["retried"];
    assert_eq!(
        (&tally["put_back"], &tally["not_tried"]),
        (&2.into(), &1.into()),
        "{}",
        retried.log
    );
    assert!(retried.log.contains("the file is damaged"), "{}", retried.log);
    std::fs::write(&kept[0], event).unwrap();
    let retried = scene.run(&["dead-letters", "--retry", "--json"]).is(0);
    assert!(retried.letters.is_empty());
    assert_eq!(scene.dispatcher.shared().published(&feed).distinct().len(), 5);
}

#[test]
fn the_tally_is_told_after_a_signal_too() {
    let scene = streams_only(Scene::new(&["samples"]).spoilable());
    let keys = damaged(&scene, 2);
    scene.spoil_bucket(&keys[1], Fault::HangUnsent, crate::scene::EVER);
    let mut running = scene.begin(&["dead-letters", "--retry", "--json"]);
    running.wait_for("the first is put back", |log| log.contains("is put back"));
    running.terminate();
    let retried = running.end(Some(&scene.local_state())).is(1);
    let tally = &retried.told["retried"];
    assert_eq!(tally["put_back"], 1, "{}", retried.log);
    assert_eq!(tally["ended_early"], "it was told to stop");
    assert_eq!(retried.letters.len(), 1);
}

#[test]
fn letters_of_another_dispatcher_are_left_alone_unless_that_is_asked_for() {
    let scene = streams_only(Scene::new(&["samples"]));
    let keys = damaged(&scene, 2);
    let other = StandInDispatcher::start(Config::default()).unwrap();
    let scene = scene.set("BK__DISPATCHER_EVENTS", other.url());
    let retried = scene.run(&["dead-letters", "--retry", "--json"]).is(3);
    assert_eq!(retried.told["retried"]["elsewhere"], 2, "{}", retried.log);
    assert_eq!(retried.letters.len(), 2);
    assert!(other.shared().stream_keys().is_empty());
    let retried = scene
        .run(&["dead-letters", "--retry", "--json", "--any-target"])
        .is(0);
    assert_eq!(retried.told["retried"]["put_back"], 2);
    assert_eq!(other.shared().stream_keys().into_iter().collect::<Vec<_>>(), keys);
}

#[test]
fn a_later_restore_that_puts_a_stream_back_settles_its_letter() {
    let scene = streams_only(Scene::new(&["samples"]));
    damaged(&scene, 2);
    let ended = scene.restore(&[]).is(0);
    assert!(ended.letters.is_empty(), "{:?}", ended.lost());
}

#[test]
fn what_is_put_back_between_two_starts_counts_as_restored() {
    let scene = Scene::new(&["samples"])
        .set("BK__RESTORE_TYPE", "events")
        .spoilable();
    let [first, second] = ["system/insert/default", "samples/binary/mapped"].map(feed);
    let events: Vec<Event> = (0..3).map(|number| event(&first, number)).collect();
    scene.dispatcher.set_rules(SourceRules {
        refused: [(events[1].kafka_key.clone(), "not on a Monday".to_owned())].into(),
        ..SourceRules::default()
    });
    scene.put_bundle(&first, &events);
    scene.put_bundle(&second, &[event(&second, 7)]);
    // Those of system come first; then the dispatcher is away.
    let down = Fault::AnswerInstead(Reply::Xml(503));
    scene.spoil_hub("model=binary", down, crate::scene::EVER);
    let ended = scene.restore(&[]).is(1);
    assert_eq!(ended.letters.len(), 1, "{}", ended.log);
    scene.heal();
    scene.dispatcher.set_rules(SourceRules::default());
    let retried = scene.run(&["dead-letters", "--retry", "--json"]).is(0);
    assert!(retried.letters.is_empty());
    let ended = scene.restore(&[]).is(0);
    assert_eq!((ended.events(), ended.letters.len()), ([4, 4, 0, 0, 0], 0));
    assert!(ended.log.contains("it counts as restored"), "{}", ended.log);
}

/// Whoever reads the README is to find there what the program prints; only times differ.
#[test]
fn the_readme_shows_dead_letters_as_they_are_printed() {
    let scene = Scene::new(&["incidents"]);
    let feed = feed("incidents/binary/enriched");
    let events: Vec<Event> = (0..3).map(|number| event(&feed, number)).collect();
    scene.dispatcher.set_rules(SourceRules {
        refused: [(events[1].kafka_key.clone(), "no such parent".to_owned())].into(),
        ..SourceRules::default()
    });
    scene.put_bundle(&feed, &events);
    let key = scene.put_stream("incidents", "content", b"a binary");
    scene.put(bucket::STREAMS, &key, &bucket::gzip(b"another binary"));
    scene.restore(&[]).is(3);
    let mut listing = scene.begin(&["dead-letters"]);
    while !listing.has_ended() {
        std::thread::yield_now();
    }
    let printed = std::fs::read_to_string(scene.folder.path().join("start-1.json")).unwrap();
    let readme = include_str!("../../README.md");
    for line in printed.lines() {
        let but_for_the_time = line.get(20..).unwrap_or(line);
        assert!(
            readme.contains(but_for_the_time),
            "the README does not have it:\n{printed}"
        );
    }
}
