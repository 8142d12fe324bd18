//! Counts by keyword.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts that only rise. The keywords are words of this program, and so there are few. Clones share it; threads may
/// differ.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Tally {
    /// One more.
    pub fn count(&self, keyword: &'static str) {
        *self.kept().entry(keyword).or_default() += 1;
    }

    /// The counts so far.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let kept = self.kept();
        kept.iter()
            .map(|(keyword, count)| ((*keyword).to_owned(), *count))
            .collect()
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
