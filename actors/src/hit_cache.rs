//! The queue of streams: drops requests for what is safe already, keeps the rest durable, and feeds the workers.
//!
//! Contract: a stream that was named is a pending row before [`NameStreams`] is answered, and stays one until it
//! is safe in the bucket, known to be missing, or set aside. What is held in memory (what is safe, what waits,
//! what is out) is only a claim: losing it costs a repetition. At most `most_waiting` requests wait in memory and
//! at most as many jobs are out as there are workers, so the arbiter's unbounded queue is never used.
//!
//! The decisions are made in [`claims`]; this actor reads and writes rows and hands out jobs.

pub mod claims;
mod handlers;
mod messages;
mod missing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;
use tokio::time::Instant;

pub use self::claims::{ClaimRules, Claims, RowFate, Settled};
pub use self::messages::{
    AskQueueDepth, AwaitAdmission, AwaitLeftovers, AwaitNamed, DrainStreams, Drained, NameStreams,
    QueueDepth, StreamsPutBack,
};
use self::missing::MissingLog;
use crate::fault::{Fault, FaultKind};
use crate::fault_point::{self, FaultPoint};
use crate::feed::SourceName;
use crate::ports::state::{Change, LocalState, PendingStream, StateFault};
use crate::statistics::Statistics;
use crate::stream_id::StreamId;
use crate::stream_worker::{StoreStream, StreamOutcome};
use crate::supervisor::{EndReason, Ending};
use crate::timestamp::Timestamp;

/// How often streams that were missing are looked through for those to be asked for once more.
const REVIVE_EVERY: Duration = Duration::from_secs(3600);

/// How long is waited before rows are read again after a full disk.
const FULL_DISK_WAIT: Duration = Duration::from_secs(2);

/// Which sources age off, and after how long.
#[derive(Clone, Debug, Default)]
pub struct AgeOff(pub BTreeMap<SourceName, Duration>);

impl AgeOff {
    /// How long a stream that is safe needs no second look; `None` where nothing expires.
    fn fresh(&self, source: &SourceName) -> Option<Duration> {
        self.refresh_after(source).map(|refresh| refresh / 2)
    }

    /// From which age on an object is written again; `None` where nothing expires.
    fn refresh_after(&self, source: &SourceName) -> Option<Duration> {
        self.0.get(source).map(|expiry| *expiry / 2)
    }
}

/// See the module.
pub struct HitCacheActor {
    claims: Claims,
    state: Rc<dyn LocalState>,
    workers: Recipient<StoreStream>,
    supervisor: Recipient<Ending>,
    statistics: Arc<Statistics>,
    age_off: AgeOff,
    leftovers: Option<u64>,
    highest_ticket: Option<u64>,
    admissions: Vec<(u64, oneshot::Sender<()>)>,
    leftovers_tried: Vec<oneshot::Sender<()>>,
    /// Requests whose rows are being written.
    naming: usize,
    all_named: Vec<oneshot::Sender<()>>,
    draining: Option<DrainStreams>,
    drained: Vec<oneshot::Sender<Drained>>,
    stopped: bool,
    /// A timer is set for when a full disk may have room again.
    looks_again: bool,
    missing: MissingLog,
}

impl HitCacheActor {
    /// A queue over the pending rows of `state`; `leftovers` is the highest ticket there is.
    pub fn new(
        claims: Claims,
        leftovers: Option<u64>,
        state: Rc<dyn LocalState>,
        workers: Recipient<StoreStream>,
        supervisor: Recipient<Ending>,
        statistics: Arc<Statistics>,
        age_off: AgeOff,
    ) -> Self {
        Self {
            claims,
            state,
            workers,
            supervisor,
            statistics,
            age_off,
            leftovers,
            highest_ticket: leftovers,
            admissions: Vec::new(),
            leftovers_tried: Vec::new(),
            naming: 0,
            all_named: Vec::new(),
            draining: None,
            drained: Vec::new(),
            stopped: false,
            looks_again: false,
            missing: MissingLog::default(),
        }
    }

    /// Fills the queue from the rows, hands out jobs, and answers those who wait. Called after every change.
    fn advance(&mut self, ctx: &mut Context<Self>) {
        while !self.stopped {
            match self.refill() {
                Ok(()) => {}
                // Whoever writes says so; what can be read again is read then.
                Err(StateFault::Full(_)) => {
                    self.look_again(ctx);
                    break;
                }
                Err(fault) => self.end(EndReason::State(fault)),
            }
            let out = self.claims.out();
            while let Some(job) = self.claims.next_job() {
                self.hand_out(job, ctx);
            }
            // What was handed out made room for more.
            if self.claims.out() == out {
                break;
            }
        }
        self.answer_waiting();
    }

