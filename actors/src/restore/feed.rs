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
//! otherwise the restore stops with its checkpoints intact.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::bundle::{Bundle, fetch};
use super::bundle_memory::BundleMemory;
use super::halt::Halt;
use super::in_time_order::{InTimeOrder, ListedBundle};
use super::listed_key;
use super::publishing::publish_bundle;
use super::selection::{WantedBundles, Window};
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
    /// How many requests to publish may be under way, each with its bulk in memory.
    pub requests: Arc<Semaphore>,
    /// Where large bundles are unpacked.
    pub spool: PathBuf,
    /// Where others are.
    pub memory: BundleMemory,
    /// A bundle that could be read, of whatever feed: the smallest so far.
    pub readable: Rc<RefCell<Option<ListedBundle>>>,
}

/// Which bundles of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhichBundles {
    /// All whose names are wanted.
    All,
    /// These keys.
    Named(Vec<String>),
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
    let mut present = bundles.fetch_next().await?;
    while let Some(fetched) = present.take() {
        if ports.stop.is_raised() {
            return Err(Halt::Stopped);
        }
        present = match fetched {
            Fetched::Ready(bundle) => {
                let publish = async {
                    let figures = publish_bundle(ports, &bundle, rules.keeps).await?;
                    done(ports, &rules.feed, &bundle.listed, figures).await
                };
                // Both come to their end: what was published is noted, whatever becomes of the other.
                let (published, next) = tokio::join!(publish, bundles.fetch_next());
                published?;
                next?
            }
            Fetched::Gone(listed) => {
                log::warn!(
                    key:% = listed.object.key; "{} is not in the bucket any more: it has aged off",
                    listed.object.key
                );
                let figures = EventFigures {
                    gone: 1,
                    ..EventFigures::default()
                };
                done(ports, &rules.feed, &listed, figures).await?;
                bundles.fetch_next().await?
            }
            Fetched::Dead(listed, fault) => {
                bury(ports, &rules.feed, &listed, &fault).await?;
                bundles.fetch_next().await?
            }
            Fetched::Failed(listed, fault) => {
                if !bundles.others_can_be_read().await? {
                    return Err(Halt::Outage(fault));
                }
                match bundles.fetch(listed).await? {
                    Fetched::Failed(listed, fault) => {
                        bury(ports, &rules.feed, &listed, &fault).await?;
                        bundles.fetch_next().await?
                    }
                    fetched => Some(fetched),
                }
            }
        };
    }
    Ok(())
}

/// What became of fetching a bundle.
enum Fetched {
    Ready(Bundle),
    /// It is not in the bucket any more.
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
    named: Option<VecDeque<String>>,
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
            named: match &rules.which {
                WhichBundles::All => None,
                WhichBundles::Named(keys) => Some(keys.clone().into()),
            },
            ahead: None,
            order: InTimeOrder::default(),
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

