//! *Staged shutdown*: after a signal the program is gone within its budget, whatever hangs, and the next start
//! finishes what it left.

use actors::fault_point::{FaultPoint, read_trace};
use sandbox::dispatcher::{Call, Fault};
use sandbox::generator::{Shape, World};
use sandbox::s3::{Failure, Operation};

use crate::aftermath::{BUDGET, End, GRACE, hasty, next_start_completes, stop};
use crate::raw_tcp::{RawServer, Step};
use crate::scene::{Scene, binary, event, events_of, feed, wait_for};

/// A source with some events and binaries.
fn scene(seed: u64) -> (Scene, u64) {
    let world = World::new(Shape::new(seed, 1, 60)).unwrap();
    let scene = hasty(Scene::new(&["samples"]).set("BK__EVENT_BATCH_SIZE", 10));
    scene.dispatcher.fill(&world, true);
    (scene, events_of(&world))
}

/// Runs until `hangs`, is told to stop then, and is gone in time; returns what this and the next start logged.
fn is_gone_in_time(arranged: (Scene, u64), hangs: impl Fn(&Scene) -> bool) -> (String, String) {
    let (scene, events) = arranged;
    let mut program = scene.start();
    wait_for("it hangs", &mut program, || hangs(&scene));
    let end = stop(program);
    end.is_orderly();
    (end.log, next_start_completes(&scene, events))
}

fn bucket_hangs(operation: Operation) {
    let (scene, events) = scene(20 + operation as u64);
    scene.s3.knobs().fail_next(operation, usize::MAX, Failure::Hang);
    let (log, _) = is_gone_in_time((scene, events), |scene| {
        scene.s3.counters().seen().requests_of(operation) >= 5
    });
    assert!(log.contains("did not end within"), "{log}");
    assert!(
        log.contains("writes a bundle"),
        "who was waited for is told\n{log}"
    );
    assert!(log.contains("stay pending in local state"), "{log}");
}

#[test]
fn a_bucket_that_hangs_at_heads() {
    bucket_hangs(Operation::HeadObject);
}

#[test]
fn a_bucket_that_hangs_at_puts() {
    bucket_hangs(Operation::PutObject);
}

#[test]
fn a_bucket_that_hangs_at_the_start() {
    let (scene, events) = scene(1);
    scene.s3.knobs().set_hang(true);
    let (log, _) = is_gone_in_time((scene, events), |scene| scene.s3.counters().seen().in_flight > 0);
    assert!(log.contains("before it had begun"), "{log}");
}

#[test]
fn a_dispatcher_that_hangs_at_pulls_leaves_marks_that_become_suspect_pulls() {
    let (scene, events) = scene(2);
    scene.dispatcher.order_fault(Call::Pull, Fault::Hang, 1000);
    let (log, next) = is_gone_in_time((scene, events), |scene| {
        scene.pulls("backup-events-samples-sourced-1") > 0
    });
    assert!(log.contains("a pull in flight for"), "{log}");
    assert!(log.contains("pulls stay, which the next start records"), "{log}");
    let suspect = "suspect pull of feed samples/binary/sourced";
    assert!(!log.contains(suspect) && next.contains(suspect), "{next}");
}

#[test]
fn a_dispatcher_that_hangs_at_downloads() {
    let (scene, events) = scene(3);
    scene.dispatcher.order_fault(Call::Download, Fault::Hang, 1000);
    let (log, _) = is_gone_in_time((scene, events), |scene| scene.dispatcher.all_downloads().0 >= 4);
    assert!(
        log.contains("waiting for 4 streams under way: stream samples/"),
        "{log}"
    );
}

#[test]
fn a_dispatcher_that_hangs_in_the_middle_of_a_download() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nonly the beginning";
    let half = || vec![Step::Read, Step::Send(head.to_vec()), Step::Hang];
    let streams = RawServer::start((0..50).map(|_| half()));
    let (scene, events) = scene(4);
    let dispatcher = scene.dispatcher.url();
    let scene = scene.set("BK__DISPATCHER_STREAMS", streams.url());
    let mut program = scene.start();
    wait_for("the workers wait for more", &mut program, || {
        streams.requests().len() >= 4
    });
    let end = stop(program);
    end.is_orderly();
    assert!(scene.streams().is_empty(), "half a stream is none");
    next_start_completes(&scene.set("BK__DISPATCHER_STREAMS", dispatcher), events);
}

