//! Starts nothing, watches everything, and ends it in stages (see [`shutdown`]).
//!
//! Reasons for the end are typed ([`EndReason`]); whoever cannot go on sends [`Ending`]. Each stage is begun by
//! one message to those concerned and ends with their replies, or with its deadline. What is not done by then
//! stays in local state: every fact that matters is durable there already.

pub mod shutdown;

use std::time::Duration;

use actix::prelude::*;
use futures_util::future::{LocalBoxFuture, join_all};
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::shutdown::{Effect, Input, Shutdown};
pub use self::shutdown::{Stage, StageBudgets};
use crate::event_backup::{EventBackupActor, Quiesce};
use crate::fault_point::{self, FaultPoint};
use crate::feed::Feed;
use crate::hit_cache::{AskQueueDepth, DrainStreams, HitCacheActor};
use crate::ports::state::StateFault;
use crate::stop::StopFlag;

/// Workers are told to give up this long before the stage of streams is over, so that they can abort their
/// uploads in it.
const TIME_TO_ABORT: Duration = Duration::from_secs(3);

/// How often it is looked whether the actors are still there.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why the program ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// SIGTERM or SIGINT.
    Signal,
    /// As many streams failed in a row, with no success in between, as the settings allow.
    StreamFailures,
    /// Local state does not work.
    State(StateFault),
    /// An actor does not answer any more.
    ActorLost(String),
}

impl EndReason {
    /// Whether all pending streams are stored before the end. Not after a signal, for Kubernetes grants 30
    /// seconds, and not when storing is what does not work.
    pub fn works_off_the_queue(&self) -> bool {
        matches!(self, Self::ActorLost(_))
    }
}

impl std::fmt::Display for EndReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Signal => f.write_str("a signal asked for the end"),
            Self::StreamFailures => f.write_str(
                "too many streams failed in a row (CONSECUTIVE_BACKUP_STREAM_FAILURES): the bucket or the \
                 dispatcher does not work",
            ),
            Self::State(fault) => write!(f, "{fault}"),
            Self::ActorLost(who) => write!(f, "{who} does not answer any more: it has panicked, see above"),
        }
    }
}

/// Asks the supervisor to end the program.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Ending {
    /// Why.
    pub reason: EndReason,
}

/// Tells the supervisor whom to end.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Watch {
    /// The feeds.
    pub feeds: Vec<(Feed, Addr<EventBackupActor>)>,
    /// The queue of streams.
    pub hit_cache: Addr<HitCacheActor>,
}

/// Asks in which stage the program is.
#[derive(Debug, Message)]
#[rtype(result = "Stage")]
pub struct AskStage;

/// Flushes and closes local state.
pub type CloseState = Box<dyn FnOnce() -> LocalBoxFuture<'static, Result<(), StateFault>>>;

/// How the supervisor reaches what is not an actor.
pub struct Levers {
    /// Raised when the first stage begins: no more pulls, no more waiting between retries.
    pub stop_events: StopFlag,
    /// Raised when workers must abandon what they do.
    pub stop_streams: StopFlag,
    /// Flushes and closes local state.
    pub close_state: CloseState,
    /// Told why the program ended, at the very end.
    pub ended: oneshot::Sender<EndReason>,
}

/// See the module.
pub struct SupervisorActor {
    shutdown: Shutdown,
    budgets: StageBudgets,
    stop_events: StopFlag,
    stop_streams: StopFlag,
    close_state: Option<CloseState>,
    ended: Option<oneshot::Sender<EndReason>>,
    watched: Option<Watch>,
    reason: Option<EndReason>,
    /// What went wrong during the shutdown.
    trouble: Option<EndReason>,
    begun: Instant,
}

impl SupervisorActor {
    /// A supervisor that watches nobody yet.
    pub fn new(budgets: StageBudgets, levers: Levers) -> Self {
        Self {
            shutdown: Shutdown::default(),
            budgets,
            stop_events: levers.stop_events,
            stop_streams: levers.stop_streams,
            close_state: Some(levers.close_state),
            ended: Some(levers.ended),
            watched: None,
            reason: None,
            trouble: None,
            begun: Instant::now(),
        }
    }

