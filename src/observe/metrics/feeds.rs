//! What is true of the feeds of a backup, and of what waits for the bucket.

use std::borrow::Cow;

use actors::statistics::OTHER;

use super::{Family, Number, Scrape, Series, one};
use crate::observe::snapshot::{BackupStanding, FeedStatus, Snapshot};

pub(super) const FAMILIES: [Family; 23] = [
    Family::gauge(
        "azul_backup_feed_last_event_timestamp_seconds",
        "When an event of the feed last became durable here, in this start or an earlier one, in seconds since 1970; \
         absent before the first.",
        |scrape| known(scrape, |feed| feed.last_event),
    ),
    Family::gauge(
        "azul_backup_feed_last_bundle_timestamp_seconds",
        "When a bundle of the feed was last written to the bucket, in this start or an earlier one, in seconds since 1970; \
         absent before the first.",
        |scrape| known(scrape, |feed| feed.last_bundle),
    ),
    Family::gauge(
        "azul_backup_feed_last_pull_timestamp_seconds",
        "When a pull of the feed last succeeded, with or without events, in this start or an earlier one, in seconds since \
         1970; before the first, when the process began: so a dispatcher that has never answered is noticed too.",
        |scrape| {
            let begun = |feed: &FeedStatus| feed.configured.then_some(scrape.snapshot.started);
            known(scrape, |feed| feed.last_pull.or(begun(feed)))
        },
    ),
    Family::gauge(
        "azul_backup_feed_oldest_waiting_timestamp_seconds",
        "When the oldest event that is in the journal and not in the bucket was received, in seconds since 1970; absent \
         where none waits.",
        |scrape| known(scrape, |feed| feed.oldest_waiting),
    ),
    Family::gauge(
        "azul_backup_feed_behind_since_timestamp_seconds",
        "Since when answers have come back full, or pulls have failed or waited for room, in this start and earlier ones, \
         in seconds since 1970; absent while the feed is caught up.",
        |scrape| known(scrape, |feed| feed.behind_since),
    ),
    Family::gauge(
        "azul_backup_feed_ready",
        "1 if the dispatcher said `ready` with its last answer, 0 if not; absent before the first answer.",
        |scrape| known(scrape, |feed| feed.ready),
    ),
    Family::gauge(
        "azul_backup_feed_waiting_events",
        "Events in the journal that are not in the bucket.",
        |scrape| each(scrape, |feed| feed.waiting_events),
    ),
    Family::gauge(
        "azul_backup_feed_waiting_bytes",
        "Bytes of the answers in the journal of which not all is in the bucket.",
        |scrape| each(scrape, |feed| feed.waiting_bytes),
    ),
    Family::counter("azul_backup_feed_events_total", "Events journaled.", |scrape| {
        each(scrape, |feed| feed.events)
    }),
    Family::counter(
        "azul_backup_feed_bundles_total",
        "Bundles written to the bucket.",
        |scrape| each(scrape, |feed| feed.bundles),
    ),
    Family::counter(
        "azul_backup_feed_backpressure_seconds_total",
        "Seconds that the feed waited for room in the journal or on the disk, or for the queue of streams.",
        |scrape| each(scrape, |feed| feed.backpressure_seconds),
    ),
    Family::counter(
        "azul_backup_feed_suspect_pulls_total",
        "Pulls that may have cost events.",
        |scrape| each(scrape, |feed| feed.suspect_pulls),
    ),
    Family::gauge(
        "azul_backup_pending_streams",
        "Streams that are waited for.",
        |scrape| backup(scrape, |backup| Some(backup.streams.pending)),
    ),
    Family::gauge(
        "azul_backup_oldest_pending_stream_age_seconds",
        "Seconds for which the oldest pending stream has been waited for; 0 where there is none.",
        |scrape| {
            backup(scrape, |backup| {
                Some(backup.streams.oldest_pending_seconds.unwrap_or(0.0))
            })
        },
    ),
    Family::gauge(
        "azul_backup_failed_streams",
        "Streams that are set aside after three starts in which they failed.",
        |scrape| backup(scrape, |backup| Some(backup.streams.failed)),
    ),
    Family::gauge(
        "azul_backup_missing_streams",
        "Streams that events name and the dispatcher does not have.",
        |scrape| backup(scrape, |backup| Some(backup.streams.missing)),
    ),
    Family::gauge(
        "azul_backup_open_suspect_pulls",
        "Spans of pulls that may have cost events, and that nothing has made good.",
        |scrape| backup(scrape, |backup| Some(backup.suspect_pulls)),
    ),
    Family::gauge(
        "azul_backup_journal_bytes",
        "Bytes of answers that are whole in the journal and not all in the bucket; neither those that are coming in nor \
         those put aside.",
        |scrape| backup(scrape, |backup| Some(backup.journal.bytes)),
    ),
    Family::gauge(
        "azul_backup_journal_reserved_bytes",
        "Bytes of the journal's room that pulls under way have taken: of each as many as its answer is expected to have, \
         or has by now.",
        |scrape| backup(scrape, |backup| Some(backup.journal.reserved_bytes)),
    ),
    Family::gauge(
        "azul_backup_journal_max_bytes",
        "Bytes that azul_backup_journal_bytes, azul_backup_journal_reserved_bytes and azul_backup_journal_aside_bytes \
         may have together: a feed waits where its next answer finds no room beside them.",
        |scrape| backup(scrape, |backup| Some(backup.journal.max_bytes)),
    ),
    Family::gauge(
        "azul_backup_journal_aside_bytes",
        "Bytes of answers that could not be understood and were put aside.",
        |scrape| backup(scrape, |backup| Some(backup.journal.aside_bytes)),
    ),
    Family::gauge(
        "azul_backup_volume_free_bytes",
        "Bytes free on the volume of local state.",
        |scrape| backup(scrape, |backup| backup.journal.volume_free_bytes),
    ),
    Family::gauge(
        "azul_backup_volume_bytes",
        "Bytes of the volume of local state.",
        |scrape| backup(scrape, |backup| backup.journal.volume_bytes),
    ),
];

