//! Starts nothing, watches everything, and ends it in stages (see [`shutdown`]).
//!
//! Reasons for the end are typed ([`EndReason`]); whoever cannot go on sends [`Ending`]. Each stage is begun by
//! one message to those concerned and ends with their replies, or with its deadline. What is not done by then
//! stays in local state: every fact that matters is durable there already.
//!
//! # Who is lost
//! While the backup runs, each of these ends it in good order:
//! * an actor whose mailbox is closed (it panicked), or that owes a sign of life for 30 s;
//! * a stream worker whose thread has ended, or that has a stream and gets nothing at all done ([`progress`]): the
//!   others work the queue off, and it is not waited for;
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
mod stages;
mod watching;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use self::heartbeats::Heartbeats;
pub use self::messages::{AskStage, CloseState, Ended, Ending, Levers, Watch};
pub use self::pulse::Pulse;
pub use self::reason::{EndReason, Loss, Member};
use self::record::StageRecord;
use self::shutdown::{Effect, Input, Shutdown};
pub use self::shutdown::{Stage, StageBudgets};
use crate::event_backup::EventBackupActor;
use crate::feed::Feed;
use crate::hit_cache::HitCacheActor;
use crate::ports::LocalState;
use crate::restore::conductor::RestoreActor;
use crate::statistics::Statistics;
use crate::stop::StopFlag;
#[allow(unused_imports, reason = "the documentation speaks of it")]
use crate::stream_worker::progress;
use crate::stream_worker::progress::CrewWatch;

/// How often it is looked whether everybody is still there.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long a sign of life may be owed.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often the pulse beats.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// See the module.
pub struct SupervisorActor {
    shutdown: Shutdown,
    budgets: StageBudgets,
    stop_events: StopFlag,
    stop_streams: StopFlag,
    close_state: Option<CloseState>,
    ended: Option<oneshot::Sender<Ended>>,
    statistics: Arc<Statistics>,
    state: Option<Rc<dyn LocalState>>,
    crew: CrewWatch,
    pulse: Pulse,
    panicked: Box<dyn Fn() -> Option<String>>,
    watched: Option<Watch>,
    heartbeats: Heartbeats<Member>,
    record: StageRecord,
    given_up: bool,
    /// How many workers hang and are not waited for.
    left_out: usize,
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
            crew: CrewWatch::new(levers.crew, LOOK_EVERY),
            pulse: levers.pulse,
            panicked: levers.panicked,
            watched: None,
            heartbeats: Heartbeats::new(PATIENCE, LOOK_EVERY),
            given_up: false,
            left_out: 0,
        }
    }

    fn take(&mut self, input: Input, ctx: &mut Context<Self>) {
        let (shutdown, effects) = std::mem::take(&mut self.shutdown).step(input, &self.budgets);
        self.shutdown = shutdown;
        for effect in effects {
            match effect {
                Effect::Begin(stage, budget) => self.begin(stage, budget, ctx),
                Effect::Hurry(stage, budget) => self.hurry(stage, budget, ctx),
                Effect::Abandon(stage, why) => self.abandon(stage, why),
                Effect::Finish(reason) => self.finish(reason),
            }
        }
    }

    fn feeds(&self) -> Vec<(Feed, Addr<EventBackupActor>)> {
        match &self.watched {
            Some(Watch::Backup { feeds, .. }) => feeds.clone(),
            Some(Watch::Restore(_)) | None => Vec::new(),
        }
    }

    fn hit_cache(&self) -> Option<&Addr<HitCacheActor>> {
        match &self.watched {
            Some(Watch::Backup { hit_cache, .. }) => Some(hit_cache),
            Some(Watch::Restore(_)) | None => None,
        }
    }

    fn restore(&self) -> Option<&Addr<RestoreActor>> {
        match &self.watched {
            Some(Watch::Restore(restore)) => Some(restore),
            Some(Watch::Backup { .. }) | None => None,
        }
    }

    fn finish(&mut self, reason: EndReason) {
        // A restore that was told to stop has not done what it was started for.
        self.pulse
            .end(reason == EndReason::Signal && self.restore().is_none());
        if let Some(ended) = self.ended.take() {
            let given_up = self.given_up;
            let _nobody_waits = ended.send(Ended { reason, given_up });
        }
    }

    fn end(&mut self, reason: EndReason, ctx: &mut Context<Self>) {
        match (&reason, self.shutdown.stage()) {
            (EndReason::Signal | EndReason::RestoreFinished, Stage::Running) => {
                log::info!("ending: {reason}")
            }
            (_, Stage::Running) => log::error!(error:% = reason; "ending: {reason}"),
            (EndReason::Signal, stage) if stage < Stage::State && self.shutdown.is_hurried() => {
                log::warn!("a second signal: ending now");
            }
            (EndReason::Signal | EndReason::RestoreFinished, _)
            | (EndReason::State(_), Stage::State | Stage::Ended) => {}
            (EndReason::RestoreHalted(_), _) if self.shutdown.is_hurried() => {}
            _ => log::error!(error:% = reason; "during the shutdown: {reason}"),
        }
        self.take(Input::End(reason), ctx);
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
