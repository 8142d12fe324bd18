//! All streams of one source, many side by side, without a barrier anywhere.
//!
//! Lanes (see [`super::lane`]) list ahead a little; the workers are kept supplied from whichever has something. What is
//! asked for by name is one lane more, which looks up as many names at once as there are jobs. The
//! mark of a lane follows its [low water](super::low_water) and is saved every second, with the figures that belong
//! to it.
//!
//! # Who is to blame
//! A stream that fails although it was tried often enough says little: the bucket or the dispatcher may be away, or
//! this one object may be the one that a disk has lost. Others show which. It is *held*, not done, so that no mark
//! passes it. When as many fail in a row as the settings allow, with no success in between, and a `witness` does not go
//! through either, the restore stops, with its marks intact. When nothing else is left to do, those that are held are
//! tried once more; one that fails again, although others go through, is a dead letter.
//!
//! One that the bucket says is not there is looked for in a listing once more: what has aged off meanwhile is counted as
//! gone; what is listed all the same is read once more, and is a dead letter then.
//! # The last pass
//! What came into the bucket while the marks moved on may sort before them. What is *dated* since the restore began,
//! and a day earlier, is looked at one by one. But clocks differ by more than a day, and a bucket that is the replica of
//! another, and still catches up, dates what comes late as the other did. So each mark also tells which keys of before
//! it has passed, as a count and a sum of hashes ([`KeyCensus`]), and the last pass takes the same census of what it
//! lists. Where the two differ, in whatever way, the dispatcher is asked for every stream of that lane. That is so too
//! where something has aged off meanwhile, which costs a question for each, and sends nothing. So nothing is ever
//! skipped for its date.
//!
//! # Both forms
//! A stream that lies there plain and encrypted is one of [`Forms`]: sent once, and once more in its other form only
//! if the first cannot be restored.
//!
//! # Figures
//! What is restored in order is counted by the marks, all else by rows of single objects (`told`): either way figures
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
use super::both_forms::Forms;
use super::halt::Halt;
use super::lane::{Fate, Lane, LaneRange, Looking, LooksAt, Passing};
use super::listed_key::{self, Form};
use super::low_water::Ticket;
use super::named_streams::{Hashes, NamedStreams};
use super::put_back;
use super::standing::Standing;
use super::stream::{Ask, Restored};
use super::worker::RestoreStream;
use crate::fault::{Fault, FaultKind};
use crate::fault_point::{self, FaultPoint};
use crate::feed::SourceName;
use crate::ports::archive::{Archive, FolderPage, ListPage, ListedObject, Store};
use crate::ports::restore_state::{
    DeadLetter, KeyCensus, LaneMark, LaneName, RestoreChange, RestoreState, StreamFigures,
};
use crate::ports::state::StateFault;
use crate::retry::RetryPolicy;
use crate::stop::StopFlag;
use crate::stream_id::{Sha256, StreamId};
use crate::timestamp::Timestamp;

/// How many lanes are worked off side by side, unless they are too short to keep the workers busy. Each holds up to a
/// page and a bit of keys.
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
    /// What is restored of streams that lie there in both forms.
    pub prefer: Form,
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
        hashes: Hashes,
    },
    /// These, encrypted or not. One that is not there is a dead letter.
    Named(NamedStreams),
}

/// How they are gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// From the marks on.
    First {
        /// Whether the dispatcher is asked before a stream is sent.
        ask_first: bool,
        /// The same as for the last pass of this restore.
        since: Timestamp,
    },
    /// What has come since is looked at once more, wherever it sorts: what the dispatcher does not have is restored.
    /// Without marks.
    Last {
        /// What the bucket says was written then or later is new: well before the restore began, by the clock of this
        /// machine.
        since: Timestamp,
        /// Whether the dispatcher is asked. Otherwise all of it is sent, and not counted: most of it has been.
        asks: bool,
    },
}

impl Pass {
    fn since(self) -> Timestamp {
        match self {
            Self::First { since, .. } | Self::Last { since, .. } => since,
        }
    }
}

