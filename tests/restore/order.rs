//! What comes before what.

use sandbox::dispatcher::Arrival;

use crate::bucket::{event, feed};
use crate::scene::Scene;

/// Two sources with streams and events, and events of `system`.
fn scene() -> Scene {
    let scene = Scene::new(&["zoo", "alpha"]).set("BK__STREAM_ROUTINE_COUNT", 4);
    for source in ["alpha", "zoo"] {
        for number in 0..20 {
            let label = ["content", "text"][number % 2];
            scene.put_stream(source, label, format!("{source} {number}").as_bytes());
        }
        for action in ["sourced", "mapped"] {
            let feed = feed(&format!("{source}/binary/{action}"));
            for bundle in 0..2 {
                let events = [event(&feed, 2 * bundle), event(&feed, 2 * bundle + 1)];
                scene.put_bundle(&feed, &events);
            }
        }
    }
    for name in ["system/insert/default", "system/delete/default"] {
        let feed = feed(name);
        // As late as nothing else: it comes first all the same.
        scene.put_bundle(&feed, &[event(&feed, 1000)]);
    }
    scene
}

fn posts(scene: &Scene, what: impl Fn(&Arrival) -> bool) -> Vec<usize> {
    let arrivals = scene.dispatcher.shared().arrivals();
    let posts = arrivals
        .iter()
        .enumerate()
        .filter(|(_, arrival)| arrival.method == "POST" && what(arrival));
    posts.map(|(place, _)| place).collect()
}

#[test]
fn streams_come_before_events_and_system_before_the_others() {
    let scene = scene();
    let ended = scene.restore(&[]).is(0);
    assert_eq!((ended.streams(), ended.events()), ([40, 0, 0], [18, 18, 0, 0, 0]));
    let of_source = |source: &str| {
        let path = format!("/api/v3/stream/{source}/");
        posts(&scene, |arrival| arrival.path.starts_with(&path))
    };
    let of_model = |model: &str| {
        let model = format!("model={model}&");
        posts(&scene, |arrival| {
            arrival.path == "/api/v2/event" && arrival.query.contains(&model)
        })
    };
    let groups = [
        of_source("alpha"),
        of_source("zoo"),
        [of_model("insert"), of_model("delete")].concat(),
        of_model("binary"),
    ];
    assert_eq!(groups.each_ref().map(Vec::len), [20, 20, 2, 8]);
    for pair in groups.windows(2) {
        assert!(pair[0].iter().max() < pair[1].iter().min(), "{groups:?}");
    }
}

#[test]
fn restore_type_chooses_streams_or_events() {
    for (chosen, uploads, publishes) in [("streams", 40, 0), ("events", 0, 10)] {
        let scene = scene().set("BK__RESTORE_TYPE", chosen);
        scene.restore(&[]).is(0);
        let shared = scene.dispatcher.shared();
        assert_eq!(shared.upload_totals().requests, uploads, "{chosen}");
        assert_eq!(shared.publish_totals().requests, publishes, "{chosen}");
    }
}

#[test]
fn what_the_dispatcher_has_is_not_sent_again() {
    let scene = scene().set("BK__RESTORE_TYPE", "streams");
    scene.restore(&["--source", "alpha"]).is(0);
    let ended = scene.restore(&["--skip-existing"]).is(0);
    assert_eq!(ended.streams(), [20, 20, 0]);
    let totals = scene.dispatcher.shared().upload_totals();
    assert_eq!((totals.requests, totals.taken), (40, 40));
    // Without it everything is sent.
    let ended = scene.restore(&[]).is(0);
    assert_eq!(ended.streams(), [40, 0, 0]);
    assert_eq!(scene.dispatcher.shared().upload_totals().taken, 80);
}
