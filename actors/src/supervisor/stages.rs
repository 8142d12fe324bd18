//! What each stage of a stop does, and what is told of it.

use std::time::Duration;

use actix::prelude::*;
use futures_util::future::join_all;

use super::record::{Outcome, StageRecord, streams};
use super::shutdown::{Input, Why};
use super::{EndReason, Member, Stage, SupervisorActor};
use crate::event_backup::{AskFeedStanding, Quiesce, Quiesced};
use crate::fault_point::{self, FaultPoint};
use crate::feed::Feed;
use crate::hit_cache::{AwaitNamed, DrainStreams, Drained};
use crate::restore::conductor::{QuiesceRestore, RestoreActor};

/// Workers are told to give up this long before the stage of streams is over, so that they can abort their
/// uploads in it.
const TIME_TO_ABORT: Duration = Duration::from_secs(3);

/// How long feeds have to say what they are doing when a stop begins.
const TIME_TO_TELL: Duration = Duration::from_secs(1);

impl SupervisorActor {
    pub(super) fn begin(&mut self, stage: Stage, budget: Duration, ctx: &mut Context<Self>) {
        let feeds = self.feeds().into_iter().map(|(feed, _)| feed).collect();
        self.record = StageRecord::begin(self.statistics.total(), feeds);
        self.pulse.beat(stage);
        log::log!(
            self.told(),
            "shutdown: stage {stage} begins, for at most {budget:.0?}: {}",
            self.awaited(stage)
        );
        point_of(stage).into_iter().for_each(fault_point::pass);
        ctx.run_later(budget, move |actor, ctx| actor.take(Input::TimeUp(stage), ctx));
        match stage {
            Stage::Events => match self.restore().cloned() {
                Some(restore) => self.end_restore(&restore, budget, ctx),
                None => self.end_events(ctx),
            },
            Stage::HitCache => self.end_hit_cache(ctx),
            Stage::Streams => self.end_streams(budget, ctx),
            Stage::State => self.end_state(ctx),
            Stage::Running | Stage::Ended => {}
        }
    }

    /// How loudly the stages are told: where all is done they are of interest to nobody.
    fn told(&self) -> log::Level {
        match self.shutdown.is_after_all_is_done() {
            true => log::Level::Debug,
            false => log::Level::Info,
        }
    }

