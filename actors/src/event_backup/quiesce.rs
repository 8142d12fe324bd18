//! How a feed ends, and what it does at the moment: who asks learns by the answer that it is alive.

use std::fmt;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{EventBackupActor, Phase};
use crate::board::feed::Waiting;

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

/// Who waits for the end of a feed.
pub(super) type Ends = Vec<oneshot::Sender<Quiesced>>;

/// Asks a feed what it does. Answered at once by every feed that is alive.
#[derive(Debug, Message)]
#[rtype(result = "FeedStanding")]
pub struct AskFeedStanding;

/// A pull that has been sent and not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenPull {
    /// When it was sent.
    pub since: Instant,
    /// Until when the dispatcher is to answer it.
    pub deadline: Duration,
}

/// How far the next pull of a feed has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullStanding {
    /// None is wanted at the moment.
    #[default]
    None,
    /// It is wanted, and nothing has been sent: it waits for room, in the journal or on the disk, or for its mark.
    NotSent {
        /// Since when.
        since: Instant,
    },
    /// It has been sent, and its answer is not journaled.
    InFlight(OpenPull),
}

impl fmt::Display for PullStanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no pull"),
            Self::NotSent { since } => {
                write!(
                    f,
                    "a pull that is not sent, and has waited for room for {:.0?}",
                    since.elapsed()
                )
            }
            Self::InFlight(pull) => {
                let open = pull.since.elapsed();
                let due = pull.deadline.saturating_sub(open);
                write!(f, "a pull in flight for {open:.0?}, due within {due:.0?}")
            }
        }
    }
}

/// What a feed does at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, MessageResponse)]
pub struct FeedStanding {
    /// How far its next pull has come.
    pub pull: PullStanding,
    /// Whether an answer is being taken apart, or its streams wait for admission.
    pub naming: bool,
    /// Whether a bundle is being written.
    pub writing: bool,
    /// What it holds in local state.
    pub holds: Quiesced,
}

impl FeedStanding {
    /// Whether a stop has to wait for it.
    pub fn is_busy(&self) -> bool {
        self.pull != PullStanding::None || self.naming || self.writing
    }
}

impl fmt::Display for FeedStanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut doing = Vec::new();
        if self.pull != PullStanding::None {
            doing.push(self.pull.to_string());
        }
        if self.naming {
            doing.push("names streams".to_owned());
        }
        if self.writing {
            doing.push("writes a bundle".to_owned());
        }
        if self.holds.events > 0 {
            let Quiesced { batches, events } = self.holds;
            doing.push(format!("holds {events} events in {batches} batches"));
        }
        match doing.is_empty() {
            true => f.write_str("nothing under way"),
            false => f.write_str(&doing.join(", ")),
        }
    }
}

impl EventBackupActor {
    pub(super) fn is_quiescing(&self) -> bool {
        self.stopping
    }

    pub(super) fn answer_quiesce(&mut self) {
        let nothing_left =
            self.sealed.is_none() && self.batches.iter().all(|row| row.taken >= row.contents.events);
        let over = nothing_left || self.gave_up() || self.phase == Phase::Failed;
        if !self.pulling && !self.writing && self.removing == 0 && over {
            let holds = self.holds();
            for waiter in self.ends.drain(..) {
                let _nobody_waits = waiter.send(holds);
            }
        }
    }

    fn holds(&self) -> Quiesced {
        Quiesced {
            batches: self.batches.len(),
            events: self.waiting().events,
        }
    }

    /// What the bucket does not have yet.
    pub(super) fn waiting(&self) -> Waiting {
        let mut waiting = Waiting::default();
        for row in &self.batches {
            let left = row.contents.events.saturating_sub(row.taken);
            if left > 0 {
                waiting.events += left;
                waiting.bytes += row.bytes;
                let received = Some(row.file.received);
                waiting.oldest = waiting
                    .oldest
                    .map_or(received, |oldest| received.min(Some(oldest)));
            }
        }
        waiting
    }
}

impl Handler<Quiesce> for EventBackupActor {
    type Result = ResponseFuture<Quiesced>;

    fn handle(&mut self, _: Quiesce, ctx: &mut Self::Context) -> Self::Result {
        let (quiesced, waiting) = oneshot::channel();
        self.stopping = true;
        self.ends.push(quiesced);
        self.ports.room.stopping();
        // Whatever waits for its turn gets one more try now.
        self.next_delivery = Instant::now();
        self.delivery_failures = 0;
        self.advance(ctx);
        Box::pin(async move { waiting.await.unwrap_or_default() })
    }
}

impl Handler<AskFeedStanding> for EventBackupActor {
    type Result = FeedStanding;

    fn handle(&mut self, _: AskFeedStanding, _: &mut Self::Context) -> Self::Result {
        FeedStanding {
            pull: self.pull.get(),
            naming: self.naming,
            writing: self.writing,
            holds: self.holds(),
        }
    }
}
