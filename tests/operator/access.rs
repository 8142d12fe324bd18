//! How the commands reach local state, and what they say when they cannot.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use actors::fault_point::{FaultPoint, read_trace};
use actors::ports::state::{Change, LocalState};
use actors::stream_id::StreamId;
use actors::timestamp::Timestamp;
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

#[tokio::test]
async fn a_reader_that_takes_its_time_does_not_keep_a_backup_from_starting() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("backup");
    let state = SledState::open(&root).unwrap();
    let missing = (0..2000).map(|number| {
        let stream = StreamId::new("samples", "content", &format!("{number:064x}")).unwrap();
        state.record(Change::StreamMissing(stream, Timestamp::from_micros(1)))
    });
    futures_util::future::join_all(missing).await;
    state.close().await.unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_azul-backup"))
        .args(["failed-streams", "--json"])
        .env_clear()
        .env("BK__LOCAL_DATA__ROOTDIR", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(command.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("missing"));
    // A pipe takes far less than there is: it waits for its reader.
    let state = SledState::open(&root).unwrap();
    assert_eq!(state.counts().missing, 2000);
    assert!(command.try_wait().unwrap().is_none());
    assert_eq!(lines.count(), 1999);
    assert!(command.wait().unwrap().success());
}

#[test]
fn a_command_of_another_user_leaves_no_files_that_the_backup_could_not_open() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("backup");
    drop(SledState::open(&root).unwrap());
    let owner = folder.path().metadata().unwrap().uid() + 12_345;
    if chown(root.join("state"), Some(owner), None).is_err() {
        println!("skipped: this user cannot give a directory away");
        return;
    }
    let files = || {
        let entries = std::fs::read_dir(root.join("state")).unwrap();
        let entries = entries.map(|entry| entry.unwrap());
        let mut files: Vec<_> = entries
            .map(|entry| (entry.file_name(), entry.metadata().unwrap().modified().unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = files();
    for command in [
        &["failed-streams"][..],
        &["failed-streams", "--retry"],
        &["suspect-pulls"],
    ] {
        let told = refused(folder.path(), command);
        let wanted = format!("belongs to the user with the number {owner}");
        assert!(told.contains(&wanted), "{told}");
    }
    assert_eq!(files(), before);
}

#[test]
fn who_asks_while_local_state_is_closed_finds_nobody() {
    let scene = Scene::new(&["samples"]);
    let trace = scene.folder.path().join("trace");
    let socket = scene.folder.path().join("local/backup/socket/backup.sock");
    let scene = scene
        .set("FAULT_POINTS", "state.closing=hang")
        .set("FAULT_POINTS_TRACE", trace.display());
    let mut program = scene.start();
    wait_for("it is pulled", &mut program, || {
        scene.pulls("backup-events-samples-sourced-1") > 0
    });
    assert!(socket.exists());
    program.signal("-TERM");
    wait_for("local state is closed", &mut program, || {
        let passed = read_trace(&trace).unwrap().passed;
        passed.contains(&(FaultPoint::StateClosing, 1))
    });
    assert!(!socket.exists());
    let _ended = program.wait();
}