#[test]
fn a_bucket_and_a_dispatcher_that_both_hang() {
    let (scene, events) = scene(5);
    let mut program = scene.start();
    wait_for("it has begun", &mut program, || {
        scene.pulls("backup-events-samples-sourced-1") > 0
    });
    scene.dispatcher.order_fault(Call::Pull, Fault::Hang, 1000);
    scene.dispatcher.order_fault(Call::Download, Fault::Hang, 1000);
    scene.s3.knobs().set_hang(true);
    let before = scene.pulls("backup-events-samples-mapped-1");
    wait_for("a pull hangs", &mut program, || {
        scene.pulls("backup-events-samples-mapped-1") > before
    });
    stop(program).is_orderly();
    next_start_completes(&scene, events);
}

/// Runs with a fault point armed until `reached`, and is told to stop then.
fn with_fault_point(armed: &Scene, reached: impl Fn(&Scene) -> bool) -> End {
    let mut program = armed.start();
    wait_for("it has come so far", &mut program, || reached(armed));
    stop(program)
}

/// A scene whose events are all in local state, because the bucket takes no bundle.
fn all_received(seed: u64) -> (Scene, impl Fn(&Scene) -> bool) {
    const CONSUMER: &str = "backup-events-samples-enriched-1";
    let world = World::new(Shape::new(seed, 1, 0).with_events([0, 0, 0, 0, 60])).unwrap();
    let scene = hasty(Scene::new(&["samples"]).set("BK__EVENT_BATCH_SIZE", 10));
    scene.dispatcher.fill(&world, true);
    scene
        .s3
        .knobs()
        .fail_next(Operation::PutObject, usize::MAX, Failure::Hang);
    let all_received = |scene: &Scene| {
        let handed_out = scene.dispatcher.given(CONSUMER).handed_out.len();
        handed_out == 60 && scene.s3.counters().seen().requests_of(Operation::PutObject) > 0
            // Its answer is journaled before the next pull is sent.
            && scene.pulls(CONSUMER) > 6
    };
    (scene, all_received)
}

#[test]
fn a_disk_that_hangs_while_local_state_is_written() {
    let (scene, events) = scene(6);
    let trace = scene.folder.path().join("trace");
    let armed = scene
        .set("FAULT_POINTS", "state.written=hang@25")
        .set("FAULT_POINTS_TRACE", trace.display());
    let end = with_fault_point(&armed, |_| {
        let passed = read_trace(&trace).unwrap().passed;
        passed.contains(&(FaultPoint::StateWritten, 25))
    });
    end.is_orderly();
    let given_up = "stage local state did not end within";
    assert!(end.log.contains(given_up), "{}", end.log);
    next_start_completes(&armed.without("FAULT_POINTS"), events);
}

#[test]
fn a_disk_that_hangs_while_local_state_is_opened() {
    let (scene, events) = scene(13);
    let trace = scene.folder.path().join("trace");
    let armed = scene
        .set("FAULT_POINTS", "state.opened=hang")
        .set("FAULT_POINTS_TRACE", trace.display());
    let end = with_fault_point(&armed, |_| {
        let passed = read_trace(&trace).unwrap().passed;
        passed.contains(&(FaultPoint::StateOpened, 1))
    });
    end.is_orderly();
    let told = "ended before it had begun; local state was not closed within";
    assert!(
        end.log.contains(told) && !end.log.contains("in good order"),
        "{}",
        end.log
    );
    next_start_completes(&armed.without("FAULT_POINTS"), events);
}

#[test]
fn a_disk_that_hangs_while_an_answer_is_written() {
    let (scene, _) = scene(12);
    let trace = scene.folder.path().join("trace");
    let armed = scene
        .set("FAULT_POINTS", "answer.written=hang")
        .set("FAULT_POINTS_TRACE", trace.display());
    let end = with_fault_point(&armed, |_| {
        let passed = read_trace(&trace).unwrap().passed;
        passed
            .iter()
            .any(|(point, _)| *point == FaultPoint::AnswerWritten)
    });
    end.is_orderly();
    let marks = "the marks of 1 pulls stay, which the next start records";
    assert!(end.log.contains(marks), "{}", end.log);
    let scene = armed.without("FAULT_POINTS");
    let mut program = scene.start();
    wait_for("the suspect pull is told", &mut program, || {
        scene
            .logs()
            .iter()
            .any(|log| log.contains("suspect pull of feed samples/"))
    });
    stop(program).is_orderly();
}

