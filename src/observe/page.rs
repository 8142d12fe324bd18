//! The page for people: everything of a [`Snapshot`] on one page, for the worst day of the year.
//!
//! It is rendered here, whole, for every request: so it works without JavaScript (then the browser loads it anew every
//! ten seconds), and there is one place that escapes text. The script fetches the same page every few seconds and puts
//! the sections that have changed in the place of the old ones; it makes no markup of its own, and never shows old
//! figures as if they were new: when no answer comes it says since when, in red, and greys the rest.
//!
//! Nothing is loaded from anywhere. The Content-Security-Policy names the hashes of the one style and the one script, and
//! forbids everything else, framing included.

mod backup;
mod concerns;
mod html;
mod restore;
mod words;

use std::sync::LazyLock;

use actix_http::header::{self, HeaderName, HeaderValue};
use actors::statistics::SourceFigures;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use self::concerns::concerns;
use self::html::Html;
use self::words::{bytes, count, seconds};
use super::health;
use super::snapshot::{Doing, Remark, Snapshot};

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// Of lists that the bucket or the network can make long, no more is shown.
const MOST_ROWS: usize = 100;

static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    // Err: it is made of ASCII. Without one nothing is allowed.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// What is sent with it.
pub(super) fn headers() -> [(HeaderName, HeaderValue); 2] {
    [
        (header::CONTENT_SECURITY_POLICY, POLICY.clone()),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ]
}

/// All of it.
pub(super) fn page(snapshot: &Snapshot) -> String {
    let mut html = Html::default();
    html.raw("<!DOCTYPE html>\n<html lang=\"en\" data-version=\"")
        .text(snapshot.version);
    html.raw("\"><head><meta charset=\"utf-8\"><title>")
        .text(Standing::of(snapshot).word());
    html.raw(" – ").raw(mode(snapshot)).raw(" – azul-backup</title>");
    html.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    html.raw("<meta name=\"color-scheme\" content=\"light dark\">");
    html.raw("<noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript>");
    html.raw("<style>").raw(STYLE).raw("</style></head><body>");
    html.raw("<div id=\"silence\" role=\"alert\" hidden></div><main id=\"all\" data-taken=\"");
    html.text(words::clock(snapshot.taken)).raw("\">");
    heading(&mut html, snapshot);
    attention(&mut html, snapshot);
    if let Some(standing) = &snapshot.backup {
        backup::backup(&mut html, standing, snapshot.taken);
    }
    if let Some(standing) = &snapshot.restore {
        restore::restore(&mut html, standing, snapshot.taken);
    }
    sources(&mut html, snapshot);
    recent(&mut html, snapshot);
    html.raw("</main><script>")
        .raw(SCRIPT)
        .raw("</script></body></html>\n");
    html.finish()
}

fn mode(snapshot: &Snapshot) -> &'static str {
    match snapshot.mode {
        Doing::Backup => "backup",
        Doing::Restore => "restore",
    }
}

/// How it stands, in a word.
#[derive(Clone, Copy)]
enum Standing {
    Ready,
    NotReady,
    Starting,
    Ending,
    Ended,
}

impl Standing {
    fn of(snapshot: &Snapshot) -> Self {
        match snapshot.stage.as_str() {
            "running" if health::not_ready(snapshot).is_empty() => Self::Ready,
            "running" => Self::NotReady,
            "starting" => Self::Starting,
            "ended" => Self::Ended,
            _ => Self::Ending,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotReady => "NOT READY",
            Self::Starting => "starting",
            Self::Ending => "ending",
            Self::Ended => "ended",
        }
    }

    fn badge(self) -> &'static str {
        match self {
            Self::Ready => "<span class=\"badge ok\">",
            Self::NotReady => "<span class=\"badge bad\">",
            Self::Starting | Self::Ending | Self::Ended => "<span class=\"badge warn\">",
        }
    }
}

