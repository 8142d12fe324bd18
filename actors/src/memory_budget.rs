//! One budget of bytes for everything that holds content in memory: stream workers and writers of bundles.
//!
//! A job reserves the *most* it will ever hold at once, before it holds anything, and all of it in one step: so no
//! two jobs that each hold a part can wait for each other. Who asked first is served first; a large job is not
//! overtaken for ever by small ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is counted in; the semaphore cannot count bytes beyond 4 GiB.
const UNIT: u64 = 1024;

/// Shared by clones, across threads and runtimes.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    units: Arc<Semaphore>,
    whole: u32,
    reserved: AtomicU64,
    high_water: AtomicU64,
}

impl MemoryBudget {
    /// A budget of `bytes`, rounded up to whole KiB, and at least one.
    pub fn new(bytes: u64) -> Self {
        let whole = u32::try_from(bytes.div_ceil(UNIT))
            .unwrap_or(u32::MAX)
            .max(1)
            .min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        Self {
            shared: Arc::new(Shared {
                units: Arc::new(Semaphore::new(whole as usize)),
                whole,
                reserved: AtomicU64::new(0),
                high_water: AtomicU64::new(0),
            }),
        }
    }

    /// Waits until `bytes` are free and takes them; a job that wants more than there is gets the whole, alone.
    pub async fn reserve(&self, bytes: u64) -> Reservation {
        let units = u32::try_from(bytes.div_ceil(UNIT))
            .unwrap_or(u32::MAX)
            .min(self.shared.whole);
        let permit = Arc::clone(&self.shared.units)
            .acquire_many_owned(units)
            .await
            .expect("the semaphore is never closed");
        let reserved = u64::from(units) * UNIT;
        let now = self.shared.reserved.fetch_add(reserved, Ordering::SeqCst) + reserved;
        self.shared.high_water.fetch_max(now, Ordering::SeqCst);
        Reservation {
            shared: Arc::clone(&self.shared),
            bytes: reserved,
            _permit: permit,
        }
    }

    /// How many bytes there are in all.
    pub fn whole(&self) -> u64 {
        u64::from(self.shared.whole) * UNIT
    }

    /// How many bytes are reserved now.
    pub fn reserved(&self) -> u64 {
        self.shared.reserved.load(Ordering::SeqCst)
    }

    /// The most bytes that were ever reserved at once.
    pub fn high_water(&self) -> u64 {
        self.shared.high_water.load(Ordering::SeqCst)
    }
}

/// Bytes that a job may hold; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    shared: Arc<Shared>,
    bytes: u64,
    // Dropped after `drop` below has counted: the sum never exceeds the whole.
    _permit: OwnedSemaphorePermit,
}

impl Reservation {
    /// How many bytes it is good for.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shared.reserved.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_job_waits_for_all_that_it_needs_at_once() {
        let budget = MemoryBudget::new(100 * UNIT);
        let first = budget.reserve(60 * UNIT).await;
        let mut second = Box::pin(budget.reserve(60 * UNIT));
        assert!((&mut second).now_or_never().is_none());
        // Asked later, would fit, and still does not overtake.
        let mut third = Box::pin(budget.reserve(10 * UNIT));
        assert!((&mut third).now_or_never().is_none());
        drop(first);
        let (second, third) = (second.await, third.await);
        assert_eq!(budget.reserved(), second.bytes() + third.bytes());
        assert_eq!(budget.high_water(), 70 * UNIT);
    }

    #[tokio::test]
    async fn more_than_there_is_is_the_whole() {
        let budget = MemoryBudget::new(10 * UNIT - 1);
        let all = budget.reserve(u64::MAX).await;
        assert_eq!((all.bytes(), budget.whole()), (10 * UNIT, 10 * UNIT));
        assert!(budget.reserve(1).now_or_never().is_none());
        drop(all);
        assert_eq!(budget.reserved(), 0);
    }

    #[test]
    fn threads_with_runtimes_of_their_own_share_it() {
        let budget = MemoryBudget::new(8 * UNIT);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let budget = budget.clone();
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    for _ in 0..500 {
                        runtime.block_on(async { drop(budget.reserve(3 * UNIT).await) });
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(budget.reserved(), 0);
        assert!(budget.high_water() <= 6 * UNIT, "{}", budget.high_water());
    }
}
