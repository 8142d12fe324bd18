//! The backup bucket over S3, by rusoto.
//!
//! # The contract
//! * One attempt per call, apart from one immediate repetition of an idempotent request whose connection turned
//!   out to be closed. Connections, answers, progress of what is being sent and chunks of bodies have time-outs.
//! * **Every write carries a checksum that the bucket verifies**: objects and parts are sent as signed requests
//!   whose signature covers the SHA-256 of the payload (`x-amz-content-sha256`), where rusoto's own calls would
//!   send `UNSIGNED-PAYLOAD`. It is the cheapest that holds: SHA-256 in hardware is some three times as fast as
//!   the MD5 of `Content-MD5`, every S3 server checks it as part of the signature, and it protects plain `http`.
//! * **An answer is believed only if it says what a success says.** A PUT needs an entity tag, an upload an id, a
//!   completed upload an entity tag and a HEAD that finds the right size, a listing the names of what was asked
//!   for; an `<Error>` or a web page is a fault whatever its status is.
//! * What restore reads ([`S3Archive`]) is never written to, and nothing is created for it.
//! * A proxy that the environment names for the server is used ([`Proxies`](crate::settings::Proxies)); what it answers
//!   itself is told as such.
//! * An error tells the bucket's code and message, never a secret.
//!
//! A connection lives on the runtime that opened it, so that a client shared by several hangs: every thread makes
//! an [`S3Bucket`] of its own.

mod archive;
mod body;
mod client;
mod fault;
mod inspection;
mod listing;
mod multipart;
mod object;
mod prepare;
mod uploads;
mod wire;
mod xml;

use std::fmt;

use actors::fault::Fault;
use actors::object_key::ObjectKey;
use actors::ports::{Bucket, ByteStream, ObjectInfo, PartTag, UploadId};
use actors::stream_worker::progress::Progress;
use async_trait::async_trait;
use bytes::Bytes;

use crate::adapters::http::HttpTimeouts;
use crate::settings::{BaseUrl, BucketSettings, Secret};
pub use archive::S3Archive;
use client::S3;
pub use inspection::{BucketInspector, FirstPage, Inspected};

/// Where the bucket is, and who asks.
#[derive(Clone, Debug)]
pub struct S3Config {
    /// The S3 server.
    pub endpoint: BaseUrl,
    /// Part of every signature.
    pub region: String,
    /// The bucket of streams.
    pub streams_bucket: String,
    /// The bucket of bundles.
    pub events_bucket: String,
    /// The public half of the key.
    pub access_key: Secret,
    /// The secret half of the key.
    pub secret_key: Secret,
    /// How long to wait.
    pub timeouts: HttpTimeouts,
}

impl S3Config {
    /// Of the bucket that the settings name.
    pub fn of(bucket: &BucketSettings, timeouts: HttpTimeouts) -> Self {
        Self {
            endpoint: bucket.endpoint.clone(),
            region: bucket.region.clone(),
            streams_bucket: bucket.streams.clone(),
            events_bucket: bucket.events.clone(),
            access_key: bucket.access_key.clone(),
            secret_key: bucket.secret_key.clone(),
            timeouts,
        }
    }

    fn bucket_of(&self, key: &ObjectKey) -> &str {
        match key {
            ObjectKey::Stream(_) => &self.streams_bucket,
            ObjectKey::Bundle(_) => &self.events_bucket,
        }
    }
}

/// The two buckets, as [`Bucket`].
pub struct S3Bucket {
    s3: S3,
}

impl S3Bucket {
    /// Opens nothing yet; for the runtime that calls it.
    ///
    /// # Errors
    /// What certificates, or proxies, the environment names is of no use.
    pub fn new(config: S3Config) -> Result<Self, Fault> {
        Self::noting(config, Progress::default())
    }

    /// The same for a worker: whatever is sent, and every attempt that ends, is noted as its progress.
    ///
    /// # Errors
    /// As [`S3Bucket::new`].
    pub fn noting(config: S3Config, progress: Progress) -> Result<Self, Fault> {
        S3::new(config, progress).map(|s3| Self { s3 })
    }
}

/// One object as one call speaks of it.
struct Place<'a> {
    bucket: &'a str,
    key: String,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket, self.key)
    }
}

impl S3Bucket {
    fn place(&self, key: &ObjectKey) -> Place<'_> {
        Place {
            bucket: self.s3.config.bucket_of(key),
            key: key.to_string(),
        }
    }
}

#[async_trait(?Send)]
impl Bucket for S3Bucket {
    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, Fault> {
        object::head(&self.s3, &self.place(key)).await
    }

    async fn put(&self, key: &ObjectKey, content: Bytes) -> Result<(), Fault> {
        object::put(&self.s3, &self.place(key), content).await
    }

    async fn get(&self, key: &ObjectKey) -> Result<Box<dyn ByteStream>, Fault> {
        let body = object::get(&self.s3, &self.place(key)).await?;
        Ok(Box::new(body))
    }

    async fn begin_upload(&self, key: &ObjectKey) -> Result<UploadId, Fault> {
        multipart::begin(&self.s3, &self.place(key)).await
    }

    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: i64,
        content: Bytes,
    ) -> Result<PartTag, Fault> {
        multipart::part(&self.s3, &self.place(key), upload, number, content).await
    }

    async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartTag],
        size: u64,
    ) -> Result<(), Fault> {
        multipart::complete(&self.s3, &self.place(key), upload, parts, size).await
    }

    async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), Fault> {
        multipart::abort(&self.s3, &self.place(key), upload).await
    }

    async fn list_uploads(&self, key: &ObjectKey) -> Result<Option<Vec<UploadId>>, Fault> {
        uploads::list(&self.s3, &self.place(key)).await
    }

    async fn prepare(&self, create: bool) -> Result<(), Fault> {
        prepare::prepare(&self.s3, create).await
    }
}
