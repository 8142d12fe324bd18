use std::time::Duration;

use actors::fault::{Fault, FaultKind};
use actors::feed::{Action, Feed};
use actors::ports::Target;
use actors::ports::target::{Published, Refused};
use bytes::Bytes;

use super::raw_tcp::{RawServer, Step, answer};
use super::{patient_target, samples, sized, target};

async fn publish(server: &RawServer, bulk: impl Into<Bytes>) -> Result<Published, Fault> {
    let feed = samples(Action::Sourced);
    target(&server.url()).publish(&feed, bulk.into()).await
}

async fn outcome(script: Vec<Step>) -> Result<Published, Fault> {
    publish(&RawServer::start([script]), b"bulk".as_slice()).await
}

fn error(status: &str, code: &str, detail: &str) -> Vec<Step> {
    let body = serde_json::json!({ "title": "title", "detail": detail, "error_enum": code });
    answer(sized(status, &body.to_string()))
}

const OK: &str = r#"{"total_ok":2,"total_failures":0,"failures":null}"#;

#[actix_rt::test]
async fn a_bulk_is_published_in_the_name_of_its_feed() {
    let [insert, delete] = Feed::of_system();
    for (feed, model, name) in [
        (samples(Action::Mapped), "binary", "samples-mapped"),
        (insert, "insert", "system-insert"),
        (delete, "delete", "system-delete"),
    ] {
        let server = RawServer::start([answer(sized("200 OK", OK))]);
        let bulk = Bytes::from_static(b"\x0c\x00");
        target(&server.url()).publish(&feed, bulk).await.unwrap();
        let request = &server.requests()[0];
        let line = format!(
            "POST /api/v2/event?model={model}&avro-format=true&sync=true&include_ok=false&pause_plugins=true HTTP/1.1\r\n"
        );
        assert!(request.starts_with(&line), "{request}");
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "\x0c\x00");
        let head = format!("{}\r\n", head.to_ascii_lowercase());
        for header in [
            "content-type: application/avro",
            "content-length: 2",
            "connection: close",
            &format!("user-agent: dpclient-rust-restore-events-{name}-1"),
        ] {
            assert!(head.contains(&format!("\r\n{header}\r\n")), "{header}: {head}");
        }
    }
}

#[actix_rt::test]
async fn a_large_bulk_arrives_byte_for_byte_with_its_length() {
    let bulk: Bytes = (0..5_000_000u32)
        .map(|n| b'a' + (n % 23) as u8)
        .collect::<Vec<u8>>()
        .into();
    let server = RawServer::start([answer(sized("200 OK", OK))]);
    let (dispatcher, feed) = (patient_target(&server.url()), samples(Action::Sourced));
    dispatcher.publish(&feed, bulk.clone()).await.unwrap();
    let request = &server.requests()[0];
    assert!(request.split_once("\r\n\r\n").unwrap().1.as_bytes() == bulk);
}

