//! `POST /api/v2/event`, with everything that it does not say: one invalid event ends a bulk without a word, a
//! filtered one counts as published, one too large fails the request while the others are in.

use actix_web::{HttpRequest, HttpResponse, web};
use actors::avro::ModelVersion;
use actors::feed::{Action, Feed, Model, SourceName};
use actors::stream_id::Sha256;
use actors::timestamp::Timestamp;
use apache_avro::types::Value;
use bytes::Bytes;
use serde_json::json;

use super::answers::{Refusal, UNSET, cut, error, json, page, says};
use super::faults::{Call, Fault};
use super::log::RawEvent;
use super::receipts::Receipt;
use super::shared::{Shared, SourceRules};
use crate::decode::{self, Decoded, longest_text, micros, text};
use crate::encode;
use crate::validity::{self, Judge};

/// The longest text that the dispatcher's decoder takes.
const LONGEST_TEXT: usize = 1024 * 1024;

/// The title of a 425.
const ALL_FILTERED: &str = "All events to be published have been filtered out";

/// The largest message that Kafka takes.
const LARGEST_MESSAGE: usize = 3_145_728;

pub(super) async fn publish(
    request: HttpRequest,
    body: web::Bytes,
    shared: web::Data<Shared>,
) -> HttpResponse {
    shared.count_bytes_in(body.len());
    let number = shared.receipts().request(body.len());
    let fault = shared.fault(Call::Publish);
    match fault {
        Some(Fault::Status(status)) => return error(status, "failed", "a fault on order", UNSET),
        Some(Fault::Page(status)) => return page(status),
        Some(Fault::Filtered(list)) => return filtered_out(list).into(),
        Some(Fault::AgedOff) => return aged_off().into(),
        Some(Fault::Hang) => std::future::pending().await,
        _ => {}
    }
    if shared.kafka_hangs() {
        std::future::pending().await
    }
    let most = match fault {
        Some(Fault::Partial(most, why)) => Some((most, why)),
        _ => None,
    };
    let post = Post {
        shared: &shared,
        number,
        most,
    };
    let answer = post.produce(request.query_string(), &body);
    match fault {
        Some(Fault::LostAnswer) => cut(),
        Some(Fault::Nonsense) => page(200),
        Some(Fault::Says(status, text)) => says(status, text),
        _ => answer.unwrap_or_else(HttpResponse::from),
    }
}

/// One request.
struct Post<'a> {
    shared: &'a Shared,
    number: u64,
    /// Kafka takes no more events than this, for this reason.
    most: Option<(usize, &'static str)>,
}

fn model_of(query: &str) -> Result<Model, Refusal> {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let name = pairs
        .find(|(key, _)| key == "model")
        .map(|(_, value)| value)
        .unwrap_or_default();
    let known = Model::ALL.into_iter().find(|known| known.as_str() == name);
    known.ok_or_else(|| {
        let detail = format!("not a registered model type: {name}");
        Refusal::new(400, "not a registered model type", detail)
    })
}

/// Version and events of a body.
fn decode(model: Model, body: &[u8]) -> Result<(ModelVersion, Vec<Decoded<'_>>), Refusal> {
    const TITLE: &str = "PostEvent TransformEvents invalid events";
    if matches!(body[0], b'[' | b'{') {
        return Err(Refusal::new(
            422,
            TITLE,
            "supplied events were in json format, not avro",
        ));
    }
    let mut rest = body;
    let first = decode::long(&mut rest).unwrap_or_default();
    let named = ModelVersion::ALL
        .into_iter()
        .find(|version| version.number() == first && first > 4);
    let (version, rest) = named.map_or((ModelVersion::V4, body), |version| (version, rest));
    let reason = match decode::array(model, version, rest) {
        Ok(events)
            if events
                .iter()
                .all(|event| longest_text(&event.value) <= LONGEST_TEXT) =>
        {
            return Ok((version, events));
        }
        Ok(_) => "avro: ReadSTRING: size is greater than `Config.MaxByteSliceSize`".to_owned(),
        Err(reason) => reason,
    };
    let detail = format!(
        "avro event did not match expected bulk schema: failed to parse avro bulk event with len({}): Events: {reason}",
        body.len()
    );
    Err(Refusal::new(422, TITLE, detail))
}

