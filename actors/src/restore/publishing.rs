//! The events of one bundle, published until each of them has come to its fate (see [`super::settling`]).

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::bundle::Bundle;
use super::feed::FeedRestorePorts;
use super::halt::Halt;
use super::settling::{Answer, Settled, Settling};
use crate::fault::Fault;
use crate::fault_point::{self, FaultPoint};
use crate::feed::Feed;
use crate::ports::archive::Store;
use crate::ports::restore_state::{DeadLetter, EventFigures, RestoreChange};
use crate::ports::target::{Published, Refused};
use crate::timestamp::Timestamp;

const PUBLISH: &str = "publish events";

const REFUSED: &str = "refused without a reason";

/// Publishes all events of a bundle that are wanted, in their order; returns what became of them. Those that could
/// not be put back are dead letters by then.
///
/// # Errors
/// See [`Halt`]. What has been published of the bundle will be published again.
pub(super) async fn publish_bundle(
    ports: &FeedRestorePorts,
    bundle: &Bundle,
    keeps: Option<Duration>,
) -> Result<EventFigures, Halt> {
    let publishing = Publishing { ports, bundle, keeps };
    let figures = match bundle.version() {
        Some(_) => publishing.event_by_event().await?,
        None => publishing.as_a_whole().await?,
    };
    fault_point::pass(FaultPoint::RestoreBundlePublished);
    Ok(figures)
}

struct Publishing<'a> {
    ports: &'a FeedRestorePorts,
    bundle: &'a Bundle,
    /// How long the source keeps events, where it does not keep them for ever.
    keeps: Option<Duration>,
}

impl Publishing<'_> {
    async fn event_by_event(&self) -> Result<EventFigures, Halt> {
        let mut settling = Settling::new(self.bundle.runs());
        // What may pass is given time once for a bundle, not at every cut.
        let mut patience = 1;
        while let Some(run) = settling.next() {
            let alone = run.end - run.start == 1;
            match self.publish(run.clone()).await? {
                Published::NotProduced { reason } if patience > 0 || alone => {
                    log::warn!(error:% = reason; "{}: {reason}; publishing once more", self.name(&run));
                    patience = 0;
                    self.pause().await?;
                    let again = self.publish(run.clone()).await?;
                    self.settle(&mut settling, run, again)?;
                }
                published => self.settle(&mut settling, run, published)?,
            }
        }
        let not_wanted = self.bundle.not_wanted();
        let feed = self.bundle.listed.key.feed();
        self.ports
            .standing
            .feed(feed, |standing| standing.not_wanted += not_wanted);
        self.figures(settling.settled()).await
    }

    fn settle(&self, settling: &mut Settling, run: Range<u64>, published: Published) -> Result<(), Halt> {
        let answer = self.understood(run.clone(), published)?;
        settling
            .take(answer)
            .map_err(|overclaimed| Halt::Outage(Fault::transient(PUBLISH, self.name(&run), overclaimed)))
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

    async fn pause(&self) -> Result<(), Halt> {
        tokio::select! {
            () = tokio::time::sleep(self.ports.retry.average_delay) => Ok(()),
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
    async fn as_a_whole(&self) -> Result<EventFigures, Halt> {
        let key = &self.bundle.listed.object.key;
        let events = self.bundle.listed.key.count();
        let whole = match self.bundle.whole() {
            Ok(whole) => whole,
            Err(fault) => return self.bury_whole(fault.to_string(), events).await,
        };
        let mut figures = EventFigures {
            bundles: 1,
            events,
            bytes: self.bundle.listed.object.size,
            ..EventFigures::default()
        };
        let reason = match send(self.ports, self.feed(), whole, key).await? {
            Published::Took { ok, failed: 0, .. } if ok == events => {
                figures.accepted = ok;
                return Ok(figures);
            }
            Published::Filtered { accounted, .. } if accounted == events => {
                figures.filtered = accounted;
                return Ok(figures);
            }
            Published::Took { ok, failed, refused } => format!(
                "its model version is not known here, and of its {events} events the dispatcher accepted {ok} and refused {failed}: {}",
                said(&refused).unwrap_or_default()
            ),
            Published::Filtered { detail, .. } | Published::AgedOff { detail } => detail,
            Published::NotTaken { reason } | Published::NotProduced { reason } => reason,
        };
        self.bury_whole(reason, events).await
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
            events: settled.events(),
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
            store: Store::Events,
            key: key.clone(),
            event,
            kafka_key,
            reason,
            attempts: 1,
            since: Timestamp::now(),
            event_bytes: kept.as_ref().map_or(0, |kept| kept.len() as u64),
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
