//! Whether events that are not taken are at fault, or what they are sent to; see [`super`].

use super::*;

/// So many events given up in a row ask for the witness.
pub(super) const IN_ROW: u32 = 5;

/// No more bundles than these are held in doubt, of all feeds together.
const MOST_HELD: u32 = 2;

/// So many bundles in a row of which nothing is taken, of whatever feeds, stop the restore. No fewer: a feed may well begin
/// with bundles of one bad event each, and must not be stuck at them.
pub(in crate::restore) const MOST_IN_ROW: u32 = 100;

/// What publishing a bundle came to.
pub(in crate::restore) enum Outcome {
    /// All of its events have come to their fate; those that could not be put back are dead letters.
    Done(EventFigures),
    /// None of it is taken, and nothing of its feed has been in this start. Nothing of this is durable.
    InDoubt(Doubt),
}

/// What is told of a bundle in doubt.
pub(in crate::restore) enum Doubt {
    /// Of each of its events.
    Events(Settled),
    /// Of all of it, for its version is not known.
    Whole(String),
}

/// Gives up what was in doubt.
///
/// # Errors
/// See [`Halt`].
pub(in crate::restore) async fn give_up(
    ports: &FeedRestorePorts,
    bundle: &Bundle,
    doubt: Doubt,
) -> Result<EventFigures, Halt> {
    let publishing = Publishing {
        ports,
        bundle,
        keeps: None,
    };
    match doubt {
        Doubt::Events(settled) => {
            publishing.count_not_wanted();
            publishing.figures(&settled).await
        }
        Doubt::Whole(reason) => {
            publishing
                .bury_whole(reason, told_events(&bundle.listed.key))
                .await
        }
    }
}

impl Publishing<'_> {
    /// Whether anything of the feed was taken before; what was is taken once more.
    ///
    /// # Errors
    /// It is not: `reason` is what is said of the others.
    pub(super) async fn others_are_taken(&self, reason: &str) -> Result<bool, Halt> {
        let feed = self.feed();
        let Some(bulk) = self.ports.witnesses.of(feed) else {
            return Ok(false);
        };
        let key = &self.bundle.listed.object.key;
        let name = format!("the last event of {feed} that was taken");
        let published = send(self.ports, feed, bulk, &name).await?;
        log::info!(key:% = key; "events of {key} are not taken ({reason}); {name} is published once more: {published:?}");
        let why = match published {
            Published::Took { ok: 1.., .. }
            | Published::Filtered { accounted: 1.., .. }
            | Published::AgedOff { .. } => return Ok(true),
            Published::Took { failed, refused, .. } => {
                said(&refused).unwrap_or_else(|| format!("200, with 0 events taken and {failed} refused"))
            }
            Published::Filtered { detail, .. } => detail,
            Published::NotTaken { reason } | Published::NotProduced { reason } => reason,
        };
        let detail = format_args!(
            "{reason}; {name} is not taken any more either ({why}), so it is not these events: see to the dispatcher, and \
             to what stands before it, and start again"
        );
        Err(Halt::Outage(Fault::transient(PUBLISH, key, detail)))
    }

    /// One more bundle of which nothing is taken; whether it can be held.
    ///
    /// # Errors
    /// It is one too many.
    pub(super) fn may_be_held(&self, reason: &str) -> Result<bool, Halt> {
        let key = &self.bundle.listed.object.key;
        let in_row = self.ports.witnesses.doubt();
        if in_row >= MOST_IN_ROW {
            let detail = format_args!(
                "{reason}; of {in_row} bundles in a row nothing was taken, so it may be the dispatcher, or what stands before \
                 it, and not the events: see to it, and start again (--source and --action restore other events meanwhile)"
            );
            return Err(Halt::Outage(Fault::transient(PUBLISH, key, detail)));
        }
        log::warn!(key:% = key, error:% = reason; "nothing of {key} is taken: {reason}");
        Ok(in_row <= MOST_HELD)
    }
}
