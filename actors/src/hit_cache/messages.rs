//! What the queue of streams is told and asked.

use actix::prelude::*;

use crate::ports::state::StateFault;
use crate::stream_id::StreamId;

/// Asks for streams that events named. The answer comes when each is a pending row, or has been dropped.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<u64>, StateFault>")]
pub struct NameStreams {
    /// In the order in which they were named; some hundred at most.
    pub streams: Vec<StreamId>,
}

/// An operator has put streams back among the pending ones: they are to be tried now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct StreamsPutBack {
    /// The highest ticket among them.
    pub last_ticket: u64,
}

/// Waits until all streams up to this ticket have been admitted into memory.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AwaitAdmission {
    /// See [`NameStreams`].
    pub ticket: u64,
}

/// Waits until every stream that an earlier start left behind has been tried once.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AwaitLeftovers;

/// Waits until everything that was asked for so far is a pending row.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AwaitNamed;

/// Asks the queue to end; answered when no job is out any more that may come back. May be sent again, with less to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "Drained")]
pub enum DrainStreams {
    /// Work off all that is pending.
    Everything,
    /// The same, but as many streams as this are out for good: who has them hangs.
    EverythingBut(usize),
    /// Let only those end that are out; the rest stays in local state.
    WhatIsOut,
}

/// What the queue left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, MessageResponse)]
pub struct Drained {
    /// Streams that stay pending in local state.
    pub pending: u64,
    /// Streams that are still out, because who has them hangs.
    pub out: usize,
}

/// What the queue holds at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, MessageResponse)]
pub struct QueueDepth {
    /// Requests waiting in memory.
    pub waiting: usize,
    /// Jobs that are out.
    pub out: usize,
}

/// Asks for [`QueueDepth`].
#[derive(Debug, Message)]
#[rtype(result = "QueueDepth")]
pub struct AskQueueDepth;
