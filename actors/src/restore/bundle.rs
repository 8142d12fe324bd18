//! A bundle, fetched and unpacked: where its events lie, and how a run of them is published.
//!
//! What was unpacked lies in memory up to a few megabytes, and beyond that in a file without a name, so that memory
//! does not depend on what somebody once called a bundle. A bundle that is sent whole is sent byte for byte as it was
//! stored; of a part of it the events' own bytes are framed anew.
//!
//! What unpacks to more than any bundle of so many events has is none: a bomb must not fill the volume of local state, and
//! with it end every start.

mod unpacked;

use std::iter;
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use tokio::sync::mpsc;

use self::unpacked::{TooMuch, Unpacked};
use super::bundle_memory::BundleMemory;
use super::in_time_order::ListedBundle;
use super::selection::Window;
use crate::avro::bulk::scan_seeing;
use crate::avro::join::bulk_of;
use crate::avro::{BulkVersion, ModelVersion};
use crate::fault::{Fault, FaultKind, is_no_room};
use crate::object_key::BundleKey;
use crate::ports::archive::{Archive, Store};
use crate::ports::state::BatchContents;
use crate::timestamp::Timestamp;

const FETCH: &str = "fetch bundle";

/// The most bytes of events that one request carries, unless a single event has more.
pub(super) const REQUEST: u64 = 4 * 1024 * 1024;

/// The most events of one bundle: a thousand times what is usual.
const MOST_EVENTS: u64 = 2_000_000;

/// More than any event has: Kafka takes 3 MiB.
const LARGEST_EVENT: u64 = 32 * 1024 * 1024;

/// What a bundle may have, however few events its name tells.
const LEAST_ALLOWED: u64 = 64 * 1024 * 1024;

/// What no bundle has: twice the largest batch, of events of 3 MiB, is 6 GiB.
const MOST_ALLOWED: u64 = 8 * 1024 * 1024 * 1024;

/// How many bytes an unpacked bundle of this name may have.
fn allowed(key: &BundleKey) -> u64 {
    let by_name = key.count().saturating_mul(LARGEST_EVENT);
    by_name.clamp(LEAST_ALLOWED, MOST_ALLOWED)
}

/// How many events the name of a bundle tells. The name of what is none may tell any number: no more than a bundle can
/// have.
pub(super) fn told_events(key: &BundleKey) -> u64 {
    key.count().min(MOST_EVENTS)
}

/// A bundle that is ready to be published.
pub(super) struct Bundle {
    pub(super) listed: ListedBundle,
    unpacked: Unpacked,
    contents: BatchContents,
    /// Where each event lies; empty for a version that is too new to be walked.
    events: Vec<Range<u64>>,
    /// Which events are to be restored.
    wanted: Vec<Range<u64>>,
    window: Window,
    /// How many are not, counted by themselves.
    not_wanted: u64,
}

/// Fetches and unpacks a bundle once.
///
/// # Errors
/// Corrupt: it can be read and is no bundle. Others as of [`Archive::read`]; no room for an unpacked bundle.
pub(super) async fn fetch(
    archive: &dyn Archive,
    listed: &ListedBundle,
    window: Window,
    (spool, left): (&Path, &BundleMemory),
) -> Result<Bundle, Fault> {
    let mut object = archive.read(Store::Events, &listed.object.key).await?;
    // What is small is there before another thread is troubled with it, and once instead of with every chunk.
    let mut begun = Vec::new();
    while begun.iter().map(Bytes::len).sum::<usize>() <= unpacked::AT_ONCE
        && let Some(chunk) = object.chunk().await?
    {
        begun.push(chunk);
    }
    let (chunks, mut later) = mpsc::channel::<Bytes>(2);
    let unpacking = actix_rt::task::spawn_blocking({
        let (listed, spool, left) = (listed.clone(), spool.to_owned(), left.clone());
        move || {
            let packed = begun.into_iter().chain(iter::from_fn(|| later.blocking_recv()));
            let unpacked = unpack(&listed, packed, &spool, &left)?;
            Bundle::of(listed, unpacked, window)
        }
    });
    let read = async {
        while let Some(chunk) = object.chunk().await? {
            if chunks.send(chunk).await.is_err() {
                break;
            }
        }
        drop(chunks);
        Ok::<(), Fault>(())
    };
    let (read, unpacked) = tokio::join!(read, unpacking);
    // What breaks off looks like a damaged gzip: that it broke off comes first.
    read?;
    unpacked.unwrap_or_else(|panic| Err(Fault::corrupt(FETCH, &listed.object.key, panic)))
}

