//! A bucket in memory, as strict about uploads as S3 is.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use md5::{Digest, Md5};

use super::calls::Calls;
use super::lock;
use crate::fault::Fault;
use crate::object_key::ObjectKey;
use crate::ports::bucket::{Bucket, ByteStream, MOST_PARTS, ObjectInfo, PartTag, SMALLEST_PART, UploadId};
use crate::timestamp::Timestamp;

/// The calls of a bucket; their target is the key (`prepare` has none).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BucketCall {
    /// [`Bucket::head`]
    Head,
    /// [`Bucket::put`]
    Put,
    /// [`Bucket::get`]
    Get,
    /// [`Bucket::begin_upload`]
    BeginUpload,
    /// [`Bucket::upload_part`]
    UploadPart,
    /// [`Bucket::complete_upload`]
    CompleteUpload,
    /// [`Bucket::abort_upload`]
    AbortUpload,
    /// [`Bucket::list_uploads`]
    ListUploads,
    /// [`Bucket::prepare`]
    Prepare,
}

/// The bucket in memory.
#[derive(Clone, Default)]
pub struct FakeBucket {
    calls: Calls<BucketCall>,
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    objects: HashMap<ObjectKey, Object>,
    uploads: HashMap<UploadId, Upload>,
    uploads_begun: u64,
    writes: HashMap<ObjectKey, u32>,
    forbids_heads: bool,
    lists_no_uploads: bool,
}

struct Object {
    content: Bytes,
    etag: String,
    last_modified: Timestamp,
}

struct Upload {
    key: ObjectKey,
    parts: BTreeMap<i64, Bytes>,
}

fn md5_hex(content: &[u8]) -> String {
    hex::encode(Md5::digest(content))
}

impl FakeBucket {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Its calls, and the trouble with them.
    pub fn calls(&self) -> &Calls<BucketCall> {
        &self.calls
    }

    /// Puts an object in place, as an earlier backup, or another tool, may have left it.
    pub fn plant(&self, key: impl Into<ObjectKey>, content: impl Into<Bytes>, last_modified: Timestamp) {
        let content = content.into();
        let etag = md5_hex(&content);
        let object = Object {
            content,
            etag,
            last_modified,
        };
        lock(&self.held).objects.insert(key.into(), object);
    }

    /// Loses an object, as age-off does.
    pub fn lose(&self, key: &ObjectKey) {
        lock(&self.held).objects.remove(key);
    }

    /// The bytes of an object.
    pub fn content(&self, key: &ObjectKey) -> Option<Bytes> {
        lock(&self.held)
            .objects
            .get(key)
            .map(|object| object.content.clone())
    }

    /// The keys of all objects, in the order of their text.
    pub fn keys(&self) -> Vec<ObjectKey> {
        let mut keys: Vec<ObjectKey> = lock(&self.held).objects.keys().cloned().collect();
        keys.sort_by_cached_key(ToString::to_string);
        keys
    }

    /// How often an object was written under this key, in one piece or in parts; lost answers count.
    pub fn writes(&self, key: &ObjectKey) -> u32 {
        lock(&self.held).writes.get(key).copied().unwrap_or(0)
    }

    /// The uploads that are neither complete nor aborted.
    pub fn open_uploads(&self) -> Vec<(ObjectKey, UploadId)> {
        let held = lock(&self.held);
        let uploads = held.uploads.iter();
        uploads
            .map(|(id, upload)| (upload.key.clone(), id.clone()))
            .collect()
    }

    /// Answers every HEAD as a bucket does that does not let these credentials list (403).
    pub fn forbid_heads(&self) {
        lock(&self.held).forbids_heads = true;
    }

    /// Lists no uploads, as some servers do not.
    pub fn list_no_uploads(&self) {
        lock(&self.held).lists_no_uploads = true;
    }
}

impl Held {
    fn write(&mut self, key: &ObjectKey, content: Bytes, etag: String) {
        *self.writes.entry(key.clone()).or_default() += 1;
        let last_modified = Timestamp::now();
        self.objects.insert(
            key.clone(),
            Object {
                content,
                etag,
                last_modified,
            },
        );
    }

