//! A journal file that cannot be read: tried again, and then put aside, so that its feed goes on.
//!
//! The file is never lost: it is moved to where what cannot be understood lies, with a text that says why; its row goes,
//! a suspect pull is recorded for the time in which it was received, and an operator is told. Only a file that can be
//! neither read nor moved holds its feed up, which then ends the program in good order.

use std::time::Duration;

use super::FeedPorts;
use super::pull::{Unscanned, scan_file};
use super::room::measure_aside;
use crate::board::feed::FeedWork;
use crate::fault::FaultKind;
use crate::feed::Feed;
use crate::ports::journal::BatchFile;
use crate::ports::state::{BatchRow, Change, StateFault, SuspectPull};
use crate::supervisor::EndReason;
use crate::timestamp::Timestamp;

/// How long is waited before each try to read a file: what is wrong with a disk may pass.
const PAUSES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// Why work on journaled batches came to nothing.
#[derive(Debug)]
pub(super) enum BatchFault {
    /// Local state failed.
    State(StateFault),
    /// The journal could not be read, for this reason.
    Unread(String),
    /// A file can be neither read nor put aside, or is not known to be durable.
    Stuck(String),
}

impl From<StateFault> for BatchFault {
    fn from(fault: StateFault) -> Self {
        Self::State(fault)
    }
}

impl BatchFault {
    /// Why the program ends for it.
    pub(super) fn reason(self, feed: &Feed) -> EndReason {
        match self {
            Self::State(fault) => EndReason::State(fault),
            Self::Unread(why) | Self::Stuck(why) => EndReason::Feed {
                feed: feed.clone(),
                why,
            },
        }
    }
}

/// What an examination of a batch found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It can be read, now at least.
    Readable,
    /// It could not be read, and is in the journal no more.
    SetAside,
}

/// Repeats `attempt` for as long as it fails because of the disk, a few times.
pub(super) async fn persistently<T>(attempt: impl AsyncFn() -> Result<T, Unscanned>) -> Result<T, Unscanned> {
    let mut last = Unscanned::NotRead(String::new());
    for pause in PAUSES {
        tokio::time::sleep(pause).await;
        match attempt().await {
            Err(unread @ Unscanned::NotRead(_)) => last = unread,
            done => return done,
        }
    }
    Err(last)
}

/// Looks whether a batch with which something went wrong can be read; puts it aside if not.
///
/// # Errors
/// Local state failed, or the file cannot be put aside either.
pub(super) async fn examine(ports: &FeedPorts, row: &BatchRow) -> Result<Verdict, BatchFault> {
    let read = async || scan_file(ports, &row.file, row.contents.bulk.clone()).await;
    let reason = match persistently(read).await {
        // A newer program may see more in it than the one that received it.
        Ok(scanned)
            if scanned.contents.version != row.contents.version
                || scanned.contents.events == row.contents.events =>
        {
            return Ok(Verdict::Readable);
        }
        Ok(scanned) => format!(
            "it holds {} events, and held {}",
            scanned.contents.events, row.contents.events
        ),
        Err(Unscanned::NotRead(reason) | Unscanned::NotUnderstood(reason)) => reason,
    };
    set_batch_aside(ports, row, &reason).await?;
    Ok(Verdict::SetAside)
}

/// Puts a journaled batch aside: its row goes too.
///
/// # Errors
/// See [`examine`].
pub(super) async fn set_batch_aside(
    ports: &FeedPorts,
    row: &BatchRow,
    reason: &str,
) -> Result<(), BatchFault> {
    set_aside(ports, &row.file, reason).await?;
    let removed = Change::BatchRemoved(row.file.feed.clone(), row.file.seq);
    Ok(ports.state.record(removed).await?)
}

/// Puts a file aside, and records that events may have been lost with it.
///
/// # Errors
/// See [`examine`].
pub(super) async fn set_aside(ports: &FeedPorts, file: &BatchFile, reason: &str) -> Result<(), BatchFault> {
    let (feed, seq) = (&file.feed, file.seq);
    match ports.journal.put_aside(file, reason).await {
        Ok(place) => log::error!(
            feed:% = feed, error:% = reason; "feed {feed}: the journaled answer {seq} cannot be read ({reason}), and what is not in the bucket of it will \
             not come there by itself; it is kept at {place}: check the volume, keep the file, and report it"
        ),
        Err(fault) if fault.kind() == FaultKind::Missing => log::error!(
            feed:% = feed, error:% = reason; "feed {feed}: the file of the journaled answer {seq} is gone ({reason}), though not all of it is known to be \
             in the bucket; something other than this program removed it"
        ),
        Err(fault) => {
            return Err(BatchFault::Stuck(format!(
                "its journaled answer {seq} can be neither read ({reason}) nor put aside ({fault}), and is left where \
                 it is; check the volume"
            )));
        }
    }
    ports.counters(feed).events_failed.add(1);
    ports.count_suspect(feed);
    ports.signs(feed).failed(FeedWork::Journal, &reason);
    let suspect = SuspectPull {
        feed: feed.clone(),
        since: file.received,
        until: Timestamp::now(),
        reason: format!("a journaled answer could not be read: {reason}"),
    };
    ports.state.record(Change::PullSuspected(suspect)).await?;
    measure_aside(ports).await;
    Ok(())
}
