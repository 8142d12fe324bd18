//! Dead letters and their events.

use bytes::Bytes;

use super::{Reopen, at, begin, id, record};
use crate::ports::archive::Store;
use crate::ports::restore_state::{DeadLetter, RestoreChange, RestoreId, RestoreState};

fn letter(store: Store, key: &str, event: Option<u64>) -> DeadLetter {
    DeadLetter {
        store,
        key: key.to_owned(),
        event,
        route: None,
        kafka_key: event.map(|event| format!("key-{event}")),
        reason: "refused: no such author".to_owned(),
        attempts: 2,
        since: at(7),
        event_bytes: 0,
    }
}

fn all(state: &impl RestoreState) -> Vec<DeadLetter> {
    let letters = state.letters_from(None, usize::MAX).expect("rows can be read");
    assert_eq!(state.letter_count(), letters.len() as u64);
    assert!(
        letters.is_sorted_by(|(a, _), (b, _)| a < b),
        "places in their order"
    );
    letters.into_iter().map(|(_, letter)| letter).collect()
}

async fn event_of(state: &impl RestoreState, letter: &DeadLetter) -> Option<Bytes> {
    state.letter_event(letter).await.expect("it can be read")
}

fn given_up(letter: &DeadLetter) -> RestoreChange {
    RestoreChange::GivenUp(letter.clone(), None)
}

fn given_up_with(letter: &DeadLetter, event: &[u8]) -> RestoreChange {
    RestoreChange::GivenUp(letter.clone(), Some(Bytes::copy_from_slice(event)))
}

pub(super) async fn letters_are_read_in_pages_by_store_and_key_and_event(under_test: impl Reopen) {
    let in_order = [
        letter(Store::Streams, "samples/content/0", None),
        letter(Store::Streams, "samples/content/00", None),
        letter(Store::Events, "samples/binary/a", None),
        letter(Store::Events, "samples/binary/a", Some(0)),
        letter(Store::Events, "samples/binary/a", Some(255)),
        letter(Store::Events, "samples/binary/a", Some(256)),
        letter(Store::Events, "samples/binary/ab", Some(1)),
        letter(Store::Events, "samples/binary/b", Some(0)),
    ];
    let state = under_test.state();
    assert_eq!(all(state), []);
    for number in [5, 2, 7, 0, 3, 6, 1, 4] {
        record(state, [given_up(&in_order[number])]).await;
    }
    let check = |state: &_| assert_eq!(all(state), in_order);
    check(state);
    let under_test = under_test.reopen();
    let state = under_test.state();
    check(state);
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = state.letters_from(after.as_ref(), 3).expect("rows can be read");
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        pages.push(page);
    }
    let lengths: Vec<_> = pages.iter().map(Vec::len).collect();
    assert_eq!(lengths, [3, 3, 2]);
    let read: Vec<_> = pages.into_iter().flatten().map(|(_, letter)| letter).collect();
    assert_eq!(read, in_order);
}

pub(super) async fn a_letter_replaces_the_one_before_and_adds_to_its_attempts(under_test: impl Reopen) {
    let state = under_test.state();
    let first = letter(Store::Events, "samples/binary/a", Some(3));
    let second = DeadLetter {
        reason: "refused: too large".to_owned(),
        attempts: 5,
        since: at(9),
        ..first.clone()
    };
    record(state, [given_up_with(&first, b"one"), given_up(&second)]).await;
    let expected = DeadLetter {
        attempts: 7,
        event_bytes: 3,
        ..second.clone()
    };
    assert_eq!(all(state), std::slice::from_ref(&expected));
    assert_eq!(
        event_of(state, &first).await.as_deref(),
        Some(&b"one"[..]),
        "it is kept"
    );
    record(
        state,
        [given_up_with(
            &DeadLetter {
                attempts: 0,
                ..second.clone()
            },
            b"",
        )],
    )
    .await;
    assert_eq!(
        all(state),
        std::slice::from_ref(&expected),
        "no bytes are no event"
    );
    record(state, [given_up_with(&second, b"another")]).await;
    let under_test = under_test.reopen();
    let expected = DeadLetter {
        attempts: 12,
        event_bytes: 7,
        ..expected
    };
    assert_eq!(all(under_test.state()), [expected]);
    assert_eq!(
        event_of(under_test.state(), &first).await.as_deref(),
        Some(&b"another"[..])
    );
}

pub(super) async fn the_event_of_a_letter_is_kept_byte_for_byte(under_test: impl Reopen) {
    let state = under_test.state();
    let events: Vec<(DeadLetter, Vec<u8>)> = [2_usize, 1, 4096, 3 << 20]
        .into_iter()
        .enumerate()
        .map(|(number, length)| {
            let key = format!(
                "samples/binary/{}",
                ["../../../etc/passwd", "\0\n/", "ü", "a"][number]
            );
            let event = (0..length).map(|byte| (byte * 31 + number) as u8).collect();
            (letter(Store::Events, &key, Some(1)), event)
        })
        .collect();
    for (letter, event) in &events {
        record(state, [given_up_with(letter, event)]).await;
    }
    let whole = letter(Store::Streams, "samples/content/a", None);
    record(state, [given_up(&whole)]).await;
    let under_test = under_test.reopen();
    let state = under_test.state();
    for (letter, event) in &events {
        assert_eq!(event_of(state, letter).await.as_deref(), Some(&event[..]));
        let found = all(state).into_iter().find(|found| found.key == letter.key);
        assert_eq!(found.map(|found| found.event_bytes), Some(event.len() as u64));
    }
    assert_eq!(event_of(state, &whole).await, None);
    let other = letter(Store::Events, "samples/binary/a", Some(2));
    assert_eq!(event_of(state, &other).await, None, "no such letter");
}