    fn upload(
        &mut self,
        key: &ObjectKey,
        id: &UploadId,
        operation: &'static str,
    ) -> Result<&mut Upload, Fault> {
        self.uploads
            .get_mut(id)
            .filter(|upload| upload.key == *key)
            .ok_or_else(|| Fault::lapsed(operation, key, "404 NoSuchUpload"))
    }

    fn complete(
        &mut self,
        key: &ObjectKey,
        id: &UploadId,
        parts: &[PartTag],
        size: u64,
    ) -> Result<(), Fault> {
        const OPERATION: &str = "complete upload";
        let upload = self.upload(key, id, OPERATION)?;
        let mut content = Vec::new();
        let mut digests = Md5::new();
        for (index, part) in parts.iter().enumerate() {
            let bytes = upload.parts.get(&part.number);
            let Some(bytes) = bytes.filter(|bytes| md5_hex(bytes) == part.etag) else {
                return Err(Fault::rejected(OPERATION, key, "400 InvalidPart"));
            };
            if index > 0 && parts[index - 1].number >= part.number {
                return Err(Fault::rejected(OPERATION, key, "400 InvalidPartOrder"));
            }
            if index + 1 < parts.len() && bytes.len() < SMALLEST_PART {
                return Err(Fault::rejected(OPERATION, key, "400 EntityTooSmall"));
            }
            digests.update(Md5::digest(bytes));
            content.extend_from_slice(bytes);
        }
        if parts.is_empty() {
            return Err(Fault::rejected(OPERATION, key, "400 MalformedXML"));
        }
        let found = content.len() as u64;
        let etag = format!("{}-{}", hex::encode(digests.finalize()), parts.len());
        self.uploads.remove(id);
        self.write(key, content.into(), etag);
        if found == size {
            Ok(())
        } else {
            Err(Fault::corrupt(
                OPERATION,
                key,
                format!("{found} bytes there, {size} sent"),
            ))
        }
    }
}

#[async_trait(?Send)]
impl Bucket for FakeBucket {
    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, Fault> {
        let effect = || {
            let held = lock(&self.held);
            let object = held.objects.get(key).filter(|_| !held.forbids_heads);
            Ok(object.map(|object| ObjectInfo {
                size: object.content.len() as u64,
                etag: Some(object.etag.clone()),
                last_modified: Some(object.last_modified),
            }))
        };
        self.calls.make(BucketCall::Head, key, effect).await
    }

    async fn put(&self, key: &ObjectKey, content: Bytes) -> Result<(), Fault> {
        let effect = || {
            let etag = md5_hex(&content);
            lock(&self.held).write(key, content, etag);
            Ok(())
        };
        self.calls.make(BucketCall::Put, key, effect).await
    }

    async fn get(&self, key: &ObjectKey) -> Result<Box<dyn ByteStream>, Fault> {
        let effect = || match self.content(key) {
            Some(content) => Ok(Box::new(Whole {
                length: content.len() as u64,
                left: content,
            }) as Box<dyn ByteStream>),
            None => Err(Fault::missing("get object", key, "404 NoSuchKey")),
        };
        self.calls.make(BucketCall::Get, key, effect).await
    }

