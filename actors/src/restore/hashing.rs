//! The SHA-256 of streams that are restored side by side, of two of them at a time where that is faster
//! ([`sha256_pair`]).
//!
//! A worker that has got enough of its stream to hash looks whether another has left some of its own on the
//! [`HashBench`]. If so, it hashes both. If not, it leaves its own there, and goes on with its stream: somebody will
//! come by. When that is too much, and at the end of a stream, it waits a moment for somebody: that lets the others
//! run, whose turn it would have been soon. What nobody has taken along by then, it hashes alone.
//!
//! Nothing of a stream is hashed twice or out of order: what is on the bench goes from hand to hand together with what
//! is known of the stream before it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use sha256_pair::{BLOCK, State, padding};

use crate::stream_id::Sha256;

/// So much of a stream is gathered before it is hashed, in bytes: two of it lie in the cache of a core.
const ENOUGH: usize = 240 * 1024;

/// So much of a stream lies on the bench while it goes on, in bytes: about as much as comes of it at a time.
const MOST: usize = 2 * ENOUGH;

/// With less than this, the end of a stream looks for nobody.
const WORTH_IT: usize = 64 * 1024;

/// How long somebody is waited for, for each stream that is under way: the more there are, the surer one comes by.
const WAIT: Duration = Duration::from_micros(200);

/// No more streams than these are waited for: four milliseconds, in which two megabytes are hashed.
const MOST_WAITED_FOR: usize = 20;

/// Where workers leave what is to be hashed: one for all of them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HashBench(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Of one of the streams.
    left: Mutex<Option<Left>>,
    taken_along: Condvar,
    streams: AtomicUsize,
    /// Two at a time are faster than one after the other.
    pairs: bool,
    wait: Duration,
}

/// What was left, until its owner comes back for it; hashed by then or not.
type Left = Arc<Mutex<Work>>;

impl Default for HashBench {
    fn default() -> Self {
        Self::new(sha256_pair::is_faster(), WAIT)
    }
}

impl HashBench {
    fn new(pairs: bool, wait: Duration) -> Self {
        Self(Arc::new(Shared {
            left: Mutex::default(),
            taken_along: Condvar::new(),
            streams: AtomicUsize::new(0),
            pairs,
            wait,
        }))
    }

    /// Of a stream that begins.
    pub(super) fn begin(&self) -> StreamHash {
        self.0.streams.fetch_add(1, Ordering::Relaxed);
        StreamHash {
            bench: self.clone(),
            left: None,
            work: Work::default(),
            rest: BytesMut::with_capacity(BLOCK),
            length: 0,
        }
    }

    /// Whether there is nobody who could come by.
    fn is_for_one(&self) -> bool {
        !self.0.pairs || self.0.streams.load(Ordering::Relaxed) == 1
    }

    /// Hashes as much of `work` as there is of what another has left, and that, or leaves `work` in its place.
    fn meet(&self, work: Work) -> Met {
        let mut left = self.left();
        let Some(theirs) = left.take() else {
            let mine = Arc::new(Mutex::new(work));
            *left = Some(Arc::clone(&mine));
            return Met::Nobody(mine);
        };
        // Locked before its owner can miss it on the bench, who waits for this lock then.
        let mut theirs = locked(&theirs);
        drop(left);
        let mut work = work;
        work.take_along(&mut theirs);
        drop(theirs);
        self.0.taken_along.notify_all();
        Met::Another(work)
    }

    /// Waits a moment until somebody takes along what was left.
    fn wait(&self, mine: &Left) {
        let is_there = |left: &mut Option<Left>| is_same(left.as_ref(), mine);
        let streams = self.0.streams.load(Ordering::Relaxed).min(MOST_WAITED_FOR);
        let patience = self.0.wait * u32::try_from(streams).unwrap_or(1);
        let _left = self
            .0
            .taken_along
            .wait_timeout_while(self.left(), patience, is_there)
            .unwrap_or_else(PoisonError::into_inner);
    }

    /// What was left, and whether nobody has taken it along.
    fn fetch(&self, mine: &Left) -> (Work, bool) {
        let mut left = self.left();
        let nobody_came = is_same(left.as_ref(), mine);
        if nobody_came {
            *left = None;
        }
        drop(left);
        (std::mem::take(&mut *locked(mine)), nobody_came)
    }

