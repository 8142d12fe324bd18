//! *Pulling without losing* 1 to 3.

use std::time::Duration;

use actors::feed::Feed;
use sandbox::dispatcher::{Call, Config, Fault};
use sandbox::generator::{Shape, World};

use crate::aftermath::next_start_completes;
use crate::scene::{Scene, event, events_of, feed, wait_for};

const CONSUMER: &str = "backup-events-samples-enriched-1";

fn enriched(count: u64) -> (std::sync::Arc<World>, actors::feed::Feed) {
    let world = World::new(Shape::new(6, 1, 0).with_events([0, 0, 0, 0, count])).unwrap();
    (world, feed("samples/binary/enriched"))
}

#[test]
fn events_that_come_into_a_pull_that_is_open_at_sigterm_are_kept() {
    let scene = Scene::new(&["samples"]).set("BK__EVENT_PULL_DEADLINE", "4s");
    let (world, feed) = enriched(30);
    scene.dispatcher.adopt(&world, true);
    let mut program = scene.start();
    // An idle feed comes to its longest deadline: 1 s, 2 s, then 4 s.
    wait_for("the third pull is open", &mut program, || {
        scene.pulls(CONSUMER) == 3
    });
    program.signal("-TERM");
    scene.dispatcher.release(&feed, 30);
    let code = program.wait().code();
    assert_eq!(code, Some(0), "{}", program.log());
    let given = scene.dispatcher.given(CONSUMER);
    assert_eq!((given.handed_out.len(), given.lost_to_client.len()), (30, 0));
    assert_eq!(scene.events_in_bundles(), 30);
}

/// Publishes events into the open pulls of all feeds of two sources after a signal; returns what the stop logged.
fn events_come_into_open_pulls(bucket_is_away: bool) -> String {
    let mut scene = Scene::new(&["samples", "virustotal"]).set("BK__EVENT_PULL_DEADLINE", "4s");
    let world = World::new(Shape::new(6, 2, 0).with_events([6; 5])).unwrap();
    scene.dispatcher.adopt(&world, true);
    let mut program = scene.start();
    let feeds: Vec<_> = world.feeds().iter().map(|feed| feed.feed().clone()).collect();
    let consumer = |feed: &Feed| format!("backup-events-{}-{}-1", feed.source(), feed.event_word());
    let pulls = |scene: &Scene, feed: &Feed| scene.pulls(&consumer(feed));
    // Idle feeds come to their longest deadline: 1 s, 2 s, then 4 s.
    wait_for("the third pull of every feed is open", &mut program, || {
        feeds.iter().all(|feed| pulls(&scene, feed) == 3)
    });
    if bucket_is_away {
        scene.s3.stop();
    }
    program.signal("-TERM");
    wait_for("it ends", &mut program, || {
        scene
            .logs()
            .iter()
            .any(|log| log.contains("feeds have something under way"))
    });
    feeds.iter().for_each(|feed| scene.dispatcher.release(feed, 6));
    assert_eq!(program.wait().code(), Some(0), "{}", program.log());
    for feed in &feeds {
        let given = scene.dispatcher.given(&consumer(feed));
        assert_eq!(
            given.handed_out.len(),
            6,
            "{feed}: every event came into an open pull"
        );
    }
    assert!(
        feeds.iter().all(|feed| pulls(&scene, feed) == 3),
        "no more pulls are sent"
    );
    let log = program.log();
    drop(program);
    if bucket_is_away {
        assert_eq!(scene.events_in_bundles(), 0);
        scene.s3.restart().unwrap();
    } else {
        assert_eq!(scene.events_in_bundles(), events_of(&world));
    }
    let next = next_start_completes(&scene, events_of(&world));
    assert!(
        !next.contains("suspect pull of feed"),
        "every pull was journaled\n{next}"
    );
    log
}

#[test]
fn events_that_come_into_open_pulls_of_many_feeds_are_written_by_the_stop() {
    let log = events_come_into_open_pulls(false);
    assert!(log.contains("60 events were written to the bucket"), "{log}");
    assert!(log.contains("every pull is journaled"), "{log}");
}

#[test]
fn events_that_come_into_open_pulls_stay_in_local_state_when_the_bucket_is_away() {
    let log = events_come_into_open_pulls(true);
    assert!(log.contains("0 events were written to the bucket"), "{log}");
    assert!(
        log.contains("; 60 events in 10 batches stay in local state"),
        "{log}"
    );
    assert!(log.contains("every pull is journaled"), "{log}");
}

