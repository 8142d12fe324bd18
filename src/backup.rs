//! The backup, wired: adapters, actors and signals.
//!
//! The order of a start: local state is opened and the bucket made ready; what an earlier start left open in the
//! bucket is aborted, and what it left in local state is put in order; then the actors begin, the leftovers first.
//!
//! The order of an end is the supervisor's. Whatever hangs then is left behind, not waited for, and if nothing inside
//! ends the process, its `watchdog` does.

mod ended;
mod identity;
mod outside;
mod report;
mod showing;
mod uploads;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, SyncArbiter, System};
use actors::event_backup::{EventBackupActor, FeedPorts, FeedRules, Leftovers, keep_noting, recall, recover};
use actors::fault_point::{self, FaultPoint};
use actors::feed::Feed;
use actors::hit_cache::{AgeOff, ClaimRules, Claims, HitCacheActor};
use actors::journal_room::JournalRoom;
use actors::memory_budget::MemoryBudget;
use actors::patient_state::{PatientState, read_patiently};
use actors::stop::StopFlag;
use actors::stream_worker::progress::Progress;
use actors::stream_worker::{StoreTerms, StreamWorker};
use actors::supervisor::{
    CloseState, EndReason, Ended, Levers, Member, StageBudgets, SupervisorActor, Watch,
};
use tokio::sync::{Semaphore, oneshot};

use self::ended::{StartFault, stopped_before_it_began, tell};
use self::outside::Outside;
use self::report::Reporter;
use self::showing::keep_showing;
use self::uploads::Uploads;
use crate::adapters::journal::FileJournal;
use crate::adapters::state::SledState;
use crate::adapters::volume::Volume;
use crate::exit::Exit;
use crate::local_socket::{LocalSocket, SocketPlace};
use crate::observe::board::{BackupBoard, ProcessBoard};
use crate::process::signals::Signals;
use crate::process::{self, Watching, watchdog};
use crate::settings::Settings;

/// Bytes of binaries that may be in memory on their way to the bucket, all workers together.
const STREAM_BUDGET: u64 = 40 * 1024 * 1024;

/// The same for bundles, all feeds together: two that are being written in parts.
const BUNDLE_BUDGET: u64 = 12 * 1024 * 1024;

/// How many walks over bulks and compressions of bundles go on at once. Each may need a window of its own.
const BLOCKING_AT_ONCE: usize = 2;

/// The dispatcher puts no more events into an answer, and takes none that is larger in bytes.
const MOST_EVENTS: u64 = 1000;
const LARGEST_EVENT: u64 = 3 * 1024 * 1024;

/// How long the whole queue may take to be worked off, after an end for an internal reason.
const WORKING_OFF: Duration = Duration::from_secs(600);

/// Runs the backup until it is told to stop, or cannot go on.
pub fn run(settings: Settings, pretty: bool) -> Exit {
    tell(&System::new().block_on(backup(settings, pretty)))
}

async fn backup(settings: Settings, pretty: bool) -> Result<Ended, StartFault> {
    let settings = Arc::new(settings);
    let mut signals = Signals::listen().map_err(StartFault::Signals)?;
    let watching = Watching::begin(settings.streams.workers, &stage_budgets(&settings), &signals)
        .map_err(StartFault::Watchdog)?;
    // Before anything that may take long.
    let board = BackupBoard::new(
        &settings.backup_id,
        &settings.feeds(),
        watching.pulse.clone(),
        settings.retry.retries.clone(),
    );
    let _server = watching.serve(settings.metrics_listen, board.source(), board.metrics())?;
    let volume = Volume::new(&root(&settings), settings.feeds().len());
    let mut opening = Box::pin(open(Arc::clone(&settings), Arc::clone(&volume)));
    let (sled, journal) = tokio::select! {
        opened = &mut opening => opened?,
        () = signals.told() => {
            board.start_given_up();
            let opened = async { Ok(opening.await?.0) };
            stopped_before_it_began(&settings, opened).await
        }
    };
    let socket = Rc::new(RefCell::new(serve_commands(&root(&settings), &sled)));
    board.state_opened();
    let outside = Outside::new(&settings, board.meter());
    let ready = async {
        let ports = feed_ports(&settings, &outside, &sled, journal, &board)?;
        keep_showing(&board, &ports, &sled, &volume);
        recall(&ports).await?;
        actix_rt::spawn(keep_noting(ports.clone()));
        prepare(&ports).await?;
        let uploads = Uploads::of(&ports);
        uploads.abort_left().await?;
        let leftovers = recover(&ports).await?;
        // The last thing: what a command puts back from now on, the queue is told of.
        let highest_ticket = read_patiently(|| ports.state.highest_ticket()).await?;
        Ok::<_, StartFault>((ports, (leftovers, highest_ticket), uploads))
    };
    let (ports, left, uploads) = tokio::select! {
        ready = ready => ready?,
        () = signals.told() => {
            board.start_given_up();
            drop(socket.take());
            stopped_before_it_began(&settings, async { Ok(sled.clone()) }).await
        }
    };
    let reporter = Reporter::new(
        Arc::clone(&ports.statistics),
        Rc::clone(&ports.state),
        ports.room.clone(),
        pretty,
    );
    let (ended, end) = oneshot::channel();
    let closed = sled.clone();
    let close = process::closing(Rc::clone(&socket), async move || closed.close().await);
    let started = start(&settings, &outside, ports, left, (sled, close), watching, ended);
    if let Some(socket) = &*socket.borrow() {
        socket.tell(started.hit_cache.clone().recipient());
    }
    board.begun();
    reporter.watch(started.hit_cache.clone());
    uploads.keep_sweeping();
    signals.forward_to(started.supervisor.recipient());
    let lost = || Ended {
        reason: EndReason::gone(Member::Supervisor),
        given_up: true,
    };
    let ended = end.await.unwrap_or_else(|_| lost());
    reporter.finish();
    if ended.given_up {
        // What was given up still holds threads and files: whoever waits for them hangs too.
        watchdog::end_process(tell(&Ok(ended)));
    }
    Ok(ended)
}

