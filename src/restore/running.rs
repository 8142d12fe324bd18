//! The restore, wired: adapters, actors and signals.
//!
//! The order of a start: local state is opened, the unfinished restore of the same bucket, target and selection is
//! taken up or a new one begun, and the actors begin. The order of an end is the supervisor's, as for a backup; what
//! hangs then is left behind, and if nothing inside ends the process, the watchdog does.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, SyncArbiter, System};
use actors::fault::Fault;
use actors::fault_point::{self, FaultPoint};
use actors::feed::{Feed, SourceName};
use actors::ports::restore_state::{DeadLetter, RestoreState, Route, Unfinished};
use actors::ports::state::StateFault;
use actors::restore::bundle_memory::BundleMemory;
use actors::restore::conductor::{RestoreActor, RestoreTask};
use actors::restore::feed::{FeedRestorePorts, FeedRestoreRules, WhichBundles, Witnesses};
use actors::restore::named_streams::Hashes;
use actors::restore::progress::{Progress, Stage};
use actors::restore::source::{SourcePorts, WhichStreams};
use actors::restore::standing::Standing;
use actors::restore::stream::StreamRestoreTerms;
use actors::restore::worker::RestoreWorker;
use actors::statistics::Statistics;
use actors::stop::StopFlag;
use actors::stream_worker::progress::Progress as WorkerProgress;
use actors::supervisor::{
    CloseState, EndReason, Ended, Levers, Member, StageBudgets, SupervisorActor, Watch,
};
use actors::timestamp::Timestamp;
use tokio::sync::{Semaphore, oneshot};

use super::outside::Outside;
use super::report::{Ending, Reporter, Verdict};
use super::{FOLDER, NoSpool, Wanted, last_scrape, planning, spool};
use crate::adapters::restore_state::SledRestoreState;
use crate::adapters::state::OpenError;
use crate::exit::Exit;
use crate::local_socket::{LocalSocket, SocketPlace};
use crate::observe::board::{ProcessBoard, RestoreBoard};
use crate::observe::server::NotServed;
use crate::process::signals::Signals;
use crate::process::{self, Watching, watchdog};

/// How many requests to publish may be under way, each with up to 4 MiB of events in memory.
const REQUESTS: usize = 4;

/// How often others are shown how far it has come.
const SHOWN_EVERY: Duration = Duration::from_secs(1);

/// Restores what is wanted until it is done, told to stop, or cannot go on.
pub(super) fn run(wanted: Wanted, pretty: bool) -> Exit {
    match System::new().block_on(restore(wanted, pretty)) {
        Ok(exit) => exit,
        Err(fault) => {
            log::error!(error:% = fault; "the restore could not be started: {fault}");
            Exit::Failed
        }
    }
}

