//! What the supervisor is told and given.

use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;
use futures_util::future::LocalBoxFuture;
use tokio::sync::oneshot;

use super::{EndReason, Pulse, Stage};
use crate::event_backup::EventBackupActor;
use crate::feed::Feed;
use crate::hit_cache::HitCacheActor;
use crate::ports::LocalState;
use crate::ports::state::StateFault;
use crate::restore::conductor::RestoreActor;
use crate::statistics::Statistics;
use crate::stop::StopFlag;
use crate::stream_worker::progress::Crew;

/// Asks the supervisor to end the program.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Ending {
    /// Why.
    pub reason: EndReason,
}

/// Tells the supervisor whom to watch, and to end.
#[derive(Message)]
#[rtype(result = "()")]
pub enum Watch {
    /// Those of a backup.
    Backup {
        /// The feeds.
        feeds: Vec<(Feed, Addr<EventBackupActor>)>,
        /// The queue of streams.
        hit_cache: Addr<HitCacheActor>,
    },
    /// Who conducts a restore.
    Restore(Addr<RestoreActor>),
}

/// Asks in which stage the program is.
#[derive(Debug, Message)]
#[rtype(result = "Stage")]
pub struct AskStage;

/// Flushes and closes local state.
pub type CloseState = Box<dyn FnOnce() -> LocalBoxFuture<'static, Result<(), StateFault>>>;

/// How the supervisor reaches what is not an actor.
pub struct Levers {
    /// Raised when the first stage begins: no more pulls, no more waiting between retries.
    pub stop_events: StopFlag,
    /// Raised when workers must abandon what they do.
    pub stop_streams: StopFlag,
    /// Flushes and closes local state.
    pub close_state: CloseState,
    /// Told why the program ended, at the very end.
    pub ended: oneshot::Sender<Ended>,
    /// Tells what a stage saved.
    pub statistics: Arc<Statistics>,
    /// Tells what of a backup stays; `None` for a restore.
    pub state: Option<Rc<dyn LocalState>>,
    /// The stream workers.
    pub crew: Crew,
    /// Beaten for as long as the actors' thread turns.
    pub pulse: Pulse,
    /// The first panic on the actors' thread, if there was one: it may have befallen a task that nobody waits for.
    pub panicked: Box<dyn Fn() -> Option<String>>,
}

/// How the program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Why.
    pub reason: EndReason,
    /// Whether a stage was given up: then somebody still holds on to what it works on, and must not be waited for.
    pub given_up: bool,
}
