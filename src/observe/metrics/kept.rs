//! The names that dashboards of Azul know. They stay as they are, also where a counter lacks its `_total`.

use std::collections::BTreeMap;

use actors::board::feed::FeedWork;
use actors::fault::FaultKind;
use actors::restore::progress::Progress;
use actors::statistics::SourceFigures;

use super::{Family, MOST_STREAMS, Series, ToldFeed};
use crate::observe::snapshot::{Doing, Snapshot};

pub(super) const FAMILIES: [Family; 8] = [
    Family::counter(
        "recovery_backup_stats",
        "What became of events and streams since the start, by source. events-ok: in the bucket; events-fail: answers \
         that could not be understood; streams-ok: in the bucket, stored now or found there; streams-missing: the \
         dispatcher does not have them; streams-fail: attempts that failed.",
        |scrape| stats(scrape.snapshot, Doing::Backup),
    ),
    Family::counter(
        "recovery_restore_stats",
        "What became of events and streams in all starts of this restore, by source. events-ok: taken by the \
         dispatcher, or filtered by it; events-fail: refused, or given up; streams-ok: verified in Azul; \
         streams-missing: gone from the bucket since they were listed; streams-fail: given up.",
        |scrape| stats(scrape.snapshot, Doing::Restore),
    ),
    Family::counter(
        "recovery_backup_object_error",
        "Requests to the bucket that failed, by the kind of fault; those that were repeated with success included.",
        |scrape| {
            let counts = from_zero(
                FaultKind::ALL.map(FaultKind::as_str),
                &scrape.snapshot.object_errors,
            );
            counts
                .map(|(keyword, count)| Series::new(count).with("keyword", keyword))
                .collect()
        },
    ),
    Family::counter(
        "recovery_backup_events_error",
        "Faults of a feed, by what failed: pull, answer (could not be understood), journal, bundle, feed (it cannot go \
         on).",
        |scrape| {
            let of_feed = |told: &ToldFeed<'_>| {
                let counts = from_zero(FeedWork::ALL.map(FeedWork::as_str), &told.figures.errors);
                let series = counts.map(|(keyword, count)| {
                    Series::new(count)
                        .with("source", &told.source)
                        .with("event", &told.event)
                        .with("keyword", keyword)
                });
                series.collect::<Vec<_>>()
            };
            scrape.feeds.iter().flat_map(of_feed).collect()
        },
    ),
    Family::gauge(
        "recovery_backup_stream_cant_be_backed_up",
        "1 for every stream that is set aside and not tried again by itself; at most 100 of them are told by name, see \
         azul_backup_failed_streams for their number.",
        |scrape| {
            let names = scrape
                .snapshot
                .backup
                .iter()
                .flat_map(|backup| &backup.streams.failed_names);
            names
                .take(MOST_STREAMS)
                .map(|name| Series::new(true).with("streampath", name))
                .collect()
        },
    ),
    Family::gauge(
        "recovery_stream_restore_complete",
        "1 if all streams of the source have been gone through by this start of the restore, 0 if not.",
        |scrape| {
            let sources = progress(scrape.snapshot)
                .into_iter()
                .flat_map(|progress| &progress.streams);
            sources
                .map(|source| Series::new(source.is_done).with("source", &source.source))
                .collect()
        },
    ),
    Family::gauge(
        "recovery_total_event_types_for_source",
        "Feeds of the source that are restored.",
        |scrape| feeds_per_source(scrape.snapshot, |_| true),
    ),
    Family::gauge(
        "recovery_completed_event_types_for_source",
        "Feeds of the source that this start of the restore has gone through.",
        |scrape| feeds_per_source(scrape.snapshot, |is_done| is_done),
    ),
];

/// Counts by keyword, those that have not been counted yet included: `increase()` does not see a series that begins with
/// its first event.
fn from_zero<'a, const N: usize>(
    keywords: [&'a str; N],
    counts: &'a BTreeMap<String, u64>,
) -> impl Iterator<Item = (&'a str, u64)> {
    let mut all = BTreeMap::from(keywords.map(|keyword| (keyword, 0)));
    all.extend(counts.iter().map(|(keyword, count)| (keyword.as_str(), *count)));
    all.into_iter()
}

fn progress(snapshot: &Snapshot) -> Option<&Progress> {
    snapshot.restore.as_ref().map(|restore| &restore.progress)
}

fn stats(snapshot: &Snapshot, mode: Doing) -> Vec<Series> {
    if snapshot.mode != mode {
        return Vec::new();
    }
    let of_source = |(source, figures): (&String, &SourceFigures)| {
        [
            ("events-ok", figures.events_ok),
            ("events-fail", figures.events_failed),
            ("streams-ok", figures.streams_ok + figures.streams_present),
            ("streams-missing", figures.streams_missing),
            ("streams-fail", figures.streams_failed),
        ]
        .map(|(stat, count)| Series::new(count).with("source", source).with("stat", stat))
    };
    snapshot.sources.iter().flat_map(of_source).collect()
}

fn feeds_per_source(snapshot: &Snapshot, counts: fn(bool) -> bool) -> Vec<Series> {
    let mut sources = BTreeMap::<&str, u64>::new();
    for feed in progress(snapshot)
        .into_iter()
        .flat_map(|progress| &progress.feeds)
    {
        *sources.entry(feed.feed.source().as_str()).or_default() += u64::from(counts(feed.is_done));
    }
    let series = |(source, count)| Series::new(count).with("source", source);
    sources.into_iter().map(series).collect()
}