    /// Advances once more when a full disk may have room again.
    fn look_again(&mut self, ctx: &mut Context<Self>) {
        if !self.looks_again {
            self.looks_again = true;
            ctx.run_later(FULL_DISK_WAIT, |actor, ctx| {
                actor.looks_again = false;
                actor.advance(ctx);
            });
        }
    }

    fn refill(&mut self) -> Result<(), StateFault> {
        let due = self.claims.due_retries(Instant::now());
        for (index, &ticket) in due.iter().enumerate() {
            let rows = self.state.pending_from(ticket, 1).inspect_err(|_| {
                // Not read is not forgotten: its turn comes again.
                self.claims
                    .postpone(&due[index..], Instant::now() + FULL_DISK_WAIT);
            })?;
            match rows.into_iter().find(|row| row.ticket == ticket) {
                Some(row) => self.claims.retry(row),
                None => self.claims.forget(ticket),
            }
        }
        if let (Some((from, room)), Some(highest)) = (self.claims.wants_rows(), self.highest_ticket)
            && from <= highest
        {
            let rows = self.state.pending_from(from, room)?;
            let exhausted = rows.len() < room;
            self.claims.admit(rows);
            if exhausted {
                self.claims.admitted_through(highest);
            }
        }
        Ok(())
    }

    fn hand_out(&mut self, job: PendingStream, ctx: &mut Context<Self>) {
        let refresh_after = self.age_off.refresh_after(job.stream.source());
        let sent = self.workers.send(StoreStream {
            stream: job.stream.clone(),
            refresh_after,
        });
        ctx.spawn(sent.into_actor(self).map(move |outcome, actor, ctx| {
            let outcome = outcome.unwrap_or_else(|lost| {
                StreamOutcome::Failed(Fault::transient(
                    "store stream",
                    &job.stream,
                    format!("no worker: {lost}"),
                ))
            });
            actor.settle(job, outcome, ctx);
        }));
    }

    /// Counts and logs an outcome, and makes its consequence durable before the job counts as done.
    fn settle(&mut self, job: PendingStream, outcome: StreamOutcome, ctx: &mut Context<Self>) {
        let settled = self.count(&job.stream, &outcome);
        let fate = self.claims.fate(&job, settled);
        let stream = job.stream.clone();
        let now = Timestamp::now();
        let fault = match &outcome {
            StreamOutcome::Missing(fault) | StreamOutcome::Failed(fault) => fault.to_string(),
            StreamOutcome::Stored { .. } | StreamOutcome::AlreadyStored => String::new(),
        };
        let changes = match fate {
            RowFate::Stored => vec![Change::StreamStored(stream)],
            RowFate::Missing => vec![Change::StreamMissing(stream, now)],
            RowFate::Failed => vec![Change::StreamFailed(stream, fault)],
            RowFate::Delayed => vec![Change::StreamDelayed(stream, fault)],
            RowFate::SetAside => {
                log::error!(
                    key:% = stream, error:% = fault; "stream {stream} is set aside: it failed in {} starts, now with: {fault}. It is not in the \
                     bucket, stays in local state, and is not tried again by itself: azul-backup failed-streams \
                     lists what is set aside, and with --retry puts it back",
                    self.claims.failed_starts(&job, settled)
                );
                vec![
                    Change::StreamFailed(stream.clone(), fault),
                    Change::StreamSetAside(stream, now),
                ]
            }
            RowFate::Untouched => vec![],
        };
        let state = Rc::clone(&self.state);
        let recorded = async move {
            for change in changes {
                let point = point_after(&change);
                state.record(change).await?;
                point.into_iter().for_each(fault_point::pass);
            }
            Ok(())
        };
        ctx.spawn(
            recorded
                .into_actor(self)
                .map(move |recorded: Result<(), StateFault>, actor, ctx| {
                    actor.claims.settle(job.ticket, settled, Instant::now());
                    match recorded {
                        Err(fault) => actor.end(EndReason::State(fault)),
                        Ok(()) if actor.claims.too_many_failures() => actor.end(EndReason::StreamFailures),
                        Ok(()) => {}
                    }
                    actor.advance(ctx);
                }),
        );
    }

