//! The sign of life of the actors' thread, for whoever watches from another one.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Stage;

/// Beaten by the supervisor every second for as long as its thread turns. Clones share it; threads may differ.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    beats: AtomicU64,
    stage: AtomicU8,
    in_good_order: AtomicBool,
    answered: Mutex<Option<Instant>>,
}

impl Pulse {
    /// Shows that the thread turns, and in which stage.
    pub fn beat(&self, stage: Stage) {
        // What was stored before belongs to it.
        self.0.stage.store(stage as u8, Ordering::Release);
        self.0.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// The last beat: the last stage is over, and whether that is an end in good order.
    pub fn end(&self, in_good_order: bool) {
        self.0.in_good_order.store(in_good_order, Ordering::Relaxed);
        self.beat(Stage::Ended);
    }

    /// Whether the last stage is over, and the end is one in good order.
    pub fn ended_in_good_order(&self) -> bool {
        self.stage() == Stage::Ended && self.0.in_good_order.load(Ordering::Relaxed)
    }

    /// Whoever was asked for a sign of life has given one.
    pub(super) fn all_answered(&self) {
        *self.answered() = Some(Instant::now());
    }

    /// How long ago the actors last answered each other; `None` before the first time.
    pub fn since_answers(&self) -> Option<Duration> {
        self.answered().map(|at| at.elapsed())
    }

    fn answered(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often it has beaten; 0 before the supervisor has begun.
    pub fn beats(&self) -> u64 {
        self.0.beats.load(Ordering::Relaxed)
    }

    /// The stage in which it beat last.
    pub fn stage(&self) -> Stage {
        let last = self.0.stage.load(Ordering::Acquire);
        let stage = Stage::ALL.into_iter().find(|stage| *stage as u8 == last);
        stage.unwrap_or(Stage::Running)
    }
}
