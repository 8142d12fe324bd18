//! What is looked at before anything is uploaded: a restore takes days, and what stands against it is to be known in its
//! first minute.
//!
//! * Each URL of the dispatcher that the selection needs answers as a dispatcher does.
//! * Each bucket that it needs is there, and can be listed.
//! * With `--skip-existing`: the dispatcher says of a binary that cannot be there that it is not.
//! * Which of the sources that were asked for are empty; what is left behind in the bucket.
//!
//! Where one of the first three does not hold, nothing is begun. An empty source does not keep the others from being
//! restored, for after a disaster whoever has something wants it back; where all are empty there is nothing to begin.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hasher as _};

use futures_util::StreamExt as _;
use futures_util::stream;

use super::conductor::RestoreTask;
use super::feed::{FeedRestorePorts, FeedRestoreRules};
use super::halt::Halt;
use super::listed_key;
use super::plan::left_behind;
use super::progress::{events_are_expected, no_events, no_streams};
use crate::fault::{Fault, FaultKind};
use crate::feed::{Feed, SourceName};
use crate::ports::archive::Store;
use crate::stream_id::{Sha256, StreamId};

/// How many sources are looked at side by side.
const SIDE_BY_SIDE: usize = 8;

/// Whether there is anything to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There is, of some source at least.
    Something,
    /// Everything that is selected is empty.
    Nothing,
}

/// Takes the look; what it finds is told, and noted for the report.
///
/// # Errors
/// [`Halt::Unfit`]: what stands against the restore, all of it in one sentence.
pub(super) async fn look(task: &RestoreTask) -> Result<Found, Halt> {
    let against = [unfit_dispatcher(task).await?, unfit_buckets(task).await?].concat();
    if !against.is_empty() {
        return Err(unfit(against));
    }
    if task.skip_existing && !heads_are_believable(task).await? {
        return Err(unfit(vec![
            "the dispatcher says that it has a stream that cannot be there: what answers at BK__DISPATCHER_STREAMS says so of \
             everything, and --skip-existing would send nothing; restore without it"
                .to_owned(),
        ]));
    }
    let ports = &task.feed_ports;
    let left = left_behind(&*ports.archive, &task.terms, &ports.stop).await;
    left.notes().iter().for_each(|note| log::warn!("{note}"));
    ports.standing.update(|progress| progress.left_behind = left);
    look_for_empty(task).await
}

fn unfit(against: Vec<String>) -> Halt {
    Halt::Unfit(format!("{} (nothing was uploaded)", against.join("; and ")))
}

/// Looks for sources without anything, and notes them.
///
/// # Errors
/// The bucket cannot be listed.
pub(super) async fn look_for_empty(task: &RestoreTask) -> Result<Found, Halt> {
    let selection = &task.terms.selection;
    if selection.keys().is_some() || !selection.sha256s().is_empty() {
        // Objects are looked for one by one; that is all there is to it.
        return Ok(Found::Something);
    }
    let (streams, events) = (empty_of_streams(task).await?, empty_of_events(task).await?);
    let is_all = streams.len() == task.sources.len() && events.len() == sources_of(&task.feeds).len();
    let expected = events
        .iter()
        .filter(|source| events_are_expected(source, selection));
    let mut empty: Vec<String> = streams.iter().map(no_streams).collect();
    empty.extend(expected.map(no_events));
    if is_all && empty.is_empty() {
        empty.push("nothing of what is selected is in the bucket".to_owned());
    }
    for what in &empty {
        log::warn!("{what}");
    }
    if !is_all && !empty.is_empty() && !task.allow_empty {
        log::warn!(
            "the others are restored, and this restore will end with exit code 1 all the same, unless something comes \
             meanwhile (--allow-empty lets that pass)"
        );
    }
    task.feed_ports.standing.update(|progress| progress.empty = empty);
    Ok(if is_all { Found::Nothing } else { Found::Something })
}

/// Whether the dispatcher can be asked what it has. Something before it that answers 200 to everything would make every
/// stream one that is there already.
///
/// # Errors
/// It does not answer, or not as a dispatcher does.
pub(super) async fn heads_are_believable(task: &RestoreTask) -> Result<bool, Fault> {
    let Some((source, _)) = task.sources.first() else {
        return Ok(true);
    };
    let FeedRestorePorts {
        target, retry, stop, ..
    } = &task.feed_ports;
    let sha256 = of_nothing().to_string();
    let nowhere = StreamId::new(source.as_str(), "content", &sha256)
        .map_err(|error| Fault::rejected("ask for stream", &sha256, error))?;
    let exists = || target.exists(&nowhere);
    Ok(!retry.run("head stream", &nowhere, stop, exists).await?)
}

