//! How the program stands at one moment.
//!
//! It is the one source of everything that is told about a running program: `/metrics`, `/status`, `/readyz` and the
//! page at `/` are renderings of it. Its JSON form is `/status`, whose names are an interface: what is added stays.
//!
//! Times are those of this machine, in RFC 3339; durations are seconds; sizes are bytes. A field that is `null` is
//! not known (yet), never zero.

use std::collections::BTreeMap;

use actors::feed::Feed;
use actors::restore::progress::Progress;
use actors::statistics::SourceFigures;
use actors::timestamp::{Timestamp, rfc3339, rfc3339_or_null};
use serde::Serialize;

use super::usage::Usage;

/// What the program does, for labels and people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Doing {
    /// Copies from the dispatcher into the bucket.
    Backup,
    /// Puts back what is in the bucket.
    Restore,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// When it was taken.
    #[serde(serialize_with = "rfc3339")]
    pub taken: Timestamp,
    /// Of this program.
    pub version: &'static str,
    /// What it does.
    pub mode: Doing,
    /// Which backup it makes, or restores: `BK__BACKUP_ID`.
    pub backup_id: String,
    /// When the process began.
    #[serde(serialize_with = "rfc3339")]
    pub started: Timestamp,
    /// `starting`, `running`, then the stages of the shutdown: `events`, `hit cache`, `streams`, `local state`, `ended`.
    pub stage: String,
    /// What keeps it from being ready; empty when it is.
    pub not_ready: Vec<String>,
    /// How long ago the actors last answered each other, in seconds; `null` before the first time.
    pub last_sign_of_life_seconds: Option<f64>,
    /// What the process takes of the machine.
    pub process: Usage,
    /// Figures per source; of the backup only, `(other)` stands for all that are not configured.
    pub sources: BTreeMap<String, SourceFigures>,
    /// Of a backup; `null` before local state is open.
    pub backup: Option<BackupStanding>,
    /// Of a restore.
    pub restore: Option<RestoreStanding>,
    /// Requests that were repeated, by operation.
    pub retries: BTreeMap<String, u64>,
    /// Failed operations on the bucket, by the kind of fault.
    pub object_errors: BTreeMap<String, u64>,
    /// What was logged last as a warning or an error, the newest first; a bounded number.
    pub recent: Vec<Remark>,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// When.
    #[serde(serialize_with = "rfc3339")]
    pub time: Timestamp,
    /// `WARN` or `ERROR`.
    pub level: String,
    /// What was said, shortened.
    pub message: String,
}

/// How a backup stands.
#[derive(Clone, Debug, Serialize)]
pub struct BackupStanding {
    /// Feed by feed.
    pub feeds: Vec<FeedStatus>,
    /// Streams that are waited for, or could not be stored.
    pub streams: StreamBacklog,
    /// What has been received and is not in the bucket.
    pub journal: JournalStatus,
    /// Spans of pulls that may have cost events and that nothing has made good: those of a feed that came one after the
    /// other for the same reason are one.
    pub suspect_pulls: u64,
    /// The pulls in these spans.
    pub suspect_pulls_in_all: u64,
}

/// How a feed stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeedStatus {
    /// Which one: `source/model/action`.
    pub feed: Feed,
    /// Whether it is still configured; otherwise it only finishes what an earlier start left.
    pub configured: bool,
    /// Whether the dispatcher said `ready` with its last answer; `null` before the first.
    pub ready: Option<bool>,
    /// Since when answers have come back with as many events as were asked for, or pulls have failed or waited for
    /// room: the feed is behind, in this start and earlier ones. `null`: it is caught up. The dispatcher does not tell a lag.
    #[serde(serialize_with = "rfc3339_or_null")]
    pub behind_since: Option<Timestamp>,
    /// When an event last became durable here, in this start or an earlier one.
    #[serde(serialize_with = "rfc3339_or_null")]
    pub last_event: Option<Timestamp>,
    /// When a bundle was last written to the bucket, in this start or an earlier one.
    #[serde(serialize_with = "rfc3339_or_null")]
    pub last_bundle: Option<Timestamp>,
    /// When a pull last came back complete, with or without events, in this start or an earlier one.
    #[serde(serialize_with = "rfc3339_or_null")]
    pub last_pull: Option<Timestamp>,
    /// When the oldest event that is in the journal and not in the bucket was received.
    #[serde(serialize_with = "rfc3339_or_null")]
    pub oldest_waiting: Option<Timestamp>,
    /// Events in the journal that are not in the bucket.
    pub waiting_events: u64,
    /// Bytes of them.
    pub waiting_bytes: u64,
    /// Events journaled since the start.
    pub events: u64,
    /// Bundles written since the start.
    pub bundles: u64,
    /// Suspect pulls since the start.
    pub suspect_pulls: u64,
    /// How long it has waited for room in the journal, or for the queue of streams, since the start.
    pub backpressure_seconds: f64,
    /// Faults since the start, by what failed (`pull`, `journal`, `bundle`, …).
    pub errors: BTreeMap<String, u64>,
    /// What failed last and has not succeeded since.
    pub trouble: Option<String>,
}

/// Streams that are not in the bucket.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StreamBacklog {
    /// Waited for.
    pub pending: u64,
    /// How long the oldest of them has been waited for, in seconds; `null` when there is none.
    pub oldest_pending_seconds: Option<f64>,
    /// Set aside after three starts in which they failed.
    pub failed: u64,
    /// Of these, some by name; a bounded number.
    pub failed_names: Vec<String>,
    /// Those that the dispatcher does not have.
    pub missing: u64,
}

/// What lies in the journal, and on what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JournalStatus {
    /// Bytes of answers that it has received whole, and that are not all in the bucket.
    pub bytes: u64,
    /// Bytes of room that pulls under way have taken: of each as many as its answer is expected to have, or has by now.
    pub reserved_bytes: u64,
    /// Bytes of answers that could not be understood and were put aside.
    pub aside_bytes: u64,
    /// The sum of these three: a feed waits where its next answer finds no room beside it.
    pub taken_bytes: u64,
    /// Bytes that this sum may have.
    pub max_bytes: u64,
    /// Bytes free on the volume of local state; `null` if it cannot be asked.
    pub volume_free_bytes: Option<u64>,
    /// Bytes of that volume.
    pub volume_bytes: Option<u64>,
}

/// How a restore stands.
#[derive(Clone, Debug, Serialize)]
pub struct RestoreStanding {
    /// Stage, sources, feeds, figures.
    pub progress: Progress,
    /// Bytes done, of those that are counted; as stored.
    pub bytes_done: u64,
    /// Bytes in all, once somebody has counted.
    pub bytes_total: Option<u64>,
    /// Until it is done, at the rate of the last minutes; `null` while nobody can tell.
    pub eta_seconds: Option<f64>,
    /// When an object last came to its end or was looked at, or a page of the bucket was listed.
    #[serde(serialize_with = "rfc3339_or_null")]
    pub last_progress: Option<Timestamp>,
    /// Which start of this restore this is, counted from 1; `null` before local state is open.
    pub starts: Option<u32>,
    /// Objects and events that could not be put back.
    pub dead_letters: u64,
    /// The sentence that it ended with.
    pub verdict: Option<String>,
}
