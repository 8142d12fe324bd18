//! Ports whose requests are timed, and whose faults are counted: wrapped around the adapters.
//!
//! A duration is that of one attempt, until its result is known; of a body that is read, until it begins to come.

use std::time::Instant;

use actors::board::Tally;
use actors::fault::{Fault, FaultKind};
use actors::feed::Feed;
use actors::object_key::ObjectKey;
use actors::ports::archive::{Archive, FolderPage, ListPage, Store};
use actors::ports::target::{Published, Received, Target};
use actors::ports::{
    AnswerSink, Bucket, ByteStream, Dispatcher, ObjectInfo, PartTag, Pull, PullAnswer, PullFault, UploadId,
};
use actors::stream_id::StreamId;
use async_trait::async_trait;
use bytes::Bytes;

use crate::observe::durations::{Durations, Method};

/// Where it is noted. Clones share it; threads may differ.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    /// How long requests took.
    pub durations: Durations,
    /// Requests to the bucket that failed, by the kind of fault.
    pub object_errors: Tally,
}

impl Meter {
    /// A port whose requests are noted here.
    pub fn around<P>(&self, port: P) -> Metered<P> {
        Metered {
            port,
            meter: self.clone(),
        }
    }

    async fn timed<T, E>(
        &self,
        method: Method,
        kind: impl FnOnce(&E) -> FaultKind,
        request: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let begun = Instant::now();
        let result = request.await;
        self.durations
            .observe(method, result.as_ref().err().map(kind), begun.elapsed());
        result
    }

    async fn dispatcher<T>(
        &self,
        method: Method,
        request: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        self.timed(method, Fault::kind, request).await
    }

    async fn bucket<T>(
        &self,
        method: Method,
        request: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let result = self.timed(method, Fault::kind, request).await;
        result.inspect_err(|fault| self.object_errors.count(fault.kind().as_str()))
    }

    /// A body from the bucket.
    async fn body(
        &self,
        request: impl Future<Output = Result<Box<dyn ByteStream>, Fault>>,
    ) -> Result<Box<dyn ByteStream>, Fault> {
        let body = self.bucket(Method::Get, request).await?;
        let object_errors = self.object_errors.clone();
        Ok(Box::new(ObjectBody { body, object_errors }))
    }
}

/// A port, noted by a [`Meter`].
pub struct Metered<P> {
    port: P,
    meter: Meter,
}

/// What comes of an object; it may break off.
struct ObjectBody {
    body: Box<dyn ByteStream>,
    object_errors: Tally,
}

#[async_trait(?Send)]
impl ByteStream for ObjectBody {
    fn length(&self) -> Option<u64> {
        self.body.length()
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        let chunk = self.body.chunk().await;
        chunk.inspect_err(|fault| self.object_errors.count(fault.kind().as_str()))
    }
}

#[async_trait(?Send)]
impl<P: Bucket> Bucket for Metered<P> {
    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, Fault> {
        self.meter.bucket(Method::Head, self.port.head(key)).await
    }

    async fn put(&self, key: &ObjectKey, content: Bytes) -> Result<(), Fault> {
        self.meter.bucket(Method::Put, self.port.put(key, content)).await
    }

    async fn get(&self, key: &ObjectKey) -> Result<Box<dyn ByteStream>, Fault> {
        self.meter.body(self.port.get(key)).await
    }

    async fn begin_upload(&self, key: &ObjectKey) -> Result<UploadId, Fault> {
        self.meter.bucket(Method::Post, self.port.begin_upload(key)).await
    }

    async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: i64,
        content: Bytes,
    ) -> Result<PartTag, Fault> {
        let part = self.port.upload_part(key, upload, number, content);
        self.meter.bucket(Method::Put, part).await
    }

    async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[PartTag],
        size: u64,
    ) -> Result<(), Fault> {
        let completed = self.port.complete_upload(key, upload, parts, size);
        self.meter.bucket(Method::Post, completed).await
    }

    async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), Fault> {
        let aborted = self.port.abort_upload(key, upload);
        self.meter.bucket(Method::Delete, aborted).await
    }

    async fn list_uploads(&self, key: &ObjectKey) -> Result<Option<Vec<UploadId>>, Fault> {
        self.meter.bucket(Method::List, self.port.list_uploads(key)).await
    }

    async fn prepare(&self, create: bool) -> Result<(), Fault> {
        self.meter.bucket(Method::Head, self.port.prepare(create)).await
    }
}