fn heading(html: &mut Html, snapshot: &Snapshot) {
    let standing = Standing::of(snapshot);
    html.raw("<header id=\"head\"><h1>azul-backup <small>")
        .raw(mode(snapshot))
        .raw("</small> ");
    html.raw(standing.badge())
        .raw(standing.word())
        .raw("</span></h1><p>Version ")
        .text(snapshot.version);
    html.raw(" · stage <strong>")
        .text(&snapshot.stage)
        .raw("</strong> · started ")
        .at(snapshot.started);
    html.raw(" (")
        .ago(Some(snapshot.started), snapshot.taken, "")
        .raw(") · last sign of life ");
    match snapshot.last_sign_of_life_seconds {
        None => html.raw("none yet"),
        Some(ago) => html.text(seconds(ago)).raw(" ago"),
    };
    html.raw("</p><p class=\"taken\">As of ")
        .at(snapshot.taken)
        .raw("</p></header>");
}

fn attention(html: &mut Html, snapshot: &Snapshot) {
    let concerns = concerns(snapshot);
    html.raw("<section id=\"attention\" aria-live=\"polite\"><h2>What needs a look</h2>");
    if concerns.is_empty() {
        html.raw("<p class=\"ok\">Nothing.</p></section>");
        return;
    }
    html.raw("<ul>");
    for concern in concerns {
        html.raw(if concern.is_bad {
            "<li class=\"bad\"><strong>"
        } else {
            "<li class=\"warn\"><strong>"
        });
        html.text(concern.what)
            .raw("</strong> ")
            .text(concern.advice)
            .raw("</li>");
    }
    html.raw("</ul></section>");
}

fn sources(html: &mut Html, snapshot: &Snapshot) {
    html.raw("<section id=\"figures\"><h2>Figures</h2>");
    // Those of a restore are told with its progress.
    if snapshot.backup.is_some() {
        let columns = [
            "Source",
            "Events received",
            "safe",
            "Bundles",
            "Streams stored",
            "there",
            "missing",
            "failed tries",
            "In",
            "Out",
        ];
        html.table("Since the start, by source", &columns);
        for (source, figures) in &snapshot.sources {
            row(html, source, figures);
        }
        html.table_end();
    }
    pairs(html, "Requests repeated", snapshot.retries.iter());
    pairs(html, "Faults of the bucket", snapshot.object_errors.iter());
    html.raw("</section>");
}

fn row(html: &mut Html, source: &str, figures: &SourceFigures) {
    html.raw("<tr>").row_name(source);
    for number in [
        figures.events_received,
        figures.events_ok,
        figures.bundles,
        figures.streams_ok,
        figures.streams_present,
        figures.streams_missing,
        figures.streams_failed,
    ] {
        html.number(count(number));
    }
    html.number(bytes(figures.bytes_in))
        .number(bytes(figures.bytes_out))
        .raw("</tr>");
}

fn pairs<'a>(html: &mut Html, title: &'static str, pairs: impl Iterator<Item = (&'a String, &'a u64)>) {
    let mut told: Vec<_> = pairs
        .map(|(what, times)| format!("{what} {}", count(*times)))
        .collect();
    told.truncate(MOST_ROWS);
    html.raw("<p>").raw(title).raw(": ");
    match told.is_empty() {
        true => html.raw("<span class=\"ok\">none</span>"),
        false => html.text(told.join(", ")),
    };
    html.raw("</p>");
}

fn recent(html: &mut Html, snapshot: &Snapshot) {
    html.raw("<section id=\"recent\"><h2>Recent warnings and errors</h2>");
    if snapshot.recent.is_empty() {
        html.raw("<p class=\"ok\">None since the start.</p></section>");
        return;
    }
    html.raw("<ol class=\"log\">");
    for Remark { time, level, message } in snapshot.recent.iter().take(MOST_ROWS) {
        html.raw(if level == "ERROR" {
            "<li class=\"bad\">"
        } else {
            "<li class=\"warn\">"
        });
        html.at(*time)
            .raw(" <strong>")
            .text(level)
            .raw("</strong> ")
            .text(message)
            .raw("</li>");
    }
    html.raw("</ol></section>");
}
