//! The dispatcher: whether it answers, and whether it gives events.
//!
//! A pull moves the offsets of whoever is named in it, and what it brings is never given to that name again. So the name
//! here is used only once, as that of `get-samples`, and no deployment key is sent; nothing is published or uploaded.

use std::io::Cursor;
use std::time::Duration;

use actors::avro::BulkVersion;
use actors::avro::bulk::scan;
use actors::fault::Fault;
use actors::feed::{Feed, Model};
use actors::ports::AnswerSink;
use actors::pull_answer::{MultipartScanner, PullInfo};
use actors::timestamp::Timestamp;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, timeout_at};

use super::check::{Check, Outcome, Trial};
use super::network::Reachable;
use super::terms::{Server, Terms, timeouts};
use super::{Mode, Verdict};
use crate::adapters::dispatcher::{AwcDispatcher, DispatcherConfig};

/// How long all feeds together may take.
const ALL_FEEDS: Duration = Duration::from_secs(24);

/// How many sources are asked for side by side.
const AT_ONCE: usize = 12;

/// So many answers without events, from a dispatcher that is ready, are taken for a source without any.
const EMPTY_ANSWERS: u32 = 2;

/// An answer with one event is never longer than this: an event has 3 MiB at most.
const LONGEST_ANSWER: usize = 8 * 1024 * 1024;

/// All checks of the dispatcher.
pub async fn check(terms: &Terms, reachable: &Reachable) -> Vec<Outcome> {
    let dispatcher = AwcDispatcher::new(DispatcherConfig {
        events: terms.events.clone(),
        streams: terms.streams.clone(),
        streams_consumer: format!("preflight-{}", terms.backup_id),
        timeouts: timeouts(),
    });
    let dispatcher = dispatcher.map_err(|fault| fault.detail().to_owned());
    let mut urls = vec![(&terms.events, false)];
    if terms.streams != terms.events {
        urls.push((&terms.streams, true));
    }
    let mut outcomes = Vec::new();
    let mut answers = true;
    for (url, of_streams) in urls {
        let why = match reachable.get(&Server::of(url)) {
            Some(Err(why)) => Err(why.clone()),
            _ => dispatcher.as_ref().map_err(Clone::clone),
        };
        let purpose = match (terms.streams == terms.events, of_streams) {
            (true, _) => "",
            (false, true) => ", for streams",
            (false, false) => ", for events",
        };
        let trial = Trial::new(
            Check::Dispatcher,
            url,
            format_args!("ask {url}/ who it is{purpose}"),
        );
        let outcome = match why {
            Err(why) => trial.not_tried(why),
            Ok(dispatcher) => of_root(trial, dispatcher, of_streams).await,
        };
        answers &= of_streams || matches!(outcome.result, Verdict::Passed | Verdict::Warning);
        outcomes.push(outcome);
    }
    outcomes.extend(feeds(terms, dispatcher.as_ref().ok().filter(|_| answers)).await);
    outcomes
}

async fn of_root(trial: Trial, dispatcher: &AwcDispatcher, of_streams: bool) -> Outcome {
    const ADVICE: &str = "check BK__DISPATCHER_EVENTS and BK__DISPATCHER_STREAMS: host, port, and whether a path belongs to it";
    match dispatcher.root(of_streams).await {
        Ok(answer) if answer.is_of_a_dispatcher() => trial.passed(format_args!("it says `{}`", answer.text)),
        Ok(answer) if answer.text.starts_with('<') || answer.content_type.contains("html") => trial.failed(
            format_args!(
                "a web page answers, as that of a proxy, not the dispatcher: {}",
                answer.text
            ),
            ADVICE,
        ),
        Ok(answer) => trial.warning(
            format_args!(
                "200, but it does not say that it is Azul's dispatcher: {}",
                answer.text
            ),
            ADVICE,
        ),
        Err(fault) if fault.is_transient() => trial.failed(
            fault.detail(),
            "the dispatcher, or what stands before it, does not work now: look at its log, and try again",
        ),
        Err(fault) => trial.failed(fault.detail(), ADVICE),
    }
}

/// What is pulled, for people.
fn named(feeds: &[Feed]) -> String {
    match feeds.first() {
        Some(feed) if feed.model() == Model::Binary => feed.source().to_string(),
        Some(feed) => format!("{} ({} events)", feed.source(), feed.model().as_str()),
        None => String::new(),
    }
}