    fn count(&mut self, stream: &StreamId, outcome: &StreamOutcome) -> Settled {
        let counters = self.statistics.of(stream.source());
        match outcome {
            StreamOutcome::Stored { bytes_in, bytes_out } => {
                counters.streams_ok.add(1);
                counters.bytes_in.add(*bytes_in);
                counters.bytes_out.add(*bytes_out);
                Settled::Safe
            }
            StreamOutcome::AlreadyStored => {
                counters.streams_present.add(1);
                Settled::Safe
            }
            StreamOutcome::Missing(fault) => {
                log::debug!("{fault}");
                if let Some(text) = self.missing.add(stream, Instant::now()) {
                    log::warn!("{text}");
                }
                counters.streams_missing.add(1);
                Settled::Missing
            }
            StreamOutcome::Failed(fault) if fault.kind() == FaultKind::Cancelled => {
                log::info!(key:% = stream; "stream {stream} stays pending: {fault}");
                Settled::Cancelled
            }
            StreamOutcome::Failed(fault) => {
                log::warn!(key:% = stream, error:% = fault; "stream {stream} could not be stored and stays pending: {fault}");
                counters.streams_failed.add(1);
                match (fault.is_transient(), fault.is_outage()) {
                    (true, _) => Settled::ServerFailed,
                    (false, true) => Settled::Denied,
                    (false, false) => Settled::StreamFailed,
                }
            }
        }
    }

    fn answer_waiting(&mut self) {
        for (_, waiter) in self
            .admissions
            .extract_if(.., |(ticket, _)| self.claims.admitted(*ticket))
        {
            let _gone = waiter.send(());
        }
        if self.leftovers.is_none_or(|ticket| self.claims.tried(ticket)) {
            self.leftovers = None;
            for waiter in self.leftovers_tried.drain(..) {
                let _gone = waiter.send(());
            }
        }
        if self.naming == 0 {
            for waiter in self.all_named.drain(..) {
                let _gone = waiter.send(());
            }
        }
        let drained = match self.draining {
            Some(DrainStreams::WhatIsOut) => self.claims.out() == 0,
            Some(DrainStreams::Everything) => self.is_worked_off(0),
            Some(DrainStreams::EverythingBut(hung)) => self.is_worked_off(hung),
            None => false,
        };
        if drained {
            let (pending, out) = (self.state.counts().pending, self.claims.out());
            for waiter in self.drained.drain(..) {
                let _gone = waiter.send(Drained { pending, out });
            }
        }
    }

    /// Whether all is done that can be while `hung` streams are out for good.
    fn is_worked_off(&mut self, hung: usize) -> bool {
        let all_read = self
            .highest_ticket
            .is_none_or(|ticket| self.claims.admitted(ticket));
        self.stopped |= all_read && self.claims.waiting() == 0;
        // Who hangs takes a worker: where all do, nothing more is handed out.
        self.stopped |= hung >= self.claims.most_out();
        self.stopped && self.claims.out() <= hung
    }

    /// Asks the supervisor to end the backup; no further jobs are handed out.
    fn end(&mut self, reason: EndReason) {
        if !std::mem::replace(&mut self.stopped, true) {
            crate::post(&self.supervisor, Ending { reason });
        }
    }

    fn revive_missing(&mut self, ctx: &mut Context<Self>) {
        let now = Timestamp::now();
        let revived = missing::revive_due(Rc::clone(&self.state), now);
        ctx.spawn(revived.into_actor(self).map(|revived, actor, ctx| {
            match revived {
                Ok(0) => {}
                Ok(count) => {
                    log::info!("{count} streams that were missing a day ago are asked for once more")
                }
                Err(fault) => actor.end(EndReason::State(fault)),
            }
            match actor.state.highest_ticket() {
                Ok(highest) => actor.highest_ticket = actor.highest_ticket.max(highest),
                Err(StateFault::Full(_)) => {
                    ctx.run_later(FULL_DISK_WAIT, Self::revive_missing);
                }
                Err(fault) => actor.end(EndReason::State(fault)),
            }
            actor.advance(ctx);
        }));
    }
}

/// The instant at which what became of a stream is durable.
fn point_after(change: &Change) -> Option<FaultPoint> {
    match change {
        Change::StreamStored(_) => Some(FaultPoint::StreamStored),
        Change::StreamMissing(..) => Some(FaultPoint::StreamMissing),
        Change::StreamFailed(..) | Change::StreamDelayed(..) => Some(FaultPoint::StreamFailed),
        Change::StreamSetAside(..) => Some(FaultPoint::StreamSetAside),
        _ => None,
    }
}

impl Actor for HitCacheActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.revive_missing(ctx);
        ctx.run_interval(REVIVE_EVERY, |actor, ctx| actor.revive_missing(ctx));
        // Retries fall due without a message: look once a second, which costs one look at the first of them.
        ctx.run_interval(Duration::from_secs(1), |actor, ctx| {
            if actor.claims.next_retry().is_some_and(|at| at <= Instant::now()) {
                actor.advance(ctx);
            }
        });
    }
}
