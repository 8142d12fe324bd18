//! Bundles as two programs, three model versions and many years have left them.

use actors::avro::ModelVersion;
use actors::feed::Feed;
use sandbox::encode::{Layout, bulk};

use crate::bucket::{
    AES_KEY, EVENTS, Event, STREAMS, bundle_key, event, event_at, event_in, feed, gzip, sealed,
};
use crate::scene::Scene;

fn events_at(feed: &Feed, first: u64, times: &[&str]) -> Vec<Event> {
    let events = times.iter().zip(first..);
    events
        .map(|(time, number)| event_at(feed, number, time))
        .collect()
}

fn keys(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| event.kafka_key.clone()).collect()
}

#[test]
fn bundles_that_list_in_the_wrong_order_are_restored_in_the_order_of_time() {
    let scene = Scene::new(&["samples"]).set("BK__RESTORE_TYPE", "events");
    // Pages end between them.
    scene.s3.knobs().set_page(Some(1));
    let feed = feed("samples/binary/mapped");
    let times = [
        "2025-07-30T06:02:40Z",
        "2025-07-30T06:02:40.5Z",
        "2025-07-30T06:02:40.52Z",
        "2025-07-30T06:02:40.520001Z",
        "2025-07-30T06:02:40.6Z",
        "2025-07-30T06:02:41Z",
        "2025-07-30T06:02:41.000001Z",
    ];
    let mut listed = Vec::new();
    for (number, time) in times.iter().enumerate().rev() {
        listed.push(scene.put_bundle(&feed, &events_at(&feed, number as u64, &[time])));
    }
    listed.reverse();
    assert!(!listed.is_sorted(), "they list in their order: {listed:?}");
    let ended = scene.restore(&[]).is(0);
    let expected: Vec<String> = (0..7).map(|number| format!("{number:032x}")).collect();
    assert_eq!(scene.published(&feed), expected);
    assert_eq!(
        (ended.events(), ended.figure("all_events/bundles")),
        ([7, 7, 0, 0, 0], 7)
    );
}

#[test]
fn bundles_of_every_model_version_are_restored_and_an_unknown_one_is_a_dead_letter() {
    let scene = Scene::new(&["samples"]).set("BK__RESTORE_TYPE", "events");
    let feeds = [
        "samples/binary/sourced",
        "system/insert/default",
        "system/delete/default",
    ]
    .map(feed);
    let mut lost = Vec::new();
    for feed in &feeds {
        for (place, version) in ModelVersion::ALL.into_iter().enumerate() {
            let events: Vec<Event> = (0..3)
                .map(|number| event_in(feed, version, 10 * place as u64 + number, |_| {}))
                .collect();
            scene.put_bundle_of(feed, version.number(), &events);
        }
        let unknown: Vec<Event> = (15..18).map(|number| event(feed, number)).collect();
        lost.push(scene.put_bundle_of(feed, 7, &unknown));
    }
    let ended = scene.restore(&[]).is(3);
    lost.sort();
    let letters: Vec<_> = ended
        .lost()
        .iter()
        .map(|(key, event, _)| ((*key).to_owned(), *event))
        .collect();
    assert_eq!(
        letters,
        lost.into_iter().map(|key| (key, None)).collect::<Vec<_>>()
    );
    for feed in &feeds {
        let expected = [0, 1, 2, 10, 11, 12, 20, 21, 22].map(|number| format!("{number:032x}"));
        assert_eq!(scene.published(feed), expected);
    }
    assert_eq!(ended.events(), [36, 27, 0, 0, 9]);
}

#[test]
fn odd_bundles_of_the_older_program_are_read() {
    let scene = Scene::new(&["samples"]).set("BK__RESTORE_TYPE", "events");
    let feed = feed("samples/binary/extracted");
    // No event of it was valid, so that its name has no time; the events themselves are restored.
    let nameless: Vec<Event> = (0..3).map(|number| event(&feed, number)).collect();
    let bytes: Vec<&[u8]> = nameless.iter().map(|event| event.bytes.as_slice()).collect();
    let key = format!("{feed}/0001-01-01T00:00:00Z-3-");
    scene.put(EVENTS, &key, &gzip(&bulk(6, &bytes, Layout::Sized)));
    // Several gzip members, cut in the middle of events; and an encoder without sizes.
    let members: Vec<Event> = (10..14).map(|number| event(&feed, number)).collect();
    let bytes: Vec<&[u8]> = members.iter().map(|event| event.bytes.as_slice()).collect();
    let whole = bulk(6, &bytes, Layout::Unsized(2));
    let (head, tail) = whole.split_at(whole.len() / 3);
    let packed = [gzip(head), gzip(&[]), gzip(tail)].concat();
    scene.put(EVENTS, &bundle_key(&feed, &members[3], 4), &packed);
    // No events at all.
    let none: [&[u8]; 0] = [];
    let key = format!("{feed}/2025-08-01T00:00:00Z-0-");
    scene.put(EVENTS, &key, &gzip(&bulk(6, &none, Layout::Sized)));
    let ended = scene.restore(&[]).is(0);
    assert_eq!(scene.published(&feed), [keys(&nameless), keys(&members)].concat());
    assert_eq!(
        (ended.events(), ended.figure("all_events/bundles")),
        ([7, 7, 0, 0, 0], 3)
    );
}

