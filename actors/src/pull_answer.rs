//! The body of the dispatcher's answer to a pull: where in it the events lie.
//!
//! The body is a multipart with two parts in any order, `info` (JSON) and `events` (an Avro bulk). It goes to the
//! journal as it comes in, and past [`MultipartScanner`], which remembers places and never the events. A journal
//! file explains itself: the boundary is taken from the first line of the body, not from a header.
//!
//! An answer without its closing boundary is broken off. What is wrong with `info` costs no events: it is told
//! in [`PullParts::info_fault`].

use std::ops::Range;

use memchr::memmem;

/// What the dispatcher says about its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullInfo {
    /// The number of events in the answer, where it says so.
    pub fetched: Option<u64>,
    /// How many events it withheld.
    pub filtered: u64,
    /// Whether it has partitions to read from. If not, no event does not mean that there is none.
    pub ready: bool,
    /// Whether plugins are paused.
    pub paused: bool,
}

impl Default for PullInfo {
    fn default() -> Self {
        Self {
            fetched: None,
            filtered: 0,
            ready: true,
            paused: false,
        }
    }
}

/// What an answer consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullParts {
    /// What the dispatcher says; what it leaves out is as in [`PullInfo::default`].
    pub info: PullInfo,
    /// Why the part `info` could not be read.
    pub info_fault: Option<String>,
    /// Where in the body the bulk of events lies; empty if there is none.
    pub events: Range<u64>,
}

/// The body is no answer that can be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerFault {
    /// It ends before its closing boundary.
    #[error("the answer breaks off after {0} bytes")]
    BrokenOff(u64),
    /// It is no multipart with at most one part of each name.
    #[error("the answer is not understood, at byte {0}: {1}")]
    NotUnderstood(u64, &'static str),
}

/// The longest boundary that is looked for; the standard allows 70 characters.
const LONGEST_BOUNDARY: usize = 200;

/// The longest head of a part.
const LONGEST_HEAD: usize = 16 * 1024;

/// The largest `info` that is kept.
const LARGEST_INFO: usize = 1024 * 1024;

/// Finds the parts of an answer, chunk by chunk. How the body is cut into chunks makes no difference.
#[derive(Debug)]
pub struct MultipartScanner {
    state: State,
    /// Where in the body the next byte stands.
    offset: u64,
    /// Bytes that could not be judged yet: the end of the last chunk.
    held: Vec<u8>,
    /// `\r\n--boundary`.
    delimiter: Option<memmem::Finder<'static>>,
    info: Vec<u8>,
    info_seen: bool,
    info_too_large: bool,
    events: Option<Range<u64>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// In the first line, which is the first delimiter.
    FirstLine,
    /// In the lines before the content of a part.
    Head,
    /// In the content of a part that began at this byte.
    Content(Name, u64),
    /// Behind a delimiter, which `--` or a line break completes.
    AfterDelimiter,
    /// Behind the closing delimiter.
    Closed,
    /// Given up.
    Failed(AnswerFault),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Info,
    Events,
    Other,
}

impl Default for MultipartScanner {
    fn default() -> Self {
        Self::new()
    }
}

impl MultipartScanner {
    /// Before the first byte.
    pub fn new() -> Self {
        Self {
            state: State::FirstLine,
            offset: 0,
            held: Vec::new(),
            delimiter: None,
            info: Vec::new(),
            info_seen: false,
            info_too_large: false,
            events: None,
        }
    }

    /// Takes the next bytes of the body. What is wrong with them is told by [`MultipartScanner::finish`], for the
    /// body is journaled all the same.
    pub fn push(&mut self, mut chunk: &[u8]) {
        while !chunk.is_empty() {
            let taken = match self.state {
                State::FirstLine => self.first_line(chunk),
                State::Head => self.head(chunk),
                State::Content(name, start) => self.content(name, start, chunk),
                State::AfterDelimiter => self.after_delimiter(chunk),
                State::Closed | State::Failed(_) => chunk.len(),
            };
            self.offset += taken as u64;
            chunk = &chunk[taken..];
        }
    }

