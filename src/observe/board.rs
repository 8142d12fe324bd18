//! What a running process shows of itself, and the snapshots that are taken of it.
//!
//! It exists from the very start, before local state is open: a start that takes long is to be seen. It is written by
//! the thread of the actors, and whoever works for it; a snapshot is taken on any thread, under locks that nobody holds
//! across a wait.

mod backup;
mod pace;
mod restore;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actors::board::Tally;
use actors::statistics::SourceFigures;
use actors::supervisor::{Pulse, Stage};
use actors::timestamp::Timestamp;

pub use self::backup::{BackupBoard, Shelf};
pub use self::restore::RestoreBoard;
use super::snapshot::{Doing, Snapshot};
use super::usage::Usage;
use super::{Source, metrics, remarks};
use crate::adapters::metered::Meter;

/// Makes the text of all metrics.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// What both modes show.
#[derive(Debug)]
pub struct Process {
    mode: Doing,
    backup_id: String,
    started: Timestamp,
    pulse: Pulse,
    retries: Tally,
    meter: Meter,
    milestones: Mutex<Milestones>,
}

/// Where a process shows how it stands, whatever its mode.
pub trait ProcessBoard: Clone + Send + Sync + 'static {
    /// What both modes show.
    fn process(&self) -> &Process;

    /// How it stands now.
    fn snapshot(&self) -> Snapshot;

    /// Where requests are noted.
    fn meter(&self) -> &Meter {
        &self.process().meter
    }

    /// Local state is open.
    fn state_opened(&self) {
        self.process().milestones().opened = true;
    }

    /// All feeds have started, or the restore has begun.
    fn begun(&self) {
        self.process().milestones().begun = true;
    }

    /// A signal came before that.
    fn start_given_up(&self) {
        self.process().milestones().given_up = true;
    }

    /// What takes snapshots of it.
    fn source(&self) -> Source {
        let board = self.clone();
        Arc::new(move || board.snapshot())
    }

    /// What makes the text of its metrics.
    fn metrics(&self) -> RenderMetrics {
        let (board, durations) = (self.clone(), self.meter().durations.clone());
        Arc::new(move || metrics::render(&board.snapshot(), &durations))
    }
}

/// How far the start has come.
#[derive(Clone, Copy, Debug, Default)]
struct Milestones {
    opened: bool,
    begun: bool,
    /// The end began before anything else did.
    given_up: bool,
}

impl Process {
    fn new(mode: Doing, backup_id: &str, pulse: Pulse, retries: Tally) -> Self {
        Self {
            mode,
            backup_id: backup_id.to_owned(),
            started: Timestamp::now(),
            pulse,
            retries,
            meter: Meter::default(),
            milestones: Mutex::default(),
        }
    }

    fn milestones(&self) -> MutexGuard<'_, Milestones> {
        self.milestones.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In the words of a snapshot.
    fn stage(&self) -> String {
        match self.pulse.beats() {
            0 => "starting".to_owned(),
            _ => self.pulse.stage().to_string(),
        }
    }

    /// What keeps the process from being ready. Neither the bucket nor the dispatcher has a part in it.
    fn not_ready(&self) -> Vec<String> {
        let Milestones {
            opened,
            begun,
            given_up,
        } = *self.milestones();
        let mut not_ready = Vec::new();
        if given_up {
            not_ready.push("shutting down: a signal came before the start was over".to_owned());
        }
        if self.pulse.beats() > 0 && self.pulse.stage() > Stage::Running {
            not_ready.push(format!("shutting down: stage {}", self.pulse.stage()));
        }
        if !opened {
            not_ready.push("local state is not open yet".to_owned());
        }
        if !begun {
            not_ready.push(match self.mode {
                Doing::Backup => "feeds have not started".to_owned(),
                Doing::Restore => "the restore has not begun".to_owned(),
            });
        }
        not_ready
    }

    /// A snapshot without what is of one mode only.
    fn snapshot(&self, sources: BTreeMap<String, SourceFigures>) -> Snapshot {
        let since_answers = self.pulse.since_answers();
        Snapshot {
            taken: Timestamp::now(),
            version: env!("CARGO_PKG_VERSION"),
            mode: self.mode,
            backup_id: self.backup_id.clone(),
            started: self.started,
            stage: self.stage(),
            not_ready: self.not_ready(),
            last_sign_of_life_seconds: since_answers.map(|since| since.as_secs_f64()),
            process: Usage::now(),
            sources,
            backup: None,
            restore: None,
            retries: self.retries.counts(),
            object_errors: self.meter.object_errors.counts(),
            recent: remarks::latest().all(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_ready_step_by_step_and_an_end_is_not() {
        let pulse = Pulse::default();
        let process = Process::new(Doing::Backup, "1", pulse.clone(), Tally::default());
        let stands = || (process.stage(), process.not_ready());
        let (stage, not_ready) = stands();
        assert_eq!(stage, "starting");
        assert_eq!(
            not_ready,
            ["local state is not open yet", "feeds have not started"]
        );
        process.milestones().opened = true;
        assert_eq!(stands().1, ["feeds have not started"]);
        process.milestones().begun = true;
        pulse.beat(Stage::Running);
        assert_eq!(stands(), ("running".to_owned(), vec![]));
        pulse.beat(Stage::Events);
        assert_eq!(stands().1, ["shutting down: stage events"]);
        pulse.end(true);
        assert_eq!(
            stands(),
            ("ended".to_owned(), vec!["shutting down: stage ended".to_owned()])
        );
    }

    #[test]
    fn an_end_before_the_start_was_over_is_told() {
        let process = Process::new(Doing::Restore, "1", Pulse::default(), Tally::default());
        process.milestones().given_up = true;
        let not_ready = process.not_ready();
        assert!(not_ready[0].starts_with("shutting down"), "{not_ready:?}");
        assert!(not_ready.contains(&"the restore has not begun".to_owned()));
    }
}
