//! One feed: pulls events, journals them, names their streams, and writes them to the bucket as bundles.
//!
//! # The order of things
//! 1. *Leftovers first*: what an earlier start left (a sealed bundle, journaled batches, unnamed streams) is
//!    finished before the first pull, also for a feed that is no longer configured, which then never pulls.
//! 2. *Mark, pull, journal* (`pulling`, `pull`): one pull in flight, durable before the next; never aborted by a stop.
//! 3. *Name* (`naming`): every stream of a batch becomes a pending row as soon as the batch is journaled; the
//!    next pull waits until the queue has admitted them.
//! 4. *Bundle* (`writing`, `bundling`, `delivery`): sealed, compared with what lies under its key, written, and only then
//!    its batches leave the journal. Goes on beside the pulls, one bundle at a time.
//!
//! # When it goes wrong
//! A pull that fails is waited out (`pace`). A bundle that cannot be written stays sealed and is tried again;
//! meanwhile the journal fills, and when it is full the feed waits (`room`). A journaled answer that cannot be read is
//! put aside (`rescue`). Only local state that does not work, or a file that can be neither read nor moved, ends the
//! program, in good order.
//!
//! Others see how it goes on the [`board`](crate::board); what of it a restart must go on telling is noted (`noting`).

mod bundling;
mod delivery;
mod naming;
mod noting;
mod pace;
mod pull;
mod pulling;
mod quiesce;
mod recovery;
mod rescue;
mod room;
mod terms;
#[cfg(test)]
mod tests;
mod writing;

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use tokio::time::Instant;

pub use self::noting::keep_noting;
use self::pace::Pace;
use self::quiesce::Ends;
pub use self::quiesce::{AskFeedStanding, FeedStanding, OpenPull, PullStanding, Quiesce, Quiesced};
pub use self::recovery::{Leftovers, recall, recover};
pub use self::terms::{FeedPorts, FeedRules};
use self::writing::remove;
use crate::board::feed::{FeedSigns, FeedWork, HeldUp};
use crate::feed::Feed;
use crate::hit_cache::HitCacheActor;
use crate::ports::state::{BatchRow, SealedBundle};
use crate::supervisor::{EndReason, Ending};

/// The room in bytes that is reserved in the journal for an answer, unless the last one was larger. Every idle feed
/// holds as much while its pull is open.
const LEAST_EXPECTED: u64 = 256 * 1024;

/// How far a feed has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Finishing what an earlier start left.
    Leftovers,
    /// Pulling.
    Running,
    /// It cannot go on; nothing is begun any more.
    Failed,
}

/// See the module.
pub struct EventBackupActor {
    rules: FeedRules,
    ports: FeedPorts,
    hit_cache: Addr<HitCacheActor>,
    supervisor: Recipient<Ending>,
    phase: Phase,
    batches: VecDeque<BatchRow>,
    sealed: Option<SealedBundle>,
    stuck: Option<String>,
    pulling: bool,
    /// Streams are being named, or wait for admission: a part of pulling.
    naming: bool,
    writing: bool,
    /// Removals from the journal that are under way.
    removing: usize,
    pace: Pace,
    ready: bool,
    last_bundle: Instant,
    delivery_failures: u32,
    next_delivery: Instant,
    /// The feed is being ended: nothing new is begun but what brings its events into the bucket.
    stopping: bool,
    /// Who waits for its end.
    ends: Ends,
    /// How far its next pull has come.
    pull: Rc<Cell<PullStanding>>,
    /// What others see of it.
    signs: FeedSigns,
    /// Its batches leave no room for one more.
    crowded: Option<HeldUp>,
    /// How many bytes the next answer may have: as many as the last one.
    expected: u64,
}

impl EventBackupActor {
    /// A feed with what an earlier start left of it.
    pub fn new(
        rules: FeedRules,
        leftovers: Leftovers,
        ports: FeedPorts,
        hit_cache: Addr<HitCacheActor>,
        supervisor: Recipient<Ending>,
    ) -> Self {
        let signs = ports.signs(&rules.feed);
        Self {
            // Until the leftovers are done with it does not pull.
            crowded: rules.consumer.is_some().then(|| signs.held_up()),
            signs,
            pace: Pace::new(rules.longest_deadline),
            rules,
            ports,
            hit_cache,
            supervisor,
            phase: Phase::Leftovers,
            batches: leftovers.batches.into(),
            sealed: leftovers.sealed,
            stuck: leftovers.stuck,
            pulling: false,
            naming: false,
            writing: false,
            removing: 0,
            ready: false,
            last_bundle: Instant::now(),
            delivery_failures: 0,
            next_delivery: Instant::now(),
            stopping: false,
            ends: Ends::default(),
            pull: Rc::default(),
            expected: LEAST_EXPECTED,
        }
    }

    fn feed(&self) -> &Feed {
        &self.rules.feed
    }

    /// Begins whatever can be begun. Called after every change.
    fn advance(&mut self, ctx: &mut Context<Self>) {
        if self.phase != Phase::Failed {
            self.begin_delivery(ctx);
            self.begin_pull(ctx);
        }
        self.signs.holds(self.waiting());
        self.answer_quiesce();
    }

    /// The caller has cleared the flag of the work that failed; what else is in flight is still waited for.
    fn fail(&mut self, reason: impl Into<EndReason>, ctx: &mut Context<Self>) {
        if self.phase != Phase::Failed {
            self.phase = Phase::Failed;
            let reason = reason.into();
            self.signs.failed(FeedWork::Feed, &reason);
            crate::post(&self.supervisor, Ending { reason });
        }
        self.advance(ctx);
    }
}

impl Actor for EventBackupActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let unnamed: Vec<_> = self
            .batches
            .iter()
            .filter(|row| !row.streams_named)
            .cloned()
            .collect();
        self.name(unnamed, ctx);
        if let Some(why) = self.stuck.take() {
            let feed = self.feed().clone();
            self.fail(EndReason::Feed { feed, why }, ctx);
        }
        self.advance(ctx);
        let tick = self
            .rules
            .max_age
            .clamp(Duration::from_millis(50), Duration::from_secs(1));
        ctx.run_interval(tick, |actor, ctx| actor.advance(ctx));
    }
}
