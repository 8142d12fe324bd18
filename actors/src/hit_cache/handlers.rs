//! What the queue is asked for.

use std::rc::Rc;

use actix::prelude::*;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{
    AskQueueDepth, AwaitAdmission, AwaitLeftovers, AwaitNamed, DrainStreams, Drained, HitCacheActor,
    NameStreams, QueueDepth, StreamsPutBack,
};
use crate::ports::state::{NamedStreams, StateFault};
use crate::timestamp::Timestamp;

impl Handler<NameStreams> for HitCacheActor {
    type Result = ResponseActFuture<Self, Result<Option<u64>, StateFault>>;

    fn handle(&mut self, named: NameStreams, _: &mut Self::Context) -> Self::Result {
        let now = Instant::now();
        let (mut new, mut sources) = (Vec::new(), Vec::new());
        for stream in named.streams {
            if self
                .claims
                .is_known(&stream, now, self.age_off.fresh(stream.source()))
            {
                self.statistics.of(stream.source()).duplicates.add(1);
            } else {
                sources.push(stream.source().clone());
                new.push(stream);
            }
        }
        self.naming += 1;
        let state = Rc::clone(&self.state);
        let rows = async move {
            if new.is_empty() {
                Ok(NamedStreams::default())
            } else {
                state.name_streams(new, Timestamp::now()).await
            }
        };
        Box::pin(rows.into_actor(self).map(move |named, actor, ctx| {
            actor.naming -= 1;
            let named = named.inspect_err(|_| actor.answer_waiting())?;
            if let Some(source) = sources.first() {
                actor
                    .statistics
                    .of(source)
                    .duplicates
                    .add(u64::from(named.dropped));
            }
            actor.highest_ticket = actor.highest_ticket.max(named.last_ticket);
            actor.advance(ctx);
            Ok(named.last_ticket)
        }))
    }
}

impl Handler<StreamsPutBack> for HitCacheActor {
    type Result = ();

    fn handle(&mut self, put_back: StreamsPutBack, ctx: &mut Self::Context) {
        self.highest_ticket = self.highest_ticket.max(Some(put_back.last_ticket));
        self.advance(ctx);
    }
}

impl Handler<AwaitAdmission> for HitCacheActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, wait: AwaitAdmission, ctx: &mut Self::Context) -> Self::Result {
        let (admitted, waiting) = oneshot::channel();
        self.admissions.push((wait.ticket, admitted));
        self.advance(ctx);
        Box::pin(async move { waiting.await.unwrap_or_default() })
    }
}

impl Handler<AwaitLeftovers> for HitCacheActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: AwaitLeftovers, ctx: &mut Self::Context) -> Self::Result {
        let (tried, waiting) = oneshot::channel();
        self.leftovers_tried.push(tried);
        self.advance(ctx);
        Box::pin(async move { waiting.await.unwrap_or_default() })
    }
}

impl Handler<AwaitNamed> for HitCacheActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: AwaitNamed, _: &mut Self::Context) -> Self::Result {
        let (named, waiting) = oneshot::channel();
        self.all_named.push(named);
        self.answer_waiting();
        Box::pin(async move { waiting.await.unwrap_or_default() })
    }
}

impl Handler<DrainStreams> for HitCacheActor {
    type Result = ResponseFuture<Drained>;

    fn handle(&mut self, drain: DrainStreams, ctx: &mut Self::Context) -> Self::Result {
        let (drained, waiting) = oneshot::channel();
        if drain == DrainStreams::WhatIsOut {
            self.stopped = true;
            self.claims.abandon_waiting();
        }
        // Nobody waits for room any more: the rows are durable.
        self.admissions.clear();
        self.leftovers_tried.clear();
        self.draining = Some(drain);
        self.drained.push(drained);
        self.advance(ctx);
        Box::pin(async move { waiting.await.unwrap_or_default() })
    }
}

impl Handler<AskQueueDepth> for HitCacheActor {
    type Result = QueueDepth;

    fn handle(&mut self, _: AskQueueDepth, _: &mut Self::Context) -> Self::Result {
        QueueDepth {
            waiting: self.claims.waiting(),
            out: self.claims.out(),
        }
    }
}
