//! One pull: mark, ask, take in, journal.
//!
//! The mark is durable before the request is sent and goes when the answer is journaled. What the dispatcher
//! handed out is forgotten there, so every outcome that may have cost events is remembered as a suspect pull.
//! The body goes to the journal's file byte by byte as it comes; it is understood only afterwards, so that an
//! answer that cannot be understood is kept all the same.

use std::cell::Cell;
use std::io::Cursor;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::FeedPorts;
use super::quiesce::{OpenPull, PullStanding};
use super::rescue::{BatchFault, persistently, set_aside};
use super::room::{give_up, measure_aside, receive};
use crate::avro::BulkVersion;
use crate::avro::bulk::{BulkError, Scanned, scan};
use crate::board::feed::{FeedSigns, FeedWork};
use crate::fault::Fault;
use crate::fault_point::{self, FaultPoint};
use crate::feed::Feed;
use crate::journal_room::IncomingRoom;
use crate::ports::dispatcher::{AnswerSink, Pull, PullFault};
use crate::ports::journal::{BatchFile, IncomingAnswer, NotKept};
use crate::ports::state::{BatchRow, Change, PullMark, StateFault, SuspectPull};
use crate::pull_answer::{MultipartScanner, PullInfo, PullParts};
use crate::timestamp::Timestamp;

/// An answer up to this size is looked at before it becomes a file: the empty answers of idle feeds never do.
const SMALL_ANSWER: usize = 4096;

/// How a pull ended.
#[derive(Debug)]
pub(super) enum Pulled {
    /// It brought events, which are in the journal.
    Batch { row: BatchRow, ready: bool },
    /// It was not sent: the program is being stopped.
    NotSent,
    /// It brought none.
    Empty { ready: bool, took: std::time::Duration },
    /// It brought something that cannot be understood, and was put aside.
    NotUnderstood,
    /// It failed; the fault has been counted, and remembered where it may have cost events.
    Failed(Fault),
}

/// Sends one pull and journals what it brings. Never dropped by an orderly stop.
///
/// # Errors
/// Local state failed, before or after the pull; or its answer is in the journal and not known to be durable, or can be
/// neither read back nor put aside.
pub(super) async fn pull(
    ports: &FeedPorts,
    pull: &Pull,
    was_ready: bool,
    room: IncomingRoom,
    standing: &Cell<PullStanding>,
) -> Result<Pulled, BatchFault> {
    let feed = &pull.feed;
    let since = Timestamp::now();
    let until = since.after(pull.deadline);
    let file = BatchFile {
        feed: feed.clone(),
        seq: ports.next_seq(),
        received: since,
    };
    let signs = ports.signs(feed);
    let incoming = match receive(ports, &file).await {
        Some(Ok(incoming)) => incoming,
        // Nothing was sent, nothing is lost: the feed waits until the disk takes files again.
        Some(Err(fault)) => {
            signs.failed(FeedWork::Journal, &fault);
            return Ok(Pulled::Failed(fault));
        }
        None => return Ok(Pulled::NotSent),
    };
    ports
        .state
        .record(Change::PullMarked(PullMark {
            feed: feed.clone(),
            since,
            until,
        }))
        .await?;
    fault_point::pass(FaultPoint::PullMarked);
    if ports.stop.is_raised() {
        // Not sent yet, and so not begun: an orderly stop sends no new pulls.
        ports.state.record(Change::PullEnded(feed.clone(), None)).await?;
        return Ok(Pulled::NotSent);
    }
    let begun = Instant::now();
    standing.set(PullStanding::InFlight(OpenPull {
        since: begun,
        deadline: pull.deadline,
    }));
    let mut intake = Intake::new(incoming, room, signs.clone());
    let answered = ports.dispatcher.pull(pull, &mut intake).await;
    let ledger = Ledger {
        ports,
        feed,
        since,
        until,
    };
    if let Err(fault) = &answered {
        signs.failed(FeedWork::Pull, fault);
    }
    match answered {
        Err(PullFault::Refused(fault)) => {
            ports.state.record(Change::PullEnded(feed.clone(), None)).await?;
            Ok(Pulled::Failed(fault))
        }
        Err(PullFault::Suspect(fault)) => {
            give_up(ports, feed, intake.incoming, &fault).await;
            ledger.ended(Some(fault.to_string())).await?;
            Ok(Pulled::Failed(fault))
        }
        Ok(_head) => ledger.keep(file, intake, was_ready, begun).await,
    }
}

/// Takes in the body of an answer: room first, then the journal's file.
struct Intake {
    incoming: Box<dyn IncomingAnswer>,
    room: IncomingRoom,
    signs: FeedSigns,
    scanner: MultipartScanner,
    head: Vec<u8>,
    length: u64,
}

impl Intake {
    fn new(incoming: Box<dyn IncomingAnswer>, room: IncomingRoom, signs: FeedSigns) -> Self {
        Self {
            incoming,
            room,
            signs,
            scanner: MultipartScanner::new(),
            head: Vec::new(),
            length: 0,
        }
    }
}

