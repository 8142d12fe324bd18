//! `dead-letters --retry`: what a restore gave up is tried once more, letter by letter.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::Arc;

use actix::System;
use actors::fault::Fault;
use actors::feed::SourceName;
use actors::ports::restore_state::{DeadLetter, LetterPlace, RestoreState};
use actors::ports::state::StateFault;
use actors::restore::bundle_memory::BundleMemory;
use actors::restore::feed::FeedRestorePorts;
use actors::restore::halt::Halt;
use actors::restore::retrying::{Retried, RetryPorts, retry_letter};
use actors::restore::standing::Standing;
use actors::restore::stream::{Leftover, StreamRestorePorts, StreamRestoreTerms};
use actors::stop::StopFlag;
use actors::stream_worker::progress::Progress;
use tokio::sync::Semaphore;

use super::outside::Outside;
use super::{FOLDER, NoSpool, spool};
use crate::adapters::restore_state::SledRestoreState;
use crate::adapters::state::OpenError;
use crate::exit::Exit;
use crate::process::signals::Signals;
use crate::settings::RestoreSettings;

/// How many letters are read at once.
const PAGE: usize = 100;

/// Tries the letters of these sources again, or all if none is named; nothing else may work on the state meanwhile.
pub fn run(settings: &RestoreSettings, sources: &[SourceName], json: bool) -> Exit {
    let root = settings.local_data.join(FOLDER);
    match SledRestoreState::is_there(&root) {
        Ok(true) => {}
        Ok(false) => {
            crate::tell(format_args!(
                "there is no local state of a restore in {}: no restore has run with this BK__LOCAL_DATA__ROOTDIR",
                root.display()
            ));
            return Exit::Failed;
        }
        Err(error) => {
            crate::tell(error);
            return Exit::Failed;
        }
    }
    match System::new().block_on(retry(settings, sources, json)) {
        Ok(tally) => tally.exit(),
        Err(fault) => {
            crate::tell(format_args!(
                "dead letters could not all be tried again: {fault}; those that were not stay as they are"
            ));
            Exit::Failed
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum NotRetried {
    #[error("{0} (a restore that runs has to end first)")]
    Open(#[from] OpenError),
    #[error(transparent)]
    Outside(#[from] Fault),
    #[error(transparent)]
    State(#[from] StateFault),
    #[error(transparent)]
    Halt(#[from] Halt),
    #[error(transparent)]
    Spool(#[from] NoSpool),
    #[error("signals cannot be received, or the output not be written: {0}")]
    Io(#[from] io::Error),
}

/// What became of the letters.
#[derive(Debug, Default)]
struct Tally {
    settled: u64,
    in_part: u64,
    stay: u64,
}

impl Tally {
    fn exit(&self) -> Exit {
        match self.stay + self.in_part {
            0 => Exit::Done,
            _ => Exit::Incomplete,
        }
    }

    fn print(&self, json: bool) -> io::Result<()> {
        let Self {
            settled,
            in_part,
            stay,
        } = self;
        let mut out = io::stdout().lock();
        match json {
            true => {
                let tally = serde_json::json!({
                    "retried": {"put_back": settled, "put_back_in_part": in_part, "stay": stay}
                });
                writeln!(out, "{tally}")
            }
            false => writeln!(
                out,
                "{settled} dead letters are put back, {in_part} bundles in part (what is left of them are letters of \
                 their own), {stay} stay."
            ),
        }
    }
}

async fn retry(settings: &RestoreSettings, sources: &[SourceName], json: bool) -> Result<Tally, NotRetried> {
    let root = settings.local_data.join(FOLDER);
    let state = SledRestoreState::open(&root)?;
    let retried = retry_all(settings, &state, sources).await;
    let closed = state.close().await;
    let tally = retried?;
    closed?;
    match tally.print(json) {
        // A reader that has gone is nothing to complain about.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(tally),
    }
}

async fn retry_all(
    settings: &RestoreSettings,
    state: &SledRestoreState,
    sources: &[SourceName],
) -> Result<Tally, NotRetried> {
    let stop = StopFlag::default();
    let mut signals = Signals::listen()?;
    let ports = ports(settings, state, &stop)?;
    let tally = Rc::new(RefCell::new(Tally::default()));
    let all = async {
        let mut after: Option<LetterPlace> = None;
        // What is given up anew meanwhile is not tried in the same run.
        let mut left = state.letter_count();
        while left > 0 {
            let page = state.letters_from(after.as_ref(), PAGE)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (_, letter) in page {
                left = left.saturating_sub(1);
                if is_wanted(&letter, sources) {
                    let retried = retry_letter(&ports, &letter).await?;
                    count(&mut tally.borrow_mut(), &letter, retried);
                }
            }
        }
        Ok::<_, NotRetried>(())
    };
    tokio::select! {
        done = all => done?,
        () = signals.told() => {
            stop.raise();
            return Err(Halt::Stopped.into());
        }
    }
    Ok(tally.take())
}

fn is_wanted(letter: &DeadLetter, sources: &[SourceName]) -> bool {
    let source = letter.key.split('/').next().unwrap_or_default();
    sources.is_empty() || sources.iter().any(|wanted| wanted.as_str() == source)
}

fn count(tally: &mut Tally, letter: &DeadLetter, retried: Retried) {
    let key = letter.key.escape_debug();
    let event = letter
        .event
        .map_or_else(String::new, |event| format!("event {event} of "));
    match retried {
        Retried::Settled => {
            tally.settled += 1;
            log::info!(key:% = key; "{event}{key} is put back");
        }
        Retried::InPart(dead) => {
            tally.in_part += 1;
            log::warn!(key:% = key; "{key} is put back, without {dead} of its events");
        }
        Retried::Stays(reason) => {
            tally.stay += 1;
            log::warn!(key:% = key, error:% = reason; "{event}{key} stays: {reason}");
        }
    }
}

fn ports(
    settings: &RestoreSettings,
    state: &SledRestoreState,
    stop: &StopFlag,
) -> Result<RetryPorts, NotRetried> {
    let outside = Outside::new(settings);
    let spool = spool(settings)?;
    let archive: Rc<dyn actors::ports::Archive> = Rc::new(outside.archive()?);
    let target: Rc<dyn actors::ports::Target> = Rc::new(outside.target()?);
    Ok(RetryPorts {
        streams: StreamRestorePorts {
            archive: Rc::clone(&archive),
            target: Rc::clone(&target),
            leftover: Leftover::default(),
        },
        terms: StreamRestoreTerms {
            retry: settings.retry.clone(),
            stop: stop.clone(),
            progress: Progress::default(),
        },
        events: FeedRestorePorts {
            archive,
            target,
            state: Rc::new(state.clone()),
            standing: Standing::default(),
            retry: settings.retry.clone(),
            stop: stop.clone(),
            requests: Arc::new(Semaphore::new(1)),
            spool,
            memory: BundleMemory::default(),
            readable: Rc::default(),
        },
    })
}
