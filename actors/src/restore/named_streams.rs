//! Streams that are asked for by name, however many: by label and hash, sorted, and shared instead of copied. What is
//! held of one is its hash; its key is made when its turn comes.

use std::sync::Arc;

use crate::feed::SourceName;
use crate::stream_id::Sha256;

/// Hashes in their order, each once. Clones share them.
pub type Hashes = Arc<Vec<Sha256>>;

/// Streams of one source, in the order of their keys. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedStreams {
    source: SourceName,
    /// By label, in the order in which they list.
    labels: Arc<Vec<(String, Hashes)>>,
}

impl NamedStreams {
    /// These hashes of these labels.
    pub fn new(source: SourceName, labels: impl IntoIterator<Item = (String, Hashes)>) -> Self {
        let mut labels: Vec<_> = labels.into_iter().collect();
        labels.sort_by_cached_key(|(label, _)| format!("{label}/"));
        Self {
            source,
            labels: Arc::new(labels),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.labels.iter().map(|(_, hashes)| hashes.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys that follow `after`, up to `most`; and whether there are more.
    pub(super) fn follow(&self, after: Option<&str>, most: usize) -> (Vec<String>, bool) {
        let mut keys = Vec::with_capacity(most);
        for (label, hashes) in self.labels.iter() {
            let key = |hash: &Sha256| format!("{}/{label}/{hash}", self.source);
            let first = after.map_or(0, |after| hashes.partition_point(|hash| *key(hash) <= *after));
            for hash in &hashes[first..] {
                if keys.len() == most {
                    return (keys, true);
                }
                keys.push(key(hash));
            }
        }
        (keys, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_come_in_the_order_of_their_keys_a_few_at_a_time() {
        let mut hashes: Vec<Sha256> = (0..7_u8).map(|number| Sha256::of(&[number])).collect();
        hashes.sort();
        let hashes = Arc::new(hashes);
        // As text, `a-b/` sorts before `a/`.
        let labels = ["b", "a", "a-b"].map(|label| (label.to_owned(), Arc::clone(&hashes)));
        let named = NamedStreams::new(SourceName::new("s").unwrap(), labels);
        for most in [1, 3, 7, 8, 100] {
            let (mut all, mut after): (Vec<String>, Option<String>) = (Vec::new(), None);
            loop {
                let (keys, more) = named.follow(after.as_deref(), most);
                assert!(keys.len() <= most && (!more || keys.len() == most));
                // The other form of what came last sorts behind it, and before the next.
                after = keys.last().map(|key| format!("{key}.aesc1"));
                all.extend(keys);
                if !more {
                    break;
                }
            }
            assert_eq!((all.len(), named.len()), (21, 21));
            assert!(all.is_sorted() && all[0].starts_with("s/a-b/"), "{all:?}");
        }
    }
}