    async fn fetch(&self, listed: ListedBundle) -> Result<Fetched, Halt> {
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
                fetched = retry.run("fetch bundle", &key, stop, attempt) => fetched,
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

    /// The next bundle that is wanted and not done.
    async fn next(&mut self) -> Result<Option<ListedBundle>, Halt> {
        loop {
            while let Some(listed) = self.ready.pop_front() {
                let (key, object) = (&listed.key, &listed.object);
                let done = || {
                    let state = &self.ports.state;
                    state.done(&self.rules.feed, key.timestamp(), &object.key, object.size)
                };
                if !self.wanted.wants(key.timestamp()) {
                    continue;
                }
                match done()? {
                    None => return Ok(Some(listed)),
                    // An earlier start could read it.
                    Some(figures) if figures.bundles > 0 => self.note_readable(&listed),
                    Some(_) => {}
                }
            }
            if self.is_listed {
                return Ok(None);
            }
            self.list().await?;
        }
    }

    /// Lists one more page, and puts it in order.
    async fn list(&mut self) -> Result<(), Halt> {
        let FeedRestorePorts {
            archive, retry, stop, ..
        } = self.ports;
        let named = match &mut self.named {
            Some(keys) => match keys.pop_front() {
                Some(key) => Some(key),
                None => {
                    self.is_listed = true;
                    self.ready.extend(self.order.finish());
                    return Ok(());
                }
            },
            None => None,
        };
        let (prefix, after) = match &named {
            Some(key) => (key, None),
            None => (&self.prefix, self.listed_to.as_deref()),
        };
        let list = || archive.list(Store::Events, prefix, after);
        let mut page = retry.run("list bucket", prefix, stop, list).await?;
        if let Some(key) = &named {
            page.objects
                .retain(|object| listed_key::plain(&object.key).0 == key);
        }
        if let Some(key) = &named
            && page.objects.is_empty()
        {
            self.bury_absent(key).await?;
        }
        self.listed_to = page
            .objects
            .last()
            .map(|object| object.key.clone())
            .or(self.listed_to.take());
        for object in page.objects {
            let key = listed_key::bundle(&object.key).ok().map(|listed| listed.name);
            match key.filter(|key| *key.feed() == self.rules.feed) {
                Some(key) => self.ready.extend(self.order.push(ListedBundle { key, object })),
                None => self.bury_stray(&object).await?,
            }
        }
        if named.is_none() && !page.more {
            self.is_listed = true;
            self.ready.extend(self.order.finish());
        }
        Ok(())
    }

    /// A key that was asked for, and is not in the bucket.
    async fn bury_absent(&self, key: &str) -> Result<(), Halt> {
        let feed = &self.rules.feed;
        let object = ListedObject {
            key: key.to_owned(),
            size: 0,
            last_modified: None,
        };
        let at = Timestamp::default();
        if self.ports.state.done(feed, at, key, 0)?.is_some() {
            return Ok(());
        }
        let absent = Fault::missing("restore bundle", key, "it is not in the bucket");
        bury_object(self.ports, key, &absent).await?;
        let figures = EventFigures {
            unreadable: 1,
            ..EventFigures::default()
        };
        note(self.ports, feed, at, &object, figures).await
    }

    /// An object whose key is not one of a bundle.
    async fn bury_stray(&self, object: &ListedObject) -> Result<(), Halt> {
        let feed = &self.rules.feed;
        let at = Timestamp::default();
        if self
            .ports
            .state
            .done(feed, at, &object.key, object.size)?
            .is_some()
        {
            return Ok(());
        }
        let detail = "its key is not SOURCE/MODEL/ACTION/TIME-COUNT-KEY: it is not a bundle of a backup";
        let fault = Fault::corrupt("restore bundle", object.key.escape_debug(), detail);
        bury_object(self.ports, &object.key, &fault).await?;
        let figures = EventFigures {
            unreadable: 1,
            bytes: object.size,
            ..EventFigures::default()
        };
        note(self.ports, feed, at, object, figures).await
    }
}

/// A bundle of which nothing can be restored: its name tells how many events it has.
async fn bury(
    ports: &FeedRestorePorts,
    feed: &Feed,
    listed: &ListedBundle,
    fault: &Fault,
) -> Result<(), Halt> {
    bury_object(ports, &listed.object.key, fault).await?;
    let events = listed.key.count();
    let figures = EventFigures {
        unreadable: 1,
        events,
        dead: events,
        bytes: listed.object.size,
        ..EventFigures::default()
    };
    done(ports, feed, listed, figures).await
}

async fn bury_object(ports: &FeedRestorePorts, key: &str, fault: &Fault) -> Result<(), Halt> {
    log::error!(error:% = fault; "{fault}; it is a dead letter now, the others go on");
    let letter = DeadLetter {
        store: Store::Events,
        key: key.to_owned(),
        event: None,
        kafka_key: None,
        reason: fault.to_string(),
        attempts: fault.attempts(),
        since: Timestamp::now(),
        event_bytes: 0,
    };
    ports.state.record(RestoreChange::GivenUp(letter, None)).await?;
    fault_point::pass(FaultPoint::RestoreBundleBuried);
    Ok(())
}

async fn done(
    ports: &FeedRestorePorts,
    feed: &Feed,
    listed: &ListedBundle,
    figures: EventFigures,
) -> Result<(), Halt> {
    let reached = listed.key.timestamp();
    note(ports, feed, reached, &listed.object, figures).await?;
    ports
        .standing
        .feed(feed, |standing| standing.reached = Some(reached));
    Ok(())
}

async fn note(
    ports: &FeedRestorePorts,
    feed: &Feed,
    timestamp: Timestamp,
    object: &ListedObject,
    figures: EventFigures,
) -> Result<(), Halt> {
    let done = BundleDone {
        feed: feed.clone(),
        timestamp,
        key: object.key.clone(),
        size: object.size,
        figures,
    };
    ports.state.record(RestoreChange::BundleDone(done)).await?;
    fault_point::pass(FaultPoint::RestoreBundleDone);
    ports.standing.feed(feed, |standing| standing.figures += figures);
    Ok(())
}
