//! What is true of the feeds of a backup, and of what waits for the bucket.

use actors::statistics::OTHER;

use super::{Family, Number, Series, one};
use crate::observe::snapshot::{BackupStanding, FeedStatus, Snapshot};

pub(super) const FAMILIES: [Family; 22] = [
    Family::gauge(
        "azul_backup_feed_last_event_timestamp_seconds",
        "When an event of the feed last became durable here, in seconds since 1970; absent before the first.",
        |snapshot| known(snapshot, |feed| feed.last_event),
    ),
    Family::gauge(
        "azul_backup_feed_last_bundle_timestamp_seconds",
        "When a bundle of the feed was last written to the bucket, in seconds since 1970; absent before the first.",
        |snapshot| known(snapshot, |feed| feed.last_bundle),
    ),
    Family::gauge(
        "azul_backup_feed_last_pull_timestamp_seconds",
        "When a pull of the feed last succeeded, with or without events, in seconds since 1970; before the first, when the \
         process began: so a dispatcher that has never answered is noticed too.",
        |snapshot| {
            let begun = |feed: &FeedStatus| feed.configured.then_some(snapshot.started);
            known(snapshot, |feed| feed.last_pull.or(begun(feed)))
        },
    ),
    Family::gauge(
        "azul_backup_feed_oldest_waiting_timestamp_seconds",
        "When the oldest event that is in the journal and not in the bucket was received, in seconds since 1970; absent \
         where none waits.",
        |snapshot| known(snapshot, |feed| feed.oldest_waiting),
    ),
    Family::gauge(
        "azul_backup_feed_behind_since_timestamp_seconds",
        "Since when answers have come back full, or pulls have failed or waited for room, in seconds since 1970; absent \
         while the feed is caught up.",
        |snapshot| known(snapshot, |feed| feed.behind_since),
    ),
    Family::gauge(
        "azul_backup_feed_ready",
        "1 if the dispatcher said `ready` with its last answer, 0 if not; absent before the first answer.",
        |snapshot| known(snapshot, |feed| feed.ready),
    ),
    Family::gauge(
        "azul_backup_feed_waiting_events",
        "Events in the journal that are not in the bucket.",
        |snapshot| each(snapshot, |feed| feed.waiting_events),
    ),
    Family::gauge(
        "azul_backup_feed_waiting_bytes",
        "Bytes of the answers in the journal of which not all is in the bucket.",
        |snapshot| each(snapshot, |feed| feed.waiting_bytes),
    ),
    Family::counter("azul_backup_feed_events_total", "Events journaled.", |snapshot| {
        each(snapshot, |feed| feed.events)
    }),
    Family::counter(
        "azul_backup_feed_bundles_total",
        "Bundles written to the bucket.",
        |snapshot| each(snapshot, |feed| feed.bundles),
    ),
    Family::counter(
        "azul_backup_feed_backpressure_seconds_total",
        "Seconds that the feed waited for room in the journal or on the disk, or for the queue of streams.",
        |snapshot| each(snapshot, |feed| feed.backpressure_seconds),
    ),
    Family::counter(
        "azul_backup_feed_suspect_pulls_total",
        "Pulls that may have cost events.",
        |snapshot| each(snapshot, |feed| feed.suspect_pulls),
    ),
    Family::gauge(
        "azul_backup_pending_streams",
        "Streams that are waited for.",
        |snapshot| backup(snapshot, |backup| Some(backup.streams.pending)),
    ),
    Family::gauge(
        "azul_backup_oldest_pending_stream_age_seconds",
        "Seconds for which the oldest pending stream has been waited for; 0 where there is none.",
        |snapshot| {
            backup(snapshot, |backup| {
                Some(backup.streams.oldest_pending_seconds.unwrap_or(0.0))
            })
        },
    ),
    Family::gauge(
        "azul_backup_failed_streams",
        "Streams that are set aside after three starts in which they failed.",
        |snapshot| backup(snapshot, |backup| Some(backup.streams.failed)),
    ),
    Family::gauge(
        "azul_backup_missing_streams",
        "Streams that events name and the dispatcher does not have.",
        |snapshot| backup(snapshot, |backup| Some(backup.streams.missing)),
    ),
    Family::gauge(
        "azul_backup_open_suspect_pulls",
        "Spans of pulls that may have cost events, and that nothing has made good.",
        |snapshot| backup(snapshot, |backup| Some(backup.suspect_pulls)),
    ),
    Family::gauge(
        "azul_backup_journal_bytes",
        "Bytes received that are in the journal.",
        |snapshot| backup(snapshot, |backup| Some(backup.journal.bytes)),
    ),
    Family::gauge(
        "azul_backup_journal_max_bytes",
        "Bytes that the journal may have, what was put aside included.",
        |snapshot| backup(snapshot, |backup| Some(backup.journal.max_bytes)),
    ),
    Family::gauge(
        "azul_backup_journal_aside_bytes",
        "Bytes of answers that could not be understood and were put aside.",
        |snapshot| backup(snapshot, |backup| Some(backup.journal.aside_bytes)),
    ),
    Family::gauge(
        "azul_backup_volume_free_bytes",
        "Bytes free on the volume of local state.",
        |snapshot| backup(snapshot, |backup| backup.journal.volume_free_bytes),
    ),
    Family::gauge(
        "azul_backup_volume_bytes",
        "Bytes of the volume of local state.",
        |snapshot| backup(snapshot, |backup| backup.journal.volume_bytes),
    ),
];

