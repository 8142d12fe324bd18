//! Local state, for a command: through the process that works on it, or opened by the command itself.
//!
//! Whoever runs is asked; if nobody does, the state is opened, which keeps a backup from starting meanwhile, and
//! counts as a start; so it must be of the same user. Nothing is ever created: where there is no state, that is said.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use actors::feed::Feed;
use actors::ports::state::{FailedStream, MissingStream, StateFault, SuspectSpan};
use actors::stream_id::StreamId;
use actors::timestamp::Timestamp;

use crate::adapters::state::{OpenError, SledState};
use crate::local_socket::protocol::{self, Line, MOST_ROWS, MOST_STREAMS, PutBackCounts, Question};
use crate::local_socket::{NotAsked, SocketClient};

/// How long a process that has the state, and does not listen yet, or no more, is waited for.
const IN_BETWEEN: Duration = Duration::from_secs(5);

/// Why a command cannot reach the state.
#[derive(Debug, thiserror::Error)]
pub enum NoAccess {
    /// There is none.
    #[error(
        "there is no local state of a backup in {root}: no backup has run with this BK__LOCAL_DATA__ROOTDIR",
        root = .0.display()
    )]
    NotThere(PathBuf),
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It belongs to another user, and nobody runs who could be asked.
    #[error(
        "local state in {root} belongs to the user with the number {owner}, and this command runs as {user}: files that \
         it would make there could not be opened by the backup. Run it as {owner}, or while the backup runs",
        root = .root.display()
    )]
    OfAnother {
        /// Where the state is.
        root: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who runs the command.
        user: u32,
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
    #[error("the running backup was asked at {socket}, and {reason}", socket = .socket.display())]
    Unanswered {
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
    Running(SocketClient),
    /// Opened by this command.
    Opened(SledState, tokio::runtime::Runtime),
}

impl StateAccess {
    /// Reaches the state of the backup below `local_data`.
    ///
    /// # Errors
    /// See [`NoAccess`].
    pub fn of(local_data: &Path) -> Result<Self, NoAccess> {
        let root = local_data.join("backup");
        let client = SocketClient::of(&root);
        let begun = Instant::now();
        loop {
            let nothing = Question::FailedStreams {
                after: None,
                limit: 0,
            };
            let reason = match client.ask(nothing) {
                Ok(_) => return Ok(Self::Running(client)),
                Err(reason @ (NotAsked::Nobody(_) | NotAsked::NotNow(_))) => reason,
                Err(reason) => {
                    let socket = client.place().path();
                    return Err(NoAccess::Unanswered { socket, reason });
                }
            };
            match open(&root) {
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
            Self::Running(client) => client.ask(question).map_err(|reason| NoAccess::Unanswered {
                socket: client.place().path(),
                reason,
            }),
            Self::Opened(state, runtime) => {
                let (lines, _) = runtime.block_on(protocol::answer(question, state))?;
                Ok(lines)
            }
        }
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

    /// Whether a backup is running.
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Running(_))
    }

    /// Lets go of it in good order.
    ///
    /// # Errors
    /// As above; what was put back is durable all the same.
    pub fn close(self) -> Result<(), NoAccess> {
        match self {
            Self::Running(_) => Ok(()),
            Self::Opened(state, runtime) => Ok(runtime.block_on(state.close())?),
        }
    }
}

/// The database makes files whenever it is opened, and they belong to whoever opens it; also to one who may do everything.
fn check_owner(root: &Path, user: u32) -> Result<(), NoAccess> {
    let owner = root.join("state").symlink_metadata()?.uid();
    match owner == user {
        true => Ok(()),
        false => Err(NoAccess::OfAnother {
            root: root.to_owned(),
            owner,
            user,
        }),
    }
}

fn open(root: &Path) -> Result<StateAccess, NoAccess> {
    if !SledState::is_there(root)? {
        return Err(NoAccess::NotThere(root.to_owned()));
    }
    check_owner(root, rustix::process::geteuid().as_raw())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(StateAccess::Opened(SledState::open(root)?, runtime))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_opens_it_and_who_may_do_everything_is_no_exception() {
        let folder = tempfile::TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("state")).unwrap();
        let owner = folder.path().metadata().unwrap().uid();
        check_owner(folder.path(), owner).unwrap();
        for user in [0, owner, owner + 1, 65534]
            .into_iter()
            .filter(|user| *user != owner)
        {
            let fault = check_owner(folder.path(), user).unwrap_err().to_string();
            let wanted =
                format!("belongs to the user with the number {owner}, and this command runs as {user}");
            assert!(fault.contains(&wanted), "{fault}");
        }
    }
}
