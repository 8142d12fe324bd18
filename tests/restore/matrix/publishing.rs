//! What the dispatcher answers to events.

use sandbox::dispatcher::{Call, Fault, SourceRules};
use serde_json::{Value, json};

use super::{Lost, Outcome, Row, World, all_events, loses, run};
use crate::bucket::event_in;
use actors::avro::ModelVersion;
use actors::timestamp::Timestamp;

fn answered(name: &str, fault: Fault) -> Row {
    Row::new(format!("publish: {name}"), move |world, times| {
        // A bulk is cut in so many requests at most.
        world
            .scene
            .dispatcher
            .order_fault(Call::Publish, fault, times.min(200));
    })
}

/// The third event of the second bundle is another.
fn event_is(name: &str, change: impl Fn(&mut Value) + Sync + 'static) -> Row {
    Row::new(format!("an event {name}"), move |world, _| {
        let changed = event_in(&world.feed, ModelVersion::V6, 6, |event| change(event));
        world.replace(1, 2, changed);
    })
}

fn loses_it(reason: &'static str) -> impl Fn(&World) -> Outcome {
    move |_| loses(vec![Lost::Event(1, 2)], reason)
}

fn loses_every(reason: &'static str) -> impl Fn(&World) -> Outcome {
    move |_| loses(vec![Lost::EveryEvent], reason)
}

fn filters_all(_: &World) -> Outcome {
    Outcome::Filtered(all_events())
}

#[test]
fn every_answer_to_events_is_taken_for_what_it_says() {
    run(vec![
        // Something in the bulk is not taken: it is looked for.
        answered("400", Fault::Status(400))
            .passes()
            .ever(loses_every("on order")),
        answered("422", Fault::Status(422))
            .passes()
            .ever(loses_every("on order")),
        answered("413", Fault::Status(413))
            .passes()
            .ever(loses_every("on order")),
        answered("413 of a proxy", Fault::Page(413)).passes(),
        // A page of something in between says nothing about events, and 404 that nobody is there.
        answered("404", Fault::Status(404))
            .once(|_| Outcome::Stops)
            .stops(),
        answered("400 of a proxy", Fault::Page(400))
            .once(|_| Outcome::Stops)
            .stops(),
        answered("400 of a gateway, in JSON", Fault::Says(400, GATEWAY))
            .once(|_| Outcome::Stops)
            .stops(),
        answered("422 of a gateway, in JSON", Fault::Says(422, GATEWAY))
            .once(|_| Outcome::Stops)
            .stops(),
        answered("502 of a proxy", Fault::Page(502)).passes().stops(),
        answered("425, aged off", Fault::AgedOff).ever(filters_all),
        answered("425, filtered by names", Fault::Filtered("too_deep:3,deleted:1")).ever(filters_all),
        answered("425, an empty list", Fault::Filtered(""))
            .passes()
            .ever(loses_every("invalid")),
        answered("425, a list that counts too much", Fault::Filtered("too_deep:5"))
            .once(|_| Outcome::Stops)
            .stops(),
        // Kafka's words say nothing about events.
        answered("500, two of four, no topic", Fault::Partial(2, NO_TOPIC))
            .passes()
            .stops(),
        answered("500, none of them, no topic", Fault::Partial(0, NO_TOPIC))
            .passes()
            .stops(),
        answered(
            "500, none of them, no room",
            Fault::Partial(0, "kafka server: Disk error"),
        )
        .passes()
        .stops(),
        answered("500, two of four too large", Fault::Partial(2, TOO_LARGE))
            .passes()
            .ever(|_| Outcome::Complete),
        answered("500, none of them, too large", Fault::Partial(0, TOO_LARGE))
            .passes()
            .ever(loses_every("too large")),
        answered("500", Fault::Status(500)).passes().stops(),
        answered("503", Fault::Status(503)).passes().stops(),
        answered("hang", Fault::Hang)
            .set("FAULT_POINTS_HURRY", "40")
            .passes(),
        answered("lost answer", Fault::LostAnswer).passes().stops(),
        answered("200 of a proxy", Fault::Nonsense).passes().stops(),
        answered("200 that counts too much", Fault::Says(200, TOO_MUCH))
            .once(|_| Outcome::Stops)
            .stops(),
        answered("200 that counts nothing", Fault::Says(200, "{}"))
            .passes()
            .stops(),
    ]);
}

