//! Streams: what the first dispatcher has against what was uploaded to the second.

use std::collections::{BTreeMap, BTreeSet};

use super::{Allowances, Comparison, Kind};
use crate::dispatcher::{Body, Shared};

pub(super) fn compare(first: &Shared, second: &Shared, allowances: &Allowances, comparison: &mut Comparison) {
    let (ours, theirs): (BTreeMap<String, Body>, _) = (first.bodies(), second.bodies());
    let all = ours
        .keys()
        .chain(theirs.keys())
        .chain(allowances.streams().keys());
    for stream in all.collect::<BTreeSet<_>>() {
        match (ours.get(stream), theirs.get(stream)) {
            (Some(first), Some(second)) => match fault(first, second) {
                None => {
                    comparison.streams += 1;
                    comparison.stream_bytes += second.size();
                }
                Some(fault) => comparison.differs(Kind::StreamDiffers, || format!("{stream}: {fault}")),
            },
            (None, Some(_)) => comparison.differs(Kind::StreamSurplus, || stream.clone()),
            (_, None) => match allowances.streams().get(stream) {
                Some(reason) => comparison.excuse(*reason),
                None => comparison.differs(Kind::StreamMissing, || stream.clone()),
            },
        }
    }
}

/// What of the second is otherwise than in the first.
fn fault(first: &Body, second: &Body) -> Option<String> {
    let (size, found) = (first.size(), second.size());
    if size != found {
        return Some(format!("{found} bytes instead of {size}"));
    }
    if matches!(second, Body::Forgotten(_)) {
        // Its name was worked out from its bytes when they were received.
        return None;
    }
    let mut at = 0;
    while at < size {
        let (wanted, there) = (first.piece(at, size), second.piece(at, size));
        if there.is_empty() {
            return Some(format!("cannot be read from byte {at} on"));
        }
        if wanted != there {
            return Some(format!("other bytes from byte {at} on"));
        }
        at += there.len() as u64;
    }
    None
}
