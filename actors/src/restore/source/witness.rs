//! Who is to blame for a stream that fails: asked of a *witness*, the smallest stream that is known to have gone
//! through, which is sent once more. So one bad object at the end of a source, or in the last pass, where nothing is
//! left to be sent, does not stop every start for ever. Without a witness nothing shows who is to blame.

use super::*;

/// The witness of all sources and passes of one start.
#[derive(Debug, Default)]
pub struct Seen {
    witness: Option<Witness>,
}

/// A stream that has gone through.
#[derive(Clone, Debug)]
pub(super) struct Witness {
    pub(super) key: String,
    pub(super) stream: StreamId,
    /// As stored; where only its key is known, it may be any.
    pub(super) size: u64,
}

impl Witness {
    /// What an earlier start has sent, as far as a mark tells.
    pub(super) fn at(mark: &LaneMark) -> Option<Self> {
        let stream = listed_key::stream(&mark.key).ok()?.name;
        Some(Self {
            key: mark.key.clone(),
            stream,
            size: u64::MAX,
        })
    }
}

impl Seen {
    pub(super) fn goes_through(&mut self, witness: Witness) {
        let is_smaller = |known: &Witness| witness.size < known.size;
        if self.witness.as_ref().is_none_or(is_smaller) {
            self.witness = Some(witness);
        }
    }
}

impl Run<'_> {
    /// Whether a stream that has gone through does so once more.
    pub(super) async fn others_go_through(&mut self) -> bool {
        let witness = self.ports.seen.borrow().witness.clone();
        let Some(Witness { key, stream, .. }) = witness else {
            return false;
        };
        if self.is_winding_down || self.ports.stop.is_raised() {
            return false;
        }
        let job = RestoreStream {
            stream,
            key: key.clone(),
            ask: Ask::Never,
        };
        let restored = self.ports.workers.send(job).await;
        log::info!(key:% = key; "{key} is sent once more, to see whether anything goes through: {restored:?}");
        if matches!(restored, Ok(Restored::Uploaded { .. })) {
            self.successes += 1;
            return true;
        }
        if matches!(restored, Ok(Restored::Gone | Restored::Dead(_))) {
            // It is no witness any more.
            self.ports.seen.borrow_mut().witness = None;
        }
        false
    }
}
