//! A disk that is really full: what local state and the journal do on it, each by itself. The program as a whole is in
//! `tests/backup/full_disk.rs`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use actors::avro::BulkVersion;
use actors::fault::FaultKind;
use actors::object_key::BundleKey;
use actors::patient_state::PatientState;
use actors::ports::journal::{BatchFile, Journal};
use actors::ports::state::{
    BatchContents, BatchRow, Change, EventName, LocalState, Member, SealedBundle, StateFault,
};
use actors::stream_id::StreamId;
use actors::timestamp::Timestamp;
use azul_backup::adapters::journal::FileJournal;
use azul_backup::adapters::state::SledState;
use azul_backup::adapters::volume::Volume;
use bytes::Bytes;
use sandbox::small_disk::{enter, fill_up};

fn stream(number: u64) -> StreamId {
    StreamId::new("samples", "content", &format!("{number:064x}")).unwrap()
}

fn names(state: &SledState) -> HashSet<StreamId> {
    let rows = state.pending_from(0, usize::MAX).unwrap();
    rows.into_iter().map(|row| row.stream).collect()
}

/// Names streams until there is no room; what was acknowledged goes to `acknowledged`.
async fn name_until_full(
    state: &SledState,
    number: &mut u64,
    acknowledged: &mut HashSet<StreamId>,
) -> StateFault {
    loop {
        let streams: Vec<StreamId> = (*number..*number + 100).map(stream).collect();
        *number += 100;
        match state
            .name_streams(streams.clone(), Timestamp::from_micros(1))
            .await
        {
            Ok(_) => acknowledged.extend(streams),
            Err(fault) => return fault,
        }
    }
}

#[tokio::test]
async fn local_state_goes_on_when_there_is_room_again() {
    let Some(disk) = enter("local_state_goes_on_when_there_is_room_again", "16m").unwrap() else {
        return;
    };
    let root = disk.join("root");
    let state = SledState::open(&root).unwrap();
    let (mut acknowledged, mut number) = (HashSet::new(), 0);
    for round in 0..3 {
        let filler = fill_up(&disk, 1 << 20).unwrap();
        let fault = name_until_full(&state, &mut number, &mut acknowledged).await;
        assert!(matches!(fault, StateFault::Full(_)), "round {round}: {fault}");
        std::fs::remove_file(filler).unwrap();
        let patient = PatientState::new(std::rc::Rc::new(state.clone()));
        let named = patient
            .name_streams(vec![stream(u64::MAX - round)], Timestamp::from_micros(1))
            .await;
        assert_eq!(named.map(|named| named.added), Ok(1), "round {round}");
        let seen = names(&state);
        assert!(acknowledged.is_subset(&seen), "round {round}");
        assert_eq!(state.counts().pending, seen.len() as u64);
    }
    state.close().await.unwrap();
    let state = SledState::open(&root).unwrap();
    assert_eq!(state.start_number(), 2);
    assert!(state.counts().pending >= acknowledged.len() as u64 + 3);
}

