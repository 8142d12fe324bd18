//! All streams of one source, many side by side, without a barrier anywhere.
//!
//! Lanes (see [`super::lane`]) list ahead a little; the workers are kept supplied from whichever has something. The
//! mark of a lane follows its [low water](super::low_water) and is saved every second, with the figures that belong
//! to it.
//!
//! # Who is to blame
//! A stream that fails although it was tried often enough says little: the bucket or the dispatcher may be away, or
//! this one object may be the one that a disk has lost. Others show which. It is *held*, not done, so that no mark
//! passes it. When as many fail in a row as the settings allow, with no success in between, and a [witness] does not go
//! through either, the restore stops, with its marks intact. When nothing else is left to do, those that are held are
//! tried once more; one that fails again, although others go through, is a dead letter.
//!
//! # Figures
//! What is restored in order is counted by the marks, all else by [rows of single objects](told): either way figures
//! are durable together with what they count, and however often work is repeated, nothing counts twice.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use actix::Recipient;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;

use self::told::Row;
use self::witness::Witness;
use super::halt::Halt;
use super::lane::{Lane, LaneRange};
use super::listed_key;
use super::low_water::Ticket;
use super::standing::Standing;
use super::stream::{Ask, Restored};
use super::worker::RestoreStream;
use crate::fault::Fault;
use crate::fault_point::{self, FaultPoint};
use crate::feed::SourceName;
use crate::ports::archive::{Archive, FolderPage, ListPage, ListedObject, Store};
use crate::ports::restore_state::{
    DeadLetter, LaneMark, LaneName, RestoreChange, RestoreState, StreamFigures,
};
use crate::ports::state::StateFault;
use crate::retry::RetryPolicy;
use crate::stop::StopFlag;
use crate::stream_id::{Sha256, StreamId};
use crate::timestamp::Timestamp;

/// How many lanes are worked off side by side. Each holds up to a page and a bit of keys.
const LANES: usize = 16;

/// A lane with fewer objects waiting lists its next page.
const FEW: usize = 250;

/// How many objects of a lane may lie between its mark and the last that was begun.
const WIDEST_SPAN: usize = 4000;

/// How often marks are saved.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// What the restore of a source works with. Cheap to clone.
#[derive(Clone)]
pub struct SourcePorts {
    /// The backup.
    pub archive: Rc<dyn Archive>,
    /// The workers.
    pub workers: Recipient<RestoreStream>,
    /// Where marks and dead letters are kept.
    pub state: Rc<dyn RestoreState>,
    /// Shown to whoever looks.
    pub standing: Standing,
    /// Applies to listings.
    pub retry: RetryPolicy,
    /// Raised when nothing new is to be begun.
    pub stop: StopFlag,
    /// How many jobs may be out: enough to keep all workers busy.
    pub most_out: usize,
    /// So many streams failing in a row stop the restore.
    pub failures_in_row: u32,
    /// Which of the hashes that were asked for have been found, in whatever source.
    pub found: Rc<RefCell<BTreeSet<Sha256>>>,
    /// What has gone through, in whatever source and pass of this start.
    pub seen: Rc<RefCell<Seen>>,
}

/// Which of the streams of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhichStreams {
    /// By label and hash; an empty list does not choose.
    Labels {
        /// Only these labels.
        labels: Vec<String>,
        /// Only these hashes: then no label is listed.
        hashes: Vec<Sha256>,
    },
    /// These keys, encrypted or not. One that is not there is a dead letter.
    Named(Vec<String>),
}

/// How they are gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// From the marks on.
    First {
        /// Whether the dispatcher is asked before a stream is sent.
        ask_first: bool,
    },
    /// All that was written since then is looked at once more, wherever it sorts: what the dispatcher does not have
    /// is restored. Without marks.
    Last {
        /// By the clock of the bucket; well before the restore began.
        since: Timestamp,
    },
}

impl Pass {
    fn looks_at(self, object: &ListedObject) -> bool {
        match self {
            Self::First { .. } => true,
            Self::Last { since } => object.last_modified.is_none_or(|written| written >= since),
        }
    }
}

