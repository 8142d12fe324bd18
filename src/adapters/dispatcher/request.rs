//! What the dispatcher is asked, to the letter.

use actors::feed::{Feed, Model};
use actors::ports::Pull;
use actors::stream_id::StreamId;
use awc::http::header::{HeaderName, HeaderValue, USER_AGENT};
use url::Url;

/// Part of the identity of a consumer: offsets in Kafka hang on it, so it never changes.
const CONSUMER_VERSION: &str = "3.0.0";

/// The most events that one pull may ask for.
const MOST_EVENTS: u32 = 1000;

/// The deadline that is sent: 0 would mean "for ever".
pub(super) fn deadline_seconds(pull: &Pull) -> u64 {
    pull.deadline.as_secs().max(1)
}

/// `GET {events}/api/v2/event/{model}/passive?…`
pub(super) fn pull(base: &Url, pull: &Pull) -> Url {
    let model = pull.feed.model();
    let mut url = below(base, &["api", "v2", "event", model.as_str(), "passive"]);
    let mut query = url.query_pairs_mut();
    query
        .append_pair("avro-format", "true")
        .append_pair("count", &pull.count.clamp(1, MOST_EVENTS).to_string())
        .append_pair("deadline", &deadline_seconds(pull).to_string())
        .append_pair("name", &pull.consumer)
        .append_pair("version", CONSUMER_VERSION);
    if let Some(key) = &pull.deployment_key {
        query.append_pair("deployment_key", key);
    }
    query.append_pair("r-historic", "true");
    if model == Model::Binary {
        query
            .append_pair("r-source", pull.feed.source().as_str())
            .append_pair("r-action", pull.feed.action().as_str());
    }
    drop(query);
    url
}

/// The same for one event of a source, whatever its action: one consumer group instead of five.
pub(super) fn survey(base: &Url, feeds: &[Feed], consumer: &str) -> Url {
    let model = feeds.first().map_or(Model::Binary, Feed::model);
    let mut url = below(base, &["api", "v2", "event", model.as_str(), "passive"]);
    let mut query = url.query_pairs_mut();
    query
        .append_pair("avro-format", "true")
        .append_pair("count", "1")
        .append_pair("deadline", "1")
        .append_pair("name", consumer)
        .append_pair("version", CONSUMER_VERSION)
        .append_pair("r-historic", "true");
    if model == Model::Binary {
        if let Some(feed) = feeds.first() {
            query.append_pair("r-source", feed.source().as_str());
        }
        for feed in feeds {
            query.append_pair("r-action", feed.action().as_str());
        }
    }
    drop(query);
    url
}

/// `GET {streams}/api/v3/stream/{source}/{label}/{sha256}`
pub(super) fn stream(base: &Url, stream: &StreamId) -> Url {
    let sha256 = stream.sha256().to_string();
    let place = [stream.source().as_str(), stream.label(), &sha256];
    below(base, &[&["api", "v3", "stream"], &place[..]].concat())
}

/// `POST {events}/api/v2/event?…`: answered after Kafka has confirmed, without the events that were taken, and
/// plugins pause.
pub(super) fn publish(base: &Url, model: Model) -> Url {
    let mut url = below(base, &["api", "v2", "event"]);
    url.query_pairs_mut()
        .append_pair("model", model.as_str())
        .append_pair("avro-format", "true")
        .append_pair("sync", "true")
        .append_pair("include_ok", "false")
        .append_pair("pause_plugins", "true");
    url
}

/// `POST {streams}/api/v3/stream/{source}/{label}?…`
pub(super) fn upload(base: &Url, stream: &StreamId) -> Url {
    let place = ["api", "v3", "stream", stream.source().as_str(), stream.label()];
    let mut url = below(base, &place);
    url.query_pairs_mut()
        .append_pair("skip-identify", "true")
        .append_pair("expected-sha256", &stream.sha256().to_string());
    url
}

/// As whom a feed is restored.
pub(super) fn restores_events(feed: &Feed, backup_id: &str) -> String {
    format!(
        "restore-events-{}-{}-{backup_id}",
        feed.source(),
        feed.event_word()
    )
}

/// As whom streams are restored.
pub(super) fn restores_streams(backup_id: &str) -> String {
    format!("restore-streams-events-all-all-{backup_id}")
}

/// `GET {any}/`
pub(super) fn root(base: &Url) -> Url {
    below(base, &[""])
}

