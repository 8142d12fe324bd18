//! Streams that are asked for by name: one lane in the order of their keys, whose pages are looked up instead of listed.
//!
//! A name is looked up by a listing of one key and what begins with it: that tells the form, or forms, in which it is
//! there, and the size, which a GET of either form would not.

use futures_util::TryStreamExt as _;

use super::*;

/// How many names are looked up for one page.
const LOOKED_UP: usize = FEW;

impl<'a> Run<'a> {
    pub(super) fn look_for(&mut self, named: NamedStreams, may_be_absent: MayBeAbsent) {
        self.named = Some((named, may_be_absent));
        let range = LaneRange::named(self.source);
        self.ranges.push_back((range, None).into());
    }

    /// Looks up the names that follow, as many at once as there are jobs.
    pub(super) fn look_up(
        &self,
        after: Option<String>,
    ) -> impl Future<Output = Result<Listed, Fault>> + use<'a> {
        let (keys, more) = match &self.named {
            Some((named, _)) => named.follow(after.as_deref(), LOOKED_UP),
            None => (Vec::new(), false),
        };
        let SourcePorts {
            archive,
            retry,
            stop,
            most_out,
            ..
        } = self.ports;
        async move {
            let mut listed = Listed {
                up_to: keys.last().cloned(),
                ..Listed::default()
            };
            let looked_up = futures_util::stream::iter(keys.into_iter().map(Ok)).map_ok(|key| async move {
                let list = || archive.list(Store::Streams, &key, None);
                let found = retry.run("list bucket", &key, stop, list).await;
                found.map(|page| (key, page.objects))
            });
            let mut looked_up = looked_up.try_buffered((*most_out).max(1));
            while let Some((key, mut objects)) = looked_up.try_next().await? {
                objects.retain(|object| listed_key::plain(&object.key).0 == key);
                if objects.is_empty() {
                    listed.absent.push(key);
                }
                listed.page.objects.extend(objects);
            }
            listed.page.more = more;
            Ok(listed)
        }
    }

    /// What was listed becomes work; what is not there, though it was asked for by its key, a dead letter.
    pub(super) async fn take(&mut self, number: usize, listed: Listed) -> Result<(), Halt> {
        let Listed { page, up_to, absent } = listed;
        match &self.named {
            Some((_, MayBeAbsent(true))) => self.note_hashes(&page),
            _ => self.bury_absent(absent).await?,
        }
        if let Some(lane) = self.lanes.get_mut(&number) {
            lane.take(page, up_to);
        }
        self.compare(number);
        Ok(())
    }

    async fn bury_absent(&self, keys: Vec<String>) -> Result<(), Halt> {
        for key in keys {
            if self.row(&key)? != Row::Told {
                let absent = Fault::missing("restore stream", &key, "it is not in the bucket");
                self.bury(&key, 0, &absent, 1).await?;
            }
        }
        Ok(())
    }

    fn note_hashes(&self, page: &ListPage) {
        let objects = page.objects.iter();
        let hashes = objects.filter_map(|object| listed_key::stream(&object.key).ok());
        let mut found = self.ports.found.borrow_mut();
        found.extend(hashes.map(|listed| *listed.name.sha256()));
    }
}
