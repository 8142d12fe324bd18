//! A disk that is really full: a small file system of its own, in a mount namespace that ends with the test.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use actors::fault::FaultKind;
use actors::ports::journal::{BatchFile, Journal};
use actors::ports::state::{LocalState, StateFault};
use actors::stream_id::StreamId;
use actors::timestamp::Timestamp;
use azul_backup::adapters::journal::FileJournal;
use azul_backup::adapters::state::SledState;
use bytes::Bytes;

/// Set for the child process that finds itself on the small disk.
const CHILD: &str = "AZUL_BACKUP_TEST_SMALL_DISK";

const DISK: &str = "16m";

/// The small disk, in the child process. In the test itself: runs the child, and is none.
fn small_disk(test: &str) -> Option<PathBuf> {
    if let Some(disk) = std::env::var_os(CHILD) {
        return Some(disk.into());
    }
    let disk = tempfile::TempDir::new().unwrap();
    let mount = format!("mount -t tmpfs -o size={DISK} none \"${CHILD}\" && exec \"$0\" \"$@\"");
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", &mount])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, disk.path())
        .output();
    let Ok(output) = output else {
        println!("skipped: there is no `unshare` to make a small disk with");
        return None;
    };
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    if told.contains("running 1 test") {
        assert!(output.status.success(), "{told}");
    } else {
        println!("skipped: no small disk can be mounted here: {told}");
    }
    None
}

/// Takes all room but `spare` bytes.
fn fill_up(disk: &Path, spare: usize) -> PathBuf {
    let path = disk.join("filler");
    let mut filler = std::fs::File::create(&path).unwrap();
    while filler.write_all(&[1; 4096]).is_ok() {}
    let length = filler.metadata().unwrap().len();
    filler.set_len(length - spare as u64).unwrap();
    path
}

fn stream(number: u64) -> StreamId {
    StreamId::new("samples", "content", &format!("{number:064x}")).unwrap()
}

#[tokio::test]
async fn local_state_goes_on_when_there_is_room_again() {
    let Some(disk) = small_disk("local_state_goes_on_when_there_is_room_again") else {
        return;
    };
    let root = disk.join("root");
    let state = SledState::open(&root).unwrap();
    let mut acknowledged = HashSet::new();
    let mut number = 0;
    for round in 0..3 {
        let filler = fill_up(&disk, 1 << 20);
        let fault = loop {
            let streams: Vec<StreamId> = (number..number + 100).map(stream).collect();
            number += 100;
            match state
                .name_streams(streams.clone(), Timestamp::from_micros(1))
                .await
            {
                Ok(_) => acknowledged.extend(streams),
                Err(fault) => break fault,
            }
        };
        assert!(matches!(fault, StateFault::Full(_)), "round {round}: {fault}");
        std::fs::remove_file(filler).unwrap();
        let named = state
            .name_streams(vec![stream(u64::MAX - round)], Timestamp::from_micros(1))
            .await;
        assert_eq!(named.map(|named| named.added), Ok(1), "round {round}");
        let seen: HashSet<StreamId> = state
            .pending_from(0, usize::MAX)
            .unwrap()
            .into_iter()
            .map(|row| row.stream)
            .collect();
        assert!(acknowledged.is_subset(&seen), "round {round}");
        assert_eq!(state.counts().pending, seen.len() as u64);
    }
    state.close().await.unwrap();
    let state = SledState::open(&root).unwrap();
    assert_eq!(state.start_number(), 2);
    assert!(state.counts().pending >= acknowledged.len() as u64 + 3);
}

#[tokio::test]
async fn an_answer_that_finds_no_room_leaves_nothing_behind() {
    let Some(disk) = small_disk("an_answer_that_finds_no_room_leaves_nothing_behind") else {
        return;
    };
    let journal = FileJournal::open(&disk.join("root")).unwrap();
    let file = |seq| BatchFile {
        feed: "samples/binary/mapped".parse().unwrap(),
        seq,
        received: Timestamp::from_micros(1),
    };
    let small = Bytes::from_static(b"small");
    let mut first = journal.receive(&file(1)).await.unwrap();
    first.take(small.clone()).await.unwrap();
    first.keep().await.unwrap();
    // Too little for the second block of a large answer, and for the only one of another.
    for (spare, size) in [(400 * 1024, 1 << 20), (0, 100_000)] {
        let filler = fill_up(&disk, spare);
        let mut answer = journal.receive(&file(2)).await.unwrap();
        let kept = match answer.take(Bytes::from(vec![7; size])).await {
            Ok(()) => answer.keep().await,
            Err(fault) => Err(fault),
        };
        assert_eq!(kept.unwrap_err().kind(), FaultKind::NoRoom);
        assert_eq!(std::fs::read_dir(disk.join("root/incoming")).unwrap().count(), 0);
        assert_eq!(journal.buffers().reserved(), 0);
        std::fs::remove_file(filler).unwrap();
    }
    let mut second = journal.receive(&file(2)).await.unwrap();
    second.take(small).await.unwrap();
    second.keep().await.unwrap();
    assert_eq!(journal.files().unwrap(), [(file(1), 5), (file(2), 5)]);
}
