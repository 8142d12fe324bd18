//! Faults on order: what the next calls of a kind shall meet.

use std::collections::{BTreeMap, VecDeque};

/// Which call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// Pulling events.
    Pull,
    /// Publishing events.
    Publish,
    /// Downloading a stream.
    Download,
    /// Uploading a stream.
    Upload,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This status, before anything is done.
    Status(u16),
    /// This status, after events were taken from Kafka (pulls only).
    StatusAfterTaking(u16),
    /// No answer, until the client goes or the dispatcher is restarted.
    Hang,
    /// The connection breaks after this many bytes of the body.
    CutAfter(usize),
    /// The body is what it should be, but for one flipped bit (downloads only).
    FlippedBit,
    /// A 200 whose body nobody understands (not for downloads), after the effect: events are taken from Kafka, or
    /// given to it; a stream is kept.
    Nonsense,
    /// The connection is cut before the answer, after the effect (publishing and uploading).
    LostAnswer,
    /// Only so many events from the front go to Kafka; the answer is a 500 that says so, with this of each of the others
    /// (publishing only).
    Partial(usize, &'static str),
    /// 425, and nothing is done: filters dropped all, by this list (publishing only).
    Filtered(&'static str),
    /// 425, and nothing is done: all are older than their source keeps (publishing only).
    AgedOff,
    /// This status with this JSON, after the effect (publishing and uploading).
    Says(u16, &'static str),
    /// This status with a page that is not the dispatcher's own, before anything is done (publishing and uploading).
    Page(u16),
}

/// The faults that are on order.
#[derive(Debug, Default)]
pub(super) struct Faults {
    next: BTreeMap<Call, VecDeque<Fault>>,
}

impl Faults {
    pub(super) fn order(&mut self, call: Call, fault: Fault, times: usize) {
        self.next
            .entry(call)
            .or_default()
            .extend(std::iter::repeat_n(fault, times));
    }

    pub(super) fn take(&mut self, call: Call) -> Option<Fault> {
        self.next.get_mut(&call)?.pop_front()
    }

    pub(super) fn clear(&mut self) {
        self.next.clear();
    }
}