/// Where local state lies.
fn root(settings: &Settings) -> PathBuf {
    settings.local_data.join("backup")
}

/// Opens local state on a thread that may hang: the one that obeys signals must not.
async fn open(settings: Arc<Settings>, volume: Arc<Volume>) -> Result<(SledState, FileJournal), StartFault> {
    let opened = tokio::task::spawn_blocking(move || {
        let root = root(&settings);
        let sled = SledState::open_on(Arc::clone(&volume), &root)?;
        let journal = settings.events.journal_max_bytes;
        if let Some(text) = volume.shortcoming(journal, largest_answer(&settings)) {
            log::warn!("{text}");
        }
        fault_point::pass(FaultPoint::StateOpened);
        let journal = FileJournal::open_on(volume, &root)?;
        identity::check(&root, &settings)?;
        Ok::<_, StartFault>((sled, journal))
    });
    opened.await.map_err(StartFault::Opening)?
}

/// The most bytes of events that one pull may bring.
pub(crate) fn largest_answer(settings: &Settings) -> u64 {
    settings.events.batch_size.clamp(1, MOST_EVENTS) * LARGEST_EVENT
}

/// Lets commands ask this process, as long as what is returned is kept.
fn serve_commands(root: &Path, sled: &SledState) -> Option<LocalSocket> {
    let served = LocalSocket::serve(root, Rc::new(sled.clone()));
    process::offered(served, &SocketPlace::beside(root))
}

/// What a feed works with.
fn feed_ports(
    settings: &Settings,
    outside: &Outside,
    sled: &SledState,
    journal: FileJournal,
    board: &BackupBoard,
) -> Result<FeedPorts, StartFault> {
    let state = PatientState::new(Rc::new(sled.clone()));
    Ok(FeedPorts {
        dispatcher: Rc::new(outside.dispatcher()?),
        bucket: Rc::new(outside.bucket()?),
        journal: Rc::new(journal),
        state: Rc::new(state.clone()),
        uploads: Rc::new(state),
        room: JournalRoom::new(settings.events.journal_max_bytes),
        memory: MemoryBudget::new(BUNDLE_BUDGET),
        statistics: board.statistics(),
        board: board.feeds(),
        retry: settings.retry.clone(),
        stop: StopFlag::default(),
        blocking: Arc::new(Semaphore::new(BLOCKING_AT_ONCE)),
        joining: Arc::new(Semaphore::new(BLOCKING_AT_ONCE)),
        next_seq: Rc::new(Cell::new(0)),
    })
}

/// Makes the bucket ready.
async fn prepare(ports: &FeedPorts) -> Result<(), StartFault> {
    ports
        .retry
        .run("prepare bucket", &"the backup bucket", &ports.stop, || {
            ports.bucket.prepare(true)
        })
        .await?;
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
    (mut leftovers, highest_ticket): (BTreeMap<Feed, Leftovers>, Option<u64>),
    (sled, close_state): (SledState, CloseState),
    watching: Watching,
    ended: oneshot::Sender<Ended>,
) -> Started {
    let stop_streams = StopFlag::default();
    let Watching {
        pulse, crew, panics, ..
    } = watching;
    let levers = Levers {
        stop_events: ports.stop.clone(),
        stop_streams: stop_streams.clone(),
        close_state,
        ended,
        statistics: Arc::clone(&ports.statistics),
        state: Some(Rc::clone(&ports.state)),
        crew: crew.clone(),
        pulse,
        panicked: Box::new(move || panics.first()),
    };
    let supervisor = SupervisorActor::new(stage_budgets(settings), levers).start();
    let budget = MemoryBudget::new(STREAM_BUDGET);
    let terms = StoreTerms {
        retry: settings.retry.clone(),
        budget,
        stop: stop_streams,
        progress: Progress::default(),
    };
    let worker_ports = outside.worker_ports(sled);
    let workers = SyncArbiter::start(settings.streams.workers, move || {
        let progress = crew.enlist();
        StreamWorker::new(
            Arc::clone(&worker_ports),
            StoreTerms {
                progress,
                ..terms.clone()
            },
        )
    });
    let hit_cache = HitCacheActor::new(
        Claims::new(claim_rules(settings), ports.state.start_number()),
        highest_ticket,
        Rc::clone(&ports.state),
        workers.recipient(),
        supervisor.clone().recipient(),
        Arc::clone(&ports.statistics),
        age_off(settings),
    )
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
        log::warn!(feed:% = feed; "feed {feed} is not configured any more; what an earlier start left of it is finished");
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
    let feeds: Vec<_> = feeds.collect();
    log::info!(
        "backing up {} feeds with {} stream workers",
        feeds.len(),
        settings.streams.workers
    );
    let watch = Watch::Backup {
        feeds,
        hit_cache: hit_cache.clone(),
    };
    if supervisor.try_send(watch).is_err() {
        log::error!("the supervisor could not be told what to watch");
    }
    Started {
        supervisor,
        hit_cache,
    }
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
