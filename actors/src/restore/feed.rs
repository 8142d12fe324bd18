//! All bundles of one feed, strictly from the oldest to the newest, one at a time; the next one is fetched and unpacked
//! while the present one is published.
//!
//! The listing is read page by page and put into the order of time on the way ([`super::in_time_order`]). A bundle
//! that is done, in whatever start, is passed over; it is done when all of its events have come to their fate.
//!
//! # Who is to blame
//! A bundle that cannot be fetched, although it was tried often enough, may lie on a disk that has lost it, or the
//! bucket may be away: one that could be fetched before, of whatever feed, shows which; where there is none, the next
//! one. If that can be fetched, and the first still cannot, the first is a dead letter and the feed goes on, in order;
//! otherwise the restore stops with its checkpoints intact. Of a bundle whose events are not taken the same is asked of
//! events that were (`publishing`).
//!
//! A bundle that the bucket says is not there is looked for in a listing once more: one that has aged off meanwhile is
//! counted as gone; one that is listed all the same is read once more, and is a dead letter then.

mod doubt;
mod fates;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use self::doubt::InDoubt;
pub(super) use self::fates::short;
use self::fates::{bury, bury_object, by_its_name, done, gone, is_listed, note};
use super::bundle::{Bundle, fetch};
use super::bundle_memory::BundleMemory;
use super::halt::Halt;
use super::in_time_order::{InTimeOrder, ListedBundle};
use super::listed_key::{self, Form};
pub use super::publishing::witness::Witnesses;
use super::publishing::{Outcome, publish_bundle};
use super::selection::{BundleNames, WantedBundles, Window};
use super::standing::Standing;
use crate::fault::{Fault, FaultKind};
use crate::fault_point::{self, FaultPoint};
use crate::feed::Feed;
use crate::ports::archive::{Archive, ListedObject, Store};
use crate::ports::restore_state::{BundleDone, DeadLetter, EventFigures, RestoreChange, RestoreState};
use crate::ports::target::Target;
use crate::retry::RetryPolicy;
use crate::stop::StopFlag;
use crate::timestamp::Timestamp;

/// How often what is damaged is fetched again.
const READ_AGAIN: u32 = 1;

const FETCH: &str = "fetch bundle";

/// What the restore of a feed works with. Cheap to clone.
#[derive(Clone)]
pub struct FeedRestorePorts {
    /// The backup.
    pub archive: Rc<dyn Archive>,
    /// The dispatcher.
    pub target: Rc<dyn Target>,
    /// Where checkpoints and dead letters are kept.
    pub state: Rc<dyn RestoreState>,
    /// Shown to whoever looks.
    pub standing: Standing,
    /// Applies to each request.
    pub retry: RetryPolicy,
    /// Raised when nothing more is to be begun.
    pub stop: StopFlag,
    /// What is restored of bundles that lie there in both forms.
    pub prefer: Form,
    /// How many requests to publish may be under way, each with its bulk in memory.
    pub requests: Arc<Semaphore>,
    /// Where large bundles are unpacked.
    pub spool: PathBuf,
    /// Where others are.
    pub memory: BundleMemory,
    /// A bundle that could be read, of whatever feed: the smallest so far.
    pub readable: Rc<RefCell<Option<ListedBundle>>>,
    /// Events that were taken, of whatever feed.
    pub witnesses: Witnesses,
}

impl FeedRestorePorts {
    /// What became of a bundle, if it is done: in one form that could be read, or in all.
    fn done(&self, listed: &ListedBundle) -> Result<Option<EventFigures>, Halt> {
        let (feed, at) = (listed.key.feed(), listed.key.timestamp());
        let (mut done, mut is_new) = (None, false);
        for form in listed.object.listed() {
            match self.state.done(feed, at, &form.key, form.size)? {
                Some(figures) if figures.bundles > 0 => return Ok(Some(figures)),
                Some(figures) => done = Some(figures),
                None => is_new = true,
            }
        }
        Ok(done.filter(|_| !is_new))
    }
}

/// Which bundles of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhichBundles {
    /// All whose names are wanted.
    All,
    /// These, encrypted or not. One that is not there is a dead letter.
    Named(BundleNames),
}