fn backup<N: Number>(scrape: &Scrape<'_>, value: impl FnOnce(&BackupStanding) -> Option<N>) -> Vec<Series> {
    one(scrape.snapshot.backup.as_ref().and_then(value))
}

/// A feed by its labels, or all that are not configured as one.
pub(super) struct ToldFeed<'a> {
    pub(super) source: String,
    feed: String,
    /// `model/action`.
    pub(super) event: String,
    pub(super) figures: Cow<'a, FeedStatus>,
}

/// The feeds that have series of their own, and all that are not configured as one.
pub(super) fn told(snapshot: &Snapshot) -> Vec<ToldFeed<'_>> {
    let feeds = snapshot.backup.iter().flat_map(|backup| &backup.feeds);
    let (configured, others): (Vec<_>, Vec<_>) = feeds.partition(|feed| feed.configured);
    let named = configured.into_iter().map(|status| ToldFeed {
        source: status.feed.source().to_string(),
        feed: status.feed.to_string(),
        event: format!(
            "{}/{}",
            status.feed.model().as_str(),
            status.feed.action().as_str()
        ),
        figures: Cow::Borrowed(status),
    });
    let together = others.into_iter().cloned().reduce(joined).map(|figures| {
        let [source, feed, event] = [OTHER; 3].map(str::to_owned);
        ToldFeed {
            source,
            feed,
            event,
            figures: Cow::Owned(figures),
        }
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

fn each<N: Number>(scrape: &Scrape<'_>, value: impl Fn(&FeedStatus) -> N) -> Vec<Series> {
    known(scrape, |feed| Some(value(feed)))
}

fn known<N: Number>(scrape: &Scrape<'_>, value: impl Fn(&FeedStatus) -> Option<N>) -> Vec<Series> {
    let series = |told: &ToldFeed<'_>| {
        let value = value(&told.figures)?;
        Some(
            Series::new(value)
                .with("source", &told.source)
                .with("feed", &told.feed),
        )
    };
    scrape.feeds.iter().filter_map(series).collect()
}
