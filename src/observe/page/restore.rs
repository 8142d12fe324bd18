//! A restore: how far it has come, source by source and feed by feed.

use actors::restore::progress::{FeedProgress, SourceProgress, Stage, Total};
use actors::timestamp::Timestamp;

use super::MOST_ROWS;
use super::html::Html;
use super::words::{bytes, clock, count, percent, seconds};
use crate::observe::snapshot::RestoreStanding;

/// What is done, in this order.
const STAGES: [Stage; 5] = [
    Stage::Starting,
    Stage::Streams,
    Stage::SystemEvents,
    Stage::Events,
    Stage::LastPass,
];

pub(super) fn restore(html: &mut Html, restore: &RestoreStanding, now: Timestamp) {
    overall(html, restore, now);
    streams(html, &restore.progress.streams);
    feeds(html, &restore.progress.feeds);
    left_out(html, restore);
}

fn overall(html: &mut Html, restore: &RestoreStanding, now: Timestamp) {
    let progress = &restore.progress;
    html.raw("<section id=\"restore\"><h2>Restore</h2>");
    if let Some(verdict) = &restore.verdict {
        let good = verdict.starts_with("RESTORED");
        html.raw(if good {
            "<p class=\"verdict ok\">"
        } else {
            "<p class=\"verdict bad\">"
        });
        html.text(verdict).raw("</p>");
    }
    html.raw("<ol class=\"stages\">");
    for stage in STAGES {
        html.raw(match stage.cmp(&progress.stage) {
            std::cmp::Ordering::Less => "<li class=\"past\">",
            std::cmp::Ordering::Equal => "<li aria-current=\"step\">",
            std::cmp::Ordering::Greater => "<li>",
        });
        html.text(stage.as_str()).raw("</li>");
    }
    html.raw("</ol><dl><div class=\"wide\"><dt>Done, as stored</dt><dd>");
    match restore.bytes_total {
        Some(total) => {
            html.bar("Bytes done", restore.bytes_done, total)
                .raw(" ")
                .text(bytes(restore.bytes_done));
            html.raw(" of ")
                .text(bytes(total))
                .raw(" (")
                .text(percent(restore.bytes_done, total))
                .raw(" %)");
        }
        None => {
            html.text(bytes(restore.bytes_done))
                .raw(" <span class=\"dim\">the whole is not counted yet</span>");
        }
    }
    html.raw("</dd></div><div><dt>Time left</dt><dd>");
    match (restore.eta_seconds, &restore.verdict) {
        (_, Some(_)) => html.raw("ended"),
        (Some(left), None) => html.raw("about ").text(seconds(left)),
        (None, None) => html.raw("<span class=\"dim\">nobody can tell yet</span>"),
    };
    html.raw("</dd></div><div><dt>Last progress</dt><dd>")
        .ago(restore.last_progress, now, "none yet");
    html.raw("</dd></div><div><dt>Dead letters</dt><dd>");
    html.raw(if restore.dead_letters > 0 {
        "<strong class=\"bad\">"
    } else {
        "<strong class=\"ok\">"
    });
    html.text(count(restore.dead_letters))
        .raw("</strong></dd></div></dl></section>");
}

/// How many of how many.
fn done(html: &mut Html, what: &'static str, objects: u64, total: Option<Total>, is_active: bool) {
    html.raw("<td>");
    match total {
        Some(total) => {
            // What came into the bucket after it was counted is done too.
            let whole = total.objects.max(objects);
            html.bar(what, objects, whole)
                .raw(" ")
                .text(count(objects))
                .raw(" of ")
                .text(count(whole));
        }
        None => {
            html.text(count(objects));
        }
    }
    html.raw(if is_active {
        " <strong class=\"now\">now</strong></td>"
    } else {
        "</td>"
    });
}

fn dead(html: &mut Html, number: u64) {
    match number {
        0 => html.number(0),
        number => html
            .raw("<td class=\"n\"><strong class=\"bad\">")
            .text(count(number))
            .raw("</strong></td>"),
    };
}

fn streams(html: &mut Html, streams: &[SourceProgress]) {
    if streams.is_empty() {
        return;
    }
    html.raw("<section id=\"sources\"><h2>Streams</h2>");
    html.table(
        "Streams, source by source",
        &[
            "Source",
            "Done",
            "Restored",
            "Already there",
            "Dead letters",
            "Stored size",
        ],
    );
    for source in streams {
        html.raw("<tr>").row_name(&source.source);
        done(
            html,
            "Streams done",
            source.objects(),
            source.total,
            source.is_active,
        );
        html.number(count(source.figures.restored))
            .number(count(source.figures.there));
        dead(html, source.figures.dead);
        html.number(bytes(source.figures.bytes)).raw("</tr>");
    }
    html.table_end().raw("</section>");
}

fn feeds(html: &mut Html, feeds: &[FeedProgress]) {
    if feeds.is_empty() {
        return;
    }
    html.raw("<section id=\"events\"><h2>Events</h2>");
    let columns = [
        "Feed",
        "Bundles done",
        "Reached",
        "Events",
        "Accepted",
        "Refused",
        "Filtered",
        "Dead letters",
    ];
    html.table("Events, feed by feed", &columns);
    for feed in feeds {
        let figures = &feed.figures;
        html.raw("<tr>").row_name(&feed.feed);
        done(
            html,
            "Bundles done",
            figures.bundles + figures.unreadable,
            feed.total,
            feed.is_active,
        );
        html.cell(feed.reached.map_or_else(|| "–".to_owned(), clock));
        html.number(count(figures.events)).number(count(figures.accepted));
        dead(html, figures.refused);
        html.number(count(figures.filtered));
        dead(html, figures.dead);
        html.raw("</tr>");
    }
    html.table_end().raw("</section>");
}

fn left_out(html: &mut Html, restore: &RestoreStanding) {
    let progress = &restore.progress;
    let left_behind = progress.left_behind.notes();
    let count = left_behind.len() + progress.absent.len();
    if count == 0 {
        return;
    }
    html.raw("<section id=\"left-out\"><h2>Not restored</h2><ul>");
    let absent = progress.absent.iter().cloned();
    for line in left_behind.into_iter().chain(absent).take(MOST_ROWS) {
        html.raw("<li>").text(line).raw("</li>");
    }
    let more = count.saturating_sub(MOST_ROWS);
    if more > 0 {
        html.raw("<li>and ").text(more).raw(" more</li>");
    }
    html.raw("</ul></section>");
}
