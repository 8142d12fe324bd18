//! `GET /api/v2/event/{model}/passive`.
//!
//! Collecting runs in a task of its own: it goes on when the client has gone, and answers only once it has `count`
//! events or the deadline has passed.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use actors::feed::Model;
use bytes::Bytes;
use futures_util::Stream;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::answers::{LONGEST_WITH_LENGTH, Refusal, UNSET, error};
use super::broker::{Answer, Consumer, Fate, Place};
use super::faults::{Call, Fault};
use super::shared::Shared;
use crate::encode::{self, BLOCK};

/// The dispatcher's own limit on the events of an answer.
const MOST_EVENTS: usize = 1000;

struct Request {
    consumer: Consumer,
    count: usize,
    deadline: Option<Duration>,
    reset: bool,
}

fn bad(detail: &str) -> Refusal {
    Refusal::new(422, "bad parameters", detail)
}

impl Request {
    fn parse(model: &str, query: &str) -> Result<Self, Refusal> {
        let Some(model) = Model::ALL.into_iter().find(|known| known.as_str() == model) else {
            return Err(bad(&format!(
                "bad parameter for model: not a registered model type: {model}"
            )));
        };
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let all = |name: &str| -> BTreeSet<String> {
            pairs
                .iter()
                .filter(|(key, _)| key == name)
                .map(|(_, value)| value.clone())
                .collect()
        };
        let one = |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        let set = |name: &str| one(name) == Some("true");
        if !["r-historic", "r-live", "r-expedite"].into_iter().any(set) {
            return Err(bad("requires at least one of r-expedite, r-live or r-historic"));
        }
        let number = |name: &str, default: u64| match one(name) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .map_err(|_| bad(&format!("bad parameter for {name}: {text}"))),
        };
        let deadline = number("deadline", 0)?;
        let (Some(name), Some(version)) = (one("name"), one("version")) else {
            return Err(bad("requires name and version"));
        };
        Ok(Self {
            consumer: Consumer {
                name: name.to_owned(),
                version: version.to_owned(),
                model,
                sources: all("r-source"),
                actions: all("r-action"),
            },
            count: (number("count", 1)? as usize).min(MOST_EVENTS),
            deadline: (deadline > 0).then(|| Duration::from_secs(deadline)),
            reset: set("reset"),
        })
    }
}

pub(super) async fn pull(
    model: web::Path<String>,
    request: HttpRequest,
    shared: web::Data<Shared>,
) -> HttpResponse {
    let asked = match Request::parse(&model, request.query_string()) {
        Ok(asked) => asked,
        Err(refusal) => return refusal.into(),
    };
    let fault = shared.fault(Call::Pull);
    match fault {
        Some(Fault::Status(status)) => return error(status, "fetch failed", "a fault on order", UNSET),
        Some(Fault::Hang) => std::future::pending().await,
        _ => {}
    }
    let (sender, receiver) = oneshot::channel();
    let collector = Arc::clone(&shared);
    actix_web::rt::spawn(async move {
        let Some((number, answer, ready)) = collect(&collector, asked).await else {
            return;
        };
        if sender.send((number, answer, ready)).is_err() {
            collector.settle(number, Fate::ClientGone);
        }
    });
    let Ok((number, answer, ready)) = receiver.await else {
        return error(500, "fetch failed", "the dispatcher is going down", UNSET);
    };
    let sending = Sending::new(Arc::clone(&shared), number, answer, ready, fault);
    match fault {
        Some(Fault::StatusAfterTaking(status)) => {
            shared.settle(number, Fate::BrokenOff);
            error(status, "fetch failed", "a fault on order", UNSET)
        }
        _ => {
            if !sending.events.is_empty() {
                shared.pass_hold().await;
            }
            sending.respond()
        }
    }
}

/// Collects for one pull; `None` if the dispatcher was restarted meanwhile.
async fn collect(shared: &Shared, asked: Request) -> Option<(u64, Answer, bool)> {
    let until = asked
        .deadline
        .map(|deadline| Instant::now() + shared.hurried(deadline));
    let number = shared.broker().begin(asked.consumer, asked.reset);
    loop {
        let arrival = shared.arrival.notified();
        tokio::pin!(arrival);
        arrival.as_mut().enable();
        let ready_at = shared.ready_at();
        let ready = Instant::now() >= ready_at;
        if ready && !shared.kafka_hangs() {
            let collected = shared.broker().collect(number, asked.count);
            shared.changed();
            if collected >= asked.count {
                break;
            }
        }
        let deadline = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = deadline => break,
            () = tokio::time::sleep_until(ready_at), if !ready => {}
            () = arrival => {}
        }
    }
    let ready = Instant::now() >= shared.ready_at();
    let answer = shared.broker().answer(number, shared.model_version())?;
    shared.changed();
    Some((number, answer, ready))
}