#[actix_rt::test]
async fn what_the_dispatcher_took_and_refused_is_told() {
    let failures = r#"{"total_ok":3,"total_failures":3,"failures":[
        {"error":"no author","kafka_key":"k1"},{"error":"no path","event":{"kafka_key":"k2"}},{"odd":1}]}"#;
    let refused = |key: Option<&str>, reason: &str| Refused {
        kafka_key: key.map(str::to_owned),
        reason: reason.to_owned(),
    };
    for (body, ok, failed, expected) in [
        (OK, 2, 0, vec![]),
        (r#"{"total_ok":0,"total_failures":0}"#, 0, 0, vec![]),
        (r#"{"total_ok":0,"total_failures":7,"failures":[]}"#, 0, 7, vec![]),
        (
            failures,
            3,
            3,
            vec![
                refused(Some("k1"), "no author"),
                refused(Some("k2"), "no path"),
                refused(None, r#"{"odd":1}"#),
            ],
        ),
    ] {
        let refused = expected;
        assert_eq!(
            outcome(answer(sized("200 OK", body))).await.unwrap(),
            Published::Took { ok, failed, refused },
            "{body}"
        );
    }
}

#[actix_rt::test]
async fn an_answer_about_the_events_is_understood() {
    let filters = |list: &str| {
        format!("all filtered out by the following filters [{list}], with 0 response failures which are: []")
    };
    let all = "ErrorStringEnumAllEventsFiltered";
    for (script, accounted) in [
        (error("425 Early", all, &filters("")), 0),
        (error("425 Early", all, &filters("too_deep:3,dele,ted:4")), 7),
        (error("425 Early", all, &filters("too_deep")), 0),
        (error("425 Early", all, "no list"), 0),
        (error("425 Early", "ErrorStringEnumOther", &filters("a:1")), 1),
    ] {
        let described = format!("{script:?}");
        let published = outcome(script).await.unwrap();
        let Published::Filtered {
            accounted: found,
            detail,
        } = published
        else {
            panic!("{described}: {published:?}");
        };
        assert_eq!(found, accounted, "{described}");
        assert!(detail.starts_with("title: "), "{detail}");
    }
    let params =
        r#"{"detail":"d","error_enum":"ErrorStringEnumAllEventsFiltered","error_params":{"filters":"a:2"}}"#;
    assert!(matches!(
        outcome(answer(sized("425 Early", params))).await.unwrap(),
        Published::Filtered { accounted: 2, .. }
    ));
    let aged_off = error("425 Early", "ErrorStringEnumAllEventsAgedOffImmediately", "old");
    let detail = "title: old".to_owned();
    assert_eq!(outcome(aged_off).await.unwrap(), Published::AgedOff { detail });
    for (script, expected) in [
        (error("422 No", "", "does not decode"), "title: does not decode"),
        (error("400 No", "", "no model"), "title: no model"),
        (
            answer(sized("413 Large", "<html>too large</html>")),
            "<html>too large</html>",
        ),
    ] {
        let reason = expected.to_owned();
        assert_eq!(outcome(script).await.unwrap(), Published::NotTaken { reason });
    }
    let partial = "successfully submitted 18/20 events with the failed events providing the following errors: message too large for kafka: 4001647 vs 3145728 bytes;\n";
    let reason = format!("title: {partial}");
    assert_eq!(
        outcome(error("500 No", "", partial)).await.unwrap(),
        Published::NotProduced { reason }
    );
}

#[actix_rt::test]
async fn whatever_says_nothing_about_the_events_is_transient() {
    let away = "successfully submitted 0/20 events with the failed events providing the following errors: kafka: client has run out of available brokers to talk to;\n";
    let chunked = |body: &str| {
        let length = body.len();
        answer(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n"
        ))
    };
    for (script, expected) in [
        (answer(sized("200 OK", "")), "200 that counts no events"),
        (answer(sized("200 OK", "<html>")), "<html>"),
        (answer(sized("200 OK", "{}")), "200 that counts no events"),
        (answer(sized("200 OK", r#"{"total_ok":1}"#)), "total_failures"),
        (
            answer(sized("200 OK", r#"{"total_ok":"1","total_failures":0}"#)),
            "200 that counts",
        ),
        (
            answer(sized("200 OK", r#"{"total_ok":-1,"total_failures":0}"#)),
            "200 that counts",
        ),
        (
            answer(sized("200 OK", r#"{"total_ok":1.5,"total_failures":0}"#)),
            "200 that counts",
        ),
        (answer(&sized("200 OK", OK)[..100]), "broke off"),
        (chunked(&OK[..20]), "broke off"),
        (answer(sized("204 OK", "")), "204"),
        (error("500 No", "", "fetch failed"), "500: title: fetch failed"),
        (error("500 No", "", away), "run out of available brokers"),
        (answer(sized("502 No", "<html>\n</html>")), "502: <html> </html>"),
        (answer(sized("425 Early", "<html>")), "425: <html>"),
        (error("425 Early", "", "replayed"), "425: title: replayed"),
        (error("408 No", "", ""), "408"),
        (vec![], "the connection"),
        (vec![Step::Peek], "the connection"),
        (vec![Step::Read], "closed before an answer came"),
        (
            vec![Step::Read, Step::Hang],
            "no answer within 600.0ms, after 4 bytes were sent",
        ),
        (answer("SSH-2.0\r\n\r\n"), "the answer is not HTTP"),
    ] {
        let described = format!("{script:?}");
        let fault = outcome(script).await.unwrap_err();
        assert!(fault.is_transient(), "{described}: {fault}");
        assert!(fault.to_string().contains(expected), "{described}: {fault}");
        assert!(
            fault
                .to_string()
                .starts_with("publish events samples/binary/sourced to http://127.0.0.1:"),
            "{fault}"
        );
    }
    let busy = "HTTP/1.1 429 No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";
    let fault = outcome(answer(busy)).await.unwrap_err();
    assert_eq!(
        (fault.is_transient(), fault.wait()),
        (true, Some(Duration::from_secs(7)))
    );
}

#[actix_rt::test]
async fn a_wrong_url_or_right_is_rejected_and_says_why() {
    for (script, expected) in [
        (error("401 No", "", "who?"), "401: title: who?"),
        (error("403 No", "", "no"), "403: title: no"),
        (error("404 No", "", ""), "404: title"),
        (
            answer(sized("404 No", "404 page not found")),
            "404: 404 page not found",
        ),
        (answer(sized("405 No", "")), "405: no text"),
        (answer(sized("302 No", "")), "302"),
        // Not the dispatcher's words: it is not the events that are bad.
        (
            answer(sized("400 No", "<html>plain HTTP to an HTTPS port</html>")),
            "400: <html>plain HTTP",
        ),
        (answer(sized("422 No", "<html>")), "422: <html>"),
    ] {
        let fault = outcome(script).await.unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Rejected, "{fault}");
        assert!(fault.detail().starts_with(expected), "{fault}");
    }
}

#[actix_rt::test]
async fn a_lost_answer_is_not_asked_for_again_by_itself() {
    let server = RawServer::start([vec![Step::Read], answer(sized("200 OK", OK))]);
    assert!(
        publish(&server, b"bulk".as_slice())
            .await
            .unwrap_err()
            .is_transient()
    );
    assert_eq!((server.connections(), server.requests().len()), (1, 1));
}

#[actix_rt::test]
async fn an_answer_that_comes_early_is_understood() {
    let bulk = Bytes::from(vec![b'a'; 64_000_000]);
    let refused = sized("413 Large", "too large");
    let hangs = vec![
        Step::ReadHead,
        Step::Send(refused.clone().into()),
        Step::Rest(Duration::from_secs(1)),
    ];
    for script in [vec![Step::ReadHead, Step::Send(refused.into())], hangs] {
        let server = RawServer::start([script]);
        let reason = "too large".to_owned();
        assert_eq!(
            publish(&server, bulk.clone()).await.unwrap(),
            Published::NotTaken { reason }
        );
    }
    let server = RawServer::start([vec![Step::ReadHead, Step::Send(sized("200 OK", OK).into())]]);
    let fault = publish(&server, bulk).await.unwrap_err();
    assert!(
        fault.is_transient() && fault.to_string().contains("before it had all"),
        "{fault}"
    );
}

#[actix_rt::test]
async fn a_dispatcher_that_stops_reading_is_not_waited_for() {
    let server = RawServer::start([vec![Step::ReadHead, Step::Rest(Duration::from_secs(2))]]);
    let fault = publish(&server, vec![0; 64_000_000]).await.unwrap_err();
    assert!(fault.is_transient(), "{fault}");
    assert!(
        fault
            .to_string()
            .contains("nothing could be sent for 300.0ms, after "),
        "{fault}"
    );
}
