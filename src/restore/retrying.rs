//! `dead-letters --retry`: what a restore gave up is tried once more, letter by letter.
//!
//! A letter that cannot be tried, because the bucket or the dispatcher does not answer, stays as it is and keeps no other
//! from being tried; five of them in a row end it. What became of them is told however it ends. A letter of
//! another bucket or dispatcher than those that are configured is left alone, unless that is asked for: the events of a
//! restore of last year have no business in a dispatcher of today.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::System;
use actors::fault::Fault;
use actors::ports::restore_state::{DeadLetter, LetterPlace, RestoreState, Route};
use actors::ports::state::StateFault;
use actors::restore::bundle_memory::BundleMemory;
use actors::restore::feed::{FeedRestorePorts, Witnesses};
use actors::restore::halt::Halt;
use actors::restore::hashing::HashBench;
use actors::restore::retrying::{Retried, RetryPorts, retry_letter};
use actors::restore::selection::Selection;
use actors::restore::standing::Standing;
use actors::restore::stream::{Leftover, StreamRestorePorts, StreamRestoreTerms};
use actors::stop::StopFlag;
use actors::stream_worker::progress::Progress;
use tokio::sync::Semaphore;

use super::outside::Outside;
use super::{FOLDER, NoSpool, spool};
use crate::adapters::restore_state::SledRestoreState;
use crate::adapters::state::OpenError;
use crate::cli::DeadLetters;
use crate::exit::Exit;
use crate::process::signals::Signals;
use crate::settings::RestoreSettings;

/// How many letters are read at once.
const PAGE: usize = 100;

/// So many letters in a row that could not be tried end it.
const MOST_IN_ROW: u32 = 5;

/// How long the letter at hand may take after a signal.
const GRACE: Duration = Duration::from_secs(10);

