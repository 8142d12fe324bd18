//! A backup in memory, to be read: as much of a bucket as restore sees.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;

use super::calls::Calls;
use super::{Damage, lock};
use crate::encryption::{AesKey, Reading};
use crate::fault::Fault;
use crate::ports::ByteStream;
use crate::ports::archive::{Archive, FolderPage, ListPage, ListedObject, Store};
use crate::timestamp::Timestamp;

use super::damage::Body;

/// The calls of an archive; their target is [`FakeArchive::target`] of the prefix or the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArchiveCall {
    /// [`Archive::list`]. To let page n fail: [`Trouble::sparing`](super::Trouble::sparing) n − 1.
    List,
    /// [`Archive::folders`]
    Folders,
    /// [`Archive::read`]; what befalls the body is [`Damage`].
    Read,
}

/// The archive in memory. A clone is the same archive.
#[derive(Clone)]
pub struct FakeArchive {
    calls: Calls<ArchiveCall>,
    held: Arc<Mutex<Held>>,
}

struct Held {
    /// `None`: there is no such bucket.
    streams: Option<Objects>,
    events: Option<Objects>,
    key: Option<AesKey>,
    page: usize,
    damages: HashMap<(Store, String), VecDeque<Damage>>,
    bytes_read: Arc<Mutex<u64>>,
}

type Objects = BTreeMap<String, Object>;

#[derive(Clone)]
struct Object {
    content: Bytes,
    last_modified: Timestamp,
}

impl Default for FakeArchive {
    fn default() -> Self {
        Self {
            calls: Calls::default(),
            held: Arc::new(Mutex::new(Held {
                streams: Some(Objects::new()),
                events: Some(Objects::new()),
                key: None,
                page: 1000,
                damages: HashMap::new(),
                bytes_read: Arc::default(),
            })),
        }
    }
}

impl FakeArchive {
    /// Two empty buckets, pages of 1000, and no AES key.
    pub fn new() -> Self {
        Self::default()
    }

    /// Its calls, and the trouble with them.
    pub fn calls(&self) -> &Calls<ArchiveCall> {
        &self.calls
    }

    /// What a call on this prefix or key is known by.
    pub fn target(store: Store, key: &str) -> String {
        match store {
            Store::Streams => format!("streams/{key}"),
            Store::Events => format!("events/{key}"),
        }
    }

    /// Puts an object in place, byte for byte as it is to lie there; makes the bucket if there is none.
    pub fn plant(
        &self,
        store: Store,
        key: impl Into<String>,
        content: impl Into<Bytes>,
        last_modified: Timestamp,
    ) {
        let object = Object {
            content: content.into(),
            last_modified,
        };
        let mut held = lock(&self.held);
        let objects = held.store(store).get_or_insert_default();
        objects.insert(key.into(), object);
    }

    /// Loses an object, as age-off does.
    pub fn lose(&self, store: Store, key: &str) {
        if let Some(objects) = lock(&self.held).store(store) {
            objects.remove(key);
        }
    }

    /// Loses a whole bucket.
    pub fn lose_bucket(&self, store: Store) {
        *lock(&self.held).store(store) = None;
    }

    /// The keys of a store, in order.
    pub fn keys(&self, store: Store) -> Vec<String> {
        let mut held = lock(&self.held);
        let objects = held.store(store).iter().flatten();
        objects.map(|(key, _)| key.clone()).collect()
    }

    /// What encrypted objects are read with.
    pub fn set_key(&self, key: Option<AesKey>) {
        lock(&self.held).key = key;
    }

    /// How many entries a page has at most.
    pub fn set_page(&self, entries: usize) {
        lock(&self.held).page = entries.clamp(1, 1000);
    }

    /// The next `times` reads of an object end like this; several that were planned befall it one after the other.
    pub fn damage(&self, store: Store, key: impl Into<String>, damage: &Damage, times: usize) {
        let mut held = lock(&self.held);
        let planned = held.damages.entry((store, key.into())).or_default();
        planned.extend(std::iter::repeat_n(damage.clone(), times));
    }

