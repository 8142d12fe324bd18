//! The promises of [`Journal`].

use std::io::{Read, Seek, SeekFrom};

use bytes::Bytes;

use crate::fault::FaultKind;
use crate::feed::Feed;
use crate::ports::journal::{BatchFile, IncomingAnswer, Journal};
use crate::timestamp::Timestamp;

/// An implementation that can be closed and opened again.
pub trait Reopen {
    /// What is put to the test.
    type Journal: Journal;

    /// The journal as opened last.
    fn journal(&self) -> &Self::Journal;

    /// Ends this start, in whatever way, and begins the next.
    #[must_use]
    fn reopen(self) -> Self;
}

/// Runs the suite; `make` makes an empty journal.
pub async fn all<R: Reopen>(make: impl Fn() -> R) {
    a_kept_answer_is_read_back_byte_for_byte(make()).await;
    an_answer_that_is_not_kept_is_gone(make()).await;
    the_next_start_finds_what_was_kept_and_nothing_else(make()).await;
    files_are_listed_oldest_first_per_feed(make()).await;
    odd_names_of_sources_are_names_like_others(make()).await;
    a_file_is_never_written_over(make()).await;
    removing_twice_is_removing_once(make()).await;
    a_file_put_aside_leaves_the_journal(make()).await;
    files_are_opened_on_any_thread(make()).await;
}

fn file(source: &str, seq: u64, received: i64) -> BatchFile {
    let feed: Feed = format!("{source}/binary/mapped").parse().expect("a feed");
    BatchFile {
        feed,
        seq,
        received: Timestamp::from_micros(received),
    }
}

async fn receive(journal: &impl Journal, file: &BatchFile, chunks: &[&[u8]]) -> Box<dyn IncomingAnswer> {
    let mut answer = journal.receive(file).await.expect("an answer can be received");
    for chunk in chunks {
        answer
            .take(Bytes::copy_from_slice(chunk))
            .await
            .expect("a chunk is taken");
    }
    answer
}

async fn keep(journal: &impl Journal, file: &BatchFile, chunks: &[&[u8]]) {
    let answer = receive(journal, file, chunks).await;
    answer.keep().await.expect("an answer is kept");
}

fn read(journal: &impl Journal, file: &BatchFile) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut opened = journal.open(file).expect("a file is opened");
    opened.read_to_end(&mut bytes).expect("a file is read");
    bytes
}

fn files(journal: &impl Journal) -> Vec<(BatchFile, u64)> {
    journal.files().expect("files are listed")
}

async fn a_kept_answer_is_read_back_byte_for_byte(under_test: impl Reopen) {
    let journal = under_test.journal();
    // Chunks below, at and far above any block size, and an empty one.
    let chunks = [
        vec![1_u8; 3],
        vec![],
        vec![2; 700_001],
        vec![3; 262_144],
        vec![4; 1],
    ];
    let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
    let answer = receive(journal, &file("a", 1, 5), &chunks).await;
    assert_eq!(files(journal), [], "not there before it is kept");
    answer.keep().await.expect("an answer is kept");
    assert_eq!(files(journal), [(file("a", 1, 5), 962_149)]);
    assert!(read(journal, &file("a", 1, 5)) == chunks.concat(), "other bytes");
    keep(journal, &file("a", 2, 5), &[]).await;
    assert_eq!(files(journal)[1], (file("a", 2, 5), 0));
}

async fn an_answer_that_is_not_kept_is_gone(under_test: impl Reopen) {
    let journal = under_test.journal();
    drop(receive(journal, &file("a", 1, 5), &[&[7; 300_000], b"abc"]).await);
    drop(receive(journal, &file("a", 1, 5), &[]).await);
    assert_eq!(files(journal), []);
    keep(journal, &file("a", 1, 5), &[b"another try"]).await;
    assert_eq!(read(journal, &file("a", 1, 5)), b"another try");
}