async fn feeds(terms: &Terms, dispatcher: Option<&AwcDispatcher>) -> Vec<Outcome> {
    if terms.mode == Mode::Restore {
        let trial = Trial::new(
            Check::Feeds,
            terms.events.as_str(),
            "publish events and upload streams",
        );
        return vec![trial.not_tried("they would stay in Azul: only a restore itself does that")];
    }
    let started = chrono::Utc::now().format("%Y%m%dT%H%M%S%.3fZ").to_string();
    let until = Instant::now() + ALL_FEEDS;
    let checked = stream::iter(&terms.sources).map(async |feeds| {
        let name = named(feeds);
        let trial = Trial::new(
            Check::Feeds,
            &name,
            format_args!("pull one event of {name}, under a name of this run"),
        );
        let (Some(dispatcher), Some(feed)) = (dispatcher, feeds.first()) else {
            return trial.not_tried("the dispatcher does not answer");
        };
        if Instant::now() >= until {
            return trial.not_tried("the sources before it took all the time that there is: try again in a minute");
        }
        let word = match feed.model() {
            Model::Binary => "all",
            _ => feed.event_word(),
        };
        let consumer = format!("backup-preflight-{}-{word}-{}-{started}", feed.source(), terms.backup_id);
        match timeout_at(until, survey(dispatcher, feeds, &consumer)).await {
            Ok(Ok(found)) => found.outcome(trial, feed.model()),
            Ok(Err(fault)) => trial.failed(
                fault.detail(),
                "look at the dispatcher's log: a backup would ask for the same; with 4xx, check the URL and Azul's version",
            ),
            Err(_) => trial.warning(
                format_args!("no answer from a dispatcher that is ready within {ALL_FEEDS:?}"),
                "Kafka may be slow, or still assigning partitions: try again in a minute",
            ),
        }
    });
    checked.buffered(AT_ONCE).collect().await
}

/// What a source gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Events(BulkVersion),
    Nothing,
}

impl Found {
    fn outcome(self, trial: Trial, model: Model) -> Outcome {
        match self {
            Self::Events(BulkVersion::Known(version)) => trial.passed(format_args!(
                "there are events, of model version {}",
                version.number()
            )),
            Self::Events(BulkVersion::Unknown(number)) => trial.warning(
                format_args!("there are events, of model version {number}, which this program does not know"),
                "they are backed up as they come, without their streams: look for a newer version of this program",
            ),
            Self::Nothing if model != Model::Binary => {
                trial.passed("it can be read; there are none, as where nothing was inserted or deleted by hand")
            }
            Self::Nothing => trial.warning(
                "it can be read, and there are no events",
                "check that Azul knows a source of this name (BK__SOURCES): the dispatcher does not say",
            ),
        }
    }
}

async fn survey(dispatcher: &AwcDispatcher, feeds: &[Feed], consumer: &str) -> Result<Found, Fault> {
    let mut empty = 0;
    let mut tried = 0;
    loop {
        let mut kept = Kept::default();
        match dispatcher.survey(feeds, consumer, &mut kept).await {
            Ok(_) => {}
            // Once more: a dispatcher that cannot store a consumer at first can soon after.
            Err(refused) if refused.fault().is_transient() && tried == 0 => {
                tried += 1;
                tokio::time::sleep(Duration::from_millis(500)).await;
                continue;
            }
            Err(refused) => return Err(refused.fault().clone()),
        }
        let (info, found) = kept.found(feeds)?;
        match found {
            Found::Nothing if !info.ready => empty = 0,
            Found::Nothing => empty += 1,
            Found::Events(_) => return Ok(found),
        }
        if empty == EMPTY_ANSWERS {
            return Ok(found);
        }
    }
}

/// An answer in memory.
struct Kept {
    bytes: Vec<u8>,
    scanner: MultipartScanner,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            scanner: MultipartScanner::new(),
        }
    }
}

#[async_trait(?Send)]
impl AnswerSink for Kept {
    async fn take(&mut self, chunk: Bytes) -> Result<(), Fault> {
        if self.bytes.len() + chunk.len() > LONGEST_ANSWER {
            return Err(Fault::corrupt(
                "read answer",
                "a survey",
                "it is longer than one event can be",
            ));
        }
        self.scanner.push(&chunk);
        self.bytes.extend_from_slice(&chunk);
        Ok(())
    }
}

impl Kept {
    fn found(self, feeds: &[Feed]) -> Result<(PullInfo, Found), Fault> {
        let not_understood = |why: &dyn std::fmt::Display| {
            Fault::corrupt("read answer", "a survey", format_args!("200, but {why}"))
        };
        let parts = self.scanner.finish().map_err(|why| not_understood(&why))?;
        let Some(feed) = feeds.first() else {
            return Ok((parts.info, Found::Nothing));
        };
        let mut reader = Cursor::new(self.bytes);
        let scanned = scan(feed, &mut reader, parts.events.clone(), Timestamp::now());
        let contents = scanned.map_err(|why| not_understood(&why))?.contents;
        let is_unknown = matches!(contents.version, BulkVersion::Unknown(_)) && !parts.events.is_empty();
        let found = match contents.events > 0 || is_unknown {
            true => Found::Events(contents.version),
            false => Found::Nothing,
        };
        Ok((parts.info, found))
    }
}
