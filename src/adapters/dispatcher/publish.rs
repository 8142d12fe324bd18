//! One bulk of events, published.

use actors::fault::{Fault, FaultKind};
use actors::feed::Feed;
use actors::ports::target::{Published, Refused};
use bytes::Bytes;

use super::answer::Answer;
use super::pieces::Body;
use super::request;
use super::said::{Said, kind_of_write};
use super::sending::{Answered, Post};
use super::target::Place;
use crate::adapters::http::excerpt;

const PUBLISH: &str = "publish events";

/// How much of an answer is read: it may give a reason for each event.
const ANSWER: usize = 16 * 1024 * 1024;

/// The error code where all events are older than their source keeps.
const AGED_OFF: &str = "ErrorStringEnumAllEventsAgedOffImmediately";

/// The error code where filters dropped all events.
const FILTERED: &str = "ErrorStringEnumAllEventsFiltered";

/// How the dispatcher's words begin when it could not give Kafka all that it wanted to.
const SUBMITTED: &str = "successfully submitted ";

/// What is said of one event that cannot be given to Kafka, whatever becomes of the others. Whatever else stands there
/// are words of Kafka or its client (no such topic, a full disk, no rights, a time limit, nobody there), and no list of
/// those is ever complete: they say nothing about an event, and there is nothing to look for one by.
const OF_ONE_EVENT: [&str; 6] = [
    "message too large for kafka",
    "message had no length after avro conversion",
    "unable to marshal produced event",
    "missing mandatory source or event fields",
    // The limits of Kafka and of its client, where they are lower than the dispatcher's own.
    "message was too large, server rejected it",
    "message larger than configured producer.maxmessagebytes",
];

pub(super) async fn publish(at: &Place, feed: &Feed, bulk: Bytes) -> Result<Published, Fault> {
    let post = Post {
        at,
        url: request::publish(&at.events, feed.model()),
        consumer: request::restores_events(feed, &at.backup_id),
        content_type: "application/avro",
        patience: at.published,
        operation: PUBLISH,
        target: format!("{feed} to {}", at.events),
    };
    let body = Body {
        begun: vec![bulk],
        rest: None,
    };
    let sent = post.send_alone(body).await;
    let Answered { answer, early } = sent.map_err(|unanswered| post.fault(unanswered))?;
    match answer.status {
        200 if early => Err(answer.transient("200 before it had all events")),
        200 => took(answer).await,
        _ => {
            let (said, refusal) = answer.refused(ANSWER).await;
            match understood(refusal.status, &said) {
                Ok(published) => Ok(published),
                Err(kind) => Err(refusal.fault(kind, &said)),
            }
        }
    }
}

/// What a 200 says, if it says so.
async fn took(mut answer: Answer) -> Result<Published, Fault> {
    #[derive(serde::Deserialize)]
    struct Took {
        total_ok: u64,
        total_failures: u64,
        failures: Option<Vec<serde_json::Value>>,
    }
    let body = answer.whole(ANSWER).await?;
    let took: Took = serde_json::from_slice(&body).map_err(|error| {
        answer.transient(format!("200 that counts no events ({error}): {}", excerpt(&body)))
    })?;
    let refused = took.failures.unwrap_or_default();
    Ok(Published::Took {
        ok: took.total_ok,
        failed: took.total_failures,
        refused: refused.iter().map(refusal).collect(),
    })
}

/// One of `failures`: its `error` and the event, or its key, as far as they are told.
fn refusal(failure: &serde_json::Value) -> Refused {
    let key = failure.get("kafka_key");
    let key = key.or_else(|| failure.get("event").and_then(|event| event.get("kafka_key")));
    Refused {
        kafka_key: key.and_then(|key| key.as_str()).map(str::to_owned),
        reason: match failure.get("error").and_then(|error| error.as_str()) {
            Some(error) => error.to_owned(),
            None => excerpt(failure.to_string().as_bytes()),
        },
    }
}

