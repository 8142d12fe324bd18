//! Dead letters as files: the bulk of each event, the event for people, and a list of all.
//!
//! Files are numbered, for what a letter says comes from outside. The folder has to be empty: files of two exports side
//! by side would belong to no list.

use std::fs::{self, File};
use std::io::{self, BufWriter, Cursor, Write};
use std::path::{Path, PathBuf};

use actors::avro::BulkVersion;
use actors::avro::bulk::scan;
use actors::feed::Feed;
use actors::ports::restore_state::DeadLetter;
use actors::timestamp::Timestamp;
use bytes::Bytes;
use serde::Serialize;

use super::listing::Row;
use crate::adapters::restore_state::SledRestoreState;
use crate::commands::CommandFault;
use crate::commands::get_samples::sample::write_json;

/// What an export comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exported {
    folder: PathBuf,
    letters: u64,
    events: u64,
    /// Events that should be kept, and cannot be read.
    pub(super) unreadable: u64,
    undecodable: u64,
}

impl Exported {
    pub(super) fn text(&self) -> String {
        let folder = self.folder.display();
        let mut text = format!(
            "\nExported to {folder}: letters.json tells all {}, and {} events are there as .avro and .json.",
            self.letters, self.events
        );
        if self.undecodable > 0 {
            text += &format!(" {} of them cannot be decoded.", self.undecodable);
        }
        if self.unreadable > 0 {
            text += &format!(
                "\n{} events should be kept and could not be read: see the errors above.",
                self.unreadable
            );
        }
        text
    }
}

/// One letter in `letters.json`.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    row: &'a Row,
    avro: Option<String>,
    json: Option<String>,
}

/// An export on its way.
pub(super) struct Export {
    /// Of the state.
    root: PathBuf,
    list: BufWriter<File>,
    exported: Exported,
}

fn failed(path: &Path, error: io::Error) -> CommandFault {
    CommandFault::File {
        path: path.to_owned(),
        error,
    }
}

impl Export {
    /// Begins to export to `folder` what the state below `root` keeps.
    pub(super) fn begin(folder: &Path, root: PathBuf) -> Result<Self, CommandFault> {
        let at_folder = |error| failed(folder, error);
        fs::create_dir_all(folder).map_err(at_folder)?;
        if fs::read_dir(folder).map_err(at_folder)?.next().is_some() {
            let text = "there is something in it already: an export goes into an empty folder";
            return Err(at_folder(io::Error::new(io::ErrorKind::DirectoryNotEmpty, text)));
        }
        let path = folder.join("letters.json");
        let list = File::create_new(&path).map_err(|error| failed(&path, error))?;
        Ok(Self {
            root,
            list: BufWriter::new(list),
            exported: Exported {
                folder: folder.to_owned(),
                letters: 0,
                events: 0,
                unreadable: 0,
                undecodable: 0,
            },
        })
    }

    /// Exports one letter.
    pub(super) fn letter(&mut self, letter: &DeadLetter, row: &Row) -> Result<(), CommandFault> {
        self.exported.letters += 1;
        let event = self.event(letter);
        let stem = format!("letter-{:06}", self.exported.letters);
        let is_there = event.is_some();
        let [avro, json] = ["avro", "json"].map(|kind| is_there.then(|| format!("{stem}.{kind}")));
        if let (Some(event), Some(avro), Some(json)) = (event, &avro, &json) {
            let (avro, json) = (self.exported.folder.join(avro), self.exported.folder.join(json));
            write_bulk(&avro, &event).map_err(|error| failed(&avro, error))?;
            let undecodable = write_event(letter, &event, &json).map_err(|error| failed(&json, error))?;
            self.exported.events += 1;
            self.exported.undecodable += u64::from(undecodable > 0);
        }
        let listed = Listed { row, avro, json };
        let begin = if self.exported.letters == 1 { "[\n" } else { ",\n" };
        let written = self.list.write_all(begin.as_bytes());
        written
            .and_then(|()| Ok(serde_json::to_writer(&mut self.list, &listed)?))
            .map_err(|error| failed(&self.exported.folder, error))
    }

    /// The event that is kept with a letter. One that cannot be read does not keep the others from being exported.
    fn event(&mut self, letter: &DeadLetter) -> Option<Bytes> {
        if letter.event_bytes == 0 {
            return None;
        }
        match SledRestoreState::event_beside(&self.root, letter) {
            Ok(event) => Some(event),
            Err(fault) => {
                self.exported.unreadable += 1;
                crate::tell(format_args!("{}, event {:?}: {fault}", letter.key, letter.event));
                None
            }
        }
    }

    /// Ends the list.
    pub(super) fn end(mut self) -> Result<Exported, CommandFault> {
        let end: &[u8] = if self.exported.letters == 0 {
            b"[]\n"
        } else {
            b"\n]\n"
        };
        let ended = self.list.write_all(end).and_then(|()| self.list.flush());
        ended.map_err(|error| failed(&self.exported.folder, error))?;
        Ok(self.exported)
    }
}

fn write_bulk(path: &Path, event: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(event)?;
    file.sync_data()
}

/// Writes the event for people; returns how many could not be decoded.
fn write_event(letter: &DeadLetter, event: &[u8], path: &Path) -> io::Result<u64> {
    let undecodable = |reason: String| {
        let text = serde_json::json!([{ "undecodable": reason }]);
        fs::write(path, format!("{text:#}\n")).map(|()| 1)
    };
    let Some(feed) = feed_of(&letter.key) else {
        return undecodable("the key of its object names no feed".to_owned());
    };
    let mut reader = Cursor::new(event);
    let length = event.len() as u64;
    match scan(&feed, &mut reader, 0..length, Timestamp::now()) {
        Err(error) => undecodable(error.to_string()),
        Ok(scanned)
            if matches!(scanned.contents.version, BulkVersion::Known(_)) && scanned.contents.events == 0 =>
        {
            undecodable("no event can be made out in it".to_owned())
        }
        Ok(scanned) => write_json(&feed, &mut reader, &scanned.contents, path),
    }
}

/// The feed that the key of a bundle begins with.
fn feed_of(key: &str) -> Option<Feed> {
    let (feed, _) = key.match_indices('/').nth(2).map(|(end, _)| key.split_at(end))?;
    feed.parse().ok()
}