    /// How many bytes of bodies were handed out.
    pub fn bytes_read(&self) -> u64 {
        *lock(&lock(&self.held).bytes_read)
    }
}

impl Held {
    fn store(&mut self, store: Store) -> &mut Option<Objects> {
        match store {
            Store::Streams => &mut self.streams,
            Store::Events => &mut self.events,
        }
    }

    fn objects(&mut self, store: Store, target: &str) -> Result<&Objects, Fault> {
        let missing = || Fault::missing("list objects", target, "404 NoSuchBucket");
        self.store(store).as_ref().ok_or_else(missing)
    }

    fn list(
        &mut self,
        store: Store,
        prefix: &str,
        after: Option<&str>,
        target: &str,
    ) -> Result<ListPage, Fault> {
        let most = self.page;
        let mut found = below(self.objects(store, target)?, prefix, after);
        let objects = found.by_ref().take(most).map(|(key, object)| object.listed(key));
        let objects = objects.collect();
        Ok(ListPage {
            objects,
            more: found.next().is_some(),
        })
    }

    fn folders(
        &mut self,
        store: Store,
        prefix: &str,
        after: Option<&str>,
        target: &str,
    ) -> Result<FolderPage, Fault> {
        let most = self.page;
        let objects = self.objects(store, target)?;
        let mut page = FolderPage::default();
        let mut after = after.map(str::to_owned);
        loop {
            let Some((key, object)) = below(objects, prefix, after.as_deref()).next() else {
                return Ok(page);
            };
            if page.folders.len() + page.objects.len() == most {
                page.next = after;
                return Ok(page);
            }
            after = Some(match key[prefix.len()..].split_once('/') {
                Some((folder, _)) => {
                    let behind = format!("{prefix}{folder}/{}", char::MAX);
                    // As a folder that `after` is in: it was told before.
                    if after.is_none_or(|after| after < format!("{prefix}{folder}/")) {
                        page.folders.push(folder.to_owned());
                    }
                    behind.max(key.clone())
                }
                None => {
                    page.objects.push(object.listed(key));
                    key.clone()
                }
            });
        }
    }

    fn read(&mut self, store: Store, key: &str, target: &str) -> Result<Box<dyn ByteStream>, Fault> {
        let planned = self.damages.get_mut(&(store, key.to_owned()));
        let damage = planned.and_then(VecDeque::pop_front);
        let bytes_read = self.bytes_read.clone();
        let aes = self.key.clone();
        let reading = Reading::of(key, aes.as_ref(), target)?;
        let objects = self.store(store).as_ref();
        let objects = objects.ok_or_else(|| Fault::rejected("get object", target, "404 NoSuchBucket"))?;
        let object = objects.get(key);
        let object = object.ok_or_else(|| Fault::missing("get object", target, "404 NoSuchKey"))?;
        let body = Body::new(object.content.clone(), damage, target, bytes_read);
        reading.content(Box::new(body), target)
    }
}

impl Object {
    fn listed(&self, key: &str) -> ListedObject {
        ListedObject {
            key: key.to_owned(),
            size: self.content.len() as u64,
            last_modified: Some(self.last_modified),
        }
    }
}

/// The objects below `prefix` that follow `after`.
fn below<'a>(
    objects: &'a Objects,
    prefix: &'a str,
    after: Option<&str>,
) -> impl Iterator<Item = (&'a String, &'a Object)> {
    let start = match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    };
    objects
        .range::<str, _>((start, Bound::Unbounded))
        .take_while(move |(key, _)| key.starts_with(prefix))
}

