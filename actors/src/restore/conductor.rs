//! Who restores what, in which order: first a look (`first_look`), then streams before events, the feeds of `system` before all others, and at the end
//! everything is listed once more.
//!
//! [`RestoreActor`] conducts; one [`SourceRestoreActor`] per source and one [`FeedRestoreActor`] per feed do the work,
//! and the workers of a `SyncArbiter` the transfers. Whoever cannot go on stops the others too: what is done is in
//! local state, and what was under way is repeated by the next start.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use tokio::sync::oneshot;

use super::feed::{FeedRestorePorts, FeedRestoreRules, restore_feed};
use super::first_look::{Found, heads_are_believable, look, look_for_empty};
use super::halt::Halt;
use super::plan::PlanTerms;
use super::progress::{Progress, Stage};
use super::source::{Pass, SourcePorts, WhichStreams, restore_source};
use super::standing::Standing;
use crate::fault::FaultKind;
use crate::fault_point::{self, FaultPoint};
use crate::feed::{Feed, SourceName};
use crate::ports::restore_state::{RestoreChange, RestoreState};
use crate::stop::StopFlag;
use crate::supervisor::{EndReason, Ending};
use crate::timestamp::Timestamp;

/// How many feeds are restored side by side. Each holds up to two bundles.
const FEEDS_AT_ONCE: usize = 8;

/// What is dated so long before a restore began, or later, is looked at once more in its last pass. S3 dates an object to
/// the *beginning* of its upload, and clocks differ. Whatever is dated otherwise shows all the same: see [`super::source`].
const LOOK_BACK: Duration = Duration::from_secs(24 * 3600);

/// What is to be restored, and with what.
pub struct RestoreTask {
    /// The sources whose streams are restored, in their order.
    pub sources: Vec<(SourceName, WhichStreams)>,
    /// The feeds that are restored: those of `system` first.
    pub feeds: Vec<FeedRestoreRules>,
    /// How it was chosen.
    pub terms: PlanTerms,
    /// Whether the dispatcher is asked before a stream is sent.
    pub skip_existing: bool,
    /// Whether it is no failure that there is nothing of what was asked for.
    pub allow_empty: bool,
    /// When this restore was begun, by its first start.
    pub begun: Timestamp,
    /// For streams.
    pub source_ports: SourcePorts,
    /// For events.
    pub feed_ports: FeedRestorePorts,
}

impl RestoreTask {
    fn state(&self) -> &Rc<dyn RestoreState> {
        &self.feed_ports.state
    }

    fn standing(&self) -> &Standing {
        &self.feed_ports.standing
    }

    fn stop(&self) -> &StopFlag {
        &self.feed_ports.stop
    }
}

/// "Go through all of it."
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<(), Halt>")]
pub struct GoThrough(pub Pass);

/// Restores the streams of one source.
pub struct SourceRestoreActor {
    ports: SourcePorts,
    source: SourceName,
    which: WhichStreams,
}

impl Actor for SourceRestoreActor {
    type Context = Context<Self>;
}

impl Handler<GoThrough> for SourceRestoreActor {
    type Result = ResponseFuture<Result<(), Halt>>;

    fn handle(&mut self, GoThrough(pass): GoThrough, _: &mut Self::Context) -> Self::Result {
        let (ports, source, which) = (self.ports.clone(), self.source.clone(), self.which.clone());
        Box::pin(async move {
            ports
                .standing
                .source(&source, |standing| standing.is_active = true);
            let gone_through = restore_source(&ports, &source, which, pass).await;
            ports.standing.source(&source, |standing| {
                standing.is_active = false;
                standing.is_done |= gone_through.is_ok();
            });
            gone_through
        })
    }
}

/// Restores the events of one feed.
pub struct FeedRestoreActor {
    ports: FeedRestorePorts,
    rules: FeedRestoreRules,
}

impl Actor for FeedRestoreActor {
    type Context = Context<Self>;
}

impl Handler<GoThrough> for FeedRestoreActor {
    type Result = ResponseFuture<Result<(), Halt>>;

