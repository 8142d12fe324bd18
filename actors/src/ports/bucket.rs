//! The backup bucket (in truth two: one of streams and one of events; the key says which).

use async_trait::async_trait;
use bytes::Bytes;

use crate::fault::Fault;
use crate::object_key::ObjectKey;
use crate::timestamp::Timestamp;

/// What a HEAD tells about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its length in bytes, as stored.
    pub size: u64,
    /// Its entity tag without quotes; the hex MD5 of the content for an object that was written in one piece.
    pub etag: Option<String>,
    /// When it was written, where the bucket says so. Age-off counts from here.
    pub last_modified: Option<Timestamp>,
}

/// A body that is read chunk by chunk.
#[async_trait(?Send)]
pub trait ByteStream {
    /// How many bytes it will have, where the other side said so.
    fn length(&self) -> Option<u64>;

    /// The next bytes; `None` after the last. A body shorter than announced is a transient fault, never an end.
    ///
    /// # Errors
    /// Transient when the connection breaks or stalls.
    async fn chunk(&mut self) -> Result<Option<Bytes>, Fault>;
}

/// A multipart upload that has begun and is neither complete nor aborted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadId(pub String);

/// What the bucket answered to a part; completing asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartTag {
    /// Counted from 1.
    pub number: i64,
    /// The entity tag of the part.
    pub etag: String,
}

/// The smallest part, other than the last, that S3 accepts.
pub const SMALLEST_PART: usize = 5 * 1024 * 1024;

/// The most parts of one upload that S3 accepts.
pub const MOST_PARTS: u64 = 10_000;

/// The bucket, one attempt per call. Every write carries a checksum that the bucket verifies.
#[async_trait(?Send)]
pub trait Bucket {
    /// What is known of the object; `None` if there is none, or if the bucket will not say (403).
    ///
    /// # Errors
    /// The bucket could not be asked.
    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, Fault>;

    /// Writes a whole object.
    ///
    /// # Errors
    /// The object may or may not be there after a transient fault: repeating is safe.
    async fn put(&self, key: &ObjectKey, content: Bytes) -> Result<(), Fault>;

    /// Reads an object.
    ///
    /// # Errors
    /// Missing for a 404.
    async fn get(&self, key: &ObjectKey) -> Result<Box<dyn ByteStream>, Fault>;

    /// Begins a multipart upload; the object does not exist before [`Bucket::complete_upload`].
    ///
    /// # Errors
    /// Unless the fault is rejected or missing, an upload may have begun whose id is not known.
    async fn begin_upload(&self, key: &ObjectKey) -> Result<UploadId, Fault>;

    /// Writes part `number` (from 1); all but the last have at least [`SMALLEST_PART`] bytes.
    ///
    /// # Errors
    /// Repeating is safe. [Lapsed](crate::fault::FaultKind::Lapsed) if there is no such upload.
    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: i64,
        content: Bytes,
    ) -> Result<PartTag, Fault>;

    /// Makes the object of its parts, and makes sure of it: an answer of 200 is believed only with an entity tag
    /// and when a HEAD finds an object of `size` bytes.
    ///
    /// # Errors
    /// After a lost answer the upload is gone ([lapsed](crate::fault::FaultKind::Lapsed)) and the object there:
    /// callers ask with [`Bucket::head`].
    async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartTag],
        size: u64,
    ) -> Result<(), Fault>;

    /// Drops a multipart upload; one that is not there any more counts as dropped.
    ///
    /// # Errors
    /// The bucket could not be asked.
    async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), Fault>;

    /// The uploads of exactly this key, whoever began them, that are neither complete nor aborted; `None` if the
    /// bucket does not list uploads at all.
    ///
    /// # Errors
    /// The bucket could not be asked, or will not let these credentials list.
    async fn list_uploads(&self, key: &ObjectKey) -> Result<Option<Vec<UploadId>>, Fault>;

    /// Makes sure that both buckets can be used; creates the missing with a warning where `create` says so.
    ///
    /// # Errors
    /// A bucket is missing, or not accessible.
    async fn prepare(&self, create: bool) -> Result<(), Fault>;
}
