//! The ports in memory, for tests: they keep what they are given, count what they are asked, and fail on demand.
//!
//! Every fake is a cheap handle (a clone is the same thing), may be handed to worker threads, and runs each call
//! through [`Calls`]: there a call is recorded, counted while it runs, and troubled as the test has asked for
//! ([`Trouble`]): failed before its effect or after it (a lost acknowledgement), held at a [`Gate`], or made to
//! panic. `reopen` stands for kill -9 and a new start: what was durable is there, and handles of the earlier
//! start can do no more harm.
//!
//! No fake sleeps by the clock, but for a pull that no test has scripted an answer for: it collects until its
//! deadline, as the real dispatcher does, which costs nothing under virtual time.
//!
//! [`conformance`] holds fakes and adapters to the same promises.

mod answer;
mod calls;
pub mod conformance;
mod damage;
mod fake_archive;
mod fake_bucket;
mod fake_dispatcher;
mod fake_target;
mod gate;
mod memory_journal;
mod memory_restore_state;
mod memory_state;
mod state_rows;
mod trouble;

pub use answer::Answer;
pub use calls::Calls;
pub use damage::Damage;
pub use fake_archive::{ArchiveCall, FakeArchive};
pub use fake_bucket::{BucketCall, FakeBucket};
pub use fake_dispatcher::{Content, DispatcherCall, FakeDispatcher};
pub use fake_target::{Arrived, EventFate, FakeTarget, TargetCall};
pub use gate::Gate;
pub use memory_journal::{AsideFile, JournalCall, MemoryJournal};
pub use memory_restore_state::{MemoryRestoreState, RestoreCall};
pub use memory_state::{MemoryState, StateCall};
pub use trouble::Trouble;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A test that panics on purpose must not poison what it looks at afterwards.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
