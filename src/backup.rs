//! The backup, wired: adapters, actors and signals.
//!
//! The order of a start: local state is opened and the bucket made ready; what an earlier start left open in the
//! bucket is aborted, and what it left in local state is put in order; then the actors begin, the leftovers first.

mod identity;
mod outside;
mod report;
mod signals;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, SyncArbiter, System};
use actors::event_backup::{EventBackupActor, FeedPorts, FeedRules, Leftovers, recover};
use actors::fault::Fault;
use actors::fault_point::{self, FaultPoint};
use actors::feed::{Feed, SourceName};
use actors::hit_cache::{AgeOff, ClaimRules, Claims, HitCacheActor};
use actors::journal_room::JournalRoom;
use actors::memory_budget::MemoryBudget;
use actors::patient_state::PatientState;
use actors::ports::StateFault;
use actors::statistics::Statistics;
use actors::stop::StopFlag;
use actors::stream_worker::{StoreTerms, StreamWorker};
use actors::supervisor::{EndReason, Levers, StageBudgets, SupervisorActor, Watch};
use tokio::sync::{Semaphore, oneshot};

use self::outside::Outside;
use self::report::Reporter;
use crate::adapters::journal::FileJournal;
use crate::adapters::state::{OpenError, SledState};
use crate::exit::Exit;
use crate::settings::Settings;

/// Bytes of binaries that may be in memory on their way to the bucket, all workers together.
const STREAM_BUDGET: u64 = 40 * 1024 * 1024;

/// The same for bundles, all feeds together: two that are being written in parts.
const BUNDLE_BUDGET: u64 = 12 * 1024 * 1024;

/// How many walks over bulks and compressions of bundles go on at once. Each may need a window of its own.
const BLOCKING_AT_ONCE: usize = 2;

/// How long the whole queue may take to be worked off, after an end for an internal reason.
const WORKING_OFF: Duration = Duration::from_secs(600);

/// Runs the backup until it is told to stop, or cannot go on.
pub fn run(settings: Settings, pretty: bool) -> Exit {
    match System::new().block_on(backup(settings, pretty)) {
        Ok(EndReason::Signal) => {
            log::info!("the backup ended in good order");
            Exit::Done
        }
        Ok(reason) => {
            log::error!(
                "the backup ended because {reason}; what is unfinished is in local state, and the next start finishes it"
            );
            Exit::Failed
        }
        Err(StartFault::Stopped) => {
            log::info!("the backup ended in good order, before it had begun");
            Exit::Done
        }
        Err(fault) => {
            log::error!("the backup could not be started: {fault}");
            Exit::Failed
        }
    }
}