    async fn begin_upload(&self, key: &ObjectKey) -> Result<UploadId, Fault> {
        let effect = || {
            let mut held = lock(&self.held);
            held.uploads_begun += 1;
            let id = UploadId(format!("upload-{}", held.uploads_begun));
            let upload = Upload {
                key: key.clone(),
                parts: BTreeMap::new(),
            };
            held.uploads.insert(id.clone(), upload);
            Ok(id)
        };
        self.calls.make(BucketCall::BeginUpload, key, effect).await
    }

    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: i64,
        content: Bytes,
    ) -> Result<PartTag, Fault> {
        let effect = || {
            if !(1..=MOST_PARTS.cast_signed()).contains(&number) {
                return Err(Fault::rejected(
                    "upload part",
                    key,
                    "400 InvalidArgument: part number",
                ));
            }
            let etag = md5_hex(&content);
            let mut held = lock(&self.held);
            held.upload(key, upload, "upload part")?
                .parts
                .insert(number, content);
            Ok(PartTag { number, etag })
        };
        self.calls.make(BucketCall::UploadPart, key, effect).await
    }

    async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartTag],
        size: u64,
    ) -> Result<(), Fault> {
        let effect = || lock(&self.held).complete(key, upload, parts, size);
        self.calls.make(BucketCall::CompleteUpload, key, effect).await
    }

    async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), Fault> {
        let effect = || {
            lock(&self.held).uploads.remove(upload);
            Ok(())
        };
        self.calls.make(BucketCall::AbortUpload, key, effect).await
    }

    async fn list_uploads(&self, key: &ObjectKey) -> Result<Option<Vec<UploadId>>, Fault> {
        let effect = || {
            let held = lock(&self.held);
            let of_key = held.uploads.iter().filter(|(_, upload)| upload.key == *key);
            let ids = of_key.map(|(id, _)| id.clone()).collect();
            Ok((!held.lists_no_uploads).then_some(ids))
        };
        self.calls.make(BucketCall::ListUploads, key, effect).await
    }

    async fn prepare(&self, _create: bool) -> Result<(), Fault> {
        self.calls.make(BucketCall::Prepare, &"", || Ok(())).await
    }
}

struct Whole {
    length: u64,
    left: Bytes,
}

#[async_trait(?Send)]
impl ByteStream for Whole {
    fn length(&self) -> Option<u64> {
        Some(self.length)
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        let size = self.left.len().min(64 * 1024);
        Ok((size > 0).then(|| self.left.split_to(size)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Trouble;
    use super::*;
    use crate::stream_id::StreamId;

    fn key() -> ObjectKey {
        StreamId::new("samples", "content", &"0".repeat(64))
            .unwrap()
            .into()
    }

    #[tokio::test]
    async fn a_put_is_there_with_the_md5_of_its_content_even_if_its_answer_is_lost() {
        let bucket = FakeBucket::new();
        let fault = Fault::transient("put object", key(), "time-out");
        bucket
            .calls()
            .plan(Trouble::loses_the_answer(BucketCall::Put, fault));
        assert!(bucket.put(&key(), Bytes::from_static(b"abc")).await.is_err());
        let info = bucket.head(&key()).await.unwrap().unwrap();
        assert_eq!(info.etag.as_deref(), Some("900150983cd24fb0d6963f7d28e17f72"));
        assert_eq!((info.size, bucket.writes(&key())), (3, 1));
    }

    #[tokio::test]
    async fn an_object_of_parts_appears_when_it_is_complete_and_not_before() {
        let bucket = FakeBucket::new();
        let id = bucket.begin_upload(&key()).await.unwrap();
        let mut parts = Vec::new();
        for (number, size) in [(1, SMALLEST_PART), (2, 3)] {
            let content = Bytes::from(vec![7; size]);
            parts.push(bucket.upload_part(&key(), &id, number, content).await.unwrap());
        }
        assert_eq!(bucket.head(&key()).await.unwrap(), None);
        assert_eq!(bucket.open_uploads(), [(key(), id.clone())]);
        let size = SMALLEST_PART as u64 + 3;
        bucket.complete_upload(&key(), &id, &parts, size).await.unwrap();
        assert_eq!(bucket.head(&key()).await.unwrap().unwrap().size, size);
        assert_eq!(bucket.open_uploads(), []);
        assert!(bucket.complete_upload(&key(), &id, &parts, size).await.is_err());
        bucket.abort_upload(&key(), &id).await.unwrap();
    }

    #[tokio::test]
    async fn what_s3_refuses_is_refused() {
        let bucket = FakeBucket::new();
        let id = bucket.begin_upload(&key()).await.unwrap();
        let one = bucket
            .upload_part(&key(), &id, 1, Bytes::from_static(b"a"))
            .await
            .unwrap();
        let two = bucket
            .upload_part(&key(), &id, 2, Bytes::from_static(b"b"))
            .await
            .unwrap();
        for parts in [vec![], vec![one.clone(), two.clone()], vec![two, one]] {
            assert!(bucket.complete_upload(&key(), &id, &parts, 2).await.is_err());
        }
        assert_eq!(bucket.keys(), []);
    }
}
