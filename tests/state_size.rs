//! Local state in sled stays small on the disk, whatever comes and goes.
//!
//! sled collects its garbage by the clock, so nothing here expects a size at an instant: it is waited for, while the
//! program works on, and what is bounded is the work.

use std::path::Path;

use actors::avro::{BulkVersion, ModelVersion};
use actors::feed::Feed;
use actors::object_key::BundleKey;
use actors::ports::journal::BatchFile;
use actors::ports::state::{
    BatchContents, BatchRow, Change, EventName, LocalState, Member, PullMark, SealedBundle,
};
use actors::stream_id::StreamId;
use actors::timestamp::Timestamp;
use azul_backup::adapters::state::SledState;
use futures_util::future::join_all;
use tempfile::TempDir;

const MIB: u64 = 1024 * 1024;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// Streams whose hashes are spread as those of binaries are.
fn streams(numbers: std::ops::Range<u64>) -> Vec<StreamId> {
    let spread = numbers.map(|number| number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    spread
        .map(|number| StreamId::new("samples", "content", &format!("{number:016x}{number:048x}")).unwrap())
        .collect()
}

fn size_of(directory: &Path) -> u64 {
    let sizes = std::fs::read_dir(directory).unwrap().map(|entry| {
        let entry = entry.unwrap();
        // sled removes old snapshots meanwhile.
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        }
    });
    sizes.sum()
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

async fn record_all(state: &SledState, changes: impl IntoIterator<Item = Change>) {
    let recorded = join_all(changes.into_iter().map(|change| state.record(change))).await;
    assert!(recorded.iter().all(Result::is_ok));
}

/// One of so many streams is missing: its row stays among those that go.
const MISSING: usize = 200;

async fn settle(state: &SledState, streams: Vec<StreamId>) {
    let settled = streams
        .into_iter()
        .enumerate()
        .map(|(place, stream)| match place % MISSING {
            0 => Change::StreamMissing(stream, at(1)),
            _ => Change::StreamStored(stream),
        });
    record_all(state, settled).await;
}

/// What one pull of a feed brings about, all but the streams that its batch names.
async fn back_up_a_batch(state: &SledState, seq: u64) {
    let feed: Feed = "samples/binary/sourced".parse().unwrap();
    let mark = PullMark {
        feed: feed.clone(),
        since: at(1),
        until: at(2),
    };
    let row = BatchRow {
        file: BatchFile {
            feed: feed.clone(),
            seq,
            received: at(1),
        },
        bytes: 100,
        contents: BatchContents {
            version: BulkVersion::Known(ModelVersion::V6),
            events: 10,
            invalid: 0,
            bulk: 1..99,
            blocks: 2..98,
            last: EventName {
                timestamp: at(2),
                kafka_key: "key".to_owned(),
            },
        },
        streams_named: false,
        taken: 0,
    };
    let bundle = SealedBundle {
        key: BundleKey::new(feed.clone(), at(2), 10, "key"),
        version: BulkVersion::Known(ModelVersion::V6),
        members: vec![Member { seq, events: 0..10 }],
        copies: 1,
    };
    for change in [
        Change::PullMarked(mark),
        Change::BatchJournaled(row, at(1)),
        Change::StreamsNamed(feed.clone(), seq),
        Change::BundleSealed(bundle.clone()),
        Change::BundleWritten(bundle.key, at(2)),
        Change::BatchRemoved(feed, seq),
    ] {
        state.record(change).await.unwrap();
    }
}

/// A thing of the past must not cost room for as long as the program works: the bucket was away, and everything
/// waited.
#[tokio::test]
async fn room_that_many_waiting_rows_took_is_given_back() {
    const WAITING: u64 = 15_000;
    const LOT: u64 = 200;
    const MOST_LOTS: u64 = 60;
    let root = TempDir::new().unwrap();
    let state = SledState::open(root.path()).unwrap();
    for first in (0..WAITING).step_by(250) {
        state
            .name_streams(streams(first..first + 250), at(1))
            .await
            .unwrap();
    }
    let peak = size_of(root.path());
    for first in (0..WAITING).step_by(1000) {
        settle(&state, streams(first..first + 1000)).await;
    }
    let (mut lots, mut sizes) = (0, vec![peak, size_of(root.path())]);
    while *sizes.last().unwrap() > 6 * MIB {
        assert!(lots < MOST_LOTS, "{lots} lots later: {sizes:?} bytes");
        let streams = streams(WAITING + lots * LOT..WAITING + (lots + 1) * LOT);
        state.name_streams(streams.clone(), at(1)).await.unwrap();
        back_up_a_batch(&state, lots).await;
        settle(&state, streams).await;
        lots += 1;
        sizes.push(size_of(root.path()));
    }
    println!("{lots} lots later: {sizes:?} bytes");
    assert!(peak > 8 * MIB, "many rows are waiting: {peak} bytes");
}

/// The longer form: `AZUL_BACKUP_TEST_STREAMS=1000000 cargo test --test state_size streams_that_come -- --nocapture`.
#[tokio::test]
async fn streams_that_come_and_go_leave_little_on_the_disk() {
    let count = std::env::var("AZUL_BACKUP_TEST_STREAMS").map_or(20_000_u64, |count| count.parse().unwrap());
    let root = TempDir::new().unwrap();
    let state = SledState::open(root.path()).unwrap();
    let before = resident_kib();
    let mut most = 0;
    for first in (0..count).step_by(1000) {
        let streams = streams(first..first + 1000);
        state.name_streams(streams.clone(), at(1)).await.unwrap();
        record_all(&state, streams.into_iter().map(Change::StreamStored)).await;
        most = most.max(size_of(root.path()));
    }
    let mib = |bytes: u64| bytes / MIB;
    let grown = resident_kib().saturating_sub(before) / 1024;
    println!(
        "{count} streams: {} MiB on disk at most, {grown} MiB of memory more",
        mib(most)
    );
    assert!(most < 16 * MIB, "{} MiB on disk", mib(most));
    assert_eq!(state.counts().pending, 0);
}

/// The longer form: `AZUL_BACKUP_TEST_MISSING=200000 cargo test --test state_size missing_streams_take -- --nocapture`.
#[tokio::test]
async fn missing_streams_take_room_on_the_disk_and_not_in_memory() {
    let count = std::env::var("AZUL_BACKUP_TEST_MISSING").map_or(20_000_u64, |count| count.parse().unwrap());
    let root = TempDir::new().unwrap();
    let state = SledState::open(root.path()).unwrap();
    let before = resident_kib();
    for first in (0..count).step_by(1000) {
        let streams = streams(first..first + 1000);
        state.name_streams(streams.clone(), at(1)).await.unwrap();
        let missing = streams
            .into_iter()
            .map(|stream| Change::StreamMissing(stream, at(1)));
        record_all(&state, missing).await;
        if first % 20_000 == 0 {
            println!(
                "{first}: {} MiB more",
                resident_kib().saturating_sub(before) / 1024
            );
        }
    }
    let (grown, size) = (resident_kib().saturating_sub(before) / 1024, size_of(root.path()));
    println!(
        "{count} missing: {} MiB on disk, {grown} MiB of memory more",
        size / MIB
    );
    assert!(size < 8 * MIB + 1000 * count, "{size} bytes on disk");
    let begun = std::time::Instant::now();
    drop(state);
    let state = SledState::open(root.path()).unwrap();
    println!(
        "reopened in {:?}: {} MiB more",
        begun.elapsed(),
        resident_kib().saturating_sub(before) / 1024
    );
    assert_eq!(state.counts().missing, count);
}