/// What an answer other than 200 says about the events, or what to do where it says nothing about them.
fn understood(status: u16, said: &Said) -> Result<Published, FaultKind> {
    match status {
        425 if said.code == AGED_OFF => Ok(Published::AgedOff {
            detail: said.text.clone(),
        }),
        425 => {
            let list = said.filters.as_deref().or_else(|| listed(&said.detail));
            match list {
                None if said.code != FILTERED => Err(FaultKind::Transient),
                list => Ok(Published::Filtered {
                    accounted: list.and_then(sum).unwrap_or(0),
                    detail: said.text.clone(),
                }),
            }
        }
        // Something in between that refuses the *size* of a bulk speaks of the bulk; any other page of its own does
        // not, and must not cost the events their place.
        413 => Ok(Published::NotTaken {
            reason: said.text.clone(),
        }),
        400 | 422 if said.own => Ok(Published::NotTaken {
            reason: said.text.clone(),
        }),
        500 if blames_events(&said.detail) => Ok(Published::NotProduced {
            reason: said.text.clone(),
        }),
        status => Err(kind_of_write(status)),
    }
}

/// Whether it says how many events Kafka was given, and of each of the others that it is the event's own fault. An event
/// may be printed in its reason, with whatever is in it: where there are as many reasons as events, what is no reason is
/// passed over.
fn blames_events(detail: &str) -> bool {
    let Some((_, counts)) = detail.split_once(SUBMITTED) else {
        return false;
    };
    let Some((counts, reasons)) = counts.split_once(" events") else {
        return false;
    };
    let count = |text: &str| text.parse::<u64>().ok();
    let counts = counts.split_once('/');
    let Some((Some(submitted), Some(of))) = counts.map(|(submitted, of)| (count(submitted), count(of)))
    else {
        return false;
    };
    let reasons = reasons.to_ascii_lowercase();
    let is_of_one = |reason: &&str| OF_ONE_EVENT.iter().any(|words| reason.contains(words));
    let reasons = reasons.strip_suffix(";\n").unwrap_or(&reasons);
    let reasons = || reasons.split(";\n");
    let blamed = reasons().filter(is_of_one).count();
    of.checked_sub(submitted).is_some_and(|failed| {
        failed > 0 && blamed > 0 && (blamed as u64 >= failed || blamed == reasons().count())
    })
}

/// The list `name:count,…` in a detail.
fn listed(detail: &str) -> Option<&str> {
    let (_, list) = detail.split_once("filters [")?;
    match list.split_once("], with ") {
        Some((list, _)) => Some(list),
        None => list.rsplit_once(']').map(|(list, _)| list),
    }
}

