//! What is told on the way: one line a source or feed that is being worked on, with rate and time left.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use actors::restore::progress::{FeedProgress, Progress, SourceProgress};
use indicatif::{HumanBytes, HumanCount, HumanDuration};

/// More sources and feeds are not told one by one.
pub(super) const MOST_LINES: usize = 12;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// For people.
    pub(super) text: String,
    /// How much is done, and of how much, in whatever unit says most about the time left.
    pub(super) share: Option<(u64, u64)>,
}

/// Progress as it was seen lately, the eldest first.
pub(super) type Seen = VecDeque<(Instant, Progress)>;

/// A rate over less than this says nothing about the time left.
const LEAST_SEEN: Duration = Duration::from_secs(2);

/// All that there is to tell. Rates are those of the time since something was first `seen` to be worked on: while it
/// waited for its turn, it was not slow.
pub(super) fn lines(seen: &Seen, now: &Progress, at: Instant) -> Vec<Line> {
    let streams = now.streams.iter().filter(|source| source.is_active);
    let streams = streams.map(|source| {
        let (since, before) =
            first_active(seen, |progress| find_source(progress, source)).unwrap_or((at, source));
        stream_line(before, source, at - since)
    });
    let feeds = now.feeds.iter().filter(|feed| feed.is_active);
    let feeds = feeds.map(|feed| {
        let (since, before) = first_active(seen, |progress| find_feed(progress, feed)).unwrap_or((at, feed));
        feed_line(before, feed, at - since)
    });
    let mut lines: Vec<Line> = streams.chain(feeds).collect();
    if lines.len() > MOST_LINES {
        let more = lines.len() - (MOST_LINES - 1);
        lines.truncate(MOST_LINES - 1);
        let text = format!("and {more} more");
        lines.push(Line { text, share: None });
    }
    let mut all = vec![Line {
        text: overall(now),
        share: None,
    }];
    all.append(&mut lines);
    all
}

/// The stage, and what has come of everything so far.
fn overall(now: &Progress) -> String {
    let (streams, events) = (now.all_streams(), now.all_events());
    format!(
        "{}: {} streams, {} events done, {} not put back",
        now.stage.as_str(),
        HumanCount(streams.restored + streams.there),
        HumanCount(events.accepted + events.filtered),
        HumanCount(now.given_up())
    )
}

/// What was found first, and when.
fn first_active<'a, T>(
    seen: &'a Seen,
    find: impl Fn(&'a Progress) -> Option<&'a T>,
) -> Option<(Instant, &'a T)> {
    seen.iter()
        .find_map(|(at, progress)| Some((*at, find(progress)?)))
}

fn find_source<'a>(before: &'a Progress, now: &SourceProgress) -> Option<&'a SourceProgress> {
    let mut active = before.streams.iter().filter(|source| source.is_active);
    active.find(|source| source.source == now.source)
}

fn find_feed<'a>(before: &'a Progress, now: &FeedProgress) -> Option<&'a FeedProgress> {
    let mut active = before.feeds.iter().filter(|feed| feed.is_active);
    active.find(|feed| feed.feed == now.feed)
}

fn stream_line(before: &SourceProgress, now: &SourceProgress, took: Duration) -> Line {
    let objects = per_second(before.objects(), now.objects(), took);
    let bytes = per_second(before.figures.bytes, now.figures.bytes, took);
    let total = now.total;
    let share = total.map(|total| (now.figures.bytes, total.bytes));
    Line {
        text: format!(
            "streams of {}: {}{}{} ({}/s), {} ({}/s)",
            now.source,
            of(now.objects(), total.map(|total| total.objects), |count| {
                HumanCount(count).to_string()
            }),
            left(share, bytes, took),
            dead(now.figures.dead),
            rate(objects),
            of(now.figures.bytes, total.map(|total| total.bytes), |bytes| {
                HumanBytes(bytes).to_string()
            }),
            HumanBytes(bytes as u64),
        ),
        share,
    }
}

fn feed_line(before: &FeedProgress, now: &FeedProgress, took: Duration) -> Line {
    let done = |feed: &FeedProgress| feed.figures.events + feed.not_wanted;
    let events = per_second(done(before), done(now), took);
    let share = now.total.map(|total| (done(now), total.events));
    let reached = now
        .reached
        .map_or_else(String::new, |time| format!(", up to {time}"));
    Line {
        text: format!(
            "events of {}: {}{}{} ({}/s){reached}",
            now.feed,
            of(done(now), share.map(|(_, total)| total), |count| HumanCount(
                count
            )
            .to_string()),
            left(share, events, took),
            dead(now.figures.refused + now.figures.dead),
            rate(events),
        ),
        share,
    }
}

fn per_second(before: u64, now: u64, took: Duration) -> f64 {
    now.saturating_sub(before) as f64 / took.as_secs_f64().max(0.001)
}

fn rate(rate: f64) -> String {
    match rate < 99.95 {
        true => format!("{rate:.1}"),
        false => HumanCount(rate.round() as u64).to_string(),
    }
}

fn of(done: u64, total: Option<u64>, shown: impl Fn(u64) -> String) -> String {
    match total {
        Some(total) => format!("{} of {}", shown(done), shown(total.max(done))),
        None => shown(done),
    }
}

/// How long it will go on like this. Nothing is said where nobody can know. It stands in front: what does not fit on a
/// terminal is cut off at the end.
fn left(share: Option<(u64, u64)>, per_second: f64, seen_for: Duration) -> String {
    match share {
        Some((done, total)) if total > done && per_second > 0.0 && seen_for >= LEAST_SEEN => {
            let seconds = ((total - done) as f64 / per_second).min(1e9);
            format!(", about {} left", HumanDuration(Duration::from_secs_f64(seconds)))
        }
        _ => String::new(),
    }
}

fn dead(count: u64) -> String {
    match count {
        0 => String::new(),
        count => format!(", {} not put back", HumanCount(count)),
    }
}

#[cfg(test)]
mod tests {
    use actors::feed::SourceName;
    use actors::ports::restore_state::{EventFigures, StreamFigures};
    use actors::restore::progress::{Stage, Total};

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
            streams: vec![source("samples", 100, 10 << 20)],
            ..Progress::default()
        };
        let mut now = before.clone();
        now.stage = Stage::Streams;
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
                "streams: 600 streams, 0 events done, 2 not put back",
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
            "events of samples/binary/sourced: 21,000, 1 not put back (2,000/s), up to 2025-07-30T06:02:59.5Z"
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
}
