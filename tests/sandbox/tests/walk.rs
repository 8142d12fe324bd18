//! A walk over all fault points: at each the program dies, fails or panics once, is started again, and afterwards
//! nothing is lost, and nothing is in the bucket that should not be.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use actors::avro::{ModelVersion, encode};
use actors::fault_point::FaultPoint as At;
use actors::feed::Model;
use actors::ports::state::{Change, LocalState};
use actors::stream_id::{Sha256, StreamId};
use actors::timestamp::Timestamp;
use anyhow::{Context, bail, ensure};
use azul_backup::adapters::state::SledState;
use sandbox::child::Ending;
use sandbox::dispatcher::{Body, RawEvent};
use sandbox::generator::{Shape, World};
use sandbox::s3::{Failure, Operation};
use sandbox::torture::plan::LARGE;
use sandbox::torture::trial::{Life, Trial};
use serde_json::json;

/// How many walk side by side: most of the time each waits for a pull.
const SIDE_BY_SIDE: usize = 6;

/// How long it may take until the program comes to a point.
const LONGEST: Duration = Duration::from_secs(60);

/// Where the disk may fail.
const ON_DISK: [At; 11] = [
    At::StateBegun,
    At::IdentityWritten,
    At::AnswerWriting,
    At::AnswerWritten,
    At::AnswerSynced,
    At::AnswerRenamed,
    At::AsideExplained,
    At::StateWritten,
    At::StateFlushed,
    At::StateReopened,
    At::StateClosing,
];

/// Where a panic takes with it an actor, a worker, a thread of the blocking pool, or the writer of local state.
const PANICS: [At; 22] = [
    At::PullMarked,
    At::AnswerComing,
    At::AnswerWritten,
    At::AnswerRenamed,
    At::AnswerKept,
    At::PullSuspected,
    At::BatchJournaled,
    At::StreamsPending,
    At::StreamsNamed,
    At::BundleSealed,
    At::BundlePut,
    At::BundleWritten,
    At::BatchUnlinked,
    At::BatchRemoved,
    At::StreamBegun,
    At::StreamComing,
    At::PartSent,
    At::StreamPut,
    At::StreamStored,
    At::StreamMissing,
    At::StateWritten,
    At::StateFlushed,
];

/// Points that are passed often, at a later passing.
const LATER: [(At, u64); 14] = [
    (At::PullMarked, 9),
    (At::AnswerRenamed, 3),
    (At::BatchJournaled, 3),
    (At::BundleSealed, 2),
    (At::BundlePut, 3),
    (At::BatchUnlinked, 2),
    (At::StreamPut, 4),
    (At::StreamStored, 3),
    (At::StateWritten, 5),
    (At::StateWritten, 12),
    (At::StateWritten, 25),
    (At::StateFlushed, 6),
    (At::StateFlushed, 13),
    (At::StateFlushed, 26),
];

/// Points at which a batch of a version that the program does not know may be.
const OF_UNKNOWN_VERSION: [At; 6] = [
    At::AnswerKept,
    At::BatchAdopted,
    At::BatchJournaled,
    At::BundleSealed,
    At::BundlePut,
    At::BatchUnlinked,
];

#[derive(Clone, Copy, Debug)]
struct Case {
    at: At,
    action: &'static str,
    passing: u64,
    version: i64,
}

impl Case {
    fn new(at: At, action: &'static str) -> Self {
        Self {
            at,
            action,
            passing: 1,
            version: 6,
        }
    }

    fn all() -> VecDeque<Self> {
        let of_backup = At::ALL.iter().filter(|at| !at.is_of_restore());
        let kills = of_backup.map(|at| Self::new(*at, "kill"));
        let failures = ON_DISK.iter().map(|at| Self::new(*at, "fail"));
        let full = ON_DISK.iter().map(|at| Self::new(*at, "full"));
        let panics = PANICS.iter().map(|at| Self::new(*at, "panic"));
        let later = LATER.iter().map(|(at, passing)| Self {
            passing: *passing,
            ..Self::new(*at, "kill")
        });
        let unknown = OF_UNKNOWN_VERSION.iter().map(|at| Self {
            version: 7,
            ..Self::new(*at, "kill")
        });
        kills
            .chain(failures)
            .chain(full)
            .chain(panics)
            .chain(later)
            .chain(unknown)
            .collect()
    }

    /// What an earlier start has to die of, for this one to come to the point.
    fn earlier(&self) -> Option<At> {
        match self.at {
            At::LeftoverAborted => Some(At::UploadNoted),
            At::BatchForgotten => Some(At::BatchUnlinked),
            At::BatchAdopted => Some(At::AnswerKept),
            At::MarkSuspected => Some(At::PullMarked),
            At::SealFound => Some(At::BundleSealed),
            At::StreamSetAside => Some(At::StreamFailed),
            At::StreamsRevived => Some(At::StreamMissing),
            _ => None,
        }
    }

    fn needs_large_streams(&self) -> bool {
        let at_upload = |at: At| (At::UploadExpected..=At::UploadAborted).contains(&at);
        at_upload(self.at) || self.earlier().is_some_and(at_upload)
    }

