//! Scrapes a few events of each feed into a folder: the tool by which test data is renewed when the schema of
//! Azul changes.
//!
//! It reads under names that are used only once, without a deployment key: neither the backup's offsets nor
//! Azul's autoscaling notice, and each run begins at the oldest event. Every answer with events becomes two
//! files, `{source}.{model}.{action}.{n}.bulk.avro` with the bulk exactly as the dispatcher sent it, and the same
//! with `.json`, an array of its events for people. A bulk of a version that is too new is written all the same,
//! and its JSON says so. What fails in one feed is told at the end, and keeps no other from being scraped.

mod answer_file;
pub(super) mod sample;
mod scrape;
mod summary;

use std::path::Path;

use actors::fault::Fault;
use actors::feed::Feed;
use actors::ports::Dispatcher;
use actors::retry::RetryPolicy;
use futures_util::{StreamExt as _, stream};

use crate::adapters::dispatcher::{AwcDispatcher, DispatcherConfig};
use crate::adapters::http::HttpTimeouts;
use crate::cli::GetSamples;
use crate::exit::Exit;
use crate::settings::SampleSettings;
use scrape::Scrape;
use summary::{Summary, Written};

/// How many feeds are scraped side by side: idle ones take their time to be known as such.
const AT_ONCE: usize = 8;

/// Scrapes every feed that a backup would copy. Fails if one of them could not be scraped.
pub fn run(settings: &SampleSettings, wanted: &GetSamples) -> Exit {
    let summary = match actix_rt::System::new().block_on(scrape_from_dispatcher(settings, wanted)) {
        Ok(summary) => summary,
        Err(fault) => {
            log::error!(error:% = fault; "{fault}");
            return Exit::Failed;
        }
    };
    if wanted.json {
        println!("{}", summary.json());
    } else {
        println!("{summary}");
    }
    match summary.is_complete() {
        true => Exit::Done,
        false => Exit::Failed,
    }
}

async fn scrape_from_dispatcher(settings: &SampleSettings, wanted: &GetSamples) -> Result<Summary, Fault> {
    std::fs::create_dir_all(&wanted.out)
        .map_err(|error| Fault::rejected("make folder", wanted.out.display(), error))?;
    let dispatcher = AwcDispatcher::new(DispatcherConfig {
        events: settings.dispatcher.events.clone(),
        streams: settings.dispatcher.streams.clone(),
        streams_consumer: String::new(),
        timeouts: HttpTimeouts::default(),
    })?;
    let from = Scraping {
        dispatcher: &dispatcher,
        retry: &settings.retry,
        backup_id: &settings.backup_id,
        started: &chrono::Utc::now().format("%Y%m%dT%H%M%S%.3fZ").to_string(),
    };
    Ok(scrape_all(&from, settings.sources.feeds(), wanted.count, &wanted.out).await)
}

/// Where samples come from, and under which name.
struct Scraping<'a> {
    dispatcher: &'a dyn Dispatcher,
    retry: &'a RetryPolicy,
    backup_id: &'a str,
    started: &'a str,
}

async fn scrape_all(from: &Scraping<'_>, feeds: Vec<Feed>, count: u32, out: &Path) -> Summary {
    let rows = stream::iter(feeds)
        .map(|feed| async move {
            let mut written = Written::default();
            let fault = scrape(from, &feed, count, out, &mut written).await.err();
            if let Some(fault) = &fault {
                log::warn!(feed:% = feed; "{fault}");
            }
            summary::Row::new(&feed, written, fault.map(|fault| fault.to_string()))
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    Summary(rows)
}

/// Scrapes one feed; what has been written when it fails stays.
async fn scrape(
    from: &Scraping<'_>,
    feed: &Feed,
    count: u32,
    out: &Path,
    written: &mut Written,
) -> Result<(), Fault> {
    let mut scrape = Scrape::new(
        feed.clone(),
        format!(
            "backup-samples-{}-{}-{}-{}",
            feed.source(),
            feed.event_word(),
            from.backup_id,
            from.started
        ),
        count,
    );
    while let Some(pull) = scrape.next_pull() {
        let answer = scrape::pull(from.dispatcher, from.retry, &pull, out).await?;
        let (info, sample) = sample::write(feed, answer, out, written.files.len() + 1)?;
        let events = sample.as_ref().map_or(0, |sample| sample.events);
        written.files.extend(sample);
        scrape.received(&info, events);
    }
    match scrape.was_ready() {
        true => Ok(()),
        false => Err(Fault::transient(
            "scrape",
            feed,
            "the dispatcher was not ready to read this feed",
        )),
    }
}

#[cfg(test)]
mod tests;
