//! The backup as restore reads it: listings, and the content of objects.
//!
//! A store is a bucket, or a folder of one ([`Place`](crate::settings::Place)): keys come and go without the folder.
//! What was encrypted is decrypted on the way. Nothing is created or changed.

use actors::encryption::{AesKey, Reading};
use actors::fault::Fault;
use actors::ports::ByteStream;
use actors::ports::archive::{Archive, FolderPage, ListPage, Store};
use actors::stream_worker::progress::Progress;
use async_trait::async_trait;

use super::client::S3;
use super::listing::{self, Asked};
use super::{Place, S3Config, object};
use crate::settings::{self, ReadingSide};

/// Greater than whatever follows the `/` of a folder: where the listing goes on behind it. Some servers skip a
/// folder that `start-after` names, others list it again; by this no server has a choice.
const BEHIND_ALL: char = char::MAX;

/// The two stores, as [`Archive`].
pub struct S3Archive {
    s3: S3,
    streams: settings::Place,
    events: settings::Place,
    key: Option<AesKey>,
}

impl S3Archive {
    /// Opens nothing yet; for the runtime that calls it. The buckets are those of `side`.
    ///
    /// # Errors
    /// The certificates that are to be trusted cannot be read, or the AES key is none.
    pub fn new(config: S3Config, side: &ReadingSide) -> Result<Self, Fault> {
        Self::noting(config, side, Progress::default())
    }

    /// The same for a worker: every attempt that ends is noted as its progress.
    ///
    /// # Errors
    /// As [`S3Archive::new`].
    pub fn noting(config: S3Config, side: &ReadingSide, progress: Progress) -> Result<Self, Fault> {
        let key = side.aes_key.as_ref().map(|key| AesKey::parse(key.reveal()));
        let key = key.transpose().map_err(|why| {
            let detail = format!("BK__EXTERNAL_BACKUP__AES_KEY is none: {why}");
            Fault::rejected("set up S3 client", config.endpoint.as_str(), detail)
        })?;
        let config = S3Config {
            streams_bucket: side.streams.bucket.clone(),
            events_bucket: side.events.bucket.clone(),
            ..config
        };
        Ok(Self {
            s3: S3::new(config, progress)?,
            streams: side.streams.clone(),
            events: side.events.clone(),
            key,
        })
    }

    fn place(&self, store: Store) -> &settings::Place {
        match store {
            Store::Streams => &self.streams,
            Store::Events => &self.events,
        }
    }
}

#[async_trait(?Send)]
impl Archive for S3Archive {
    async fn list(&self, store: Store, prefix: &str, after: Option<&str>) -> Result<ListPage, Fault> {
        let asked = Asked::keys(self.place(store), prefix, after);
        let page = listing::page(&self.s3, &asked).await?;
        Ok(ListPage {
            objects: page.objects,
            more: page.more,
        })
    }

    async fn folders(&self, store: Store, prefix: &str, after: Option<&str>) -> Result<FolderPage, Fault> {
        let asked = Asked::folders(self.place(store), prefix, after);
        let page = listing::page(&self.s3, &asked).await?;
        let behind_folder = page
            .folders
            .last()
            .map(|name| format!("{prefix}{name}/{BEHIND_ALL}"));
        let behind_object = page.objects.last().map(|object| object.key.clone());
        Ok(FolderPage {
            next: behind_folder.max(behind_object).filter(|_| page.more),
            folders: page.folders,
            objects: page.objects,
        })
    }

    async fn read(&self, store: Store, key: &str) -> Result<Box<dyn ByteStream>, Fault> {
        let settings::Place { bucket, folder } = self.place(store);
        let place = Place {
            bucket,
            key: format!("{folder}{key}"),
        };
        if key.is_empty() {
            // It would ask for the bucket, or for its folder.
            return Err(Fault::rejected("get object", place, "an object has a name"));
        }
        let reading = Reading::of(key, self.key.as_ref(), &place)?;
        let body = object::get(&self.s3, &place).await?;
        reading.content(Box::new(body), &place)
    }
}
