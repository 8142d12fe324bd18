//! What somebody should look at, worst first, each with what to do: the first thing on the page.

use std::time::Duration;

use actors::timestamp::Timestamp;

use super::words::{bytes, clock, percent, seconds, some, span};
use crate::observe::health;
use crate::observe::snapshot::{BackupStanding, FeedStatus, JournalStatus, RestoreStanding, Snapshot};

/// Sign of life: it comes every second.
const QUIET_SECONDS: f64 = 10.0;

/// A feed that is behind is told of after this time: a full answer now and then is the work itself.
const BEHIND: Duration = Duration::from_secs(15 * 60);

/// Of the journal's or the volume's room, what is called full.
pub(super) const FULL_PERCENT: u64 = 80;

/// One thing to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Concern {
    /// Whether something is wrong, rather than worth knowing.
    pub(super) is_bad: bool,
    /// What.
    pub(super) what: String,
    /// What to do about it.
    pub(super) advice: &'static str,
}

fn bad(what: impl Into<String>, advice: &'static str) -> Concern {
    Concern {
        is_bad: true,
        what: what.into(),
        advice,
    }
}

fn notable(what: impl Into<String>, advice: &'static str) -> Concern {
    Concern {
        is_bad: false,
        ..bad(what, advice)
    }
}

/// All of it.
pub(super) fn concerns(snapshot: &Snapshot) -> Vec<Concern> {
    let mut concerns = Vec::new();
    if let Some(quiet) = snapshot.last_sign_of_life_seconds
        && quiet >= QUIET_SECONDS
        && snapshot.stage != "ended"
    {
        let what = format!("The actors have given no sign of life for {}.", seconds(quiet));
        concerns.push(bad(
            what,
            "The program ends itself after a minute of that, and is started again.",
        ));
    }
    for reason in health::not_ready(snapshot) {
        concerns.push(bad(format!("Not ready: {reason}"), ""));
    }
    if let Some(backup) = &snapshot.backup {
        of_backup(backup, snapshot, &mut concerns);
    }
    if let Some(restore) = &snapshot.restore {
        of_restore(restore, &mut concerns);
    }
    concerns.sort_by_key(|concern| !concern.is_bad);
    concerns
}

fn of_backup(backup: &BackupStanding, snapshot: &Snapshot, concerns: &mut Vec<Concern>) {
    of_streams(backup, concerns);
    of_feeds(&backup.feeds, snapshot.taken, concerns);
    of_room(&backup.journal, concerns);
}

fn of_streams(
    BackupStanding {
        streams,
        suspect_pulls: spans,
        suspect_pulls_in_all: pulls,
        ..
    }: &BackupStanding,
    concerns: &mut Vec<Concern>,
) {
    if streams.failed > 0 {
        let failed = some(streams.failed, "stream", "streams");
        concerns.push(bad(
            format!("Could not be stored, set aside: {failed}."),
            "azul-backup failed-streams tells why; with --retry they are tried again.",
        ));
    }
    if *spans > 0 {
        let (pulls, spans) = (some(*pulls, "pull", "pulls"), some(*spans, "span", "spans"));
        concerns.push(bad(
            format!("May have cost events: {pulls}, in {spans} of time."),
            "azul-backup suspect-pulls tells which feeds, and when.",
        ));
    }
    if streams.missing > 0 {
        let missing = some(streams.missing, "stream", "streams");
        concerns.push(notable(
            format!("Missing at the dispatcher: {missing}."),
            "azul-backup failed-streams lists them.",
        ));
    }
}

fn of_feeds(feeds: &[FeedStatus], now: Timestamp, concerns: &mut Vec<Concern>) {
    let in_trouble = feeds.iter().filter(|feed| feed.trouble.is_some()).count();
    if in_trouble > 0 {
        let feeds = some(in_trouble as u64, "feed", "feeds");
        concerns.push(bad(
            format!("Something failed and has not succeeded since, in {feeds}."),
            "See the table of feeds; it is tried again by itself.",
        ));
    }
    let since = feeds.iter().filter_map(|feed| feed.behind_since);
    let behind: Vec<_> = since.filter(|since| now.since(*since) >= BEHIND).collect();
    if let Some(first) = behind.iter().min() {
        let (feeds, time) = (
            some(behind.len() as u64, "feed", "feeds"),
            span(now.since(*first)),
        );
        concerns.push(notable(
            format!("Behind: {feeds}, the first since {} (for {time}).", clock(*first)),
            "Normal for a first backup; otherwise see what they wait for.",
        ));
    }
}

fn of_room(journal: &JournalStatus, concerns: &mut Vec<Concern>) {
    let (taken, most) = (journal.taken_bytes, journal.max_bytes);
    if most > 0 && percent(taken, most) >= FULL_PERCENT {
        let (taken, most) = (bytes(taken), bytes(most));
        concerns.push(bad(
            format!(
                "The journal holds {taken} of {most}, with what is put aside and what pulls have reserved."
            ),
            "Feeds wait when it is full: is the bucket slow, or away?",
        ));
    }
    if let (Some(free), Some(whole)) = (journal.volume_free_bytes, journal.volume_bytes)
        && percent(whole.saturating_sub(free), whole) >= FULL_PERCENT
    {
        let (free, whole) = (bytes(free), bytes(whole));
        concerns.push(bad(
            format!("The volume of local state has {free} free of {whole}."),
            "Below 32 MiB nothing is pulled: make it larger.",
        ));
    }
    if journal.aside_bytes > 0 {
        let aside = bytes(journal.aside_bytes);
        concerns.push(bad(
            format!("{aside} of answers could not be understood and were put aside."),
            "They lie beside the journal, each with its reason; none of it is in the bucket.",
        ));
    }
}

fn of_restore(restore: &RestoreStanding, concerns: &mut Vec<Concern>) {
    if restore.dead_letters > 0 {
        let dead = some(restore.dead_letters, "object or event", "objects or events");
        concerns.push(bad(
            format!("Could not be put back: {dead}."),
            "azul-backup dead-letters tells which, and why; with --retry they are tried again.",
        ));
    }
    let left_behind = &restore.progress.left_behind;
    let left = [
        (left_behind.sources.len() as u64, "source", "sources"),
        (
            left_behind.folders.len() as u64,
            "folder of no feed",
            "folders of no feed",
        ),
        (left_behind.strays.count, "stray key", "stray keys"),
    ];
    let left = left.into_iter().filter(|(count, ..)| *count > 0);
    let left: Vec<String> = left.map(|(count, one, many)| some(count, one, many)).collect();
    if !left.is_empty() {
        let what = format!("In the bucket and not restored: {}.", left.join(", "));
        concerns.push(notable(what, "They are listed below."));
    }
    let absent = restore.progress.absent.len();
    if absent > 0 {
        let hashes = some(absent as u64, "hash", "hashes");
        let what = format!("Asked for, and in no source: {hashes}.");
        concerns.push(bad(what, "They are listed below."));
    }
}