/// Restores the streams of one source.
///
/// # Errors
/// See [`Halt`]. The marks are saved.
pub async fn restore_source(
    ports: &SourcePorts,
    source: &SourceName,
    which: WhichStreams,
    pass: Pass,
) -> Result<(), Halt> {
    let mut run = Run {
        ports,
        source,
        pass,
        labels: VecDeque::new(),
        named: VecDeque::new(),
        ranges: VecDeque::new(),
        lanes: BTreeMap::new(),
        next_lane: 0,
        out: 0,
        held: Vec::new(),
        in_row: 0,
        successes: 0,
        is_winding_down: false,
        happening: FuturesUnordered::new(),
    };
    let halted = run.work(which).await;
    run.wind_down().await?;
    halted
}

struct Run<'a> {
    ports: &'a SourcePorts,
    source: &'a SourceName,
    pass: Pass,
    labels: VecDeque<String>,
    named: VecDeque<(String, MayBeAbsent)>,
    ranges: VecDeque<(LaneRange, Option<ListPage>)>,
    lanes: BTreeMap<usize, Lane>,
    next_lane: usize,
    /// Jobs that workers have.
    out: usize,
    held: Vec<Held>,
    /// Failures since the last success.
    in_row: u32,
    successes: u64,
    is_winding_down: bool,
    happening: FuturesUnordered<LocalBoxFuture<'a, Happened>>,
}

/// Whether nobody said that there is such an object.
#[derive(Clone, Copy, Debug)]
struct MayBeAbsent(bool);

/// An object that has been begun.
#[derive(Clone, Debug)]
struct Begun {
    lane: usize,
    ticket: Ticket,
    object: ListedObject,
    stream: StreamId,
    /// How many successes there had been when it failed first.
    failed_at: Option<u64>,
    /// That it is expected is durable.
    is_expected: bool,
}

/// One that failed, and waits for others to show who is to blame.
struct Held {
    begun: Begun,
    fault: Fault,
}

enum Happened {
    Listed(usize, Result<ListPage, Fault>),
    Settled(Begun, Option<Restored>),
    /// That an object is expected was made durable.
    Expected(Begun, Result<(), StateFault>),
    /// What became of a single object was made durable.
    Told(Begun, StreamFigures, Result<(), StateFault>),
    Saved(usize, Result<(), StateFault>),
}

impl<'a> Run<'a> {
    async fn work(&mut self, which: WhichStreams) -> Result<(), Halt> {
        match which {
            WhichStreams::Labels { labels, hashes } => {
                match labels.is_empty() {
                    true => self.find_labels().await?,
                    false => self.labels = labels.into(),
                }
                if !hashes.is_empty() {
                    for label in std::mem::take(&mut self.labels) {
                        let keys = hashes
                            .iter()
                            .map(|hash| format!("{}/{label}/{hash}", self.source));
                        self.named.extend(keys.map(|key| (key, MayBeAbsent(true))));
                    }
                }
            }
            WhichStreams::Named(keys) => {
                let keys = keys.into_iter().map(|key| (key, MayBeAbsent(false)));
                self.named = keys.collect();
            }
        }
        let mut saves = tokio::time::interval(SAVE_EVERY);
        loop {
            if self.ports.stop.is_raised() {
                return Err(Halt::Stopped);
            }
            while self.lanes.len() < LANES && self.open_lane().await? {}
            self.list_ahead();
            self.supply().await?;
            self.try_once_more()?;
            self.close_lanes();
            if self.happening.is_empty() && self.lanes.is_empty() {
                return Ok(());
            }
            tokio::select! {
                Some(happened) = self.happening.next() => self.see(happened).await?,
                _ = saves.tick() => self.save_marks(),
                () = self.ports.stop.raised() => {}
            }
        }
    }

