//! The names that dashboards of Azul know. They stay as they are, also where a counter lacks its `_total`.

use actors::restore::progress::Progress;
use actors::statistics::SourceFigures;

use super::feeds::{FeedLabels, told_feeds};
use super::{Family, MOST_STREAMS, Series};
use crate::observe::snapshot::{Doing, Snapshot};

pub(super) const FAMILIES: [Family; 8] = [
    Family::counter(
        "recovery_backup_stats",
        "What became of events and streams since the start, by source. events-ok: in the bucket; events-fail: answers \
         that could not be understood; streams-ok: in the bucket, stored now or found there; streams-missing: the \
         dispatcher does not have them; streams-fail: attempts that failed.",
        |snapshot| stats(snapshot, Doing::Backup),
    ),
    Family::counter(
        "recovery_restore_stats",
        "What became of events and streams in all starts of this restore, by source. events-ok: taken by the \
         dispatcher, or filtered by it; events-fail: refused, or given up; streams-ok: verified in Azul; \
         streams-missing: gone from the bucket since they were listed; streams-fail: given up.",
        |snapshot| stats(snapshot, Doing::Restore),
    ),
    Family::counter(
        "recovery_backup_object_error",
        "Requests to the bucket that failed, by the kind of fault; those that were repeated with success included.",
        |snapshot| {
            let errors = snapshot.object_errors.iter();
            errors
                .map(|(keyword, count)| Series::new(*count).with("keyword", keyword))
                .collect()
        },
    ),
    Family::counter(
        "recovery_backup_events_error",
        "Faults of a feed, by what failed: pull, answer (could not be understood), journal, bundle, feed (it cannot go \
         on).",
        |snapshot| {
            let series = |(labels, feed): &(FeedLabels, _)| {
                let errors = |feed: &crate::observe::snapshot::FeedStatus| feed.errors.clone();
                let (source, event) = (labels.source.clone(), labels.event.clone());
                errors(feed).into_iter().map(move |(keyword, count)| {
                    Series::new(count)
                        .with("source", &source)
                        .with("event", &event)
                        .with("keyword", keyword)
                })
            };
            told_feeds(snapshot).iter().flat_map(series).collect()
        },
    ),
    Family::gauge(
        "recovery_backup_stream_cant_be_backed_up",
        "1 for every stream that is set aside and not tried again by itself; at most 100 of them are told by name, see \
         azul_backup_failed_streams for their number.",
        |snapshot| {
            let names = snapshot
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
        |snapshot| {
            let sources = progress(snapshot)
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
        |snapshot| feeds_per_source(snapshot, |_| true),
    ),
    Family::gauge(
        "recovery_completed_event_types_for_source",
        "Feeds of the source that this start of the restore has gone through.",
        |snapshot| feeds_per_source(snapshot, |is_done| is_done),
    ),
];

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
    let mut sources = std::collections::BTreeMap::<&str, u64>::new();
    for feed in progress(snapshot)
        .into_iter()
        .flat_map(|progress| &progress.feeds)
    {
        *sources.entry(feed.feed.source().as_str()).or_default() += u64::from(counts(feed.is_done));
    }
    let series = |(source, count)| Series::new(count).with("source", source);
    sources.into_iter().map(series).collect()
}