    fn handle(&mut self, _: GoThrough, _: &mut Self::Context) -> Self::Result {
        let (ports, rules) = (self.ports.clone(), self.rules.clone());
        Box::pin(async move {
            ports
                .standing
                .feed(&rules.feed, |standing| standing.is_active = true);
            let gone_through = restore_feed(&ports, &rules).await;
            ports.standing.feed(&rules.feed, |standing| {
                standing.is_active = false;
                standing.is_done |= gone_through.is_ok();
            });
            gone_through
        })
    }
}

/// Conducts the restore from its first start on; tells the supervisor when there is no more to do.
pub struct RestoreActor {
    task: Option<RestoreTask>,
    standing: Standing,
    stop: StopFlag,
    supervisor: Recipient<Ending>,
    is_over: bool,
    waiting: Vec<oneshot::Sender<()>>,
}

impl RestoreActor {
    /// Begins as soon as it is started.
    pub fn new(task: RestoreTask, supervisor: Recipient<Ending>) -> Self {
        Self {
            standing: task.standing().clone(),
            stop: task.stop().clone(),
            task: Some(task),
            supervisor,
            is_over: false,
            waiting: Vec::new(),
        }
    }
}

impl Actor for RestoreActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(task) = self.task.take() else { return };
        let restored = async move { Conductor::of(task).conduct().await };
        ctx.spawn(restored.into_actor(self).map(|restored, actor, _| {
            actor.is_over = true;
            for waits in actor.waiting.drain(..) {
                let _nobody_waits = waits.send(());
            }
            let reason = match restored {
                // Whoever told it to stop knows why.
                Err(Halt::Stopped) => return,
                Ok(()) => EndReason::RestoreFinished,
                Err(Halt::State(fault)) => EndReason::State(fault),
                Err(halt) => EndReason::RestoreHalted(halt.to_string()),
            };
            crate::post(&actor.supervisor, Ending { reason });
        }));
    }
}

/// Asks how far the restore has come; also a sign of life.
#[derive(Debug, Message)]
#[rtype(result = "Progress")]
pub struct AskRestoreProgress;

impl Handler<AskRestoreProgress> for RestoreActor {
    type Result = MessageResult<AskRestoreProgress>;

    fn handle(&mut self, _: AskRestoreProgress, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.standing.progress())
    }
}

/// "Begin nothing more, and answer when what was under way has ended."
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct QuiesceRestore;

impl Handler<QuiesceRestore> for RestoreActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: QuiesceRestore, _: &mut Self::Context) -> Self::Result {
        self.stop.raise();
        if self.is_over {
            return Box::pin(async {});
        }
        let (over, waits) = oneshot::channel();
        self.waiting.push(over);
        // An actor that is gone drops the other end: then there is nothing to wait for either.
        Box::pin(async move { waits.await.unwrap_or_default() })
    }
}

/// The order of things.
struct Conductor {
    task: RestoreTask,
    sources: Vec<(SourceName, Addr<SourceRestoreActor>)>,
    feeds: Vec<(Feed, Addr<FeedRestoreActor>)>,
}

impl Conductor {
    fn of(task: RestoreTask) -> Self {
        let sources = task.sources.iter().map(|(source, which)| {
            let actor = SourceRestoreActor {
                ports: task.source_ports.clone(),
                source: source.clone(),
                which: which.clone(),
            };
            (source.clone(), actor.start())
        });
        let feeds = task.feeds.iter().map(|rules| {
            let actor = FeedRestoreActor {
                ports: task.feed_ports.clone(),
                rules: rules.clone(),
            };
            (rules.feed.clone(), actor.start())
        });
        Self {
            sources: sources.collect(),
            feeds: feeds.collect(),
            task,
        }
    }

    async fn conduct(&self) -> Result<(), Halt> {
        let found = tokio::select! {
            biased;
            () = self.task.stop().raised() => return Err(Halt::Stopped),
            found = look(&self.task) => found?,
        };
        match found {
            Found::Nothing if !self.task.allow_empty => log::error!("there is nothing to restore"),
            _ => self.go_through().await?,
        }
        self.finish().await
    }

