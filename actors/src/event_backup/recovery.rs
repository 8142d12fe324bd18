//! What an earlier start left behind, put in order before any feed begins.
//!
//! Files and rows are reconciled: a file without a row is a batch that was received, and is adopted; a row without
//! a file is one that was done with. Marks of pulls that were outstanding become suspect pulls.

use std::collections::{BTreeMap, BTreeSet};

use super::pull::{Unscanned, count_contents, put_aside, scan_file};
use super::rescue::{BatchFault, persistently, set_aside};
use super::room::measure_aside;
use super::{FeedPorts, remove};
use crate::fault::Fault;
use crate::fault_point::{self, FaultPoint};
use crate::feed::Feed;
use crate::patient_state::read_patiently;
use crate::ports::journal::BatchFile;
use crate::ports::state::{BatchRow, Change, SealedBundle, StateFault, SuspectPull};
use crate::pull_answer::MultipartScanner;
use crate::timestamp::Timestamp;

/// What is left of one feed.
#[derive(Clone, Debug, Default)]
pub struct Leftovers {
    /// Journaled batches, in the order of receipt.
    pub batches: Vec<BatchRow>,
    /// A bundle that may or may not be in the bucket.
    pub sealed: Option<SealedBundle>,
    /// Why the feed cannot go on; the others can, until the program ends in good order.
    pub stuck: Option<String>,
}

/// Puts local state in order and returns what is left of each feed. Also sets the number of the next answer. A full
/// disk is waited out.
///
/// # Errors
/// Local state is broken, or the journal cannot be read.
pub async fn recover(ports: &FeedPorts) -> Result<BTreeMap<Feed, Leftovers>, StateFault> {
    let files = ports
        .journal
        .files()
        .map_err(|fault| StateFault::Broken(fault.to_string()))?;
    let rows = read_patiently(|| ports.state.batches()).await?;
    let highest = files
        .iter()
        .map(|(file, _)| file.seq)
        .chain(rows.iter().map(|row| row.file.seq))
        .max();
    ports
        .next_seq
        .set(highest.map_or(ports.next_seq.get(), |seq| seq + 1));

    let on_disk: BTreeSet<(Feed, u64)> = files
        .iter()
        .map(|(file, _)| (file.feed.clone(), file.seq))
        .collect();
    let mut leftovers: BTreeMap<Feed, Leftovers> = BTreeMap::new();
    let mut with_row = BTreeSet::new();
    for row in rows {
        let id = (row.file.feed.clone(), row.file.seq);
        if !on_disk.contains(&id) {
            forget(ports, &row).await?;
        } else if row.is_done() {
            ports.room.take_finished(row.bytes);
            remove(ports, &row).await?;
            with_row.insert(id);
        } else {
            ports.room.take_finished(row.bytes);
            leftovers
                .entry(row.file.feed.clone())
                .or_default()
                .batches
                .push(row);
            with_row.insert(id);
        }
    }
    for (file, bytes) in files {
        if !with_row.contains(&(file.feed.clone(), file.seq)) {
            adopt(ports, file, bytes, &mut leftovers).await?;
        }
    }
    measure_aside(ports).await;
    // Only now: a batch that has been adopted took the mark of its pull with it.
    suspect_marks(ports).await?;
    for sealed in read_patiently(|| ports.state.sealed()).await? {
        let left = leftovers.entry(sealed.key.feed().clone()).or_default();
        let whole = sealed
            .members
            .iter()
            .all(|member| left.batches.iter().any(|row| row.file.seq == member.seq));
        // A seal over batches that something removed cannot be kept: what is left is sealed anew.
        if whole {
            left.sealed = Some(sealed);
            fault_point::pass(FaultPoint::SealFound);
        }
    }
    for left in leftovers.values_mut() {
        left.batches.sort_by_key(|row| row.file.seq);
    }
    fault_point::pass(FaultPoint::LeftoversKnown);
    Ok(leftovers)
}

/// Shows of the feeds that are on the board what earlier starts noted of them.
///
/// # Errors
/// Local state is broken.
pub async fn recall(ports: &FeedPorts) -> Result<(), StateFault> {
    let times = read_patiently(|| ports.state.feed_times()).await?;
    ports.board.recall(times);
    Ok(())
}

