//! Why the program ends.

use std::fmt;
use std::time::Duration;

use crate::feed::Feed;
use crate::ports::state::StateFault;
use crate::stream_id::StreamId;

/// Why the program ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// SIGTERM or SIGINT.
    Signal,
    /// As many streams failed in a row, with no success in between, as the settings allow.
    StreamFailures,
    /// A feed cannot go on, though local state works.
    Feed {
        /// Which one.
        feed: Feed,
        /// What it met.
        why: String,
    },
    /// A restore has gone through everything.
    RestoreFinished,
    /// A restore cannot go on.
    RestoreHalted(
        /// What it met.
        String,
    ),
    /// Local state does not work.
    State(StateFault),
    /// Somebody does not do its work any more.
    ActorLost {
        /// Who.
        who: Member,
        /// How it shows.
        loss: Loss,
    },
}

/// Somebody who is watched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Member {
    /// The queue of streams.
    HitCache,
    /// The actor of a feed.
    Feed(Feed),
    /// A stream worker.
    StreamWorker {
        /// Counted from 1.
        number: usize,
        /// What it has.
        stream: Option<StreamId>,
    },
    /// Who conducts a restore.
    Restore,
    /// A task of the actors' thread that nobody waits for.
    Task,
    /// Who watches the others.
    Supervisor,
}

/// How it shows that somebody is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Its mailbox is closed, or its thread has ended.
    Gone,
    /// It has not begun, long after it should have.
    NotBegun,
    /// It panicked, with this text.
    Panicked(String),
    /// It has given no sign of life for so long.
    Silent(Duration),
}

impl EndReason {
    /// Somebody is not there any more.
    pub fn gone(who: Member) -> Self {
        let loss = Loss::Gone;
        Self::ActorLost { who, loss }
    }

    /// Whether all pending streams are stored before the end. Not after a signal, for Kubernetes grants 30
    /// seconds; and not when storing is what does not work: after too many failures in a row each further stream
    /// would only fail too, without local state nothing that is stored could be noted, and without the hit cache
    /// nobody has the queue.
    pub fn works_off_the_queue(&self) -> bool {
        match self {
            Self::ActorLost { who, .. } => *who != Member::HitCache,
            Self::Feed { .. } => true,
            Self::Signal
            | Self::StreamFailures
            | Self::RestoreFinished
            | Self::RestoreHalted(_)
            | Self::State(_) => false,
        }
    }
}

impl From<StateFault> for EndReason {
    fn from(fault: StateFault) -> Self {
        Self::State(fault)
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal => f.write_str("a signal asked for the end"),
            Self::StreamFailures => f.write_str(
                "too many streams failed in a row (CONSECUTIVE_BACKUP_STREAM_FAILURES): the bucket or the \
                 dispatcher does not work",
            ),
            Self::Feed { feed, why } => write!(f, "feed {feed} cannot go on: {why}"),
            Self::RestoreFinished => f.write_str("the restore has gone through everything"),
            Self::RestoreHalted(why) => write!(f, "the restore cannot go on: {why}"),
            Self::State(fault) => write!(f, "{fault}"),
            Self::ActorLost { who, loss } => write!(f, "{who} {loss}"),
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HitCache => f.write_str("the hit cache"),
            Self::Feed(feed) => write!(f, "the actor of feed {feed}"),
            Self::StreamWorker { number, stream: None } => write!(f, "stream worker {number}"),
            Self::StreamWorker {
                number,
                stream: Some(stream),
            } => write!(f, "stream worker {number}, which has stream {stream},"),
            Self::Restore => f.write_str("the actor of the restore"),
            Self::Task => f.write_str("a task of the actors' thread"),
            Self::Supervisor => f.write_str("the supervisor"),
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("does not answer any more: it has panicked, see above"),
            Self::NotBegun => f.write_str("has not begun to work: its thread could not be started, or hangs"),
            Self::Panicked(text) => write!(f, "panicked: {text}"),
            Self::Silent(time) => write!(f, "has given no sign of life for {}s", time.as_secs()),
        }
    }
}