const GATEWAY: &str = r#"{"message":"the request is not well-formed"}"#;

const NO_TOPIC: &str =
    "kafka server: Request was for a topic or partition that does not exist on this broker";

const TOO_LARGE: &str = "message too large for kafka: 4001647 vs 3145728 bytes";

const TOO_MUCH: &str = r#"{"total_ok":99,"total_failures":0,"failures":null}"#;

#[test]
fn one_bad_event_is_a_dead_letter_and_all_others_arrive() {
    run(vec![
        event_is("without an author", |event| event["author"]["name"] = json!("")).ever(loses_it("invalid")),
        event_is("without a source", |event| event["source"]["name"] = json!(""))
            .ever(loses_it("event without source")),
        event_is("with a text of 2 MiB", |event| {
            event["author"]["security"] = json!("x".repeat(2 << 20));
        })
        .ever(loses_it("avro")),
        event_is("too large for Kafka", |event| {
            event["entity"]["info"] = json!("x".repeat(1_000_000));
            event["author"]["security"] = json!("x".repeat(1_000_000));
            event["author"]["version"] = json!("x".repeat(1_000_000));
            event["author"]["category"] = json!("x".repeat(1_000_000));
        })
        .ever(loses_it("too large for kafka")),
        Row::new("an event refused by name", |world, _| {
            let refused = world.bundles[1].1[2].kafka_key.clone();
            world.scene.dispatcher.set_rules(SourceRules {
                refused: [(refused, "no such parent".to_owned())].into(),
                ..SourceRules::default()
            });
        })
        .ever(loses_it("no such parent")),
    ]);
}

/// Sources keep events for a week; what does not say when it came to its source is older.
const KEEPS: &str = "sources: {samples: {expire_events_after: '7 days'}}";

fn ages(world: &World) {
    world.scene.dispatcher.set_rules(SourceRules {
        expire_micros: [("samples".to_owned(), 7 * 24 * 3600 * 1_000_000)].into(),
        ..SourceRules::default()
    });
}

/// In the second bundle an invalid event hides behind two that have aged off, and a fresh one behind that.
fn hide(world: &mut World, _: usize) {
    ages(world);
    let invalid = event_in(&world.feed, ModelVersion::V6, 6, |event| {
        event["author"]["name"] = json!("");
        event["source"]["timestamp"] = json!(Timestamp::now().to_string());
    });
    let fresh = event_in(&world.feed, ModelVersion::V6, 7, |event| {
        event["source"]["timestamp"] = json!(Timestamp::now().to_string());
    });
    world.replace(1, 2, invalid);
    world.replace(1, 3, fresh);
}

fn hidden(_: &World) -> Outcome {
    let mut filtered = all_events();
    filtered.retain(|event| ![(1, 2), (1, 3)].contains(event));
    Outcome::Loses(vec![Lost::Event(1, 2)], "invalid", filtered)
}

#[test]
fn what_is_filtered_is_counted_and_what_hides_behind_it_is_found() {
    let filter = |world: &mut World, _| {
        world.scene.dispatcher.set_rules(SourceRules {
            filters: vec![("samples".to_owned(), "too_deep".to_owned())],
            ..SourceRules::default()
        });
    };
    run(vec![
        Row::new("a filter", filter).ever(filters_all),
        Row::new("aged off, as the settings say", |world, _| ages(world))
            .set("BK__SOURCES", KEEPS)
            .ever(filters_all),
        Row::new("aged off, and the settings do not know", |world, _| ages(world)).ever(filters_all),
        Row::new("invalid behind aged off, as the settings say", hide)
            .set("BK__SOURCES", KEEPS)
            .ever(hidden),
        Row::new("invalid behind aged off, and the settings do not know", hide).ever(hidden),
    ]);
}
