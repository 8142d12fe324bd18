//! A feed's turn at the dispatcher: pull, name, wait for admission, rest; then again.

use std::time::Duration;

use actix::prelude::*;
use tokio::time::Instant;

use super::naming::{Named, name_streams};
use super::pull::{Pulled, pull};
use super::quiesce::PullStanding;
use super::rescue::BatchFault;
use super::room::reserve;
use super::{EventBackupActor, LEAST_EXPECTED, Phase};
use crate::board::feed::Answered;
use crate::hit_cache::{AwaitAdmission, AwaitLeftovers, NameStreams};
use crate::ports::dispatcher::Pull;
use crate::ports::state::BatchRow;
use crate::supervisor::{EndReason, Member};

/// The most batches of one feed that are held in the journal; beyond it the feed waits.
pub(super) const MOST_BATCHES: usize = 4000;

/// The dispatcher caps the batch at this.
const MOST_EVENTS_PER_PULL: u64 = 1000;

impl EventBackupActor {
    pub(super) fn begin_pull(&mut self, ctx: &mut Context<Self>) {
        let Some(consumer) = self.rules.consumer.clone() else {
            return;
        };
        if self.pulling || self.phase != Phase::Running || self.ports.stop.is_raised() {
            return;
        }
        if self.batches.len() >= MOST_BATCHES {
            self.crowded.get_or_insert_with(|| self.signs.held_up());
            return;
        }
        self.crowded = None;
        self.pulling = true;
        let request = Pull {
            feed: self.feed().clone(),
            consumer,
            deployment_key: Some(self.rules.deployment_key.clone()),
            count: u32::try_from(self.asked()).unwrap_or(1),
            deadline: self.pace.deadline(),
        };
        let (ports, was_ready, expected) = (self.ports.clone(), self.ready, self.expected);
        let (standing, signs) = (self.pull.clone(), self.signs.clone());
        standing.set(PullStanding::NotSent {
            since: Instant::now(),
        });
        let pulled = async move {
            let held_up = signs.held_up();
            let room = tokio::select! {
                biased;
                () = ports.stop.raised() => None,
                room = reserve(&ports, &request.feed, expected) => Some(room),
            };
            drop(held_up);
            let pulled = match room {
                Some(room) => Some(pull(&ports, &request, was_ready, room, &standing).await),
                None => None,
            };
            standing.set(PullStanding::None);
            pulled
        };
        ctx.spawn(pulled.into_actor(self).map(|pulled, actor, ctx| match pulled {
            None => actor.rest(Duration::ZERO, ctx),
            Some(Ok(pulled)) => actor.pulled(pulled, ctx),
            Some(Err(fault)) => {
                actor.pulling = false;
                let reason = fault.reason(actor.feed());
                actor.fail(reason, ctx);
            }
        }));
    }

    /// How many events a pull asks for.
    fn asked(&self) -> u64 {
        self.rules.batch_size.clamp(1, MOST_EVENTS_PER_PULL)
    }

    fn answered(&self, events: u64, ready: bool) {
        let asked = self.asked();
        self.signs.answered(Answered { events, asked, ready });
    }

    fn pulled(&mut self, pulled: Pulled, ctx: &mut Context<Self>) {
        match pulled {
            Pulled::NotSent => self.rest(Duration::ZERO, ctx),
            Pulled::Batch { row, ready } => {
                self.answered(row.contents.events, ready);
                self.ready = ready;
                self.pace.brought_events();
                self.expected = row.bytes.max(LEAST_EXPECTED);
                self.batches.push_back(row.clone());
                self.name(vec![row], ctx);
                self.advance(ctx);
            }
            Pulled::Empty { ready, took } => {
                self.answered(0, ready);
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
                log::warn!(feed:% = self.feed(), error:% = fault; "feed {}: {fault}; next pull in {wait:.0?}", self.feed());
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
    pub(super) fn name(&mut self, batches: Vec<BatchRow>, ctx: &mut Context<Self>) {
        self.pulling = true;
        self.naming = true;
        let (ports, requests) = (
            self.ports.clone(),
            self.hit_cache.clone().recipient::<NameStreams>(),
        );
        let named = async move {
            let (mut ticket, mut named, mut lost) = (None, Vec::new(), Vec::new());
            for batch in &batches {
                match name_streams(&ports, batch, &requests).await? {
                    Named::Ticket(last) => {
                        ticket = ticket.max(last);
                        named.push(batch.file.seq);
                    }
                    Named::SetAside => lost.push(batch.file.seq),
                }
            }
            Ok((named, lost, ticket))
        };
        ctx.spawn(named.into_actor(self).map(
            |named: Result<(Vec<u64>, Vec<u64>, _), BatchFault>, actor, ctx| match named {
                Ok((batches, lost, ticket)) => {
                    actor.lose(&lost);
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
                Err(fault) => {
                    actor.end_turn();
                    let reason = fault.reason(actor.feed());
                    actor.fail(reason, ctx);
                }
            },
        ));
    }

    /// The next pull waits for the streams of the last one; so do the first pulls for all that was left over.
    fn await_admission(&mut self, ticket: Option<u64>, ctx: &mut Context<Self>) {
        let (hit_cache, stop) = (self.hit_cache.clone(), self.ports.stop.clone());
        let leftovers = self.phase == Phase::Leftovers;
        let signs = self.signs.clone();
        let admitted = async move {
            let _held_up = signs.held_up();
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
            actor.end_turn();
            if admitted.is_err() {
                actor.fail(EndReason::gone(Member::HitCache), ctx);
                return;
            }
            actor.leave_leftovers();
            actor.advance(ctx);
        }));
    }

    fn end_turn(&mut self) {
        self.pulling = false;
        self.naming = false;
    }

    /// Running begins when all that was left over is in the bucket.
    pub(super) fn leave_leftovers(&mut self) {
        let finished = self.sealed.is_none() && self.batches.is_empty();
        if self.phase == Phase::Leftovers && !self.pulling && finished {
            self.phase = Phase::Running;
        }
    }
}
