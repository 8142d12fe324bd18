//! `dead-letters --retry`: what can be put back now is, what cannot stays, and nothing else is touched.

use sandbox::dispatcher::SourceRules;
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
    let expected = serde_json::json!({"retried": {"put_back": 2, "put_back_in_part": 0, "stay": 1}});
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
