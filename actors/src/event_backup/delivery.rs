//! Seals a bundle and brings it into the bucket.
//!
//! * Sealed before written: key and members are durable first, so that a lost acknowledgement or a crash repeats
//!   the very same bytes under the very same key.
//! * Never over another: the key names the last event and the count only, and events come again, in other bytes,
//!   after a restore. What lies under the key is compared, by its entity tag where that is an MD5, otherwise by
//!   reading it: before the bundle is written, and after it where the answer was lost. Where it differs the bundle
//!   is sealed anew with its last event left for the next one; a bundle that has only one event repeats it, which
//!   changes the count and so the key, and does no harm to a restore. A bulk of an unknown version is named by its
//!   SHA-256 instead.

mod bytes;

use std::rc::Rc;

use self::bytes::{Digests, digest_bundle, digest_object, pour_bundle};
use super::FeedPorts;
use super::bundling::Run;
use super::rescue::{BatchFault, Verdict, examine};
use crate::avro::BulkVersion;
use crate::avro::bulk::name_after;
use crate::fault::{Fault, FaultKind};
use crate::fault_point::{self, FaultPoint};
use crate::feed::Feed;
use crate::object_key::{BundleKey, ObjectKey};
use crate::object_writer::{Destination, Finished, MOST_ANEW, Proof};
use crate::ports::bucket::ObjectInfo;
use crate::ports::state::{BatchRow, Change, EventName, Member, SealedBundle};
use crate::timestamp::Timestamp;

/// The most often that a single event is repeated in search of a free key.
const MOST_COPIES: u32 = 100;

/// How a delivery ended.
#[derive(Debug)]
pub(super) enum Delivered {
    /// It is in the bucket, and local state knows.
    Written(SealedBundle),
    /// Its key was taken by other bytes: this is to be delivered in its place.
    Resealed(SealedBundle),
    /// It could not be written now; its seal stays.
    Postponed(Fault),
    /// Batches of it, by their numbers, cannot be read and are in the journal no more: what is left is sealed anew.
    SetAside(Vec<u64>),
}

/// Settles key and members of the next bundle, which is to be delivered then.
///
/// # Errors
/// Local state failed, or a file of the journal can be neither read nor put aside.
pub(super) async fn seal(
    ports: &FeedPorts,
    feed: &Feed,
    run: Run,
    rows: &[BatchRow],
) -> Result<Delivered, BatchFault> {
    let members = run.members.clone();
    match seal_run(ports, feed, run, rows, 1).await {
        Ok(sealed) => Ok(Delivered::Resealed(sealed)),
        Err(BatchFault::Unread(error)) => {
            let fault = Fault::corrupt("read journal", feed, error);
            after_misreading(ports, &members, rows, fault).await
        }
        Err(other) => Err(other),
    }
}

/// Finds out which of these batches cannot be read.
async fn after_misreading(
    ports: &FeedPorts,
    members: &[Member],
    rows: &[BatchRow],
    fault: Fault,
) -> Result<Delivered, BatchFault> {
    let mut lost = Vec::new();
    for member in members {
        let verdict = match rows.iter().find(|row| row.file.seq == member.seq) {
            Some(row) => examine(ports, row).await?,
            None => Verdict::SetAside,
        };
        if verdict == Verdict::SetAside {
            lost.push(member.seq);
        }
    }
    match lost.is_empty() {
        true => Ok(Delivered::Postponed(fault)),
        false => Ok(Delivered::SetAside(lost)),
    }
}

async fn seal_run(
    ports: &FeedPorts,
    feed: &Feed,
    run: Run,
    rows: &[BatchRow],
    copies: u32,
) -> Result<SealedBundle, BatchFault> {
    let last = name_run(ports, &run, rows).await?;
    let count = run.count() * u64::from(copies);
    let key = BundleKey::new(feed.clone(), last.timestamp, count, &last.kafka_key);
    let sealed = SealedBundle {
        key,
        version: run.version,
        members: run.members,
        copies,
    };
    ports.state.record(Change::BundleSealed(sealed.clone())).await?;
    fault_point::pass(FaultPoint::BundleSealed);
    Ok(sealed)
}