#[tokio::test]
async fn local_state_goes_on_closes_and_opens_on_a_full_disk_with_its_reserve() {
    let test = "local_state_goes_on_closes_and_opens_on_a_full_disk_with_its_reserve";
    let Some(disk) = enter(test, "16m").unwrap() else {
        return;
    };
    let root = disk.join("root");
    let open = || {
        let volume = Volume::with(&root, 1 << 20, 3 << 20);
        SledState::open_on(volume.clone(), &root).map(|state| (state, volume))
    };
    let reserve = root.join("reserve");
    let (state, volume) = open().unwrap();
    assert_eq!(reserve.metadata().unwrap().len(), 3 << 20);
    for change in [
        Change::BatchJournaled(batch(), Timestamp::from_micros(1)),
        Change::BundleSealed(bundle()),
    ] {
        state.record(change).await.unwrap();
    }
    let (mut acknowledged, mut number) = (HashSet::new(), 0);
    let filler = fill_up(&disk, 1 << 20).unwrap();
    let fault = name_until_full(&state, &mut number, &mut acknowledged).await;
    assert!(matches!(fault, StateFault::Full(_)), "{fault}");
    assert!(!reserve.exists(), "it is used");
    let named = state
        .name_streams(vec![stream(u64::MAX)], Timestamp::from_micros(1))
        .await;
    assert_eq!(named.map(|named| named.added), Ok(1), "nobody has made room");
    for change in [
        Change::BundleWritten(bundle().key, Timestamp::from_micros(1)),
        Change::BatchRemoved(batch().file.feed, batch().file.seq),
    ] {
        state.record(change).await.unwrap();
    }
    assert_eq!((state.batches(), state.sealed()), (Ok(vec![]), Ok(vec![])));
    let fault = volume.check_for_answer().unwrap_err();
    assert_eq!(fault.kind(), std::io::ErrorKind::StorageFull, "not for answers");
    assert!(acknowledged.is_subset(&names(&state)));
    state.close().await.unwrap();
    std::fs::remove_file(filler).unwrap();

    // An end and a start on a disk without any room.
    let (state, _) = open().unwrap();
    assert!(reserve.exists(), "made again");
    let filler = fill_up(&disk, 0).unwrap();
    state.close().await.unwrap();
    drop(state);
    fill_rest(&disk);
    let (state, volume) = open().unwrap();
    assert_eq!(state.start_number(), 3);
    assert!(acknowledged.is_subset(&names(&state)));
    std::fs::remove_file(filler).unwrap();
    volume.check_for_answer().unwrap();
    assert!(reserve.exists(), "made again while it runs");
}

fn batch() -> BatchRow {
    BatchRow {
        file: file(1),
        bytes: 100,
        contents: BatchContents {
            version: BulkVersion::Unknown(99),
            events: 10,
            invalid: 0,
            bulk: 1..99,
            blocks: 0..0,
            last: EventName {
                timestamp: Timestamp::from_micros(1),
                kafka_key: "key".to_owned(),
            },
        },
        streams_named: true,
        taken: 0,
    }
}

fn bundle() -> SealedBundle {
    SealedBundle {
        key: BundleKey::new(file(1).feed, Timestamp::from_micros(1), 10, "key"),
        version: BulkVersion::Unknown(99),
        members: vec![Member {
            seq: 1,
            events: 0..10,
        }],
        copies: 1,
    }
}

/// Takes what has become free since the disk was filled up, into the same file.
fn fill_rest(disk: &Path) {
    use std::io::Write;
    let mut filler = std::fs::File::options()
        .append(true)
        .open(disk.join("filler"))
        .unwrap();
    while filler.write_all(&[1; 4096]).is_ok() {}
}

fn file(seq: u64) -> BatchFile {
    BatchFile {
        feed: "samples/binary/mapped".parse().unwrap(),
        seq,
        received: Timestamp::from_micros(1),
    }
}

fn content(size: usize) -> Bytes {
    (0..size).map(|at| (at % 251) as u8).collect()
}

/// Polls a write until the disk has held it up, as the file's name tells; it must not come to its end.
async fn until_held_up<T>(disk: &Path, write: Pin<&mut impl Future<Output = T>>) {
    let is_held = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().file_name().to_string_lossy().ends_with(".held")
    };
    let held_up = async {
        while !std::fs::read_dir(disk.join("root/incoming"))
            .unwrap()
            .any(is_held)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = write => panic!("it has found room"),
        held_up = tokio::time::timeout(Duration::from_secs(60), held_up) => held_up.unwrap(),
    }
}

fn parts(disk: &Path) -> usize {
    std::fs::read_dir(disk.join("root/incoming")).unwrap().count()
}

fn aside(disk: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(disk.join("root/aside/samples/binary/mapped")) else {
        return Vec::new();
    };
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read(&path).unwrap())
    };
    let mut found: Vec<_> = entries.map(|entry| read(entry.unwrap().path())).collect();
    found.sort();
    found
}

