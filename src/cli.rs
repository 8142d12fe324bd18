//! The command line. Settings come from the environment; the command line says what to do with them.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

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
    /// Put everything back. Not supported yet.
    #[command(after_help = WHERE_SETTINGS_ARE)]
    Restore,
    /// Scrape a few events of each feed into a folder, as Avro bulks and as readable JSON.
    #[command(after_help = WHERE_SETTINGS_ARE)]
    GetSamples(GetSamples),
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
    /// One of the modes.
    Mode(Mode),
    /// Whatever `BK__MODE` says.
    AsSet,
    /// Scrape samples.
    GetSamples(GetSamples),
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
            Subcommands::Restore => Some(Mode::Restore),
            Subcommands::GetSamples(_) => None,
        })
    }

    /// What to do.
    pub fn task(&self) -> Task {
        match (&self.command, self.mode) {
            (Some(Subcommands::GetSamples(samples)), _) => Task::GetSamples(samples.clone()),
            (Some(Subcommands::Backup), _) => Task::Mode(Mode::Backup),
            (Some(Subcommands::Restore), _) => Task::Mode(Mode::Restore),
            (None, Some(mode)) => Task::Mode(mode.into()),
            (None, None) => Task::AsSet,
        }
    }
}

const WHERE_SETTINGS_ARE: &str = "\
What to copy from where to where is told by environment variables, or by the file of --config:
`azul-backup --help` lists them all, and marks those that are required.";

const EXAMPLES: &str = "\
Examples:
  BK__DISPATCHER_EVENTS=http://dispatcher:8111 BK__EXTERNAL_BACKUP__ENDPOINT=s3.example:9000 \\
  BK__EXTERNAL_BACKUP__ACCESS_KEY=… BK__EXTERNAL_BACKUP__SECRET_KEY=… \\
  BK__SOURCES='sources: {samples: {}}' azul-backup backup
  azul-backup --config backup.yaml --mode backup
  azul-backup get-samples --out samples --count 5

Exit codes:
  0  done; a backup: ended in good order after a signal
  1  failed; local state keeps what is still to be done for the next start
  2  the settings or the command line are of no use: nothing was started

Settings:
  Environment variables, as BK__A__B or as BK.A.B (BK__ wins), over the file of --config, over the defaults.
  In the file BK__A__B is b below a, in lower case. An empty value counts as not set.
  What is required is required of a backup; get-samples needs nothing of BK__EXTERNAL_BACKUP__….
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
