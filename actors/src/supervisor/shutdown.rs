//! The staged shutdown as a pure state machine: `step(state, input) -> (state, effects)`.
//!
//! Events, hit cache, streams, state: each stage begins only after the one before has ended, because each must
//! keep draining what the earlier one still sends. Stages never go backwards, each ends once, and deadlines alone
//! always reach the end.

use std::fmt;
use std::time::Duration;

use super::EndReason;

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
    fn of(&self, stage: Stage, reason: &EndReason) -> Duration {
        match stage {
            Stage::Events => self.events,
            Stage::HitCache => self.hit_cache,
            Stage::Streams if reason.works_off_the_queue() => self.streams_worked_off,
            Stage::Streams => self.streams,
            Stage::State => self.state,
            Stage::Running | Stage::Ended => Duration::ZERO,
        }
    }
}

/// What happens to the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Somebody asks for the end; a second request for another reason changes nothing.
    End(EndReason),
    /// The stage has done its work.
    Done(Stage),
    /// The time of the stage is up.
    TimeUp(Stage),
    /// A second signal: end now.
    Now,
}

/// What the supervisor has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Begin the stage; it may take this long.
    Begin(Stage, Duration),
    /// The stage did not end in time: give up on it.
    Abandon(Stage),
    /// The program can end, for this reason.
    Finish(EndReason),
}

/// The state of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    stage: Stage,
    reason: Option<EndReason>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            stage: Stage::Running,
            reason: None,
        }
    }
}

impl Shutdown {
    /// Where it stands.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Takes one input.
    #[must_use]
    pub fn step(self, input: Input, budgets: &StageBudgets) -> (Self, Vec<Effect>) {
        match (input, self.stage) {
            (Input::End(reason), Stage::Running) => Self {
                reason: Some(reason),
                ..self
            }
            .advance(budgets, vec![]),
            (Input::Done(done), stage) if done == stage && stage != Stage::Running => {
                self.advance(budgets, vec![])
            }
            (Input::TimeUp(late), stage) if late == stage && stage != Stage::Running => {
                self.advance(budgets, vec![Effect::Abandon(stage)])
            }
            (Input::Now, stage) if stage < Stage::State => {
                let reason = self.reason.clone().unwrap_or(EndReason::Signal);
                let given_up = (stage != Stage::Running).then_some(Effect::Abandon(stage));
                Self {
                    stage: Stage::Streams,
                    reason: Some(reason),
                }
                .advance(budgets, given_up.into_iter().collect())
            }
            _ => (self, vec![]),
        }
    }

    fn advance(mut self, budgets: &StageBudgets, mut effects: Vec<Effect>) -> (Self, Vec<Effect>) {
        if self.stage == Stage::Ended {
            return (self, effects);
        }
        self.stage = self.stage.next();
        let reason = self.reason.clone().unwrap_or(EndReason::Signal);
        effects.push(match self.stage {
            Stage::Ended => Effect::Finish(reason),
            stage => Effect::Begin(stage, budgets.of(stage, &reason)),
        });
        (self, effects)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn budgets() -> StageBudgets {
        let second = Duration::from_secs(1);
        StageBudgets {
            events: 15 * second,
            hit_cache: second,
            streams: 9 * second,
            state: 3 * second,
            streams_worked_off: 600 * second,
        }
    }

    fn run(inputs: impl IntoIterator<Item = Input>) -> (Shutdown, Vec<Effect>) {
        inputs
            .into_iter()
            .fold((Shutdown::default(), vec![]), |(state, mut effects), input| {
                let (state, more) = state.step(input, &budgets());
                effects.extend(more);
                (state, effects)
            })
    }

    #[test]
    fn an_orderly_end_goes_through_all_stages() {
        let inputs = [
            Input::End(EndReason::Signal),
            Input::Done(Stage::Events),
            Input::Done(Stage::HitCache),
            Input::Done(Stage::Streams),
            Input::Done(Stage::State),
        ];
        let stages: Vec<_> = run(inputs)
            .1
            .into_iter()
            .map(|effect| match effect {
                Effect::Begin(stage, budget) => (stage, budget.as_secs()),
                Effect::Finish(EndReason::Signal) => (Stage::Ended, 0),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            stages,
            [
                (Stage::Events, 15),
                (Stage::HitCache, 1),
                (Stage::Streams, 9),
                (Stage::State, 3),
                (Stage::Ended, 0)
            ]
        );
    }

    #[test]
    fn a_second_signal_closes_the_state_at_once() {
        let (state, effects) = run([Input::End(EndReason::Signal), Input::Now]);
        assert_eq!(state.stage(), Stage::State);
        assert_eq!(
            effects[1..],
            [
                Effect::Abandon(Stage::Events),
                Effect::Begin(Stage::State, budgets().state)
            ]
        );
    }

    fn inputs() -> impl Strategy<Value = Input> {
        let stages = [
            Stage::Running,
            Stage::Events,
            Stage::HitCache,
            Stage::Streams,
            Stage::State,
            Stage::Ended,
        ];
        prop_oneof![
            prop::sample::select(vec![EndReason::Signal, EndReason::StreamFailures]).prop_map(Input::End),
            prop::sample::select(stages.to_vec()).prop_map(Input::Done),
            prop::sample::select(stages.to_vec()).prop_map(Input::TimeUp),
            Just(Input::Now),
        ]
    }

    proptest! {
        #[test]
        fn stages_never_go_backwards_and_each_begins_once(inputs in prop::collection::vec(inputs(), 0..40)) {
            let mut state = Shutdown::default();
            let mut begun = Vec::new();
            let mut finished = 0;
            for input in inputs {
                let before = state.stage();
                let (next, effects) = state.step(input, &budgets());
                prop_assert!(next.stage() >= before);
                state = next;
                for effect in effects {
                    match effect {
                        Effect::Begin(stage, _) => {
                            prop_assert!(begun.last().is_none_or(|last| *last < stage));
                            begun.push(stage);
                        }
                        Effect::Abandon(stage) => prop_assert_eq!(stage, before),
                        Effect::Finish(_) => finished += 1,
                    }
                }
            }
            prop_assert_eq!(finished, u32::from(state.stage() == Stage::Ended));
        }

        #[test]
        fn deadlines_alone_reach_the_end(inputs in prop::collection::vec(inputs(), 0..10)) {
            let (mut state, _) = run(inputs);
            if state.stage() == Stage::Running {
                state = state.step(Input::End(EndReason::Signal), &budgets()).0;
            }
            for _ in 0..4 {
                let stage = state.stage();
                state = state.step(Input::TimeUp(stage), &budgets()).0;
            }
            prop_assert_eq!(state.stage(), Stage::Ended);
        }
    }
}