fn backup<N: Number>(snapshot: &Snapshot, value: impl FnOnce(&BackupStanding) -> Option<N>) -> Vec<Series> {
    one(snapshot.backup.as_ref().and_then(value))
}

/// How a feed is named by labels.
pub(super) struct FeedLabels {
    pub(super) source: String,
    pub(super) feed: String,
    /// `model/action`.
    pub(super) event: String,
}

/// The feeds that have series of their own, and all that are not configured as one.
pub(super) fn told_feeds(snapshot: &Snapshot) -> Vec<(FeedLabels, FeedStatus)> {
    let feeds = snapshot.backup.iter().flat_map(|backup| &backup.feeds);
    let (configured, others): (Vec<_>, Vec<_>) = feeds.cloned().partition(|feed| feed.configured);
    let named = configured.into_iter().map(|feed| {
        let labels = FeedLabels {
            source: feed.feed.source().to_string(),
            feed: feed.feed.to_string(),
            event: format!("{}/{}", feed.feed.model().as_str(), feed.feed.action().as_str()),
        };
        (labels, feed)
    });
    let together = others.into_iter().reduce(joined).map(|feed| {
        let [source, feed_label, event] = [OTHER; 3].map(str::to_owned);
        let labels = FeedLabels {
            source,
            feed: feed_label,
            event,
        };
        (labels, feed)
    });
    named.chain(together).collect()
}

/// Two feeds that are not configured, told as one.
fn joined(mut one: FeedStatus, other: FeedStatus) -> FeedStatus {
    one.last_event = one.last_event.max(other.last_event);
    one.last_bundle = one.last_bundle.max(other.last_bundle);
    one.oldest_waiting = [one.oldest_waiting, other.oldest_waiting]
        .into_iter()
        .flatten()
        .min();
    one.waiting_events += other.waiting_events;
    one.waiting_bytes += other.waiting_bytes;
    one.events += other.events;
    one.bundles += other.bundles;
    one.suspect_pulls += other.suspect_pulls;
    one.backpressure_seconds += other.backpressure_seconds;
    for (keyword, count) in other.errors {
        *one.errors.entry(keyword).or_default() += count;
    }
    one
}

fn each<N: Number>(snapshot: &Snapshot, value: impl Fn(&FeedStatus) -> N) -> Vec<Series> {
    known(snapshot, |feed| Some(value(feed)))
}

fn known<N: Number>(snapshot: &Snapshot, value: impl Fn(&FeedStatus) -> Option<N>) -> Vec<Series> {
    let series = |(labels, feed): (FeedLabels, FeedStatus)| {
        let value = value(&feed)?;
        Some(
            Series::new(value)
                .with("source", labels.source)
                .with("feed", labels.feed),
        )
    };
    told_feeds(snapshot).into_iter().filter_map(series).collect()
}
