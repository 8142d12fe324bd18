//! One feed: pulls events, journals them, names their streams, and writes them to the bucket as bundles.
//!
//! # The order of things
//! 1. *Leftovers first*: what an earlier start left (a sealed bundle, journaled batches, unnamed streams) is
//!    finished before the first pull, also for a feed that is no longer configured, which then never pulls.
//! 2. *Mark, pull, journal* (`pull`): one pull in flight, durable before the next; never aborted by a stop.
//! 3. *Name* (`naming`): every stream of a batch becomes a pending row as soon as the batch is journaled; the
//!    next pull waits until the queue has admitted them.
//! 4. *Bundle* (`bundling`, `delivery`): sealed, compared with what lies under its key, written, and only then
//!    its batches leave the journal. Goes on beside the pulls, one bundle at a time.
//!
//! # When it goes wrong
//! A pull that fails is waited out (`pace`). A bundle that cannot be written stays sealed and is tried again;
//! meanwhile the journal fills, and when it is full the feed waits. Only local state that does not work ends the
//! program, in good order.

mod bundling;
mod delivery;
mod naming;
mod pace;
mod pull;
mod recovery;
mod terms;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::bundling::{Due, next_run};
use self::delivery::{Delivered, deliver, seal};
use self::naming::name_streams;
use self::pace::Pace;
use self::pull::{Pulled, pull};
pub use self::recovery::{Leftovers, recover};
pub use self::terms::{FeedPorts, FeedRules};
use crate::fault::Fault;
use crate::fault_point::{self, FaultPoint};
use crate::feed::Feed;
use crate::hit_cache::{AwaitAdmission, AwaitLeftovers, HitCacheActor, NameStreams};
use crate::ports::dispatcher::Pull;
use crate::ports::state::{BatchRow, Change, SealedBundle, StateFault};
use crate::supervisor::{EndReason, Ending};

/// The most batches of one feed that are held in the journal; beyond it the feed waits.
const MOST_BATCHES: usize = 4000;

/// The wait before a bundle that could not be written is tried again; it doubles.
const FIRST_DELIVERY_WAIT: Duration = Duration::from_secs(5);

/// The longest wait before a bundle is tried again.
const LONGEST_DELIVERY_WAIT: Duration = Duration::from_secs(60);

/// The room in bytes that is reserved in the journal for an answer, unless the last one was larger. Every idle feed
/// holds as much while its pull is open.
const LEAST_EXPECTED: u64 = 256 * 1024;

/// The dispatcher caps the batch at this.
const MOST_EVENTS_PER_PULL: u64 = 1000;

/// Asks a feed to end: no more pulls; answered when the pull in flight is journaled and what the feed holds is in
/// the bucket, or could not be written.
#[derive(Debug, Message)]
#[rtype(result = "Quiesced")]
pub struct Quiesce;

/// What a feed leaves in local state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, MessageResponse)]
pub struct Quiesced {
    /// Batches in the journal.
    pub batches: usize,
    /// Events in them that are not in the bucket.
    pub events: u64,
}

