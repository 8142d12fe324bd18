//! Repeats what failed for a reason that may pass: exponential backoff with jitter, cut short by a stop.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use crate::board::Tally;
use crate::fault::{Fault, FaultKind};
use crate::stop::StopFlag;

/// The longest wait between two attempts, whatever the server asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How often one request is tried, and how long is waited in between.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Attempts of one request in all; at least 1.
    pub attempts: u32,
    /// The middle of the first delay; the following ones double.
    pub average_delay: Duration,
    /// Counts what is tried again, by operation.
    pub retries: Tally,
}

impl RetryPolicy {
    /// Calls `attempt` until it succeeds, fails for good, or has been tried often enough. The error tells how
    /// often, and for how long.
    ///
    /// # Errors
    /// The last fault; [`FaultKind::Cancelled`] if `stop` was raised while waiting.
    pub async fn run<T, F>(
        &self,
        operation: &'static str,
        target: &impl fmt::Display,
        stop: &StopFlag,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let mut backoff = self.backoff();
        loop {
            match attempt().await {
                Ok(done) => return Ok(done),
                Err(fault) => backoff.pause(fault, operation, target, stop).await?,
            }
        }
    }

    /// For what is not simply repeated, such as a download that goes on where it broke: counts and waits alike.
    pub fn backoff(&self) -> Backoff {
        Backoff {
            delays: self.delays(),
            begun: Instant::now(),
            tried: 0,
            retries: self.retries.clone(),
        }
    }

    /// The waits between attempts: one fewer than attempts.
    fn delays(&self) -> ExponentialBackoff {
        // backon adds up to one minimum delay of jitter, so the middle of the first wait is 1.5 minimum delays.
        let least = self.average_delay.mul_f64(2.0 / 3.0);
        ExponentialBuilder::default()
            .with_min_delay(least)
            .with_max_delay(LONGEST_WAIT)
            .with_max_times(self.attempts.saturating_sub(1) as usize)
            .with_jitter()
            .build()
    }
}

/// The failed attempts of one request so far.
#[derive(Debug)]
pub struct Backoff {
    delays: ExponentialBackoff,
    begun: Instant,
    tried: u32,
    retries: Tally,
}

impl Backoff {
    /// Counts an attempt that failed with `fault`, and waits until it is time for the next.
    ///
    /// # Errors
    /// There is none: the fault itself, with the attempts and the time; [`FaultKind::Cancelled`] if `stop` was
    /// raised while waiting.
    pub async fn pause(
        &mut self,
        fault: Fault,
        operation: &'static str,
        target: &impl fmt::Display,
        stop: &StopFlag,
    ) -> Result<(), Fault> {
        self.tried += 1;
        let delay = if fault.is_transient() {
            self.delays.next()
        } else {
            None
        };
        let Some(delay) = delay else {
            return Err(fault.tried(self.tried, self.begun.elapsed()));
        };
        let wait = fault
            .wait()
            .map_or(delay, |asked| asked.max(delay))
            .min(LONGEST_WAIT);
        // The first tells that something is wrong; the others only that it still is.
        let level = if self.tried == 1 {
            log::Level::Info
        } else {
            log::Level::Debug
        };
        log::log!(level, "{fault}; attempt {} in {wait:.1?}", self.tried + 1);
        tokio::select! {
            () = tokio::time::sleep(wait) => {
                self.retries.count(operation);
                Ok(())
            }
            () = stop.raised() => {
                // The count and the reason stay visible: a stop during backoff must still report this try.
                Err(Fault::new(FaultKind::Cancelled, operation, target, fault.detail())
                    .tried(self.tried, self.begun.elapsed()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn policy(attempts: u32) -> RetryPolicy {
        RetryPolicy {
            attempts,
            average_delay: Duration::from_millis(500),
            retries: Default::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn transient_faults_are_tried_as_often_as_set_and_told() {
        let calls = Cell::new(0);
        let outcome: Result<(), _> = policy(5)
            .run("put", &"key", &StopFlag::default(), || {
                calls.set(calls.get() + 1);
                async { Err(Fault::transient("put", "key", "503")) }
            })
            .await;
        assert_eq!(calls.get(), 5);
        let text = outcome.unwrap_err().to_string();
        assert!(
            text.starts_with("put key: 503 (gave up after 5 attempts in "),
            "{text}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_succeed_is_tried_once() {
        for fault in [
            Fault::rejected("put", "key", "400"),
            Fault::missing("get", "key", "404"),
        ] {
            let calls = Cell::new(0);
            let outcome: Result<(), _> = policy(5)
                .run("put", &"key", &StopFlag::default(), || {
                    calls.set(calls.get() + 1);
                    let fault = fault.clone();
                    async { Err(fault) }
                })
                .await;
            assert_eq!((calls.get(), outcome.unwrap_err().kind()), (1, fault.kind()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn delays_double_around_the_average_and_obey_retry_after() {
        for _ in 0..100 {
            let delays: Vec<_> = policy(4).delays().collect();
            for (delay, middle) in delays.iter().zip([500, 830, 1500]) {
                let middle = Duration::from_millis(middle);
                assert!(*delay >= middle / 2 && *delay <= middle * 2, "{delays:?}");
            }
            assert_eq!(delays.len(), 3);
        }
        let begun = Instant::now();
        let _: Result<(), _> = policy(2)
            .run("put", &"key", &StopFlag::default(), || async {
                Err(Fault::transient("put", "key", "503").retry_after(Some(Duration::from_secs(7))))
            })
            .await;
        assert_eq!(begun.elapsed().as_secs(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_tried_again_counts_as_repeated() {
        let (policy, stop) = (policy(3), StopFlag::default());
        let fail = async |operation, stop: &StopFlag| {
            let fails = || async { Err::<(), _>(Fault::transient("any", "key", "503")) };
            policy.run(operation, &"key", stop, fails).await.unwrap_err();
        };
        fail("put object", &stop).await;
        fail("head object", &stop).await;
        fail("put object", &stop).await;
        stop.raise();
        fail("get object", &stop).await;
        let counts = policy.retries.counts();
        let expected = [("head object".to_owned(), 2), ("put object".to_owned(), 4)];
        assert_eq!(counts, expected.into(), "one fewer than attempts");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_wait() {
        let stop = StopFlag::default();
        stop.raise();
        let outcome: Result<(), _> = policy(5)
            .run("put", &"key", &stop, || async {
                Err(Fault::transient("put", "key", "503"))
            })
            .await;
        assert_eq!(outcome.unwrap_err().kind(), FaultKind::Cancelled);
    }
}