#[async_trait(?Send)]
impl<P: Archive> Archive for Metered<P> {
    async fn list(&self, store: Store, prefix: &str, after: Option<&str>) -> Result<ListPage, Fault> {
        let page = self.port.list(store, prefix, after);
        self.meter.bucket(Method::List, page).await
    }

    async fn folders(&self, store: Store, prefix: &str, after: Option<&str>) -> Result<FolderPage, Fault> {
        let page = self.port.folders(store, prefix, after);
        self.meter.bucket(Method::List, page).await
    }

    async fn read(&self, store: Store, key: &str) -> Result<Box<dyn ByteStream>, Fault> {
        self.meter.body(self.port.read(store, key)).await
    }
}

#[async_trait(?Send)]
impl<P: Dispatcher> Dispatcher for Metered<P> {
    async fn pull(&self, pull: &Pull, sink: &mut dyn AnswerSink) -> Result<PullAnswer, PullFault> {
        let kind = |fault: &PullFault| fault.fault().kind();
        let answer = self.port.pull(pull, sink);
        self.meter.timed(Method::Pull, kind, answer).await
    }

    async fn download(&self, stream: &StreamId, from: u64) -> Result<Box<dyn ByteStream>, Fault> {
        let body = self.port.download(stream, from);
        self.meter.dispatcher(Method::Download, body).await
    }
}

#[async_trait(?Send)]
impl<P: Target> Target for Metered<P> {
    async fn publish(&self, feed: &Feed, bulk: Bytes) -> Result<Published, Fault> {
        let published = self.port.publish(feed, bulk);
        self.meter.dispatcher(Method::Upload, published).await
    }

    async fn upload(&self, stream: &StreamId, content: Box<dyn ByteStream>) -> Result<Received, Fault> {
        let received = self.port.upload(stream, content);
        self.meter.dispatcher(Method::Upload, received).await
    }

    async fn probe(&self, sent: Store) -> Result<(), Fault> {
        self.port.probe(sent).await
    }

    async fn exists(&self, stream: &StreamId) -> Result<bool, Fault> {
        self.meter
            .dispatcher(Method::Exists, self.port.exists(stream))
            .await
    }
}

#[cfg(test)]
mod tests {
    use actors::testkit::{BucketCall, FakeBucket, FakeDispatcher, Trouble};

    use super::*;
    use crate::observe::durations::NAME;

    fn stream() -> StreamId {
        StreamId::new("samples", "content", &"ab".repeat(32)).unwrap()
    }

    /// How many requests there were of this method with this result.
    fn count(meter: &Meter, method: &str, result: &str) -> u64 {
        let families = meter.durations.families();
        let series = families.iter().flat_map(|family| {
            assert_eq!(family.name(), NAME);
            family.get_metric()
        });
        let labels = [method, result];
        let of = series.filter(|series| series.get_label().iter().map(|label| label.value()).eq(labels));
        of.map(|series| series.get_histogram().get_sample_count()).sum()
    }

    #[tokio::test]
    async fn every_attempt_is_timed_by_its_method_and_result_and_faults_of_the_bucket_are_counted() {
        let (meter, bucket) = (Meter::default(), FakeBucket::new());
        let metered = meter.around(bucket.clone());
        let key = ObjectKey::from(stream());
        let away = Fault::transient("put object", "fake", "503");
        bucket
            .calls()
            .plan(Trouble::fails(BucketCall::Put, away).times(2));
        for _ in 0..3 {
            let _may_fail = metered.put(&key, Bytes::from_static(b"content")).await;
        }
        assert!(metered.head(&key).await.unwrap().is_some());
        assert_eq!(
            (count(&meter, "put", "transient"), count(&meter, "put", "ok")),
            (2, 1)
        );
        assert_eq!(count(&meter, "head", "ok"), 1);
        assert_eq!(meter.object_errors.counts(), [("transient".to_owned(), 2)].into());
    }

    #[tokio::test]
    async fn what_the_dispatcher_lacks_is_no_error_of_the_bucket() {
        let meter = Meter::default();
        let metered = meter.around(FakeDispatcher::new());
        assert!(metered.download(&stream(), 0).await.is_err());
        assert_eq!(count(&meter, "dispatcher-get", "missing"), 1);
        assert!(meter.object_errors.counts().is_empty());
    }
}