/// The last valid event of the run; the last event where none is valid.
async fn name_run(ports: &FeedPorts, run: &Run, rows: &[BatchRow]) -> Result<EventName, BatchFault> {
    let row_of = |seq| rows.iter().find(|row| row.file.seq == seq);
    let lost = || BatchFault::Unread("a sealed batch has no row".to_owned());
    let last = run.members.last().ok_or_else(lost)?;
    let last_row = row_of(last.seq).ok_or_else(lost)?;
    if last.events.end < last_row.contents.events {
        return name_part(ports, last_row, last.events.clone()).await;
    }
    let with_valid = run.members.iter().rev().filter_map(|member| row_of(member.seq));
    let named = with_valid
        .filter(|row| row.contents.invalid < row.contents.events)
        .map(|row| &row.contents.last);
    Ok(named.take(1).next().unwrap_or(&last_row.contents.last).clone())
}

async fn name_part(
    ports: &FeedPorts,
    row: &BatchRow,
    events: std::ops::Range<u64>,
) -> Result<EventName, BatchFault> {
    let (opener, row) = (ports.journal.opener(), row.clone());
    let named = ports.blocking(move || {
        let mut reader = opener.open(&row.file).map_err(|fault| fault.to_string())?;
        name_after(row.file.feed.model(), &mut *reader, &row.contents, events)
            .map_err(|error| error.to_string())
    });
    named
        .await
        .map_err(|fault| fault.to_string())
        .flatten()
        .map_err(BatchFault::Unread)
}

/// Brings a sealed bundle into the bucket, unless it is there already.
///
/// # Errors
/// Local state failed, or a file of the journal can be neither read nor put aside.
pub(super) async fn deliver(
    ports: &FeedPorts,
    sealed: SealedBundle,
    rows: &[BatchRow],
) -> Result<Delivered, BatchFault> {
    let members = sealed.members.clone();
    let fault = match bring(ports, sealed, rows).await {
        Ok(Delivered::Postponed(fault)) if fault.kind() == FaultKind::Corrupt => fault,
        Err(BatchFault::Unread(error)) => Fault::corrupt("read journal", "a sealed bundle", error),
        delivered => return delivered,
    };
    after_misreading(ports, &members, rows, fault).await
}

async fn bring(ports: &FeedPorts, sealed: SealedBundle, rows: &[BatchRow]) -> Result<Delivered, BatchFault> {
    let key = ObjectKey::from(sealed.key.clone());
    match brought(ports, &sealed, rows).await {
        Err(fault) => Ok(Delivered::Postponed(fault)),
        Ok(There::Nothing) => {
            let fault = Fault::transient("write bundle", &key, "it was there, and is gone");
            Ok(Delivered::Postponed(fault))
        }
        Ok(There::Another) => another_key(ports, sealed, rows).await,
        Ok(There::Same) => {
            fault_point::pass(FaultPoint::BundlePut);
            ports
                .state
                .record(Change::BundleWritten(sealed.key.clone(), Timestamp::now()))
                .await?;
            fault_point::pass(FaultPoint::BundleWritten);
            log::debug!("bundle {key} is in the bucket");
            Ok(Delivered::Written(sealed))
        }
    }
}

/// What lies under the key of a bundle.
enum There {
    Nothing,
    /// This very bundle.
    Same,
    /// Other bytes.
    Another,
}

/// Writes the bundle if nothing lies under its key; tells what lies there then.
async fn brought(ports: &FeedPorts, sealed: &SealedBundle, rows: &[BatchRow]) -> Result<There, Fault> {
    let there = what_is_there(ports, sealed, rows).await?;
    if !matches!(there, There::Nothing) {
        return Ok(there);
    }
    let Finished { bytes, proof } = write(ports, sealed, rows).await?;
    let there = match proof {
        Proof::Acknowledged => There::Same,
        // Equal in length and key to that of another process that shares the bucket: not by that the same.
        Proof::Found => what_is_there(ports, sealed, rows).await?,
    };
    if matches!(there, There::Same) {
        ports.counters(sealed.key.feed()).bytes_out.add(bytes);
    }
    Ok(there)
}