    /// After the last byte: what the answer consists of.
    ///
    /// # Errors
    /// See [`AnswerFault`].
    pub fn finish(self) -> Result<PullParts, AnswerFault> {
        match self.state {
            State::Closed => (),
            State::Failed(fault) => return Err(fault),
            _ => return Err(AnswerFault::BrokenOff(self.offset)),
        }
        let (info, info_fault) = if self.info_too_large {
            (PullInfo::default(), Some("it exceeds 1 MiB".to_owned()))
        } else if self.info_seen {
            read_info(&self.info)
        } else {
            (PullInfo::default(), Some("it is missing".to_owned()))
        };
        Ok(PullParts {
            info,
            info_fault,
            events: self.events.unwrap_or(0..0),
        })
    }

    fn fail(&mut self, reason: &'static str) {
        self.state = State::Failed(AnswerFault::NotUnderstood(self.offset, reason));
    }

    /// Holds bytes up to and with the next line feed; returns how many of `chunk` that takes, and whether the
    /// line is whole.
    fn hold_line(&mut self, chunk: &[u8]) -> (usize, bool) {
        let end = memchr::memchr(b'\n', chunk);
        let taken = end.map_or(chunk.len(), |end| end + 1);
        // More than the longest head is never needed: what is longer has failed by then.
        let room = (LONGEST_HEAD + 1).saturating_sub(self.held.len());
        self.held.extend_from_slice(&chunk[..taken.min(room)]);
        (taken, end.is_some())
    }

    fn first_line(&mut self, chunk: &[u8]) -> usize {
        let (taken, whole) = self.hold_line(chunk);
        if self.held.len() > LONGEST_BOUNDARY + 4 {
            self.fail("the first line is too long to be a boundary");
        } else if whole {
            match self.held.strip_suffix(b"\r\n") {
                Some(line) if line.starts_with(b"--") && line.len() > 2 => {
                    let delimiter = [b"\r\n", line.trim_ascii_end()].concat();
                    self.delimiter = Some(memmem::Finder::new(&delimiter).into_owned());
                    self.held.clear();
                    self.state = State::Head;
                }
                _ => self.fail("the first line is no boundary"),
            }
        }
        taken
    }

    fn head(&mut self, chunk: &[u8]) -> usize {
        let (taken, whole) = self.hold_line(chunk);
        if self.held.len() > LONGEST_HEAD {
            self.fail("the head of a part is too long");
        } else if whole && (self.held == b"\r\n" || self.held.ends_with(b"\r\n\r\n")) {
            let name = part_name(&self.held);
            self.held.clear();
            let seen = match name {
                Name::Info => std::mem::replace(&mut self.info_seen, true),
                Name::Events => self.events.is_some(),
                Name::Other => false,
            };
            if seen {
                self.fail("there are two parts of one name");
            } else {
                self.state = State::Content(name, self.offset + taken as u64);
            }
        }
        taken
    }

    /// Looks for the delimiter, first where it may span the border between the chunks.
    fn content(&mut self, name: Name, start: u64, chunk: &[u8]) -> usize {
        let Some(delimiter) = &self.delimiter else {
            return chunk.len();
        };
        let longest_border = delimiter.needle().len() - 1;
        let held = self.held.len();
        if held > 0 {
            let joined = chunk.len().min(longest_border);
            self.held.extend_from_slice(&chunk[..joined]);
            if let Some(found) = delimiter.find(&self.held) {
                let taken = found + delimiter.needle().len() - held;
                let content = std::mem::take(&mut self.held);
                self.end_content(name, start, self.offset - held as u64, &content[..found]);
                return taken;
            }
            if joined == chunk.len() {
                let settled = self.held.len().saturating_sub(longest_border);
                let rest = self.held.split_off(settled);
                let content = std::mem::replace(&mut self.held, rest);
                self.keep_info(name, &content);
                return joined;
            }
            self.held.truncate(held);
            let content = std::mem::take(&mut self.held);
            self.keep_info(name, &content);
        }
        let Some(delimiter) = &self.delimiter else {
            return chunk.len();
        };
        if let Some(found) = delimiter.find(chunk) {
            let taken = found + delimiter.needle().len();
            self.end_content(name, start, self.offset, &chunk[..found]);
            return taken;
        }
        let settled = chunk.len().saturating_sub(longest_border);
        self.held.extend_from_slice(&chunk[settled..]);
        self.keep_info(name, &chunk[..settled]);
        chunk.len()
    }

