//! What an operator reads on the way.

use super::*;

fn source(name: &str, restored: u64, bytes: u64) -> SourceProgress {
    SourceProgress {
        source: SourceName::new(name).unwrap(),
        figures: StreamFigures {
            restored,
            bytes,
            ..StreamFigures::default()
        },
        total: None,
        is_active: true,
        is_done: false,
    }
}

fn feed(name: &str, events: u64) -> FeedProgress {
    FeedProgress {
        feed: name.parse().unwrap(),
        figures: EventFigures {
            events,
            accepted: events,
            ..EventFigures::default()
        },
        not_wanted: 0,
        total: None,
        reached: None,
        is_active: true,
        is_done: false,
    }
}

fn texts(before: &Progress, now: &Progress) -> Vec<String> {
    let begun = Instant::now();
    lines(
        &[(begun, before.clone())].into(),
        now,
        begun + Duration::from_secs(10),
    )
    .into_iter()
    .map(|line| line.text)
    .collect()
}

#[test]
fn rates_and_time_left_are_those_of_the_last_moments() {
    let before = Progress {
        stage: Stage::Streams,
        streams: vec![source("samples", 100, 10 << 20)],
        ..Progress::default()
    };
    let mut now = before.clone();
    now.streams[0].figures.restored = 600;
    now.streams[0].figures.dead = 2;
    now.streams[0].figures.bytes = 60 << 20;
    now.streams[0].total = Some(Total {
        objects: 5_000,
        events: 0,
        bytes: 360 << 20,
    });
    assert_eq!(
        texts(&before, &now),
        [
            "streams: 602 of 5,000, about 60 seconds left, 2 not put back (50.2/s), 60.00 MiB of 360.00 MiB (5.00 MiB/s)",
            "streams of samples: 602 of 5,000, about 60 seconds left, 2 not put back (50.2/s), 60.00 MiB of \
             360.00 MiB (5.00 MiB/s)",
        ]
    );
}

#[test]
fn without_a_total_nothing_is_claimed_about_the_time_left() {
    let before = Progress {
        feeds: vec![feed("samples/binary/sourced", 1_000)],
        ..Progress::default()
    };
    let mut now = before.clone();
    now.stage = Stage::Events;
    now.feeds[0].figures.events = 21_000;
    now.feeds[0].figures.accepted = 20_999;
    now.feeds[0].figures.refused = 1;
    now.feeds[0].reached = "2025-07-30T06:02:59.5Z".parse().ok();
    assert_eq!(
        texts(&before, &now)[1],
        "events of samples/binary/sourced: 21,000, 1 not put back (2,000/s), up to 2025-07-30T06:02:59.5Z, 0 bundles, \
         0 B (0 B/s)"
    );
    // What was not there before is taken as it is: no rate out of nothing.
    assert!(texts(&Progress::default(), &now)[1].contains("(0.0/s)"));
}

#[test]
fn what_waited_for_its_turn_was_not_slow() {
    let of = |is_active, restored| Progress {
        streams: vec![SourceProgress {
            is_active,
            total: Some(Total {
                objects: 1_000,
                events: 0,
                bytes: 1_000 << 10,
            }),
            ..source("samples", restored, restored << 10)
        }],
        ..Progress::default()
    };
    let begun = Instant::now();
    let at = |seconds| begun + Duration::from_secs(seconds);
    let mut seen: Seen = [(at(0), of(false, 0)), (at(9), of(false, 0))].into();
    // Its first moment: there is no rate yet, and nothing to reckon the time left from.
    let first = &lines(&seen, &of(true, 1), at(10))[1].text;
    assert!(first.contains("1 of 1,000 (0.0/s)"), "{first}");
    seen.push_back((at(10), of(true, 1)));
    let soon = &lines(&seen, &of(true, 51), at(11))[1].text;
    assert!(soon.contains("(50.0/s)") && !soon.contains("left"), "{soon}");
    let later = &lines(&seen, &of(true, 501), at(20))[1].text;
    assert!(
        later.contains("501 of 1,000, about 10 seconds left (50.0/s)"),
        "{later}"
    );
}

