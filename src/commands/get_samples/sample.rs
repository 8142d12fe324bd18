//! One answer as two files: the bulk as it came, and its events for people.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write};
use std::ops::{ControlFlow, Range};
use std::path::Path;

use actors::avro::BulkVersion;
use actors::avro::bulk::{scan, visit_events};
use actors::avro::json::to_json;
use actors::fault::Fault;
use actors::feed::Feed;
use actors::ports::journal::ReadSeek;
use actors::ports::state::BatchContents;
use actors::pull_answer::PullInfo;
use actors::timestamp::Timestamp;
use serde::Serialize;

use super::answer_file::AnswerFile;

/// What was written of one answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// The name of the file of the bulk.
    pub file: String,
    /// The length of the bulk.
    pub bytes: u64,
    /// The model version of the bulk, as a number.
    pub version: i64,
    /// How many events it holds, as far as that can be told.
    pub events: u64,
    /// How many of them could not be decoded in full.
    pub undecodable: u64,
}

/// What the names of the files of a feed begin with.
pub fn stem(feed: &Feed) -> String {
    let (model, action) = (feed.model().as_str(), feed.action().as_str());
    format!("{}.{model}.{action}", feed.source())
}

/// Writes the `number`th answer of a feed, unless it is empty, and returns what the dispatcher says about it.
///
/// # Errors
/// The answer cannot be understood, or the folder cannot be written to.
pub fn write(
    feed: &Feed,
    answer: AnswerFile,
    out: &Path,
    number: usize,
) -> Result<(PullInfo, Option<Sample>), Fault> {
    let (mut answer, parts) = answer.finish()?;
    let corrupt = |error: &dyn std::fmt::Display| Fault::corrupt("read bulk", feed, error);
    let scanned =
        scan(feed, &mut answer, parts.events.clone(), Timestamp::now()).map_err(|error| corrupt(&error))?;
    let contents = scanned.contents;
    let has_events = contents.events > 0 || matches!(contents.version, BulkVersion::Unknown(_));
    if parts.events.is_empty() || !has_events {
        return Ok((parts.info, None));
    }
    let name = format!("{}.{number}", stem(feed));
    let file = format!("{name}.bulk.avro");
    let failed = |file: &str| {
        let path = out.join(file).display().to_string();
        move |error: io::Error| Fault::rejected("write file", path.clone(), error)
    };
    copy(&mut answer, &parts.events, &out.join(&file)).map_err(failed(&file))?;
    let json = format!("{name}.json");
    let undecodable = write_json(feed, &mut answer, &contents, &out.join(&json)).map_err(failed(&json))?;
    let sample = Sample {
        file,
        bytes: parts.events.end - parts.events.start,
        version: match contents.version {
            BulkVersion::Known(version) => version.number(),
            BulkVersion::Unknown(number) => number,
        },
        // A bulk that cannot be walked still counts as something: the feed is not empty.
        events: contents.events.max(1),
        undecodable,
    };
    Ok((parts.info, Some(sample)))
}

fn copy(answer: &mut File, range: &Range<u64>, path: &Path) -> io::Result<()> {
    answer.seek(SeekFrom::Start(range.start))?;
    let mut out = File::create(path)?;
    io::copy(&mut answer.take(range.end - range.start), &mut out)?;
    out.sync_data()
}

/// Writes the events as one JSON array, one event at a time; returns how many could not be decoded.
pub(in crate::commands) fn write_json(
    feed: &Feed,
    answer: &mut dyn ReadSeek,
    contents: &BatchContents,
    path: &Path,
) -> io::Result<u64> {
    let mut out = Array {
        out: BufWriter::new(File::create(path)?),
        items: 0,
    };
    let mut undecodable = 0;
    match contents.version {
        BulkVersion::Unknown(number) => {
            let reason = format!("model version {number} is not known to this program");
            out.item(&serde_json::json!({ "undecodable": reason }))?;
            undecodable = contents.events.max(1);
        }
        BulkVersion::Known(version) => {
            let mut outcome = Ok(());
            let read = visit_events(feed.model(), answer, contents, &mut |found| {
                let item = to_json(feed.model(), version, found.bytes).unwrap_or_else(|error| {
                    undecodable += 1;
                    serde_json::json!({ "undecodable": error.to_string() })
                });
                outcome = out.item(&item);
                match outcome {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                }
            });
            outcome?;
            read.map_err(io::Error::other)?;
        }
    }
    out.end()?;
    Ok(undecodable)
}

/// A JSON array that is written item by item.
struct Array {
    out: BufWriter<File>,
    items: u64,
}

impl Array {
    fn item(&mut self, item: &serde_json::Value) -> io::Result<()> {
        self.out
            .write_all(if self.items == 0 { b"[\n" } else { b",\n" })?;
        self.items += 1;
        serde_json::to_writer_pretty(&mut self.out, item).map_err(io::Error::from)
    }

    fn end(mut self) -> io::Result<()> {
        self.out
            .write_all(if self.items == 0 { b"[]\n" } else { b"\n]\n" })?;
        self.out.flush()
    }
}
