//! The journal on the local disk keeps the promises of the port, and its own: bounded memory, kill -9, a full disk,
//! files of others.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use actors::fault::FaultKind;
use actors::feed::Feed;
use actors::ports::journal::{BatchFile, Journal, NotKept};
use actors::testkit::conformance::journal::{self as promises, Reopen};
use actors::timestamp::Timestamp;
use azul_backup::adapters::journal::{BUFFERS, FileJournal};
use bytes::Bytes;
use tempfile::TempDir;

struct OnDisk {
    root: TempDir,
    journal: FileJournal,
}

impl OnDisk {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let journal = FileJournal::open(root.path()).unwrap();
        Self { root, journal }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }
}

impl Reopen for OnDisk {
    type Journal = FileJournal;

    fn journal(&self) -> &FileJournal {
        &self.journal
    }

    fn reopen(self) -> Self {
        drop(self.journal);
        let journal = FileJournal::open(self.root.path()).unwrap();
        Self { journal, ..self }
    }
}

#[tokio::test]
async fn files_keep_the_promises_of_the_journal() {
    promises::all(OnDisk::new).await;
}

fn file(source: &str, seq: u64) -> BatchFile {
    let feed: Feed = format!("{source}/binary/mapped").parse().unwrap();
    BatchFile {
        feed,
        seq,
        received: Timestamp::from_micros(5),
    }
}

