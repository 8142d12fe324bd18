//! The events of one bundle, published until each of them has come to its fate (see [`super::settling`]).
//!
//! # Who is to blame
//! A 422 or 400, or a 500 about events, speaks of events; said of event after event it may as well come from something
//! that takes none. So before the last events of a bundle are given up for such an answer, and before as many in a row as
//! [`blame::IN_ROW`], a [`witness`] is published once more: if it is not taken either, the restore stops with its
//! checkpoints intact. Where nothing of the feed has been taken yet in this start there is none. Then the first bundles
//! of which nothing is taken are held *in doubt*, neither done nor given up, until something is taken, of whatever feed,
//! or their feed ends; those that follow are given up as the answers say: only what speaks of events comes to this, and a
//! feed may begin with many small bundles that are bad. As many of them in a row as [`blame::MOST_IN_ROW`] stop the
//! restore.

mod blame;
pub(super) mod witness;

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use self::blame::IN_ROW;
#[cfg(test)]
pub(super) use self::blame::MOST_IN_ROW;
pub(super) use self::blame::{Doubt, Outcome, give_up};
use self::witness::Shows;
use super::bundle::{Bundle, told_events};
use super::feed::FeedRestorePorts;
use super::halt::Halt;
use super::progress::FeedProgress;
use super::put_back;
use super::settling::{Answer, Settled, Settling};
use crate::fault::Fault;
use crate::fault_point::{self, FaultPoint};
use crate::feed::Feed;
use crate::ports::archive::Store;
use crate::ports::restore_state::{DeadLetter, EventFigures, RestoreChange};
use crate::ports::target::{Published, Refused};
use crate::retry::RetryPolicy;
use crate::timestamp::Timestamp;

const PUBLISH: &str = "publish events";

const REFUSED: &str = "refused without a reason";

/// Publishes all events of a bundle that are wanted, in their order; returns what became of them.
///
/// # Errors
/// See [`Halt`]. What has been published of the bundle will be published again.
pub(super) async fn publish_bundle(
    ports: &FeedRestorePorts,
    bundle: &Bundle,
    keeps: Option<Duration>,
) -> Result<Outcome, Halt> {
    let publishing = Publishing { ports, bundle, keeps };
    let outcome = match bundle.version() {
        Some(_) => publishing.event_by_event().await?,
        None => publishing.as_a_whole().await?,
    };
    fault_point::pass(FaultPoint::RestoreBundlePublished);
    Ok(outcome)
}

struct Publishing<'a> {
    ports: &'a FeedRestorePorts,
    bundle: &'a Bundle,
    /// How long the source keeps events, where it does not keep them for ever.
    keeps: Option<Duration>,
}

