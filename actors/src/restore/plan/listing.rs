//! Reads whole listings page by page, many at a time, and counts.

use futures_util::stream::{self, StreamExt as _};
use tokio::sync::Semaphore;

use super::tally::{Counter, Tally};
use crate::fault::{Fault, FaultKind};
use crate::ports::archive::{Archive, FolderPage, ListPage, Store};
use crate::restore::lane::LaneRange;
use crate::restore::selection::Window;
use crate::retry::RetryPolicy;
use crate::stop::StopFlag;

/// Lister of one plan.
pub(super) struct Lister<'a> {
    pub(super) archive: &'a dyn Archive,
    pub(super) retry: &'a RetryPolicy,
    pub(super) stop: &'a StopFlag,
    /// One permit for each call in flight.
    pub(super) calls: Semaphore,
}

/// Keys greater than the first, up to the second and with it.
type Range = (Option<String>, Option<String>);

impl Lister<'_> {
    /// A page, tried as often as the policy says.
    pub(super) async fn page(
        &self,
        store: Store,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<ListPage, Fault> {
        let page = self.retry.run("list", &prefix, self.stop, || async {
            let _permit = self.calls.acquire().await;
            self.archive.list(store, prefix, after).await
        });
        let page = page.await?;
        match page.more && page.objects.is_empty() {
            true => Err(Fault::corrupt(
                "list",
                prefix,
                "an empty page says that more follows",
            )),
            false => Ok(page),
        }
    }

    /// A page of folders, the same way.
    pub(super) async fn folders(
        &self,
        store: Store,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<FolderPage, Fault> {
        let page = self.retry.run("list folders", &prefix, self.stop, || async {
            let _permit = self.calls.acquire().await;
            self.archive.folders(store, prefix, after).await
        });
        page.await
    }

    /// Counts the streams of a label: what is more than about sixteen pages is listed in parallel, by the first digit
    /// of hashes.
    pub(super) async fn label(&self, prefix: &str) -> Tally {
        let mut counter = Counter::new(Store::Streams, Window::default(), None);
        let first = match self.page(Store::Streams, prefix, None).await {
            Ok(first) => first,
            Err(fault) => return failed(counter.tally, &fault),
        };
        first.objects.iter().for_each(|object| counter.take(object));
        let mut tally = counter.tally;
        if let (true, Some(last)) = (first.more, first.objects.last()) {
            let ranges = match LaneRange::is_to_be_cut(prefix, &first) {
                true => ranges(prefix, &last.key),
                false => vec![(Some(last.key.clone()), None)],
            };
            let parts = ranges
                .into_iter()
                .map(|range| self.range(Store::Streams, prefix, Window::default(), range));
            let mut parts = stream::iter(parts).buffered(DIGITS.len());
            while let Some(part) = parts.next().await {
                tally.merge(part);
            }
        }
        tally
    }

    /// Counts a range of keys, page after page.
    pub(super) async fn range(
        &self,
        store: Store,
        prefix: &str,
        window: Window,
        (mut after, last): Range,
    ) -> Tally {
        let mut counter = Counter::new(store, window, after.clone());
        loop {
            let page = match self.page(store, prefix, after.as_deref()).await {
                Ok(page) => page,
                Err(fault) => return failed(counter.tally, &fault),
            };
            for object in &page.objects {
                if last.as_ref().is_some_and(|last| object.key > *last) {
                    return counter.tally;
                }
                counter.take(object);
            }
            match page.objects.last() {
                Some(object) if page.more => after = Some(object.key.clone()),
                _ => return counter.tally,
            }
        }
    }

    /// Counts one object by its name without the mark of encryption, in whichever form it is there.
    pub(super) async fn object(&self, store: Store, key: &str) -> Tally {
        let mut counter = Counter::new(store, Window::default(), None);
        match self.page(store, key, None).await {
            Err(fault) if fault.kind() != FaultKind::Missing => return failed(counter.tally, &fault),
            Err(_) => {}
            Ok(page) => {
                let is_it = |listed: &str| crate::restore::listed_key::plain(listed).0 == key;
                page.objects
                    .iter()
                    .filter(|object| is_it(&object.key))
                    .for_each(|object| counter.take(object));
            }
        }
        counter.tally
    }
}

fn failed(mut tally: Tally, fault: &Fault) -> Tally {
    tally.fault = Some(fault.to_string());
    tally
}

const DIGITS: [char; 16] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
];

/// Everything after `reached`, in parts that leave nothing out and nothing twice, whatever keys there are.
fn ranges(prefix: &str, reached: &str) -> Vec<Range> {
    let bounds: Vec<String> = DIGITS
        .iter()
        .map(|digit| format!("{prefix}{digit}"))
        .filter(|bound| bound.as_str() > reached)
        .collect();
    let begins = [reached.to_owned()].into_iter().chain(bounds.iter().cloned());
    let ends = bounds.iter().cloned().map(Some).chain([None]);
    begins.map(Some).zip(ends).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_key_lies_in_exactly_one_range(
            mut keys in proptest::collection::vec("[ -~é]{0,3}", 2..40), at in any::<proptest::sample::Index>(),
        ) {
            keys.iter_mut().for_each(|key| key.insert_str(0, "s/l/"));
            keys.sort();
            let reached = keys[at.index(keys.len())].clone();
            let ranges = ranges("s/l/", &reached);
            for key in keys {
                let holds = |(from, to): &&Range| {
                    from.as_ref().is_some_and(|from| key > *from) && to.as_ref().is_none_or(|to| key <= *to)
                };
                prop_assert_eq!(ranges.iter().filter(holds).count(), usize::from(key > reached), "{}", key);
            }
        }
    }
}