/// The body of an answer, made block by block while it is sent. Dropped before its end, the client had gone.
struct Sending {
    shared: Arc<Shared>,
    number: u64,
    events: Vec<Place>,
    next: usize,
    version: i64,
    head: Option<Vec<u8>>,
    tail: Option<Vec<u8>>,
    boundary: String,
    left: Option<usize>,
    nonsense: bool,
}

impl Sending {
    fn new(shared: Arc<Shared>, number: u64, answer: Answer, ready: bool, fault: Option<Fault>) -> Self {
        let boundary: String = (0..60)
            .map(|_| fastrand::digit(16).to_ascii_lowercase())
            .collect();
        let mut info = json!({
            "filtered": answer.filtered, "fetched": answer.events.len(), "ready": ready, "paused": false,
        });
        if !ready {
            info["consumers_not_ready"] = json!("historic");
        }
        if answer.filtered > 0 {
            info["filters"] = json!({ "cache": answer.filtered });
        }
        let version = answer.version;
        let part = |name: &str| {
            format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}.json\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n"
            )
        };
        let (info, events) = (format!("{}{info}\r\n", part("info")), part("events"));
        let end = format!("\r\n--{boundary}--\r\n");
        let (mut head, tail) = if shared.parts_swapped() {
            (events, format!("\r\n{info}{}", &end[2..]))
        } else {
            (info + &events, end)
        };
        let mut tail = tail.into_bytes();
        let mut bulk_head = Vec::new();
        if !(answer.events.is_empty() && shared.empty_without_bytes()) {
            encode::bulk_head(&mut bulk_head, version);
            tail.insert(0, 0);
        }
        let left = match fault {
            Some(Fault::CutAfter(bytes)) => Some(bytes),
            _ => None,
        };
        let nonsense = fault == Some(Fault::Nonsense);
        if nonsense {
            head = format!("<html>{head}");
        }
        let mut head = head.into_bytes();
        head.extend_from_slice(&bulk_head);
        Self {
            shared,
            number,
            events: answer.events,
            next: 0,
            version,
            head: Some(head),
            tail: Some(tail),
            boundary,
            left,
            nonsense,
        }
    }

    fn respond(mut self) -> HttpResponse {
        let content_type = if self.nonsense {
            "text/html".to_owned()
        } else {
            format!("multipart/form-data; boundary={}", self.boundary)
        };
        let mut response = HttpResponse::Ok();
        response.insert_header(("Content-Type", content_type));
        if self.events.len() <= 4 && self.left.is_none() {
            let mut whole = Vec::new();
            while let Some(piece) = self.piece() {
                whole.extend_from_slice(&piece);
            }
            (self.next, self.tail) = (self.events.len(), None);
            self.head = Some(whole);
        }
        match (&self.head, &self.tail) {
            (Some(whole), None) if whole.len() < LONGEST_WITH_LENGTH => {
                let length = whole.len() as u64;
                response.body(actix_web::body::SizedStream::new(length, self))
            }
            _ => response.streaming(self),
        }
    }

    /// The next piece: the head, one block of events, or the tail.
    fn piece(&mut self) -> Option<Vec<u8>> {
        if let Some(head) = self.head.take() {
            return Some(head);
        }
        if self.next == self.events.len() {
            return self.tail.take();
        }
        let places = &self.events[self.next..self.events.len().min(self.next + BLOCK)];
        let origins: Vec<_> = {
            let broker = self.shared.broker();
            places
                .iter()
                .map(|place| broker.origin(*place, self.version))
                .collect()
        };
        let mut events = Vec::new();
        origins
            .iter()
            .for_each(|origin| origin.encode(&mut events, self.version));
        let mut piece = Vec::with_capacity(events.len() + 20);
        encode::block(&mut piece, places.len(), &events);
        self.next += places.len();
        Some(piece)
    }

    fn is_at_its_end(&self) -> bool {
        self.head.is_none() && self.tail.is_none() && self.next == self.events.len()
    }
}

impl Stream for Sending {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.left == Some(0) {
            self.shared.settle(self.number, Fate::BrokenOff);
            return Poll::Ready(Some(Err(std::io::Error::other("cut by a fault on order"))));
        }
        let mut piece = self.piece();
        let mut cut = false;
        if let (Some(left), Some(piece)) = (self.left, piece.as_mut()) {
            cut = piece.len() > left;
            piece.truncate(left);
            self.left = Some(left - piece.len());
        }
        if self.is_at_its_end() && !cut {
            // What is shorter than the place of the cut arrives whole, and a client rightly takes it for whole.
            self.left = None;
            self.shared.settle(self.number, Fate::HandedOut);
        }
        Poll::Ready(piece.map(|piece| {
            self.shared.count_bytes_out(piece.len());
            Ok(Bytes::from(piece))
        }))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.shared.settle(self.number, Fate::ClientGone);
    }
}
