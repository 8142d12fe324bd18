//! The running process's end of the socket, on the actors' thread.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::Recipient;
use actors::hit_cache::StreamsPutBack;
use actors::ports::state::StateFault;
use actors::ports::{LocalState, RestoreState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::place::SocketPlace;
use super::protocol::{Asked, LONGEST_QUESTION, Line, answer, answer_of_restore};

/// Questions that are answered at once; more are told to come again.
const AT_ONCE: usize = 8;

/// How long a question may take to come in.
const ASKING: Duration = Duration::from_secs(5);

/// How long an answer may take to be taken.
const TAKING: Duration = Duration::from_secs(10);

/// How long is waited before the next connection is accepted, after one could not be.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// The socket, served until this is dropped: before local state is closed, so that whoever asks then finds nobody, and
/// not a state that is closed.
pub struct LocalSocket {
    place: SocketPlace,
    inode: u64,
    desk: Rc<Desk>,
    serving: JoinHandle<()>,
}

/// What is asked about.
enum Served {
    Backup(Rc<dyn LocalState>),
    Restore(Rc<dyn RestoreState>),
}

/// Who answers.
struct Desk {
    state: Served,
    /// Nothing is served any more, but what was accepted before: local state may be closed meanwhile.
    ends: Cell<bool>,
    hit_cache: RefCell<Option<Recipient<StreamsPutBack>>>,
}

impl LocalSocket {
    /// Serves questions about `state`, which lies below `root` and whose lock this process holds. Within an actix
    /// runtime.
    ///
    /// # Errors
    /// The socket cannot be made; the backup can do without.
    pub fn serve(root: &Path, state: Rc<dyn LocalState>) -> io::Result<Self> {
        Self::serve_at(SocketPlace::beside(root), Served::Backup(state))
    }

    /// Serves questions about the state of a restore, as [`LocalSocket::serve`] does for a backup's.
    ///
    /// # Errors
    /// The socket cannot be made; the restore can do without.
    pub fn serve_restore(root: &Path, state: Rc<dyn RestoreState>) -> io::Result<Self> {
        Self::serve_at(SocketPlace::beside_restore(root), Served::Restore(state))
    }

    fn serve_at(place: SocketPlace, state: Served) -> io::Result<Self> {
        let (listener, inode) = place.listen()?;
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        let hit_cache = RefCell::new(None);
        let desk = Rc::new(Desk {
            state,
            ends: Cell::new(false),
            hit_cache,
        });
        let serving = actix_rt::spawn(accept(listener, Rc::clone(&desk)));
        Ok(Self {
            place,
            inode,
            desk,
            serving,
        })
    }

    /// Who is told of streams that were put back, from now on; what was put back before is found in local state by
    /// a queue that begins.
    pub fn tell(&self, hit_cache: Recipient<StreamsPutBack>) {
        *self.desk.hit_cache.borrow_mut() = Some(hit_cache);
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        self.serving.abort();
        self.desk.ends.set(true);
        self.place.remove(self.inode);
    }
}

async fn accept(listener: UnixListener, desk: Rc<Desk>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let connection = match listener.accept().await {
            Ok((connection, _)) => connection,
            Err(error) => {
                log::warn!("the local socket cannot accept: {error}");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        // Dropped, it is closed: nobody is waited for without a place.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            let busy = Line::Later("too many questions at once: ask again later".to_owned());
            let _gone = connection.try_write(&encode(&[busy]));
            continue;
        };
        let desk = Rc::clone(&desk);
        actix_rt::spawn(async move {
            if let Err(error) = attend(connection, &desk).await {
                log::debug!("local socket: {error}");
            }
            drop(place);
        });
    }
}

/// One connection: one question, one answer.
async fn attend(mut connection: UnixStream, desk: &Desk) -> io::Result<()> {
    let lines = match timeout(ASKING, read_question(&mut connection)).await {
        Ok(Ok(line)) => desk.answer(&line).await,
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => vec![Line::Error(error.to_string())],
        Ok(Err(error)) => return Err(error),
        Err(_late) => vec![Line::Error(format!("no question within {ASKING:?}"))],
    };
    timeout(TAKING, connection.write_all(&encode(&lines))).await??;
    connection.shutdown().await
}

async fn read_question(connection: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut chunk = vec![0; 8 * 1024];
    loop {
        let read = connection.read(&mut chunk).await?;
        let (more, is_whole) = match chunk[..read].iter().position(|byte| *byte == b'\n') {
            Some(end) => (&chunk[..end], true),
            None => (&chunk[..read], read == 0),
        };
        line.extend_from_slice(more);
        if line.len() > LONGEST_QUESTION {
            let text = format!("a question has at most {LONGEST_QUESTION} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        if is_whole {
            return Ok(line);
        }
    }
}

/// Every line of an answer; each is small, and there are at most a page of them.
fn encode(lines: &[Line]) -> Vec<u8> {
    let mut text = Vec::new();
    for line in lines {
        match serde_json::to_vec(line) {
            Ok(line) => text.extend(line),
            Err(error) => log::error!("local socket: an answer cannot be written: {error}"),
        }
        text.push(b'\n');
    }
    text
}

impl Desk {
    async fn answer(&self, line: &[u8]) -> Vec<Line> {
        let question = match Asked::parse(line) {
            Ok(question) => question,
            Err(reason) => return vec![Line::Error(reason)],
        };
        let answered = match &self.state {
            Served::Backup(state) => answer(question, &**state).await,
            Served::Restore(state) => answer_of_restore(question, &**state).map(|lines| (lines, None)),
        };
        match answered {
            Ok((mut lines, put_back)) => {
                if let Some(last_ticket) = put_back {
                    self.put_back(StreamsPutBack { last_ticket }).await;
                }
                lines.push(Line::Done {});
                lines
            }
            Err(fault @ StateFault::Full(_)) => vec![Line::Later(fault.to_string())],
            Err(_) if self.ends.get() => {
                vec![Line::Later("the process that works on it is ending".to_owned())]
            }
            Err(fault) => vec![Line::Error(fault.to_string())],
        }
    }

    /// Before the queue of streams is there, there is nobody to tell: it reads local state when it begins.
    async fn put_back(&self, put_back: StreamsPutBack) {
        let hit_cache = self.hit_cache.borrow().clone();
        if let Some(hit_cache) = hit_cache
            && hit_cache.send(put_back).await.is_err()
        {
            log::info!("streams that were put back are tried at the next start: this one is ending");
        }
    }
}
