//! A feed's bundles, one at a time, beside its pulls: sealed, written, and then their batches leave the journal.

use std::time::Duration;

use actix::prelude::*;
use tokio::time::Instant;

use super::bundling::{Due, next_run};
use super::delivery::{Delivered, deliver, seal};
use super::rescue::BatchFault;
use super::{EventBackupActor, FeedPorts, Phase};
use crate::board::feed::FeedWork;
use crate::fault::Fault;
use crate::fault_point::{self, FaultPoint};
use crate::ports::state::{BatchRow, Change, SealedBundle, StateFault};

/// The wait before a bundle that could not be written is tried again; it doubles.
const FIRST_DELIVERY_WAIT: Duration = Duration::from_secs(5);

/// The longest wait before a bundle is tried again.
const LONGEST_DELIVERY_WAIT: Duration = Duration::from_secs(60);

impl EventBackupActor {
    fn due(&self) -> Due {
        let aged = self.last_bundle.elapsed() >= self.rules.max_age;
        // A full journal is emptied by bundles alone: none may wait until it is full itself.
        let short = self.ports.room.is_short();
        let now = aged || short || self.phase == Phase::Leftovers || self.is_quiescing();
        if now { Due::Now } else { Due::WhenFull }
    }

    pub(super) fn begin_delivery(&mut self, ctx: &mut Context<Self>) {
        if self.writing || Instant::now() < self.next_delivery || self.gave_up() {
            return;
        }
        if let Some(sealed) = self.sealed.clone() {
            self.deliver(sealed, ctx);
        } else if let Some(run) = next_run(self.batches.iter(), self.rules.batch_size, self.due()) {
            self.writing = true;
            let (ports, feed) = (self.ports.clone(), self.feed().clone());
            let rows: Vec<BatchRow> = self.batches.iter().cloned().collect();
            let sealed = async move { seal(&ports, &feed, run, &rows).await };
            ctx.spawn(
                sealed
                    .into_actor(self)
                    .map(|sealed, actor, ctx| actor.delivered(sealed, ctx)),
            );
        }
    }

    /// A stop tries each bundle once: what cannot be written stays in local state.
    pub(super) fn gave_up(&self) -> bool {
        self.is_quiescing() && self.delivery_failures > 0
    }

    fn deliver(&mut self, sealed: SealedBundle, ctx: &mut Context<Self>) {
        self.writing = true;
        self.sealed = Some(sealed.clone());
        let ports = self.ports.clone();
        let rows: Vec<BatchRow> = self.batches.iter().cloned().collect();
        let delivered = async move { deliver(&ports, sealed, &rows).await };
        ctx.spawn(
            delivered
                .into_actor(self)
                .map(|delivered, actor, ctx| actor.delivered(delivered, ctx)),
        );
    }

    fn delivered(&mut self, delivered: Result<Delivered, BatchFault>, ctx: &mut Context<Self>) {
        self.writing = false;
        match delivered {
            Ok(Delivered::Written(sealed)) => self.written(&sealed, ctx),
            Ok(Delivered::Resealed(sealed)) => self.deliver(sealed, ctx),
            Ok(Delivered::Postponed(fault)) => self.postpone(&fault, ctx),
            Ok(Delivered::SetAside(lost)) => {
                self.lose(&lost);
                self.leave_leftovers();
                self.advance(ctx);
            }
            Err(fault) => {
                let reason = fault.reason(self.feed());
                self.fail(reason, ctx);
            }
        }
    }

    /// These batches are in the journal no more, and a bundle that they were sealed into cannot be made.
    pub(super) fn lose(&mut self, lost: &[u64]) {
        let is_lost = |seq: u64| lost.contains(&seq);
        for row in self.batches.iter().filter(|row| is_lost(row.file.seq)) {
            self.ports.room.give_back(row.bytes);
        }
        self.batches.retain(|row| !is_lost(row.file.seq));
        let is_broken = |sealed: &SealedBundle| sealed.members.iter().any(|member| is_lost(member.seq));
        if self.sealed.as_ref().is_some_and(is_broken) {
            self.sealed = None;
        }
    }

    fn written(&mut self, sealed: &SealedBundle, ctx: &mut Context<Self>) {
        let counters = self.ports.counters(self.feed());
        counters.bundles.add(1);
        self.signs.bundle_written();
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
        self.signs.failed(FeedWork::Bundle, fault);
        log::error!(
            feed:% = self.feed(), error:% = fault; "feed {}: {fault}; its events are safe in local state, and the bundle is tried again {}",
            self.feed(),
            if self.is_quiescing() {
                "at the next start".to_owned()
            } else {
                format!("in {wait:.0?}")
            }
        );
        ctx.run_later(wait, |actor, ctx| actor.advance(ctx));
        self.advance(ctx);
    }

    /// Removes what nothing is needed of any more: first the file, then the row.
    pub(super) fn remove_done(&mut self, ctx: &mut Context<Self>) {
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
        ctx.spawn(
            removed
                .into_actor(self)
                .map(|removed: Result<(), StateFault>, actor, ctx| {
                    actor.removing -= 1;
                    match removed {
                        Ok(()) => {
                            actor.leave_leftovers();
                            actor.advance(ctx);
                        }
                        Err(fault) => actor.fail(fault, ctx),
                    }
                }),
        );
    }
}

/// Unlinks the file of a batch and then deletes its row.
pub(super) async fn remove(ports: &FeedPorts, row: &BatchRow) -> Result<(), StateFault> {
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
            log::error!(error:% = fault; "{fault}; it is tried again at the next start");
            Ok(())
        }
    }
}
