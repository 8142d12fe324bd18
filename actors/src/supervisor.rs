//! Starts nothing, watches everything, and ends it in stages (see [`shutdown`]).
//!
//! Reasons for the end are typed ([`EndReason`]); whoever cannot go on sends [`Ending`]. Each stage is begun by
//! one message to those concerned and ends with their replies, or with its deadline. What is not done by then
//! stays in local state: every fact that matters is durable there already.
//!
//! # Who is lost
//! While the backup runs, each of these ends it in good order:
//! * an actor whose mailbox is closed (it panicked), or that owes a sign of life for 30 s;
//! * a stream worker whose thread has ended, or that has a stream and gets nothing at all done ([`progress`]);
//! * a panic on the actors' thread in a task that nobody waits for.
//!
//! If the supervisor itself is gone, or its thread is blocked, its [`Pulse`] stands still, which whoever watches
//! from another thread sees.

mod heartbeats;
mod messages;
mod pulse;
mod reason;
mod record;
pub mod shutdown;

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::future::join_all;
use tokio::sync::oneshot;

use self::heartbeats::Heartbeats;
pub use self::messages::{AskStage, CloseState, Ended, Ending, Levers, Watch};
pub use self::pulse::Pulse;
pub use self::reason::{EndReason, Loss};
use self::record::{Outcome, StageRecord, streams};
use self::shutdown::{Effect, Input, Shutdown};
pub use self::shutdown::{Stage, StageBudgets};
use crate::event_backup::{AskFeedStanding, FeedStanding, Quiesce, Quiesced};
use crate::fault_point::{self, FaultPoint};
use crate::feed::Feed;
use crate::hit_cache::{AskQueueDepth, AwaitNamed, DrainStreams, Drained};
use crate::ports::LocalState;
use crate::statistics::Statistics;
use crate::stop::StopFlag;
#[allow(unused_imports, reason = "the documentation speaks of it")]
use crate::stream_worker::progress;
use crate::stream_worker::progress::{CrewWatch, LostWorker};

/// Workers are told to give up this long before the stage of streams is over, so that they can abort their
/// uploads in it.
const TIME_TO_ABORT: Duration = Duration::from_secs(3);

/// How often it is looked whether everybody is still there.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long a sign of life may be owed.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often the pulse beats.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// How long feeds have to say what they are doing when a stop begins.
const TIME_TO_TELL: Duration = Duration::from_secs(1);

/// Somebody who is asked for a sign of life.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Watched {
    HitCache,
    Feed(Feed),
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HitCache => f.write_str("the hit cache"),
            Self::Feed(feed) => write!(f, "the actor of feed {feed}"),
        }
    }
}

