//! How a restore is stopped, and how the next start goes on: what is repeated, what begins anew.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use actors::fault_point::FaultPoint as At;
use sandbox::child::Ending;
use sandbox::generator::Shape;
use sandbox::torture::trial::Life;
use sandbox::torture_restore::stock::{Flaws, Holds, Object};
use sandbox::torture_restore::trial::{FROM_THE_START, GOING_ON, RestoreTrial};

const LONGEST: Duration = Duration::from_secs(60);

const WORKERS: u64 = 3;

/// One source, all of it good, all in the bucket.
fn trial(base: &Path) -> RestoreTrial {
    let shape = Shape::new(3, 1, 0)
        .with_events([40, 20, 10, 6, 30])
        .with_sizes(1..=2000);
    let sandbox = PathBuf::from(env!("CARGO_BIN_EXE_sandbox"));
    let mut trial = RestoreTrial::with(base, &sandbox, shape, 5, Flaws::default()).unwrap();
    trial.set("BK__STREAM_ROUTINE_COUNT", WORKERS);
    trial.s3.knobs().set_page(Some(10));
    trial.put_all().unwrap();
    trial
}

fn await_passing(life: &mut Life, at: At, times: u64) {
    let begun = Instant::now();
    while life.passed(at).unwrap() < times {
        assert!(
            life.program.poll().unwrap().is_none() && begun.elapsed() < LONGEST,
            "{}",
            life.log()
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Lets a start come so far, and stops it.
fn stop_at(trial: &mut RestoreTrial, at: At, times: u64) -> Life {
    trial.s3.knobs().set_latency(Duration::from_millis(15));
    let mut life = trial.start("").unwrap();
    await_passing(&mut life, at, times);
    life.program.signal(libc::SIGTERM);
    let ending = trial.await_end(&mut life, LONGEST).unwrap();
    assert_eq!(ending, Ending::Exit(1), "{}", life.log());
    assert!(life.log().contains("STOPPED EARLY"), "{}", life.log());
    trial.heal().unwrap();
    life
}

/// The next start ends by itself, and all is well.
fn finish(trial: &mut RestoreTrial) -> Life {
    let mut life = trial.start("").unwrap();
    let ending = trial.await_end(&mut life, LONGEST).unwrap();
    assert_eq!(ending, Ending::Exit(0), "{}", life.log());
    life
}

fn assert_good(trial: &RestoreTrial, life: &Life) {
    let verdict = trial.verdict(life).unwrap();
    assert!(verdict.is_good(), "{verdict:#?}");
}

fn streams(trial: &RestoreTrial) -> u64 {
    trial
        .stock
        .numbers(|object| matches!(object.holds, Holds::Stream))
        .len() as u64
}

fn uploads(trial: &RestoreTrial) -> u64 {
    trial.dispatcher.shared().upload_totals().taken
}

#[test]
fn after_a_sigterm_the_next_start_repeats_at_most_what_was_in_flight() {
    let base = tempfile::tempdir().unwrap();
    let mut trial = trial(base.path());
    stop_at(&mut trial, At::RestoreStreamSent, 12);
    let before = uploads(&trial);
    assert!((12..streams(&trial)).contains(&before), "{before}");
    let life = finish(&mut trial);
    assert!(life.log().contains(GOING_ON), "{}", life.log());
    let repeated = uploads(&trial) - streams(&trial);
    assert!(repeated <= WORKERS, "{repeated} of {before}");
    assert_good(&trial, &life);
}

#[test]
fn after_a_sigterm_among_events_no_bundle_that_is_done_is_published_again() {
    let base = tempfile::tempdir().unwrap();
    let mut trial = trial(base.path());
    stop_at(&mut trial, At::RestoreBundleDone, 5);
    let life = finish(&mut trial);
    assert_good(&trial, &life);
    assert_eq!(uploads(&trial), streams(&trial), "streams were all done");
    let verdict = trial.verdict(&life).unwrap();
    // A bundle of up to five events for each of the five feeds.
    assert!(verdict.repeated_events <= 5 * 5, "{verdict:?}");
}

#[test]
fn told_to_stop_while_nothing_answers_it_is_gone_within_its_budget() {
    let base = tempfile::tempdir().unwrap();
    let mut trial = trial(base.path());
    for stage in ["EVENTS", "CACHE", "STREAMS", "STATE"] {
        trial.set(&format!("BK__STAGE_{stage}"), "1s");
    }
    trial.s3.knobs().set_latency(Duration::from_millis(15));
    let mut life = trial.start("").unwrap();
    await_passing(&mut life, At::RestoreStreamSent, 5);
    trial.s3.knobs().set_hang(true);
    trial.dispatcher.order_fault(
        sandbox::dispatcher::Call::Upload,
        sandbox::dispatcher::Fault::Hang,
        1000,
    );
    life.program.signal(libc::SIGTERM);
    let ending = trial.await_end(&mut life, LONGEST).unwrap();
    assert_eq!(ending, Ending::Exit(1), "{}", life.log());
    trial.heal().unwrap();
    let life = finish(&mut trial);
    assert!(life.log().contains(GOING_ON), "{}", life.log());
    assert_good(&trial, &life);
}

#[test]
fn a_second_signal_means_now_whatever_the_budget() {
    let base = tempfile::tempdir().unwrap();
    let mut trial = trial(base.path());
    for stage in ["EVENTS", "CACHE", "STREAMS"] {
        trial.set(&format!("BK__STAGE_{stage}"), "1000s");
    }
    let mut life = trial.start(&format!("{}=hang", At::RestoreStreamBegun)).unwrap();
    await_passing(&mut life, At::RestoreStreamBegun, 1);
    life.program.signal(libc::SIGTERM);
    await_passing(&mut life, At::EndEvents, 1);
    assert_eq!(
        life.program.poll().unwrap(),
        None,
        "a worker hangs: it is waited for"
    );
    life.program.signal(libc::SIGTERM);
    let ending = trial.await_end(&mut life, LONGEST).unwrap();
    assert_eq!(ending, Ending::Exit(1), "{}", life.log());
    let life = finish(&mut trial);
    assert_good(&trial, &life);
}

#[test]
fn a_restore_after_a_finished_one_begins_from_the_start() {
    let base = tempfile::tempdir().unwrap();
    let mut trial = trial(base.path());
    finish(&mut trial);
    assert_eq!(uploads(&trial), streams(&trial));
    let life = finish(&mut trial);
    assert!(life.log().contains(FROM_THE_START), "{}", life.log());
    assert_eq!(uploads(&trial), 2 * streams(&trial));
    assert_good(&trial, &life);
}

#[test]
fn another_selection_has_checkpoints_of_its_own_and_from_start_ignores_them() {
    let base = tempfile::tempdir().unwrap();
    let mut trial = trial(base.path());
    stop_at(&mut trial, At::RestoreStreamSent, 12);
    let before = uploads(&trial);
    trial.arguments.extend(["--label", "content"]);
    let life = finish(&mut trial);
    assert!(life.log().contains(FROM_THE_START), "{}", life.log());
    let content = trial
        .stock
        .numbers(|object| object.key.starts_with("samples/content/"));
    assert_eq!(uploads(&trial), before + content.len() as u64);
    trial.arguments.truncate(2);
    stop_at(&mut trial, At::RestoreStreamSent, 1);
    trial.arguments.push("--from-start");
    let before = uploads(&trial);
    let life = finish(&mut trial);
    assert!(life.log().contains(FROM_THE_START), "{}", life.log());
    assert_eq!(uploads(&trial), before + streams(&trial));
    assert_good(&trial, &life);
}

#[test]
fn what_lay_under_a_mark_may_be_gone() {
    let base = tempfile::tempdir().unwrap();
    let mut trial = trial(base.path());
    stop_at(&mut trial, At::RestoreBundleDone, 5);
    let before = uploads(&trial);
    // All streams are done: so every mark loses its key, and the feeds lose the bundles that are done.
    let shared = trial.dispatcher.shared().clone();
    let received = |object: &Object| match &object.holds {
        Holds::Stream => true,
        Holds::Bundle { feed, events, .. } => {
            let published = shared.published(feed).0;
            events.iter().all(|event| {
                published
                    .iter()
                    .any(|receipt| *receipt.kafka_key == *event.kafka_key)
            })
        }
        Holds::BadStream | Holds::BadBundle { .. } => false,
    };
    let mut gone = trial.stock.numbers(received);
    // Of each kind some are left, as where only what is old has aged off.
    gone.retain(|number| number % 5 > 0);
    for number in gone {
        trial.stock.vanish(number).unwrap();
    }
    let life = finish(&mut trial);
    assert!(life.log().contains(GOING_ON), "{}", life.log());
    assert_eq!(uploads(&trial), before);
    assert_good(&trial, &life);
}
