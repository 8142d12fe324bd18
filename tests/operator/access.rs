//! How the commands reach local state, and what they say when they cannot.

use std::os::unix::net::UnixListener;

use azul_backup::adapters::state::SledState;
use tempfile::TempDir;

use crate::command::{printed, refused};
use crate::scene::{Scene, wait_for};

#[test]
fn without_local_state_it_is_said_where_and_nothing_is_made() {
    let folder = TempDir::new().unwrap();
    let local = folder.path().join("nowhere");
    for command in [
        &["failed-streams"][..],
        &["failed-streams", "--retry"],
        &["suspect-pulls"],
    ] {
        let told = refused(&local, command);
        let wanted = format!(
            "there is no local state of a backup in {}/backup",
            local.display()
        );
        assert!(told.contains(&wanted), "{told}");
        assert!(!local.exists());
    }
}

#[test]
fn state_that_is_in_use_by_a_process_that_does_not_answer_is_said() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("backup");
    let state = SledState::open(&root).unwrap();
    let told = refused(folder.path(), &["failed-streams"]);
    let wanted = format!(
        "local state in {} is in use by another process (start 1",
        root.display()
    );
    assert!(told.contains(&wanted), "{told}");
    assert!(told.contains("which cannot be asked at"), "{told}");
    drop(state);
}

#[test]
fn a_socket_that_a_kill_left_behind_misleads_nobody() {
    let scene = Scene::new(&["samples"]);
    let local = scene.folder.path().join("local");
    let socket = local.join("backup/socket/backup.sock");
    let mut program = scene.start();
    wait_for("it is served", &mut program, || socket.exists());
    program.kill();
    assert!(socket.exists(), "the kill left it behind");
    assert!(printed(&local, &["failed-streams"], 0).starts_with("No stream"));
    let mut program = scene.start();
    wait_for("it is pulled", &mut program, || {
        scene.pulls("backup-events-samples-sourced-1") > 0
    });
    assert!(printed(&local, &["failed-streams"], 0).starts_with("No stream"));
    assert_eq!(program.stop().0, Some(0));
    assert!(!socket.exists());
}

#[test]
fn a_foreign_process_on_the_socket_is_no_backup() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("backup/socket");
    std::fs::create_dir_all(&socket).unwrap();
    let listener = UnixListener::bind(socket.join("backup.sock")).unwrap();
    let answering = std::thread::spawn(move || {
        use std::io::Write;
        let (mut connection, _) = listener.accept().unwrap();
        connection.write_all(b"220 smtp ready\r\n").unwrap();
    });
    let told = refused(folder.path(), &["failed-streams"]);
    answering.join().unwrap();
    assert!(told.contains("the running backup was asked at"), "{told}");
    assert!(told.contains("the answer cannot be read"), "{told}");
}

#[test]
fn the_root_may_have_a_path_longer_than_a_socket_may() {
    let scene = Scene::new(&["samples"]);
    let local = scene.folder.path().join("deep".repeat(40));
    let scene = scene.set("BK__LOCAL_DATA__ROOTDIR", local.display());
    let mut program = scene.start();
    wait_for("it is served", &mut program, || {
        local.join("backup/socket/backup.sock").exists()
    });
    assert!(printed(&local, &["failed-streams"], 0).starts_with("No stream"));
    let (code, log) = program.stop();
    assert_eq!(code, Some(0));
    assert!(!log.contains("commands cannot reach"), "{log}");
}