/// A lane that is to be opened.
struct Opening {
    range: LaneRange,
    /// Its first page, if that is known.
    page: Option<ListPage>,
    /// Whether what this pass has not looked at yet is looked at, whatever its date.
    anew: bool,
}

impl From<(LaneRange, Option<ListPage>)> for Opening {
    fn from((range, page): (LaneRange, Option<ListPage>)) -> Self {
        Self {
            range,
            page,
            anew: false,
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
        named: None,
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
    /// Those that are asked for by name, if any are: then there is one lane, of these.
    named: Option<(NamedStreams, MayBeAbsent)>,
    ranges: VecDeque<Opening>,
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

/// One more part of a lane.
#[derive(Debug, Default)]
struct Listed {
    page: ListPage,
    /// Up to which key it goes, if that is not the last of the page.
    up_to: Option<String>,
    /// What was asked for by name, and is not there.
    absent: Vec<String>,
}

/// An object that has been begun.
#[derive(Clone, Debug)]
struct Begun {
    lane: usize,
    ticket: Ticket,
    object: Forms,
    stream: StreamId,
    /// The form whose row tells of it.
    row: String,
    /// How many successes there had been when it failed first.
    failed_at: Option<u64>,
    /// That it is expected is durable.
    is_expected: bool,
    /// The bucket has said that it is not there, and listed it.
    is_missed: bool,
}

/// One that failed, and waits for others to show who is to blame.
struct Held {
    begun: Begun,
    fault: Fault,
}

enum Happened {
    Listed(usize, Result<Listed, Fault>),
    Settled(Begun, Option<Restored>),
    /// One that the bucket says is not there was listed once more.
    LookedFor(Begun, Result<ListPage, Fault>),
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
                    // With hashes only what they name is looked at.
                    true => self.find_labels(hashes.is_empty()).await?,
                    false => self.labels = labels.into(),
                }
                if !hashes.is_empty() {
                    let labels = std::mem::take(&mut self.labels).into_iter();
                    let labels = labels.map(|label| (label, Hashes::clone(&hashes)));
                    self.look_for(NamedStreams::new(self.source.clone(), labels), MayBeAbsent(true));
                }
            }
            WhichStreams::Named(named) => self.look_for(named, MayBeAbsent(false)),
        }
        let mut saves = tokio::time::interval(SAVE_EVERY);
        loop {
            if self.ports.stop.is_raised() {
                return Err(Halt::Stopped);
            }
            while self.wants_lanes() && self.open_lane().await? {}
            self.list_ahead();
            self.supply().await?;
            self.try_once_more()?;
            self.close_lanes();
            if self.happening.is_empty() && self.lanes.is_empty() && self.ranges.is_empty() {
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
            let mut old = KeyCensus::default();
            let listed = object.listed().filter(|form| lane.looking.is_old(form));
            listed.for_each(|form| old.take(&form.key));
            let key = object.last_key().to_owned();
            let ticket = lane.water.begin(Passing { key, old });
            if self.ports.standing.passes_over(&object) {
                self.pass_over(number, ticket, StreamFigures::default());
                continue;
            }
            let (told, row) = self.rows(&object)?;
            match listed_key::stream(&object.key).ok() {
                Some(listed) if told != Row::Told => self.send(Begun {
                    lane: number,
                    ticket,
                    object,
                    stream: listed.name,
                    row,
                    failed_at: None,
                    is_expected: told == Row::Expected,
                    is_missed: false,
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
                Pass::First { ask_first: false, .. } | Pass::Last { asks: false, .. } => Ask::Never,
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

    async fn see(&mut self, happened: Happened) -> Result<(), Halt> {
        match happened {
            Happened::Listed(number, listed) => {
                let listed = listed?;
                self.ports.standing.looked_at_one();
                self.take(number, listed).await
            }
            Happened::LookedFor(begun, page) => self.is_gone(begun, &page?).await,
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
}

mod lanes;
mod named;
mod outcome;
#[cfg(test)]
mod tests;
mod told;
mod witness;

pub use witness::Seen;