/// The sum over the counts; `None` where it is no such list. A name may hold commas and colons itself: it goes on
/// until a count ends it.
fn sum(list: &str) -> Option<u64> {
    let (mut total, mut open) = (0u64, false);
    for part in list.split(',') {
        match part
            .rsplit_once(':')
            .and_then(|(_, count)| count.trim().parse::<u64>().ok())
        {
            Some(count) => {
                total = total.checked_add(count)?;
                open = false;
            }
            None => open = true,
        }
    }
    (!open || list.trim().is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_counts_of_a_list_are_added_up_whatever_its_names_hold() {
        for (list, expected) in [
            ("", Some(0)),
            (" ", Some(0)),
            ("too_deep:3", Some(3)),
            ("too_deep:3,deleted:4", Some(7)),
            ("a: 1, b: 2 ", Some(3)),
            ("a,b:2", Some(2)),
            ("http://x:80/y:5", Some(5)),
            ("filters [x]:1,ü 💥:2", Some(3)),
            (":1", Some(1)),
            ("a:1:2", Some(2)),
            ("a", None),
            ("a:1,b", None),
            ("a:-1", None),
            ("a:1.5", None),
            ("a:18446744073709551615", Some(u64::MAX)),
            ("a:18446744073709551615,b:1", None),
            ("a:18446744073709551616", None),
        ] {
            assert_eq!(sum(list), expected, "{list}");
        }
    }

    #[test]
    fn the_list_of_a_detail_is_found() {
        let detail = |list: &str| {
            format!(
                "failed, as they were all filtered out by the following filters [{list}], with 0 response failures which are: [x], with []"
            )
        };
        for list in ["", "a:1", "a [b]:1,c:2", "]:1"] {
            assert_eq!(listed(&detail(list)), Some(list));
        }
        assert_eq!(listed("filters [a:1]"), Some("a:1"));
        assert_eq!(listed("filters [a:1"), None);
        assert_eq!(listed("filters a:1]"), None);
    }

    /// A detail of the dispatcher, with these reasons.
    fn detail(counts: &str, reasons: &[&str]) -> String {
        let reasons: String = reasons.iter().map(|reason| format!("{reason};\n")).collect();
        format!(
            "successfully submitted {counts} events with the failed events providing the following errors: {reasons}"
        )
    }

    #[test]
    fn only_what_is_said_of_one_event_is_its_fault() {
        for reason in [
            "message too large for kafka: 4001647 vs 3145728 bytes",
            "message had no length after avro conversion: &{6 abc}",
            "some: unable to marshal produced event &{6 of;\ntwo lines}",
            "missing mandatory source or event fields",
            "kafka server: Message was too large, server rejected it to avoid allocation error",
            "kafka: invalid configuration (Attempt to produce message larger than configured Producer.MaxMessageBytes: 2 > 1)",
        ] {
            assert!(blames_events(&detail("19/20", &[reason])), "{reason}");
        }
        let large = "message too large for kafka: 4001647 vs 3145728 bytes";
        assert!(blames_events(&detail("18/20", &[large, large])));
        assert!(blames_events(&detail("298/300", &[large])));
    }

    #[test]
    fn whatever_else_kafka_and_its_client_say_is_no_fault_of_the_events() {
        let large = "message too large for kafka: 4001647 vs 3145728 bytes";
        for reason in [
            "kafka: client has run out of available brokers to talk to: EOF",
            "kafka server: There is no leader for this topic-partition as we are in the middle of a leadership election",
            "kafka server: Request exceeded the user-specified time limit in the request",
            "kafka server: Request was for a topic or partition that does not exist on this broker",
            "kafka server: Unexpected (unknown?) server error",
            "kafka server: The client is not authorized to access this topic",
            "kafka server: Disk error when trying to access log file on the disk",
            "EOF",
            "write tcp 10.0.0.1:9->10.0.0.2:9092: write: broken pipe",
            "dial tcp: lookup kafka: no such host",
            "",
            "what nobody has seen yet",
        ] {
            assert!(!blames_events(&detail("0/1", &[reason])), "{reason}");
            assert!(!blames_events(&detail("18/20", &[large, reason])), "{reason}");
        }
        for detail in [
            "successfully submitted many events: message too large for kafka",
            "successfully submitted 1/ events: message too large for kafka",
            "successfully submitted 2/1 events: message too large for kafka",
            "successfully submitted 1/1 events: message too large for kafka",
            "fetch failed: message too large for kafka",
            "",
        ] {
            assert!(!blames_events(detail), "{detail}");
        }
    }

    proptest! {
        #[test]
        fn no_detail_makes_it_panic_and_no_list_counts_for_more_than_its_digits_say(
            detail in "(filters \\[|successfully submitted |[a-z]|[0-9]{1,22}|[:,/\\]\\[ ]|\\], with | events){0,20}"
        ) {
            let _ = blames_events(&detail);
            if let Some(list) = listed(&detail) {
                let digits: Vec<u64> = list.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
                let most = digits.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
                prop_assert!(sum(list).unwrap_or(0) <= most);
            }
        }
    }
}