fn entries(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

async fn keep(journal: &FileJournal, file: &BatchFile, content: &'static [u8]) {
    let mut answer = journal.receive(file).await.unwrap();
    answer.take(Bytes::from_static(content)).await.unwrap();
    answer.keep().await.unwrap();
}

#[tokio::test]
async fn a_file_lies_where_an_operator_looks_for_it() {
    let on_disk = OnDisk::new();
    keep(&on_disk.journal, &file("samples", 7), b"abc").await;
    let directory = on_disk.path("journal/samples/binary/mapped");
    assert_eq!(entries(&directory), ["0000000000000007-5.answer"]);
    let place = on_disk
        .journal
        .put_aside(&file("samples", 7), "no boundary")
        .await
        .unwrap();
    assert_eq!(std::fs::read(&place).unwrap(), b"abc");
    assert_eq!(
        std::fs::read(format!("{place}.reason.txt")).unwrap(),
        b"no boundary\n"
    );
    assert_eq!(
        entries(&on_disk.path("aside/samples/binary/mapped")),
        [
            "0000000000000007-5.answer",
            "0000000000000007-5.answer.reason.txt"
        ]
    );
    assert_eq!(entries(&directory), [""; 0]);
}

#[tokio::test]
async fn an_answer_costs_nothing_before_its_first_byte() {
    let on_disk = OnDisk::new();
    let mut answer = on_disk.journal.receive(&file("samples", 1)).await.unwrap();
    assert_eq!(on_disk.journal.buffers().reserved(), 0);
    assert_eq!(
        entries(on_disk.root.path()),
        ["incoming", "journal", "journal.lock"]
    );
    answer.take(Bytes::from_static(b"a")).await.unwrap();
    assert_eq!(on_disk.journal.buffers().reserved(), 256 * 1024);
    assert_eq!(
        entries(&on_disk.path("incoming")),
        [""; 0],
        "one byte is not worth a file yet"
    );
    drop(answer);
    assert_eq!(on_disk.journal.buffers().reserved(), 0);
}

/// Longer: `AZUL_BACKUP_TEST_ANSWER_MB=100 cargo test --test journal_conformance answers_of_all -- --nocapture`.
#[tokio::test]
async fn answers_of_all_feeds_at_once_share_one_bound_of_memory() {
    let size = std::env::var("AZUL_BACKUP_TEST_ANSWER_MB").map_or(3, |size| size.parse().unwrap()) << 20;
    let on_disk = OnDisk::new();
    let journal = &on_disk.journal;
    let chunk = Bytes::from(vec![0xa5; 60_000]);
    let feeds = (0..52).map(|seq| {
        let chunk = chunk.clone();
        async move {
            let file = file(&format!("s{seq}"), seq);
            let mut answer = journal.receive(&file).await.unwrap();
            for _ in 0..size / chunk.len() {
                answer.take(chunk.clone()).await.unwrap();
                // Every feed in turn, as if their bytes came at the same time.
                tokio::task::yield_now().await;
            }
            answer.keep().await.unwrap();
        }
    });
    futures_util::future::join_all(feeds).await;
    let whole = (size / chunk.len() * chunk.len()) as u64;
    let files = journal.files().unwrap();
    assert_eq!(files.len(), 52);
    assert!(files.iter().all(|(_, length)| *length == whole));
    let most = journal.buffers().high_water();
    assert!(
        (52 * 256 * 1024..=BUFFERS).contains(&most),
        "{most} bytes in flight"
    );
    assert_eq!(journal.buffers().reserved(), 0);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    println!(
        "{most} bytes in flight; {}",
        status.lines().find(|line| line.starts_with("VmHWM")).unwrap()
    );
}

#[tokio::test]
async fn a_feed_without_a_buffer_does_not_wait_for_one() {
    let root = TempDir::new().unwrap();
    let journal = FileJournal::with_buffers(root.path(), 256 * 1024).unwrap();
    let mut holder = journal.receive(&file("holder", 1)).await.unwrap();
    holder.take(Bytes::from_static(b"first")).await.unwrap();
    let content = Bytes::from((0..=255).cycle().take(700_000).collect::<Vec<u8>>());
    for seq in 2..9 {
        let mut answer = journal.receive(&file("other", seq)).await.unwrap();
        for chunk in content.chunks(50_000) {
            answer.take(Bytes::copy_from_slice(chunk)).await.unwrap();
        }
        answer.keep().await.unwrap();
        let mut read = Vec::new();
        journal
            .open(&file("other", seq))
            .unwrap()
            .read_to_end(&mut read)
            .unwrap();
        assert!(read == content);
    }
    holder.take(Bytes::from_static(b", second")).await.unwrap();
    holder.keep().await.unwrap();
    let mut read = String::new();
    journal
        .open(&file("holder", 1))
        .unwrap()
        .read_to_string(&mut read)
        .unwrap();
    assert_eq!(read, "first, second");
}

#[tokio::test]
async fn an_answer_whose_receipt_was_given_up_is_not_kept_with_a_hole() {
    let on_disk = OnDisk::new();
    let mut answer = on_disk.journal.receive(&file("samples", 1)).await.unwrap();
    {
        let take = answer.take(Bytes::from(vec![1; 300_000]));
        assert!(
            futures_util::FutureExt::now_or_never(take).is_none(),
            "the disk takes a moment"
        );
    }
    assert_eq!(
        answer.take(Bytes::new()).await.unwrap_err().kind(),
        FaultKind::Corrupt
    );
    assert_eq!(
        answer.keep().await.unwrap_err().fault().kind(),
        FaultKind::Corrupt
    );
    assert_eq!(on_disk.journal.files().unwrap(), []);
}

#[tokio::test]
async fn what_is_not_of_the_journal_is_left_alone() {
    let on_disk = OnDisk::new();
    keep(&on_disk.journal, &file("samples", 1), b"abc").await;
    let elsewhere = TempDir::new().unwrap();
    let precious = elsewhere.path().join("precious");
    std::fs::write(&precious, "precious").unwrap();
    let feed = on_disk.path("journal/samples/binary/mapped");
    std::fs::write(feed.join("notes.txt"), "notes").unwrap();
    std::fs::create_dir(feed.join("0000000000000003-5.answer")).unwrap();
    symlink(&precious, feed.join("0000000000000002-5.answer")).unwrap();
    symlink(elsewhere.path(), on_disk.path("journal/linked")).unwrap();
    std::fs::create_dir_all(on_disk.path("journal/samples/nonsense/mapped")).unwrap();
    std::fs::write(on_disk.path("journal/stray"), "stray").unwrap();
    std::fs::write(on_disk.path("incoming/notes.txt"), "notes").unwrap();
    symlink(&precious, on_disk.path("incoming/linked.part")).unwrap();
    std::fs::write(on_disk.path("incoming/0000000000000009-0.part"), "half").unwrap();

    let on_disk = on_disk.reopen();
    let journal = &on_disk.journal;
    assert_eq!(journal.files().unwrap(), [(file("samples", 1), 3)]);
    assert_eq!(
        journal.open(&file("samples", 2)).err().unwrap().kind(),
        FaultKind::Rejected
    );
    assert_eq!(
        journal.open(&file("linked", 2)).err().unwrap().kind(),
        FaultKind::Rejected
    );
    let mut answer = journal.receive(&file("linked", 2)).await.unwrap();
    answer.take(Bytes::from_static(b"abc")).await.unwrap();
    assert_eq!(
        answer.keep().await.unwrap_err().fault().kind(),
        FaultKind::Rejected
    );
    assert!(journal.remove(&file("samples", 2)).await.is_err());
    assert!(journal.put_aside(&file("samples", 2), "a link").await.is_err());
    assert_eq!(entries(elsewhere.path()), ["precious"]);
    assert_eq!(std::fs::read(&precious).unwrap(), b"precious");
    assert_eq!(entries(&on_disk.path("incoming")), ["linked.part", "notes.txt"]);
    assert_eq!(entries(&feed).len(), 4);
    assert!(on_disk.path("journal/stray").exists());
}

/// Set for a child process: the root in which it keeps answers until it is killed.
const CHILD: &str = "AZUL_BACKUP_TEST_KEEPS_IN";

fn content(seq: u64) -> Vec<u8> {
    seq.to_be_bytes().repeat(40_000)
}

/// Not a test of its own: what the child process of the next one does.
#[tokio::test]
async fn child_process_that_keeps_until_it_is_killed() {
    let Some(root) = std::env::var_os(CHILD) else {
        return;
    };
    let journal = FileJournal::open(root.as_ref()).unwrap();
    let first = journal.files().unwrap().len() as u64;
    for seq in first.. {
        let mut answer = journal.receive(&file("samples", seq)).await.unwrap();
        for chunk in content(seq).chunks(70_000) {
            answer.take(Bytes::copy_from_slice(chunk)).await.unwrap();
        }
        answer.keep().await.unwrap();
        println!("ack {seq}");
    }
}

#[tokio::test]
async fn what_was_kept_survives_kill_9_and_what_was_not_is_gone() {
    let root = TempDir::new().unwrap();
    let mut acknowledged = Vec::new();
    for enough in [1, 30, 7] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "child_process_that_keeps_until_it_is_killed",
                "--nocapture",
            ])
            .env(CHILD, root.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let seq = |line: String| {
            line.rsplit_once("ack ")
                .and_then(|(_, seq)| seq.parse::<u64>().ok())
        };
        acknowledged.extend(lines.by_ref().map_while(Result::ok).filter_map(seq).take(enough));
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged.extend(lines.map_while(Result::ok).filter_map(seq));
    }
    let journal = FileJournal::open(root.path()).unwrap();
    assert_eq!(entries(&root.path().join("incoming")), [""; 0]);
    let files: Vec<BatchFile> = journal
        .files()
        .unwrap()
        .into_iter()
        .map(|(file, _)| file)
        .collect();
    assert!(acknowledged.len() >= 38);
    assert!(
        acknowledged
            .iter()
            .all(|seq| files.contains(&file("samples", *seq)))
    );
    for file in files {
        let mut read = Vec::new();
        journal.open(&file).unwrap().read_to_end(&mut read).unwrap();
        assert!(read == content(file.seq), "whole or not at all: {}", file.seq);
    }
}

