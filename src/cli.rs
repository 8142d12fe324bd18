//! The command line. Settings come from the environment; the command line says what to do with them.

mod restore;

use std::fmt::Write as _;
use std::path::PathBuf;

use actors::feed::SourceName;
use actors::stream_id::StreamId;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

pub use self::restore::Restore;
use crate::settings::Mode;
use crate::settings::catalogue::{NOTHING_YET, Preset, SETTINGS, Setting};

/// Continuous backup of an Azul malware repository: events and binaries, from its dispatcher into a second S3.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "azul-backup",
    version,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct CommandLine {
    /// What to do; the same as the subcommands of these names, and stronger than BK__MODE.
    #[arg(long, value_enum)]
    mode: Option<ModeName>,

    /// A YAML or TOML file of settings, in lower case and nested; lies under the environment.
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<Subcommands>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ModeName {
    Backup,
    Restore,
}

impl From<ModeName> for Mode {
    fn from(name: ModeName) -> Self {
        match name {
            ModeName::Backup => Self::Backup,
            ModeName::Restore => Self::Restore,
        }
    }
}

#[derive(Clone, Debug, Subcommand)]
enum Subcommands {
    /// Copy events and binaries from the dispatcher into the bucket until told to stop (SIGTERM, SIGINT).
    #[command(after_help = WHERE_SETTINGS_ARE)]
    Backup,
    /// Put everything back, or what is selected: from the bucket into the dispatcher.
    #[command(after_help = restore::HELP)]
    Restore(Box<Restore>),
    /// Try everything that the settings name, and say per check what was tried, what came back and what to do.
    ///
    /// For the mode of BK__MODE or --mode; without either, for a backup. Creates no bucket, takes no event from a
    /// backup, opens no local state, and leaves nothing behind. Done within a minute.
    #[command(after_help = PREFLIGHT)]
    Preflight(Preflight),
    /// Scrape a few events of each feed into a folder, as Avro bulks and as readable JSON.
    #[command(after_help = WHERE_SETTINGS_ARE)]
    GetSamples(GetSamples),
    /// List the streams that are set aside or missing, and put them back.
    ///
    /// Events name these streams, and they are not in the bucket. Works while the backup runs, through a socket
    /// beside its local state, and when it does not.
    #[command(after_help = FAILED_STREAMS)]
    FailedStreams(FailedStreams),
    /// List the pulls that may have cost events, and what that means.
    ///
    /// Works while the backup runs, through a socket beside its local state, and when it does not.
    #[command(after_help = SUSPECT_PULLS)]
    SuspectPulls(SuspectPulls),
    /// List what a restore could not put back, and export it.
    ///
    /// Works while the restore runs, through a socket beside its local state, and when it does not.
    #[command(after_help = DEAD_LETTERS)]
    DeadLetters(DeadLetters),
}

/// What `preflight` is to do.
#[derive(Args, Clone, Debug)]
pub struct Preflight {
    /// For this mode; stronger than BK__MODE.
    #[arg(long = "mode", value_enum)]
    mode_here: Option<ModeName>,

    /// Print JSON, one object a line, instead of text.
    #[arg(long)]
    pub json: bool,
}

/// What `dead-letters` is to do.
#[derive(Args, Clone, Debug)]
pub struct DeadLetters {
    /// Export to this folder too: each event as Avro (a bulk of one) and as JSON, and letters.json, which lists all. Made
    /// if it is not there; has to be empty.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Only what belongs to this source; may be given several times.
    #[arg(long, value_name = "NAME", value_parser = source_name)]
    pub source: Vec<SourceName>,

    /// Try them again, and say what became of them: those that were to go from the bucket to the dispatcher that are
    /// configured now. A bundle is tried whole, whatever a restore had selected of it. Needs all settings of a restore,
    /// and none that runs.
    #[arg(long, conflicts_with = "out")]
    pub retry: bool,

    /// Try those too that were to come from another bucket or to go to another dispatcher, or of which that is not
    /// known: from the bucket and to the dispatcher that are configured now.
    #[arg(long, requires = "retry")]
    pub any_target: bool,

    /// Print JSON, one object a line, instead of text.
    #[arg(long)]
    pub json: bool,
}

/// What `failed-streams` is to do.
#[derive(Args, Clone, Debug)]
pub struct FailedStreams {
    /// Only these streams, as SOURCE/LABEL/SHA256.
    #[arg(value_name = "STREAM", conflicts_with = "source")]
    pub streams: Vec<StreamId>,

    /// Only streams of this source; may be given several times.
    #[arg(long, value_name = "NAME", value_parser = source_name)]
    pub source: Vec<SourceName>,

    /// Put them back among the pending ones, with their counts begun anew, and say how many.
    #[arg(long)]
    pub retry: bool,

    /// Print JSON, one object a line, instead of text.
    #[arg(long)]
    pub json: bool,
}

fn source_name(text: &str) -> Result<SourceName, actors::path_segment::Unsafe> {
    SourceName::new(text)
}

/// What `suspect-pulls` is to do.
#[derive(Args, Clone, Debug)]
pub struct SuspectPulls {
    /// Print JSON, one object a line, instead of text.
    #[arg(long)]
    pub json: bool,
}

/// What `get-samples` is to do.
#[derive(Args, Clone, Debug)]
pub struct GetSamples {
    /// Where to write; made if it is not there. Files of earlier runs are replaced.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,

    /// How many events of each feed at most.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub count: u32,

    /// Print what was written as JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// What the command line asks for.
#[derive(Clone, Debug)]
pub enum Task {
    /// Back up.
    Backup,
    /// Restore, or plan to.
    Restore(Box<Restore>),
    /// Whatever `BK__MODE` says.
    AsSet,
    /// Try what the settings name, for this mode, or for the one of `BK__MODE`.
    Preflight(Option<Mode>, Preflight),
    /// Scrape samples.
    GetSamples(GetSamples),
    /// List streams, or put them back.
    FailedStreams(FailedStreams),
    /// List suspect pulls.
    SuspectPulls(SuspectPulls),
    /// List dead letters, or export them.
    DeadLetters(DeadLetters),
}

impl CommandLine {
    /// Reads a command line, the program's own name first.
    ///
    /// # Errors
    /// What to print instead of running; for `--help` and `--version` that is no failure.
    pub fn parse_from(arguments: impl Iterator<Item = std::ffi::OsString>) -> Result<Self, clap::Error> {
        let mut command = Self::command().after_long_help(long_help());
        let matches = command.try_get_matches_from_mut(arguments)?;
        let line = Self::from_arg_matches(&matches)?;
        if let (Some(mode), Some(other)) = (line.mode, line.subcommand_mode())
            && other != Some(mode.into())
        {
            return Err(command.error(
                clap::error::ErrorKind::ArgumentConflict,
                "--mode and the subcommand ask for different things",
            ));
        }
        Ok(line)
    }

    /// The mode that the subcommand stands for; `None` without one, `Some(None)` if it is none of the modes.
    fn subcommand_mode(&self) -> Option<Option<Mode>> {
        self.command.as_ref().map(|command| match command {
            Subcommands::Backup => Some(Mode::Backup),
            Subcommands::Restore(_) => Some(Mode::Restore),
            Subcommands::GetSamples(_) | Subcommands::FailedStreams(_) | Subcommands::SuspectPulls(_) => None,
            Subcommands::DeadLetters(_) => None,
            // Any mode goes with it, and it may be given before the subcommand too; but only one.
            Subcommands::Preflight(wanted) => wanted.mode_here.or(self.mode).map(Mode::from),
        })
    }

    /// What to do.
    pub fn task(&self) -> Task {
        match (&self.command, self.mode) {
            (Some(Subcommands::Preflight(wanted)), mode) => {
                Task::Preflight(wanted.mode_here.or(mode).map(Mode::from), wanted.clone())
            }
            (Some(Subcommands::GetSamples(samples)), _) => Task::GetSamples(samples.clone()),
            (Some(Subcommands::FailedStreams(wanted)), _) => Task::FailedStreams(wanted.clone()),
            (Some(Subcommands::SuspectPulls(wanted)), _) => Task::SuspectPulls(wanted.clone()),
            (Some(Subcommands::DeadLetters(wanted)), _) => Task::DeadLetters(wanted.clone()),
            (Some(Subcommands::Backup), _) | (None, Some(ModeName::Backup)) => Task::Backup,
            (Some(Subcommands::Restore(wanted)), _) => Task::Restore(wanted.clone()),
            (None, Some(ModeName::Restore)) => Task::Restore(Box::default()),
            (None, None) => Task::AsSet,
        }
    }
}

const WHERE_SETTINGS_ARE: &str = "\
What to copy from where to where is told by environment variables, or by the file of --config:
`azul-backup --help` lists them all, and marks those that are required.";

const PREFLIGHT: &str = "\
With --json each check is an object on a line of its own: check (settings, dns, connection, credentials, region, bucket,
read, write, dispatcher, feeds or local state), of (what it is about), result (passed, warning, failed or not tried),
tried, found, advice (empty where there is nothing to do). The last line is {\"summary\":{\"mode\":…,\"version\":…,
\"passed\":N,\"warnings\":N,\"failed\":N,\"not_tried\":N}}.

For a backup one object is written into each bucket, under a name of its own, and deleted again; each source is asked for
one event, under a name that is used only once. For a restore nothing is written or published.

Needs all settings of the mode.

Exit codes: 0 nothing failed, there may be warnings; 1 a check failed; 2 the settings or the command line are of no use:
nothing was tried.";

const FAILED_STREAMS: &str = "\
A failed stream is set aside: it failed in three starts for a reason of its own, or failed in an earlier start and is
gone now. It is not tried again by itself. A missing stream is one that the dispatcher answers 404 for; it is asked for
once more a day after it was first missed. A stream that is put back has its three starts again; a running backup
begins with it at once, otherwise the next start does.

With --json each stream is an object on a line of its own: state (failed or missing), stream, source, label, sha256,
since, last_tried, tried (how often), reason. With --retry it is one object: {\"put_back\":{\"failed\":N,\"missing\":N,
\"neither\":N}}, where neither counts the named STREAMs that are not on the list.

Needs nothing but BK__LOCAL_DATA__ROOTDIR. When no backup runs it opens local state itself: none can be started
until it is done.

Exit codes: 0 listed, or put back, or nothing there; 1 local state cannot be reached, or a named STREAM is not on the
list; 2 the settings or the command line are of no use.";

const SUSPECT_PULLS: &str = "\
Pulls of one feed that were suspect for the same reason, one after the other, are one row with their number. With --json
each row is an object on a line of its own: feed, since, until, seconds, pulls, reason.

Needs nothing but BK__LOCAL_DATA__ROOTDIR. When no backup runs it opens local state itself: none can be started
until it is done.

Exit codes: 0 listed, or nothing there; 1 local state cannot be reached; 2 the settings or the command line are of no
use.";

const DEAD_LETTERS: &str = "\
A dead letter is an object, or one event of a bundle, that a restore gave up: it is permanently bad, or the dispatcher
refused it or dropped it without a word. It stays on this list whatever becomes of the restore, and in the backup.

With --json each letter is an object on a line of its own: store (streams or events), key (of the object), event (which
of its events, from 0; null for the whole object), kafka_key, since, attempts, reason, event_bytes (what is kept of
the event, 0 if nothing). letters.json of an export is an array of the same objects, with avro and json, the files
of the event.

With --retry each letter is tried once more: an event is published, a stream or a bundle restored anew. What is put back
leaves the list, what is not stays with the reason of this time. With --json the outcome is one object:
{\"retried\":{\"put_back\":N,\"put_back_in_part\":N,\"stay\":N}}.

Needs nothing but BK__LOCAL_DATA__ROOTDIR; with --retry, all that a restore needs. When no restore runs it opens local
state itself: none can be started until it is done.

Exit codes: 0 listed and exported, all put back, or nothing there; 1 local state cannot be reached, the export cannot be
written, an event that should be kept cannot be read, or bucket or dispatcher do not work; 2 the settings or the command
line are of no use; 3 tried again, and some letters stay.";

const EXAMPLES: &str = "\
Examples:
  BK__DISPATCHER_EVENTS=http://dispatcher:8111 BK__EXTERNAL_BACKUP__ENDPOINT=s3.example:9000 \\
  BK__EXTERNAL_BACKUP__ACCESS_KEY=… BK__EXTERNAL_BACKUP__SECRET_KEY=… \\
  BK__SOURCES='sources: {samples: {}}' azul-backup backup
  azul-backup --config backup.yaml --mode backup
  azul-backup preflight
  azul-backup restore --plan
  azul-backup get-samples --out samples --count 5
  BK__LOCAL_DATA__ROOTDIR=/var/lib/azul-backup azul-backup failed-streams

Exit codes:
  0  done; a backup: ended in good order after a signal
  1  failed; local state keeps what is still to be done for the next start
  2  the settings or the command line are of no use: nothing was started
  3  a restore is finished, but something was dead-lettered or refused

Settings:
  Environment variables, as BK__A__B or as BK.A.B (BK__ wins), over the file of --config, over the defaults.
  In the file BK__A__B is b below a, in lower case. An empty value counts as not set.
  What is required is required of backup and restore; get-samples needs nothing of BK__EXTERNAL_BACKUP__…,
  and failed-streams, suspect-pulls and dead-letters need nothing but BK__LOCAL_DATA__ROOTDIR.
";

/// What stands behind the settings: what other programs are told in the same words.
const COMMON_VARIABLES: &str = "
Beside them, as other programs understand them:

  SSL_CERT_FILE
      A PEM file of certificate authorities that are trusted beside those of the public web.

  HTTP_PROXY, HTTPS_PROXY
      The proxy for dispatcher and bucket with an http:// URL, and with an https:// one; also in lower case.
      Accepted: http://[user:password@]host[:port].

  NO_PROXY
      What is spoken to without a proxy, separated by commas: names, with all below them, addresses, ranges of addresses,
      each but a range with :port or without; * is everything. This machine always is.
";

/// What `--help` says below the options: examples, exit codes, and every setting.
fn long_help() -> String {
    let mut text = EXAMPLES.to_owned();
    for setting in SETTINGS {
        // Writing into a String cannot fail.
        let _ = match without_effect(setting) {
            Some(until_then) => write!(
                text,
                "\n  {}\n      {} {until_then}\n",
                setting.variable, setting.meaning
            ),
            None => write!(
                text,
                "\n  {}{}\n      {}{}\n      Accepted: {}.\n",
                setting.variable,
                mark(setting),
                setting.meaning,
                not_yet(setting),
                setting.accepts
            ),
        };
    }
    text.push_str(COMMON_VARIABLES);
    text
}

/// What holds without the setting.
fn mark(setting: &Setting) -> String {
    match setting.preset {
        Preset::Unset if setting.variable == "BK__MODE" => {
            " [required without a subcommand and --mode]".to_owned()
        }
        Preset::Unset => " [required]".to_owned(),
        Preset::Value(value) => format!(" [default: {value}]"),
        Preset::As(other) => format!(" [default: as {other}]"),
    }
}

/// What is said of a setting whose feature is off by default, and cannot be turned on yet.
fn not_yet(setting: &Setting) -> String {
    setting.later.map_or_else(String::new, |later| {
        format!(" Not supported yet: {}.", later.until_then)
    })
}

/// What is said of a setting whose default, if it has one, will hold only once its feature is there.
fn without_effect(setting: &Setting) -> Option<String> {
    let later = setting.comes_later(setting.preset_text())?;
    let except = match setting.accepts {
        NOTHING_YET => String::new(),
        accepted => format!(" to anything but {accepted}"),
    };
    Some(format!(
        "No effect yet: {} comes with a later version; refused when set{except}.",
        later.feature
    ))
}