/// What holds for one feed.
#[derive(Clone)]
pub struct FeedRestoreRules {
    /// The feed.
    pub feed: Feed,
    /// Which bundles are gone through.
    pub which: WhichBundles,
    /// Which events are wanted, by their own time.
    pub window: Window,
    /// How long the source keeps events, where it does not keep them for ever.
    pub keeps: Option<Duration>,
}

/// Restores the events of one feed.
///
/// # Errors
/// See [`Halt`].
pub async fn restore_feed(ports: &FeedRestorePorts, rules: &FeedRestoreRules) -> Result<(), Halt> {
    let mut bundles = Bundles::new(ports, rules);
    let mut in_doubt = InDoubt::new(ports, rules);
    let mut present = bundles.fetch_next().await?;
    while let Some(fetched) = present.take() {
        if ports.stop.is_raised() {
            return Err(Halt::Stopped);
        }
        present = match fetched {
            Fetched::Ready(bundle) => {
                let publish = async {
                    let outcome = publish_bundle(ports, &bundle, rules.keeps).await?;
                    if ports.witnesses.is_any() {
                        in_doubt.give_up().await?;
                    }
                    match outcome {
                        Outcome::Done(figures) => {
                            let figures = by_its_name(ports, &bundle, figures).await?;
                            done(ports, &rules.feed, &bundle.listed, figures)
                                .await
                                .map(|()| None)
                        }
                        Outcome::InDoubt(doubt) => Ok(Some(doubt)),
                    }
                };
                // Both come to their end: what was published is noted, whatever becomes of the other.
                let (published, next) = tokio::join!(publish, bundles.fetch_next());
                if let Some(doubt) = published? {
                    in_doubt.hold(bundle, doubt);
                }
                next?
            }
            Fetched::Gone(listed) if !is_listed(ports, &listed).await? => {
                gone(ports, &rules.feed, &listed).await?;
                bundles.fetch_next().await?
            }
            Fetched::Gone(listed) => match bundles.fetch(listed).await? {
                Fetched::Gone(listed) => {
                    let lost = listed_key::lost("fetch bundle", &listed.object.key);
                    bury(ports, &rules.feed, &listed, &lost).await?;
                    bundles.fetch_next().await?
                }
                fetched => Some(fetched),
            },
            Fetched::Dead(listed, fault) => {
                bury(ports, &rules.feed, &listed, &fault).await?;
                bundles.fetch_next().await?
            }
            Fetched::Failed(listed, fault) => {
                if !bundles.others_can_be_read().await? {
                    return Err(Halt::Outage(fault));
                }
                match bundles.fetch(listed).await? {
                    Fetched::Failed(mut listed, fault) => match listed.object.fall_back(&fault) {
                        true => Some(bundles.fetch(listed).await?),
                        false => {
                            bury(ports, &rules.feed, &listed, &fault).await?;
                            bundles.fetch_next().await?
                        }
                    },
                    fetched => Some(fetched),
                }
            }
        };
    }
    // Nothing of this feed is left that could show more.
    in_doubt.give_up().await
}

/// What became of fetching a bundle.
enum Fetched {
    Ready(Bundle),
    /// The bucket says that it is not there.
    Gone(ListedBundle),
    /// It can be read, and is no bundle.
    Dead(ListedBundle, Fault),
    /// It cannot be read, for whatever reason.
    Failed(ListedBundle, Fault),
}

/// The bundles that are to be restored, in their order.
struct Bundles<'a> {
    ports: &'a FeedRestorePorts,
    rules: &'a FeedRestoreRules,
    prefix: String,
    /// How many names have been looked up, where bundles are asked for by name.
    looked_up: usize,
    /// The next one, if it had to be fetched before its turn.
    ahead: Option<Fetched>,
    order: InTimeOrder,
    ready: VecDeque<ListedBundle>,
    /// Which of those have to be read.
    wanted: WantedBundles,
    listed_to: Option<String>,
    is_listed: bool,
}