fn unpack(
    listed: &ListedBundle,
    packed: impl Iterator<Item = Bytes>,
    spool: &Path,
    left: &BundleMemory,
) -> Result<Unpacked, Fault> {
    let size = (listed.object.size, allowed(&listed.key));
    let unpacked = unpacked::unpack(packed, size, left, spool);
    unpacked.map_err(|error| {
        let too_much = error.get_ref().and_then(|error| error.downcast_ref::<TooMuch>());
        if let Some(too_much) = too_much {
            let count = listed.key.count();
            let detail = format_args!("{too_much}: no bundle of {count} events has that, and none has 8 GiB");
            return Fault::corrupt(FETCH, &listed.object.key, detail);
        }
        if is_no_room(&error) {
            let detail = format_args!("no room for the unpacked bundle in {}: {error}", spool.display());
            return Fault::new(FaultKind::NoRoom, FETCH, &listed.object.key, detail);
        }
        let detail = format_args!("it is not the gzip it should be, or damaged: {error}");
        Fault::corrupt(FETCH, &listed.object.key, detail)
    })
}

impl Bundle {
    fn of(listed: ListedBundle, unpacked: Unpacked, window: Window) -> Result<Self, Fault> {
        let corrupt = |detail: String| Fault::corrupt(FETCH, &listed.object.key, detail);
        let feed = listed.key.feed();
        let (mut events, mut wanted): (Vec<Range<u64>>, Vec<Range<u64>>) = Default::default();
        let mut not_wanted = 0;
        let scanned = scan_seeing(
            feed,
            &mut *unpacked.reader(),
            0..unpacked.length(),
            listed.key.timestamp(),
            &mut |found| {
                if found.index == 0 {
                    events.clear();
                    wanted.clear();
                    not_wanted = 0;
                }
                if found.index < MOST_EVENTS {
                    events.push(found.place.clone());
                }
                if window.wants_event(found.event.timestamp) {
                    match wanted.last_mut() {
                        Some(run) if run.end == found.index => run.end += 1,
                        _ => wanted.push(found.index..found.index + 1),
                    }
                } else {
                    not_wanted += 1;
                }
            },
        )
        .map_err(|error| {
            corrupt(format!(
                "it is no bulk of {} events: {error}",
                feed.model().as_str()
            ))
        })?;
        let contents = scanned.contents;
        if contents.events > MOST_EVENTS {
            return Err(corrupt(format!("it has {} events", contents.events)));
        }
        if matches!(contents.version, BulkVersion::Unknown(_)) || events.len() as u64 != contents.events {
            // What was seen was seen as another version.
            events.clear();
            wanted.clear();
            not_wanted = 0;
        }
        Ok(Self {
            listed,
            unpacked,
            contents,
            events,
            wanted,
            window,
            not_wanted,
        })
    }

    /// Whether it is to be restored though its events cannot be told by time, and whether some may be that are not
    /// wanted.
    pub(super) fn as_a_whole(&self) -> (bool, bool) {
        let name = self.listed.key.timestamp();
        (self.window.wants_whole(name), !self.window.is_unbounded())
    }

    /// The model version; `None` if it is too new to be walked: then the bundle is published whole or not at all.
    pub(super) fn version(&self) -> Option<ModelVersion> {
        match self.contents.version {
            BulkVersion::Known(version) => Some(version),
            BulkVersion::Unknown(_) => None,
        }
    }

    /// How many events are not wanted.
    pub(super) fn not_wanted(&self) -> u64 {
        self.not_wanted
    }

    /// How many events have to come to a fate. It is counted by the walk over the bundle, and by nothing that says
    /// what is published: so a sum that does not hold shows.
    pub(super) fn to_be_settled(&self) -> u64 {
        self.contents.events - self.not_wanted
    }

