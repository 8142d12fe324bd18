//! What is true of a restore.

use actors::restore::progress::{Stage, Total};

use super::{Family, Number, Series, one};
use crate::observe::snapshot::{RestoreStanding, Snapshot};

/// The stages and their labels.
const STAGES: [(Stage, &str); 6] = [
    (Stage::Starting, "starting"),
    (Stage::Streams, "streams"),
    (Stage::SystemEvents, "system-events"),
    (Stage::Events, "events"),
    (Stage::LastPass, "last-pass"),
    (Stage::Ended, "ended"),
];

pub(super) const FAMILIES: [Family; 9] = [
    Family::gauge(
        "azul_backup_restore_stage",
        "1 for the stage that the restore is in, 0 for the others.",
        |scrape| {
            let Some(restore) = &scrape.snapshot.restore else {
                return Vec::new();
            };
            let series = |(stage, label)| Series::new(restore.progress.stage == stage).with("stage", label);
            STAGES.into_iter().map(series).collect()
        },
    ),
    Family::gauge(
        "azul_backup_restore_objects_done",
        "Objects that have come to their fate in all starts of this restore, by source and kind (streams, bundles).",
        |scrape| objects(scrape.snapshot, |objects| Some(objects.done)),
    ),
    Family::gauge(
        "azul_backup_restore_objects_planned",
        "Objects there are, by source and kind (streams, bundles); absent until they are counted.",
        |scrape| objects(scrape.snapshot, |objects| objects.total),
    ),
    Family::gauge(
        "azul_backup_restore_bytes_done",
        "Bytes of the objects that have come to their fate, as stored.",
        |scrape| restore(scrape.snapshot, |restore| Some(restore.bytes_done)),
    ),
    Family::gauge(
        "azul_backup_restore_bytes_planned",
        "Bytes of all objects, as stored; absent until they are counted.",
        |scrape| restore(scrape.snapshot, |restore| restore.bytes_total),
    ),
    Family::gauge(
        "azul_backup_restore_eta_seconds",
        "Seconds until the restore is done, at the rate of the last minutes; absent while nobody can tell.",
        |scrape| restore(scrape.snapshot, |restore| restore.eta_seconds),
    ),
    Family::gauge(
        "azul_backup_restore_last_progress_timestamp_seconds",
        "When an object last came to its end or was looked at, or a page of the bucket was listed, in seconds since 1970; \
         before the first, when the process began.",
        |scrape| {
            restore(scrape.snapshot, |restore| {
                Some(restore.last_progress.unwrap_or(scrape.snapshot.started))
            })
        },
    ),
    Family::gauge(
        "azul_backup_restore_starts",
        "Which start of this restore this is, counted from 1: one that is stopped, or fails, is gone on with by the next.",
        |scrape| restore(scrape.snapshot, |restore| restore.starts.map(u64::from)),
    ),
    Family::gauge(
        "azul_backup_restore_dead_letters",
        "Streams, events and bundles that could not be put back and are kept as dead letters.",
        |scrape| restore(scrape.snapshot, |restore| Some(restore.dead_letters)),
    ),
];

fn restore<N: Number>(snapshot: &Snapshot, value: impl FnOnce(&RestoreStanding) -> Option<N>) -> Vec<Series> {
    one(snapshot.restore.as_ref().and_then(value))
}

/// How far the objects of one kind of a source have come.
struct Objects {
    done: u64,
    total: Option<u64>,
}

fn objects(snapshot: &Snapshot, value: impl Fn(&Objects) -> Option<u64>) -> Vec<Series> {
    let Some(restore) = &snapshot.restore else {
        return Vec::new();
    };
    let count = |total: Option<Total>| total.map(|total| total.objects);
    let streams = restore.progress.streams.iter().map(|source| {
        let objects = Objects {
            done: source.objects(),
            total: count(source.total),
        };
        (source.source.as_str(), "streams", objects)
    });
    let mut bundles = std::collections::BTreeMap::<&str, Objects>::new();
    for feed in &restore.progress.feeds {
        let of_source = bundles.entry(feed.feed.source().as_str()).or_insert(Objects {
            done: 0,
            total: Some(0),
        });
        of_source.done += feed.figures.bundles + feed.figures.unreadable + feed.figures.gone;
        // Unknown as long as one of them is.
        of_source.total = of_source
            .total
            .zip(count(feed.total))
            .map(|(sum, more)| sum + more);
    }
    let bundles = bundles
        .into_iter()
        .map(|(source, objects)| (source, "bundles", objects));
    let series = |(source, kind, objects)| {
        let value = value(&objects)?;
        Some(Series::new(value).with("source", source).with("kind", kind))
    };
    streams.chain(bundles).filter_map(series).collect()
}
