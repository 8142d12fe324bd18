//! Notes now and then how the pulls of all feeds stand, so that a restart goes on telling it: of a process that is killed
//! every half hour, a feed would otherwise never have been behind, or without an answer, for longer.
//!
//! It is one change for all feeds, at most once a minute, and once more when a stop begins: one sync, however many feeds
//! and pulls there are. A kill costs what the last minute brought, and figures are all that it costs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::FeedPorts;
use crate::feed::Feed;
use crate::ports::state::{Change, FeedPulls, StateFault};

/// How often it is noted.
const EVERY: Duration = Duration::from_secs(60);

/// Goes on until a stop begins. What earlier starts noted has to be [recalled](super::recall) before.
pub async fn keep_noting(ports: FeedPorts) {
    let mut noted = standing(&ports);
    loop {
        let is_ending = tokio::select! {
            () = tokio::time::sleep(EVERY) => false,
            () = ports.stop.raised() => true,
        };
        if let Err(fault) = note(&ports, &mut noted).await {
            // Whoever cannot go on without local state says what is wrong with it.
            log::warn!(error:% = fault; "how feeds keep up is not noted any more: {fault}");
            return;
        }
        if is_ending {
            return;
        }
    }
}

/// Notes what is new.
async fn note(ports: &FeedPorts, noted: &mut BTreeMap<Feed, FeedPulls>) -> Result<(), StateFault> {
    let now = standing(ports);
    let is_new = |pulls: &&FeedPulls| noted.get(&pulls.feed) != Some(*pulls);
    let new: Vec<_> = now.values().filter(is_new).cloned().collect();
    if !new.is_empty() {
        ports.state.record(Change::PullsNoted(new)).await?;
        *noted = now;
    }
    Ok(())
}

/// How the pulls of the feeds that pull stand.
fn standing(ports: &FeedPorts) -> BTreeMap<Feed, FeedPulls> {
    let figures = ports.board.figures().into_iter();
    let pulling = figures.filter(|(_, figures)| figures.configured);
    let pulls = pulling.map(|(feed, figures)| FeedPulls {
        feed,
        last: figures.last_pull,
        behind_since: figures.behind_since,
    });
    pulls.map(|pulls| (pulls.feed.clone(), pulls)).collect()
}
