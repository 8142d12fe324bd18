//! The traps of the dispatcher, over real sockets.

mod raw;

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use actors::feed::{Feed, Model};
use actors::timestamp::Timestamp;
use raw::{get, post, pulled};
use sandbox::dispatcher::{Call, Config, Fate, Fault, RawEvent, SourceRules, StandInDispatcher};
use sandbox::generator::event::{BinaryEvent, Feature};
use sandbox::generator::{Event, FeedEvents, Shape, World};
use sandbox::{decode, encode};

const LONG: Duration = Duration::from_secs(20);

fn path(name: &str, count: u32, deadline: u32) -> String {
    format!(
        "/api/v2/event/binary/passive?name={name}&version=3.0.0&avro-format=true&count={count}&deadline={deadline}\
         &r-historic=true&r-source=samples&r-action=sourced"
    )
}

fn feed() -> Feed {
    "samples/binary/sourced".parse().unwrap()
}

fn sourced(count: u64) -> FeedEvents {
    let world = World::new(
        Shape::new(1, 1, 0)
            .with_events([count, 0, 0, 0, 0])
            .with_sizes(1..=9),
    )
    .unwrap();
    world.feeds().remove(0)
}

fn raw_events(count: u64) -> Vec<RawEvent> {
    let events = sourced(count);
    let raw = |event: Event| RawEvent {
        kafka_key: event.kafka_key().to_owned(),
        timestamp: Timestamp::from_micros(event.timestamp()),
        bytes: event.encoded(6).into(),
    };
    (0..count).map(|number| raw(events.event(number))).collect()
}

fn with_events(count: u64, config: Config) -> StandInDispatcher {
    let standin = StandInDispatcher::start(config).unwrap();
    standin.append(&feed(), raw_events(count));
    standin
}

fn fetched(standin: &StandInDispatcher, name: &str) -> u64 {
    pulled(&get(standin.address(), &path(name, 1000, 1))).0["fetched"]
        .as_u64()
        .unwrap()
}

#[test]
fn it_goes_on_collecting_for_a_client_that_has_gone() {
    let standin = with_events(2, Config::default());
    let mut client = TcpStream::connect(standin.address()).unwrap();
    client
        .write_all(&raw::request("GET", &path("one", 1000, 1)))
        .unwrap();
    assert!(
        standin
            .shared()
            .wait_until(LONG, |shared| !shared.arrivals().is_empty())
    );
    drop(client);
    standin.append(&feed(), raw_events(5).split_off(2));
    let gone = |fate: Fate| fate == Fate::ClientGone;
    assert!(standin.shared().wait_until(LONG, |shared| {
        shared.broker().answers().any(|answer| gone(answer.fate))
    }));
    assert_eq!(standin.given("one").lost_to_client.len(), 5);
    assert_eq!(fetched(&standin, "one"), 0);
    assert_eq!(fetched(&standin, "two"), 5);
    assert_eq!(standin.given("two").handed_out.len(), 5);
}

#[test]
fn it_answers_at_count_or_deadline_and_never_earlier() {
    let standin = with_events(2, Config::default());
    let begun = Instant::now();
    pulled(&get(standin.address(), &path("few", 2, 60)));
    assert!(begun.elapsed() < LONG);
    let begun = Instant::now();
    assert_eq!(fetched(&standin, "few"), 0);
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[test]
fn no_answer_has_more_than_a_thousand_events() {
    let standin = with_events(1001, Config::default());
    let response = get(standin.address(), &path("many", 5000, 60));
    let (info, bulk) = pulled(&response);
    assert_eq!(info["fetched"], 1000);
    assert!(response.headers.contains_key("transfer-encoding"));
    let decoded = decode::bulk(Model::Binary, &bulk).unwrap();
    let events = raw_events(1000);
    assert!(
        decoded
            .events
            .iter()
            .map(|event| event.bytes)
            .eq(events.iter().map(|event| &event.bytes[..]))
    );
}

#[test]
fn a_restart_costs_an_event_and_is_not_ready_for_a_while() {
    let config = Config {
        ready_after_restart: Duration::from_millis(1500),
        ..Config::default()
    };
    let mut standin = with_events(3, config);
    pulled(&get(standin.address(), &path("one", 1, 5)));
    standin.restart().unwrap();
    let (info, bulk) = pulled(&get(standin.address(), &path("one", 1000, 1)));
    assert_eq!((&info["ready"], &info["fetched"]), (&false.into(), &0.into()));
    assert_eq!(bulk, b"\x0c\x00");
    let (info, _) = pulled(&get(standin.address(), &path("one", 1000, 1)));
    assert_eq!((&info["ready"], &info["fetched"]), (&true.into(), &1.into()));
    assert_eq!(standin.given("one").lost_at_restart.len(), 1);
}

#[test]
fn a_restart_breaks_the_pull_in_flight_and_costs_what_it_had_collected() {
    let mut standin = with_events(3, Config::default());
    let mut client = TcpStream::connect(standin.address()).unwrap();
    client
        .write_all(&raw::request("GET", &path("one", 1000, 60)))
        .unwrap();
    assert!(
        standin
            .shared()
            .wait_until(LONG, |shared| shared.broker().unread("one") == 0)
    );
    standin.stop();
    assert!(TcpStream::connect(standin.address()).is_err());
    standin.restart().unwrap();
    assert_eq!(fetched(&standin, "one"), 0);
    assert_eq!(standin.given("one").lost_at_restart.len(), 3);
}

#[test]
fn an_upgrade_changes_the_version_of_the_next_bulk() {
    let standin = StandInDispatcher::start(Config {
        model_version: 4,
        ..Config::default()
    })
    .unwrap();
    let events = sourced(4);
    standin.shared().broker().adopt(events.clone(), Some(4));
    standin.release(&feed(), 4);
    for (number, version) in (0..).zip([4, 5, 6, 7]) {
        standin.shared().set_model_version(version);
        let (_, bulk) = pulled(&get(standin.address(), &path("one", 1, 60)));
        let event = events.event(number).encoded(version);
        assert_eq!(bulk, encode::bulk(version, &[event], encode::Layout::Sized));
    }
}

#[test]
fn parts_may_come_the_other_way_round_and_without_bytes() {
    let standin = with_events(1, Config::default());
    standin.shared().set_parts_swapped(true);
    let response = get(standin.address(), &path("one", 1, 60));
    let names: Vec<String> = raw::parts(&response).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["events", "info"]);
    standin.shared().set_empty_without_bytes(true);
    let (info, bulk) = pulled(&get(standin.address(), &path("one", 1, 1)));
    assert_eq!((info["fetched"].as_u64(), bulk.len()), (Some(0), 0));
}