#[async_trait(?Send)]
impl AnswerSink for Intake {
    async fn take(&mut self, chunk: Bytes) -> Result<(), Fault> {
        {
            let _held_up = self.signs.held_up();
            self.room.take(chunk.len() as u64).await;
        }
        fault_point::pass(FaultPoint::AnswerComing);
        self.length += chunk.len() as u64;
        self.scanner.push(&chunk);
        let more = SMALL_ANSWER.saturating_sub(self.head.len()).min(chunk.len());
        self.head.extend_from_slice(&chunk[..more]);
        self.incoming.take(chunk).await
    }
}

/// Writes down how a pull ended.
struct Ledger<'a> {
    ports: &'a FeedPorts,
    feed: &'a Feed,
    since: Timestamp,
    /// Until when the dispatcher may collect for it, also where the answer breaks off before.
    until: Timestamp,
}

impl Ledger<'_> {
    fn suspect(&self, reason: String) -> SuspectPull {
        let suspect = SuspectPull {
            feed: self.feed.clone(),
            since: self.since,
            until: Timestamp::now().max(self.until),
            reason,
        };
        log::warn!(
            feed:% = suspect.feed, error:% = suspect.reason; "suspect pull of feed {}, from {} to {}: {}; events may have been handed out and lost on the way, and \
             nothing brings them back by itself yet (azul-backup suspect-pulls says what that means)",
            suspect.feed,
            suspect.since,
            suspect.until,
            suspect.reason
        );
        self.ports.count_suspect(self.feed);
        suspect
    }

    async fn ended(&self, suspect: Option<String>) -> Result<(), StateFault> {
        let suspect = suspect.map(|reason| self.suspect(reason));
        let point = match &suspect {
            Some(_) => FaultPoint::PullSuspected,
            None => FaultPoint::PullEnded,
        };
        self.ports
            .state
            .record(Change::PullEnded(self.feed.clone(), suspect))
            .await?;
        fault_point::pass(point);
        Ok(())
    }

    async fn keep(
        &self,
        file: BatchFile,
        intake: Intake,
        was_ready: bool,
        begun: Instant,
    ) -> Result<Pulled, BatchFault> {
        let Intake {
            incoming,
            room,
            scanner,
            head,
            length,
            signs: _,
        } = intake;
        let parts = scanner.finish();
        let small = (length == head.len() as u64).then_some(head);
        if let Ok(parts) = &parts
            && parts.info.fetched.unwrap_or_default() == 0
            && self.is_empty(&file, small, parts)
        {
            let ready = parts.info.ready;
            self.ended(turned_unready(was_ready, &parts.info)).await?;
            return Ok(Pulled::Empty {
                ready,
                took: begun.elapsed(),
            });
        }
        match incoming.keep().await {
            Ok(()) => {}
            Err(NotKept::Lost(fault)) => {
                self.ports.signs(self.feed).failed(FeedWork::Journal, &fault);
                self.ended(Some(format!("the answer could not be journaled: {fault}")))
                    .await?;
                return Ok(Pulled::Failed(fault));
            }
            // The next start adopts it, and takes its mark with it.
            Err(doubt @ NotKept::Doubtful(_)) => {
                room.finish();
                return Err(BatchFault::Stuck(format!(
                    "its answer {} cannot be worked with: {doubt}; check the volume",
                    file.seq
                )));
            }
        }
        fault_point::pass(FaultPoint::AnswerKept);
        let understood = match parts {
            Ok(parts) => self.understand(&file, parts).await,
            Err(broken) => Err(Unscanned::NotUnderstood(broken.to_string())),
        };
        match understood {
            Ok((info, scanned)) => {
                let scanned_doubt = scanned.doubt.clone();
                let row = self.row(file, length, scanned);
                let doubt = scanned_doubt.map(|doubt| format!("the bulk may be damaged: {doubt}"));
                let suspect = turned_unready(was_ready, &info)
                    .or(doubt)
                    .or(fewer_than_said(&info, &row));
                let suspect = suspect.map(|reason| self.suspect(reason));
                if let Some(suspect) = suspect {
                    self.ports.state.record(Change::PullSuspected(suspect)).await?;
                    fault_point::pass(FaultPoint::PullSuspected);
                }
                self.ports
                    .state
                    .record(Change::BatchJournaled(row.clone(), Timestamp::now()))
                    .await?;
                fault_point::pass(FaultPoint::BatchJournaled);
                room.finish();
                Ok(Pulled::Batch {
                    row,
                    ready: info.ready,
                })
            }
            Err(Unscanned::NotRead(reason)) => {
                // The file is whole: if it cannot be put aside either, the next start adopts it.
                let aside = set_aside(self.ports, &file, &reason).await;
                self.ended(None).await?;
                aside.map(|()| Pulled::NotUnderstood)
            }
            Err(Unscanned::NotUnderstood(reason)) => {
                put_aside(self.ports, &file, &reason).await;
                fault_point::pass(FaultPoint::AsidePut);
                self.ended(Some(format!("the answer could not be understood: {reason}")))
                    .await?;
                Ok(Pulled::NotUnderstood)
            }
        }
    }

    /// Whether a small answer holds no event.
    fn is_empty(&self, file: &BatchFile, small: Option<Vec<u8>>, parts: &PullParts) -> bool {
        parts.events.is_empty()
            || small.is_some_and(|body| {
                let scanned = scan(
                    self.feed,
                    &mut Cursor::new(body),
                    parts.events.clone(),
                    file.received,
                );
                scanned.is_ok_and(|scanned| scanned.contents.events == 0)
            })
    }

    async fn understand(&self, file: &BatchFile, parts: PullParts) -> Result<(PullInfo, Scanned), Unscanned> {
        let scanned = persistently(async || scan_file(self.ports, file, parts.events.clone()).await).await?;
        Ok((parts.info, scanned))
    }

    fn row(&self, file: BatchFile, bytes: u64, scanned: Scanned) -> BatchRow {
        let counters = self.ports.counters(self.feed);
        counters.batches.add(1);
        counters.bytes_in.add(bytes);
        count_contents(self.ports, self.feed, &scanned);
        BatchRow {
            file,
            bytes,
            contents: scanned.contents,
            // most batches name none, and need not be read for it once more
            streams_named: !scanned.names_streams,
            taken: 0,
        }
    }
}

