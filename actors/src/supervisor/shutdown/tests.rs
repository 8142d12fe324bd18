use proptest::prelude::*;

use super::*;
use crate::supervisor::Member;

const SECOND: Duration = Duration::from_secs(1);

const STAGES: [Stage; 4] = [Stage::Events, Stage::HitCache, Stage::Streams, Stage::State];

fn budgets() -> StageBudgets {
    StageBudgets {
        events: 15 * SECOND,
        hit_cache: SECOND,
        streams: 9 * SECOND,
        state: 3 * SECOND,
        streams_worked_off: 600 * SECOND,
    }
}

fn lost() -> EndReason {
    EndReason::gone(Member::Task)
}

fn broken() -> StateFault {
    StateFault::Broken("damaged".to_owned())
}

fn run(inputs: impl IntoIterator<Item = Input>) -> (Shutdown, Vec<Effect>) {
    let mut all = Vec::new();
    let mut state = Shutdown::default();
    for input in inputs {
        let (next, effects) = state.step(input, &budgets());
        all.extend(effects);
        state = next;
    }
    (state, all)
}

/// An end for `reason`, led by its own work into `stage`.
fn led_to(stage: Stage, reason: EndReason) -> Shutdown {
    let done = STAGES
        .into_iter()
        .take_while(|before| *before < stage)
        .map(Input::Done);
    run([Input::End(reason)].into_iter().chain(done)).0
}

fn begun(effects: &[Effect]) -> Vec<Stage> {
    let begins = effects.iter().filter_map(|effect| match effect {
        Effect::Begin(stage, _) => Some(*stage),
        _ => None,
    });
    begins.collect()
}

#[test]
fn an_orderly_end_goes_through_all_stages_within_28_seconds() {
    let (state, effects) = run([Input::End(EndReason::Signal)]
        .into_iter()
        .chain(STAGES.map(Input::Done)));
    assert_eq!(
        effects,
        [
            Effect::Begin(Stage::Events, 15 * SECOND),
            Effect::Begin(Stage::HitCache, SECOND),
            Effect::Begin(Stage::Streams, 9 * SECOND),
            Effect::Begin(Stage::State, 3 * SECOND),
            Effect::Finish(EndReason::Signal),
        ]
    );
    assert_eq!(state.stage(), Stage::Ended);
    assert_eq!(budgets().after_a_signal(), 28 * SECOND);
}

#[test]
fn the_queue_is_worked_off_only_where_storing_works_and_no_signal_came() {
    let feed = EndReason::Feed {
        feed: "samples/binary/sourced".parse().unwrap(),
        why: "its journal cannot be read".to_owned(),
    };
    for (reason, seconds) in [
        (lost(), 600),
        (feed, 600),
        (EndReason::gone(Member::HitCache), 9),
        (EndReason::StreamFailures, 9),
        (EndReason::State(broken()), 9),
        (EndReason::Signal, 9),
    ] {
        let before = led_to(Stage::HitCache, reason.clone());
        let (_, effects) = before.step(Input::Done(Stage::HitCache), &budgets());
        assert_eq!(
            effects,
            [Effect::Begin(Stage::Streams, seconds * SECOND)],
            "{reason}"
        );
    }
}

#[test]
fn a_second_signal_in_every_stage_leaves_only_the_flush() {
    for stage in STAGES {
        let (state, effects) =
            led_to(stage, EndReason::Signal).step(Input::End(EndReason::Signal), &budgets());
        assert_eq!(state.stage(), Stage::State);
        match stage {
            Stage::State => assert_eq!(effects, []),
            stage => assert_eq!(
                effects,
                [
                    Effect::Abandon(stage, Why::Signal),
                    Effect::Begin(Stage::State, 3 * SECOND)
                ]
            ),
        }
        let (_, effects) = state.step(Input::TimeUp(Stage::State), &budgets());
        assert_eq!(
            effects,
            [
                Effect::Abandon(Stage::State, Why::TimeUp),
                Effect::Finish(EndReason::Signal)
            ]
        );
    }
}

#[test]
fn the_first_signal_hurries_an_end_for_another_reason_and_the_second_leaves_only_the_flush() {
    for (stage, seconds) in [(Stage::Events, 15), (Stage::HitCache, 1), (Stage::Streams, 9)] {
        let before = led_to(stage, lost());
        let (hurried, effects) = before.step(Input::End(EndReason::Signal), &budgets());
        assert_eq!(effects, [Effect::Hurry(stage, seconds * SECOND)]);
        assert_eq!(hurried.stage(), stage);
        assert!(!hurried.works_off_the_queue());
        let (state, effects) = hurried.step(Input::End(EndReason::Signal), &budgets());
        assert_eq!(begun(&effects), [Stage::State]);
        let (_, effects) = state.step(Input::Done(Stage::State), &budgets());
        assert_eq!(effects, [Effect::Finish(lost())], "the failure is the reason");
    }
}

fn reasons() -> impl Strategy<Value = EndReason> {
    prop::sample::select(vec![
        EndReason::Signal,
        EndReason::Signal,
        EndReason::StreamFailures,
        EndReason::State(broken()),
        lost(),
    ])
}

