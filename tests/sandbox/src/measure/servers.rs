//! Both servers of a measurement, in a process of their own, so that what they take is not taken for the program's.
//!
//! The process says on a line where they are (`Ready`), then answers each line on its input with one that says
//! what they have seen (`Seen`), and ends with its input.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::load::Load;
use super::sink::{Received, Sink};
use super::well::Well;
use super::{Case, SERVERS};
use crate::dispatcher::{self, StandInDispatcher};

/// Which servers are wanted.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Wanted {
    /// The case.
    pub case: Case,
    /// In its short form, and with a look into each object.
    #[arg(long)]
    pub short: bool,
}

/// Where the servers are, and what there is to back up or to restore.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ready {
    pub(super) dispatcher: String,
    pub(super) bucket: String,
    pub(super) sources: Vec<String>,
    pub(super) events: u64,
    pub(super) streams: u64,
    pub(super) batch: u64,
}

/// What the servers have seen.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Seen {
    /// What has come to where it was to go.
    pub(super) arrived: Received,
    /// Bytes that the dispatcher has sent or received.
    pub(super) dispatched: u64,
    /// Bytes that the bucket has received or given.
    pub(super) packed: u64,
    /// The most downloads from the dispatcher, or uploads to it, that were under way at once.
    pub(super) streams_at_once: usize,
}

/// Where the backup is written to, or read from.
enum Bucket {
    Sink(Sink),
    Well(Well),
}

impl Bucket {
    fn endpoint(&self) -> String {
        match self {
            Self::Sink(sink) => sink.endpoint(),
            Self::Well(well) => well.endpoint(),
        }
    }

    fn seen(&self, dispatcher: &StandInDispatcher) -> Seen {
        let shared = dispatcher.shared();
        match self {
            Self::Sink(sink) => {
                let arrived = sink.received();
                Seen {
                    dispatched: shared.bytes_out(),
                    packed: arrived.bytes,
                    streams_at_once: dispatcher.all_downloads().1,
                    arrived,
                }
            }
            Self::Well(well) => Seen {
                arrived: restored(dispatcher),
                dispatched: shared.bytes_in(),
                packed: well.given(),
                streams_at_once: shared.uploads_at_once(),
            },
        }
    }
}

/// What was restored. Nothing may come twice.
fn restored(dispatcher: &StandInDispatcher) -> Received {
    let shared = dispatcher.shared();
    let (published, uploaded) = (shared.publish_totals(), shared.upload_totals());
    let streams = shared.stream_count() as u64;
    let mut faults = Vec::new();
    if uploaded.taken > streams {
        faults.push(format!("{} uploads of {streams} streams", uploaded.taken));
    }
    Received {
        events: published.events,
        bundles: published.requests,
        streams,
        bytes: shared.bytes_in(),
        faults,
    }
}

/// Serves until the input ends: the whole of the process.
///
/// # Errors
/// A server does not start, or the other side has gone.
pub fn serve(wanted: &Wanted) -> anyhow::Result<()> {
    let load = Load::new(wanted.case, wanted.short)?;
    let dispatcher =
        StandInDispatcher::start(dispatcher::Config::default()).context("the dispatcher does not start")?;
    let bucket = match wanted.case.restores() {
        true => {
            dispatcher.shared().set_forgets(true);
            Well::start(load.bucket()?).map(Bucket::Well)
        }
        false => {
            load.fill(&dispatcher);
            Sink::start(wanted.short).map(Bucket::Sink)
        }
    };
    let bucket = bucket.context("the bucket does not start")?;
    say(&Ready {
        dispatcher: dispatcher.url(),
        bucket: bucket.endpoint(),
        sources: load.sources().to_vec(),
        events: load.events(),
        streams: load.streams(),
        batch: load.batch,
    })?;
    for line in std::io::stdin().lines() {
        line?;
        say(&bucket.seen(&dispatcher))?;
    }
    Ok(())
}

fn say(what: &impl Serialize) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, what)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// The other side: a running process with both servers. Dropped, it ends.
pub(super) struct Servers {
    process: Child,
    ask: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    pub(super) ready: Ready,
}

impl Servers {
    pub(super) fn start(wanted: Wanted) -> anyhow::Result<Self> {
        let case = clap::ValueEnum::to_possible_value(&wanted.case).context("a case without a name")?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args([SERVERS, case.get_name()]);
        command.args(wanted.short.then_some("--short"));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let ask = process.stdin.take();
        let answers = process
            .stdout
            .take()
            .context("the servers' process has no output")?;
        let mut answers = BufReader::new(answers);
        let ready = answer(&mut answers);
        match ready {
            Ok(ready) => Ok(Self {
                process,
                ask,
                answers,
                ready,
            }),
            Err(error) => {
                drop(ask);
                process.wait()?;
                Err(error)
            }
        }
    }

    pub(super) fn seen(&mut self) -> anyhow::Result<Seen> {
        let ask = self.ask.as_mut().context("the servers have been ended")?;
        ask.write_all(b"\n")?;
        answer(&mut self.answers)
    }
}

fn answer<T: for<'a> Deserialize<'a>>(answers: &mut impl BufRead) -> anyhow::Result<T> {
    let mut line = String::new();
    answers.read_line(&mut line)?;
    serde_json::from_str(&line).with_context(|| format!("the servers said: {line:?}"))
}

impl Drop for Servers {
    fn drop(&mut self) {
        // they end with their input
        self.ask = None;
        if let Err(error) = self.process.wait() {
            log::error!("the servers' process: {error}");
        }
    }
}