#[test]
fn a_disk_that_hangs_while_local_state_is_closed() {
    let (scene, received) = all_received(7);
    let armed = scene.set("FAULT_POINTS", "state.closing=hang");
    let end = with_fault_point(&armed, received);
    end.is_orderly();
    let who = "not ended: the flush of local state";
    assert!(end.log.contains(who), "{}", end.log);
    next_start_completes(&armed.without("FAULT_POINTS"), 60);
}

#[test]
fn a_thread_of_actors_that_is_blocked_is_ended_by_the_watchdog() {
    let (scene, received) = all_received(8);
    let armed = scene.set("FAULT_POINTS", "end.events=hang");
    let end = with_fault_point(&armed, received);
    assert_eq!(end.code, Some(1), "{}", end.log);
    assert!(end.took >= BUDGET + GRACE, "not before its time: {:?}", end.took);
    assert!(end.took < BUDGET + 3 * GRACE, "{:?}", end.took);
    let said = "watchdog: the process has not ended within";
    assert!(end.log.contains(said), "{}", end.log);
    assert!(end.log.contains("last seen in stage events"), "{}", end.log);
    next_start_completes(&armed.without("FAULT_POINTS"), 60);
}

#[test]
fn a_thread_of_actors_that_is_blocked_while_it_runs_is_found_out_without_a_signal() {
    let (scene, _) = all_received(11);
    let armed = scene
        .set("BK__EVENT_BATCH_SIZE", 60)
        .set("FAULT_POINTS", "bundle.sealed=hang")
        .set("FAULT_POINTS_HURRY", 30);
    let mut program = armed.start();
    assert_eq!(program.wait().code(), Some(1), "{}", program.log());
    let log = program.log();
    assert!(
        log.contains("watchdog: the thread of the actors has given no sign"),
        "{log}"
    );
    assert!(log.contains("last seen in stage running"), "{log}");
    drop(program);
    next_start_completes(&armed.without("FAULT_POINTS").without("FAULT_POINTS_HURRY"), 60);
}

#[test]
fn a_supervisor_that_panics_ends_the_program_at_once() {
    let (scene, received) = all_received(9);
    let armed = scene.set("FAULT_POINTS", "end.events=panic");
    let end = with_fault_point(&armed, received);
    assert_eq!(end.code, Some(1), "{}", end.log);
    assert!(end.took < BUDGET, "{:?}", end.took);
    let said = "the backup ended because the supervisor does not answer any more";
    assert!(end.log.contains(said), "{}", end.log);
    next_start_completes(&armed.without("FAULT_POINTS"), 60);
}

#[test]
fn a_feed_that_panics_ends_the_backup_and_the_others_are_finished() {
    let (scene, events) = scene(10);
    let armed = scene.set("FAULT_POINTS", "bundle.put=panic");
    let mut program = armed.start();
    assert_eq!(program.wait().code(), Some(1), "{}", program.log());
    let log = program.log();
    assert!(log.contains("ending: the actor of feed samples/binary/"), "{log}");
    assert!(log.contains("panic on thread"), "{log}");
    assert!(log.contains("working off all"), "{log}");
    assert!(log.contains("; 0 streams stay pending"), "{log}");
    next_start_completes(&armed.without("FAULT_POINTS"), events);
}

#[test]
fn streams_of_a_feed_that_hang_are_told_one_by_one() {
    let scene = hasty(Scene::new(&["samples"]));
    let sha256 = binary(&scene, "samples", b"never comes");
    scene.dispatcher.order_fault(Call::Download, Fault::Hang, 10);
    let mut program = scene.start();
    let streams = [("content", sha256.clone())];
    let named = event("samples", "sourced", "k", "2025-07-30T06:02:59Z", &streams);
    scene.dispatcher.append(&feed("samples/binary/sourced"), [named]);
    wait_for("the download hangs", &mut program, || {
        scene.dispatcher.all_downloads().0 == 1
    });
    let end = stop(program);
    end.is_orderly();
    let out = format!("waiting for 1 streams under way: stream samples/content/{sha256} (for");
    assert!(end.log.contains(&out), "{}", end.log);
    assert!(
        end.log
            .contains("1 events were written to the bucket in 1 bundles"),
        "{}",
        end.log
    );
    next_start_completes(&scene, 1);
}
