//! How little memory a stream takes, however long it is.

use std::io::Write;
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::FutureExt;
use sha2::Digest;

use super::*;
use crate::object_writer::tests::PassingBucket;
use crate::ports::bucket::SMALLEST_PART;

#[tokio::test(start_paused = true)]
async fn streams_wait_for_memory_before_they_are_read() {
    let content = packed(12 * MIB);
    let mut scene = Scene::holding(&content);
    scene.terms.budget = MemoryBudget::new(9 * MIB);
    let taken = scene.terms.budget.reserve(4 * MIB).await;
    let mut waiting = Box::pin(scene.store());
    assert!((&mut waiting).now_or_never().is_none());
    let calls = scene.dispatcher.calls();
    assert_eq!(
        (
            calls.count(DispatcherCall::Download),
            calls.count(DispatcherCall::Chunk)
        ),
        (1, 0)
    );
    drop(taken);
    assert!(waiting.await.is_safe());
    assert!(scene.terms.budget.high_water() <= 9 * MIB);
}

#[tokio::test(start_paused = true)]
async fn a_small_stream_reserves_little() {
    let scene = Scene::holding(&packed(1000));
    assert!(scene.store().await.is_safe());
    let most = scene.terms.budget.high_water();
    assert!(most <= OVERHEAD + 4096, "{most}");
}

/// In an optimised build as large as the largest binaries; the memory is the same.
const LARGE: u64 = if cfg!(debug_assertions) {
    300 * MIB
} else {
    4200 * MIB
};

#[tokio::test]
async fn a_huge_stream_goes_through_little_memory() {
    // Longer than the window of the compressor, so that repeating it does not make it shrink.
    let block = Bytes::from(packed(MIB));
    let mut sha256 = sha2::Sha256::new();
    (0..LARGE / MIB).for_each(|_| sha256.update(&block));
    let sha256 = Sha256::from_bytes(sha256.finalize().into());
    let scene = Scene::of(sha256);
    let held = Content::repeated(block, LARGE).breaking_at(LARGE / 2 + 77, 1);
    scene.dispatcher.hold(&scene.job.stream, held);

    let mut restored = flate2::write::MultiGzDecoder::new(Hashed(sha2::Sha256::new()));
    let bucket = Rc::new(PassingBucket {
        see: Mutex::new(move |part: &[u8]| {
            restored.write_all(part).unwrap();
        }),
        parts: Mutex::default(),
    });
    let mut ports = scene.ports();
    ports.bucket = Rc::clone(&bucket) as Rc<dyn Bucket>;
    let outcome = store_stream(&ports, &scene.terms, &scene.job, Timestamp::now()).await;

    let StreamOutcome::Stored { bytes_in, bytes_out } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(bytes_in, LARGE);
    let parts = bucket.parts.lock().unwrap();
    assert_eq!(parts.iter().sum::<usize>() as u64, bytes_out);
    assert_eq!(parts.iter().max(), Some(&SMALLEST_PART));
    let most = scene.terms.budget.high_water();
    assert!(most <= 7 * MIB, "{most}");
    assert_eq!(scene.downloads(), [0, LARGE / 2 + 77]);
}

/// Hashes what is written, and forgets it.
struct Hashed(sha2::Sha256);

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