#[test]
fn a_kill_while_a_pull_is_open_is_a_suspect_pull_at_the_next_start() {
    let scene = Scene::new(&["samples"]);
    let (world, _) = enriched(10);
    scene.dispatcher.adopt(&world, true);
    let mut program = scene.start();
    wait_for("a pull is open", &mut program, || scene.pulls(CONSUMER) == 1);
    program.kill();
    let mut program = scene.start();
    wait_for("the suspect pull is told", &mut program, || {
        scene
            .logs()
            .iter()
            .any(|log| log.contains("suspect pull of feed samples/binary/enriched"))
    });
    assert_eq!(program.stop().0, Some(0));
}

#[test]
fn answers_that_may_have_cost_events_are_suspect_and_refused_ones_are_not() {
    for (fault, suspect) in [
        (Fault::Status(500), true),
        (Fault::StatusAfterTaking(500), true),
        (Fault::StatusAfterTaking(502), true),
        (Fault::CutAfter(300), true),
        (Fault::Nonsense, true),
        (Fault::Status(422), false),
    ] {
        let scene = Scene::new(&["samples"]);
        let (world, feed) = enriched(20);
        scene.dispatcher.adopt(&world, true);
        scene.dispatcher.order_fault(Call::Pull, fault, 7);
        scene.dispatcher.release(&feed, 10);
        let mut program = scene.start();
        wait_for("the faults are over", &mut program, || {
            // Of this feed: the pulls of the others may be over before it has taken its events.
            let logs = scene.logs();
            let mut lines = logs.iter().flat_map(|log| log.lines());
            lines.any(|line| {
                line.contains("feed samples/binary/enriched: ")
                    && (line.contains("next pull in") || line.contains("could not be understood"))
            })
        });
        scene.dispatcher.release(&feed, 10);
        wait_for("the feed goes on", &mut program, || {
            scene.events_in_bundles() >= 10
        });
        let (code, log) = program.stop();
        assert_eq!(code, Some(0), "{log}");
        assert_eq!(
            log.contains("suspect pull of feed samples/binary/enriched"),
            suspect,
            "{fault:?}\n{log}"
        );
    }
}

#[test]
fn a_restart_of_the_dispatcher_is_noticed_where_it_shows() {
    let config = Config {
        ready_after_restart: Duration::from_secs(3),
        ..Config::default()
    };
    let mut scene = Scene::with(config, &["samples"]);
    let (world, feed) = enriched(20);
    scene.dispatcher.adopt(&world, true);
    scene.dispatcher.release(&feed, 10);
    let mut program = scene.start();
    wait_for("the first events", &mut program, || {
        scene.events_in_bundles() == 10
    });
    scene.dispatcher.restart().unwrap();
    wait_for("the restart is told", &mut program, || {
        scene
            .logs()
            .iter()
            .any(|log| log.contains("suspect pull of feed samples/binary/enriched"))
    });
    let (code, log) = program.stop();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn an_idle_feed_is_asked_seldom_and_never_for_ever() {
    let scene = Scene::new(&["samples"]);
    let mut program = scene.start();
    let pulls = || {
        let arrivals = scene.dispatcher.shared().arrivals();
        let of_feed = |query: &str| query.contains("r-action=enriched");
        arrivals
            .into_iter()
            .filter(|arrival| of_feed(&arrival.query))
            .map(|arrival| arrival.query)
            .collect::<Vec<_>>()
    };
    wait_for("four pulls", &mut program, || pulls().len() >= 4);
    let deadlines: Vec<String> = pulls()
        .iter()
        .map(|query| {
            query
                .split('&')
                .find_map(|pair| pair.strip_prefix("deadline="))
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(deadlines[..4], ["1", "2", "2", "2"]);
    for part in [
        "name=backup-events-samples-enriched-1",
        "version=3.0.0",
        "deployment_key=recovery",
        "count=1000",
    ] {
        assert!(pulls()[0].contains(part), "{}", pulls()[0]);
    }
    assert_eq!(program.stop().0, Some(0));
}

#[test]
fn an_invalid_event_is_kept_and_its_streams_too() {
    let scene = Scene::new(&["samples"]);
    let sha256 = crate::scene::binary(&scene, "samples", b"of an invalid event");
    let mut program = scene.start();
    // `enriched` with datastreams breaks the rules; a source that could leave its place breaks out of nothing.
    let events = [
        event(
            "samples",
            "enriched",
            "k1",
            "2025-07-30T06:02:58Z",
            &[("content", sha256.clone())],
        ),
        event(
            "../samples",
            "enriched",
            "k2",
            "2025-07-30T06:02:59Z",
            &[("content", sha256.clone())],
        ),
    ];
    scene.dispatcher.append(&feed("samples/binary/enriched"), events);
    wait_for("the bundle and the stream", &mut program, || {
        scene.bundles().len() == 1 && scene.streams() == [format!("samples/content/{sha256}")]
    });
    let (code, log) = program.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(
        log.contains("event k1 is invalid and backed up all the same"),
        "{log}"
    );
}