    fn awaited(&self, stage: Stage) -> String {
        match stage {
            Stage::Events if self.restore().is_some() => {
                let out = self.crew.crew().out();
                format!(
                    "nothing more is begun; waiting for the bundles and the {} streams under way",
                    out.len()
                )
            }
            Stage::HitCache | Stage::Streams if self.restore().is_some() => "a restore has none".to_owned(),
            Stage::Events => format!(
                "no more pulls are sent; waiting for the pulls in flight and the bundles of {} feeds",
                self.record.awaited.len()
            ),
            Stage::HitCache => "waiting for requested streams to be durable".to_owned(),
            Stage::Streams if self.shutdown.works_off_the_queue() => {
                format!("working off all {} pending streams", self.pending())
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
            ctx.spawn(quiesced.map(move |quiesced, actor, ctx| {
                // One that panics while it ends answers too, with nothing.
                let holds = quiesced.ok().filter(|_| addr.connected());
                actor.feed_ended(feed, holds, ctx);
            }));
        }
        if self.record.awaited.is_empty() {
            self.done(Stage::Events, ctx);
        }
    }

    /// A restore ends what it has under way; its workers are told to give up in time.
    fn end_restore(&mut self, restore: &Addr<RestoreActor>, budget: Duration, ctx: &mut Context<Self>) {
        self.stop_events.raise();
        self.abandon_streams_before(budget, ctx);
        let quiesced = restore.send(QuiesceRestore).into_actor(self);
        ctx.spawn(quiesced.map(|_gone_or_over, actor, ctx| actor.done(Stage::Events, ctx)));
    }

    fn pending(&self) -> u64 {
        self.state.as_ref().map_or(0, |state| state.counts().pending)
    }

    /// What a stage saved.
    fn saved(&self, stage: Stage) -> String {
        match self.restore() {
            Some(_) => {
                "what is restored is noted in local state, and the next start goes on from there".to_owned()
            }
            None => self.record.saved(stage, &self.outcome()),
        }
    }

    /// `holds` is `None` if the feed is lost.
    fn feed_ended(&mut self, feed: Feed, holds: Option<Quiesced>, ctx: &mut Context<Self>) {
        match holds {
            None => self.end(EndReason::gone(Member::Feed(feed.clone())), ctx),
            Some(Quiesced { events: 0, .. }) => {}
            Some(holds) => log::info!(
                feed:% = feed; "feed {feed}: {} events in {} batches stay in local state; the next start writes them",
                holds.events,
                holds.batches
            ),
        }
        if self.shutdown.stage() == Stage::Events {
            self.record.ended(feed, holds);
            if self.record.awaited.is_empty() {
                self.done(Stage::Events, ctx);
            }
        }
    }

    fn end_hit_cache(&mut self, ctx: &mut Context<Self>) {
        let Some(hit_cache) = self.hit_cache().cloned() else {
            return self.done(Stage::HitCache, ctx);
        };
        let named = hit_cache.send(AwaitNamed).into_actor(self);
        ctx.spawn(named.map(
            move |named, actor, ctx| match named.is_ok() && hit_cache.connected() {
                true => actor.done(Stage::HitCache, ctx),
                false => actor.hit_cache_is_lost(Stage::HitCache, ctx),
            },
        ));
    }

    fn hit_cache_is_lost(&mut self, stage: Stage, ctx: &mut Context<Self>) {
        self.end(EndReason::gone(Member::HitCache), ctx);
        self.take(Input::Stuck(stage), ctx);
    }

    fn end_streams(&mut self, budget: Duration, ctx: &mut Context<Self>) {
        self.abandon_streams_before(budget, ctx);
        let drain = match self.shutdown.works_off_the_queue() {
            true => DrainStreams::Everything,
            false => DrainStreams::WhatIsOut,
        };
        self.drain(drain, ctx);
    }

    pub(super) fn drain(&mut self, drain: DrainStreams, ctx: &mut Context<Self>) {
        let Some(hit_cache) = self.hit_cache().cloned() else {
            return self.done(Stage::Streams, ctx);
        };
        let drained = hit_cache.send(drain).into_actor(self);
        ctx.spawn(
            drained.map(move |drained: Result<Drained, _>, actor, ctx| match drained {
                Ok(Drained { out: 0, .. }) if hit_cache.connected() => actor.done(Stage::Streams, ctx),
                Ok(_) if hit_cache.connected() => actor.take(Input::Stuck(Stage::Streams), ctx),
                _ => actor.hit_cache_is_lost(Stage::Streams, ctx),
            }),
        );
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
                log::error!(error:% = fault; "local state could not be closed: {fault}");
                actor.take(Input::CloseFailed(fault), ctx);
            }
            actor.done(Stage::State, ctx);
        }));
    }

    fn done(&mut self, stage: Stage, ctx: &mut Context<Self>) {
        if self.shutdown.stage() == stage {
            log::log!(
                self.told(),
                "shutdown: stage {stage} ended after {:.1?}: {}",
                self.record.begun.elapsed(),
                self.saved(stage)
            );
        }
        self.take(Input::Done(stage), ctx);
    }

    pub(super) fn hurry(&mut self, stage: Stage, budget: Duration, ctx: &mut Context<Self>) {
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

    pub(super) fn abandon(&mut self, stage: Stage, why: Why) {
        self.given_up = true;
        let outcome = self.outcome();
        log::warn!(
            "shutdown: stage {stage} {}; not ended: {}; {}; whatever is unfinished stays in local state",
            abandoned(why, self.record.begun.elapsed()),
            self.record.not_ended(stage, &outcome),
            self.saved(stage)
        );
    }

    fn outcome(&self) -> Outcome {
        Outcome {
            figures: self.statistics.total(),
            pending: self.pending(),
            marks: self
                .state
                .as_ref()
                .and_then(|state| state.marks().ok())
                .map(|marks| marks.len()),
            out: self.crew.crew().out(),
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

/// How it came that a stage which lasted for `time` is given up.
fn abandoned(why: Why, time: Duration) -> String {
    match why {
        Why::TimeUp => format!("did not end within {time:.1?}"),
        Why::Signal => format!("is left after {time:.1?}, because of a second signal"),
        Why::Lost => format!("is left after {time:.1?}: only who is lost could end it"),
    }
}
