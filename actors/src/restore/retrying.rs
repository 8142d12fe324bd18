//! Dead letters, tried once more: what is put back is settled, what is not stays with the reason of this time. One that
//! cannot be tried, for bucket or dispatcher do not answer, stays as it is, and keeps no other from being tried.

use super::bundle::fetch;
use super::feed::{FeedRestorePorts, short};
use super::halt::Halt;
use super::in_time_order::ListedBundle;
use super::listed_key;
use super::publishing::{Doubt, Outcome, publish_bundle, publish_kept};
use super::selection::Window;
use super::stream::{Ask, Restored, StreamRestorePorts, StreamRestoreTerms, restore_stream};
use crate::fault::{Fault, FaultKind};
use crate::ports::archive::{ListedObject, Store};
use crate::ports::restore_state::{DeadLetter, RestoreChange};
use crate::timestamp::Timestamp;

/// What a letter is tried again with.
pub struct RetryPorts {
    /// For events and bundles.
    pub events: FeedRestorePorts,
    /// For streams.
    pub streams: StreamRestorePorts,
    /// For streams.
    pub terms: StreamRestoreTerms,
}

/// What became of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retried {
    /// It is put back, and a letter no more.
    Settled,
    /// The bundle could be read after all; so many of its events could not be put back and are letters of their own.
    InPart(u64),
    /// It stays, for this reason.
    Stays(String),
    /// It could not be tried, for this reason, which says nothing of it: nothing is changed.
    Failed(String),
}

/// Tries one letter again.
///
/// # Errors
/// It is to stop, or local state does not work: nothing can be tried. See [`Halt`].
pub async fn retry_letter(ports: &RetryPorts, letter: &DeadLetter) -> Result<Retried, Halt> {
    let tried = match (letter.store, letter.event) {
        (Store::Streams, _) => stream(ports, letter).await,
        (Store::Events, Some(_)) => event(ports, letter).await,
        (Store::Events, None) => bundle(ports, letter).await,
    };
    let tried = match tried {
        Err(Halt::Outage(fault)) => return Ok(Retried::Failed(fault.to_string())),
        tried => tried?,
    };
    let change = match &tried {
        Retried::Settled | Retried::InPart(_) => RestoreChange::LetterSettled(letter.clone()),
        Retried::Stays(reason) => {
            let again = DeadLetter {
                reason: reason.clone(),
                attempts: 1,
                since: Timestamp::now(),
                ..letter.clone()
            };
            // It keeps its event.
            RestoreChange::GivenUp(again, None)
        }
        Retried::Failed(_) => return Ok(tried),
    };
    ports.events.state.record(change).await?;
    Ok(tried)
}

const NO_KEY: &str = "its key is not one of a backup";

async fn stream(ports: &RetryPorts, letter: &DeadLetter) -> Result<Retried, Halt> {
    let Ok(listed) = listed_key::stream(&letter.key) else {
        return Ok(Retried::Stays(NO_KEY.to_owned()));
    };
    let restored = restore_stream(
        &ports.streams,
        &ports.terms,
        &listed.name,
        &letter.key,
        Ask::Never,
    )
    .await;
    Ok(match restored {
        Restored::Uploaded { .. } | Restored::There => Retried::Settled,
        Restored::Gone => Retried::Stays("it is not in the bucket".to_owned()),
        Restored::Absent => Retried::Stays("the dispatcher does not have it".to_owned()),
        Restored::Dead(fault) => Retried::Stays(fault.to_string()),
        Restored::Failed(fault) => return Err(Halt::Outage(fault)),
        Restored::Stopped => return Err(Halt::Stopped),
    })
}

async fn event(ports: &RetryPorts, letter: &DeadLetter) -> Result<Retried, Halt> {
    let Ok(listed) = listed_key::bundle(&letter.key) else {
        return Ok(Retried::Stays(NO_KEY.to_owned()));
    };
    let kept = match ports.events.state.letter_event(letter).await {
        Ok(Some(kept)) => kept,
        Ok(None) => return Ok(Retried::Stays("the event itself was not kept".to_owned())),
        // Of one file nothing follows for the others.
        Err(fault) => return Ok(Retried::Failed(fault.to_string())),
    };
    Ok(
        match publish_kept(&ports.events, listed.name.feed(), kept, &letter.key).await? {
            Ok(()) => Retried::Settled,
            Err(reason) => Retried::Stays(reason),
        },
    )
}

async fn bundle(ports: &RetryPorts, letter: &DeadLetter) -> Result<Retried, Halt> {
    let Ok(listed) = listed_key::bundle(&letter.key) else {
        return Ok(Retried::Stays(NO_KEY.to_owned()));
    };
    let object = ListedObject {
        key: letter.key.clone(),
        size: 0,
        last_modified: None,
    };
    let listed = ListedBundle::new(listed.name, object);
    let FeedRestorePorts {
        archive,
        retry,
        stop,
        spool,
        memory,
        ..
    } = &ports.events;
    let attempt = || fetch(&**archive, &listed, Window::default(), (spool, memory));
    let bundle = match retry.run("fetch bundle", &letter.key, stop, attempt).await {
        Ok(bundle) => bundle,
        Err(fault) => return stays_or_halts(fault),
    };
    let figures = match publish_bundle(&ports.events, &bundle, None).await? {
        Outcome::Done(figures) => figures,
        Outcome::InDoubt(Doubt::Whole(reason)) => return Ok(Retried::Stays(reason)),
        Outcome::InDoubt(Doubt::Events(settled)) => {
            let reason = settled.given_up.first().map_or("", |(_, reason)| reason.as_str());
            return Ok(Retried::Stays(format!("none of its events is taken: {reason}")));
        }
    };
    if let Some((holds, said)) = bundle.belies_its_name()
        && holds < said
    {
        return Ok(Retried::Stays(short(holds, said)));
    }
    Ok(match figures.refused + figures.dead {
        0 => Retried::Settled,
        // It was refused as a whole once more, and is this very letter again.
        dead if bundle.version().is_none() => {
            Retried::Stays(format!("{dead} events of an unknown version are refused"))
        }
        dead => Retried::InPart(dead),
    })
}

fn stays_or_halts(fault: Fault) -> Result<Retried, Halt> {
    match fault.kind() {
        FaultKind::Corrupt | FaultKind::Missing => Ok(Retried::Stays(fault.to_string())),
        _ => Err(fault.into()),
    }
}
