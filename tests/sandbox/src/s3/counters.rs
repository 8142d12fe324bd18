//! What the S3 server saw.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::knobs::Operation;

/// The figures.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Requests by operation, failed ones included.
    pub requests: BTreeMap<Operation, u64>,
    /// Answers of 400 and more by operation.
    pub failures: BTreeMap<Operation, u64>,
    /// How many requests are being served now.
    pub in_flight: usize,
    /// How many were at once, at most.
    pub in_flight_peak: usize,
    /// How often each object (`bucket/key`) was written by a PUT or a completed multipart upload.
    pub writes: BTreeMap<String, u32>,
    /// Bytes of request bodies.
    pub bytes_in: u64,
}

impl Seen {
    /// How many requests of an operation came in.
    pub fn requests_of(&self, operation: Operation) -> u64 {
        self.requests.get(&operation).copied().unwrap_or(0)
    }

    /// Objects that were written more than once.
    pub fn written_again(&self) -> Vec<&str> {
        self.writes
            .iter()
            .filter(|(_, times)| **times > 1)
            .map(|(key, _)| key.as_str())
            .collect()
    }
}

/// The figures, as they grow.
#[derive(Debug, Default)]
pub struct Counters {
    seen: Mutex<Seen>,
    change: Condvar,
}

impl Counters {
    /// The figures so far.
    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// How many objects of a bucket were written, and bytes received: cheap enough for a progress display.
    pub fn progress(&self, bucket: &str) -> (usize, u64) {
        let seen = self.lock();
        (
            seen.writes.keys().filter(|key| key.starts_with(bucket)).count(),
            seen.bytes_in,
        )
    }

    /// Bytes of request bodies so far.
    pub fn bytes_in(&self) -> u64 {
        self.lock().bytes_in
    }

    /// The sum of what `count` says to the name of each object below `prefix` that was written.
    pub fn written_below(&self, prefix: &str, count: impl Fn(&str) -> u64) -> u64 {
        let seen = self.lock();
        let below = seen.writes.range(prefix.to_owned()..);
        let names = below.map_while(|(object, _)| object.strip_prefix(prefix));
        names.map(count).sum()
    }

    /// Waits until `reached` holds; looks whenever a request has ended. False after `longest`.
    pub fn wait_until(&self, longest: Duration, mut reached: impl FnMut(&Seen) -> bool) -> bool {
        let end = Instant::now() + longest;
        let mut seen = self.lock();
        loop {
            if reached(&seen) {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            seen = self
                .change
                .wait_timeout(seen, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    pub(super) fn begin(&self, operation: Operation) {
        let mut seen = self.lock();
        *seen.requests.entry(operation).or_default() += 1;
        seen.in_flight += 1;
        seen.in_flight_peak = seen.in_flight_peak.max(seen.in_flight);
        drop(seen);
        self.change.notify_all();
    }

    pub(super) fn end(&self, operation: Operation, status: Option<u16>, object: &str) {
        let mut seen = self.lock();
        seen.in_flight -= 1;
        match status {
            Some(status) if status < 400 => {
                if operation.writes() {
                    *seen.writes.entry(object.to_owned()).or_default() += 1;
                }
            }
            _ => *seen.failures.entry(operation).or_default() += 1,
        }
        drop(seen);
        self.change.notify_all();
    }

    pub(super) fn received(&self, bytes: usize) {
        self.lock().bytes_in += bytes as u64;
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