    /// The content ends with `last`, which begins at `offset`.
    fn end_content(&mut self, name: Name, start: u64, offset: u64, last: &[u8]) {
        self.keep_info(name, last);
        if name == Name::Events {
            self.events = Some(start..offset + last.len() as u64);
        }
        self.state = State::AfterDelimiter;
    }

    fn keep_info(&mut self, name: Name, content: &[u8]) {
        if name != Name::Info || self.info_too_large {
            return;
        }
        if self.info.len() + content.len() > LARGEST_INFO {
            self.info_too_large = true;
            self.info = Vec::new();
        } else {
            self.info.extend_from_slice(content);
        }
    }

    fn after_delimiter(&mut self, chunk: &[u8]) -> usize {
        self.held.push(chunk[0]);
        match self.held.as_slice() {
            b"--" => {
                self.held.clear();
                self.state = State::Closed;
            }
            b"-" => (),
            line if line.ends_with(b"\r\n") => {
                self.held.clear();
                self.state = State::Head;
            }
            line => {
                let padding = line.strip_suffix(b"\r").unwrap_or(line);
                let blank = padding.iter().all(|byte| matches!(byte, b' ' | b'\t'));
                if !blank || line.len() > LONGEST_BOUNDARY {
                    self.fail("a boundary is followed by something else");
                }
            }
        }
        1
    }
}

/// The part's name, from the lines before its content.
fn part_name(head: &[u8]) -> Name {
    let head = String::from_utf8_lossy(head);
    let disposition = head.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field
            .trim()
            .eq_ignore_ascii_case("content-disposition")
            .then_some(value)
    });
    match disposition.and_then(|value| parameter(value, "name")) {
        Some("info") => Name::Info,
        Some("events") => Name::Events,
        _ => Name::Other,
    }
}

/// The value of a parameter, such as `events` in `form-data; name="events"`.
fn parameter<'a>(value: &'a str, wanted: &str) -> Option<&'a str> {
    let mut rest = value;
    loop {
        (_, rest) = rest.split_once(';')?;
        let (name, value) = rest.split_once('=')?;
        let value = value.trim_start();
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => value.split_at(value.find(';').unwrap_or(value.len())),
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value.trim());
        }
        rest = after;
    }
}

/// Reads what can be read; what is not of the right type is as if it were absent.
fn read_info(content: &[u8]) -> (PullInfo, Option<String>) {
    let fields: serde_json::Value = match serde_json::from_slice(content) {
        Ok(fields) => fields,
        Err(fault) => return (PullInfo::default(), Some(fault.to_string())),
    };
    let usual = PullInfo::default();
    let number = |name: &str| fields.get(name).and_then(serde_json::Value::as_u64);
    let truth = |name: &str, usual| {
        fields
            .get(name)
            .and_then(serde_json::Value::as_bool)
            .unwrap_or(usual)
    };
    let info = PullInfo {
        fetched: number("fetched"),
        filtered: number("filtered").unwrap_or(usual.filtered),
        ready: truth("ready", usual.ready),
        paused: truth("paused", usual.paused),
    };
    let fault = (!fields.is_object()).then(|| "it is no JSON object".to_owned());
    (info, fault)
}

#[cfg(test)]
mod tests;
