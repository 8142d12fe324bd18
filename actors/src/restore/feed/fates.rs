//! What becomes of a bundle: noted, given up, or gone.

use super::*;
use crate::restore::bundle::told_events;

/// Whether a bundle that the bucket says is not there is in its listing all the same.
pub(super) async fn is_listed(ports: &FeedRestorePorts, listed: &ListedBundle) -> Result<bool, Halt> {
    let FeedRestorePorts {
        archive, retry, stop, ..
    } = ports;
    for key in listed.object.listed().map(|form| &form.key) {
        let list = || archive.list(Store::Events, key, None);
        let page = retry.run("list bucket", key, stop, list).await?;
        if listed_key::lists(&page, key) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A bundle that has aged off since it was listed.
pub(super) async fn gone(ports: &FeedRestorePorts, feed: &Feed, listed: &ListedBundle) -> Result<(), Halt> {
    let key = &listed.object.key;
    log::warn!(key:% = key; "{key} is not in the bucket any more: it has aged off since it was listed");
    let figures = EventFigures {
        gone: 1,
        ..EventFigures::default()
    };
    done(ports, feed, listed, figures).await
}

/// A bundle that holds another number of events than its name says is told. What its name says and it does not hold is
/// missing from the backup: a dead letter, so that nobody takes such a feed for complete.
pub(super) async fn by_its_name(
    ports: &FeedRestorePorts,
    bundle: &Bundle,
    mut figures: EventFigures,
) -> Result<EventFigures, Halt> {
    let Some((holds, said)) = bundle.belies_its_name() else {
        return Ok(figures);
    };
    let key = &bundle.listed.object.key;
    ports.standing.update(|progress| progress.misnamed += 1);
    log::warn!(key:% = key; "{key} holds {holds} events, its name says {said}");
    let missing = said.saturating_sub(holds);
    if missing > 0 {
        let short = Fault::corrupt("restore bundle", key, short(holds, said));
        bury_object(ports, key, &short).await?;
        figures.events += missing;
        figures.dead += missing;
    }
    Ok(figures)
}

/// Why a bundle with too few events is a dead letter.
pub(in crate::restore) fn short(holds: u64, said: u64) -> String {
    format!(
        "the bundle holds {holds} events, its name says {said}: the others are not in the backup; those that it holds are \
         restored"
    )
}

/// A bundle of which nothing can be restored: its name tells how many events it has.
pub(super) async fn bury(
    ports: &FeedRestorePorts,
    feed: &Feed,
    listed: &ListedBundle,
    fault: &Fault,
) -> Result<(), Halt> {
    let fault = listed.object.blame(fault);
    bury_object(ports, listed.object.preferred_key(), &fault).await?;
    let events = told_events(&listed.key);
    let figures = EventFigures {
        unreadable: 1,
        events,
        dead: events,
        bytes: listed.object.size,
        ..EventFigures::default()
    };
    done(ports, feed, listed, figures).await
}

pub(super) async fn bury_object(ports: &FeedRestorePorts, key: &str, fault: &Fault) -> Result<(), Halt> {
    log::error!(error:% = fault; "{fault}; it is a dead letter now, the others go on");
    let letter = DeadLetter::of_object(Store::Events, key, fault, fault.attempts());
    ports.state.record(RestoreChange::GivenUp(letter, None)).await?;
    fault_point::pass(FaultPoint::RestoreBundleBuried);
    Ok(())
}

pub(super) async fn done(
    ports: &FeedRestorePorts,
    feed: &Feed,
    listed: &ListedBundle,
    figures: EventFigures,
) -> Result<(), Halt> {
    let reached = listed.key.timestamp();
    let mut figures = Some(figures);
    for form in listed.object.listed() {
        if ports.state.done(feed, reached, &form.key, form.size)?.is_some() {
            continue;
        }
        // One form that could be read stands for both. Otherwise either has to be known: another one is a new one.
        let is_enough = figures.is_some_and(|figures| figures.bundles > 0);
        note(ports, feed, reached, form, figures.take().unwrap_or_default()).await?;
        if is_enough {
            break;
        }
    }
    ports
        .standing
        .feed(feed, |standing| standing.reached = Some(reached));
    Ok(())
}

pub(super) async fn note(
    ports: &FeedRestorePorts,
    feed: &Feed,
    timestamp: Timestamp,
    object: &ListedObject,
    figures: EventFigures,
) -> Result<(), Halt> {
    let done = BundleDone {
        feed: feed.clone(),
        timestamp,
        key: object.key.clone(),
        size: object.size,
        figures,
    };
    ports.state.record(RestoreChange::BundleDone(done)).await?;
    fault_point::pass(FaultPoint::RestoreBundleDone);
    ports.standing.feed(feed, |standing| standing.figures += figures);
    Ok(())
}

#[cfg(test)]
mod tests;