/// Why a restore could not be started.
#[derive(Debug, thiserror::Error)]
enum StartFault {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Outside(#[from] Fault),
    #[error(transparent)]
    State(#[from] StateFault),
    #[error("signals cannot be received: {0}")]
    Signals(std::io::Error),
    #[error("there is no thread for the watchdog: {0}")]
    Watchdog(std::io::Error),
    #[error(transparent)]
    NotServed(#[from] NotServed),
    #[error("local state could not be opened: {0}")]
    Opening(tokio::task::JoinError),
    #[error(transparent)]
    Spool(#[from] NoSpool),
}

async fn restore(wanted: Wanted, pretty: bool) -> Result<Exit, StartFault> {
    let settings = &wanted.settings;
    let root = settings.local_data.join(FOLDER);
    let mut signals = Signals::listen().map_err(StartFault::Signals)?;
    let watching =
        Watching::begin(settings.workers, &stage_budgets(&wanted), &signals).map_err(StartFault::Watchdog)?;
    // Before anything that may take long.
    let board = RestoreBoard::new(
        &settings.backup_id,
        watching.pulse.clone(),
        settings.retry.retries.clone(),
    );
    let server = watching.serve(settings.metrics_listen, board.source(), board.metrics())?;
    let reprieve = watching.reprieve.clone();
    let begun = async {
        let sled = open(root.clone()).await?;
        let id = settings.restore_id(&wanted.selection);
        let unfinished = sled.begin(&id, wanted.from_start, Timestamp::now()).await?;
        Ok::<_, StartFault>((sled, unfinished))
    };
    let (sled, unfinished) = tokio::select! {
        begun = begun => begun?,
        () = signals.told() => {
            board.start_given_up();
            watchdog::end_process(stopped_before_it_began())
        }
    };
    board.state_opened();
    board.taken_up(unfinished.starts);
    tell_what_is_taken_up(&unfinished, wanted.from_start);
    let socket = Rc::new(RefCell::new(serve_commands(&root, &sled)));
    let standing = standing(&wanted, &sled)?;
    let note = wanted.selection.window_note().map(str::to_owned);
    standing.update(|progress| progress.notes.extend(note));
    let reporter = Reporter::new(pretty, wanted.json);
    let (ended, end) = oneshot::channel();
    let closed = sled.clone();
    let between = PutBackBetween {
        route: settings.restore_id(&wanted.selection).route(),
        standing: standing.clone(),
    };
    let close = process::closing(socket, async move || {
        let counted = between.count(&closed);
        closed.close().await?;
        counted
    });
    let begun = (&standing, unfinished);
    let supervisor = start(&wanted, (&sled, close), begun, watching, &board, ended)?;
    board.begun();
    keep_showing(board.clone(), standing.clone());
    reporter.watch({
        let standing = standing.clone();
        // After its end the process may wait for a last scrape, and there is nothing more to tell.
        move || Some(standing.progress()).filter(|progress| progress.stage != Stage::Ended)
    });
    signals.forward_to(supervisor.recipient());
    let lost = || Ended {
        reason: EndReason::gone(Member::Supervisor),
        given_up: true,
    };
    // A signal that comes while it ends is one too many for the last scrape.
    let told_meanwhile = Signals::listen();
    let ended = end.await.unwrap_or_else(|_| lost());
    board.show(standing.progress());
    let verdict = finish(&reporter, &wanted, &standing.progress(), &ended);
    board.ended(&verdict);
    let exit = verdict.exit();
    last_scrape::wait(server.as_ref(), told_meanwhile, &reprieve, &ended.reason).await;
    if ended.given_up {
        // What was given up still holds threads and files: whoever waits for them hangs too.
        watchdog::end_process(exit);
    }
    Ok(exit)
}

/// Opens local state on a thread that may hang: the one that obeys signals must not.
async fn open(root: PathBuf) -> Result<SledRestoreState, StartFault> {
    let opened = tokio::task::spawn_blocking(move || {
        let sled = SledRestoreState::open(&root)?;
        fault_point::pass(FaultPoint::StateOpened);
        Ok::<_, StartFault>(sled)
    });
    opened.await.map_err(StartFault::Opening)?
}

/// Shows how far it has come, for as long as the process lives.
fn keep_showing(board: RestoreBoard, standing: Standing) {
    actix_rt::spawn(async move {
        loop {
            board.show(standing.progress());
            tokio::time::sleep(SHOWN_EVERY).await;
        }
    });
}

/// Lets commands ask this process, as long as what is returned is kept.
fn serve_commands(root: &Path, sled: &SledRestoreState) -> Option<LocalSocket> {
    let served = LocalSocket::serve_restore(root, Rc::new(sled.clone()));
    process::offered(served, &SocketPlace::beside_restore(root))
}

fn stopped_before_it_began() -> Exit {
    log::error!("the restore ended before it had begun: a signal asked for the end");
    Exit::Failed
}

fn tell_what_is_taken_up(Unfinished { begun, starts }: &Unfinished, from_start: bool) {
    match starts {
        0 | 1 if from_start => {
            log::info!("restoring from the start: checkpoints of earlier starts are dropped")
        }
        0 | 1 => log::info!("restoring from the start: there is no unfinished restore of this kind"),
        starts => log::info!("going on with the restore that was begun at {begun}: this is start {starts}"),
    }
}

/// What earlier starts have done.
fn standing(wanted: &Wanted, state: &SledRestoreState) -> Result<Standing, StateFault> {
    let by_default = wanted.settings.restored_sources();
    let mut sources = Vec::new();
    for source in wanted.selection.stream_sources(&by_default) {
        let lanes = state.lanes(&format!("{source}/"))?;
        sources.push((source, lanes.iter().map(|(_, mark)| mark.figures).sum()));
    }
    let mut feeds = Vec::new();
    for feed in wanted.selection.feeds(&by_default) {
        let figures = state.feed_figures(&feed)?;
        feeds.push((feed, figures));
    }
    Ok(Standing::new(sources, feeds))
}

/// What was given up before an earlier start ended may have been put back by `dead-letters --retry` before this one began.
struct PutBackBetween {
    route: Route,
    standing: Standing,
}

impl PutBackBetween {
    /// Where a restore is finished, and no letter of its bucket and dispatcher is left, all that was given up is back.
    fn count(&self, state: &SledRestoreState) -> Result<(), StateFault> {
        let progress = self.standing.progress();
        let may_be = progress.stage == Stage::Ended && progress.given_up() > 0;
        if may_be && !self.is_any_left(state)? {
            log::info!(
                "all that was given up has been put back since, by dead-letters --retry: it counts as restored"
            );
            self.standing.update(Progress::count_as_put_back);
        }
        Ok(())
    }

    /// One of an unknown route may be of this one.
    fn is_any_left(&self, state: &SledRestoreState) -> Result<bool, StateFault> {
        let mut after = None;
        loop {
            let page = state.letters_from(after.as_ref(), 1000)?;
            let is_of_it =
                |letter: &DeadLetter| letter.route.as_ref().is_none_or(|route| *route == self.route);
            if page.iter().any(|(_, letter)| is_of_it(letter)) {
                return Ok(true);
            }
            match page.last() {
                Some((last, _)) => after = Some(last.clone()),
                None => return Ok(false),
            }
        }
    }
}

fn start(
    wanted: &Wanted,
    (sled, close_state): (&SledRestoreState, CloseState),
    (standing, unfinished): (&Standing, Unfinished),
    watching: Watching,
    board: &RestoreBoard,
    ended: oneshot::Sender<Ended>,
) -> Result<Addr<SupervisorActor>, StartFault> {
    let settings = &wanted.settings;
    let (stop, stop_streams) = (StopFlag::default(), StopFlag::default());
    let outside = Outside::new(settings).metered(board.meter());
    let state: Rc<dyn RestoreState> = Rc::new(sled.clone());
    let spool = spool(settings)?;
    let Watching {
        pulse, crew, panics, ..
    } = watching;
    let levers = Levers {
        stop_events: stop.clone(),
        stop_streams: stop_streams.clone(),
        close_state,
        ended,
        statistics: Statistics::new([]),
        state: None,
        crew: crew.clone(),
        pulse,
        panicked: Box::new(move || panics.first()),
    };
    let supervisor = SupervisorActor::new(stage_budgets(wanted), levers).start();
    let terms = StreamRestoreTerms {
        retry: settings.retry.clone(),
        stop: stop_streams,
        progress: WorkerProgress::default(),
    };
    let worker_ports = outside.worker_ports();
    let workers = SyncArbiter::start(settings.workers, move || {
        let progress = crew.enlist();
        RestoreWorker::new(
            Arc::clone(&worker_ports),
            StreamRestoreTerms {
                progress,
                ..terms.clone()
            },
        )
    });
    let archive: Rc<dyn actors::ports::Archive> = Rc::new(outside.archive()?);
    planning::count_beside(wanted, Rc::clone(&archive), standing.clone(), stop.clone());
    let task = RestoreTask {
        sources: which_streams(wanted),
        feeds: feed_rules(wanted),
        terms: planning::terms_beside(wanted),
        skip_existing: wanted.skip_existing,
        allow_empty: wanted.allow_empty,
        begun: unfinished.begun,
        source_ports: SourcePorts {
            archive: Rc::clone(&archive),
            workers: workers.recipient(),
            state: Rc::clone(&state),
            standing: standing.clone(),
            retry: settings.retry.clone(),
            stop: stop.clone(),
            // Nobody waits for the next job while this one ends.
            most_out: 2 * settings.workers,
            failures_in_row: settings.consecutive_failures,
            prefer: settings.reading.prefer,
            found: Rc::default(),
            seen: Rc::default(),
        },
        feed_ports: FeedRestorePorts {
            archive,
            target: Rc::new(outside.target()?),
            state,
            standing: standing.clone(),
            retry: settings.retry.clone(),
            stop,
            prefer: settings.reading.prefer,
            requests: Arc::new(Semaphore::new(REQUESTS)),
            spool,
            memory: BundleMemory::default(),
            readable: Rc::default(),
            witnesses: Witnesses::default(),
        },
    };
    let restore = RestoreActor::new(task, supervisor.clone().recipient()).start();
    if supervisor.try_send(Watch::Restore(restore)).is_err() {
        log::error!("the supervisor could not be told what to watch");
    }
    Ok(supervisor)
}

/// Which streams of which sources.
fn which_streams(wanted: &Wanted) -> Vec<(SourceName, WhichStreams)> {
    let selection = &wanted.selection;
    let sources = selection.stream_sources(&wanted.settings.restored_sources());
    let hashes = Hashes::new(selection.sha256s().iter().copied().collect());
    let which = sources.into_iter().map(|source| {
        let which = match selection.keys() {
            Some(keys) => WhichStreams::Named(keys.streams_of(&source)),
            None => WhichStreams::Labels {
                labels: selection.labels().iter().cloned().collect(),
                hashes: Hashes::clone(&hashes),
            },
        };
        (source, which)
    });
    which.collect()
}

/// Which bundles of which feeds.
fn feed_rules(wanted: &Wanted) -> Vec<FeedRestoreRules> {
    let (settings, selection) = (&wanted.settings, &wanted.selection);
    let rules = selection.feeds(&settings.restored_sources()).into_iter();
    let rules = rules.map(|feed| FeedRestoreRules {
        which: match selection.keys() {
            Some(keys) => WhichBundles::Named(keys.bundles_of(&feed)),
            None => WhichBundles::All,
        },
        window: selection.window(),
        keeps: keeps(wanted, &feed),
        feed,
    });
    rules.collect()
}

/// How long the source of a feed keeps its events.
fn keeps(wanted: &Wanted, feed: &Feed) -> Option<Duration> {
    let source = wanted
        .settings
        .sources
        .iter()
        .find(|source| source.name == *feed.source())?;
    let days = u32::try_from(source.expires_after_days?).unwrap_or(u32::MAX);
    Some(Duration::from_secs(24 * 3600).saturating_mul(days))
}

fn stage_budgets(wanted: &Wanted) -> StageBudgets {
    let stages = &wanted.settings.stages;
    StageBudgets {
        events: stages.events,
        hit_cache: stages.cache,
        streams: stages.streams,
        state: stages.state,
        streams_worked_off: stages.streams,
    }
}

/// The final report, and the sentence that it all comes to.
fn finish(reporter: &Reporter, wanted: &Wanted, progress: &Progress, ended: &Ended) -> Verdict {
    let ending = match &ended.reason {
        EndReason::RestoreFinished => Ending::Finished,
        reason => Ending::Stopped {
            why: match reason {
                EndReason::Signal => "a signal".to_owned(),
                EndReason::RestoreHalted(why) => why.clone(),
                reason => reason.to_string(),
            },
            at: progress.stage.as_str().to_owned(),
        },
    };
    let nothing_of = match wanted.allow_empty {
        true => Vec::new(),
        false => progress.nothing_of(&wanted.selection),
    };
    reporter.finish(progress, &ending, nothing_of)
}