async fn the_next_start_finds_what_was_kept_and_nothing_else(under_test: impl Reopen) {
    let journal = under_test.journal();
    keep(journal, &file("a", 1, 5), &[b"abc"]).await;
    let unfinished = receive(journal, &file("a", 2, 5), &[&[7; 300_000]]).await;
    let under_test = under_test.reopen();
    drop(unfinished);
    assert_eq!(files(under_test.journal()), [(file("a", 1, 5), 3)]);
    assert_eq!(read(under_test.journal(), &file("a", 1, 5)), b"abc");
}

async fn files_are_listed_oldest_first_per_feed(under_test: impl Reopen) {
    let journal = under_test.journal();
    let mut expected = Vec::new();
    for (source, seq, received) in [
        ("b", u64::MAX, i64::MAX),
        ("b", 10, 1),
        ("a", 20_000_000_000_000_000, 3),
        ("b", 9, i64::MIN),
        ("a", 3, 4),
    ] {
        keep(journal, &file(source, seq, received), &[b"x"]).await;
        expected.push((file(source, seq, received), 1));
    }
    expected.sort();
    assert_eq!(files(journal), expected);
    let under_test = under_test.reopen();
    assert_eq!(files(under_test.journal()), expected);
}

async fn odd_names_of_sources_are_names_like_others(under_test: impl Reopen) {
    let journal = under_test.journal();
    let longest = "n".repeat(200);
    let names = [
        "incoming",
        "aside",
        ".hidden",
        "-",
        " ",
        "a b",
        "ü\u{1F600}",
        "a.answer",
        "%2e",
        &longest,
    ];
    for (name, seq) in names.into_iter().zip(1..) {
        keep(journal, &file(name, seq, 1), &[name.as_bytes()]).await;
    }
    let under_test = under_test.reopen();
    let journal = under_test.journal();
    assert_eq!(files(journal).len(), names.len());
    for (file, _) in files(journal) {
        assert_eq!(read(journal, &file), file.feed.source().as_str().as_bytes());
    }
}

async fn a_file_is_never_written_over(under_test: impl Reopen) {
    let journal = under_test.journal();
    keep(journal, &file("a", 1, 5), &[b"first"]).await;
    let second = receive(journal, &file("a", 1, 5), &[b"second"]).await;
    assert!(second.keep().await.is_err());
    assert_eq!(read(journal, &file("a", 1, 5)), b"first");
}

async fn removing_twice_is_removing_once(under_test: impl Reopen) {
    let journal = under_test.journal();
    keep(journal, &file("a", 1, 5), &[b"abc"]).await;
    keep(journal, &file("a", 2, 5), &[b"abc"]).await;
    for _ in 0..2 {
        journal.remove(&file("a", 1, 5)).await.expect("a file is removed");
    }
    journal
        .remove(&file("never", 1, 5))
        .await
        .expect("there was no such feed");
    assert_eq!(files(journal), [(file("a", 2, 5), 3)]);
    let fault = journal.open(&file("a", 1, 5)).err().expect("it is gone");
    assert_eq!(fault.kind(), FaultKind::Missing);
}

async fn a_file_put_aside_leaves_the_journal(under_test: impl Reopen) {
    let journal = under_test.journal();
    keep(journal, &file("a", 1, 5), &[b"abc"]).await;
    let place = journal.put_aside(&file("a", 1, 5), "no multipart").await;
    assert_ne!(place.expect("a file is put aside"), "");
    assert_eq!(files(journal), []);
    let again = journal.put_aside(&file("a", 1, 5), "no multipart").await;
    assert_eq!(again.expect_err("it is gone").kind(), FaultKind::Missing);
    let under_test = under_test.reopen();
    assert_eq!(files(under_test.journal()), []);
}

async fn files_are_opened_on_any_thread(under_test: impl Reopen) {
    let journal = under_test.journal();
    keep(journal, &file("a", 1, 5), &[b"0123456789"]).await;
    let opener = journal.opener();
    let reader = std::thread::spawn(move || {
        let mut tail = String::new();
        let mut opened = opener.open(&file("a", 1, 5)).expect("a file is opened");
        opened.seek(SeekFrom::Start(7)).expect("a file can be sought");
        opened.read_to_string(&mut tail).expect("a file is read");
        tail
    });
    assert_eq!(reader.join().expect("the reader ends"), "789");
}
