//! What is told on the way: a line for the stage, and one a source or feed that is being worked on, each with objects and
//! bytes done and in all, rates and time left, and of events the time reached.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use actors::feed::SourceName;
use actors::ports::restore_state::{EventFigures, StreamFigures};
use actors::restore::progress::{FeedProgress, Progress, SourceProgress, Stage, Total};
use actors::timestamp::Timestamp;
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
    let mut all = vec![overall(seen, now, at)];
    all.append(&mut lines);
    all
}

/// The stage: how far all that it works on has come since it began.
fn overall(seen: &Seen, now: &Progress, at: Instant) -> Line {
    let of_stage = seen.iter().find(|(_, progress)| progress.stage == now.stage);
    let (since, before) = of_stage.map_or((at, now), |(since, before)| (*since, before));
    let took = at - since;
    match now.stage {
        Stage::Streams => {
            let (before, done) = (before.all_streams(), now.all_streams());
            let total = sum(now.streams.iter().map(|source| source.total));
            told_of_streams("streams", (&before, &done), total, took)
        }
        Stage::SystemEvents | Stage::Events => {
            let is_of_system = now.stage == Stage::SystemEvents;
            let of_stage =
                |feed: &&FeedProgress| (feed.feed.source().as_str() == SourceName::SYSTEM) == is_of_system;
            let feeds = || now.feeds.iter().filter(of_stage);
            let total = sum(feeds().map(|feed| feed.total));
            let (before, done) = (
                Events::of(before.feeds.iter().filter(of_stage)),
                Events::of(feeds()),
            );
            told_of_events(now.stage.as_str(), (&before, &done), total, took)
        }
        Stage::Starting | Stage::LastPass | Stage::Ended => {
            let (streams, events) = (now.all_streams(), now.all_events());
            let text = format!(
                "{}: {} streams, {} events done{}",
                now.stage.as_str(),
                HumanCount(streams.restored + streams.there),
                HumanCount(events.accepted + events.filtered),
                dead(now.given_up())
            );
            Line { text, share: None }
        }
    }
}

/// Of all; not known until it is of each.
fn sum(totals: impl Iterator<Item = Option<Total>>) -> Option<Total> {
    let mut all: Option<Total> = None;
    for total in totals {
        let (total, sum) = (total?, all.unwrap_or_default());
        all = Some(Total {
            objects: sum.objects + total.objects,
            events: sum.events + total.events,
            bytes: sum.bytes + total.bytes,
        });
    }
    all
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
    let what = format!("streams of {}", now.source);
    told_of_streams(&what, (&before.figures, &now.figures), now.total, took)
}

fn told_of_streams(
    what: &str,
    (before, now): (&StreamFigures, &StreamFigures),
    total: Option<Total>,
    took: Duration,
) -> Line {
    let objects = per_second(before.objects(), now.objects(), took);
    let bytes = per_second(before.bytes, now.bytes, took);
    let share = total.map(|total| (now.bytes, total.bytes));
    Line {
        text: format!(
            "{what}: {}{}{} ({}/s), {}",
            of(now.objects(), total.map(|total| total.objects), counted),
            left(share, bytes, took),
            dead(now.dead),
            rate(objects),
            stored(now.bytes, total, bytes),
        ),
        share,
    }
}

/// What became of the events of a feed, or of many.
#[derive(Default)]
struct Events {
    figures: EventFigures,
    not_wanted: u64,
    /// Up to there all feeds have come that are being worked on.
    reached: Option<Timestamp>,
}

impl Events {
    fn of<'a>(feeds: impl Iterator<Item = &'a FeedProgress>) -> Self {
        feeds.fold(Self::default(), |mut all, feed| {
            all.figures += feed.figures;
            all.not_wanted += feed.not_wanted;
            let reached = feed.reached.filter(|_| feed.is_active);
            all.reached = [all.reached, reached].into_iter().flatten().min();
            all
        })
    }

    /// Events that have come to their fate, those included that the selection leaves out.
    fn done(&self) -> u64 {
        self.figures.events + self.not_wanted
    }

    fn bundles(&self) -> u64 {
        self.figures.bundles + self.figures.unreadable + self.figures.gone
    }
}

fn feed_line(before: &FeedProgress, now: &FeedProgress, took: Duration) -> Line {
    let what = format!("events of {}", now.feed);
    let [before, events] = [before, now].map(|feed| Events::of([feed].into_iter()));
    told_of_events(&what, (&before, &events), now.total, took)
}

fn told_of_events(
    what: &str,
    (before, now): (&Events, &Events),
    total: Option<Total>,
    took: Duration,
) -> Line {
    let events = per_second(before.done(), now.done(), took);
    let bytes = per_second(before.figures.bytes, now.figures.bytes, took);
    let share = total.map(|total| (now.figures.bytes, total.bytes));
    let reached = now.reached.map(|time| format!(", up to {time}"));
    Line {
        text: format!(
            "{what}: {}{}{} ({}/s){}, {} bundles, {}",
            of(now.done(), total.map(|total| total.events), counted),
            left(share, bytes, took),
            dead(now.figures.refused + now.figures.dead),
            rate(events),
            reached.unwrap_or_default(),
            of(now.bundles(), total.map(|total| total.objects), counted),
            stored(now.figures.bytes, total, bytes),
        ),
        share,
    }
}

fn counted(count: u64) -> String {
    HumanCount(count).to_string()
}

fn stored(done: u64, total: Option<Total>, per_second: f64) -> String {
    let bytes = of(done, total.map(|total| total.bytes), |bytes| {
        HumanBytes(bytes).to_string()
    });
    format!("{bytes} ({}/s)", HumanBytes(per_second as u64))
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
pub(super) mod tests;
