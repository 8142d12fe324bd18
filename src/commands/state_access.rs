//! Local state, for a command: through the process that works on it, or opened by the command itself.
//!
//! Whoever runs is asked; if nobody does, the state is opened, which keeps a backup from starting meanwhile, and
//! counts as a start; so it must be of the same user. Nothing is ever created: where there is no state, that is said.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use actors::feed::Feed;
use actors::ports::restore_state::{DeadLetter, LetterPlace};
use actors::ports::state::{FailedStream, MissingStream, StateFault, SuspectSpan};
use actors::stream_id::StreamId;
use actors::timestamp::Timestamp;

use crate::adapters::restore_state::SledRestoreState;
use crate::adapters::state::{OpenError, SledState};
use crate::local_socket::protocol::{self, Line, MOST_ROWS, MOST_STREAMS, PutBackCounts, Question};
use crate::local_socket::{NotAsked, SocketClient};

/// How long a process that has the state, and does not listen yet, or no more, is waited for.
const IN_BETWEEN: Duration = Duration::from_secs(5);

/// Whose state it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// That of the backup.
    Backup,
    /// That of the restore.
    Restore,
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Whose {
    /// Also the folder of the state.
    const fn name(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
        }
    }
}

/// Why a command cannot reach the state.
#[derive(Debug, thiserror::Error)]
pub enum NoAccess {
    /// There is none.
    #[error(
        "there is no local state of a {whose} in {root}: no {whose} has run with this BK__LOCAL_DATA__ROOTDIR",
        root = .root.display()
    )]
    NotThere {
        /// Where it should be.
        root: PathBuf,
        /// Whose it would be.
        whose: Whose,
    },
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It belongs to another user, and nobody runs who could be asked.
    #[error(
        "local state in {root} belongs to the user with the number {owner}, and this command runs as {user}: files that \
         it would make there could not be opened by the {whose}. Run it as {owner}, or while the {whose} runs",
        root = .root.display()
    )]
    OfAnother {
        /// Where the state is.
        root: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who runs the command.
        user: u32,
        /// Whose state it is.
        whose: Whose,
    },
    /// A process has it, and cannot be asked.
    #[error(
        "local state in {root} is in use by another process ({holder}), which cannot be asked at {socket}: {reason}. \
         Try again, or end that process",
        root = .root.display(), socket = .socket.display()
    )]
    Silent {
        /// Where the state is.
        root: PathBuf,
        /// What the process has noted of itself.
        holder: String,
        /// Where it should listen.
        socket: PathBuf,
        /// Why it cannot be asked.
        reason: NotAsked,
    },
    /// The running process has no answer.
    #[error("the running {whose} was asked at {socket}, and {reason}", socket = .socket.display())]
    Unanswered {
        /// Who was asked.
        whose: Whose,
        /// Where it was asked.
        socket: PathBuf,
        /// What became of the question.
        reason: NotAsked,
    },
    /// The state was opened, and does not work.
    #[error(transparent)]
    State(#[from] StateFault),
    /// No runtime to open it in, or its directory cannot be looked at.
    #[error("the command cannot be run: {0}")]
    Io(#[from] std::io::Error),
}

/// Local state within reach.
pub enum StateAccess {
    /// Through the process that works on it.
    Running(SocketClient, Whose),
    /// Opened by this command.
    Opened(SledState, tokio::runtime::Runtime),
    /// That of a restore, opened by this command.
    OpenedRestore(SledRestoreState, tokio::runtime::Runtime),
}

impl StateAccess {
    /// Reaches the state of the backup below `local_data`.
    ///
    /// # Errors
    /// See [`NoAccess`].
    pub fn of(local_data: &Path) -> Result<Self, NoAccess> {
        let nothing = Question::FailedStreams {
            after: None,
            limit: 0,
        };
        Self::reach(local_data, Whose::Backup, nothing)
    }

    /// Reaches the state of the restore below `local_data`.
    ///
    /// # Errors
    /// See [`NoAccess`].
    pub fn of_restore(local_data: &Path) -> Result<Self, NoAccess> {
        let nothing = Question::DeadLetters {
            after: None,
            limit: 0,
        };
        Self::reach(local_data, Whose::Restore, nothing)
    }

    fn reach(local_data: &Path, whose: Whose, nothing: Question) -> Result<Self, NoAccess> {
        let root = local_data.join(whose.name());
        let client = match whose {
            Whose::Backup => SocketClient::of(&root),
            Whose::Restore => SocketClient::of_restore(&root),
        };
        let begun = Instant::now();
        loop {
            let reason = match client.ask(nothing.clone()) {
                Ok(_) => return Ok(Self::Running(client, whose)),
                Err(reason @ (NotAsked::Nobody(_) | NotAsked::NotNow(_))) => reason,
                Err(reason) => {
                    let socket = client.place().path();
                    return Err(NoAccess::Unanswered {
                        whose,
                        socket,
                        reason,
                    });
                }
            };
            match open(&root, whose) {
                Err(NoAccess::Open(OpenError::Locked { holder, .. })) if begun.elapsed() >= IN_BETWEEN => {
                    let socket = client.place().path();
                    return Err(NoAccess::Silent {
                        root,
                        holder,
                        socket,
                        reason,
                    });
                }
                Err(NoAccess::Open(OpenError::Locked { .. })) => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                opened => return opened,
            }
        }
    }

    fn ask(&self, question: Question) -> Result<Vec<Line>, NoAccess> {
        match self {
            Self::Running(client, whose) => client.ask(question).map_err(|reason| NoAccess::Unanswered {
                whose: *whose,
                socket: client.place().path(),
                reason,
            }),
            Self::Opened(state, runtime) => {
                let (lines, _) = runtime.block_on(protocol::answer(question, state))?;
                Ok(lines)
            }
            Self::OpenedRestore(state, _) => Ok(protocol::answer_of_restore(question, state)?),
        }
    }

    /// A page of the dead letters of a restore, with their places.
    ///
    /// # Errors
    /// See [`NoAccess`]; here and below.
    pub fn letters_after(
        &self,
        after: Option<LetterPlace>,
    ) -> Result<Vec<(LetterPlace, DeadLetter)>, NoAccess> {
        let limit = MOST_ROWS;
        let lines = self.ask(Question::DeadLetters { after, limit })?;
        let row = |line| match line {
            Line::DeadLetter(place, letter) => Some((place, letter)),
            _ => None,
        };
        Ok(lines.into_iter().filter_map(row).collect())
    }

    /// A page of the streams set aside.
    ///
    /// # Errors
    /// See [`NoAccess`]; here and below.
    pub fn failed_after(&self, after: Option<StreamId>) -> Result<Vec<FailedStream>, NoAccess> {
        let limit = MOST_ROWS;
        let lines = self.ask(Question::FailedStreams { after, limit })?;
        let row = |line| match line {
            Line::Failed(row) => Some(row),
            _ => None,
        };
        Ok(lines.into_iter().filter_map(row).collect())
    }

    /// A page of the missing streams.
    ///
    /// # Errors
    /// As above.
    pub fn missing_after(&self, after: Option<StreamId>) -> Result<Vec<MissingStream>, NoAccess> {
        let limit = MOST_ROWS;
        let lines = self.ask(Question::MissingStreams { after, limit })?;
        let row = |line| match line {
            Line::Missing(row) => Some(row),
            _ => None,
        };
        Ok(lines.into_iter().filter_map(row).collect())
    }

    /// A page of the suspect pulls.
    ///
    /// # Errors
    /// As above.
    pub fn suspects_after(&self, after: Option<(Feed, Timestamp)>) -> Result<Vec<SuspectSpan>, NoAccess> {
        let limit = MOST_ROWS;
        let lines = self.ask(Question::SuspectPulls { after, limit })?;
        let row = |line| match line {
            Line::Suspect(row) => Some(row),
            _ => None,
        };
        Ok(lines.into_iter().filter_map(row).collect())
    }

    /// Puts streams back, however many.
    ///
    /// # Errors
    /// As above; some may have been put back.
    pub fn put_back(&self, streams: &[StreamId]) -> Result<PutBackCounts, NoAccess> {
        let mut counts = PutBackCounts::default();
        for page in streams.chunks(MOST_STREAMS) {
            let streams = page.to_vec();
            for line in self.ask(Question::PutBack { streams })? {
                if let Line::PutBack(more) = line {
                    counts += more;
                }
            }
        }
        Ok(counts)
    }

    /// Whether a process works on it.
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Running(..))
    }

    /// Lets go of it in good order.
    ///
    /// # Errors
    /// As above; what was put back is durable all the same.
    pub fn close(self) -> Result<(), NoAccess> {
        match self {
            Self::Running(..) => Ok(()),
            Self::Opened(state, runtime) => Ok(runtime.block_on(state.close())?),
            Self::OpenedRestore(state, runtime) => Ok(runtime.block_on(state.close())?),
        }
    }
}