#[test]
fn hanging_kafka_looks_like_nothing_new() {
    let standin = with_events(1, Config::default());
    standin.shared().set_kafka_hangs(true);
    let (info, _) = pulled(&get(standin.address(), &path("one", 1, 1)));
    assert_eq!((&info["ready"], &info["fetched"]), (&true.into(), &0.into()));
}

#[test]
fn a_broken_answer_costs_its_events() {
    let standin = with_events(200, Config::default());
    standin.order_fault(Call::Pull, Fault::CutAfter(5000), 1);
    let mut client = TcpStream::connect(standin.address()).unwrap();
    client
        .write_all(&raw::request("GET", &path("one", 200, 60)))
        .unwrap();
    let broken = |fate: Fate| fate == Fate::BrokenOff;
    assert!(standin.shared().wait_until(LONG, |shared| {
        shared.broker().answers().any(|answer| broken(answer.fate))
    }));
    standin.order_fault(Call::Pull, Fault::Status(503), 1);
    assert_eq!(get(standin.address(), &path("one", 200, 1)).status, 503);
    assert_eq!(fetched(&standin, "one"), 0);
    assert_eq!(standin.given("one").lost_to_client.len(), 200);
}

#[test]
fn an_answer_that_is_shorter_than_the_place_of_the_cut_arrives_whole_and_counts_as_handed_out() {
    let standin = with_events(1, Config::default());
    standin.order_fault(Call::Pull, Fault::CutAfter(1_000_000), 1);
    let (info, _) = pulled(&get(standin.address(), &path("one", 1, 60)));
    assert_eq!(info["fetched"], 1);
    let given = standin.given("one");
    assert_eq!((given.handed_out.len(), given.lost_to_client.len()), (1, 0));
}

const PUBLISH: &str = "/api/v2/event?model=binary&avro-format=true&sync=true";

fn publish(standin: &StandInDispatcher, events: &[Event]) -> (u16, serde_json::Value) {
    let encoded: Vec<Vec<u8>> = events.iter().map(|event| event.encoded(6)).collect();
    let response = post(
        standin.address(),
        PUBLISH,
        &encode::bulk(6, &encoded, encode::Layout::Sized),
    );
    (response.status, serde_json::from_slice(&response.body).unwrap())
}

fn event(number: u64, change: impl FnOnce(&mut BinaryEvent)) -> Event {
    let Event::Binary(mut event) = sourced(9).event(number) else {
        panic!("sourced events are binary ones");
    };
    change(&mut event);
    Event::Binary(event)
}

#[test]
fn what_was_published_can_be_pulled() {
    let standin = StandInDispatcher::start(Config::default()).unwrap();
    let (status, answer) = publish(&standin, &[event(0, |_| {}), event(1, |_| {})]);
    assert_eq!((status, answer["total_ok"].as_u64()), (200, Some(2)));
    assert_eq!(fetched(&standin, "one"), 2);
}