/// A row without a file: the file is unlinked only when nothing of it is needed.
async fn forget(ports: &FeedPorts, row: &BatchRow) -> Result<(), StateFault> {
    if !row.is_done() {
        log::error!(
            feed:% = row.file.feed; "feed {}: the journal's file {} is gone although {} of its {} events are not known to be in the bucket; \
             something other than this program removed it",
            row.file.feed,
            row.file.seq,
            row.contents.events - row.taken,
            row.contents.events
        );
        ports.count_suspect(&row.file.feed);
        let reason = "a file of the journal was removed by something other than this program".to_owned();
        let suspect = SuspectPull {
            feed: row.file.feed.clone(),
            since: row.file.received,
            until: Timestamp::now(),
            reason,
        };
        ports.state.record(Change::PullSuspected(suspect)).await?;
    }
    ports
        .state
        .record(Change::BatchRemoved(row.file.feed.clone(), row.file.seq))
        .await?;
    fault_point::pass(FaultPoint::BatchForgotten);
    Ok(())
}

/// A mark means that a pull was in flight when the program ended: its answer may have been lost.
async fn suspect_marks(ports: &FeedPorts) -> Result<(), StateFault> {
    for mark in read_patiently(|| ports.state.marks()).await? {
        log::warn!(
            feed:% = mark.feed; "suspect pull of feed {}, from {}: it was in flight when the program ended; events may have been handed \
             out and lost on the way, and nothing brings them back by itself yet (azul-backup suspect-pulls says what \
             that means)",
            mark.feed,
            mark.since
        );
        ports.count_suspect(&mark.feed);
        let reason = "in flight when the program ended".to_owned();
        let suspect = SuspectPull {
            feed: mark.feed.clone(),
            since: mark.since,
            // The dispatcher goes on collecting for a client that has gone: a quick start must not cut that off.
            until: Timestamp::now().max(mark.until),
            reason,
        };
        ports
            .state
            .record(Change::PullEnded(mark.feed, Some(suspect)))
            .await?;
        fault_point::pass(FaultPoint::MarkSuspected);
    }
    Ok(())
}

/// A file without a row is a batch that was received.
async fn adopt(
    ports: &FeedPorts,
    file: BatchFile,
    bytes: u64,
    leftovers: &mut BTreeMap<Feed, Leftovers>,
) -> Result<(), StateFault> {
    log::info!(
        feed:% = file.feed; "feed {}: batch {} had been received before the program ended; it is adopted",
        file.feed,
        file.seq
    );
    let scanned = persistently(async || {
        let bulk = find_bulk(ports, &file).await?;
        scan_file(ports, &file, bulk).await
    });
    match scanned.await {
        Ok(scanned) => {
            count_contents(ports, &file.feed, &scanned);
            let feed = file.feed.clone();
            let row = BatchRow {
                file,
                bytes,
                contents: scanned.contents,
                streams_named: false,
                taken: 0,
            };
            // It became durable at some time after that.
            let journaled = Change::BatchJournaled(row.clone(), row.file.received);
            ports.state.record(journaled).await?;
            fault_point::pass(FaultPoint::BatchAdopted);
            ports.room.take_finished(bytes);
            leftovers.entry(feed).or_default().batches.push(row);
        }
        Err(Unscanned::NotUnderstood(reason)) => put_aside(ports, &file, &reason).await,
        Err(Unscanned::NotRead(reason)) => match set_aside(ports, &file, &reason).await {
            Ok(()) => {}
            Err(BatchFault::State(fault)) => return Err(fault),
            Err(BatchFault::Unread(why) | BatchFault::Stuck(why)) => {
                leftovers.entry(file.feed).or_default().stuck = Some(why);
            }
        },
    }
    Ok(())
}

/// Where the bulk lies in an answer.
async fn find_bulk(ports: &FeedPorts, file: &BatchFile) -> Result<std::ops::Range<u64>, Unscanned> {
    let (opener, file) = (ports.journal.opener(), file.clone());
    let found = ports.blocking(move || {
        let mut reader = opener
            .open(&file)
            .map_err(|fault| Unscanned::NotRead(fault.to_string()))?;
        let mut scanner = MultipartScanner::new();
        let mut chunk = vec![0; 64 * 1024];
        loop {
            match reader.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => scanner.push(&chunk[..read]),
                Err(error) => return Err(Unscanned::NotRead(error.to_string())),
            }
        }
        let parts = scanner
            .finish()
            .map_err(|broken| Unscanned::NotUnderstood(broken.to_string()))?;
        Ok(parts.events)
    });
    found
        .await
        .map_err(|fault: Fault| Unscanned::NotRead(fault.to_string()))?
}
