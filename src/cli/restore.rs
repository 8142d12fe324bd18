//! What `restore` accepts, and what its help says.

use std::path::PathBuf;

use actors::feed::{Action, Model, SourceName};
use actors::restore::selection::{self, NotAMoment};
use actors::stream_id::Sha256;
use actors::timestamp::Timestamp;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// What `restore` is to do; without any option the same as `--mode restore`.
#[derive(Args, Clone, Debug, Default)]
pub struct Restore {
    /// Only this source; may be given several times. `system` is one of its own: the insert and delete events.
    #[arg(long, value_name = "NAME", value_parser = super::source_name, help_heading = "Selection")]
    pub source: Vec<SourceName>,

    /// Only events of this action; may be given several times. No streams then, unless --label or --sha256 asks for
    /// some.
    #[arg(long, value_parser = actions(), help_heading = "Selection")]
    pub action: Vec<Action>,

    /// Only events of this model; may be given several times. No streams then, as for --action.
    #[arg(long, value_parser = models(), help_heading = "Selection")]
    pub model: Vec<Model>,

    /// Only events that happened then or later: 2025-07-30T06:02:59Z, or 2025-07-30 for its midnight, UTC. No streams
    /// then, as for --action. Bundles are chosen by the time in their names, and a day more.
    #[arg(long, value_name = "TIME", value_parser = moment, help_heading = "Selection")]
    pub since: Option<Timestamp>,

    /// Only events that happened before: this instant itself is not included. `--since 2025-07-01 --until 2025-08-01`
    /// is July.
    #[arg(long, value_name = "TIME", value_parser = moment, help_heading = "Selection")]
    pub until: Option<Timestamp>,

    /// With --since or --until: read every bundle of the feeds, whatever time its name tells, and go by the events alone.
    /// Needed for the backup of an Azul that was itself restored once, where events of any time may lie in any bundle.
    /// Takes as long as to restore all events.
    #[arg(long, help_heading = "Selection")]
    pub read_every_bundle: bool,

    /// Only streams of this label; may be given several times. No events then, unless an option above asks for some.
    #[arg(long, value_parser = selection::label, help_heading = "Selection")]
    pub label: Vec<String>,

    /// Only streams of this SHA-256, of all sources and labels that are selected; may be given several times. Takes
    /// seconds, however large the backup is. No events then, as for --label.
    #[arg(long, value_name = "HEX", value_parser = sha256, help_heading = "Selection")]
    pub sha256: Vec<Sha256>,

    /// Exactly the objects whose keys this file names, one a line: streams (source/label/sha256) or bundles of events
    /// (source/model/action/name), with .aesc1 at the end or without. Empty lines and those that begin with # are
    /// skipped. Goes with no other selection.
    #[arg(long, value_name = "FILE", help_heading = "Selection")]
    pub keys_from: Option<PathBuf>,

    /// Ask the dispatcher first, and upload only the streams that it does not have.
    #[arg(long)]
    pub skip_existing: bool,

    /// Begin anew, although an earlier start of the same restore has come some way.
    #[arg(long)]
    pub from_start: bool,

    /// Count it as done when the bucket holds nothing of what was asked for.
    #[arg(long)]
    pub allow_empty: bool,

    /// Tell what would be restored, where it would go on, and what looks wrong; write nothing anywhere.
    #[arg(long, conflicts_with = "skip_existing")]
    pub plan: bool,

    /// Print the plan, or the final report, as one JSON object on standard output.
    #[arg(long)]
    pub json: bool,
}

fn moment(text: &str) -> Result<Timestamp, NotAMoment> {
    selection::moment(text)
}

/// Tools print hashes in either case; keys have them in lower case.
fn sha256(text: &str) -> Result<Sha256, actors::path_segment::Unsafe> {
    text.to_ascii_lowercase().parse()
}

fn actions() -> impl TypedValueParser<Value = Action> {
    let all = || Action::BINARY.into_iter().chain([Action::Default]);
    PossibleValuesParser::new(all().map(Action::as_str)).try_map(move |text| {
        all()
            .find(|action| action.as_str() == text)
            .ok_or("not an action")
    })
}

fn models() -> impl TypedValueParser<Value = Model> {
    PossibleValuesParser::new(Model::ALL.map(Model::as_str)).try_map(|text| {
        let model = Model::ALL.into_iter().find(|model| model.as_str() == text);
        model.ok_or("not a model")
    })
}

/// What the help says below the options.
pub(super) const HELP: &str = "\
Streams come first, source by source, then the events of `system`, then all others side by side, each feed from \
its oldest event to its newest. Restored are the sources of BK__SOURCES that are not exclude_from_backup, and \
system; an excluded one only if --source names it. What lies in the bucket of other sources is told and left. \
BK__RESTORE_TYPE (all, streams, events) is stronger than the options: one that it leaves nothing for is refused.

A restore that was stopped, by a signal too, goes on where it was when it is started again with the same bucket, \
dispatcher and selection; one that was finished is never gone on with. What cannot be put back is kept in local \
state with its reason and stops nothing else: `azul-backup dead-letters` lists it.

--since and --until go by the time of each event. In a bundle of a model version that is not known here events cannot be \
told apart: it is taken whole where they touch the day, in UTC, of its name, and left out otherwise; the log says so.

--plan prints a table, or with --json one object: selection, notes, streams (labels of each source), feeds, resume, \
left_out, left_folders, stray_keys, unreadable, odd, exit. It ends as the restore would, as far as listings tell.

Exit codes:
  0  everything that was planned is restored and was verified; with --plan: nothing is against it
  1  stopped early, also by a signal: the next start goes on
  1  a URL of the dispatcher or a bucket that is needed is unfit: nothing was sent
  1  without --allow-empty: the bucket is empty for a source that was asked for. All else is
     restored, and the next start sends none of it again
  2  the settings or the command line are of no use: nothing was started
  3  finished, but something was dead-lettered or refused

Examples:
  azul-backup restore --plan
  azul-backup restore --source samples --skip-existing
  azul-backup restore --since 2025-07-01 --until 2025-08-01 --action sourced
  azul-backup restore \\
    --sha256 5cc7f416087731c86203a1789fd29c913bf8e6d46fcff7e9a85a5aed5405ab1c

What to copy from where to where is told by environment variables, or by the file of --config: \
`azul-backup --help` lists them all. Those of the dispatcher, of the bucket, and BK__SOURCES are required as for a \
backup.";