/// Counts the events of a batch, and tells of those that are invalid or newer than this program.
pub(super) fn count_contents(ports: &FeedPorts, feed: &Feed, scanned: &Scanned) {
    let counters = ports.counters(feed);
    let contents = &scanned.contents;
    counters.events_received.add(contents.events);
    counters.events_invalid.add(contents.invalid);
    counters.streams_malformed.add(scanned.malformed_streams);
    if let BulkVersion::Unknown(version) = contents.version {
        counters.events_unknown.add(contents.events);
        log::warn!(
            feed:% = feed; "feed {feed}: a bulk of model version {version}, which this program does not know, is backed up as \
             it is; the streams that its events name are not: update azul-backup"
        );
    }
    let untold = contents.invalid.saturating_sub(scanned.told.len() as u64);
    if untold > 0 {
        log::info!(feed:% = feed; "feed {feed}: {untold} more events of this batch are invalid and backed up all the same");
    }
    for invalid in &scanned.told {
        log::info!(
            feed:% = feed; "feed {feed}: event {} is invalid and backed up all the same: {}",
            invalid.kafka_key.escape_debug(),
            invalid.reason
        );
    }
}

/// Why a walk over a journaled answer brought nothing.
#[derive(Debug)]
pub(super) enum Unscanned {
    /// The disk does not give it: that says nothing of the answer.
    NotRead(String),
    /// It is there, and makes no sense.
    NotUnderstood(String),
}

impl From<BulkError> for Unscanned {
    fn from(error: BulkError) -> Self {
        match error {
            BulkError::Read(_) | BulkError::Open(_) => Self::NotRead(error.to_string()),
            error => Self::NotUnderstood(error.to_string()),
        }
    }
}

/// Walks over a journaled bulk, on the blocking pool; few at a time, for each may need a window of its own.
pub(super) async fn scan_file(
    ports: &FeedPorts,
    file: &BatchFile,
    bulk: std::ops::Range<u64>,
) -> Result<Scanned, Unscanned> {
    let (opener, file) = (ports.journal.opener(), file.clone());
    let scanned = ports.blocking(move || {
        let mut reader = opener.open(&file).map_err(BulkError::Open)?;
        scan(&file.feed, &mut *reader, bulk, file.received)
    });
    Ok(scanned
        .await
        .map_err(|fault| Unscanned::NotRead(fault.to_string()))??)
}

/// Moves an answer that cannot be understood to where an operator finds it.
pub(super) async fn put_aside(ports: &FeedPorts, file: &BatchFile, reason: &str) {
    ports.counters(&file.feed).events_failed.add(1);
    ports.signs(&file.feed).failed(FeedWork::Answer, &reason);
    match ports.journal.put_aside(file, reason).await {
        Ok(place) => log::error!(
            feed:% = file.feed, error:% = reason; "feed {}: an answer of the dispatcher could not be understood ({reason}); it is kept at {place}: \
             keep it, and report it",
            file.feed
        ),
        Err(fault) => log::error!(
            feed:% = file.feed, error:% = reason; "feed {}: an answer of the dispatcher could not be understood ({reason}), nor put aside: {fault}; \
             it stays in the journal",
            file.feed
        ),
    }
    measure_aside(ports).await;
}

/// The dispatcher says how many events it has put into an answer.
fn fewer_than_said(info: &PullInfo, row: &BatchRow) -> Option<String> {
    let said = info.fetched?;
    let counted = matches!(row.contents.version, BulkVersion::Known(_));
    (counted && row.contents.events < said).then(|| {
        format!(
            "the dispatcher says {said} events, its answer has {}",
            row.contents.events
        )
    })
}

fn turned_unready(was_ready: bool, info: &PullInfo) -> Option<String> {
    (was_ready && !info.ready)
        .then(|| "`ready` turned from true to false: the dispatcher was restarted, or rebalanced".to_owned())
}