    fn needs_nonsense(&self) -> bool {
        matches!(self.at, At::AsideExplained | At::AsidePut | At::PullSuspected)
    }

    fn is_at_the_end(&self) -> bool {
        (At::EndEvents..=At::StateClosing).contains(&self.at)
    }

    /// The points, as the environment has them.
    fn points(&self) -> String {
        let Self {
            at, action, passing, ..
        } = self;
        let own = format!("{at}={action}@{passing}");
        match at {
            At::StateReopened => format!("{}=full@4,{own}", At::StateWritten),
            _ => own,
        }
    }
}

/// The executable; another one, where the environment names it.
fn sandbox() -> PathBuf {
    let named = std::env::var_os("CARGO_BIN_EXE_sandbox");
    named.map_or_else(|| env!("CARGO_BIN_EXE_sandbox").into(), PathBuf::from)
}

fn stream(sha256: &Sha256) -> StreamId {
    StreamId::new("samples", "content", &sha256.to_string()).unwrap()
}

/// Bytes that do not shrink, and their SHA-256.
fn large() -> &'static (Vec<u8>, Sha256) {
    static BYTES: OnceLock<(Vec<u8>, Sha256)> = OnceLock::new();
    BYTES.get_or_init(|| {
        let mut bytes = vec![0; LARGE as usize];
        fastrand::Rng::with_seed(1).fill(&mut bytes);
        let sha256 = Sha256::of(&bytes);
        (bytes, sha256)
    })
}

/// An event that names these streams.
fn event(key: &str, streams: &[StreamId]) -> RawEvent {
    let author = json!({"name": "walk", "version": "1", "category": "plugin"});
    let streams = streams
        .iter()
        .map(|stream| json!({"label": stream.label(), "sha256": stream.sha256().to_string()}));
    let streams: Vec<_> = streams.collect();
    let main = "a".repeat(64);
    let path = json!([{"author": author, "action": "sourced", "sha256": main}]);
    let json = json!({
        "model_version": 6,
        "kafka_key": key,
        "timestamp": "2025-07-30T06:02:59Z",
        "author": author,
        "action": "sourced",
        "source": {"name": "samples", "path": path},
        "entity": {"sha256": main, "datastreams": streams},
    });
    let framing = &mut encode::Framing::default();
    RawEvent {
        kafka_key: key.to_owned(),
        timestamp: "2025-07-30T06:02:59Z".parse().unwrap(),
        bytes: encode::event(Model::Binary, ModelVersion::V6, &json, framing).into(),
    }
}

/// A small world: one source, binaries good, missing and wrong; large ones where they are needed.
fn trial(case: &Case, world: &Arc<World>, base: &Path) -> anyhow::Result<Trial> {
    let mut trial = Trial::new(base, &sandbox(), Arc::clone(world))?;
    let feed = "samples/binary/sourced".parse()?;
    let (missing, wrong) = (stream(&Sha256::of(b"missing")), stream(&Sha256::of(b"wrong")));
    trial.falsify(&wrong, b"other bytes".to_vec());
    let mut named = vec![missing, wrong];
    if case.needs_large_streams() {
        let (bytes, sha256) = large();
        let (right, wrong) = (stream(sha256), stream(&Sha256::of(b"wrong and large")));
        trial
            .dispatcher
            .put_stream(&right, Body::Given(bytes.clone().into()));
        trial.falsify(&wrong, bytes.clone());
        named.extend([right, wrong]);
    }
    trial.dispatcher.append(&feed, [event("special", &named)]);
    trial.dispatcher.shared().set_model_version(case.version);
    Ok(trial)
}

/// Makes an earlier start leave what the case needs.
fn live_earlier(case: &Case, earlier: At, trial: &mut Trial) -> anyhow::Result<()> {
    let mut life = trial.start(&format!("{earlier}=kill"))?;
    let ending = trial.await_end(&mut life, LONGEST)?;
    ensure!(
        ending == Ending::Signal(libc::SIGKILL),
        "the earlier start ended with {ending:?}"
    );
    match case.at {
        At::StreamSetAside => trial.dispatcher.drop_stream(&stream(&Sha256::of(b"wrong"))),
        At::StreamsRevived => {
            let state = SledState::open(&trial.state())?;
            let now = Timestamp::now();
            let day_before = Timestamp::from_micros(now.as_micros() - 25 * 3600 * 1_000_000);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let missing = stream(&Sha256::of(b"missing"));
            runtime.block_on(async {
                state.record(Change::StreamMissing(missing, day_before)).await?;
                state.close().await
            })?;
        }
        _ => {}
    }
    Ok(())
}

