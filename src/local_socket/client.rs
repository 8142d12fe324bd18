//! The command's end of the socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::place::SocketPlace;
use super::protocol::{Asked, LONGEST_LINE, Line, MOST_ROWS, PROTOCOL, Question};

/// How long an answer may take, from the question to its last line.
const ANSWERING: Duration = Duration::from_secs(30);

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum NotAsked {
    /// Nobody listens.
    #[error("nobody listens on it ({0})")]
    Nobody(io::Error),
    /// The process has no answer; what it says.
    #[error("it says: {0}")]
    Refused(String),
    /// The process has no answer now; what it says.
    #[error("it says: {0}")]
    NotNow(String),
    /// The answer did not come, or not whole.
    #[error("{0}")]
    Broken(String),
}

/// Asks the running process.
#[derive(Clone, Debug)]
pub struct SocketClient {
    place: SocketPlace,
    patience: Duration,
}

impl SocketClient {
    /// The backup that works on the state below `root`, if any does.
    pub fn of(root: &Path) -> Self {
        Self::at(SocketPlace::beside(root))
    }

    /// The restore that works on the state below `root`, if any does.
    pub fn of_restore(root: &Path) -> Self {
        Self::at(SocketPlace::beside_restore(root))
    }

    fn at(place: SocketPlace) -> Self {
        Self {
            place,
            patience: ANSWERING,
        }
    }

    /// How long an answer may take.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Where it listens.
    pub fn place(&self) -> &SocketPlace {
        &self.place
    }

    /// Asks, and waits for the whole answer, which is returned without its last line.
    ///
    /// # Errors
    /// See [`NotAsked`].
    pub fn ask(&self, question: Question) -> Result<Vec<Line>, NotAsked> {
        let mut connection = self.place.connect().map_err(NotAsked::Nobody)?;
        let asked = Asked {
            protocol: PROTOCOL,
            question,
        };
        let begun = Instant::now();
        let broken = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                NotAsked::Broken(format!("it does not answer within {:?}", self.patience))
            }
            _ => NotAsked::Broken(format!("the answer cannot be read: {error}")),
        };
        let mut line = serde_json::to_vec(&asked).map_err(|error| broken(error.into()))?;
        line.push(b'\n');
        connection
            .set_write_timeout(Some(self.patience))
            .and_then(|()| connection.set_read_timeout(Some(self.patience)))
            .and_then(|()| match connection.write_all(&line) {
                // It has answered without having heard the whole question; the answer says why.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                written => written,
            })
            .map_err(broken)?;
        let mut answer = BufReader::new(connection);
        let mut lines = Vec::new();
        while lines.len() <= MOST_ROWS && begun.elapsed() < self.patience {
            match read_line(&mut answer).map_err(broken)? {
                Line::Done {} => return Ok(lines),
                Line::Later(reason) => return Err(NotAsked::NotNow(reason)),
                Line::Error(reason) => return Err(NotAsked::Refused(reason)),
                line => lines.push(line),
            }
        }
        Err(NotAsked::Broken("the answer has no end".to_owned()))
    }
}

fn read_line(answer: &mut impl BufRead) -> io::Result<Line> {
    let mut line = Vec::new();
    answer.take(LONGEST_LINE as u64).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        let text = "it is cut off, or a line of it is too long";
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
    }
    serde_json::from_slice(&line).map_err(io::Error::from)
}