/// Tries the letters that are wanted again; nothing else may work on the state meanwhile.
pub fn run(settings: &RestoreSettings, wanted: &DeadLetters) -> Exit {
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
    match System::new().block_on(retry(settings, wanted)) {
        Ok(tally) => tally.exit(),
        Err(fault) => {
            crate::tell(format_args!(
                "dead letters could not be tried again: {fault}; those that were not stay as they are"
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
    /// Could not be tried.
    failed: u64,
    /// Of another bucket or dispatcher, or of an unknown one: not tried.
    elsewhere: u64,
    /// Why it ended before all were tried.
    ended_early: Option<String>,
    /// Failures since one was tried.
    in_row: u32,
}

impl Tally {
    fn exit(&self) -> Exit {
        match self.stay + self.in_part + self.elsewhere {
            _ if self.failed > 0 || self.ended_early.is_some() => Exit::Failed,
            0 => Exit::Done,
            _ => Exit::Incomplete,
        }
    }

    fn print(&self, json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match json {
            true => writeln!(out, "{}", self.json()),
            false => writeln!(out, "{}", self.text()),
        }
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({"retried": {
            "put_back": self.settled, "put_back_in_part": self.in_part, "stay": self.stay, "not_tried": self.failed,
            "elsewhere": self.elsewhere, "ended_early": self.ended_early,
        }})
    }

    fn text(&self) -> String {
        let (settled, in_part, stay) = (self.settled, self.in_part, self.stay);
        let mut text = format!(
            "{settled} dead letters are put back, {in_part} bundles in part (what is left of them are letters of their \
             own), {stay} stay."
        );
        if self.failed > 0 {
            text += &format!(
                "\n{} could not be tried, for the reasons above, and stay as they are.",
                self.failed
            );
        }
        if self.elsewhere > 0 {
            text += &format!(
                "\n{} are of another bucket or dispatcher than those configured now, or of an unknown one, and were left \
                 alone (--json tells which); --any-target tries them too.",
                self.elsewhere
            );
        }
        if let Some(why) = &self.ended_early {
            text += &format!("\nIt ended early: {why}. Those behind stay as they are.");
        }
        text
    }
}

async fn retry(settings: &RestoreSettings, wanted: &DeadLetters) -> Result<Tally, NotRetried> {
    let root = settings.local_data.join(FOLDER);
    let state = SledRestoreState::open(&root)?;
    let retried = retry_all(settings, &state, wanted).await;
    let closed = state.close().await;
    let tally = retried?;
    let printed = tally.print(wanted.json);
    closed?;
    match printed {
        // A reader that has gone is nothing to complain about.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(tally),
    }
}

async fn retry_all(
    settings: &RestoreSettings,
    state: &SledRestoreState,
    wanted: &DeadLetters,
) -> Result<Tally, NotRetried> {
    let stop = StopFlag::default();
    let mut signals = Signals::listen()?;
    let round = Round {
        ports: ports(settings, state, &stop)?,
        state,
        wanted,
        route: settings.restore_id(&Selection::default()).route(),
        tally: RefCell::default(),
    };
    let ended = {
        let mut all = std::pin::pin!(round.letters());
        tokio::select! {
            ended = &mut all => ended,
            () = signals.told() => {
                stop.raise();
                // The one at hand comes to its end, unless it takes too long.
                tokio::select! {
                    ended = &mut all => ended,
                    () = signals.told() => Err(Halt::Stopped),
                    () = tokio::time::sleep(GRACE) => Err(Halt::Stopped),
                }
            }
        }
    };
    let mut tally = round.tally.into_inner();
    if let Err(halt) = ended {
        tally.ended_early = Some(halt.to_string());
    }
    Ok(tally)
}

/// One go through the letters.
struct Round<'a> {
    ports: RetryPorts,
    state: &'a SledRestoreState,
    wanted: &'a DeadLetters,
    /// From where to where, by the settings.
    route: Route,
    tally: RefCell<Tally>,
}

impl Round<'_> {
    async fn letters(&self) -> Result<(), Halt> {
        let mut after: Option<LetterPlace> = None;
        // What is given up anew meanwhile is not tried in the same run.
        let mut left = self.state.letter_count();
        while left > 0 {
            let page = self.state.letters_from(after.as_ref(), PAGE)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (_, letter) in page {
                left = left.saturating_sub(1);
                if crate::commands::dead_letters::is_wanted(self.wanted, &letter) {
                    self.letter(&letter).await?;
                }
            }
        }
        Ok(())
    }

    async fn letter(&self, letter: &DeadLetter) -> Result<(), Halt> {
        if !self.wanted.any_target && letter.route.as_ref() != Some(&self.route) {
            self.tally.borrow_mut().elsewhere += 1;
            return Ok(());
        }
        if self.ports.events.stop.is_raised() {
            return Err(Halt::Stopped);
        }
        let retried = retry_letter(&self.ports, letter).await?;
        let why = match &retried {
            Retried::Failed(why) => Some(why.clone()),
            _ => None,
        };
        let mut tally = self.tally.borrow_mut();
        count(&mut tally, letter, retried);
        match why {
            Some(why) if tally.in_row >= MOST_IN_ROW => {
                let detail = format_args!(
                    "{MOST_IN_ROW} letters in a row could not be tried, the last because: {why}"
                );
                Err(Halt::Outage(Fault::transient("retry", "dead letters", detail)))
            }
            _ => Ok(()),
        }
    }
}

fn count(tally: &mut Tally, letter: &DeadLetter, retried: Retried) {
    let key = letter.key.escape_debug();
    let event = letter
        .event
        .map_or_else(String::new, |event| format!("event {event} of "));
    tally.in_row = match retried {
        Retried::Failed(_) => tally.in_row + 1,
        _ => 0,
    };
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
        Retried::Failed(reason) => {
            tally.failed += 1;
            log::error!(key:% = key, error:% = reason; "{event}{key} could not be tried: {reason}");
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
            hashes: HashBench::default(),
        },
        terms: StreamRestoreTerms {
            retry: settings.retry.clone(),
            stop: stop.clone(),
            progress: Progress::default(),
        },
        events: FeedRestorePorts {
            prefer: settings.reading.prefer,
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
            witnesses: Witnesses::default(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tally_says_what_stays_and_why_and_the_exit_code_follows() {
        let mut tally = Tally {
            settled: 4,
            in_part: 1,
            ..Tally::default()
        };
        assert_eq!(
            tally.text(),
            "4 dead letters are put back, 1 bundles in part (what is left of them are letters of their own), 0 stay."
        );
        assert_eq!(tally.exit(), Exit::Incomplete);
        (tally.in_part, tally.elsewhere) = (0, 2);
        assert_eq!(
            tally.text().lines().nth(1),
            Some(
                "2 are of another bucket or dispatcher than those configured now, or of an unknown one, and were left \
                 alone (--json tells which); --any-target tries them too."
            )
        );
        assert_eq!(tally.exit(), Exit::Incomplete);
        tally.elsewhere = 0;
        assert_eq!(tally.exit(), Exit::Done);
        tally.failed = 3;
        assert_eq!(tally.exit(), Exit::Failed);
        tally.ended_early = Some("it was told to stop".to_owned());
        assert_eq!(
            tally.text().lines().skip(1).collect::<Vec<_>>(),
            [
                "3 could not be tried, for the reasons above, and stay as they are.",
                "It ended early: it was told to stop. Those behind stay as they are."
            ]
        );
        tally.failed = 0;
        assert_eq!(tally.exit(), Exit::Failed);
    }
}