#[test]
fn there_are_never_more_lines_than_fit() {
    let feeds = (0..40)
        .map(|number| feed(&format!("s{number}/binary/sourced"), 1))
        .collect();
    let mut now = Progress {
        feeds,
        ..Progress::default()
    };
    let told = texts(&now, &now);
    assert_eq!(
        (told.len(), told[MOST_LINES].as_str()),
        (MOST_LINES + 1, "and 29 more")
    );
    now.feeds.truncate(MOST_LINES);
    assert_eq!(texts(&now, &now).len(), MOST_LINES + 1);
    now.feeds.iter_mut().for_each(|feed| feed.is_active = false);
    assert_eq!(texts(&now, &now).len(), 1);
}

/// Two sources of which one is done, and feeds of which one is slower than the other.
fn staged() -> (Progress, Progress) {
    let total = |objects, events, bytes| {
        Some(Total {
            objects,
            events,
            bytes,
        })
    };
    let mut before = Progress {
        stage: Stage::Events,
        streams: vec![source("abc", 0, 0), source("zoo", 0, 0)],
        feeds: vec![
            feed("system/insert/default", 7),
            feed("abc/binary/mapped", 0),
            feed("zoo/binary/mapped", 0),
        ],
        ..Progress::default()
    };
    before.streams[0].total = total(100, 0, 100 << 20);
    before.streams[1].total = total(300, 0, 300 << 20);
    before.feeds[0].total = total(1, 7, 1 << 10);
    before.feeds[1].total = total(40, 40_000, 40 << 20);
    before.feeds[2].total = total(10, 10_000, 10 << 20);
    let mut now = before.clone();
    for (feed, bundles, reached) in [(1, 20, "2025-07-30T06:02:59.5Z"), (2, 5, "2025-08-01T00:00:00Z")] {
        let figures = &mut now.feeds[feed].figures;
        (figures.bundles, figures.events, figures.accepted) = (bundles, bundles * 1000, bundles * 1000);
        figures.bytes = bundles << 20;
        now.feeds[feed].reached = reached.parse().ok();
    }
    (now.streams[0].figures.restored, now.streams[0].figures.bytes) = (100, 100 << 20);
    (now.streams[1].figures.restored, now.streams[1].figures.bytes) = (100, 100 << 20);
    (before, now)
}

#[test]
fn each_stage_tells_objects_bytes_rates_time_left_and_the_event_time_reached() {
    let (mut before, mut now) = staged();
    let mut told = Vec::new();
    for stage in [
        Stage::Starting,
        Stage::Streams,
        Stage::SystemEvents,
        Stage::Events,
        Stage::LastPass,
    ] {
        (before.stage, now.stage) = (stage, stage);
        told.push(texts(&before, &now)[0].clone());
    }
    assert_eq!(
        told,
        [
            "starting: 200 streams, 25,007 events done",
            "streams: 200 of 400, about 10 seconds left (20.0/s), 200.00 MiB of 400.00 MiB (20.00 MiB/s)",
            "events of system: 7 of 7 (0.0/s), 0 of 1 bundles, 0 B of 1.00 KiB (0 B/s)",
            "events: 25,000 of 50,000, about 10 seconds left (2,500/s), up to 2025-07-30T06:02:59.5Z, 25 of 50 bundles, \
             25.00 MiB of 50.00 MiB (2.50 MiB/s)",
            "last pass: 200 streams, 25,007 events done",
        ]
    );
    // What another stage has done in that time says nothing of this one.
    before.stage = Stage::SystemEvents;
    now.stage = Stage::Events;
    let line = &texts(&before, &now)[0];
    assert!(line.contains("(0.0/s)") && !line.contains("left"), "{line}");
    // Where one of them is not counted yet, there is no total.
    now.feeds[2].total = None;
    assert!(texts(&before, &now)[0].starts_with("events: 25,000 (0.0/s)"));
}

#[test]
fn what_a_window_leaves_out_is_done_with_too() {
    let (before, mut now) = staged();
    now.feeds[1].figures.events = 1;
    now.feeds[1].not_wanted = 19_999;
    let line = &texts(&before, &now)[4];
    assert!(
        line.starts_with("events of abc/binary/mapped: 20,000 of 40,000"),
        "{line}"
    );
}
