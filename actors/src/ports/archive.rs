//! The backup as restore reads it: keys as text, for what lies in a bucket need not be what it should be.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::bucket::ByteStream;
use crate::fault::Fault;
use crate::timestamp::Timestamp;

/// One of the two buckets, or folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// `…-streams`.
    Streams,
    /// `…-events`.
    Events,
}

/// What a listing tells of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedObject {
    /// Its key as it is, without the folder of one-bucket mode; any text.
    pub key: String,
    /// Its length in bytes, as stored.
    pub size: u64,
    /// When it was written, by the clock of the bucket.
    pub last_modified: Option<Timestamp>,
}

/// One page of a listing, in the order of the bytes of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    /// At most 1000.
    pub objects: Vec<ListedObject>,
    /// Whether more keys follow after the last of these.
    pub more: bool,
}

/// One page of folder names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FolderPage {
    /// Names between the prefix and the next `/`, without either, in the order of the keys in them: `a-b` before `a`.
    pub folders: Vec<String>,
    /// Keys that lie directly below the prefix, in no folder.
    pub objects: Vec<ListedObject>,
    /// Where the next page goes on, as `after`; `None` after the last.
    pub next: Option<String>,
}

/// The backup, to be read; one attempt per call. Nothing is ever created or changed.
#[async_trait(?Send)]
pub trait Archive {
    /// Up to 1000 objects whose keys begin with `prefix` and are greater than `after`.
    ///
    /// # Errors
    /// An answer that is not a listing of what was asked for is a fault, never an empty page. Missing if there is
    /// no such bucket.
    async fn list(&self, store: Store, prefix: &str, after: Option<&str>) -> Result<ListPage, Fault>;

    /// The folders directly below `prefix` (empty, or ending with `/`) that follow `after`, the `next` of a page before.
    ///
    /// # Errors
    /// As [`Archive::list`].
    async fn folders(&self, store: Store, prefix: &str, after: Option<&str>) -> Result<FolderPage, Fault>;

    /// The content of an object as it was before encryption: the gzip. For a key that ends with
    /// [`ENCRYPTED`] the content is decrypted on the way.
    ///
    /// # Errors
    /// Missing for a 404 of the bucket's own. Rejected for an encrypted object when there is no key.
    async fn read(&self, store: Store, key: &str) -> Result<Box<dyn ByteStream>, Fault>;
}

/// What the keys of encrypted objects end with.
pub const ENCRYPTED: &str = ".aesc1";