/// `User-Agent: dpclient-rust-{name}`
pub(super) fn user_agent(consumer: &str) -> (HeaderName, HeaderValue) {
    let value = HeaderValue::from_bytes(format!("dpclient-rust-{consumer}").as_bytes());
    // Names are made of checked parts; should one hold what no header may, the request itself still names it.
    let value = value.unwrap_or(HeaderValue::from_static("dpclient-rust"));
    (USER_AGENT, value)
}

/// A path below the base; every segment is percent-encoded.
fn below(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actors::feed::{Action, Feed, SourceName};

    use super::*;

    const HEX: &str = "5cc7f416087731c86203a1789fd29c913bf8e6d46fcff7e9a85a5aed5405ab1c";

    fn asked(feed: Feed, key: Option<&str>, count: u32, deadline: Duration) -> String {
        let asked = Pull {
            feed,
            consumer: "backup-events-samples-sourced-1".to_owned(),
            deployment_key: key.map(str::to_owned),
            count,
            deadline,
        };
        pull(&"http://dispatcher:8111".parse().unwrap(), &asked).to_string()
    }

    fn binary(source: &str) -> Feed {
        Feed::binary(SourceName::new(source).unwrap(), Action::Sourced)
    }

    #[test]
    fn a_pull_is_spelled_as_the_dispatcher_wants_it() {
        assert_eq!(
            asked(binary("samples"), Some("recovery"), 1000, Duration::from_secs(5)),
            "http://dispatcher:8111/api/v2/event/binary/passive?avro-format=true&count=1000&deadline=5\
             &name=backup-events-samples-sourced-1&version=3.0.0&deployment_key=recovery&r-historic=true\
             &r-source=samples&r-action=sourced"
        );
    }

    #[test]
    fn source_and_action_are_asked_for_binary_events_only() {
        let [insert, delete] = Feed::of_system();
        for (feed, model) in [(insert, "insert"), (delete, "delete")] {
            let url = asked(feed, None, 1, Duration::from_secs(1));
            assert!(url.contains(&format!("/event/{model}/passive?")), "{url}");
            assert!(url.ends_with("&version=3.0.0&r-historic=true"), "{url}");
        }
    }

    #[test]
    fn a_source_is_surveyed_with_one_request() {
        let feeds: Vec<_> = Feed::of_source(&SourceName::new("samples").unwrap()).collect();
        let url = survey(
            &"http://d".parse().unwrap(),
            &feeds,
            "backup-preflight-samples-1-x",
        );
        assert_eq!(
            url.as_str(),
            "http://d/api/v2/event/binary/passive?avro-format=true&count=1&deadline=1\
             &name=backup-preflight-samples-1-x&version=3.0.0&r-historic=true&r-source=samples\
             &r-action=sourced&r-action=extracted&r-action=augmented&r-action=mapped&r-action=enriched"
        );
        let [insert, _] = Feed::of_system();
        let url = survey(&"http://d".parse().unwrap(), &[insert], "c");
        assert!(
            url.path().contains("/insert/") && url.as_str().ends_with("r-historic=true"),
            "{url}"
        );
    }

    #[test]
    fn no_deadline_means_for_ever_and_no_count_exceeds_the_limit() {
        for (deadline, sent) in [(0, 1), (999, 1), (1999, 1), (10_000, 10)] {
            let url = asked(binary("s"), None, 5000, Duration::from_millis(deadline));
            assert!(url.contains(&format!("&count=1000&deadline={sent}&")), "{url}");
        }
        assert!(asked(binary("s"), None, 0, Duration::ZERO).contains("count=1&"));
    }

    #[test]
    fn names_stay_in_their_place_whatever_they_hold() {
        let url = asked(binary("a&r-source=b +%#é"), None, 1, Duration::ZERO);
        assert!(
            url.ends_with("&r-source=a%26r-source%3Db+%2B%25%23%C3%A9&r-action=sourced"),
            "{url}"
        );
        let odd = StreamId::new("a b?c", "l#%2e", HEX).unwrap();
        assert_eq!(
            stream(&"https://d/prefix/".parse().unwrap(), &odd).as_str(),
            format!("https://d/prefix/api/v3/stream/a%20b%3Fc/l%23%252e/{HEX}")
        );
        assert_eq!(
            upload(&"https://d/prefix/".parse().unwrap(), &odd).as_str(),
            format!(
                "https://d/prefix/api/v3/stream/a%20b%3Fc/l%23%252e?skip-identify=true&expected-sha256={HEX}"
            )
        );
        assert_eq!(root(&"http://d".parse().unwrap()).as_str(), "http://d/");
        assert_eq!(root(&"http://d/p".parse().unwrap()).as_str(), "http://d/p/");
    }
}