impl Post<'_> {
    fn produce(&self, query: &str, body: &[u8]) -> Result<HttpResponse, Refusal> {
        let model = model_of(query)?;
        if body.is_empty() {
            return Err(Refusal::new(
                400,
                "Empty Request",
                "no events were provided to be published",
            ));
        }
        let (version, events) = decode(model, body)?;
        let unplaced = |event: &Decoded<'_>| {
            text(&event.value, &["action"]).is_empty() || text(&event.value, &["source", "name"]).is_empty()
        };
        if model == Model::Binary && events.iter().any(unplaced) {
            // the text of this one was not recorded
            return Err(Refusal::new(
                400,
                "event without source or action",
                "an event has no source or no action",
            ));
        }
        let valid = events
            .iter()
            .take_while(|event| validity::fault(model, &event.value, Judge::Dispatcher).is_none());
        let valid: Vec<&Decoded<'_>> = valid.collect();
        let rules = self.shared.rules().clone();
        let fates: Vec<Verdict> = valid.iter().map(|event| rules.judge(event)).collect();
        if fates
            .iter()
            .all(|fate| matches!(fate, Verdict::AgedOff | Verdict::Filtered(_)))
        {
            return Err(all_filtered(&fates));
        }
        let mut failures = Vec::new();
        let (mut produced, mut not_produced) = (Vec::new(), String::new());
        for (event, fate) in valid.iter().zip(&fates) {
            let no_more = self.most.filter(|(most, _)| produced.len() >= *most);
            match (fate, no_more) {
                (Verdict::Produced, Some((_, why))) => not_produced.push_str(&format!("{why};\n")),
                (Verdict::Produced, None) if event.bytes.len() > LARGEST_MESSAGE => {
                    not_produced.push_str(&format!(
                        "message too large for kafka: {} vs {LARGEST_MESSAGE} bytes;\n",
                        event.bytes.len()
                    ))
                }
                (Verdict::Produced, None) => produced.push(*event),
                (Verdict::Refused(reason), _) => {
                    failures
                        .push(json!({ "error": reason, "kafka_key": text(&event.value, &["kafka_key"]) }));
                }
                (Verdict::AgedOff | Verdict::Filtered(_), _) => {}
            }
        }
        let count = produced.len();
        self.store(model, version, &produced);
        if !not_produced.is_empty() {
            // of those that are left when invalid and filtered ones are out
            let of = count + not_produced.matches(";\n").count();
            let detail = format!(
                "successfully submitted {count}/{of} events with the failed events providing the following errors: {not_produced}"
            );
            return Err(Refusal::new(500, "failed ProduceAnyEvents", detail));
        }
        let (ok, failed) = (valid.len() - failures.len(), failures.len());
        let failures = if failures.is_empty() {
            json!(null)
        } else {
            json!(failures)
        };
        Ok(json(
            &json!({ "total_ok": ok, "total_failures": failed, "failures": failures }),
        ))
    }

    /// Puts events where consumers find them. A binary or insert event keeps its key, which follows from its content;
    /// a delete event gets a new one. A source that cannot be a source's name is nobody's feed.
    fn store(&self, model: Model, version: ModelVersion, events: &[&Decoded<'_>]) {
        for event in events {
            let Some(feed) = feed_of(model, &event.value) else {
                continue;
            };
            let receipt = Receipt {
                kafka_key: text(&event.value, &["kafka_key"]).into(),
                timestamp: Timestamp::from_micros(micros(&event.value, &["timestamp"])),
                version,
                sha256: Sha256::of(event.bytes),
                request: self.number,
            };
            let raw = match model {
                _ if self.shared.forgets() => None,
                Model::Delete => Some(renamed(event)),
                _ => Some(RawEvent {
                    kafka_key: receipt.kafka_key.to_string(),
                    timestamp: receipt.timestamp,
                    bytes: Bytes::copy_from_slice(event.bytes),
                }),
            };
            self.shared.receipts().event(&feed, receipt);
            if let Some(raw) = raw {
                self.shared.broker().publish(&feed, version, raw);
            }
        }
        self.shared.arrival.notify_waiters();
        self.shared.changed();
    }
}

/// What becomes of a valid event.
#[derive(Clone, Debug)]
enum Verdict {
    Produced,
    AgedOff,
    Filtered(String),
    Refused(String),
}

impl SourceRules {
    fn judge(&self, event: &Decoded<'_>) -> Verdict {
        if let Some(reason) = self.refused.get(text(&event.value, &["kafka_key"])) {
            return Verdict::Refused(reason.clone());
        }
        let source = text(&event.value, &["source", "name"]);
        if let Some(keeps) = self.expire_micros.get(source)
            && Timestamp::now().as_micros() - micros(&event.value, &["source", "timestamp"]) > *keeps
        {
            return Verdict::AgedOff;
        }
        match self.filters.iter().find(|(filtered, _)| filtered == source) {
            Some((_, filter)) => Verdict::Filtered(filter.clone()),
            None => Verdict::Produced,
        }
    }
}

/// 425; also, with an empty list, where the first event is invalid. Age tells over any other filter.
fn all_filtered(fates: &[Verdict]) -> Refusal {
    if fates.iter().any(|fate| matches!(fate, Verdict::AgedOff)) {
        return aged_off();
    }
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for fate in fates {
        if let Verdict::Filtered(name) = fate {
            *counts.entry(name).or_default() += 1;
        }
    }
    let list: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{name}:{count}"))
        .collect();
    filtered_out(&list.join(","))
}

fn aged_off() -> Refusal {
    Refusal {
        code: "ErrorStringEnumAllEventsAgedOffImmediately",
        ..Refusal::new(
            425,
            ALL_FILTERED,
            "all submitted events are older than their source keeps",
        )
    }
}

fn filtered_out(list: &str) -> Refusal {
    let detail = format!(
        "failed to produce any of the provided events as they were all filtered out by the following filters [{list}], \
         with 0 response failures which are: []"
    );
    Refusal {
        code: "ErrorStringEnumAllEventsFiltered",
        ..Refusal::new(425, ALL_FILTERED, detail)
    }
}

fn feed_of(model: Model, event: &Value) -> Option<Feed> {
    if model != Model::Binary {
        return Feed::of_system().into_iter().find(|feed| feed.model() == model);
    }
    let action = Action::BINARY
        .into_iter()
        .find(|action| action.as_str() == text(event, &["action"]))?;
    Some(Feed::binary(
        SourceName::new(text(event, &["source", "name"])).ok()?,
        action,
    ))
}

fn renamed(event: &Decoded<'_>) -> RawEvent {
    let kafka_key = format!("{:032x}", fastrand::u128(..));
    let mut rest = event.bytes;
    let version = decode::long(&mut rest).unwrap_or_default();
    let old = decode::long(&mut rest).unwrap_or_default();
    let mut bytes = Vec::with_capacity(event.bytes.len());
    encode::long(&mut bytes, version);
    encode::string(&mut bytes, &kafka_key);
    bytes.extend_from_slice(&rest[usize::try_from(old).unwrap_or(0)..]);
    let timestamp = Timestamp::from_micros(micros(&event.value, &["timestamp"]));
    RawEvent {
        kafka_key,
        timestamp,
        bytes: bytes.into(),
    }
}