#[test]
fn encrypted_objects_in_folders_of_one_bucket_are_restored() {
    let scene = Scene::new(&["samples"])
        .set("BK__EXTERNAL_BACKUP__BUCKET", "everything")
        .set("BK__EXTERNAL_BACKUP__AES_STATE", "readonly")
        .set("BK__EXTERNAL_BACKUP__AES_KEY", AES_KEY);
    let feed = feed("samples/binary/sourced");
    let stream = |content: &[u8]| format!("samples/content/{}", actors::stream_id::Sha256::of(content));
    let put =
        |folder: &str, key: &str, bytes: &[u8]| scene.put("everything", &format!("{folder}/{key}"), bytes);
    put(STREAMS, &stream(b"plain"), &gzip(b"plain"));
    put(
        STREAMS,
        &format!("{}.aesc1", stream(b"sealed")),
        &sealed(&gzip(b"sealed")),
    );
    // Both forms of one object: the plain one is as good as the other.
    put(STREAMS, &stream(b"both"), &gzip(b"both"));
    put(
        STREAMS,
        &format!("{}.aesc1", stream(b"both")),
        &sealed(&gzip(b"both")),
    );
    let mut bundles = Vec::new();
    for number in 0..3 {
        let last = event(&feed, number);
        let packed = gzip(&bulk(6, &[&last.bytes], Layout::Sized));
        bundles.push((bundle_key(&feed, &last, 1), packed));
    }
    put(EVENTS, &bundles[0].0, &bundles[0].1);
    put(EVENTS, &format!("{}.aesc1", bundles[1].0), &sealed(&bundles[1].1));
    put(EVENTS, &bundles[2].0, &bundles[2].1);
    put(EVENTS, &format!("{}.aesc1", bundles[2].0), &sealed(&bundles[2].1));

    let ended = scene.restore(&[]).is(0);
    let mut expected = [b"plain".as_slice(), b"sealed", b"both"].map(stream);
    expected.sort();
    assert_eq!(scene.uploaded(), expected);
    let expected: Vec<String> = (0..3).map(|number| format!("{number:032x}")).collect();
    assert_eq!(scene.published(&feed), expected);
    assert!(ended.letters.is_empty(), "{:?}", ended.lost());
    let shared = scene.dispatcher.shared();
    let (uploads, publishes) = (shared.upload_totals().requests, shared.publish_totals().requests);
    assert_eq!(
        (uploads, publishes),
        (3, 3),
        "what lies there in both forms is restored once"
    );
    assert_eq!((ended.streams(), ended.events()), ([3, 0, 0], [3, 3, 0, 0, 0]));
    assert!(ended.log.contains("restored once"), "{}", ended.log);
    let planned = scene.restore(&["--plan", "--from-start"]).is(0);
    for figure in ["all_streams/bytes", "all_events/bytes", "all_events/events"] {
        assert_eq!(planned.figure(figure), ended.figure(figure), "{figure}");
    }
}

#[test]
fn what_one_form_of_an_object_does_not_give_back_the_other_does() {
    for (state, damaged) in [("readonly", ""), ("enabled", ".aesc1")] {
        let scene = Scene::new(&["samples"])
            .set("BK__EXTERNAL_BACKUP__AES_STATE", state)
            .set("BK__EXTERNAL_BACKUP__AES_KEY", AES_KEY);
        let feed = feed("samples/binary/sourced");
        let stream = scene.put_stream("samples", "content", b"both");
        let bundle = scene.put_bundle(&feed, &[event(&feed, 1)]);
        for (bucket, key) in [(STREAMS, &stream), (EVENTS, &bundle)] {
            let packed = std::fs::read(scene.object_path(bucket, key)).unwrap();
            scene.put(bucket, &format!("{key}.aesc1"), &sealed(&packed));
            scene.put(bucket, &format!("{key}{damaged}"), b"neither gzip nor encrypted");
        }
        let ended = scene.restore(&[]).is(0);
        assert_eq!(
            (scene.uploaded(), scene.published(&feed).len()),
            (vec![stream.clone()], 1)
        );
        assert_eq!((ended.streams(), ended.events()), ([1, 0, 0], [1, 1, 0, 0, 0]));
        assert!(ended.letters.is_empty(), "{:?}", ended.lost());
        let warned = |key: &str| {
            ended.log.lines().any(|line| {
                line.contains("WARN") && line.contains("its other form is read instead") && line.contains(key)
            })
        };
        assert!(warned(&stream) && warned(&bundle), "{}", ended.log);
    }
}
