use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::ports::bucket::ByteStream;
use crate::stream_id::StreamId;
use crate::testkit::{BucketCall, FakeBucket, Trouble};
use crate::timestamp::Timestamp;

use super::*;

mod open_uploads;

/// An upload log that tests look at; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct KeptLog {
    open: Arc<Mutex<Vec<OpenUpload>>>,
    begun: Arc<Mutex<Vec<OpenUpload>>>,
    full: Arc<AtomicBool>,
}

impl KeptLog {
    pub(crate) fn open(&self) -> Vec<OpenUpload> {
        self.open.lock().unwrap().clone()
    }

    /// Whether it was in doubt that an upload is open; no more now.
    pub(crate) fn forget_doubt(&self) -> bool {
        let mut open = self.open.lock().unwrap();
        let before = open.len();
        open.retain(|row| row.upload.is_some());
        open.len() < before
    }

    /// How many uploads were logged with their ids.
    pub(crate) fn begun(&self) -> usize {
        let begun = self.begun.lock().unwrap();
        begun.iter().filter(|row| row.upload.is_some()).count()
    }
}

#[async_trait(?Send)]
impl UploadLog for KeptLog {
    async fn begun(&self, upload: &OpenUpload) -> Result<(), Fault> {
        if self.full.load(Ordering::SeqCst) {
            return Err(Fault::rejected("log upload", &upload.key, "no room on the disk"));
        }
        self.begun.lock().unwrap().push(upload.clone());
        self.open.lock().unwrap().push(upload.clone());
        Ok(())
    }

    async fn ended(&self, upload: &OpenUpload) -> Result<(), Fault> {
        self.open.lock().unwrap().retain(|open| open != upload);
        Ok(())
    }

    fn this_start(&self) -> u64 {
        THIS_START
    }
}

const THIS_START: u64 = 7;

/// A bucket that keeps nothing but the sizes of parts, and hands the bytes to `see`.
pub(crate) struct PassingBucket<S> {
    pub(crate) see: Mutex<S>,
    pub(crate) parts: Mutex<Vec<usize>>,
}

#[async_trait(?Send)]
impl<S: FnMut(&[u8])> Bucket for PassingBucket<S> {
    async fn head(&self, _: &ObjectKey) -> Result<Option<ObjectInfo>, Fault> {
        Ok(None)
    }

    async fn put(&self, key: &ObjectKey, _: Bytes) -> Result<(), Fault> {
        Err(Fault::rejected("put object", key, "parts are expected here"))
    }

    async fn get(&self, key: &ObjectKey) -> Result<Box<dyn ByteStream>, Fault> {
        Err(Fault::missing("get object", key, "nothing is kept"))
    }

    async fn begin_upload(&self, _: &ObjectKey) -> Result<UploadId, Fault> {
        Ok(UploadId("passing".to_owned()))
    }

    async fn upload_part(
        &self,
        _: &ObjectKey,
        _: &UploadId,
        number: i64,
        content: Bytes,
    ) -> Result<PartTag, Fault> {
        (self.see.lock().unwrap())(&content);
        self.parts.lock().unwrap().push(content.len());
        Ok(PartTag {
            number,
            etag: String::new(),
        })
    }

    async fn complete_upload(&self, _: &ObjectKey, _: &UploadId, _: &[PartTag], _: u64) -> Result<(), Fault> {
        Ok(())
    }

    async fn abort_upload(&self, _: &ObjectKey, _: &UploadId) -> Result<(), Fault> {
        Ok(())
    }

    async fn list_uploads(&self, _: &ObjectKey) -> Result<Option<Vec<UploadId>>, Fault> {
        Ok(None)
    }

    async fn prepare(&self, _: bool) -> Result<(), Fault> {
        Ok(())
    }
}

struct Scene {
    bucket: FakeBucket,
    log: KeptLog,
    key: ObjectKey,
}

impl Scene {
    fn new() -> Self {
        let stream = StreamId::new("samples", "content", &"ab".repeat(32)).unwrap();
        Self {
            bucket: FakeBucket::new(),
            log: KeptLog::default(),
            key: stream.into(),
        }
    }

    fn writer(&self, replaces: Option<ObjectInfo>) -> ObjectWriter {
        let bucket = Rc::new(self.bucket.clone());
        ObjectWriter::new(self.to(bucket), self.key.clone(), PartPlan::new(None), replaces)
    }

