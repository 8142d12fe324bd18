//! Bundles that are asked for by name: looked up some at once, and restored in the order of their time as all others.

use futures_util::TryStreamExt as _;

use super::*;

/// How many names are looked up before the first of them is restored.
const LOOKED_UP: usize = 64;

/// How many of them at once.
const AT_ONCE: usize = 8;

impl Bundles<'_> {
    /// Looks up the names that follow.
    pub(super) async fn look_up(&mut self, names: &BundleNames) -> Result<(), Halt> {
        let FeedRestorePorts {
            archive, retry, stop, ..
        } = self.ports;
        let next = self.looked_up..names.len().min(self.looked_up + LOOKED_UP);
        self.looked_up = next.end;
        let keys = names[next].iter().map(|name| format!("{}{name}", self.prefix));
        let looked_up = futures_util::stream::iter(keys.map(Ok)).map_ok(|key| async move {
            let list = || archive.list(Store::Events, &key, None);
            let found = retry.run("list bucket", &key, stop, list).await;
            found.map(|page| (key, page.objects))
        });
        let looked_up: Vec<(String, Vec<ListedObject>)> =
            looked_up.try_buffered(AT_ONCE).try_collect().await?;
        let mut found = Vec::new();
        for (key, mut objects) in looked_up {
            objects.retain(|object| listed_key::plain(&object.key).0 == key);
            if objects.is_empty() {
                self.bury_absent(&key).await?;
            }
            found.extend(objects);
        }
        self.put_in_order(found, self.looked_up == names.len()).await
    }

    /// A key that was asked for, and is not in the bucket.
    async fn bury_absent(&self, key: &str) -> Result<(), Halt> {
        let feed = &self.rules.feed;
        let object = ListedObject {
            key: key.to_owned(),
            size: 0,
            last_modified: None,
        };
        let at = Timestamp::default();
        if self.ports.state.done(feed, at, key, 0)?.is_some() {
            return Ok(());
        }
        let absent = Fault::missing("restore bundle", key, "it is not in the bucket");
        bury_object(self.ports, key, &absent).await?;
        let figures = EventFigures {
            unreadable: 1,
            ..EventFigures::default()
        };
        note(self.ports, feed, at, &object, figures).await
    }
}