#[tokio::test]
async fn an_answer_that_finds_no_room_goes_on_at_the_byte_it_had_come_to() {
    let test = "an_answer_that_finds_no_room_goes_on_at_the_byte_it_had_come_to";
    let Some(disk) = enter(test, "16m").unwrap() else {
        return;
    };
    let journal = FileJournal::open(&disk.join("root")).unwrap();
    // No room for the second block, for half of the first, and for the file itself.
    for (seq, spare) in [400 * 1024, 130 * 1024, 0].into_iter().enumerate() {
        let (file, content) = (file(seq as u64), content(1 << 20));
        let mut answer = journal.receive(&file).await.unwrap();
        let filler = fill_up(&disk, spare).unwrap();
        let mut receipt = Box::pin(async {
            for chunk in content.chunks(60_000) {
                answer.take(content.slice_ref(chunk)).await.unwrap();
            }
            answer.keep().await
        });
        until_held_up(&disk, receipt.as_mut()).await;
        std::fs::remove_file(filler).unwrap();
        receipt.await.unwrap();
        let mut read = Vec::new();
        journal.open(&file).unwrap().read_to_end(&mut read).unwrap();
        assert!(read == content, "{spare}");
    }
    assert_eq!((parts(&disk), aside(&disk)), (0, Vec::new()));
    assert_eq!(journal.buffers().reserved(), 0);
}

