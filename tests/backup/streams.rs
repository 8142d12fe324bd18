//! *Backup* 3 to 6: streams come into the bucket verified, once, and bad ones do not stop the good ones.

use actors::stream_id::StreamId;
use sandbox::dispatcher::{Body, Call, Fault};
use sandbox::s3::{Failure, Operation};

use crate::scene::{Scene, binary, event, feed, wait_for};

const WHEN: &str = "2025-07-30T06:02:59Z";

fn name(scene: &Scene, key: &str, streams: &[String]) {
    let streams: Vec<_> = streams.iter().map(|sha256| ("content", sha256.clone())).collect();
    scene.dispatcher.append(
        &feed("samples/binary/sourced"),
        [event("samples", "sourced", key, WHEN, &streams)],
    );
}

fn stream(sha256: &str) -> StreamId {
    StreamId::new("samples", "content", sha256).unwrap()
}

#[test]
fn missing_and_wrong_streams_do_not_stop_the_others() {
    let scene = Scene::new(&["samples"]);
    let (good, missing, wrong) = (binary(&scene, "samples", b"good"), "1".repeat(64), "2".repeat(64));
    scene
        .dispatcher
        .put_stream(&stream(&wrong), Body::Given(b"other bytes".as_slice().into()));
    let mut program = scene.start();
    name(&scene, "k", &[missing.clone(), wrong.clone(), good.clone()]);
    wait_for("the good one is stored", &mut program, || {
        scene.streams().len() == 1
    });
    wait_for("the wrong one is told", &mut program, || {
        scene
            .logs()
            .iter()
            .any(|log| log.contains(&format!("stream samples/content/{wrong} could not be stored")))
    });
    let (code, log) = program.stop();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(scene.streams(), [format!("samples/content/{good}")]);
    assert!(log.contains("1 streams stay pending"), "{log}");
    assert!(log.contains("remembered: 1 missing"), "{log}");
}

#[test]
fn a_download_that_breaks_off_is_resumed_and_one_that_is_damaged_is_repeated() {
    for fault in [Fault::CutAfter(100_000), Fault::FlippedBit, Fault::Status(503)] {
        let scene = Scene::new(&["samples"]);
        let content: Vec<u8> = (0..400_000u32)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        let sha256 = binary(&scene, "samples", &content);
        scene.dispatcher.order_fault(Call::Download, fault, 1);
        let mut program = scene.start();
        name(&scene, "k", std::slice::from_ref(&sha256));
        wait_for("the stream is stored", &mut program, || {
            scene.streams().len() == 1
        });
        assert!(
            scene.stream(&format!("samples/content/{sha256}")) == content,
            "{fault:?}"
        );
        assert_eq!(program.stop().0, Some(0));
    }
}

#[test]
fn a_restart_does_not_repeat_what_is_in_the_bucket() {
    let scene = Scene::new(&["samples"]);
    let sha256 = binary(&scene, "samples", b"once");
    for (round, key) in ["k1", "k2"].into_iter().enumerate() {
        let mut program = scene.start();
        name(&scene, key, std::slice::from_ref(&sha256));
        wait_for("the events", &mut program, || scene.bundles().len() == round + 1);
        wait_for("the stream", &mut program, || scene.streams().len() == 1);
        assert_eq!(program.stop().0, Some(0));
    }
    assert_eq!(scene.dispatcher.downloads(&stream(&sha256)), 1);
    assert!(scene.s3.counters().seen().written_again().is_empty());
}

#[test]
fn streams_that_were_pending_at_a_kill_are_stored_by_the_next_start() {
    let scene = Scene::new(&["samples"]);
    let all: Vec<String> = (0..40)
        .map(|n| binary(&scene, "samples", format!("binary {n}").as_bytes()))
        .collect();
    scene.s3.knobs().set_hang(false);
    scene.dispatcher.order_fault(Call::Download, Fault::Hang, 4);
    let mut program = scene.start();
    name(&scene, "k", &all);
    wait_for("the workers hang", &mut program, || {
        scene.dispatcher.all_downloads().0 >= 4
    });
    program.kill();
    assert!(scene.streams().len() < 40);
    scene.dispatcher.clear_faults();
    let mut program = scene.start();
    wait_for("the rest", &mut program, || scene.streams().len() == 40);
    assert_eq!(program.stop().0, Some(0));
}

#[test]
fn as_many_failures_in_a_row_as_set_end_the_backup_and_the_next_start_finishes() {
    let scene = Scene::new(&["samples"]).set("BK__RETRY_COUNT", 2);
    let all: Vec<String> = (0..20)
        .map(|n| binary(&scene, "samples", format!("binary {n}").as_bytes()))
        .collect();
    scene
        .s3
        .knobs()
        .fail_next(Operation::PutObject, usize::MAX, Failure::Status(503));
    let mut program = scene.start();
    name(&scene, "k", &all);
    let code = program.wait().code();
    assert_eq!(code, Some(1), "{}", program.log());
    assert!(
        program.log().contains("too many streams failed in a row"),
        "{}",
        program.log()
    );
    scene.s3.knobs().reset();
    let mut program = scene.start();
    wait_for("everything is stored", &mut program, || {
        scene.streams().len() == 20 && scene.bundles().len() == 1
    });
    assert_eq!(program.stop().0, Some(0));
}

#[test]
fn with_a_bucket_that_hangs_workers_and_feeds_wait() {
    let scene = Scene::new(&["samples"])
        .set("BK__STREAM_CHANNEL_SIZE", 10)
        .set("BK__EVENT_BATCH_SIZE", 50);
    let all: Vec<String> = (0..300)
        .map(|n| binary(&scene, "samples", format!("binary {n}").as_bytes()))
        .collect();
    let mut program = scene.start();
    wait_for("the buckets are made", &mut program, || {
        scene.pulls("backup-events-samples-sourced-1") > 0
    });
    scene.s3.knobs().set_hang(true);
    for (batch, streams) in all.chunks(100).enumerate() {
        name(&scene, &format!("k{batch}"), streams);
        if batch == 0 {
            wait_for("the workers are at it", &mut program, || {
                scene.s3.counters().seen().in_flight >= 4
            });
        }
    }
    // Another feed goes on meanwhile: as long as its pulls take, this one would have been pulled again too.
    let (held, other) = (
        "backup-events-samples-sourced-1",
        "backup-events-samples-mapped-1",
    );
    let (held_before, other_before) = (scene.pulls(held), scene.pulls(other));
    let resident = program.resident();
    wait_for("the other feed is pulled", &mut program, || {
        scene.pulls(other) >= other_before + 3
    });
    assert_eq!(
        scene.pulls(held),
        held_before,
        "it waits until the streams of its batch are admitted"
    );
    assert_eq!(scene.dispatcher.given(held).handed_out.len(), 1);
    assert!(program.resident() < resident + (8 << 20), "memory stays flat");
    assert!(
        scene.s3.counters().seen().in_flight_peak <= 4 + 1,
        "four workers and one bundle"
    );
    scene.s3.knobs().reset();
    scene.s3.knobs().set_hang(false);
    wait_for("everything is stored", &mut program, || {
        scene.streams().len() == 300
    });
    assert_eq!(program.stop().0, Some(0));
}