/// The database makes files whenever it is opened, and they belong to whoever opens it; also to one who may do everything.
fn check_owner(root: &Path, user: u32, whose: Whose) -> Result<(), NoAccess> {
    let owner = root.join("state").symlink_metadata()?.uid();
    match owner == user {
        true => Ok(()),
        false => Err(NoAccess::OfAnother {
            root: root.to_owned(),
            owner,
            user,
            whose,
        }),
    }
}

fn open(root: &Path, whose: Whose) -> Result<StateAccess, NoAccess> {
    let is_there = match whose {
        Whose::Backup => SledState::is_there(root)?,
        Whose::Restore => SledRestoreState::is_there(root)?,
    };
    if !is_there {
        let root = root.to_owned();
        return Err(NoAccess::NotThere { root, whose });
    }
    check_owner(root, rustix::process::geteuid().as_raw(), whose)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(match whose {
        Whose::Backup => StateAccess::Opened(SledState::open(root)?, runtime),
        Whose::Restore => StateAccess::OpenedRestore(SledRestoreState::open(root)?, runtime),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_opens_it_and_who_may_do_everything_is_no_exception() {
        let folder = tempfile::TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("state")).unwrap();
        let owner = folder.path().metadata().unwrap().uid();
        check_owner(folder.path(), owner, Whose::Backup).unwrap();
        for user in [0, owner, owner + 1, 65534]
            .into_iter()
            .filter(|user| *user != owner)
        {
            let fault = check_owner(folder.path(), user, Whose::Backup)
                .unwrap_err()
                .to_string();
            let wanted =
                format!("belongs to the user with the number {owner}, and this command runs as {user}");
            assert!(fault.contains(&wanted), "{fault}");
        }
    }
}