async fn what_is_there(ports: &FeedPorts, sealed: &SealedBundle, rows: &[BatchRow]) -> Result<There, Fault> {
    let key = ObjectKey::from(sealed.key.clone());
    let there = ports
        .retry
        .run("head object", &key, &ports.stop, || ports.bucket.head(&key))
        .await?;
    let Some(info) = there else {
        return Ok(There::Nothing);
    };
    match is_same(ports, sealed, rows, &info).await? {
        true => Ok(There::Same),
        false => Ok(There::Another),
    }
}

async fn write(ports: &FeedPorts, sealed: &SealedBundle, rows: &[BatchRow]) -> Result<Finished, Fault> {
    let to = Destination {
        bucket: Rc::clone(&ports.bucket),
        uploads: Rc::clone(&ports.uploads),
        retry: ports.retry.clone(),
        stop: ports.stop.clone(),
    };
    let mut begun = 0;
    loop {
        match pour_bundle(ports, sealed, rows, to.clone()).await {
            Err(fault) if fault.kind() == FaultKind::Lapsed && begun < MOST_ANEW => {
                log::info!("{fault}; the upload was aborted by somebody else, and is begun anew");
                begun += 1;
            }
            poured => return poured,
        }
    }
}

async fn is_same(
    ports: &FeedPorts,
    sealed: &SealedBundle,
    rows: &[BatchRow],
    there: &ObjectInfo,
) -> Result<bool, Fault> {
    let Digests {
        gzip_md5,
        bulk_sha256,
    } = digest_bundle(ports, sealed, rows).await?;
    if there.etag.as_deref() == Some(gzip_md5.as_str()) {
        return Ok(true);
    }
    let key = ObjectKey::from(sealed.key.clone());
    let lies_there = ports
        .retry
        .run("get object", &key, &ports.stop, || {
            digest_object(&ports.bucket, &key)
        })
        .await?;
    Ok(lies_there == Some(bulk_sha256))
}

/// The key is taken by other bytes: the bundle gets another one.
async fn another_key(
    ports: &FeedPorts,
    sealed: SealedBundle,
    rows: &[BatchRow],
) -> Result<Delivered, BatchFault> {
    let taken = sealed.key.clone();
    let resealed = reseal(ports, sealed, rows).await?;
    if resealed.key == taken {
        let detail = "a damaged object lies under the only key that this bundle can have: move it away";
        return Ok(Delivered::Postponed(Fault::rejected(
            "write bundle",
            &taken,
            detail,
        )));
    }
    Ok(Delivered::Resealed(resealed))
}

async fn reseal(
    ports: &FeedPorts,
    sealed: SealedBundle,
    rows: &[BatchRow],
) -> Result<SealedBundle, BatchFault> {
    log::warn!(
        key:% = sealed.key; "bundle {}: another bundle lies under this key already, which is left as it is; its events come under \
         another key",
        sealed.key
    );
    let feed = sealed.key.feed().clone();
    if matches!(sealed.version, BulkVersion::Unknown(_)) {
        return rename(ports, sealed, rows).await;
    }
    let run = Run {
        version: sealed.version,
        members: sealed.members,
    };
    match run.clone().shortened().filter(|_| sealed.copies == 1) {
        Some(fewer) => seal_run(ports, &feed, fewer, rows, 1).await,
        None if sealed.copies < MOST_COPIES => seal_run(ports, &feed, run, rows, sealed.copies + 1).await,
        None => Err(BatchFault::Stuck(format!(
            "no free key was found for the bundle {}",
            sealed.key
        ))),
    }
}

/// A bulk of an unknown version can be neither split nor repeated: it is named by the SHA-256 of its bytes, which
/// no other bundle has.
async fn rename(
    ports: &FeedPorts,
    sealed: SealedBundle,
    rows: &[BatchRow],
) -> Result<SealedBundle, BatchFault> {
    let digests = digest_bundle(ports, &sealed, rows).await;
    let Digests { bulk_sha256, .. } = digests.map_err(|fault| BatchFault::Unread(fault.to_string()))?;
    let (feed, timestamp, count) = (
        sealed.key.feed().clone(),
        sealed.key.timestamp(),
        sealed.key.count(),
    );
    let key = BundleKey::new(feed, timestamp, count, &hex::encode(bulk_sha256));
    let renamed = SealedBundle { key, ..sealed };
    ports.state.record(Change::BundleSealed(renamed.clone())).await?;
    fault_point::pass(FaultPoint::BundleSealed);
    Ok(renamed)
}
