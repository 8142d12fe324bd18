//! What operators are told, and what they can do: the commands on failed streams and suspect pulls, with the real
//! binary, while a backup runs and when none does.

#[path = "../backup/scene.rs"]
#[allow(
    dead_code,
    reason = "shared with the tests of the backup, which use all of it"
)]
mod scene;

mod access;
mod command;
mod dead_letters;
mod failed_streams;
mod suspect_pulls;
