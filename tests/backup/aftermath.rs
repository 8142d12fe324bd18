//! How a start ended, and what the next one makes of what it left.

use std::time::{Duration, Instant};

use sandbox::audit::{Audit, Expected};

use crate::scene::{Program, Scene, wait_for};

/// The stages of [`hasty`] together.
pub const BUDGET: Duration = Duration::from_millis(4600);

/// What the program may take beyond them before it is ended by force.
pub const GRACE: Duration = Duration::from_secs(2);

/// Stages that are over soon, and yet leave a pull the time to come in that is open when they begin: what is cut off
/// with events in it is lost, and no next start completes.
pub fn hasty(scene: Scene) -> Scene {
    scene
        .set("BK__STAGE_EVENTS", "3s")
        .set("BK__STAGE_CACHE", "200ms")
        .set("BK__STAGE_STREAMS", "900ms")
        .set("BK__STAGE_STATE", "500ms")
}

/// How a program ended.
pub struct End {
    pub code: Option<i32>,
    pub took: Duration,
    pub log: String,
}

/// SIGTERM, and the end.
pub fn stop(mut program: Program) -> End {
    let begun = Instant::now();
    program.signal("-TERM");
    let code = program.wait().code();
    End {
        code,
        took: begun.elapsed(),
        log: program.log(),
    }
}

impl End {
    /// It ended in good order, and in time.
    pub fn is_orderly(&self) {
        assert_eq!(self.code, Some(0), "{}", self.log);
        assert!(self.took < BUDGET + GRACE, "{:?}\n{}", self.took, self.log);
    }
}

/// Whether everything that was handed out, and these are `events` events, is in the bucket, and nothing else.
pub fn is_complete(scene: &Scene, events: u64) -> bool {
    let expected = Expected::handed_out(scene.dispatcher.shared(), "backup-events-", false);
    // What is being written at this moment cannot be read yet.
    let audit = Audit::of(&scene.s3.config().root, "azul-backup-1", &expected);
    audit.is_ok_and(|audit| audit.is_clean() && audit.events == events)
}

/// Starts it once more, with everything answering, until all is in the bucket; returns what it logged.
pub fn next_start_completes(scene: &Scene, events: u64) -> String {
    scene.s3.knobs().reset();
    scene.dispatcher.clear_faults();
    let mut program = scene.start();
    wait_for("everything is in the bucket", &mut program, || {
        is_complete(scene, events)
    });
    let end = stop(program);
    assert_eq!(end.code, Some(0), "{}", end.log);
    end.log
}