/// How far a feed has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Finishing what an earlier start left.
    Leftovers,
    /// Pulling.
    Running,
    /// Local state failed; nothing is begun any more.
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
    pulling: bool,
    writing: bool,
    /// Removals from the journal that are under way.
    removing: usize,
    pace: Pace,
    ready: bool,
    last_bundle: Instant,
    delivery_failures: u32,
    next_delivery: Instant,
    quiescing: Option<oneshot::Sender<Quiesced>>,
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
        Self {
            pace: Pace::new(rules.longest_deadline),
            rules,
            ports,
            hit_cache,
            supervisor,
            phase: Phase::Leftovers,
            batches: leftovers.batches.into(),
            sealed: leftovers.sealed,
            pulling: false,
            writing: false,
            removing: 0,
            ready: false,
            last_bundle: Instant::now(),
            delivery_failures: 0,
            next_delivery: Instant::now(),
            quiescing: None,
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
        self.answer_quiesce();
    }

    fn begin_pull(&mut self, ctx: &mut Context<Self>) {
        let Some(consumer) = self.rules.consumer.clone() else {
            return;
        };
        if self.pulling
            || self.phase != Phase::Running
            || self.ports.stop.is_raised()
            || self.batches.len() >= MOST_BATCHES
        {
            return;
        }
        self.pulling = true;
        let request = Pull {
            feed: self.feed().clone(),
            consumer,
            deployment_key: Some(self.rules.deployment_key.clone()),
            count: u32::try_from(self.rules.batch_size.clamp(1, MOST_EVENTS_PER_PULL)).unwrap_or(1),
            deadline: self.pace.deadline(),
        };
        let (ports, was_ready, expected) = (self.ports.clone(), self.ready, self.expected);
        let pulled = async move {
            let room = tokio::select! {
                biased;
                () = ports.stop.raised() => return None,
                room = ports.room.reserve(expected) => room,
            };
            Some(pull(&ports, &request, was_ready, room).await)
        };
        ctx.spawn(pulled.into_actor(self).map(|pulled, actor, ctx| match pulled {
            None => actor.rest(Duration::ZERO, ctx),
            Some(Ok(pulled)) => actor.pulled(pulled, ctx),
            Some(Err(fault)) => {
                actor.pulling = false;
                actor.fail(fault, ctx);
            }
        }));
    }

    fn pulled(&mut self, pulled: Pulled, ctx: &mut Context<Self>) {
        match pulled {
            Pulled::Batch { row, ready } => {
                self.ready = ready;
                self.pace.brought_events();
                self.expected = row.bytes.max(LEAST_EXPECTED);
                self.batches.push_back(row.clone());
                self.name(vec![row], ctx);
                self.advance(ctx);
            }
            Pulled::Empty { ready, took } => {
                self.ready = ready;
                self.expected = LEAST_EXPECTED;
                let wait = self.pace.brought_none(took);
                self.rest(wait, ctx);
            }
            Pulled::NotUnderstood => {
                let wait = self.pace.failed(None);
                self.rest(wait, ctx);
            }
            Pulled::Failed(fault) => {
                let wait = self.pace.failed(fault.wait());
                log::warn!("feed {}: {fault}; next pull in {wait:.0?}", self.feed());
                self.rest(wait, ctx);
            }
        }
    }

    /// Pulls again after `wait`.
    fn rest(&mut self, wait: Duration, ctx: &mut Context<Self>) {
        let stop = self.ports.stop.clone();
        let rested = async move {
            if !wait.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = stop.raised() => {}
                }
            }
        };
        ctx.spawn(rested.into_actor(self).map(|(), actor, ctx| {
            actor.pulling = false;
            actor.advance(ctx);
        }));
    }

    /// Names the streams of these batches, then waits until they are admitted. Counts as part of the pull.
    fn name(&mut self, batches: Vec<BatchRow>, ctx: &mut Context<Self>) {
        self.pulling = true;
        let (ports, requests) = (
            self.ports.clone(),
            self.hit_cache.clone().recipient::<NameStreams>(),
        );
        let named = async move {
            let mut ticket = None;
            for batch in &batches {
                ticket = ticket.max(name_streams(&ports, batch, &requests).await?);
            }
            Ok((batches.into_iter().map(|batch| batch.file.seq).collect(), ticket))
        };
        ctx.spawn(
            named
                .into_actor(self)
                .map(|named: Result<(Vec<u64>, _), _>, actor, ctx| match named {
                    Ok((batches, ticket)) => {
                        for row in actor
                            .batches
                            .iter_mut()
                            .filter(|row| batches.contains(&row.file.seq))
                        {
                            row.streams_named = true;
                        }
                        actor.remove_done(ctx);
                        actor.await_admission(ticket, ctx);
                    }
                    Err(fault) => actor.fail(fault, ctx),
                }),
        );
    }

    /// The next pull waits for the streams of the last one; so do the first pulls for all that was left over.
    fn await_admission(&mut self, ticket: Option<u64>, ctx: &mut Context<Self>) {
        let (hit_cache, stop) = (self.hit_cache.clone(), self.ports.stop.clone());
        let leftovers = self.phase == Phase::Leftovers;
        let admitted = async move {
            let wait = async {
                if leftovers {
                    hit_cache.send(AwaitLeftovers).await?;
                }
                match ticket {
                    Some(ticket) => hit_cache.send(AwaitAdmission { ticket }).await,
                    None => Ok(()),
                }
            };
            tokio::select! {
                admitted = wait => admitted,
                () = stop.raised() => Ok(()),
            }
        };
        ctx.spawn(admitted.into_actor(self).map(|admitted, actor, ctx| {
            if let Err(lost) = admitted {
                actor.fail(
                    StateFault::Broken(format!("the hit cache does not answer: {lost}")),
                    ctx,
                );
                return;
            }
            actor.pulling = false;
            actor.leave_leftovers();
            actor.advance(ctx);
        }));
    }

    /// Running begins when all that was left over is in the bucket.
    fn leave_leftovers(&mut self) {
        let finished = self.sealed.is_none() && self.batches.is_empty();
        if self.phase == Phase::Leftovers && !self.pulling && finished {
            self.phase = Phase::Running;
        }
    }

    fn due(&self) -> Due {
        let aged = self.last_bundle.elapsed() >= self.rules.max_age;
        // A full journal is emptied by bundles alone: none may wait until it is full itself.
        let short = self.ports.room.is_short();
        let now = aged || short || self.phase == Phase::Leftovers || self.quiescing.is_some();
        if now { Due::Now } else { Due::WhenFull }
    }

    fn begin_delivery(&mut self, ctx: &mut Context<Self>) {
        if self.writing || Instant::now() < self.next_delivery || self.gave_up() {
            return;
        }
        if let Some(sealed) = self.sealed.clone() {
            self.deliver(sealed, ctx);
        } else if let Some(run) = next_run(self.batches.iter(), self.rules.batch_size, self.due()) {
            self.writing = true;
            let (ports, feed) = (self.ports.clone(), self.feed().clone());
            let rows: Vec<BatchRow> = self.batches.iter().cloned().collect();
            let sealed = async move { seal(&ports, &feed, run, &rows, 1).await };
            ctx.spawn(sealed.into_actor(self).map(|sealed, actor, ctx| match sealed {
                Ok(sealed) => actor.deliver(sealed, ctx),
                Err(fault) => {
                    actor.writing = false;
                    actor.fail(fault, ctx);
                }
            }));
        }
    }

    /// A stop tries each bundle once: what cannot be written stays in local state.
    fn gave_up(&self) -> bool {
        self.quiescing.is_some() && self.delivery_failures > 0
    }

    fn deliver(&mut self, sealed: SealedBundle, ctx: &mut Context<Self>) {
        self.writing = true;
        self.sealed = Some(sealed.clone());
        let ports = self.ports.clone();
        let rows: Vec<BatchRow> = self.batches.iter().cloned().collect();
        let delivered = async move { deliver(&ports, sealed, &rows).await };
        ctx.spawn(delivered.into_actor(self).map(|delivered, actor, ctx| {
            actor.writing = false;
            match delivered {
                Ok(Delivered::Written(sealed)) => actor.written(&sealed, ctx),
                Ok(Delivered::Resealed(sealed)) => actor.deliver(sealed, ctx),
                Ok(Delivered::Postponed(fault)) => actor.postpone(&fault, ctx),
                Err(fault) => actor.fail(fault, ctx),
            }
        }));
    }

    fn written(&mut self, sealed: &SealedBundle, ctx: &mut Context<Self>) {
        let counters = self.ports.counters(self.feed());
        counters.bundles.add(1);
        self.sealed = None;
        self.last_bundle = Instant::now();
        self.delivery_failures = 0;
        for member in &sealed.members {
            counters.events_ok.add(member.events.end - member.events.start);
            if let Some(row) = self.batches.iter_mut().find(|row| row.file.seq == member.seq) {
                row.taken = row.taken.max(member.events.end);
            }
        }
        self.remove_done(ctx);
        self.advance(ctx);
    }

    fn postpone(&mut self, fault: &Fault, ctx: &mut Context<Self>) {
        let wait = FIRST_DELIVERY_WAIT.saturating_mul(1 << self.delivery_failures.min(6));
        let wait = wait.min(LONGEST_DELIVERY_WAIT);
        self.delivery_failures += 1;
        self.next_delivery = Instant::now() + wait;
        log::error!(
            "feed {}: {fault}; its events are safe in local state, and the bundle is tried again {}",
            self.feed(),
            if self.quiescing.is_some() {
                "at the next start".to_owned()
            } else {
                format!("in {wait:.0?}")
            }
        );
        ctx.run_later(wait, |actor, ctx| actor.advance(ctx));
        self.advance(ctx);
    }

    /// Removes what nothing is needed of any more: first the file, then the row.
    fn remove_done(&mut self, ctx: &mut Context<Self>) {
        let done: Vec<BatchRow> = self.batches.iter().filter(|row| row.is_done()).cloned().collect();
        if done.is_empty() {
            return;
        }
        self.batches.retain(|row| !row.is_done());
        self.removing += 1;
        let ports = self.ports.clone();
        let removed = async move {
            for row in done {
                remove(&ports, &row).await?;
            }
            Ok(())
        };
        ctx.spawn(removed.into_actor(self).map(|removed, actor, ctx| {
            actor.removing -= 1;
            match removed {
                Ok(()) => {
                    actor.leave_leftovers();
                    actor.advance(ctx);
                }
                Err(fault) => actor.fail(fault, ctx),
            }
        }));
    }

    /// The caller has cleared the flag of the work that failed; what else is in flight is still waited for.
    fn fail(&mut self, fault: StateFault, ctx: &mut Context<Self>) {
        if self.phase != Phase::Failed {
            self.phase = Phase::Failed;
            crate::post(
                &self.supervisor,
                Ending {
                    reason: EndReason::State(fault),
                },
            );
        }
        self.advance(ctx);
    }

    fn answer_quiesce(&mut self) {
        let nothing_left =
            self.sealed.is_none() && self.batches.iter().all(|row| row.taken >= row.contents.events);
        let over = nothing_left || self.gave_up() || self.phase == Phase::Failed;
        if !self.pulling
            && !self.writing
            && self.removing == 0
            && over
            && let Some(quiesced) = self.quiescing.take()
        {
            let events = self
                .batches
                .iter()
                .map(|row| row.contents.events.saturating_sub(row.taken))
                .sum();
            let _nobody_waits = quiesced.send(Quiesced {
                batches: self.batches.len(),
                events,
            });
        }
    }
}

