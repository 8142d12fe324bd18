//! Against a dispatcher that follows the table of its publish call.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Good,
    Invalid,
    Filtered,
    AgedOff,
    Refused,
    Undecodable,
    TooLarge,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        20 => Just(Event::Good),
        1 => Just(Event::Invalid),
        1 => Just(Event::Filtered),
        1 => Just(Event::AgedOff),
        1 => Just(Event::Refused),
        1 => Just(Event::Undecodable),
        1 => Just(Event::TooLarge),
    ]
}

/// What it would answer, and what it would put into Kafka.
fn publish(run: &[Event]) -> (Answer, usize) {
    let not_taken = |reason: &str| Answer::NotTaken {
        reason: reason.to_owned(),
    };
    if run.contains(&Event::Undecodable) {
        return (not_taken("422"), 0);
    }
    let seen: Vec<Event> = run
        .iter()
        .copied()
        .take_while(|event| *event != Event::Invalid)
        .collect();
    let produced = seen.iter().filter(|event| **event == Event::Good).count();
    let dropped = |event: &Event| matches!(event, Event::Filtered | Event::AgedOff);
    if seen.iter().all(dropped) {
        let old = seen.iter().take_while(|event| **event == Event::AgedOff).count() as u64;
        let answer = match old == seen.len() as u64 && old > 0 {
            true => Answer::AgedOff { accounted: old },
            false => Answer::Filtered {
                accounted: seen.len() as u64,
            },
        };
        return (answer, 0);
    }
    if seen.contains(&Event::TooLarge) {
        return (not_taken("500"), produced);
    }
    let refused = (0..).zip(&seen).filter(|(_, event)| **event == Event::Refused);
    let refused: Vec<_> = refused.map(|(index, _)| (index, "refused".to_owned())).collect();
    let ok = (seen.len() - refused.len()) as u64;
    (Answer::Took { ok, refused }, produced)
}

/// Publishes until all is settled; returns the requests, and for each event how often it was in a request that
/// produced it.
fn restore(events: &[Event]) -> (Settled, usize, Vec<u64>) {
    let mut settling = Settling::new(Some(0..events.len() as u64));
    let (mut requests, mut last) = (0, Vec::new());
    while let Some(run) = settling.next() {
        let (answer, _) = publish(&events[run.start as usize..run.end as usize]);
        last.push(run.start);
        settling.take(answer).unwrap();
        requests += 1;
        assert!(requests <= 100 * (events.len() + 1), "it does not come to an end");
    }
    (settling.settled().clone(), requests, last)
}

fn count(events: &[Event], which: &[Event]) -> u64 {
    events.iter().filter(|event| which.contains(event)).count() as u64
}

proptest! {
    #[test]
    fn every_event_is_accounted_for(events in proptest::collection::vec(event(), 0..300)) {
        let (settled, requests, _) = restore(&events);
        prop_assert_eq!(settled.events(), events.len() as u64);
        let bad: Vec<u64> = settled.given_up.iter().map(|(index, _)| *index).collect();
        let expected: Vec<u64> = (0..).zip(&events)
            .filter(|(_, event)| matches!(event, Event::Invalid | Event::Undecodable | Event::TooLarge))
            .map(|(index, _)| index).collect();
        prop_assert_eq!(&bad, &expected);
        prop_assert_eq!(settled.refused.len() as u64, count(&events, &[Event::Refused]));
        // What is filtered beside others that are not counts as accepted: the dispatcher does not tell them apart.
        let dropped = count(&events, &[Event::Filtered, Event::AgedOff]);
        prop_assert_eq!(settled.accepted + settled.filtered, count(&events, &[Event::Good]) + dropped);
        prop_assert!(settled.filtered <= dropped);
        let odd = events.len() as u64 - count(&events, &[Event::Good]);
        let most = (odd + 1) * 2 * (u64::from(events.len().max(2).ilog2()) + 2);
        prop_assert!(requests as u64 <= most, "{} requests for {} odd events", requests, odd);
    }

    #[test]
    fn events_are_published_in_their_order(events in proptest::collection::vec(event(), 0..300)) {
        let (_, _, begins) = restore(&events);
        // A run is halved or goes on behind what is settled: no request begins before an earlier one did.
        prop_assert!(begins.is_sorted());
    }
}

#[test]
fn a_thousand_events_with_six_bad_ones_take_few_requests() {
    let mut events = vec![Event::Good; 1000];
    for index in [0, 1, 499, 999] {
        events[index] = Event::Invalid;
    }
    events[200] = Event::Undecodable;
    events[700] = Event::TooLarge;
    let (settled, requests, _) = restore(&events);
    assert_eq!((settled.accepted, settled.given_up.len()), (994, 6));
    assert!(requests < 60, "{requests}");
}

#[test]
fn an_answer_that_claims_too_much_settles_nothing() {
    let mut settling = Settling::new(Some(0..3));
    let answer = Answer::Took {
        ok: 4,
        refused: Vec::new(),
    };
    assert_eq!(settling.take(answer), Err(Overclaimed { claimed: 4, sent: 3 }));
    assert_eq!((settling.settled().events(), settling.next()), (0, Some(0..3)));
}

#[test]
fn an_event_is_given_up_only_when_it_stood_alone() {
    let mut settling = Settling::new(Some(0..3));
    settling
        .take(Answer::Took {
            ok: 1,
            refused: Vec::new(),
        })
        .unwrap();
    assert_eq!(settling.next(), Some(1..2));
    // Whatever it was that time: alone it is taken.
    settling
        .take(Answer::Took {
            ok: 1,
            refused: Vec::new(),
        })
        .unwrap();
    assert_eq!(settling.next(), Some(2..3));
    settling.take(Answer::Filtered { accounted: 0 }).unwrap();
    assert_eq!(settling.next(), None);
    assert_eq!(settling.settled().accepted, 2);
    assert_eq!(settling.settled().given_up.len(), 1);
}

#[test]
fn what_is_aged_off_by_rules_that_are_not_known_here_costs_one_request_for_each() {
    let mut settling = Settling::new(Some(0..1000));
    let (mut requests, mut events) = (0, 0);
    while let Some(run) = settling.next() {
        requests += 1;
        events += run.end - run.start;
        settling.take(Answer::AgedOff { accounted: 0 }).unwrap();
    }
    assert_eq!((requests, events), (1001, 2000));
    assert_eq!(settling.settled().filtered, 1000);
}

#[test]
fn answers_that_say_nothing_do_not_send_the_rest_again_and_again() {
    let mut settling = Settling::new(Some(0..1000));
    let mut events = 0;
    while let Some(run) = settling.next() {
        events += run.end - run.start;
        settling.take(Answer::Filtered { accounted: 0 }).unwrap();
    }
    assert!(events < 10_000, "{events}");
    assert_eq!(settling.settled().given_up.len(), 1000);
}

#[test]
fn a_bundle_may_be_sent_in_several_runs() {
    let mut settling = Settling::new([2..5, 7..7, 9..10]);
    for run in [2..5, 9..10] {
        assert_eq!(settling.next(), Some(run.clone()));
        let (ok, refused) = (run.end - run.start, Vec::new());
        settling.take(Answer::Took { ok, refused }).unwrap();
    }
    assert_eq!((settling.next(), settling.settled().events()), (None, 4));
}
