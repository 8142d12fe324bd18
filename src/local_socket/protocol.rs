//! What goes over the local socket, one JSON object a line.
//!
//! ```text
//! → {"protocol":1,"ask":"failed_streams","after":null,"limit":500}
//! ← {"failed":{"stream":"samples/content/22…","named":…,"since":…,"failures":3,"fault":"…"}}
//! ← {"done":{}}
//! ```
//! A later kind of question is a further variant of [`Question`]; a process that does not know it answers with an
//! error that names it. Times are microseconds since the epoch, as in local state.

use actors::feed::Feed;
use actors::ports::restore_state::{DeadLetter, LetterPlace};
use actors::ports::state::{FailedStream, MissingStream, PutBack, StateFault, SuspectSpan};
use actors::ports::{LocalState, RestoreState};
use actors::stream_id::StreamId;
use actors::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of these lines.
pub const PROTOCOL: u32 = 1;

/// Most rows of one answer; who asks for more gets this many.
pub const MOST_ROWS: usize = 500;

/// Most streams that one question may name.
pub const MOST_STREAMS: usize = 100;

/// Most bytes of a question.
pub const LONGEST_QUESTION: usize = 128 * 1024;

/// Most bytes of a line of an answer: a fault of a thousand characters, escaped, and the names around it.
pub const LONGEST_LINE: usize = 32 * 1024;

/// A question, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// See [`PROTOCOL`].
    pub protocol: u32,
    /// What is asked for.
    #[serde(flatten)]
    pub question: Question,
}

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Question {
    /// Streams set aside that follow `after`.
    FailedStreams {
        /// The last one of the page before.
        after: Option<StreamId>,
        /// How many at most.
        limit: usize,
    },
    /// Streams that are missing and follow `after`.
    MissingStreams {
        /// The last one of the page before.
        after: Option<StreamId>,
        /// How many at most.
        limit: usize,
    },
    /// Spans of suspect pulls that follow `after`.
    SuspectPulls {
        /// Feed and beginning of the last one of the page before.
        after: Option<(Feed, Timestamp)>,
        /// How many at most.
        limit: usize,
    },
    /// Dead letters of a restore that follow `after`.
    DeadLetters {
        /// The place of the last one of the page before.
        after: Option<LetterPlace>,
        /// How many at most.
        limit: usize,
    },
    /// Puts streams back among the pending ones.
    PutBack {
        /// Up to [`MOST_STREAMS`].
        streams: Vec<StreamId>,
    },
}

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// A stream set aside.
    Failed(FailedStream),
    /// A missing stream.
    Missing(MissingStream),
    /// A span of suspect pulls.
    Suspect(SuspectSpan),
    /// A dead letter, and its place.
    DeadLetter(LetterPlace, DeadLetter),
    /// How many streams were put back.
    PutBack(PutBackCounts),
    /// The last line of an answer.
    Done {},
    /// The last line where there is no answer: why.
    Error(String),
    /// The last line where there is no answer now: why. The same question may have one in a moment.
    Later(String),
}

/// How many streams were put back, by what they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutBackCounts {
    /// Set aside.
    pub failed: u64,
    /// Missing.
    pub missing: u64,
    /// Neither: nothing was put back.
    pub neither: u64,
}

impl std::ops::AddAssign for PutBackCounts {
    fn add_assign(&mut self, more: Self) {
        self.failed += more.failed;
        self.missing += more.missing;
        self.neither += more.neither;
    }
}

impl From<PutBack> for PutBackCounts {
    fn from(put_back: PutBack) -> Self {
        Self {
            failed: put_back.failed.into(),
            missing: put_back.missing.into(),
            neither: put_back.neither.into(),
        }
    }
}

impl Asked {
    /// Reads a question.
    ///
    /// # Errors
    /// What is wrong with it, for whoever asked.
    pub fn parse(line: &[u8]) -> Result<Question, String> {
        #[derive(Deserialize)]
        struct Version {
            protocol: u32,
        }
        let malformed = |error: serde_json::Error| format!("this is no question of this protocol: {error}");
        let Version { protocol } = serde_json::from_slice(line).map_err(malformed)?;
        if protocol != PROTOCOL {
            return Err(format!(
                "protocol {protocol} is not spoken here, but {PROTOCOL}: run the command of the version that is \
                 running"
            ));
        }
        let asked: Self = serde_json::from_slice(line).map_err(malformed)?;
        match &asked.question {
            Question::PutBack { streams } if streams.len() > MOST_STREAMS => Err(format!(
                "{} streams at once are too many: at most {MOST_STREAMS}",
                streams.len()
            )),
            _ => Ok(asked.question),
        }
    }
}

/// The answer to a question, without its last line; and the highest ticket of what was put back.
///
/// # Errors
/// See [`StateFault`].
pub async fn answer(
    question: Question,
    state: &dyn LocalState,
) -> Result<(Vec<Line>, Option<u64>), StateFault> {
    let rows: Vec<Line> = match question {
        Question::FailedStreams { after, limit } => {
            let rows = state.failed_from(after.as_ref(), limit.min(MOST_ROWS))?;
            rows.into_iter().map(Line::Failed).collect()
        }
        Question::MissingStreams { after, limit } => {
            let rows = state.missing_from(after.as_ref(), limit.min(MOST_ROWS))?;
            rows.into_iter().map(Line::Missing).collect()
        }
        Question::SuspectPulls { after, limit } => {
            let after = after.as_ref().map(|(feed, since)| (feed, *since));
            let rows = state.suspects_from(after, limit.min(MOST_ROWS))?;
            rows.into_iter().map(Line::Suspect).collect()
        }
        Question::PutBack { streams } => {
            let put_back = state.put_back(streams, Timestamp::now()).await?;
            return Ok((vec![Line::PutBack(put_back.into())], put_back.last_ticket));
        }
        Question::DeadLetters { .. } => return Err(of_another("backup")),
    };
    Ok((rows, None))
}

/// The answer of a restore, without its last line.
///
/// # Errors
/// See [`StateFault`].
pub fn answer_of_restore(question: Question, state: &dyn RestoreState) -> Result<Vec<Line>, StateFault> {
    let Question::DeadLetters { after, limit } = question else {
        return Err(of_another("restore"));
    };
    let letters = state.letters_from(after.as_ref(), limit.min(MOST_ROWS))?;
    let line = |(place, letter)| Line::DeadLetter(place, letter);
    Ok(letters.into_iter().map(line).collect())
}

fn of_another(whose: &str) -> StateFault {
    StateFault::Broken(format!("the state of a {whose} holds nothing of the kind"))
}