    fn to(&self, bucket: Rc<dyn Bucket>) -> Destination {
        Destination {
            bucket,
            uploads: Rc::new(self.log.clone()),
            retry: RetryPolicy {
                attempts: 3,
                average_delay: Duration::from_millis(500),
                retries: Default::default(),
            },
            stop: StopFlag::default(),
        }
    }

    fn fault(&self) -> Fault {
        Fault::transient("planned", &self.key, "503")
    }

    fn rejection(&self) -> Fault {
        Fault::rejected("planned", &self.key, "400")
    }

    /// Appends `count` steps of the compressor, and returns what was appended.
    async fn fill(&self, writer: &mut ObjectWriter, count: usize) -> Result<Vec<u8>, Fault> {
        let mut all = Vec::new();
        for step in 0..count {
            let bytes = vec![step as u8; gzip::LARGEST_STEP];
            all.extend_from_slice(&bytes);
            writer.buffer().extend_from_slice(&bytes);
            writer.drain().await?;
        }
        Ok(all)
    }

    fn nothing_is_left(&self) {
        assert_eq!(self.bucket.keys(), []);
        assert_eq!(self.bucket.open_uploads(), []);
        assert_eq!(self.log.open(), []);
    }
}

fn acknowledged(all: &[u8]) -> Finished {
    Finished {
        bytes: all.len() as u64,
        proof: Proof::Acknowledged,
    }
}

/// Enough for two parts and a rest.
const STEPS: usize = 100;