#[test]
fn an_invalid_event_ends_the_bulk_without_a_word() {
    let standin = StandInDispatcher::start(Config::default()).unwrap();
    let invalid = event(1, |event| {
        event.entity.datastreams[0].label = "holo_scan".to_owned()
    });
    let (status, answer) = publish(&standin, &[event(0, |_| {}), invalid, event(2, |_| {})]);
    assert_eq!(
        (
            status,
            answer["total_ok"].as_u64(),
            answer["total_failures"].as_u64()
        ),
        (200, Some(1), Some(0))
    );
    assert_eq!(fetched(&standin, "one"), 1);
}

#[test]
fn filters_and_age_off_show_only_when_nothing_else_is_left() {
    let standin = StandInDispatcher::start(Config::default()).unwrap();
    standin.set_rules(SourceRules {
        filters: vec![("samples".into(), "depth".into())],
        ..SourceRules::default()
    });
    let (status, answer) = publish(&standin, &[event(0, |_| {}), event(1, |_| {})]);
    assert_eq!(
        (status, answer["error_enum"].as_str()),
        (425, Some("ErrorStringEnumAllEventsFiltered"))
    );
    assert!(
        answer["detail"].as_str().unwrap().contains("filters [depth:2]"),
        "{answer}"
    );
    let (status, answer) = publish(
        &standin,
        &[
            event(0, |_| {}),
            event(1, |event| event.source.name = "other".to_owned()),
        ],
    );
    assert_eq!((status, answer["total_ok"].as_u64()), (200, Some(2)));
    standin.set_rules(SourceRules {
        expire_micros: [("samples".into(), 1)].into(),
        ..SourceRules::default()
    });
    let (status, answer) = publish(&standin, &[event(0, |_| {})]);
    assert_eq!(
        (status, answer["error_enum"].as_str()),
        (425, Some("ErrorStringEnumAllEventsAgedOffImmediately"))
    );
    assert_eq!(fetched(&standin, "one"), 0);
}

#[test]
fn one_long_text_refuses_the_bulk_and_one_refused_event_does_not() {
    let standin = StandInDispatcher::start(Config::default()).unwrap();
    let long = Feature {
        value: "v".repeat(1024 * 1024 + 1),
        ..Feature::default()
    };
    let (status, _) = publish(
        &standin,
        &[
            event(0, |_| {}),
            event(1, |event| event.entity.features.push(long)),
        ],
    );
    assert_eq!(status, 422);
    let refused = event(1, |_| {});
    let rules = SourceRules {
        refused: [(refused.kafka_key().into(), "no".into())].into(),
        ..SourceRules::default()
    };
    standin.set_rules(rules);
    let (status, answer) = publish(&standin, &[event(0, |_| {}), refused]);
    assert_eq!(
        (
            status,
            answer["total_ok"].as_u64(),
            answer["total_failures"].as_u64()
        ),
        (200, Some(1), Some(1))
    );
    assert_eq!(fetched(&standin, "one"), 1);
}

#[test]
fn what_was_published_in_an_older_version_comes_out_in_the_newest_and_is_known_by_its_key() {
    let standin = StandInDispatcher::start(Config::default()).unwrap();
    let event = event(0, |event| event.source.settings.clear());
    let repeated = [4, 5, 6, 6];
    for version in repeated {
        let bulk = encode::bulk(version, &[event.encoded(version)], encode::Layout::Sized);
        assert_eq!(post(standin.address(), PUBLISH, &bulk).status, 200);
    }
    let (info, bulk) = pulled(&get(standin.address(), &path("one", 1000, 1)));
    assert_eq!(info["fetched"], 4);
    let decoded = decode::bulk(Model::Binary, &bulk).unwrap();
    assert_eq!(decoded.version.number(), 6);
    let newest = event.encoded(6);
    assert!(decoded.events.iter().all(|found| found.bytes == newest));
    let published = standin.shared().published(&feed());
    let keys: Vec<&str> = published.0.iter().map(|receipt| &*receipt.kafka_key).collect();
    assert_eq!(keys, [event.kafka_key(); 4]);
    let requests: Vec<u64> = published.0.iter().map(|receipt| receipt.request).collect();
    assert_eq!(requests, [0, 1, 2, 3]);
    assert_eq!(published.distinct().len(), 3, "each version has bytes of its own");
    assert_eq!(published.inversion(), None);
}

#[test]
fn an_inversion_is_seen_and_a_repeat_is_none() {
    let standin = StandInDispatcher::start(Config::default()).unwrap();
    let at = |number, timestamp| event(number, |event| event.timestamp = timestamp);
    let (first, second, third) = (at(0, 1_000_000), at(1, 2_000_000), at(2, 1_500_000));
    publish(&standin, &[first.clone(), second.clone()]);
    publish(&standin, &[first, second]);
    assert_eq!(standin.shared().published(&feed()).inversion(), None);
    publish(&standin, &[third]);
    assert!(standin.shared().published(&feed()).inversion().is_some());
}