/// Why a backup could not be started.
#[derive(Debug, thiserror::Error)]
enum StartFault {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Outside(#[from] Fault),
    #[error(transparent)]
    State(#[from] StateFault),
    #[error(transparent)]
    Identity(#[from] identity::NotOurs),
    #[error("signals cannot be received: {0}")]
    Signals(std::io::Error),
    #[error("a signal came before it had begun")]
    Stopped,
}

async fn backup(settings: Settings, pretty: bool) -> Result<EndReason, StartFault> {
    let mut signals = signals::Signals::listen().map_err(StartFault::Signals)?;
    let root = settings.local_data.join("backup");
    let sled = SledState::open(&root)?;
    fault_point::pass(FaultPoint::StateOpened);
    let journal = FileJournal::open(&root)?;
    identity::check(&root, &settings)?;
    let outside = Outside::new(&settings);
    let ready = async {
        let ports = feed_ports(&settings, &outside, &sled, journal)?;
        prepare(&ports).await?;
        let leftovers = recover(&ports).await?;
        Ok::<_, StartFault>((ports, leftovers))
    };
    let (ports, leftovers) = tokio::select! {
        ready = ready => ready?,
        () = signals.next() => {
            sled.close().await?;
            return Err(StartFault::Stopped);
        }
    };
    let reporter = Reporter::new(
        Arc::clone(&ports.statistics),
        Rc::clone(&ports.state),
        ports.room.clone(),
        pretty,
    );
    let (ended, end) = oneshot::channel();
    let started = start(&settings, &outside, ports, leftovers, sled, ended)?;
    reporter.watch(started.hit_cache.clone());
    signals.forward_to(started.supervisor.recipient());
    let reason = end
        .await
        .unwrap_or_else(|_| EndReason::ActorLost("the supervisor".to_owned()));
    reporter.finish();
    Ok(reason)
}

/// What a feed works with.
fn feed_ports(
    settings: &Settings,
    outside: &Outside,
    sled: &SledState,
    journal: FileJournal,
) -> Result<FeedPorts, StartFault> {
    let state = PatientState::new(Rc::new(sled.clone()));
    let sources: BTreeSet<SourceName> = settings
        .feeds()
        .iter()
        .map(|feed| feed.source().clone())
        .collect();
    Ok(FeedPorts {
        dispatcher: Rc::new(outside.dispatcher()?),
        bucket: Rc::new(outside.bucket()?),
        journal: Rc::new(journal),
        state: Rc::new(state.clone()),
        uploads: Rc::new(state),
        room: JournalRoom::new(settings.events.journal_max_bytes),
        memory: MemoryBudget::new(BUNDLE_BUDGET),
        statistics: Statistics::new(sources),
        retry: settings.retry.clone(),
        stop: StopFlag::default(),
        blocking: Arc::new(Semaphore::new(BLOCKING_AT_ONCE)),
        joining: Arc::new(Semaphore::new(BLOCKING_AT_ONCE)),
        next_seq: Rc::new(Cell::new(0)),
    })
}

/// Makes the bucket ready, and aborts the multipart uploads that a crash left open.
async fn prepare(ports: &FeedPorts) -> Result<(), StartFault> {
    ports
        .retry
        .run("prepare bucket", &"the backup bucket", &ports.stop, || {
            ports.bucket.prepare(true)
        })
        .await?;
    for upload in ports.state.open_uploads()? {
        match outside::abort(&*ports.bucket, &upload).await {
            Ok(()) => {
                fault_point::pass(FaultPoint::LeftoverAborted);
                ports.uploads.ended(&upload).await?;
            }
            Err(fault) => log::warn!("{fault}; it is tried again at the next start"),
        }
    }
    Ok(())
}

/// The actors that others speak to.
struct Started {
    supervisor: Addr<SupervisorActor>,
    hit_cache: Addr<HitCacheActor>,
}

fn start(
    settings: &Settings,
    outside: &Outside,
    ports: FeedPorts,
    mut leftovers: BTreeMap<Feed, Leftovers>,
    sled: SledState,
    ended: oneshot::Sender<EndReason>,
) -> Result<Started, StartFault> {
    let stop_streams = StopFlag::default();
    let levers = Levers {
        stop_events: ports.stop.clone(),
        stop_streams: stop_streams.clone(),
        close_state: close(sled.clone()),
        ended,
    };
    let supervisor = SupervisorActor::new(stage_budgets(settings), levers).start();
    let budget = MemoryBudget::new(STREAM_BUDGET);
    let terms = StoreTerms {
        retry: settings.retry.clone(),
        budget,
        stop: stop_streams,
    };
    let worker_ports = outside.worker_ports(sled);
    let workers = SyncArbiter::start(settings.streams.workers, move || {
        StreamWorker::new(Arc::clone(&worker_ports), terms.clone())
    });
    let hit_cache = HitCacheActor::new(
        Claims::new(claim_rules(settings), ports.state.start_number()),
        Rc::clone(&ports.state),
        workers.recipient(),
        supervisor.clone().recipient(),
        Arc::clone(&ports.statistics),
        age_off(settings),
    )?
    .start();

    let configured = settings
        .feeds()
        .into_iter()
        .map(|feed| (settings.consumer(&feed), feed));
    let mut feeds: BTreeMap<Feed, Option<String>> = configured
        .map(|(consumer, feed)| (feed, Some(consumer)))
        .collect();
    for feed in leftovers
        .keys()
        .filter(|feed| !feeds.contains_key(*feed))
        .cloned()
        .collect::<Vec<_>>()
    {
        log::warn!("feed {feed} is not configured any more; what an earlier start left of it is finished");
        feeds.insert(feed, None);
    }
    let feeds = feeds.into_iter().map(|(feed, consumer)| {
        let left = leftovers.remove(&feed).unwrap_or_default();
        let rules = feed_rules(settings, feed.clone(), consumer);
        let actor = EventBackupActor::new(
            rules,
            left,
            ports.clone(),
            hit_cache.clone(),
            supervisor.clone().recipient(),
        );
        (feed, actor.start())
    });
    let watch = Watch {
        feeds: feeds.collect(),
        hit_cache: hit_cache.clone(),
    };
    log::info!(
        "backing up {} feeds with {} stream workers",
        watch.feeds.len(),
        settings.streams.workers
    );
    if supervisor.try_send(watch).is_err() {
        log::error!("the supervisor could not be told what to watch");
    }
    Ok(Started {
        supervisor,
        hit_cache,
    })
}

fn close(sled: SledState) -> actors::supervisor::CloseState {
    Box::new(move || Box::pin(async move { sled.close().await }))
}

fn feed_rules(settings: &Settings, feed: Feed, consumer: Option<String>) -> FeedRules {
    FeedRules {
        feed,
        consumer,
        deployment_key: settings.dispatcher.deployment_key.clone(),
        batch_size: settings.events.batch_size,
        max_age: settings.events.batch_max_age,
        longest_deadline: settings.events.pull_deadline,
    }
}

fn claim_rules(settings: &Settings) -> ClaimRules {
    ClaimRules {
        cache_size: NonZeroUsize::new(settings.streams.hit_cache_size).unwrap_or(NonZeroUsize::MIN),
        most_waiting: settings.streams.channel_size,
        most_out: settings.streams.workers,
        failures_in_row: settings.streams.consecutive_failures,
    }
}

fn stage_budgets(settings: &Settings) -> StageBudgets {
    StageBudgets {
        events: settings.stages.events,
        hit_cache: settings.stages.cache,
        streams: settings.stages.streams,
        state: settings.stages.state,
        streams_worked_off: WORKING_OFF,
    }
}

/// Which sources age off: a stream that events go on naming must not expire in the bucket meanwhile.
fn age_off(settings: &Settings) -> AgeOff {
    let day = Duration::from_secs(24 * 3600);
    let days = |days: u64| day.saturating_mul(u32::try_from(days).unwrap_or(u32::MAX));
    let expiring = settings.sources.iter().filter_map(|source| {
        source
            .expires_after_days
            .map(|after| (source.name.clone(), days(after)))
    });
    AgeOff(expiring.collect())
}