    fn take(&mut self, input: Input, ctx: &mut Context<Self>) {
        let (shutdown, effects) = std::mem::take(&mut self.shutdown).step(input, &self.budgets);
        self.shutdown = shutdown;
        for effect in effects {
            match effect {
                Effect::Begin(stage, budget) => self.begin(stage, budget, ctx),
                Effect::Abandon(stage) => self.abandon(stage),
                Effect::Finish(reason) => self.finish(reason),
            }
        }
    }

    fn begin(&mut self, stage: Stage, budget: Duration, ctx: &mut Context<Self>) {
        self.begun = Instant::now();
        log::info!(
            "shutdown: stage {stage} begins, for at most {budget:.0?}: {}",
            self.awaited(stage)
        );
        point_of(stage).into_iter().for_each(fault_point::pass);
        let work = match stage {
            Stage::Events => self.end_events(),
            Stage::HitCache => self.end_hit_cache(),
            Stage::Streams => self.end_streams(budget, ctx),
            Stage::State => self.end_state(ctx),
            Stage::Running | Stage::Ended => Box::pin(async {}),
        };
        ctx.spawn(
            work.into_actor(self)
                .map(move |(), actor, ctx| actor.done(stage, ctx)),
        );
        ctx.run_later(budget, move |actor, ctx| actor.take(Input::TimeUp(stage), ctx));
    }

    fn awaited(&self, stage: Stage) -> String {
        let feeds = self.watched.as_ref().map_or(0, |watched| watched.feeds.len());
        match stage {
            Stage::Events => format!("waiting for the pulls in flight and the bundles of {feeds} feeds"),
            Stage::HitCache => "waiting for requested streams to be durable".to_owned(),
            Stage::Streams => "waiting for streams".to_owned(),
            Stage::State => "waiting for local state to be flushed".to_owned(),
            Stage::Running | Stage::Ended => String::new(),
        }
    }

    fn end_events(&self) -> LocalBoxFuture<'static, ()> {
        self.stop_events.raise();
        let feeds = self
            .watched
            .as_ref()
            .map(|watched| watched.feeds.clone())
            .unwrap_or_default();
        Box::pin(async move {
            let quiesced = feeds
                .iter()
                .map(|(feed, addr)| async move { (feed, addr.send(Quiesce).await) });
            for (feed, quiesced) in join_all(quiesced).await {
                match quiesced {
                    Ok(left) if left.events == 0 => {}
                    Ok(left) => log::info!(
                        "feed {feed}: {} events in {} batches stay in local state; the next start writes them",
                        left.events,
                        left.batches
                    ),
                    Err(lost) => log::error!("feed {feed} does not answer: {lost}"),
                }
            }
        })
    }

    fn end_hit_cache(&self) -> LocalBoxFuture<'static, ()> {
        let hit_cache = self.watched.as_ref().map(|watched| watched.hit_cache.clone());
        Box::pin(async move {
            if let Some(hit_cache) = hit_cache {
                // Mailboxes are first in, first out: whatever was asked for before has been taken up by now.
                match hit_cache.send(AskQueueDepth).await {
                    Ok(depth) => log::info!("{} streams wait, {} are being stored", depth.waiting, depth.out),
                    Err(lost) => log::error!("the hit cache does not answer: {lost}"),
                }
            }
        })
    }

    fn end_streams(&self, budget: Duration, ctx: &mut Context<Self>) -> LocalBoxFuture<'static, ()> {
        let stop = self.stop_streams.clone();
        ctx.run_later(budget.saturating_sub(TIME_TO_ABORT), move |_, _| stop.raise());
        let hit_cache = self.watched.as_ref().map(|watched| watched.hit_cache.clone());
        let everything = self.reason.as_ref().is_some_and(EndReason::works_off_the_queue);
        let drain = if everything {
            DrainStreams::Everything
        } else {
            DrainStreams::WhatIsOut
        };
        Box::pin(async move {
            if let Some(hit_cache) = hit_cache {
                match hit_cache.send(drain).await {
                    Ok(left) => log::info!("{} streams stay pending in local state", left.pending),
                    Err(lost) => log::error!("the hit cache does not answer: {lost}"),
                }
            }
        })
    }

    fn end_state(&mut self, ctx: &Context<Self>) -> LocalBoxFuture<'static, ()> {
        self.stop_streams.raise();
        let (close, supervisor) = (self.close_state.take(), ctx.address());
        Box::pin(async move {
            if let Some(close) = close
                && let Err(fault) = close().await
            {
                // Awaited, so that it is known before this stage counts as done.
                let _gone = supervisor.send(CloseFailed(fault)).await;
            }
        })
    }

    fn done(&mut self, stage: Stage, ctx: &mut Context<Self>) {
        if self.shutdown.stage() == stage {
            log::info!("shutdown: stage {stage} ended after {:.1?}", self.begun.elapsed());
        }
        self.take(Input::Done(stage), ctx);
    }

    fn abandon(&self, stage: Stage) {
        let took = self.begun.elapsed();
        log::warn!(
            "shutdown: stage {stage} did not end within {took:.1?}; what it left stays in local state"
        );
    }

    /// An actor that panicked is gone, and its mailbox closed, without a word to anybody.
    fn look_for_lost_actors(&mut self, ctx: &mut Context<Self>) {
        let Some(watched) = self
            .watched
            .as_ref()
            .filter(|_| self.shutdown.stage() == Stage::Running)
        else {
            return;
        };
        let lost_feed = watched.feeds.iter().find(|(_, addr)| !addr.connected());
        let lost = lost_feed.map(|(feed, _)| format!("the actor of feed {feed}"));
        let lost = lost.or_else(|| (!watched.hit_cache.connected()).then(|| "the hit cache".to_owned()));
        if let Some(who) = lost {
            self.end(EndReason::ActorLost(who), ctx);
        }
    }

    fn finish(&mut self, reason: EndReason) {
        // What went wrong on the way outweighs the signal that began it.
        let reason = self.trouble.take().unwrap_or(reason);
        if let Some(ended) = self.ended.take() {
            let _nobody_waits = ended.send(reason);
        }
    }
}

