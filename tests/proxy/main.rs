//! `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, from end to end: the real binary, the servers, and a proxy between them
//! that alone knows their names.

#[path = "../preflight/odd_server.rs"]
#[allow(dead_code, reason = "shared with the tests of preflight, which use all of it")]
mod odd_server;
#[path = "../restore/program.rs"]
#[allow(dead_code, reason = "shared with the tests of restore, which use all of it")]
mod program;
#[path = "../preflight/run.rs"]
#[allow(dead_code, reason = "shared with the tests of preflight, which use all of it")]
mod run;
#[path = "../backup/scene.rs"]
#[allow(
    dead_code,
    reason = "shared with the tests of the backup, which use all of it"
)]
mod scene;

mod behind;
mod faults;
mod looks;
mod whole;
