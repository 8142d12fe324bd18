//! The staged shutdown as a pure state machine: `step(state, input) -> (state, effects)`.
//!
//! Events, hit cache, streams, state: each stage begins only after the one before has ended, because each must
//! keep draining what the earlier one still sends. Stages never go backwards, each ends once, and deadlines alone
//! always reach the end. What comes late, twice, or for another stage changes nothing.
//!
//! * The first signal during an end for another reason hurries it: the stage that it is in, and those that follow,
//!   take no longer from then on than after a signal.
//! * The second signal, in whatever stage, leaves only the flush of local state.
//! * Whatever fails outweighs a signal: the first failure is the reason that the program ends with.

use std::fmt;
use std::time::Duration;

use super::EndReason;
use crate::ports::state::StateFault;

/// Where the program stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Backing up.
    Running,
    /// No more pulls are sent; those in flight are waited for; feeds write what they hold.
    Events,
    /// The hit cache makes durable what it was asked for.
    HitCache,
    /// Streams are worked off, or those in flight end.
    Streams,
    /// Local state is flushed and closed.
    State,
    /// Over.
    Ended,
}

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Self; 6] = [
        Self::Running,
        Self::Events,
        Self::HitCache,
        Self::Streams,
        Self::State,
        Self::Ended,
    ];

    fn next(self) -> Self {
        match self {
            Self::Running => Self::Events,
            Self::Events => Self::HitCache,
            Self::HitCache => Self::Streams,
            Self::Streams => Self::State,
            Self::State | Self::Ended => Self::Ended,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Events => "events",
            Self::HitCache => "hit cache",
            Self::Streams => "streams",
            Self::State => "local state",
            Self::Ended => "ended",
        })
    }
}

/// How long each stage may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageBudgets {
    /// Waiting for pulls in flight and writing bundles.
    pub events: Duration,
    /// Making requests durable.
    pub hit_cache: Duration,
    /// Ending what the workers do.
    pub streams: Duration,
    /// Flushing and closing local state.
    pub state: Duration,
    /// Working off the whole queue, after an end for an internal reason.
    pub streams_worked_off: Duration,
}

impl StageBudgets {
    /// How long all stages together may take after a signal.
    pub fn after_a_signal(&self) -> Duration {
        self.events + self.hit_cache + self.streams + self.state
    }

    fn of(&self, stage: Stage, works_off: bool) -> Duration {
        match stage {
            Stage::Events => self.events,
            Stage::HitCache => self.hit_cache,
            Stage::Streams if works_off => self.streams_worked_off,
            Stage::Streams => self.streams,
            Stage::State => self.state,
            Stage::Running | Stage::Ended => Duration::ZERO,
        }
    }
}

/// What happens to the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Somebody asks for the end.
    End(EndReason),
    /// The stage has done its work.
    Done(Stage),
    /// The time of the stage is up.
    TimeUp(Stage),
    /// Whatever the stage still waits for is lost.
    Stuck(Stage),
    /// Local state could not be flushed and closed.
    CloseFailed(StateFault),
}

/// Why a stage is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its time is up.
    TimeUp,
    /// A second signal came.
    Signal,
    /// Only who is lost could end it.
    Lost,
}

/// What the supervisor has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Begin the stage; it may take this long.
    Begin(Stage, Duration),
    /// A signal came during this stage: nothing new is begun in it, and it may take this long from now on.
    Hurry(Stage, Duration),
    /// The stage did not end in time, or is not waited for any more: give up on it.
    Abandon(Stage, Why),
    /// The program can end, for this reason.
    Finish(EndReason),
}

/// The state of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    stage: Stage,
    /// How often a signal has come; more than two are two.
    signals: u8,
    /// What failed first.
    failure: Option<EndReason>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            stage: Stage::Running,
            signals: 0,
            failure: None,
        }
    }
}

impl Shutdown {
    /// Where it stands.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether nothing is left to be waited for, because all that was asked for is done.
    pub fn is_after_all_is_done(&self) -> bool {
        self.failure == Some(EndReason::RestoreFinished)
    }

    /// Whether a signal has come.
    pub fn is_hurried(&self) -> bool {
        self.signals > 0
    }

    /// Whether the queue of streams is worked off: after a failure that leaves storing possible, and never once a
    /// signal has come.
    pub fn works_off_the_queue(&self) -> bool {
        self.signals == 0 && self.failure.as_ref().is_some_and(EndReason::works_off_the_queue)
    }

    /// Takes one input.
    #[must_use]
    pub fn step(mut self, input: Input, budgets: &StageBudgets) -> (Self, Vec<Effect>) {
        match input {
            _ if self.stage == Stage::Ended => (self, vec![]),
            Input::End(EndReason::Signal) => self.signal(budgets),
            Input::End(reason) => self.fail(reason, budgets),
            Input::CloseFailed(fault) => {
                self.failure.get_or_insert(EndReason::State(fault));
                (self, vec![])
            }
            Input::Done(stage) if self.is_in(stage) => self.advance(budgets, vec![]),
            Input::TimeUp(stage) if self.is_in(stage) => {
                self.advance(budgets, vec![Effect::Abandon(stage, Why::TimeUp)])
            }
            Input::Stuck(stage) if self.is_in(stage) => {
                self.advance(budgets, vec![Effect::Abandon(stage, Why::Lost)])
            }
            Input::Done(_) | Input::TimeUp(_) | Input::Stuck(_) => (self, vec![]),
        }
    }

    fn is_in(&self, stage: Stage) -> bool {
        self.stage == stage && stage != Stage::Running
    }

    fn signal(mut self, budgets: &StageBudgets) -> (Self, Vec<Effect>) {
        self.signals = (self.signals + 1).min(2);
        match self.stage {
            Stage::Running => self.advance(budgets, vec![]),
            Stage::State | Stage::Ended => (self, vec![]),
            stage if self.signals == 1 => {
                let hurry = Effect::Hurry(stage, budgets.of(stage, false));
                (self, vec![hurry])
            }
            stage => {
                self.stage = Stage::Streams;
                self.advance(budgets, vec![Effect::Abandon(stage, Why::Signal)])
            }
        }
    }

    fn fail(mut self, reason: EndReason, budgets: &StageBudgets) -> (Self, Vec<Effect>) {
        match (&reason, self.stage) {
            // Whoever was given up on finds local state closed, which is no failure of its own.
            (EndReason::State(_), Stage::State | Stage::Ended) => (self, vec![]),
            (_, Stage::Running) => {
                self.failure.get_or_insert(reason);
                self.advance(budgets, vec![])
            }
            _ => {
                self.failure.get_or_insert(reason);
                (self, vec![])
            }
        }
    }

    fn advance(mut self, budgets: &StageBudgets, mut effects: Vec<Effect>) -> (Self, Vec<Effect>) {
        self.stage = self.stage.next();
        effects.push(match self.stage {
            Stage::Ended => Effect::Finish(self.failure.clone().unwrap_or(EndReason::Signal)),
            stage => Effect::Begin(stage, budgets.of(stage, self.works_off_the_queue())),
        });
        (self, effects)
    }
}

#[cfg(test)]
mod tests;