    /// Where it holds another number of events than its name says: how many it holds, and how many it should. Of a
    /// version that is too new to be walked only its name tells.
    pub(super) fn belies_its_name(&self) -> Option<(u64, u64)> {
        self.version()?;
        let (holds, said) = (self.contents.events, told_events(&self.listed.key));
        (holds != said).then_some((holds, said))
    }

    /// Whether an event is wanted.
    pub(super) fn wants(&self, event: u64) -> bool {
        self.wanted.iter().any(|run| run.contains(&event))
    }

    /// The runs of events that are to be published, each small enough for one request.
    pub(super) fn runs(&self) -> Vec<Range<u64>> {
        let mut runs = Vec::new();
        for wanted in &self.wanted {
            let mut run = wanted.start..wanted.start;
            let mut bytes = 0;
            for event in wanted.clone() {
                let more = self.place(event).map_or(0, |place| place.end - place.start);
                if bytes + more > REQUEST && !run.is_empty() {
                    runs.push(std::mem::replace(&mut run, event..event));
                    bytes = 0;
                }
                run.end = event + 1;
                bytes += more;
            }
            runs.push(run);
        }
        runs
    }

    /// How many bytes the events of a run have.
    pub(super) fn length(&self, run: &Range<u64>) -> u64 {
        let places = run.clone().filter_map(|event| self.place(event));
        places.map(|place| place.end - place.start).sum()
    }

    fn place(&self, event: u64) -> Option<Range<u64>> {
        usize::try_from(event)
            .ok()
            .and_then(|event| self.events.get(event))
            .cloned()
    }

    /// The bulk of a run of events. Blocks for what does not lie in memory.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub(super) fn bulk(&self, run: Range<u64>) -> Result<Bytes, Fault> {
        let is_whole = run == (0..self.contents.events);
        let (Some(version), false) = (self.version(), is_whole && self.unpacked.is_in_memory()) else {
            return self.whole();
        };
        let mut events = Vec::new();
        let count = run.end - run.start;
        for place in run.filter_map(|event| self.place(event)) {
            self.read(place, &mut events)?;
        }
        Ok(bulk_of(version, count, &events).into())
    }

    /// The bundle as it was stored.
    ///
    /// # Errors
    /// The spool cannot be read; it is too large to be sent at once.
    pub(super) fn whole(&self) -> Result<Bytes, Fault> {
        const MOST: u64 = 64 * 1024 * 1024;
        let length = self.unpacked.length();
        if let Unpacked::Memory(bulk) = &self.unpacked {
            return Ok(bulk.bytes());
        }
        if length > MOST {
            let detail = format_args!(
                "its model version is not known here, and its {length} bytes are too many to be sent at once"
            );
            return Err(Fault::corrupt(FETCH, &self.listed.object.key, detail));
        }
        let mut bytes = Vec::new();
        self.read(0..length, &mut bytes)?;
        Ok(bytes.into())
    }

    fn read(&self, place: Range<u64>, into: &mut Vec<u8>) -> Result<(), Fault> {
        let (at, length) = (into.len(), (place.end - place.start) as usize);
        into.resize(at + length, 0);
        self.unpacked
            .read_at(place.start, &mut into[at..])
            .map_err(|error| Fault::transient("read unpacked bundle", &self.listed.object.key, error))
    }

    /// Shows the events of a run: Kafka key, and when the source got the binary. Blocks.
    pub(super) fn look_at(
        &self,
        run: Range<u64>,
        mut see: impl FnMut(u64, &str, Option<Timestamp>),
    ) -> Result<(), Fault> {
        let (Some(version), mut bytes) = (self.version(), Vec::new()) else {
            return Ok(());
        };
        for event in run {
            let Some(place) = self.place(event) else { continue };
            bytes.clear();
            self.read(place, &mut bytes)?;
            // It has been walked before.
            if let Ok((view, _)) =
                crate::avro::walk::walk_event(self.listed.key.feed().model(), version, &bytes)
            {
                see(event, &view.kafka_key(), view.sourced());
            }
        }
        Ok(())
    }
}
