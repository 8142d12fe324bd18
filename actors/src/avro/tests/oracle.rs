//! The walk against apache-avro, over events of chance.

use proptest::prelude::*;

use crate::avro::differential::{check, compare, made_event};
use crate::avro::{ModelVersion, WalkError};
use crate::feed::Model;

fn schemas() -> impl Strategy<Value = (Model, ModelVersion)> {
    (0..3usize, 0..3usize).prop_map(|(model, version)| (Model::ALL[model], ModelVersion::ALL[version]))
}

fn chance(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

proptest! {
    #[test]
    fn the_walk_finds_what_the_decoder_finds(
        (model, version) in schemas(),
        made_of in chance(600),
        framing in chance(30),
    ) {
        let mut event = made_event(model, version, &made_of, &framing);
        let length = event.len();
        prop_assert_eq!(compare(model, version, &event), Ok(length));
        event.extend_from_slice(b"the next event");
        prop_assert_eq!(compare(model, version, &event), Ok(length));
    }

    #[test]
    fn every_damaged_event_fails_where_it_fails_the_decoder(
        (model, version) in schemas(),
        made_of in chance(300),
        framing in chance(30),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut event = made_event(model, version, &made_of, &framing);
        for (place, value) in damage {
            let place = place.index(event.len());
            event[place] = value;
        }
        let _ = compare(model, version, &event);
    }

    #[test]
    fn bytes_of_chance_never_panic((model, version) in schemas(), bytes in chance(200)) {
        let _ = compare(model, version, &bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn an_event_cut_anywhere_asks_for_more(
        (model, version) in schemas(),
        made_of in chance(200),
        framing in chance(30),
    ) {
        let event = made_event(model, version, &made_of, &framing);
        for cut in 0..event.len() {
            prop_assert_eq!(compare(model, version, &event[..cut]), Err(WalkError::Truncated));
        }
    }
}

/// The fuzz target's function over inputs that are the same in every run: made, then mutated.
#[test]
fn mutated_inputs_hold() {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..1_500u64 {
        let model = Model::ALL[(round % 3) as usize];
        let version = ModelVersion::ALL[(round / 3 % 3) as usize];
        let chance: Vec<u8> = (0..next() % 400).map(|_| next() as u8).collect();
        let framing: Vec<u8> = (0..next() % 20).map(|_| next() as u8).collect();
        let mut input = vec![(round % 27) as u8];
        match round / 9 % 3 {
            0 => input.extend(made_event(model, version, &chance, &framing)),
            1 => {
                let event = made_event(model, version, &chance, &framing);
                let mut bulk = crate::avro::encode::Framing::by(&framing);
                input.extend(crate::avro::encode::bulk(version, &vec![event; 3], &mut bulk));
            }
            _ => input.extend(chance),
        }
        check(&input);
        for _ in 0..next() % 8 {
            let place = 1 + (next() % input.len() as u64) as usize;
            match next() % 3 {
                0 => input.truncate(place),
                1 => input.insert(place, next() as u8),
                _ => input[place - 1] ^= 1 << (next() % 8),
            }
            check(&input);
        }
    }
}