    /// Everything, and everything once more.
    async fn go_through(&self) -> Result<(), Halt> {
        let since = self.task.begun.before(LOOK_BACK);
        let first = Pass::First {
            ask_first: self.task.skip_existing,
            since,
        };
        self.pass(first, Stage::Streams, Stage::SystemEvents, Stage::Events)
            .await?;
        let markers = self.task.standing().progress().folder_markers;
        if markers > 0 {
            log::info!("{markers} marks of folders (empty objects whose keys end with `/`) were passed over");
        }
        fault_point::pass(FaultPoint::RestoreLastPass);
        let last = Pass::Last {
            since,
            asks: self.can_ask().await?,
        };
        self.pass(last, Stage::LastPass, Stage::LastPass, Stage::LastPass)
            .await?;
        self.note_absent_hashes();
        if !self.task.standing().progress().empty.is_empty() {
            // Something may have come.
            look_for_empty(&self.task).await?;
        }
        Ok(())
    }

    /// Where something that was asked for was not found the checkpoints stay, and with them what is done: the next start
    /// sends nothing again, and comes to the same end unless something has come.
    async fn finish(&self) -> Result<(), Halt> {
        fault_point::pass(FaultPoint::RestoreEnding);
        let selection = &self.task.terms.selection;
        let nothing_of = self.task.standing().progress().nothing_of(selection);
        if self.task.allow_empty || nothing_of.is_empty() {
            self.task.state().record(RestoreChange::Finished).await?;
        }
        self.task.standing().enter(Stage::Ended);
        Ok(())
    }

    /// Whether the dispatcher may be asked what it has; otherwise the last pass sends what it would ask for.
    async fn can_ask(&self) -> Result<bool, Halt> {
        match heads_are_believable(&self.task).await {
            Ok(true) => return Ok(true),
            Ok(false) => log::warn!("the dispatcher says that it has a stream that cannot be there"),
            Err(fault) if fault.kind() == FaultKind::Cancelled => return Err(Halt::Stopped),
            Err(fault) => log::warn!(error:% = fault; "the dispatcher cannot be asked what it has: {fault}"),
        }
        log::warn!("what came into the bucket lately is sent once more instead of asked for");
        Ok(false)
    }

    /// Goes through everything once, in its order.
    async fn pass(&self, pass: Pass, streams: Stage, system: Stage, others: Stage) -> Result<(), Halt> {
        for (_, actor) in &self.sources {
            self.task.standing().enter(streams);
            let gone_through = actor.send(GoThrough(pass)).await;
            gone_through.map_err(|_| Halt::Lost("the actor of a source"))??;
        }
        let (of_system, of_others): (Vec<_>, Vec<_>) = self
            .feeds
            .iter()
            .partition(|(feed, _)| feed.source().as_str() == SourceName::SYSTEM);
        for feed in of_system {
            self.task.standing().enter(system);
            Self::feed(pass, feed).await?;
        }
        if !of_others.is_empty() {
            self.task.standing().enter(others);
        }
        let mut running =
            futures_util::stream::iter(of_others.into_iter().map(|feed| Self::feed(pass, feed)))
                .buffer_unordered(FEEDS_AT_ONCE);
        let mut halted: Option<Halt> = None;
        while let Some(gone_through) = running.next().await {
            if let Err(halt) = gone_through {
                // The others end their present bundle.
                self.task.stop().raise();
                halted.get_or_insert(halt);
            }
        }
        halted.map_or(Ok(()), Err)
    }

    fn feed(pass: Pass, (_, actor): &(Feed, Addr<FeedRestoreActor>)) -> LocalBoxFuture<'_, Result<(), Halt>> {
        Box::pin(async move {
            let gone_through = actor.send(GoThrough(pass)).await;
            gone_through.map_err(|_| Halt::Lost("the actor of a feed"))?
        })
    }

    /// A hash that was asked for, and that no source has, is told.
    fn note_absent_hashes(&self) {
        let found = self.task.source_ports.found.borrow();
        let hashes = self.task.sources.iter().flat_map(|(_, which)| match which {
            WhichStreams::Labels { hashes, .. } => hashes.as_slice(),
            WhichStreams::Named(_) => &[],
        });
        let absent: BTreeSet<String> = hashes
            .filter(|hash| !found.contains(hash))
            .map(|hash| format!("SHA-256 {hash}: no stream in the bucket"))
            .collect();
        self.task
            .standing()
            .update(|progress| progress.absent = absent.into_iter().collect());
    }
}
