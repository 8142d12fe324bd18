//! Live progress of either half.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};

/// How often there is a line where there is no terminal.
const EVERY: Duration = Duration::from_secs(2);

/// Two bars on a terminal, a line every two seconds elsewhere.
pub(super) enum Display {
    Bars {
        events: ProgressBar,
        streams: ProgressBar,
    },
    Lines {
        totals: (u64, u64),
        next: Cell<Instant>,
    },
}

impl Display {
    /// So many events and streams are to come.
    pub(super) fn new(events: u64, streams: u64) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines {
                totals: (events, streams),
                next: Cell::new(Instant::now()),
            };
        }
        let style = ProgressStyle::with_template("{prefix:>8} {bar:40} {human_pos:>9}/{human_len} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let both = MultiProgress::new();
        let bar = |total, name| {
            both.add(
                ProgressBar::new(total)
                    .with_style(style.clone())
                    .with_prefix(name),
            )
        };
        Self::Bars {
            events: bar(events, "events"),
            streams: bar(streams, "streams"),
        }
    }

    /// So many events and streams are done, with so many bytes, of which `what` says what became of them.
    pub(super) fn show(&self, (events, streams): (u64, u64), bytes: u64, what: &str) {
        let bytes = HumanBytes(bytes);
        match self {
            Self::Bars {
                events: first,
                streams: second,
            } => {
                first.set_position(events);
                second.set_position(streams);
                second.set_message(format!("{bytes} {what}"));
            }
            Self::Lines { totals, next } if Instant::now() >= next.get() => {
                next.set(Instant::now() + EVERY);
                let (all_events, all_streams) = totals;
                eprintln!("events {events}/{all_events}, streams {streams}/{all_streams}, {bytes} {what}");
            }
            Self::Lines { .. } => {}
        }
    }

    /// All is done.
    pub(super) fn end(&self) {
        if let Self::Bars { events, streams } = self {
            events.finish();
            streams.finish();
        }
    }
}
