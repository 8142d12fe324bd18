//! Names the streams of a journaled batch to the hit cache, some hundred at a time.

use actix::Recipient;
use tokio::sync::mpsc;

use super::FeedPorts;
use super::rescue::{BatchFault, Verdict, examine, set_batch_aside};
use crate::avro::BulkVersion;
use crate::avro::bulk::visit_events;
use crate::fault_point::{self, FaultPoint};
use crate::feed::Model;
use crate::hit_cache::NameStreams;
use crate::ports::state::{BatchRow, Change, StateFault};
use crate::stream_id::StreamId;

/// How often it is tried to name the streams of a batch that can be read.
const TRIES: u32 = 3;

/// What became of a batch whose streams were to be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// The highest ticket, for the feed to wait for.
    Ticket(Option<u64>),
    /// It cannot be read, and is in the journal no more.
    SetAside,
}

/// How many streams are named by one message: a batch may name any number, memory holds this many.
const STREAMS_AT_ONCE: usize = 256;

/// Makes a pending row of every well-formed stream that the batch names, and then notes that it is done, unless
/// that had been noted before.
/// A batch that cannot be read is put aside.
///
/// # Errors
/// Local state failed, the hit cache is gone, or the file can be neither read nor put aside.
pub(super) async fn name_streams(
    ports: &FeedPorts,
    batch: &BatchRow,
    hit_cache: &Recipient<NameStreams>,
) -> Result<Named, BatchFault> {
    let mut error = String::new();
    for _ in 0..TRIES {
        match name_once(ports, batch, hit_cache).await {
            Err(BatchFault::Unread(unread)) => error = unread,
            named => return named.map(Named::Ticket),
        }
        if examine(ports, batch).await? == Verdict::SetAside {
            return Ok(Named::SetAside);
        }
    }
    set_batch_aside(ports, batch, &error).await?;
    Ok(Named::SetAside)
}

async fn name_once(
    ports: &FeedPorts,
    batch: &BatchRow,
    hit_cache: &Recipient<NameStreams>,
) -> Result<Option<u64>, BatchFault> {
    if batch.streams_named {
        return Ok(None);
    }
    let known = matches!(batch.contents.version, BulkVersion::Known(_));
    let ticket = if known && batch.file.feed.model() == Model::Binary {
        name_all(ports, batch, hit_cache).await?
    } else {
        None
    };
    fault_point::pass(FaultPoint::StreamsPending);
    ports
        .state
        .record(Change::StreamsNamed(batch.file.feed.clone(), batch.file.seq))
        .await?;
    fault_point::pass(FaultPoint::StreamsNamed);
    Ok(ticket)
}

async fn name_all(
    ports: &FeedPorts,
    batch: &BatchRow,
    hit_cache: &Recipient<NameStreams>,
) -> Result<Option<u64>, BatchFault> {
    let (found, mut streams) = mpsc::channel(1);
    let (opener, batch) = (ports.journal.opener(), batch.clone());
    let walk = ports.blocking(move || {
        let mut reader = opener.open(&batch.file).map_err(|fault| fault.to_string())?;
        let mut named = Vec::with_capacity(STREAMS_AT_ONCE);
        visit_events(
            batch.file.feed.model(),
            &mut *reader,
            &batch.contents,
            &mut |event| {
                for stream in event.event.streams().flatten() {
                    named.push(stream);
                    if named.len() == STREAMS_AT_ONCE
                        && found.blocking_send(std::mem::take(&mut named)).is_err()
                    {
                        return std::ops::ControlFlow::Break(());
                    }
                }
                std::ops::ControlFlow::Continue(())
            },
        )
        .map_err(|error| error.to_string())?;
        let _nobody_listens = found.blocking_send(named);
        Ok::<_, String>(())
    });
    let name = async {
        let mut last = None;
        while let Some(streams) = streams.recv().await {
            last = last.max(request(hit_cache, streams).await?);
        }
        Ok::<_, BatchFault>(last)
    };
    let (walked, last) = tokio::join!(walk, name);
    walked
        .map_err(|fault| BatchFault::Unread(fault.to_string()))?
        .map_err(BatchFault::Unread)?;
    last
}

async fn request(
    hit_cache: &Recipient<NameStreams>,
    streams: Vec<StreamId>,
) -> Result<Option<u64>, StateFault> {
    if streams.is_empty() {
        return Ok(None);
    }
    hit_cache
        .send(NameStreams { streams })
        .await
        .unwrap_or_else(|lost| {
            Err(StateFault::Broken(format!(
                "the hit cache does not answer: {lost}"
            )))
        })
}
