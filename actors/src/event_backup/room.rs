//! Room for answers: on the disk, in the journal, and what lies aside takes of it.

use std::time::Duration;

use super::FeedPorts;
use crate::fault::{Fault, FaultKind};
use crate::feed::Feed;
use crate::journal_room::IncomingRoom;
use crate::ports::journal::{BatchFile, IncomingAnswer};

/// How long is waited before a disk that was short of room is looked at again.
const WAIT: Duration = Duration::from_secs(1);

/// How many waits go by between two log lines.
const WAITS_PER_LINE: u32 = 60;

/// How often a feed that waits for room in the journal looks whether what was put aside has been taken away.
const LOOK_ASIDE: Duration = Duration::from_secs(10);

/// How many looks go by between two log lines.
const LOOKS_PER_LINE: u32 = 60;

/// Waits until there is room in the journal for an answer of `expected` bytes. What lies aside is looked at now and then:
/// only an operator takes it away.
pub(super) async fn reserve(ports: &FeedPorts, feed: &Feed, expected: u64) -> IncomingRoom {
    for looks in 0_u32.. {
        tokio::select! {
            biased;
            room = ports.room.reserve(expected) => return room,
            () = tokio::time::sleep(LOOK_ASIDE) => {}
        }
        measure_aside(ports).await;
        if ports.room.is_blocked(expected) && looks.is_multiple_of(LOOKS_PER_LINE) {
            log::error!(
                feed:% = feed; "feed {feed}: nothing is pulled: {} of the {} bytes that the journal may hold (JOURNAL_MAX_BYTES) are \
                 answers that were put aside, see the directory `aside` below LOCAL_DATA__ROOTDIR: report them, keep \
                 them elsewhere, and remove them there; it goes on by itself then",
                ports.room.aside(),
                ports.room.most()
            );
        }
    }
    ports.room.reserve(expected).await
}

/// Opens the file of the answer that is to come. Waits where the disk is short of room, until it has some; `None` when
/// the program is stopped first.
pub(super) async fn receive(
    ports: &FeedPorts,
    file: &BatchFile,
) -> Option<Result<Box<dyn IncomingAnswer>, Fault>> {
    let (mut short, mut held_up) = (None, None);
    for waits in 0_u32.. {
        match ports.journal.receive(file).await {
            Err(fault) if fault.kind() == FaultKind::NoRoom => {
                // Bundles make room, and while somebody is short of it they do not wait until they are full.
                short.get_or_insert_with(|| ports.room.short());
                held_up.get_or_insert_with(|| ports.signs(&file.feed).held_up());
                if waits.is_multiple_of(WAITS_PER_LINE) {
                    log::error!(
                        feed:% = file.feed, error:% = fault.detail(); "feed {}: waits for room on the disk, and pulls nothing meanwhile: {}; it goes on by itself \
                         when there is room: make some, or enlarge the volume",
                        file.feed,
                        fault.detail()
                    );
                }
                tokio::select! {
                    () = tokio::time::sleep(WAIT) => {}
                    () = ports.stop.raised() => return None,
                }
            }
            received => {
                if short.is_some() && received.is_ok() {
                    log::info!(feed:% = file.feed; "feed {}: there is room on the disk again; it goes on", file.feed);
                }
                return Some(received);
            }
        }
    }
    None
}

/// The answer broke off; what a full disk held up of it is kept.
pub(super) async fn give_up(
    ports: &FeedPorts,
    feed: &Feed,
    incoming: Box<dyn IncomingAnswer>,
    fault: &Fault,
) {
    let reason = format!("not whole: it found no room on the disk, and then broke off: {fault}");
    match incoming.give_up(&reason).await {
        Ok(None) => return,
        Ok(Some((place, bytes))) => log::error!(
            feed:% = feed; "feed {feed}: an answer broke off that had waited for room on the disk; the {bytes} bytes that came in are \
             kept at {place}: keep them, and report it"
        ),
        Err(fault) => {
            log::error!(feed:% = feed, error:% = fault; "feed {feed}: what came in of an answer that broke off is not kept: {fault}")
        }
    }
    measure_aside(ports).await;
}

/// Counts anew what lies aside.
pub(super) async fn measure_aside(ports: &FeedPorts) {
    match ports.journal.bytes_aside().await {
        Ok(bytes) => ports.room.set_aside(bytes),
        Err(fault) => log::warn!(error:% = fault; "{fault}"),
    }
}