#[async_trait(?Send)]
impl Archive for FakeArchive {
    async fn list(&self, store: Store, prefix: &str, after: Option<&str>) -> Result<ListPage, Fault> {
        let target = Self::target(store, prefix);
        let effect = || lock(&self.held).list(store, prefix, after, &target);
        self.calls.make(ArchiveCall::List, &target, effect).await
    }

    async fn folders(&self, store: Store, prefix: &str, after: Option<&str>) -> Result<FolderPage, Fault> {
        let target = Self::target(store, prefix);
        let effect = || lock(&self.held).folders(store, prefix, after, &target);
        self.calls.make(ArchiveCall::Folders, &target, effect).await
    }

    async fn read(&self, store: Store, key: &str) -> Result<Box<dyn ByteStream>, Fault> {
        let target = Self::target(store, key);
        let effect = || lock(&self.held).read(store, key, &target);
        self.calls.make(ArchiveCall::Read, &target, effect).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Gate, Trouble};
    use super::*;

    const KEY: &str = "samples/content/5c";

    fn archive() -> FakeArchive {
        let archive = FakeArchive::new();
        archive.plant(Store::Streams, KEY, vec![7; 100], Timestamp::from_micros(1));
        archive
    }

    async fn read(archive: &FakeArchive) -> Result<Vec<u8>, Fault> {
        let mut body = archive.read(Store::Streams, KEY).await?;
        let mut content = Vec::new();
        while let Some(chunk) = body.chunk().await? {
            content.extend_from_slice(&chunk);
        }
        Ok(content)
    }

    #[tokio::test]
    async fn damage_befalls_the_reads_that_it_was_planned_for_and_no_other() {
        let archive = archive();
        archive.damage(Store::Streams, KEY, &Damage::BreaksOff { after: 10 }, 2);
        archive.damage(Store::Streams, KEY, &Damage::FlipsBit { at: 50 }, 1);
        for _ in 0..2 {
            let fault = read(&archive).await.unwrap_err();
            assert!(
                fault.is_transient() && fault.to_string().contains("after 10 of 100"),
                "{fault}"
            );
        }
        let mut flipped = vec![7; 100];
        flipped[50] ^= 1;
        assert_eq!(read(&archive).await.unwrap(), flipped);
        assert_eq!(read(&archive).await.unwrap(), [7; 100]);
        assert_eq!(archive.bytes_read(), 2 * 10 + 2 * 100);
        assert_eq!(archive.calls().count(ArchiveCall::Read), 4);
    }

    #[tokio::test]
    async fn a_body_that_stalls_waits_for_its_gate() {
        let (archive, gate) = (archive(), Gate::new());
        let stalls = Damage::Stalls {
            after: 10,
            gate: gate.clone(),
        };
        archive.damage(Store::Streams, KEY, &stalls, 1);
        let opener = async {
            gate.arrived(1).await;
            assert_eq!(archive.bytes_read(), 10);
            gate.open();
        };
        let (content, ()) = tokio::join!(read(&archive), opener);
        assert_eq!(content.unwrap().len(), 100);
    }

    #[tokio::test]
    async fn the_third_page_can_be_made_to_fail() {
        let archive = FakeArchive::new();
        for i in 0..10 {
            archive.plant(Store::Events, format!("a/{i}"), "x", Timestamp::from_micros(1));
        }
        archive.set_page(3);
        let fault = Fault::transient("list objects", "events/a/", "503");
        let target = FakeArchive::target(Store::Events, "a/");
        archive
            .calls()
            .plan(Trouble::fails(ArchiveCall::List, fault).on(target).sparing(2));
        let (mut after, mut sizes) = (None, Vec::new());
        loop {
            match archive.list(Store::Events, "a/", after.as_deref()).await {
                Ok(page) => {
                    sizes.push(page.objects.len());
                    after = page.objects.last().map(|object| object.key.clone());
                    if !page.more {
                        break;
                    }
                }
                Err(_) => sizes.push(0),
            }
        }
        assert_eq!(sizes, [3, 3, 0, 3, 1]);
    }
}