impl Publishing<'_> {
    async fn event_by_event(&self) -> Result<Outcome, Halt> {
        let mut settling = Settling::new(self.bundle.runs());
        // Those given up since an event was last taken.
        let mut in_row: Option<(u32, String)> = None;
        // What may pass is given time once for a bundle, not at every cut.
        let mut patience = 1;
        while let Some(run) = settling.next() {
            let alone = run.end - run.start == 1;
            let mut published = self.publish(run.clone()).await?;
            if let Published::NotProduced { reason } = &published
                && (patience > 0 || alone)
            {
                log::warn!(error:% = reason; "{}: {reason}; publishing once more", self.name(&run));
                patience = 0;
                self.pause().await?;
                published = self.publish(run.clone()).await?;
            }
            match self.settle(&mut settling, run, published)? {
                Shows::Takes(_) => in_row = None,
                Shows::Nothing => {}
                Shows::Refuses(reason) => {
                    let count = in_row.map_or(0, |(count, _)| count) + 1;
                    let is_shown = count >= IN_ROW && self.others_are_taken(&reason).await?;
                    in_row = (!is_shown).then_some((count, reason));
                }
            }
        }
        let settled = settling.settled();
        if let Some((_, reason)) = in_row
            && !self.others_are_taken(&reason).await?
            && self.may_be_held(&reason)?
        {
            return Ok(Outcome::InDoubt(Doubt::Events(settled.clone())));
        }
        self.count_not_wanted();
        let figures = self.figures(settled).await?;
        let lost = settled.refused.iter().chain(&settled.given_up);
        let lost: BTreeSet<u64> = lost.map(|(event, _)| *event).collect();
        self.settle_letters(|event| match event {
            Some(event) => self.bundle.wants(event) && !lost.contains(&event),
            None => self.bundle.not_wanted() == 0,
        })
        .await?;
        Ok(Outcome::Done(figures))
    }

    fn count_not_wanted(&self) {
        let not_wanted = self.bundle.not_wanted();
        self.ports
            .standing
            .feed(self.feed(), |standing| standing.not_wanted += not_wanted);
    }

    /// What earlier restores of the same route gave up of this bundle, and is back now, is a letter no more.
    async fn settle_letters(&self, is_back: impl Fn(Option<u64>) -> bool) -> Result<(), Halt> {
        for form in self.bundle.listed.object.listed() {
            put_back::settle(&*self.ports.state, Store::Events, &form.key, &is_back).await?;
        }
        Ok(())
    }

    fn settle(&self, settling: &mut Settling, run: Range<u64>, published: Published) -> Result<Shows, Halt> {
        let answer = self.understood(run.clone(), published)?;
        let shows = Shows::of(&answer, &run);
        settling
            .take(answer)
            .map_err(|overclaimed| Halt::Outage(Fault::transient(PUBLISH, self.name(&run), overclaimed)))?;
        if let Shows::Takes(event) = shows {
            let alone = event..event + 1;
            // One that cannot be read is no witness; the next one may be.
            let bulk = || self.bundle.bulk(alone.clone()).ok();
            let length = self.bundle.length(&alone);
            self.ports.witnesses.taken(self.feed(), length, bulk);
        }
        Ok(shows)
    }

    fn understood(&self, run: Range<u64>, published: Published) -> Result<Answer, Halt> {
        Ok(match published {
            Published::Took { ok, failed, refused } => {
                let found = match failed {
                    0 => Some(Vec::new()),
                    _ => self.who_was_refused(run.clone(), failed, &refused)?,
                };
                match found {
                    Some(refused) => Answer::Took { ok, refused },
                    // Which ones were refused is only known when they stand alone.
                    None => Answer::NotTaken {
                        reason: said(&refused).unwrap_or_else(|| REFUSED.to_owned()),
                    },
                }
            }
            Published::Filtered { accounted, .. } => Answer::Filtered { accounted },
            Published::AgedOff { .. } => Answer::AgedOff {
                accounted: self.aged_off(run)?,
            },
            Published::NotTaken { reason } | Published::NotProduced { reason } => Answer::NotTaken { reason },
        })
    }

    /// The events that are refused by name; `None` if the names do not tell.
    fn who_was_refused(
        &self,
        run: Range<u64>,
        failed: u64,
        refused: &[Refused],
    ) -> Result<Option<Vec<(u64, String)>>, Halt> {
        if run.end - run.start == 1 && failed == 1 {
            let reason = said(refused).unwrap_or_else(|| REFUSED.to_owned());
            return Ok(Some(vec![(run.start, reason)]));
        }
        let mut places: HashMap<String, Option<u64>> = HashMap::new();
        let names = refused.iter().filter_map(|refused| refused.kafka_key.clone());
        places.extend(names.map(|name| (name, None)));
        self.look_at(run, |event, kafka_key, _| {
            if let Some(place) = places.get_mut(kafka_key) {
                place.get_or_insert(event);
            }
        })?;
        let found = refused.iter().map(|refused| {
            let place = refused.kafka_key.as_ref().and_then(|name| *places.get(name)?);
            place.map(|place| (place, refused.reason.clone()))
        });
        let found: Option<Vec<_>> = found.collect();
        Ok(found.filter(|found| places.len() as u64 == failed && found.len() as u64 == failed))
    }

    /// How many events from the front are older than the source keeps, by the settings.
    fn aged_off(&self, run: Range<u64>) -> Result<u64, Halt> {
        let Some(keeps) = self.keeps else { return Ok(0) };
        let now = Timestamp::now();
        let (mut count, mut all_old) = (0, true);
        self.look_at(run, |_, _, sourced| {
            all_old &= sourced.is_some_and(|sourced| sourced.after(keeps) < now);
            count += u64::from(all_old);
        })?;
        Ok(count)
    }

    fn look_at(&self, run: Range<u64>, see: impl FnMut(u64, &str, Option<Timestamp>)) -> Result<(), Halt> {
        Ok(self.bundle.look_at(run, see)?)
    }

    /// One answer to a run; outages are waited for as long as the settings allow.
    async fn publish(&self, run: Range<u64>) -> Result<Published, Halt> {
        let bulk = self.bundle.bulk(run.clone())?;
        send(self.ports, self.feed(), bulk, &self.name(&run)).await
    }

    fn feed(&self) -> &Feed {
        self.bundle.listed.key.feed()
    }

    /// Waits before the same events are published once more.
    async fn pause(&self) -> Result<(), Halt> {
        let RetryPolicy {
            average_delay,
            retries,
            ..
        } = &self.ports.retry;
        tokio::select! {
            () = tokio::time::sleep(*average_delay) => {
                retries.count(PUBLISH);
                Ok(())
            }
            () = self.ports.stop.raised() => Err(Halt::Stopped),
        }
    }

    fn name(&self, run: &Range<u64>) -> String {
        format!(
            "events {} to {} of {}",
            run.start, run.end, self.bundle.listed.object.key
        )
    }

    /// A version that is too new to be walked: the dispatcher may know better.
    async fn as_a_whole(&self) -> Result<Outcome, Halt> {
        let key = &self.bundle.listed.object.key;
        let events = told_events(&self.bundle.listed.key);
        match self.bundle.as_a_whole() {
            (true, false) => {}
            (true, true) => log::warn!(
                key:% = key;
                "the model version of {key} is not known here, so that its events cannot be told by time: it is taken \
                 whole, for the window touches the day of its name"
            ),
            (false, _) => {
                log::warn!(
                    key:% = key;
                    "the model version of {key} is not known here, so that its events cannot be told by time: it is left \
                     out whole, for the day of its name lies outside of the window"
                );
                let left_out = |standing: &mut FeedProgress| standing.not_wanted += events;
                self.ports.standing.feed(self.feed(), left_out);
                return Ok(Outcome::Done(EventFigures {
                    bundles: 1,
                    bytes: self.bundle.listed.object.size,
                    ..EventFigures::default()
                }));
            }
        }
        let whole = match self.bundle.whole() {
            Ok(whole) => whole,
            Err(fault) => {
                return self
                    .bury_whole(fault.to_string(), events)
                    .await
                    .map(Outcome::Done);
            }
        };
        let mut figures = EventFigures {
            bundles: 1,
            events,
            bytes: self.bundle.listed.object.size,
            ..EventFigures::default()
        };
        let published = send(self.ports, self.feed(), whole.clone(), key).await?;
        match &published {
            Published::Took { ok, failed: 0, .. } if *ok == events => figures.accepted = events,
            Published::Filtered { accounted, .. } if *accounted == events => figures.filtered = events,
            _ => return self.not_as_a_whole(published, events).await,
        }
        if events > 0 {
            let length = whole.len() as u64;
            self.ports.witnesses.taken(self.feed(), length, || Some(whole));
        }
        self.settle_letters(|_| true).await?;
        Ok(Outcome::Done(figures))
    }

    async fn not_as_a_whole(&self, published: Published, events: u64) -> Result<Outcome, Halt> {
        let reason = match published {
            Published::Took { ok, failed, refused } => format!(
                "its model version is not known here, and of its {events} events the dispatcher accepted {ok} and refused {failed}: {}",
                said(&refused).unwrap_or_default()
            ),
            Published::Filtered { detail, .. } | Published::AgedOff { detail } => detail,
            Published::NotTaken { reason } | Published::NotProduced { reason } => {
                if !self.others_are_taken(&reason).await? && self.may_be_held(&reason)? {
                    return Ok(Outcome::InDoubt(Doubt::Whole(reason)));
                }
                reason
            }
        };
        self.bury_whole(reason, events).await.map(Outcome::Done)
    }

    async fn bury_whole(&self, reason: String, events: u64) -> Result<EventFigures, Halt> {
        self.bury(None, reason).await?;
        Ok(EventFigures {
            bundles: 1,
            events,
            dead: events,
            bytes: self.bundle.listed.object.size,
            ..EventFigures::default()
        })
    }

    /// Counts what became of the events, and keeps those that could not be put back.
    async fn figures(&self, settled: &Settled) -> Result<EventFigures, Halt> {
        for (event, reason) in settled.refused.iter().chain(&settled.given_up) {
            self.bury(Some(*event), reason.clone()).await?;
        }
        Ok(EventFigures {
            bundles: 1,
            events: self.bundle.to_be_settled(),
            accepted: settled.accepted,
            refused: settled.refused.len() as u64,
            filtered: settled.filtered,
            dead: settled.given_up.len() as u64,
            bytes: self.bundle.listed.object.size,
            ..EventFigures::default()
        })
    }

    async fn bury(&self, event: Option<u64>, reason: String) -> Result<(), Halt> {
        let key = &self.bundle.listed.object.key;
        let (mut kafka_key, mut kept) = (None, None);
        if let Some(event) = event {
            let alone = event..event + 1;
            self.look_at(alone.clone(), |_, found, _| kafka_key = Some(found.to_owned()))?;
            kept = Some(self.bundle.bulk(alone)?);
            let name = kafka_key.as_deref().unwrap_or("");
            log::error!(key:% = key, error:% = reason; "event {event} ({name}) of {key} is a dead letter now: {reason}");
        } else {
            log::error!(key:% = key, error:% = reason; "{key} is a dead letter now: {reason}");
        }
        let letter = DeadLetter {
            event,
            kafka_key,
            event_bytes: kept.as_ref().map_or(0, |kept| kept.len() as u64),
            ..DeadLetter::of_object(Store::Events, key, reason, 1)
        };
        self.ports
            .state
            .record(RestoreChange::GivenUp(letter, kept))
            .await?;
        fault_point::pass(FaultPoint::RestoreEventBuried);
        Ok(())
    }
}