    /// Lets those who have a job come to its end, and saves the marks.
    async fn wind_down(&mut self) -> Result<(), Halt> {
        self.is_winding_down = true;
        while self.out > 0 {
            let Some(happened) = self.happening.next().await else {
                break;
            };
            if let Happened::Settled(begun, Some(restored)) = happened {
                self.out -= 1;
                if matches!(restored, Restored::Absent) {
                    continue;
                }
                // That the servers do not work, or that it is to stop, is known by now.
                if let Err(fault @ Halt::State(_)) = self.settle(begun, restored).await {
                    return Err(fault);
                }
            }
        }
        if self.keeps_marks() {
            for lane in self.lanes.values().filter(|lane| !lane.is_saved) {
                let change = RestoreChange::LaneReached(lane.range.name.clone(), lane.mark.clone());
                self.ports.state.record(change).await?;
            }
        }
        Ok(())
    }

    async fn find_labels(&mut self) -> Result<(), Halt> {
        let prefix = format!("{}/", self.source);
        let mut after: Option<String> = None;
        loop {
            let folders = || {
                self.ports
                    .archive
                    .folders(Store::Streams, &prefix, after.as_deref())
            };
            let page = self.retried("list bucket", &prefix, folders).await?;
            let FolderPage {
                folders,
                objects,
                next,
            } = page;
            self.labels.extend(folders);
            for object in objects {
                self.bury_stray(&object).await?;
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn retried<T, F: Future<Output = Result<T, Fault>>>(
        &self,
        operation: &'static str,
        target: &str,
        attempt: impl FnMut() -> F,
    ) -> Result<T, Fault> {
        let SourcePorts { retry, stop, .. } = self.ports;
        retry.run(operation, &target, stop, attempt).await
    }

    /// Opens one more lane, if there is one.
    async fn open_lane(&mut self) -> Result<bool, Halt> {
        if self.ranges.is_empty() {
            if let Some(label) = self.labels.pop_front() {
                let prefix = format!("{}/{label}/", self.source);
                let first = || self.ports.archive.list(Store::Streams, &prefix, None);
                let page = self.retried("list bucket", &prefix, first).await?;
                match page.more || self.was_cut(&prefix)? {
                    false => self.ranges.push_back((LaneRange::whole(&prefix), Some(page))),
                    true => self
                        .ranges
                        .extend(LaneRange::cut(&prefix).into_iter().map(|range| (range, None))),
                }
            } else if let Some((key, MayBeAbsent(may_be_absent))) = self.named.pop_front() {
                let named = || self.ports.archive.list(Store::Streams, &key, None);
                let mut page = self.retried("list bucket", &key, named).await?;
                page.more = false;
                page.objects
                    .retain(|object| listed_key::plain(&object.key).0 == key);
                self.note_hash(&page);
                if page.objects.is_empty() && !may_be_absent {
                    let absent = Fault::missing("restore stream", &key, "it is not in the bucket");
                    if self.row(&key)? != Row::Told {
                        self.bury(&key, 0, &absent, 1).await?;
                    }
                }
                self.ranges.push_back((LaneRange::whole(&key), Some(page)));
            }
        }
        let Some((range, page)) = self.ranges.pop_front() else {
            return Ok(false);
        };
        let mark = self.mark_of(&range)?;
        let mut lane = Lane::new(range, mark);
        if let Some(page) = page {
            lane.take(page, |object| self.pass.looks_at(object));
        }
        if let Some(witness) = Witness::at(&lane.mark) {
            self.ports.seen.borrow_mut().goes_through(witness);
        }
        self.lanes.insert(self.next_lane, lane);
        self.next_lane += 1;
        Ok(true)
    }

    fn note_hash(&self, page: &ListPage) {
        let hashes = page
            .objects
            .iter()
            .filter_map(|object| listed_key::stream(&object.key).ok());
        let mut found = self.ports.found.borrow_mut();
        found.extend(hashes.map(|listed| *listed.name.sha256()));
    }

    fn list_ahead(&mut self) {
        for (number, lane) in &mut self.lanes {
            let Some(after) = lane.next_page(FEW) else {
                continue;
            };
            lane.is_listing = true;
            let (number, prefix) = (*number, lane.range.prefix.clone());
            let SourcePorts {
                archive, retry, stop, ..
            } = self.ports;
            self.happening.push(Box::pin(async move {
                let list = || archive.list(Store::Streams, &prefix, after.as_deref());
                let page = retry.run("list bucket", &prefix, stop, list).await;
                Happened::Listed(number, page)
            }));
        }
    }

    /// Gives the workers what they can take, from all lanes in turn.
    async fn supply(&mut self) -> Result<(), Halt> {
        let mut numbers: VecDeque<usize> = self.lanes.keys().copied().collect();
        while self.out < self.ports.most_out {
            let Some(number) = numbers.pop_front() else {
                return Ok(());
            };
            let Some(lane) = self.lanes.get_mut(&number) else {
                continue;
            };
            if lane.water.span() >= WIDEST_SPAN {
                continue;
            }
            let Some(object) = lane.queue.pop_front() else {
                continue;
            };
            numbers.push_back(number);
            let ticket = lane.water.begin(object.key.clone());
            let row = self.row(&object.key)?;
            match listed_key::stream(&object.key).ok() {
                Some(listed) if row != Row::Told => self.send(Begun {
                    lane: number,
                    ticket,
                    object,
                    stream: listed.name,
                    failed_at: None,
                    is_expected: row == Row::Expected,
                }),
                Some(_) => self.pass_over(number, ticket, StreamFigures::default()),
                None => {
                    self.bury_stray(&object).await?;
                    self.pass_over(number, ticket, StreamFigures::default());
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, begun: Begun) {
        let job = RestoreStream {
            stream: begun.stream.clone(),
            key: begun.object.key.clone(),
            ask: match self.pass {
                Pass::First { ask_first: false } => Ask::Never,
                Pass::Last { .. } if !begun.is_expected => Ask::Only,
                Pass::First { .. } | Pass::Last { .. } => Ask::First,
            },
        };
        let restored = self.ports.workers.send(job);
        self.out += 1;
        self.happening.push(Box::pin(
            async move { Happened::Settled(begun, restored.await.ok()) },
        ));
    }

    /// When nothing else is left to do, those that failed are tried once more.
    fn try_once_more(&mut self) -> Result<(), Halt> {
        if self.out > 0 || !self.happening.is_empty() {
            return Ok(());
        }
        for held in std::mem::take(&mut self.held) {
            log::info!("{}; trying once more", held.fault);
            self.send(held.begun);
        }
        Ok(())
    }

    fn close_lanes(&mut self) {
        let done: Vec<usize> = self
            .lanes
            .iter()
            .filter(|(_, lane)| lane.is_done() && !lane.is_saving)
            .map(|(number, _)| *number)
            .collect();
        for number in done {
            if !self.keeps_marks() || self.lanes.get(&number).is_some_and(|lane| lane.is_saved) {
                self.lanes.remove(&number);
            } else {
                self.save(number);
            }
        }
    }

    fn keeps_marks(&self) -> bool {
        matches!(self.pass, Pass::First { .. })
    }

    fn save_marks(&mut self) {
        if self.keeps_marks() {
            let unsaved = self
                .lanes
                .iter()
                .filter(|(_, lane)| !lane.is_saved && !lane.is_saving);
            for number in unsaved.map(|(number, _)| *number).collect::<Vec<_>>() {
                self.save(number);
            }
        }
    }

    fn save(&mut self, number: usize) {
        let Some(lane) = self.lanes.get_mut(&number) else {
            return;
        };
        (lane.is_saved, lane.is_saving) = (true, true);
        let change = RestoreChange::LaneReached(lane.range.name.clone(), lane.mark.clone());
        let state = &self.ports.state;
        self.happening.push(Box::pin(async move {
            let saved = state.record(change).await;
            fault_point::pass(FaultPoint::RestoreLaneSaved);
            Happened::Saved(number, saved)
        }));
    }

    async fn see(&mut self, happened: Happened) -> Result<(), Halt> {
        match happened {
            Happened::Listed(number, page) => {
                let page = page?;
                if let Some(lane) = self.lanes.get_mut(&number) {
                    lane.take(page, |object| self.pass.looks_at(object));
                }
                Ok(())
            }
            Happened::Saved(number, saved) => {
                if let Some(lane) = self.lanes.get_mut(&number) {
                    lane.is_saving = false;
                }
                Ok(saved?)
            }
            Happened::Expected(mut begun, recorded) => {
                recorded?;
                begun.is_expected = true;
                self.send(begun);
                Ok(())
            }
            Happened::Told(begun, figures, recorded) => {
                recorded?;
                self.count(figures);
                self.pass_over(begun.lane, begun.ticket, StreamFigures::default());
                Ok(())
            }
            Happened::Settled(begun, restored) => {
                self.out -= 1;
                match restored {
                    Some(restored) => self.settle(begun, restored).await,
                    None => Err(Halt::Lost("a stream worker")),
                }
            }
        }
    }

    async fn settle(&mut self, begun: Begun, restored: Restored) -> Result<(), Halt> {
        let state = &self.ports.state;
        if matches!(restored, Restored::Uploaded { .. } | Restored::There) {
            self.ports.seen.borrow_mut().goes_through(Witness {
                key: begun.object.key.clone(),
                stream: begun.stream.clone(),
                size: begun.object.size,
            });
        }
        let mut figures = StreamFigures {
            bytes: begun.object.size,
            ..StreamFigures::default()
        };
        match restored {
            Restored::Uploaded { .. } => {
                self.in_row = 0;
                self.successes += 1;
                figures.restored = 1;
            }
            // Nobody was left to count it.
            Restored::There if begun.is_expected => figures.restored = 1,
            Restored::There => figures.there = 1,
            Restored::Gone => figures.gone = 1,
            Restored::Absent => {
                let expected = told::expected(&begun.object.key);
                self.happening.push(Box::pin(async move {
                    let recorded = state.record(expected).await;
                    Happened::Expected(begun, recorded)
                }));
                return Ok(());
            }
            Restored::Dead(fault) => return self.give_up(begun, &fault).await,
            Restored::Failed(fault) => return self.hold(begun, fault).await,
            Restored::Stopped => return Err(Halt::Stopped),
        }
        if figures.there > 0 && !self.keeps_marks() {
            // What was there before this pass has been counted.
            self.pass_over(begun.lane, begun.ticket, StreamFigures::default());
        } else if self.keeps_marks() && !begun.is_expected {
            self.count(figures);
            self.pass_over(begun.lane, begun.ticket, figures);
        } else if figures.gone > 0 {
            // It may come again, and is to be restored then: no row may tell of it.
            self.count(figures);
            self.pass_over(begun.lane, begun.ticket, StreamFigures::default());
        } else {
            let told = told::told(&begun.object.key, figures);
            self.happening.push(Box::pin(async move {
                let recorded = state.record(told).await;
                fault_point::pass(FaultPoint::RestoreStreamTold);
                Happened::Told(begun, figures, recorded)
            }));
        }
        Ok(())
    }

    /// Makes it a dead letter.
    async fn give_up(&mut self, begun: Begun, fault: &Fault) -> Result<(), Halt> {
        let ListedObject { key, size, .. } = &begun.object;
        self.bury(key, *size, fault, fault.attempts()).await?;
        self.pass_over(begun.lane, begun.ticket, StreamFigures::default());
        Ok(())
    }

    /// An object is done: the mark may pass it, with these figures.
    fn pass_over(&mut self, lane: usize, ticket: Ticket, figures: StreamFigures) {
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.water.done(ticket, figures);
            lane.pass();
        }
    }

    async fn hold(&mut self, mut begun: Begun, fault: Fault) -> Result<(), Halt> {
        self.in_row += 1;
        if self.in_row >= self.ports.failures_in_row.max(1) {
            if !self.others_go_through().await {
                log::error!(
                    "{} streams failed in a row, with no success in between",
                    self.in_row
                );
                return Err(Halt::Outage(fault));
            }
            self.in_row = 0;
        }
        match begun.failed_at {
            None => {
                log::warn!("{fault}; it is tried once more when the others are done");
                begun.failed_at = Some(self.successes);
                self.held.push(Held { begun, fault });
                Ok(())
            }
            Some(successes) if successes < self.successes || self.others_go_through().await => {
                self.give_up(begun, &fault).await
            }
            // Nothing shows that it is this one's fault.
            Some(_) => Err(Halt::Outage(fault)),
        }
    }
}

#[cfg(test)]
mod tests;
mod told;
mod witness;

pub use witness::Seen;