#[tokio::test]
async fn a_complete_answer_without_room_for_its_directory_is_kept_when_there_is_some() {
    let test = "a_complete_answer_without_room_for_its_directory_is_kept_when_there_is_some";
    let Some(disk) = enter(test, "16m,nr_inodes=12").unwrap() else {
        return;
    };
    let root = disk.join("root");
    let journal = FileJournal::open(&root).unwrap();
    let mut answer = journal.receive(&file(1)).await.unwrap();
    for chunk in content(600_000).chunks(60_000) {
        answer.take(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    // No inode for the directories of the feed.
    let mut fillers = Vec::new();
    while let Ok(()) = std::fs::write(disk.join(format!("filler-{}", fillers.len())), "") {
        fillers.push(disk.join(format!("filler-{}", fillers.len())));
    }
    assert!(!fillers.is_empty());
    let mut kept = Box::pin(answer.keep());
    until_held_up(&disk, kept.as_mut()).await;
    fillers
        .iter()
        .for_each(|filler| std::fs::remove_file(filler).unwrap());
    kept.await.unwrap();
    let mut read = Vec::new();
    journal.open(&file(1)).unwrap().read_to_end(&mut read).unwrap();
    assert!(read == content(600_000));
}

#[tokio::test]
async fn what_came_in_of_an_answer_that_the_disk_held_up_is_never_thrown_away() {
    let test = "what_came_in_of_an_answer_that_the_disk_held_up_is_never_thrown_away";
    let Some(disk) = enter(test, "16m").unwrap() else {
        return;
    };
    let journal = FileJournal::open(&disk.join("root")).unwrap();
    let content = content(700_000);
    // Broken off by the dispatcher after it had waited: what came in is aside, to its last byte.
    let mut answer = journal.receive(&file(1)).await.unwrap();
    let filler = fill_up(&disk, 400 * 1024).unwrap();
    let mut receipt = Box::pin(answer.take(content.clone()));
    until_held_up(&disk, receipt.as_mut()).await;
    std::fs::remove_file(filler).unwrap();
    receipt.await.unwrap();
    let (place, bytes) = answer.give_up("the connection broke").await.unwrap().unwrap();
    assert!(std::fs::read(place).unwrap() == content);
    assert_eq!(bytes, content.len() as u64);
    // Given up with the program, while it waits: what is on the disk is aside.
    let mut answer = journal.receive(&file(2)).await.unwrap();
    let filler = fill_up(&disk, 400 * 1024).unwrap();
    until_held_up(&disk, Box::pin(answer.take(content.clone())).as_mut()).await;
    drop(answer);
    // A write that is under way ends by itself.
    while aside(&disk).len() < 4 || parts(&disk) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    std::fs::remove_file(filler).unwrap();
    // Broken off without having waited: the disk has nothing to do with it.
    let mut answer = journal.receive(&file(3)).await.unwrap();
    answer.take(content.clone()).await.unwrap();
    assert_eq!(answer.give_up("the connection broke").await.unwrap(), None);

    let found = aside(&disk);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let [one, two] = ["0000000000000001-1.answer", "0000000000000002-1.answer"];
    let reasons = [format!("{one}.reason.txt"), format!("{two}.reason.txt")];
    assert_eq!(names, [one, &reasons[0], two, &reasons[1]]);
    assert_eq!(found[1].1, b"the connection broke\n");
    assert!((256 * 1024..=400 * 1024).contains(&found[2].1.len()));
    assert!(content.starts_with(&found[2].1));
    assert_eq!(parts(&disk), 0);
    let sizes: usize = found.iter().map(|(_, content)| content.len()).sum();
    assert_eq!(journal.bytes_aside().await.unwrap(), sizes as u64);

    // Killed while it waits: the next start puts it aside.
    let mut answer = journal.receive(&file(4)).await.unwrap();
    let filler = fill_up(&disk, 400 * 1024).unwrap();
    let mut receipt = Box::pin(answer.take(content.clone()));
    until_held_up(&disk, receipt.as_mut()).await;
    std::mem::forget(receipt);
    std::mem::forget(answer);
    drop(journal);
    std::fs::remove_file(filler).unwrap();
    let _journal = FileJournal::open(&disk.join("root")).unwrap();
    let place = disk.join("root/aside/0000000000000004-1.samples~binary~mapped.held");
    let kept = std::fs::read(place).unwrap();
    assert!(kept.len() >= 256 * 1024 && content.starts_with(&kept));
    assert_eq!(parts(&disk), 0);
}

#[test]
fn what_cannot_be_put_aside_for_want_of_room_does_not_keep_the_journal_from_being_opened() {
    let test = "what_cannot_be_put_aside_for_want_of_room_does_not_keep_the_journal_from_being_opened";
    let Some(disk) = enter(test, "16m,nr_inodes=20").unwrap() else {
        return;
    };
    let root = disk.join("root");
    drop(FileJournal::open(&root).unwrap());
    let held = "0000000000000004-1.samples~binary~mapped.held";
    std::fs::write(root.join("incoming").join(held), "came in").unwrap();
    let mut fillers = Vec::new();
    while let Ok(()) = std::fs::write(disk.join(format!("filler-{}", fillers.len())), "") {
        fillers.push(disk.join(format!("filler-{}", fillers.len())));
    }
    assert!(!fillers.is_empty());
    drop(FileJournal::open(&root).unwrap());
    assert_eq!(parts(&disk), 1, "it is where it was");
    fillers
        .iter()
        .for_each(|filler| std::fs::remove_file(filler).unwrap());
    drop(FileJournal::open(&root).unwrap());
    assert_eq!(std::fs::read(root.join("aside").join(held)).unwrap(), b"came in");
    assert_eq!(parts(&disk), 0);
}

#[tokio::test]
async fn no_answer_is_begun_below_the_floor() {
    let Some(disk) = enter("no_answer_is_begun_below_the_floor", "16m").unwrap() else {
        return;
    };
    let root = disk.join("root");
    let volume = Volume::with(&root, 4 << 20, 0);
    let journal = FileJournal::open_on(volume, &root).unwrap();
    drop(journal.receive(&file(1)).await.unwrap());
    let filler = fill_up(&disk, 3 << 20).unwrap();
    let fault = journal.receive(&file(1)).await.err().unwrap();
    assert_eq!(fault.kind(), FaultKind::NoRoom);
    assert!(
        fault
            .to_string()
            .contains("no pull is sent before there are 4718592"),
        "{fault}"
    );
    // A little above the floor is not enough for those that have waited.
    std::fs::File::options()
        .write(true)
        .open(&filler)
        .unwrap()
        .set_len(filler.metadata().unwrap().len() - (5 << 18))
        .unwrap();
    assert!(journal.receive(&file(1)).await.is_err());
    std::fs::remove_file(filler).unwrap();
    drop(journal.receive(&file(1)).await.unwrap());
}
