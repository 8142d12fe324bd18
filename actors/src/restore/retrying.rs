//! Dead letters, tried once more: what is put back is settled, what is not stays with the reason of this time.

use super::bundle::fetch;
use super::feed::FeedRestorePorts;
use super::halt::Halt;
use super::in_time_order::ListedBundle;
use super::listed_key;
use super::publishing::{publish_bundle, publish_kept};
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
}

/// Tries one letter again.
///
/// # Errors
/// See [`Halt`]: bucket, dispatcher or local state do not work, which says nothing of the letter.
pub async fn retry_letter(ports: &RetryPorts, letter: &DeadLetter) -> Result<Retried, Halt> {
    let tried = match (letter.store, letter.event) {
        (Store::Streams, _) => stream(ports, letter).await?,
        (Store::Events, Some(_)) => event(ports, letter).await?,
        (Store::Events, None) => bundle(ports, letter).await?,
    };
    let change = match &tried {
        Retried::Settled | Retried::InPart(_) => RestoreChange::LetterSettled(letter.clone()),
        Retried::Stays(reason) => {
            let kept = ports.events.state.letter_event(letter).await?;
            let again = DeadLetter {
                reason: reason.clone(),
                attempts: 1,
                since: Timestamp::now(),
                ..letter.clone()
            };
            RestoreChange::GivenUp(again, kept)
        }
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
    let Some(kept) = ports.events.state.letter_event(letter).await? else {
        return Ok(Retried::Stays("the event itself was not kept".to_owned()));
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
    let listed = ListedBundle {
        key: listed.name,
        object: ListedObject {
            key: letter.key.clone(),
            size: 0,
            last_modified: None,
        },
    };
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
    let figures = publish_bundle(&ports.events, &bundle, None).await?;
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
