//! Memory in which bundles are unpacked, one after the other: the system gives new memory page by page, which takes
//! longer than it takes to fill it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};

/// So many are kept while nobody uses them.
const KEPT: usize = 4;

/// What bundles leave to the next ones, of whatever feed. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct BundleMemory(Arc<Mutex<Vec<BytesMut>>>);

impl BundleMemory {
    /// Memory that somebody has left, whatever stands in it, or new one of this length.
    pub(super) fn take(&self, length: usize) -> BytesMut {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = kept.pop();
        drop(kept);
        left.unwrap_or_else(|| BytesMut::zeroed(length))
    }

    /// Leaves memory to the next one, unless somebody still reads it.
    pub(super) fn leave(&self, memory: Bytes) {
        if let Ok(memory) = memory.try_into_mut() {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < KEPT && !memory.is_empty() {
                kept.push(memory);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_taken_again_but_not_while_somebody_reads_it() {
        let memory = BundleMemory::default();
        let first = memory.take(1000).freeze();
        let (place, reader) = (first.as_ptr(), first.slice(3..5));
        memory.leave(first);
        assert_ne!(memory.take(1000).as_ptr(), place);
        memory.leave(reader.clone());
        drop(reader);
        let second = memory.take(10).freeze();
        let place = second.as_ptr();
        memory.leave(second);
        let again = memory.take(1000);
        assert_eq!((again.as_ptr(), again.len()), (place, 10));
    }

    #[test]
    fn no_more_is_kept_than_a_few() {
        let memory = BundleMemory::default();
        let many: Vec<Bytes> = (0..2 * KEPT).map(|_| memory.take(7).freeze()).collect();
        many.into_iter().for_each(|bytes| memory.leave(bytes));
        assert_eq!(memory.0.lock().unwrap().len(), KEPT);
    }
}
