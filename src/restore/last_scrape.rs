//! The figures that a restore ends with are worth a scrape: without it the dashboards would show for ever how it stood
//! half a minute before its end.
//!
//! The wait begins when everything is over, local state closed and the verdict told, in the log and in the metrics. It
//! is for those only who have scraped before, and at most [`LAST_SCRAPE`] long; a signal cuts it short, and who has ended
//! the restore by a signal is not kept waiting at all. The exit code is settled before it and not changed by it.

use std::io;

use actors::supervisor::EndReason;

use crate::observe::server::{LastScrape, Server};
use crate::process::LAST_SCRAPE;
use crate::process::signals::Signals;
use crate::process::watchdog::Reprieve;

/// See the module. The watchdog is told. `signals` have been listened to since before the end began: one that came
/// meanwhile ends the wait as well.
pub(super) async fn wait(
    server: Option<&Server>,
    signals: io::Result<Signals>,
    reprieve: &Reprieve,
    reason: &EndReason,
) {
    let Some(server) = server.filter(|server| server.is_scraped()) else {
        return;
    };
    if *reason == EndReason::Signal {
        return;
    }
    let _held = reprieve.hold();
    let mut signals = match signals {
        Ok(signals) => signals,
        Err(error) => {
            // A wait that no signal ends is none to begin.
            log::warn!("not waiting for a last scrape: signals cannot be received: {error}");
            return;
        }
    };
    log::info!(
        "all is over; waiting at most {LAST_SCRAPE:.0?} for a last scrape of the metrics (a signal ends the wait)"
    );
    tokio::select! {
        came = server.one_more_scrape(LAST_SCRAPE) => match came {
            LastScrape::Came | LastScrape::NeverScraped => log::info!("the metrics were scraped once more"),
            LastScrape::Missed => log::warn!("nobody came for a last scrape of the metrics"),
        },
        () = signals.told() => log::info!("ending without a last scrape of the metrics"),
    }
}
