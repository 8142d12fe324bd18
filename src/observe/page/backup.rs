//! A backup: its feeds, its streams, its journal.

use actors::timestamp::Timestamp;

use super::concerns::FULL_PERCENT;
use super::html::Html;
use super::words::{bytes, count, percent, seconds, some, span};
use crate::observe::snapshot::{BackupStanding, FeedStatus, JournalStatus};

pub(super) fn backup(html: &mut Html, backup: &BackupStanding, now: Timestamp) {
    feeds(html, &backup.feeds, now);
    streams(html, backup);
    journal(html, &backup.journal);
}

fn feeds(html: &mut Html, feeds: &[FeedStatus], now: Timestamp) {
    html.raw("<section id=\"feeds\"><h2>Feeds</h2>");
    if feeds.is_empty() {
        html.raw("<p class=\"dim\">None has been started yet.</p></section>");
        return;
    }
    let columns = [
        "Feed",
        "State",
        "Last event",
        "Last bundle",
        "Last pull",
        "Waiting here",
        "Since the start",
    ];
    html.table("Feeds of the dispatcher", &columns);
    for feed in feeds {
        html.raw("<tr>").row_name(&feed.feed).raw("<td>");
        state(html, feed, now);
        html.raw("</td><td>").ago(feed.last_event, now, "none yet");
        html.raw("</td><td>").ago(feed.last_bundle, now, "none yet");
        html.raw("</td><td>")
            .ago(feed.last_pull, now, "none yet")
            .raw("</td><td>");
        waiting(html, feed, now);
        html.raw("</td><td>")
            .text(count(feed.events))
            .raw(" events<br>")
            .text(count(feed.bundles));
        html.raw(" bundles");
        if feed.suspect_pulls > 0 {
            html.raw("<br><strong class=\"bad\">")
                .text(some(feed.suspect_pulls, "suspect pull", "suspect pulls"))
                .raw("</strong>");
        }
        if feed.backpressure_seconds >= 1.0 {
            html.raw("<br><span class=\"dim\">waited for room ")
                .text(seconds(feed.backpressure_seconds))
                .raw("</span>");
        }
        html.raw("</td></tr>");
    }
    html.table_end()
        .raw("<p class=\"dim\">The dispatcher does not tell how far behind a feed is: only whether it has more.</p></section>");
}

fn state(html: &mut Html, feed: &FeedStatus, now: Timestamp) {
    match (feed.ready, feed.behind_since) {
        (_, Some(since)) => {
            html.raw("<strong class=\"warn\">behind</strong> for ")
                .text(span(now.since(since)));
            html.raw("<br><span class=\"dim\">since ")
                .at(since)
                .raw("</span>")
        }
        (None, None) => html.raw("<span class=\"dim\">no answer yet</span>"),
        (Some(true), None) => html.raw("<span class=\"ok\">caught up</span>"),
        (Some(false), None) => html.raw("nothing came"),
    };
    if feed.ready == Some(false) {
        html.raw("<br><strong class=\"warn\">not ready at the dispatcher</strong>");
    }
    if !feed.configured {
        html.raw("<br><span class=\"dim\">not configured any more: only finished</span>");
    }
    if let Some(trouble) = &feed.trouble {
        html.raw("<br><strong class=\"bad long\">")
            .text(trouble)
            .raw("</strong>");
    }
    if !feed.errors.is_empty() {
        let errors: Vec<_> = feed
            .errors
            .iter()
            .map(|(of, times)| format!("{of} {times}"))
            .collect();
        html.raw("<br><span class=\"dim\">faults: ")
            .text(errors.join(", "))
            .raw("</span>");
    }
}

fn waiting(html: &mut Html, feed: &FeedStatus, now: Timestamp) {
    if feed.waiting_events == 0 && feed.waiting_bytes == 0 {
        html.raw("<span class=\"dim\">nothing</span>");
        return;
    }
    html.text(count(feed.waiting_events))
        .raw(" events<br>")
        .text(bytes(feed.waiting_bytes));
    if let Some(oldest) = feed.oldest_waiting {
        html.raw("<br><span class=\"dim\">oldest ")
            .ago(Some(oldest), now, "")
            .raw("</span>");
    }
}

fn streams(html: &mut Html, backup: &BackupStanding) {
    let streams = &backup.streams;
    html.raw("<section id=\"streams\"><h2>Streams and losses</h2><dl>");
    html.raw("<div><dt>Waited for</dt><dd>")
        .text(count(streams.pending));
    if let Some(oldest) = streams.oldest_pending_seconds {
        html.raw(" <span class=\"dim\">oldest for ")
            .text(seconds(oldest))
            .raw("</span>");
    }
    figure(html.raw("</dd></div>"), "Failed, set aside", streams.failed);
    figure(html, "Suspect pulls", backup.suspect_pulls_in_all);
    figure(html, "Spans of time with suspect pulls", backup.suspect_pulls);
    html.raw("<div><dt>Missing at the dispatcher</dt><dd>")
        .text(count(streams.missing))
        .raw("</dd></div></dl>");
    if !streams.failed_names.is_empty() {
        html.raw("<details id=\"failed\" open><summary>Failed streams</summary><p>What failed and what to do: <code>");
        html.raw("azul-backup failed-streams</code>; all once more: <code>azul-backup failed-streams --retry</code></p><ul>");
        for name in &streams.failed_names {
            html.raw("<li><code>").text(name).raw("</code></li>");
        }
        let more = streams.failed.saturating_sub(streams.failed_names.len() as u64);
        if more > 0 {
            html.raw("<li>and ").text(count(more)).raw(" more</li>");
        }
        html.raw("</ul></details>");
    }
    html.raw("</section>");
}

/// A number that ought to be zero.
fn figure(html: &mut Html, name: &'static str, number: u64) {
    html.raw("<div><dt>").raw(name).raw("</dt><dd>");
    html.raw(if number > 0 {
        "<strong class=\"bad\">"
    } else {
        "<strong class=\"ok\">"
    });
    html.text(count(number)).raw("</strong></dd></div>");
}

fn journal(html: &mut Html, journal: &JournalStatus) {
    html.raw("<section id=\"journal\"><h2>Local state</h2><dl>");
    bar(
        html,
        "Journal: received and not yet in the bucket, put aside, or reserved for pulls",
        journal.taken_bytes,
        journal.max_bytes,
    );
    if journal.reserved_bytes > 0 {
        html.raw("<div><dt>Of it reserved for pulls under way</dt><dd>")
            .text(bytes(journal.reserved_bytes))
            .raw("</dd></div>");
    }
    if let (Some(free), Some(whole)) = (journal.volume_free_bytes, journal.volume_bytes) {
        bar(html, "Volume, in use", whole.saturating_sub(free), whole);
    }
    if journal.aside_bytes > 0 {
        html.raw("<div><dt>Put aside, not understood</dt><dd><strong class=\"bad\">")
            .text(bytes(journal.aside_bytes));
        html.raw("</strong></dd></div>");
    }
    html.raw("</dl></section>");
}

fn bar(html: &mut Html, name: &'static str, part: u64, whole: u64) {
    html.raw("<div class=\"wide\"><dt>").raw(name).raw("</dt><dd>");
    match percent(part, whole) >= FULL_PERCENT {
        true => html.full_bar(name, part, whole),
        false => html.bar(name, part, whole),
    };
    html.raw(" ")
        .text(bytes(part))
        .raw(" of ")
        .text(bytes(whole))
        .raw(" (")
        .text(percent(part, whole));
    html.raw(" %)</dd></div>");
}