    fn left(&self) -> MutexGuard<'_, Option<Left>> {
        self.0.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn locked(left: &Left) -> MutexGuard<'_, Work> {
    left.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_same(left: Option<&Left>, mine: &Left) -> bool {
    left.is_some_and(|left| Arc::ptr_eq(left, mine))
}

/// Whom somebody met at the bench.
enum Met {
    /// Nobody: it was left.
    Nobody(Left),
    /// Another, as far as there was of both; what is not hashed yet.
    Another(Work),
}

/// The hash of one stream.
#[derive(Debug)]
pub(super) struct StreamHash {
    bench: HashBench,
    /// What was left on the bench; all else comes after it.
    left: Option<Left>,
    work: Work,
    /// Less than a block.
    rest: BytesMut,
    length: u64,
}

impl StreamHash {
    /// Takes the next bytes of the stream. Hashes now and then, and may wait some milliseconds before.
    pub(super) fn take(&mut self, bytes: Bytes) {
        self.length += bytes.len() as u64;
        self.cut(bytes);
        if self.work.length < ENOUGH {
            return;
        }
        self.fetch();
        if self.bench.is_for_one() {
            self.work.finish();
            return;
        }
        let is_too_much = self.work.length >= MOST;
        self.meet();
        if is_too_much {
            self.wait();
        }
    }

    /// Cuts them into blocks.
    fn cut(&mut self, mut bytes: Bytes) {
        if !self.rest.is_empty() {
            let missing = (BLOCK - self.rest.len()).min(bytes.len());
            self.rest.extend_from_slice(&bytes.split_to(missing));
            if self.rest.len() < BLOCK {
                return;
            }
            self.work.add(self.rest.split().freeze());
        }
        let blocks = bytes.split_to(bytes.len() / BLOCK * BLOCK);
        self.work.add(blocks);
        self.rest.extend_from_slice(&bytes);
    }

    /// Takes back what was left; returns whether it is as it was.
    fn fetch(&mut self) -> bool {
        let Some(mine) = self.left.take() else {
            return false;
        };
        let (before, nobody_came) = self.bench.fetch(&mine);
        self.work.come_after(before);
        nobody_came
    }

    /// Waits a moment until what was left is taken along, and takes back what is not; hashes it, if nobody came.
    fn wait(&mut self) {
        if let Some(mine) = &self.left {
            self.bench.wait(mine);
        }
        if self.fetch() {
            self.work.finish();
        }
    }

    fn meet(&mut self) {
        match self.bench.meet(std::mem::take(&mut self.work)) {
            Met::Nobody(left) => self.left = Some(left),
            Met::Another(work) => self.work = work,
        }
    }