#[tokio::test(start_paused = true)]
async fn what_is_smaller_than_a_part_is_one_put() {
    let scene = Scene::new();
    let mut writer = scene.writer(None);
    let all = scene.fill(&mut writer, 3).await.unwrap();
    assert_eq!(writer.finish().await.unwrap(), acknowledged(&all));
    assert!(scene.bucket.content(&scene.key).unwrap() == all);
    assert_eq!(scene.bucket.calls().count(BucketCall::Put), 1);
    assert_eq!(
        (
            scene.bucket.calls().count(BucketCall::BeginUpload),
            scene.log.begun()
        ),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_larger_becomes_visible_as_a_whole_at_the_end() {
    let scene = Scene::new();
    let mut writer = scene.writer(None);
    let all = scene.fill(&mut writer, STEPS).await.unwrap();
    assert_eq!(scene.bucket.calls().count(BucketCall::UploadPart), 2);
    assert_eq!(scene.bucket.keys(), []);
    assert_eq!(writer.finish().await.unwrap(), acknowledged(&all));
    assert!(scene.bucket.content(&scene.key).unwrap() == all);
    assert_eq!(scene.bucket.calls().count(BucketCall::UploadPart), 3);
    assert_eq!((scene.log.begun(), scene.log.open()), (1, vec![]));
}

#[tokio::test(start_paused = true)]
async fn each_call_is_tried_again() {
    let scene = Scene::new();
    for call in [
        BucketCall::BeginUpload,
        BucketCall::UploadPart,
        BucketCall::CompleteUpload,
    ] {
        scene
            .bucket
            .calls()
            .plan(Trouble::fails(call, scene.fault()).times(2));
    }
    let mut writer = scene.writer(None);
    let all = scene.fill(&mut writer, STEPS).await.unwrap();
    writer.finish().await.unwrap();
    assert!(scene.bucket.content(&scene.key).unwrap() == all);
    assert_eq!(scene.bucket.calls().count(BucketCall::UploadPart), 5);
    assert!(scene.log.forget_doubt(), "the first answers may have been lost");
    assert_eq!(scene.log.open(), []);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_a_put_is_put_again() {
    let scene = Scene::new();
    let lost = Trouble::loses_the_answer(BucketCall::Put, scene.fault());
    scene.bucket.calls().plan(lost);
    let mut writer = scene.writer(None);
    let all = scene.fill(&mut writer, 1).await.unwrap();
    writer.finish().await.unwrap();
    assert!(scene.bucket.content(&scene.key).unwrap() == all);
    assert_eq!(scene.bucket.writes(&scene.key), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_a_part_is_sent_again_under_its_number() {
    let scene = Scene::new();
    let lost = Trouble::loses_the_answer(BucketCall::UploadPart, scene.fault());
    scene.bucket.calls().plan(lost.sparing(1));
    let mut writer = scene.writer(None);
    let all = scene.fill(&mut writer, STEPS).await.unwrap();
    writer.finish().await.unwrap();
    assert!(scene.bucket.content(&scene.key).unwrap() == all);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_the_completion_is_settled_by_a_head() {
    let scene = Scene::new();
    let calls = scene.bucket.calls();
    calls.plan(Trouble::loses_the_answer(
        BucketCall::CompleteUpload,
        scene.fault(),
    ));
    // The first HEAD fails too: then the upload is gone, and the next one tells why.
    calls.plan(Trouble::fails(BucketCall::Head, scene.fault()));
    let mut writer = scene.writer(None);
    let all = scene.fill(&mut writer, STEPS).await.unwrap();
    let found = Finished {
        proof: Proof::Found,
        ..acknowledged(&all)
    };
    assert_eq!(writer.finish().await.unwrap(), found);
    assert_eq!(scene.bucket.writes(&scene.key), 1);
    assert_eq!((scene.log.begun(), scene.log.open()), (1, vec![]));
}

#[tokio::test(start_paused = true)]
async fn what_was_there_before_is_not_taken_for_what_was_written() {
    let scene = Scene::new();
    let old = vec![0; STEPS * gzip::LARGEST_STEP];
    scene
        .bucket
        .plant(scene.key.clone(), old.clone(), Timestamp::from_micros(1));
    let there = scene.bucket.head(&scene.key).await.unwrap();
    let never = Trouble::fails(BucketCall::CompleteUpload, scene.fault()).always();
    scene.bucket.calls().plan(never);
    let mut writer = scene.writer(there);
    scene.fill(&mut writer, STEPS).await.unwrap();
    assert!(writer.finish().await.unwrap_err().is_transient());
    assert!(scene.bucket.content(&scene.key).unwrap() == old);
    assert_eq!((scene.bucket.open_uploads(), scene.log.open()), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_refused_completion_leaves_nothing() {
    let scene = Scene::new();
    let refused = Trouble::fails(BucketCall::CompleteUpload, scene.rejection());
    scene.bucket.calls().plan(refused);
    let mut writer = scene.writer(None);
    scene.fill(&mut writer, STEPS).await.unwrap();
    assert_eq!(writer.finish().await.unwrap_err().kind(), FaultKind::Rejected);
    scene.nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_gone_is_an_outage_and_not_a_missing_stream() {
    for call in [BucketCall::Put, BucketCall::BeginUpload, BucketCall::UploadPart] {
        let scene = Scene::new();
        let gone = Fault::missing("planned", &scene.key, "404 NoSuchBucket");
        scene.bucket.calls().plan(Trouble::fails(call, gone));
        let mut writer = scene.writer(None);
        let steps = if call == BucketCall::Put { 1 } else { STEPS };
        let outcome = match scene.fill(&mut writer, steps).await {
            Ok(_) => writer.finish().await.map(|_| ()),
            Err(fault) => Err(fault),
        };
        assert!(outcome.unwrap_err().is_transient(), "{call:?}");
    }
}

#[tokio::test]
async fn one_allocation_serves_all_parts() {
    let scene = Scene::new();
    let bucket = Rc::new(PassingBucket {
        see: Mutex::new(|_: &[u8]| {}),
        parts: Mutex::default(),
    });
    let to = scene.to(Rc::clone(&bucket) as Rc<dyn Bucket>);
    let mut writer = ObjectWriter::new(to, scene.key.clone(), PartPlan::new(None), None);
    let (place, capacity) = (writer.buffer().as_ptr(), writer.buffer().capacity());
    scene.fill(&mut writer, 4 * STEPS).await.unwrap();
    assert_eq!(
        (writer.buffer().as_ptr(), writer.buffer().capacity()),
        (place, capacity)
    );
    assert!(capacity as u64 <= PartPlan::new(None).memory());
    writer.finish().await.unwrap();
    let parts = bucket.parts.lock().unwrap();
    let (rest, whole) = parts.split_last().unwrap();
    assert!(
        whole.len() == 10 && whole.iter().all(|part| *part == SMALLEST_PART),
        "{parts:?}"
    );
    assert!(*rest < SMALLEST_PART);
}

#[test]
fn parts_grow_when_there_would_be_too_many() {
    const GIB: u64 = 1 << 30;
    for (longest, part) in [
        (Some(1), SMALLEST_PART as u64),
        (Some(4 * GIB), SMALLEST_PART as u64),
        (Some(900 * GIB), (900 * GIB).div_ceil(9000)),
        (None, SMALLEST_PART as u64),
    ] {
        let plan = PartPlan::new(longest);
        assert_eq!(plan.part as u64, part);
        assert!(longest.is_none_or(|longest| longest.div_ceil(part) < MOST_PARTS));
    }
    assert!(PartPlan::new(Some(300)).memory() < 1024);
}