pub(super) async fn a_letter_that_is_settled_is_gone_with_its_event(under_test: impl Reopen) {
    let state = under_test.state();
    let [one, two] = [1, 2].map(|event| letter(Store::Events, "samples/binary/a", Some(event)));
    record(state, [given_up_with(&one, b"one"), given_up_with(&two, b"two")]).await;
    record(state, [RestoreChange::LetterSettled(one.clone())]).await;
    assert_eq!(all(state).len(), 1);
    assert_eq!(event_of(state, &one).await, None);
    record(state, [RestoreChange::LetterSettled(one.clone())]).await;
    let under_test = under_test.reopen();
    let state = under_test.state();
    assert_eq!(all(state).len(), 1);
    assert_eq!(event_of(state, &one).await, None);
    assert_eq!(event_of(state, &two).await.as_deref(), Some(&b"two"[..]));
    // Both at once: the later one stands.
    let settled = RestoreChange::LetterSettled(two.clone());
    let (gone, again) = (state.record(settled), state.record(given_up_with(&two, b"again")));
    let (gone, again) = futures_util::future::join(gone, again).await;
    assert_eq!((gone, again), (Ok(()), Ok(())));
    assert_eq!(event_of(state, &two).await.as_deref(), Some(&b"again"[..]));
    assert_eq!(all(state)[0].attempts, 2, "begun anew");
}

pub(super) async fn letters_outlive_their_restore(under_test: impl Reopen) {
    let state = under_test.state();
    begin(state, &id("all"), 1).await;
    let one = letter(Store::Events, "samples/binary/a", Some(1));
    record(state, [given_up_with(&one, b"one"), RestoreChange::Finished]).await;
    let under_test = under_test.reopen();
    let state = under_test.state();
    // It has got the route of the restore.
    let one = DeadLetter {
        route: Some(id("all").route()),
        ..one
    };
    let kept = DeadLetter {
        event_bytes: 3,
        ..one.clone()
    };
    assert_eq!(all(state), [kept]);
    assert_eq!(event_of(state, &one).await.as_deref(), Some(&b"one"[..]));
    state
        .begin(&id("all"), true, at(2))
        .await
        .expect("a restore begins");
    assert_eq!(all(state).len(), 1, "from the start too");
    let under_test = under_test.reopen();
    record(under_test.state(), [RestoreChange::LetterSettled(one)]).await;
    assert_eq!(all(under_test.state()), []);
}

pub(super) async fn each_route_has_letters_of_its_own(under_test: impl Reopen) {
    const KEY: &str = "samples/binary/a";
    let letters = [None, Some(1), Some(2)].map(|event| letter(Store::Events, KEY, event));
    let other_id = RestoreId {
        target: "another dispatcher".to_owned(),
        ..id("all")
    };
    // One of an earlier version: nobody knows its route.
    record(under_test.state(), [given_up_with(&letters[1], b"old")]).await;
    assert_eq!(
        under_test.state().letters_of(Store::Events, KEY),
        Ok(Vec::new()),
        "none has begun"
    );
    let state = under_test.state();
    begin(state, &id("all"), 1).await;
    record(state, letters.iter().map(|letter| given_up_with(letter, b"one"))).await;
    record(
        state,
        [given_up(&letter(Store::Events, "samples/binary/a\0", None))],
    )
    .await;
    record(state, [given_up(&letter(Store::Streams, KEY, None))]).await;
    begin(state, &other_id, 1).await;
    record(state, [given_up_with(&letters[1], b"two")]).await;
    assert_eq!(all(state).len(), 7);

    let under_test = under_test.reopen();
    let state = under_test.state();
    begin(state, &other_id, 2).await;
    let of_other = state.letters_of(Store::Events, KEY).expect("rows can be read");
    assert_eq!(
        of_other.iter().map(|letter| letter.event).collect::<Vec<_>>(),
        [Some(1)]
    );
    assert_eq!(of_other[0].attempts, 2, "the other's are not counted");
    assert_eq!(event_of(state, &of_other[0]).await.as_deref(), Some(&b"two"[..]));
    record(state, [RestoreChange::LetterSettled(of_other[0].clone())]).await;
    assert_eq!(state.letters_of(Store::Events, KEY), Ok(Vec::new()));
    begin(state, &id("all"), 2).await;
    let own = state.letters_of(Store::Events, KEY).expect("rows can be read");
    assert_eq!(
        own.iter().map(|letter| letter.event).collect::<Vec<_>>(),
        [None, Some(1), Some(2)]
    );
    assert_eq!(event_of(state, &own[1]).await.as_deref(), Some(&b"one"[..]));
    assert_eq!(event_of(state, &letters[1]).await.as_deref(), Some(&b"old"[..]));
}