impl<'a> Bundles<'a> {
    fn new(ports: &'a FeedRestorePorts, rules: &'a FeedRestoreRules) -> Self {
        Self {
            ports,
            rules,
            prefix: format!("{}/", rules.feed),
            looked_up: 0,
            ahead: None,
            order: InTimeOrder::preferring(ports.prefer),
            ready: VecDeque::new(),
            wanted: rules.window.bundles(),
            listed_to: None,
            is_listed: false,
        }
    }

    /// The next bundle that is wanted and not done, unpacked.
    async fn fetch_next(&mut self) -> Result<Option<Fetched>, Halt> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        match self.next().await? {
            Some(listed) => self.fetch(listed).await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether a bundle that could be read still can be; where there has been none, whether the next one can.
    async fn others_can_be_read(&mut self) -> Result<bool, Halt> {
        let readable = self.ports.readable.borrow().clone();
        let Some(readable) = readable else {
            self.ahead = self.fetch_next().await?;
            return Ok(matches!(self.ahead, Some(Fetched::Ready(_) | Fetched::Dead(..))));
        };
        match self.fetch(readable).await? {
            Fetched::Ready(_) => Ok(true),
            Fetched::Gone(_) | Fetched::Dead(..) => {
                // It is no witness any more.
                *self.ports.readable.borrow_mut() = None;
                Ok(false)
            }
            Fetched::Failed(..) => Ok(false),
        }
    }

    fn note_readable(&self, listed: &ListedBundle) {
        let mut readable = self.ports.readable.borrow_mut();
        let is_smaller = |known: &ListedBundle| listed.object.size < known.object.size;
        if readable.as_ref().is_none_or(is_smaller) {
            *readable = Some(listed.clone());
        }
    }

    /// Fetches it in the form that is preferred; where that is gone or no bundle, in its other form.
    async fn fetch(&self, listed: ListedBundle) -> Result<Fetched, Halt> {
        let mut fetched = self.fetch_form(listed).await?;
        loop {
            let (mut listed, fault) = match fetched {
                Fetched::Gone(listed) => {
                    let gone = Fault::missing(FETCH, &listed.object.key, "it is not in the bucket any more");
                    (listed, gone)
                }
                Fetched::Dead(listed, fault) => (listed, fault),
                fetched => return Ok(fetched),
            };
            if listed.object.fall_back(&fault) {
                fetched = self.fetch_form(listed).await?;
                continue;
            }
            return Ok(match listed.object.blame(&fault).kind() {
                FaultKind::Missing => Fetched::Gone(listed),
                _ => Fetched::Dead(listed, fault),
            });
        }
    }

    async fn fetch_form(&self, listed: ListedBundle) -> Result<Fetched, Halt> {
        let FeedRestorePorts {
            archive,
            retry,
            stop,
            spool,
            memory,
            ..
        } = self.ports;
        let key = &listed.object.key;
        let attempt = || fetch(&**archive, &listed, self.rules.window, (spool, memory));
        let mut damaged = 0;
        loop {
            let fetched = tokio::select! {
                biased;
                fetched = retry.run(FETCH, &key, stop, attempt) => fetched,
                () = stop.raised() => return Err(Halt::Stopped),
            };
            return Ok(match fetched {
                Ok(bundle) => {
                    self.note_readable(&listed);
                    Fetched::Ready(bundle)
                }
                Err(fault) => match fault.kind() {
                    // It may have been damaged on its way.
                    FaultKind::Corrupt if damaged < READ_AGAIN => {
                        damaged += 1;
                        log::warn!(error:% = fault; "{fault}; reading it once more");
                        continue;
                    }
                    FaultKind::Corrupt => Fetched::Dead(listed, fault.tried(damaged + 1, Duration::ZERO)),
                    FaultKind::Missing => Fetched::Gone(listed),
                    FaultKind::Cancelled => return Err(Halt::Stopped),
                    FaultKind::NoRoom => return Err(Halt::Outage(fault)),
                    FaultKind::Transient | FaultKind::Rejected | FaultKind::Lapsed => {
                        Fetched::Failed(listed, fault)
                    }
                },
            });
        }
    }
}

mod listing;
mod named;