    /// The hash of all that was taken. May wait a few milliseconds.
    pub(super) fn finish(mut self) -> Sha256 {
        self.fetch();
        while self.work.length >= WORTH_IT && !self.bench.is_for_one() {
            self.meet();
            self.wait();
        }
        let last = padding(&self.rest, self.length);
        self.work.add(last.into());
        self.work.finish();
        Sha256::from_bytes(self.work.state.digest())
    }
}

impl Drop for StreamHash {
    fn drop(&mut self) {
        // What an abandoned stream has left is of no use to anybody.
        self.fetch();
        self.bench.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is to be hashed of a stream, and what is known of all before it.
#[derive(Debug, Default)]
struct Work {
    state: State,
    /// Whole ones.
    blocks: VecDeque<Bytes>,
    /// In bytes.
    length: usize,
}

impl Work {
    fn add(&mut self, blocks: Bytes) {
        if !blocks.is_empty() {
            self.length += blocks.len();
            self.blocks.push_back(blocks);
        }
    }

    /// Goes on where `before` ends: nothing is known of what comes before it here.
    fn come_after(&mut self, before: Self) {
        let after = std::mem::replace(self, before);
        self.length += after.length;
        self.blocks.extend(after.blocks);
    }

    /// Hashes two of them, as far as there is of both.
    fn take_along(&mut self, other: &mut Self) {
        while let (Some(mine), Some(theirs)) = (self.blocks.front(), other.blocks.front()) {
            let length = mine.len().min(theirs.len());
            State::take_two(
                [&mut self.state, &mut other.state],
                [&mine[..length], &theirs[..length]],
            );
            self.is_done(length);
            other.is_done(length);
        }
    }

    fn is_done(&mut self, length: usize) {
        self.length -= length;
        if let Some(front) = self.blocks.front_mut() {
            front.advance(length);
        }
        self.blocks.pop_front_if(|front| front.is_empty());
    }

    fn finish(&mut self) {
        for blocks in self.blocks.drain(..) {
            self.state.take(&blocks);
        }
        self.length = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    fn content(seed: u64, length: usize) -> Vec<u8> {
        let mut next = seed.wrapping_mul(2) | 1;
        Vec::from_iter((0..length).map(|_| {
            next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (next >> 56) as u8
        }))
    }

    fn hash(bench: &HashBench, content: &[u8], piece: usize) -> Sha256 {
        let mut hash = bench.begin();
        for piece in content.chunks(piece) {
            hash.take(Bytes::copy_from_slice(piece));
        }
        hash.finish()
    }

    #[test]
    fn many_workers_get_the_hash_of_what_each_of_them_took() {
        for pairs in [true, false] {
            let bench = HashBench::new(pairs, WAIT);
            thread::scope(|scope| {
                for worker in 0..8u64 {
                    let bench = &bench;
                    scope.spawn(move || {
                        for (length, piece) in [
                            (0, 1),
                            (1_000_000, 63 * 1024),
                            (300_000, 300_000),
                            (700_001, 4_099),
                        ] {
                            let content = content(worker, length);
                            assert_eq!(hash(bench, &content, piece), Sha256::of(&content), "{length}");
                        }
                    });
                }
            });
            assert!(bench.left().is_none());
            assert_eq!(bench.0.streams.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn what_one_leaves_the_other_takes_along() {
        let bench = HashBench::new(true, WAIT);
        let (one, other) = (content(1, ENOUGH), content(2, 2 * ENOUGH));
        let (mut first, mut second) = (bench.begin(), bench.begin());
        first.take(one.clone().into());
        assert_eq!((first.work.length, bench.left().is_some()), (0, true));
        second.take(other.clone().into());
        assert_eq!((second.work.length, bench.left().is_some()), (ENOUGH, false));
        let hashed = first.left.as_ref().map(|left| locked(left).length);
        assert_eq!(hashed, Some(0));
        assert_eq!(first.finish(), Sha256::of(&one));
        assert_eq!(second.finish(), Sha256::of(&other));
    }

    #[test]
    fn the_end_of_a_stream_waits_until_it_is_taken_along() {
        let bench = HashBench::new(true, Duration::from_secs(60));
        let (one, other) = (content(1, WORTH_IT), content(2, ENOUGH));
        let (mut first, mut second) = (bench.begin(), bench.begin());
        first.take(one.clone().into());
        let found = thread::scope(|scope| {
            let first = scope.spawn(|| first.finish());
            while bench.left().is_none() {
                thread::yield_now();
            }
            second.take(other.clone().into());
            first.join().unwrap()
        });
        assert_eq!(found, Sha256::of(&one));
        assert_eq!(second.work.length, ENOUGH - WORTH_IT);
        assert_eq!(second.finish(), Sha256::of(&other));
    }

    #[test]
    fn where_nobody_comes_by_it_is_hashed_alone() {
        let bench = HashBench::new(true, WAIT);
        let _idle = bench.begin();
        let content = content(3, 7 * ENOUGH + 7);
        let mut hash = bench.begin();
        for piece in content.chunks(1024) {
            hash.take(Bytes::copy_from_slice(piece));
            let left = hash.left.as_ref().map_or(0, |left| locked(left).length);
            assert!(hash.work.length < ENOUGH && left < MOST, "{left}");
        }
        assert_eq!(hash.finish(), Sha256::of(&content));
        assert!(bench.left().is_none());
    }

    #[test]
    fn what_an_abandoned_stream_has_left_is_in_nobody_s_way() {
        let bench = HashBench::new(true, WAIT);
        let (one, other) = (content(1, ENOUGH), content(2, 3 * ENOUGH));
        let (mut first, mut second) = (bench.begin(), bench.begin());
        first.take(one.clone().into());
        drop(first);
        assert!(bench.left().is_none());
        second.take(other.clone().into());
        // One that was taken along, and is abandoned then.
        let mut third = bench.begin();
        third.take(one.into());
        drop(third);
        assert_eq!(second.finish(), Sha256::of(&other));
    }

    proptest! {
        /// Several streams whose pieces come in any order, and may pair with any other's.
        #[test]
        fn however_they_come_in_pieces_each_is_one_content(
            pieces in prop::collection::vec((0usize..4, 0usize..250_000), 0..30),
            abandoned in prop::option::of(0usize..4),
            pairs in any::<bool>(),
        ) {
            let bench = HashBench::new(pairs, Duration::ZERO);
            let mut streams = Vec::from_iter((0..4).map(|_| (Some(bench.begin()), Vec::new())));
            for (number, (stream, length)) in pieces.into_iter().enumerate() {
                let piece = content(number as u64, length);
                let (hash, all) = &mut streams[stream];
                all.extend_from_slice(&piece);
                if let Some(hash) = hash {
                    hash.take(piece.into());
                }
                if number == 12 && let Some(abandoned) = abandoned {
                    streams[abandoned].0 = None;
                }
            }
            for (hash, all) in streams {
                if let Some(hash) = hash {
                    prop_assert_eq!(hash.finish(), Sha256::of(&all));
                }
            }
            prop_assert!(bench.left().is_none());
        }
    }
}
