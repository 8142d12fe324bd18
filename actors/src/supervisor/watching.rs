//! Whether everybody is still there: asked, or looked at.

use std::time::Duration;

use actix::prelude::*;
use tokio::time::Instant;

use super::{EndReason, Loss, Member, Stage, SupervisorActor};
use crate::event_backup::AskFeedStanding;
use crate::hit_cache::{AskQueueDepth, DrainStreams};
use crate::restore::conductor::AskRestoreProgress;
use crate::stream_worker::progress::LostWorker;

impl SupervisorActor {
    /// Looks whether everybody is there, and asks for signs of life.
    pub(super) fn look(&mut self, ctx: &mut Context<Self>) {
        if self.watched.is_none() {
            return;
        }
        let now = Instant::now();
        if self.heartbeats.nobody_owes() {
            self.pulse.all_answered();
        }
        // In whatever stage: who is not looked at for a while begins anew.
        let worker = self.crew.look(now);
        match self.shutdown.stage() {
            Stage::Running => {
                if let Some(reason) = self.gone().or_else(|| worker.map(EndReason::from)) {
                    return self.end(reason, ctx);
                }
                if let Some((who, time)) = self.ask_everybody(now, ctx) {
                    let loss = Loss::Silent(time);
                    self.end(EndReason::ActorLost { who, loss }, ctx);
                }
            }
            Stage::Events => drop(self.ask_everybody(now, ctx)),
            Stage::Streams if self.shutdown.works_off_the_queue() => self.leave_out_who_hangs(now, ctx),
            Stage::HitCache | Stage::Streams | Stage::State | Stage::Ended => {}
        }
    }

    /// Whoever hangs ends its stream no more: only for the others is waited.
    fn leave_out_who_hangs(&mut self, now: Instant, ctx: &mut Context<Self>) {
        let hung = self.crew.hung(now);
        if std::mem::replace(&mut self.left_out, hung) != hung {
            self.drain(DrainStreams::EverythingBut(hung), ctx);
        }
    }

    /// Who has owed an answer for too long.
    fn ask_everybody(&mut self, now: Instant, ctx: &mut Context<Self>) -> Option<(Member, Duration)> {
        let feeds = self.feeds().into_iter().map(|(feed, _)| Member::Feed(feed));
        let hit_cache = self.hit_cache().map(|_| Member::HitCache);
        let restore = self.restore().map(|_| Member::Restore);
        let everybody: Vec<_> = feeds.chain(hit_cache).chain(restore).collect();
        let look = self.heartbeats.look(everybody, now);
        for who in look.ask {
            self.ask(who, ctx);
        }
        look.silent
    }

    fn ask(&self, who: Member, ctx: &mut Context<Self>) {
        match &who {
            Member::HitCache => {
                let Some(hit_cache) = self.hit_cache() else { return };
                let depth = hit_cache.send(AskQueueDepth).into_actor(self);
                ctx.spawn(depth.map(move |_depth, actor, _| actor.heartbeats.answered(&who)));
            }
            Member::Restore => {
                let Some(restore) = self.restore() else { return };
                let progress = restore.send(AskRestoreProgress).into_actor(self);
                ctx.spawn(progress.map(move |_progress, actor, _| actor.heartbeats.answered(&who)));
            }
            Member::Feed(feed) => {
                let feeds = self.feeds();
                let Some((_, addr)) = feeds.iter().find(|(other, _)| other == feed) else {
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
            // Watched otherwise.
            Member::StreamWorker { .. } | Member::Task | Member::Supervisor => {}
        }
    }

    /// Somebody who is known to be lost without being asked.
    fn gone(&self) -> Option<EndReason> {
        if let Some((feed, _)) = self.feeds().into_iter().find(|(_, addr)| !addr.connected()) {
            return Some(EndReason::gone(Member::Feed(feed)));
        }
        if self.hit_cache().is_some_and(|hit_cache| !hit_cache.connected()) {
            return Some(EndReason::gone(Member::HitCache));
        }
        if self.restore().is_some_and(|restore| !restore.connected()) {
            return Some(EndReason::gone(Member::Restore));
        }
        (self.panicked)().map(|text| EndReason::ActorLost {
            who: Member::Task,
            loss: Loss::Panicked(text),
        })
    }
}

impl From<LostWorker> for EndReason {
    fn from(lost: LostWorker) -> Self {
        let worker = |number, stream| Member::StreamWorker { number, stream };
        let (who, loss) = match lost {
            LostWorker::Gone { number } => (worker(number, None), Loss::Gone),
            LostWorker::NotBegun { number } => (worker(number, None), Loss::NotBegun),
            LostWorker::Silent { number, stream, time } => (worker(number, Some(stream)), Loss::Silent(time)),
        };
        Self::ActorLost { who, loss }
    }
}