/// See the module.
pub struct SupervisorActor {
    shutdown: Shutdown,
    budgets: StageBudgets,
    stop_events: StopFlag,
    stop_streams: StopFlag,
    close_state: Option<CloseState>,
    ended: Option<oneshot::Sender<Ended>>,
    statistics: Arc<Statistics>,
    state: Rc<dyn LocalState>,
    crew: CrewWatch,
    pulse: Pulse,
    panicked: Box<dyn Fn() -> Option<String>>,
    watched: Option<Watch>,
    heartbeats: Heartbeats<Watched>,
    record: StageRecord,
    given_up: bool,
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
            record: StageRecord::begin(levers.statistics.total(), Default::default()),
            statistics: levers.statistics,
            state: levers.state,
            crew: CrewWatch::new(levers.crew),
            pulse: levers.pulse,
            panicked: levers.panicked,
            watched: None,
            heartbeats: Heartbeats::new(PATIENCE, LOOK_EVERY),
            given_up: false,
        }
    }

    fn take(&mut self, input: Input, ctx: &mut Context<Self>) {
        let (shutdown, effects) = std::mem::take(&mut self.shutdown).step(input, &self.budgets);
        self.shutdown = shutdown;
        for effect in effects {
            match effect {
                Effect::Begin(stage, budget) => self.begin(stage, budget, ctx),
                Effect::Hurry(stage, budget) => self.hurry(stage, budget, ctx),
                Effect::Abandon(stage) => self.abandon(stage),
                Effect::Finish(reason) => self.finish(reason),
            }
        }
    }

    fn begin(&mut self, stage: Stage, budget: Duration, ctx: &mut Context<Self>) {
        let feeds = self.feeds().into_iter().map(|(feed, _)| feed).collect();
        self.record = StageRecord::begin(self.statistics.total(), feeds);
        self.pulse.beat(stage);
        log::info!(
            "shutdown: stage {stage} begins, for at most {budget:.0?}: {}",
            self.awaited(stage)
        );
        point_of(stage).into_iter().for_each(fault_point::pass);
        ctx.run_later(budget, move |actor, ctx| actor.take(Input::TimeUp(stage), ctx));
        match stage {
            Stage::Events => self.end_events(ctx),
            Stage::HitCache => self.end_hit_cache(ctx),
            Stage::Streams => self.end_streams(budget, ctx),
            Stage::State => self.end_state(ctx),
            Stage::Running | Stage::Ended => {}
        }
    }

    fn awaited(&self, stage: Stage) -> String {
        match stage {
            Stage::Events => format!(
                "no more pulls are sent; waiting for the pulls in flight and the bundles of {} feeds",
                self.record.awaited.len()
            ),
            Stage::HitCache => "waiting for requested streams to be durable".to_owned(),
            Stage::Streams if self.shutdown.works_off_the_queue() => {
                format!("working off all {} pending streams", self.state.counts().pending)
            }
            Stage::Streams => {
                let out = self.crew.crew().out();
                match out.is_empty() {
                    true => "no stream is under way".to_owned(),
                    false => format!("waiting for {} streams under way: {}", out.len(), streams(&out)),
                }
            }
            Stage::State => "waiting for local state to be flushed".to_owned(),
            Stage::Running | Stage::Ended => String::new(),
        }
    }

    fn feeds(&self) -> Vec<(Feed, Addr<crate::event_backup::EventBackupActor>)> {
        let watched = self.watched.as_ref();
        watched.map(|watched| watched.feeds.clone()).unwrap_or_default()
    }

    fn end_events(&mut self, ctx: &mut Context<Self>) {
        self.stop_events.raise();
        let feeds = self.feeds();
        let standings = feeds.iter().cloned().map(|(feed, addr)| async move {
            let standing = tokio::time::timeout(TIME_TO_TELL, addr.send(AskFeedStanding)).await;
            standing.ok()?.ok().map(|standing| (feed, standing))
        });
        ctx.spawn(join_all(standings).into_actor(self).map(|standings, actor, _| {
            if actor.shutdown.stage() == Stage::Events {
                for (feed, standing) in standings.into_iter().flatten() {
                    actor.record.note(feed, standing);
                }
                log::info!("shutdown: stage events: {}", actor.record.under_way());
            }
        }));
        for (feed, addr) in feeds {
            let quiesced = addr.send(Quiesce).into_actor(self);
            ctx.spawn(quiesced.map(move |quiesced, actor, ctx| actor.feed_ended(feed, quiesced, ctx)));
        }
        if self.record.awaited.is_empty() {
            self.done(Stage::Events, ctx);
        }
    }

    fn feed_ended(&mut self, feed: Feed, quiesced: Result<Quiesced, MailboxError>, ctx: &mut Context<Self>) {
        let holds = match quiesced {
            Ok(holds) => holds,
            Err(_closed) => {
                self.end(EndReason::gone(Watched::Feed(feed.clone()).to_string()), ctx);
                Quiesced::default()
            }
        };
        if holds.events > 0 {
            log::info!(
                "feed {feed}: {} events in {} batches stay in local state; the next start writes them",
                holds.events,
                holds.batches
            );
        }
        if self.shutdown.stage() == Stage::Events {
            self.record.awaited.remove(&feed);
            self.record.note(
                feed,
                FeedStanding {
                    holds,
                    ..FeedStanding::default()
                },
            );
            if self.record.awaited.is_empty() {
                self.done(Stage::Events, ctx);
            }
        }
    }

    fn end_hit_cache(&mut self, ctx: &mut Context<Self>) {
        let Some(watched) = &self.watched else {
            return self.done(Stage::HitCache, ctx);
        };
        let named = watched.hit_cache.send(AwaitNamed).into_actor(self);
        ctx.spawn(named.map(|named, actor, ctx| {
            if named.is_err() {
                actor.end(EndReason::gone(Watched::HitCache.to_string()), ctx);
            }
            actor.done(Stage::HitCache, ctx);
        }));
    }

    fn end_streams(&mut self, budget: Duration, ctx: &mut Context<Self>) {
        self.abandon_streams_before(budget, ctx);
        let drain = match self.shutdown.works_off_the_queue() {
            true => DrainStreams::Everything,
            false => DrainStreams::WhatIsOut,
        };
        self.drain(drain, ctx);
    }

    fn drain(&mut self, drain: DrainStreams, ctx: &mut Context<Self>) {
        let Some(watched) = &self.watched else {
            return self.done(Stage::Streams, ctx);
        };
        let drained = watched.hit_cache.send(drain).into_actor(self);
        ctx.spawn(drained.map(|drained: Result<Drained, _>, actor, ctx| {
            if drained.is_err() {
                actor.end(EndReason::gone(Watched::HitCache.to_string()), ctx);
            }
            actor.done(Stage::Streams, ctx);
        }));
    }

    /// Workers are told to give up in time to abort their uploads within `budget`.
    fn abandon_streams_before(&self, budget: Duration, ctx: &mut Context<Self>) {
        let stop = self.stop_streams.clone();
        let wait = budget.saturating_sub(TIME_TO_ABORT.min(budget / 3));
        ctx.run_later(wait, move |_, _| stop.raise());
    }

    fn end_state(&mut self, ctx: &mut Context<Self>) {
        self.stop_streams.raise();
        let close = self.close_state.take();
        let closed = async move {
            match close {
                Some(close) => close().await,
                None => Ok(()),
            }
        };
        ctx.spawn(closed.into_actor(self).map(|closed, actor, ctx| {
            if let Err(fault) = closed {
                log::error!("local state could not be closed: {fault}");
                actor.take(Input::CloseFailed(fault), ctx);
            }
            actor.done(Stage::State, ctx);
        }));
    }

    fn done(&mut self, stage: Stage, ctx: &mut Context<Self>) {
        if self.shutdown.stage() == stage {
            log::info!(
                "shutdown: stage {stage} ended after {:.1?}: {}",
                self.record.begun.elapsed(),
                self.record.saved(stage, &self.outcome())
            );
        }
        self.take(Input::Done(stage), ctx);
    }

    fn hurry(&mut self, stage: Stage, budget: Duration, ctx: &mut Context<Self>) {
        log::warn!(
            "a signal during the shutdown: stage {stage} takes at most {budget:.0?} from now on, and the streams \
             that are not under way stay in local state"
        );
        ctx.run_later(budget, move |actor, ctx| actor.take(Input::TimeUp(stage), ctx));
        if stage == Stage::Streams {
            self.abandon_streams_before(budget, ctx);
            self.drain(DrainStreams::WhatIsOut, ctx);
        }
    }

    fn abandon(&mut self, stage: Stage) {
        self.given_up = true;
        let outcome = self.outcome();
        log::warn!(
            "shutdown: stage {stage} did not end within {:.1?}; not ended: {}; {}; whatever is unfinished stays in \
             local state",
            self.record.begun.elapsed(),
            self.record.not_ended(stage, &outcome),
            self.record.saved(stage, &outcome)
        );
    }

    fn outcome(&self) -> Outcome {
        Outcome {
            figures: self.statistics.total(),
            pending: self.state.counts().pending,
            marks: self.state.marks().ok().map(|marks| marks.len()),
            out: self.crew.crew().out(),
        }
    }

    fn finish(&mut self, reason: EndReason) {
        self.pulse.beat(Stage::Ended);
        if let Some(ended) = self.ended.take() {
            let given_up = self.given_up;
            let _nobody_waits = ended.send(Ended { reason, given_up });
        }
    }

    fn end(&mut self, reason: EndReason, ctx: &mut Context<Self>) {
        match (&reason, self.shutdown.stage()) {
            (EndReason::Signal, Stage::Running) => log::info!("ending: {reason}"),
            (_, Stage::Running) => log::error!("ending: {reason}"),
            (EndReason::Signal, stage) if stage < Stage::State && self.shutdown.is_hurried() => {
                log::warn!("a second signal: ending now");
            }
            (EndReason::Signal, _) | (EndReason::State(_), Stage::State | Stage::Ended) => {}
            _ => log::error!("during the shutdown: {reason}"),
        }
        self.take(Input::End(reason), ctx);
    }

    /// Looks whether everybody is there, and asks for signs of life.
    fn look(&mut self, ctx: &mut Context<Self>) {
        let stage = self.shutdown.stage();
        if self.watched.is_none() || stage > Stage::Events {
            return;
        }
        if stage == Stage::Running
            && let Some(reason) = self.lost()
        {
            return self.end(reason, ctx);
        }
        let feeds = self.feeds();
        let feeds = feeds.into_iter().map(|(feed, _)| Watched::Feed(feed));
        let look = self
            .heartbeats
            .look(feeds.chain([Watched::HitCache]), tokio::time::Instant::now());
        for who in look.ask {
            self.ask(who, ctx);
        }
        if stage == Stage::Running
            && let Some((who, time)) = look.silent
        {
            let (who, loss) = (who.to_string(), Loss::Silent(time));
            self.end(EndReason::ActorLost { who, loss }, ctx);
        }
    }

    fn ask(&self, who: Watched, ctx: &mut Context<Self>) {
        let Some(watched) = &self.watched else { return };
        match &who {
            Watched::HitCache => {
                let depth = watched.hit_cache.send(AskQueueDepth).into_actor(self);
                ctx.spawn(depth.map(move |_depth, actor, _| actor.heartbeats.answered(&who)));
            }
            Watched::Feed(feed) => {
                let Some((_, addr)) = watched.feeds.iter().find(|(other, _)| other == feed) else {
                    return;
                };
                let feed = feed.clone();
                let standing = addr.send(AskFeedStanding).into_actor(self);
                ctx.spawn(standing.map(move |standing, actor, _| {
                    actor.heartbeats.answered(&who);
                    if let Ok(standing) = standing
                        && actor.record.awaited.contains(&feed)
                    {
                        actor.record.note(feed, standing);
                    }
                }));
            }
        }
    }

    /// Somebody who is known to be lost without being asked.
    fn lost(&mut self) -> Option<EndReason> {
        let watched = self.watched.as_ref()?;
        let mut feeds = watched.feeds.iter();
        if let Some((feed, _)) = feeds.find(|(_, addr)| !addr.connected()) {
            return Some(EndReason::gone(Watched::Feed(feed.clone()).to_string()));
        }
        if !watched.hit_cache.connected() {
            return Some(EndReason::gone(Watched::HitCache.to_string()));
        }
        if let Some(text) = (self.panicked)() {
            return Some(EndReason::ActorLost {
                who: "a task of the actors' thread".to_owned(),
                loss: Loss::Panicked(text),
            });
        }
        let lost = self.crew.look(tokio::time::Instant::now())?;
        Some(match lost {
            LostWorker::Gone { number } => EndReason::gone(format!("stream worker {number}")),
            LostWorker::Silent { number, stream, time } => EndReason::ActorLost {
                who: format!("stream worker {number}, which has stream {stream},"),
                loss: Loss::Silent(time),
            },
        })
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
        self.pulse.beat(Stage::Running);
        ctx.run_interval(BEAT_EVERY, |actor, _| actor.pulse.beat(actor.shutdown.stage()));
        ctx.run_interval(LOOK_EVERY, Self::look);
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

impl Handler<Ending> for SupervisorActor {
    type Result = ();

    fn handle(&mut self, ending: Ending, ctx: &mut Self::Context) {
        self.end(ending.reason, ctx);
    }
}
