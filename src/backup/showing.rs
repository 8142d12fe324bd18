//! What a running backup shows besides what its actors write on the board: what waits, and the volume. It is looked at
//! once a second; on the disk by another thread, for the one of the actors must not wait for it.

use std::sync::Arc;
use std::time::Duration;

use actors::event_backup::FeedPorts;
use actors::ports::{LocalState, StateFault};

use crate::adapters::state::SledState;
use crate::adapters::volume::Volume;
use crate::observe::board::{BackupBoard, Shelf};
use crate::observe::metrics::MOST_STREAMS;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Goes on for as long as the process does.
pub(super) fn keep_showing(board: &BackupBoard, ports: &FeedPorts, sled: &SledState, volume: &Arc<Volume>) {
    count(board, ports);
    let (counted, ports) = (board.clone(), ports.clone());
    actix_rt::spawn(async move {
        loop {
            tokio::time::sleep(EVERY).await;
            count(&counted, &ports);
        }
    });
    let (looked, sled, volume) = (board.clone(), sled.clone(), Arc::clone(volume));
    actix_rt::spawn(async move {
        loop {
            let (sled, volume) = (sled.clone(), Arc::clone(&volume));
            let shelf = tokio::task::spawn_blocking(move || look(&sled, &volume)).await;
            match shelf {
                Ok(Ok(shelf)) => looked.looked(shelf),
                // Whoever works with local state says what is wrong with it; a full disk is one that comes back.
                Ok(Err(fault)) => log::debug!("what waits in local state is not known: {fault}"),
                Err(panic) => log::error!("what waits in local state is not known any more: {panic}"),
            }
            tokio::time::sleep(EVERY).await;
        }
    });
}

/// What is known without a look at the disk.
fn count(board: &BackupBoard, ports: &FeedPorts) {
    board.suspected(&ports.state.suspect_feeds());
    board.counted(ports.state.counts(), &ports.room);
}

fn look(sled: &SledState, volume: &Volume) -> Result<Shelf, StateFault> {
    let volume = volume
        .look()
        .inspect_err(|error| log::debug!("the volume of local state does not answer: {error}"));
    let failed = match sled.counts().failed {
        0 => Vec::new(),
        _ => sled.failed_from(None, MOST_STREAMS)?,
    };
    Ok(Shelf {
        oldest_pending: sled.pending_from(0, 1)?.first().map(|row| row.named),
        failed_names: failed.iter().map(|row| row.stream.to_string()).collect(),
        volume: volume.ok(),
    })
}
