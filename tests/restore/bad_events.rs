//! Six bad events among a thousand: all others arrive, in a number of requests that grows with the bad ones.

use actors::avro::ModelVersion;
use serde_json::{Value, json};

use crate::bucket::{Event, event_in, feed};
use crate::scene::Scene;

const INVALID: [u64; 4] = [0, 1, 499, 999];
const LONG_TEXT: u64 = 250;
const TOO_LARGE: u64 = 700;

fn spoil(number: u64, event: &mut Value) {
    let text = |bytes: usize| json!("x".repeat(bytes));
    match number {
        number if INVALID.contains(&number) => event["author"]["name"] = json!(""),
        LONG_TEXT => event["author"]["security"] = text(2 << 20),
        // Kafka takes 3 MiB, and the dispatcher's decoder 1 MiB of text in a piece.
        TOO_LARGE => {
            for field in ["name", "version", "category", "security"] {
                event["author"][field] = text(800_000);
            }
        }
        _ => {}
    }
}

#[test]
fn six_bad_events_of_a_thousand_cost_six_dead_letters_and_few_requests() {
    let scene = Scene::new(&["samples"]).set("BK__RESTORE_TYPE", "events");
    let feed = feed("samples/binary/sourced");
    let events: Vec<Event> = (0..1000)
        .map(|number| event_in(&feed, ModelVersion::V6, number, |event| spoil(number, event)))
        .collect();
    let key = scene.put_bundle(&feed, &events);
    let ended = scene.restore(&[]).is(3);

    let bad = [0, 1, LONG_TEXT, 499, TOO_LARGE, 999];
    let lost: Vec<_> = ended
        .letters
        .iter()
        .map(|(letter, _)| letter.event.unwrap())
        .collect();
    assert_eq!(lost, bad);
    for (letter, kept) in &ended.letters {
        let number = letter.event.unwrap();
        let why = match number {
            LONG_TEXT => "size is greater than",
            TOO_LARGE => "message too large for kafka",
            _ => "invalid under its rules",
        };
        assert!(letter.reason.contains(why), "{number}: {}", letter.reason);
        assert_eq!(letter.key, key);
        let event = &events[usize::try_from(number).unwrap()];
        assert_eq!(letter.kafka_key.as_deref(), Some(event.kafka_key.as_str()));
        let kept = kept.as_ref().unwrap();
        assert!(
            memchr::memmem::find(kept, &event.bytes).is_some(),
            "event {number} is not kept"
        );
    }

    let good = (0..1000).filter(|number| !bad.contains(number));
    let good: Vec<&str> = good
        .map(|number| events[number as usize].kafka_key.as_str())
        .collect();
    assert_eq!(scene.published(&feed), good);
    assert_eq!(ended.events(), [1000, 994, 0, 0, 6]);
    assert_eq!(ended.told["sums_hold"], true);
    let totals = scene.dispatcher.shared().publish_totals();
    assert!(totals.requests < 70, "{totals:?}");
    // What Kafka took was taken once: of a request that was partly taken, its events come again.
    let first = scene.dispatcher.shared().published(&feed);
    let first: Vec<_> = first.distinct().iter().map(|receipt| receipt.request).collect();
    assert!(first.is_sorted(), "requests did not follow the order of events");
}