/// Unlinks the file of a batch and then deletes its row.
async fn remove(ports: &FeedPorts, row: &BatchRow) -> Result<(), StateFault> {
    match ports.journal.remove(&row.file).await {
        Ok(()) => {
            fault_point::pass(FaultPoint::BatchUnlinked);
            ports.room.give_back(row.bytes);
            ports
                .state
                .record(Change::BatchRemoved(row.file.feed.clone(), row.file.seq))
                .await?;
            fault_point::pass(FaultPoint::BatchRemoved);
            Ok(())
        }
        // The row says that nothing of it is needed: the next start removes both.
        Err(fault) => {
            log::error!("{fault}; it is tried again at the next start");
            Ok(())
        }
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
        self.advance(ctx);
        let tick = self
            .rules
            .max_age
            .clamp(Duration::from_millis(50), Duration::from_secs(1));
        ctx.run_interval(tick, |actor, ctx| actor.advance(ctx));
    }
}

impl Handler<Quiesce> for EventBackupActor {
    type Result = ResponseFuture<Quiesced>;

    fn handle(&mut self, _: Quiesce, ctx: &mut Self::Context) -> Self::Result {
        let (quiesced, waiting) = oneshot::channel();
        self.quiescing = Some(quiesced);
        self.ports.room.stopping();
        // Whatever waits for its turn gets one more try now.
        self.next_delivery = Instant::now();
        self.delivery_failures = 0;
        self.advance(ctx);
        Box::pin(async move { waiting.await.unwrap_or_default() })
    }
}