fn inputs() -> impl Strategy<Value = Input> {
    prop_oneof![
        2 => reasons().prop_map(Input::End),
        3 => prop::sample::select(Stage::ALL.to_vec()).prop_map(Input::Done),
        3 => prop::sample::select(Stage::ALL.to_vec()).prop_map(Input::TimeUp),
        1 => prop::sample::select(Stage::ALL.to_vec()).prop_map(Input::Stuck),
        1 => Just(Input::CloseFailed(broken())),
    ]
}

fn histories() -> impl Strategy<Value = Vec<Input>> {
    prop::collection::vec(inputs(), 0..40)
}

proptest! {
    #[test]
    fn stages_come_in_their_order_and_each_once(history in histories()) {
        let signals = history.iter().filter(|input| **input == Input::End(EndReason::Signal)).count();
        let (state, effects) = run(history);
        let begun = begun(&effects);
        if signals < 2 {
            prop_assert_eq!(&begun[..], &STAGES[..begun.len()]);
        } else {
            // The second signal may leave stages out, but for the last.
            prop_assert!(begun.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(state.stage() < Stage::State || begun.last() == Some(&Stage::State));
        }
        let finished = effects.iter().filter(|effect| matches!(effect, Effect::Finish(_))).count();
        prop_assert_eq!(finished, usize::from(state.stage() == Stage::Ended));
    }

    #[test]
    fn a_stage_is_given_up_only_while_it_lasts(history in histories()) {
        let mut state = Shutdown::default();
        for input in history {
            let before = state.stage();
            let (next, effects) = state.step(input, &budgets());
            prop_assert!(next.stage() >= before);
            for effect in effects {
                if let Effect::Abandon(stage, _) | Effect::Hurry(stage, _) = effect {
                    prop_assert_eq!(stage, before);
                }
            }
            state = next;
        }
    }

    #[test]
    fn deadlines_alone_reach_the_end(history in histories(), reason in reasons()) {
        let (mut state, _) = run(history);
        if state.stage() == Stage::Running {
            state = state.step(Input::End(reason), &budgets()).0;
        }
        for _ in STAGES {
            let stage = state.stage();
            state = state.step(Input::TimeUp(stage), &budgets()).0;
        }
        prop_assert_eq!(state.stage(), Stage::Ended);
    }

    #[test]
    fn what_comes_late_or_twice_or_for_another_stage_changes_nothing(history in histories(), stage in 0..6usize) {
        let (state, _) = run(history);
        let stage = Stage::ALL[stage];
        for input in [Input::Done(stage), Input::TimeUp(stage), Input::Stuck(stage)] {
            let (next, effects) = state.clone().step(input.clone(), &budgets());
            let concerned = stage == state.stage() && STAGES.contains(&stage);
            prop_assert_eq!(concerned, !effects.is_empty());
            prop_assert_eq!(concerned, next != state);
            // The same once more, when the stage is over.
            let (again, effects) = next.clone().step(input, &budgets());
            prop_assert_eq!(effects, []);
            prop_assert_eq!(again, next);
        }
    }

    #[test]
    fn nothing_happens_after_the_end(history in histories(), late in inputs()) {
        let (mut state, _) = run(history);
        state = state.step(Input::End(EndReason::Signal), &budgets()).0;
        for stage in STAGES {
            state = state.step(Input::TimeUp(stage), &budgets()).0;
        }
        prop_assert_eq!(state.stage(), Stage::Ended);
        prop_assert_eq!(state.clone().step(late, &budgets()), (state, vec![]));
    }

    #[test]
    fn from_a_signal_on_no_more_time_is_granted_than_the_stages_have(history in histories()) {
        let mut state = Shutdown::default();
        let (mut signals, mut granted) = (0, Duration::ZERO);
        for input in history {
            signals += usize::from(input == Input::End(EndReason::Signal));
            let (next, effects) = state.step(input, &budgets());
            for effect in effects {
                if let Effect::Begin(_, time) | Effect::Hurry(_, time) = effect
                    && signals > 0
                {
                    granted += time;
                }
            }
            state = next;
        }
        prop_assert!(granted <= budgets().after_a_signal(), "{:?}", granted);
    }

    #[test]
    fn the_first_failure_is_the_reason_and_without_one_the_signal(history in histories()) {
        let mut state = Shutdown::default();
        let mut failure = None;
        for input in history {
            let stage = state.stage();
            match &input {
                _ if stage == Stage::Ended => {}
                Input::End(EndReason::Signal) => {}
                Input::End(EndReason::State(_)) if stage == Stage::State => {}
                Input::End(reason) => drop(failure.get_or_insert(reason.clone())),
                Input::CloseFailed(fault) => drop(failure.get_or_insert(EndReason::State(fault.clone()))),
                Input::Done(_) | Input::TimeUp(_) | Input::Stuck(_) => {}
            }
            let (next, effects) = state.step(input, &budgets());
            if let Some(Effect::Finish(reason)) = effects.last() {
                prop_assert_eq!(reason, &failure.clone().unwrap_or(EndReason::Signal));
            }
            state = next;
        }
    }
}
