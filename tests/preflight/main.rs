//! `azul-backup preflight`, the real program: what it says when all is well, and of each thing that can be wrong.

#[path = "../backup/scene.rs"]
#[allow(
    dead_code,
    reason = "shared with the tests of the backup, which use all of it"
)]
mod scene;

mod azul;
mod network;
mod odd_server;
mod ready;
mod run;
mod storage;