/// The instant at which a stage begins.
fn point_of(stage: Stage) -> Option<FaultPoint> {
    match stage {
        Stage::Events => Some(FaultPoint::EndEvents),
        Stage::HitCache => Some(FaultPoint::EndHitCache),
        Stage::Streams => Some(FaultPoint::EndStreams),
        Stage::State => Some(FaultPoint::EndState),
        Stage::Running | Stage::Ended => None,
    }
}

impl Actor for SupervisorActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(LOOK_EVERY, Self::look_for_lost_actors);
    }
}

impl Handler<Watch> for SupervisorActor {
    type Result = ();

    fn handle(&mut self, watch: Watch, _: &mut Self::Context) {
        self.watched = Some(watch);
    }
}

impl Handler<AskStage> for SupervisorActor {
    type Result = MessageResult<AskStage>;

    fn handle(&mut self, _: AskStage, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.shutdown.stage())
    }
}

/// Local state could not be flushed and closed.
#[derive(Message)]
#[rtype(result = "()")]
struct CloseFailed(StateFault);

impl Handler<CloseFailed> for SupervisorActor {
    type Result = ();

    fn handle(&mut self, CloseFailed(fault): CloseFailed, _: &mut Self::Context) {
        log::error!("local state could not be closed: {fault}");
        self.trouble = Some(EndReason::State(fault));
    }
}

impl Handler<Ending> for SupervisorActor {
    type Result = ();

    fn handle(&mut self, ending: Ending, ctx: &mut Self::Context) {
        self.end(ending.reason, ctx);
    }
}

impl SupervisorActor {
    fn end(&mut self, reason: EndReason, ctx: &mut Context<Self>) {
        let again = self.shutdown.stage() > Stage::Running;
        match reason {
            EndReason::Signal if again && self.reason == Some(EndReason::Signal) => {
                log::warn!("a second signal: ending now");
                self.take(Input::Now, ctx);
            }
            EndReason::Signal if again => {
                // The first signal during an end for an internal reason: no time is left to work off the queue.
                log::warn!("a signal during the shutdown: streams in flight are abandoned");
                self.stop_streams.raise();
                self.reason = Some(EndReason::Signal);
            }
            // Whoever was given up on finds local state closed, which is no trouble of its own.
            EndReason::State(_) if self.shutdown.stage() >= Stage::State => {}
            reason if again => {
                log::error!("during the shutdown: {reason}");
                self.trouble.get_or_insert(reason);
            }
            reason => {
                if reason == EndReason::Signal {
                    log::info!("ending: {reason}");
                } else {
                    log::error!("ending: {reason}");
                }
                self.reason = Some(reason.clone());
                self.take(Input::End(reason), ctx);
            }
        }
    }
}