/// One answer to a bulk of events of `feed`; outages are waited for as long as the settings allow.
async fn send(ports: &FeedRestorePorts, feed: &Feed, bulk: Bytes, name: &str) -> Result<Published, Halt> {
    let FeedRestorePorts {
        target,
        retry,
        stop,
        requests,
        ..
    } = ports;
    let _turn = Arc::clone(requests).acquire_owned().await;
    let attempt = || target.publish(feed, bulk.clone());
    let published = tokio::select! {
        biased;
        published = retry.run(PUBLISH, &name, stop, attempt) => published,
        () = stop.raised() => return Err(Halt::Stopped),
    };
    Ok(published?)
}

/// Publishes one event, which is kept as a bulk, once more; the inner error says why it is not taken.
///
/// # Errors
/// See [`Halt`].
pub(super) async fn publish_kept(
    ports: &FeedRestorePorts,
    feed: &Feed,
    bulk: Bytes,
    name: &str,
) -> Result<Result<(), String>, Halt> {
    let mut settling = Settling::new(Some(0..1));
    let answer = match send(ports, feed, bulk, name).await? {
        Published::Took { ok, failed: 0, .. } => Answer::Took {
            ok,
            refused: Vec::new(),
        },
        Published::Took { refused, .. } => Answer::NotTaken {
            reason: said(&refused).unwrap_or_else(|| REFUSED.to_owned()),
        },
        Published::Filtered { accounted, .. } => Answer::Filtered { accounted },
        Published::AgedOff { .. } => Answer::AgedOff { accounted: 1 },
        Published::NotTaken { reason } | Published::NotProduced { reason } => Answer::NotTaken { reason },
    };
    let overclaimed = |overclaimed| Halt::Outage(Fault::transient(PUBLISH, name, overclaimed));
    settling.take(answer).map_err(overclaimed)?;
    Ok(match settling.settled().given_up.first() {
        None => Ok(()),
        Some((_, reason)) => Err(reason.clone()),
    })
}

/// The first reason that is told.
fn said(refused: &[Refused]) -> Option<String> {
    refused.first().map(|refused| refused.reason.clone())
}

#[cfg(test)]
mod sums;