/// The hash of no binary: nobody can know it beforehand.
fn of_nothing() -> Sha256 {
    let random = [(); 4].map(|()| RandomState::new().build_hasher().finish().to_be_bytes());
    Sha256::of(&random.concat())
}

async fn unfit_dispatcher(task: &RestoreTask) -> Result<Vec<String>, Halt> {
    let FeedRestorePorts {
        target, retry, stop, ..
    } = &task.feed_ports;
    let mut against = Vec::new();
    for (sent, setting) in needed(task, "BK__DISPATCHER_STREAMS", "BK__DISPATCHER_EVENTS") {
        let probe = || target.probe(sent);
        let probed = retry.run("probe dispatcher", &setting, stop, probe).await;
        if let Err(fault) = probed {
            against.push(told(
                &fault,
                format_args!("the dispatcher cannot be used, look at {setting}"),
            )?);
        }
    }
    Ok(against)
}

async fn unfit_buckets(task: &RestoreTask) -> Result<Vec<String>, Halt> {
    let FeedRestorePorts {
        archive, retry, stop, ..
    } = &task.feed_ports;
    let mut against = Vec::new();
    for (store, name) in needed(task, "the bucket of streams", "the bucket of events") {
        let list = || archive.list(store, "", None);
        let listed = retry.run("list bucket", &name, stop, list).await;
        if let Err(fault) = listed {
            let what = match fault.kind() {
                FaultKind::Missing => "does not exist",
                _ => "cannot be listed",
            };
            let advice = "look at BK__EXTERNAL_BACKUP__… and BK__BACKUP_ID";
            against.push(told(&fault, format_args!("{name} {what}, {advice}"))?);
        }
    }
    Ok(against)
}

/// What the selection needs, each with what it is called.
fn needed(
    task: &RestoreTask,
    of_streams: &'static str,
    of_events: &'static str,
) -> impl Iterator<Item = (Store, &'static str)> {
    let streams = (!task.sources.is_empty()).then_some((Store::Streams, of_streams));
    let events = (!task.feeds.is_empty()).then_some((Store::Events, of_events));
    streams.into_iter().chain(events)
}

fn told(fault: &Fault, what: impl std::fmt::Display) -> Result<String, Halt> {
    match fault.kind() {
        FaultKind::Cancelled => Err(Halt::Stopped),
        _ => Ok(format!("{what}: {fault}")),
    }
}

async fn empty_of_streams(task: &RestoreTask) -> Result<Vec<SourceName>, Halt> {
    let labels = task.terms.selection.labels();
    let sources = task.sources.iter().map(|(source, _)| async move {
        let prefixes = match labels.is_empty() {
            true => vec![format!("{source}/")],
            false => labels.iter().map(|label| format!("{source}/{label}/")).collect(),
        };
        let is_empty = hold_nothing(task, Store::Streams, &prefixes).await?;
        Ok::<_, Halt>(is_empty.then(|| source.clone()))
    });
    empty(sources).await
}

async fn empty_of_events(task: &RestoreTask) -> Result<Vec<SourceName>, Halt> {
    let sources = sources_of(&task.feeds).into_iter();
    let sources = sources.map(|(source, feeds)| async move {
        let prefixes: Vec<String> = feeds.iter().map(|feed| format!("{feed}/")).collect();
        let is_empty = hold_nothing(task, Store::Events, &prefixes).await?;
        Ok::<_, Halt>(is_empty.then(|| source.clone()))
    });
    empty(sources).await
}

fn sources_of(feeds: &[FeedRestoreRules]) -> BTreeMap<&SourceName, BTreeSet<&Feed>> {
    let mut sources: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for FeedRestoreRules { feed, .. } in feeds {
        sources.entry(feed.source()).or_default().insert(feed);
    }
    sources
}

async fn empty<F: Future<Output = Result<Option<SourceName>, Halt>>>(
    sources: impl Iterator<Item = F>,
) -> Result<Vec<SourceName>, Halt> {
    let mut looks = stream::iter(sources).buffered(SIDE_BY_SIDE);
    let mut empty = Vec::new();
    while let Some(looked) = looks.next().await {
        empty.extend(looked?);
    }
    Ok(empty)
}

/// Whether no object lies below any of these prefixes.
async fn hold_nothing(task: &RestoreTask, store: Store, prefixes: &[String]) -> Result<bool, Halt> {
    let FeedRestorePorts {
        archive, retry, stop, ..
    } = &task.feed_ports;
    for prefix in prefixes {
        let list = || archive.list(store, prefix, None);
        let page = retry.run("list bucket", prefix, stop, list).await?;
        if page.more || !page.objects.iter().all(listed_key::is_folder_marker) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