fn await_passing(life: &mut Life, at: At, times: u64) -> anyhow::Result<()> {
    let begun = std::time::Instant::now();
    while life.passed(at)? < times {
        if let Some(ending) = life.program.poll()?
            && life.passed(at)? < times
        {
            bail!("it ended with {ending:?} before {at}; {}", life.log());
        }
        ensure!(
            begun.elapsed() < LONGEST,
            "it does not come to {at}; {}",
            life.log()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// What a case has left is kept if it failed.
fn walk(case: &Case, world: &Arc<World>) -> anyhow::Result<()> {
    let base = tempfile::tempdir()?;
    walk_in(base.path(), case, world)
        .with_context(|| format!("everything is kept in {}", base.keep().display()))
}

fn walk_in(base: &Path, case: &Case, world: &Arc<World>) -> anyhow::Result<()> {
    let mut trial = trial(case, world, base)?;
    if let Some(earlier) = case.earlier() {
        live_earlier(case, earlier, &mut trial)?;
    }
    if case.needs_nonsense() {
        trial.talk_nonsense(1);
    }
    trial.publish_all();
    let mut life = trial.start(&case.points())?;
    if case.is_at_the_end() {
        await_passing(&mut life, At::BatchJournaled, 1)?;
        life.program.signal(libc::SIGTERM);
    }
    await_passing(&mut life, case.at, case.passing)?;
    let ending = match case.action {
        "kill" => trial.await_end(&mut life, LONGEST)?,
        _ => trial.finish(&mut life)?,
    };
    let may_be = match case.action {
        "kill" => ending == Ending::Signal(libc::SIGKILL),
        "panic" => matches!(ending, Ending::Exit(0 | 1)),
        _ => matches!(ending, Ending::Exit(0 | 1)),
    };
    ensure!(may_be, "it ended with {ending:?}; {}", life.log());
    trial.dispatcher.shared().set_model_version(6);
    trial.catch_up().context("the next start")?;
    let verdict = trial.verdict()?;
    ensure!(verdict.is_good(), "{verdict}");
    ensure!(verdict.events > 0, "{verdict:?}");
    Ok(())
}

#[test]
fn at_whatever_point_it_dies_nothing_is_lost() {
    let mut shape = Shape::new(5, 1, 0)
        .with_events([12, 6, 6, 4, 30])
        .with_sizes(1..=3000);
    shape.system_events = 3;
    let world = World::new(shape).unwrap();
    let only = std::env::var("WALK_ONLY").unwrap_or_default();
    let cases = Case::all()
        .into_iter()
        .filter(|case| format!("{case:?}").contains(&only));
    let cases: Mutex<VecDeque<Case>> = Mutex::new(cases.collect());
    let (walked, faults) = (Mutex::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(case) = { cases.lock().unwrap().pop_front() } {
                    if let Err(fault) = walk(&case, &world) {
                        faults.lock().unwrap().push(format!("{case:?}: {fault:#}"));
                    }
                    *walked.lock().unwrap() += 1;
                }
            });
        }
    });
    let (walked, faults) = (walked.into_inner().unwrap(), faults.into_inner().unwrap());
    assert!(
        faults.is_empty(),
        "{} of {walked} cases:\n{}",
        faults.len(),
        faults.join("\n\n")
    );
    let of_backup = At::ALL.iter().filter(|at| !at.is_of_restore());
    assert!(walked > of_backup.count() || !only.is_empty());
}

/// Two batches of one feed, the second journaled while the first waits to be written.
fn two_batches(points: &str, acknowledged: bool) -> anyhow::Result<()> {
    let world = World::new(Shape::new(6, 1, 0).with_events([0, 0, 0, 0, 20]))?;
    let base = tempfile::tempdir()?;
    let mut trial = Trial::new(base.path(), &sandbox(), world)?;
    trial.set("BK__EVENT_BATCH_SIZE", 100);
    trial.set("BK__EVENT_BATCH_MAX_AGE", "2s");
    let feed = "samples/binary/enriched".parse()?;
    trial.dispatcher.release(&feed, 10);
    let mut life = trial.start(points)?;
    if acknowledged {
        await_passing(&mut life, At::BatchJournaled, 1)?;
    } else {
        let lost = Failure::StatusAfter(500);
        trial.s3.knobs().fail_next(Operation::PutObject, usize::MAX, lost);
        await_passing(&mut life, At::BundleSealed, 1)?;
    }
    trial.dispatcher.release(&feed, 10);
    await_passing(&mut life, At::BatchJournaled, 2)?;
    if !acknowledged {
        let key = || {
            trial
                .s3
                .keys("azul-backup-1-events")
                .ok()
                .flatten()
                .unwrap_or_default()
        };
        while key().is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        life.program.signal(libc::SIGKILL);
    }
    trial.await_end(&mut life, LONGEST)?;
    trial.heal()?;
    trial.catch_up()?;
    let verdict = trial.verdict()?;
    ensure!(verdict.is_good() && verdict.events == 20, "{verdict:?}");
    Ok(())
}

#[test]
fn a_bundle_whose_acknowledgement_was_lost_is_repeated_as_it_was_sealed() {
    two_batches("", false).unwrap();
}

#[test]
fn a_batch_whose_file_is_gone_is_not_bundled_again() {
    two_batches("batch.unlinked=kill", true).unwrap();
}
