//! Multipart uploads that a crash or a lost answer left open are aborted.

use std::os::unix::process::ExitStatusExt;

use sandbox::s3::{Failure, Operation};

use crate::scene::{Scene, binary, event, feed, wait_for};

/// An object that is written in parts: two of them and a rest.
fn large(scene: &Scene) -> String {
    let numbers = (0..3_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).rotate_left(n % 32));
    let content: Vec<u8> = numbers.flat_map(u32::to_le_bytes).collect();
    let sha256 = binary(scene, "samples", &content);
    let named = event(
        "samples",
        "sourced",
        "k",
        "2025-07-30T06:02:59Z",
        &[("content", sha256.clone())],
    );
    scene.dispatcher.append(&feed("samples/binary/sourced"), [named]);
    format!("samples/content/{sha256}")
}

fn open(scene: &Scene) -> usize {
    scene.s3.open_uploads().unwrap()
}

#[test]
fn an_upload_that_begun_right_before_a_kill_is_aborted_by_the_next_start() {
    for point in ["upload.begun", "upload.noted", "part.sent", "upload.sent"] {
        let mut scene = Scene::new(&["samples"]).set("FAULT_POINTS", format!("{point}=kill"));
        let key = large(&scene);
        let status = scene.start().wait();
        assert_eq!(status.signal(), Some(9), "{point}");
        assert!(scene.s3.is_idle_within(crate::scene::LONGEST));
        assert_eq!(open(&scene), 1, "{point}");
        scene.unset("FAULT_POINTS");
        let mut program = scene.start();
        wait_for("the stream is stored", &mut program, || {
            scene.streams() == [key.clone()]
        });
        let (code, log) = program.stop();
        assert_eq!(code, Some(0), "{log}");
        assert_eq!(open(&scene), 0, "{point}: {log}");
        assert!(
            log.contains("that nobody is going to complete is aborted"),
            "{log}"
        );
    }
}

#[test]
fn an_upload_whose_beginning_was_not_acknowledged_is_aborted_by_the_next_start() {
    let scene = Scene::new(&["samples"]);
    let lost = Failure::StatusAfter(503);
    scene.s3.knobs().fail_next(Operation::BeginUpload, 2, lost);
    let key = large(&scene);
    let mut program = scene.start();
    wait_for("the stream is stored", &mut program, || {
        scene.streams() == [key.clone()]
    });
    assert_eq!(program.stop().0, Some(0));
    assert_eq!(open(&scene), 2);
    let mut program = scene.start();
    wait_for("they are aborted", &mut program, || open(&scene) == 0);
    assert_eq!(program.stop().0, Some(0));
    assert_eq!(scene.streams(), [key]);
}

#[test]
fn a_bucket_that_does_not_answer_to_an_abort_does_not_hold_up_a_start() {
    let mut scene = Scene::new(&["samples"]).set("FAULT_POINTS", "upload.begun=kill");
    let key = large(&scene);
    scene.start().wait();
    scene.unset("FAULT_POINTS");
    // So that the list is given up within some seconds, and everything else still has time enough.
    let mut scene = scene.set("FAULT_POINTS_HURRY", 5);
    scene
        .s3
        .knobs()
        .fail_next(Operation::ListUploads, usize::MAX, Failure::Hang);
    let mut program = scene.start();
    wait_for("the stream is stored", &mut program, || {
        scene.streams() == [key.clone()]
    });
    let (code, log) = program.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("are aborted another time"), "{log}");
    assert_eq!(open(&scene), 1);
    scene.s3.knobs().reset();
    scene.unset("FAULT_POINTS_HURRY");
    let mut program = scene.start();
    wait_for("it is aborted", &mut program, || open(&scene) == 0);
    assert_eq!(program.stop().0, Some(0));
}