/// Runs a test of this file in a process of its own, which is a child by this variable.
fn in_a_child(test: &str, variable: &str, value: &str) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "")
        .env(variable, value)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && told.contains("running 1 test"),
        "{told}{}",
        String::from_utf8_lossy(&child.stderr)
    );
}

#[tokio::test]
async fn an_answer_that_has_its_name_is_neither_kept_nor_lost_if_its_directory_cannot_be_synced() {
    if std::env::var_os(CHILD).is_none() {
        let test = "an_answer_that_has_its_name_is_neither_kept_nor_lost_if_its_directory_cannot_be_synced";
        for action in ["fail", "panic"] {
            in_a_child(test, "FAULT_POINTS", &format!("answer.renamed={action}"));
        }
        return;
    }
    let on_disk = OnDisk::new();
    let mut answer = on_disk.journal.receive(&file("samples", 1)).await.unwrap();
    answer.take(Bytes::from_static(b"abc")).await.unwrap();
    let kept = answer.keep().await;
    assert!(matches!(kept, Err(NotKept::Doubtful(_))), "{kept:?}");
    let on_disk = on_disk.reopen();
    assert_eq!(on_disk.journal.files().unwrap(), [(file("samples", 1), 3)]);
}

#[test]
fn a_journal_in_use_is_not_opened_twice() {
    let on_disk = OnDisk::new();
    let fault = FileJournal::open(on_disk.root.path()).err().unwrap();
    assert!(
        fault.to_string().ends_with("in use by another process"),
        "{fault}"
    );
}

#[test]
fn a_root_that_cannot_be_used_is_said() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("file");
    std::fs::write(&path, "precious").unwrap();
    let fault = FileJournal::open(&path).err().unwrap();
    assert!(fault.to_string().starts_with("open journal "), "{fault}");
}
