//! The promises. Each function gets a bucket that is empty and prepared.

use actors::fault::FaultKind;
use actors::object_key::{BundleKey, ObjectKey};
use actors::ports::bucket::SMALLEST_PART;
use actors::ports::{Bucket, UploadId};
use actors::stream_id::StreamId;
use actors::timestamp::Timestamp;
use bytes::Bytes;

pub fn stream(label: &str) -> ObjectKey {
    StreamId::new("samples", label, &"5c".repeat(32)).unwrap().into()
}

fn bundle() -> ObjectKey {
    let feed = "samples/binary/sourced".parse().unwrap();
    BundleKey::new(
        feed,
        Timestamp::from_micros(1_753_855_379_867_075),
        20,
        "dede7be1557d3d4aad1ac5bea8668cbf",
    )
    .into()
}

async fn read(bucket: &dyn Bucket, key: &ObjectKey) -> Vec<u8> {
    let mut body = bucket.get(key).await.unwrap();
    let announced = body.length();
    let mut content = Vec::new();
    while let Some(chunk) = body.chunk().await.unwrap() {
        content.extend_from_slice(&chunk);
    }
    assert!(announced.is_none_or(|length| length == content.len() as u64));
    content
}

pub async fn what_is_put_is_found_and_read_back(bucket: &dyn Bucket) {
    let large: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    for (key, content) in [
        (stream("empty"), Vec::new()),
        (stream("small"), b"content".to_vec()),
        (bundle(), large),
    ] {
        let before = Timestamp::now();
        bucket.put(&key, content.clone().into()).await.unwrap();
        let found = bucket.head(&key).await.unwrap().unwrap();
        assert_eq!(found.size, content.len() as u64);
        if content == b"content" {
            assert_eq!(
                found.etag.as_deref(),
                Some("9a0364b9e99bb480dd25e1f0284c8555"),
                "its MD5"
            );
        }
        // Buckets tell whole seconds.
        let written = found.last_modified.unwrap();
        assert!(written.since(before).as_secs() < 60 && before.since(written).as_secs() < 60);
        assert_eq!(read(bucket, &key).await, content);
    }
}

pub async fn putting_again_replaces(bucket: &dyn Bucket) {
    for content in ["first", "the second"] {
        bucket.put(&bundle(), content.into()).await.unwrap();
    }
    assert_eq!(read(bucket, &bundle()).await, b"the second");
}

pub async fn what_is_not_there_is_missing(bucket: &dyn Bucket) {
    for key in [stream("content"), bundle()] {
        assert_eq!(bucket.head(&key).await.unwrap(), None);
        assert_eq!(bucket.get(&key).await.err().unwrap().kind(), FaultKind::Missing);
    }
}

pub async fn streams_and_bundles_have_buckets_of_their_own(bucket: &dyn Bucket) {
    bucket.put(&stream("content"), "binary".into()).await.unwrap();
    bucket.put(&bundle(), "events".into()).await.unwrap();
    assert_eq!(read(bucket, &stream("content")).await, b"binary");
    assert_eq!(read(bucket, &bundle()).await, b"events");
}

pub async fn parts_become_visible_together(bucket: &dyn Bucket) {
    let key = stream("content");
    let first = Bytes::from(vec![1; SMALLEST_PART]);
    let last = Bytes::from_static(b"the end");
    let upload = bucket.begin_upload(&key).await.unwrap();
    let parts = [
        bucket.upload_part(&key, &upload, 1, first.clone()).await.unwrap(),
        bucket.upload_part(&key, &upload, 2, last.clone()).await.unwrap(),
    ];
    assert_eq!(
        bucket.head(&key).await.unwrap(),
        None,
        "nothing is visible before it is complete"
    );
    let size = (first.len() + last.len()) as u64;
    bucket.complete_upload(&key, &upload, &parts, size).await.unwrap();
    assert_eq!(bucket.head(&key).await.unwrap().unwrap().size, size);
    assert_eq!(read(bucket, &key).await, [first, last].concat());
    // A lost answer is found out by a HEAD; the upload itself is gone.
    bucket
        .complete_upload(&key, &upload, &parts, size)
        .await
        .unwrap_err();
    bucket.abort_upload(&key, &upload).await.unwrap();
    assert_eq!(bucket.head(&key).await.unwrap().unwrap().size, size);
}

pub async fn an_aborted_upload_leaves_nothing(bucket: &dyn Bucket) {
    let key = stream("content");
    let upload = bucket.begin_upload(&key).await.unwrap();
    let part = bucket.upload_part(&key, &upload, 1, "part".into()).await.unwrap();
    bucket.abort_upload(&key, &upload).await.unwrap();
    assert_eq!(bucket.head(&key).await.unwrap(), None);
    bucket.abort_upload(&key, &upload).await.unwrap();
    let again = bucket.upload_part(&key, &upload, 1, "part".into()).await;
    let complete = bucket.complete_upload(&key, &upload, &[part], 4).await;
    for fault in [again.map(drop), complete] {
        assert_eq!(fault.unwrap_err().kind(), FaultKind::Lapsed);
    }
    let unknown = UploadId("00000000-0000-4000-8000-000000000000".to_owned());
    bucket.abort_upload(&key, &unknown).await.unwrap();
}

pub async fn open_uploads_of_a_key_are_listed(bucket: &dyn Bucket) {
    let keys = [stream("content"), stream("contents"), bundle()];
    let listed = async |key| {
        let mut listed = bucket.list_uploads(key).await.unwrap().unwrap();
        listed.sort_by_key(|id| id.0.clone());
        listed
    };
    assert_eq!(listed(&keys[0]).await, []);
    let mut begun = Vec::new();
    for key in &keys {
        let mut uploads = Vec::new();
        for _ in 0..2 {
            uploads.push(bucket.begin_upload(key).await.unwrap());
        }
        uploads.sort_by_key(|id| id.0.clone());
        begun.push(uploads);
    }
    for (key, uploads) in keys.iter().zip(&begun) {
        assert_eq!(listed(key).await, *uploads);
        bucket.abort_upload(key, &uploads[0]).await.unwrap();
        assert_eq!(listed(key).await, [uploads[1].clone()]);
        let part = bucket
            .upload_part(key, &uploads[1], 1, "part".into())
            .await
            .unwrap();
        bucket
            .complete_upload(key, &uploads[1], &[part], 4)
            .await
            .unwrap();
        assert_eq!(listed(key).await, []);
    }
}

pub async fn a_part_can_be_sent_again(bucket: &dyn Bucket) {
    let key = bundle();
    let upload = bucket.begin_upload(&key).await.unwrap();
    bucket
        .upload_part(&key, &upload, 1, "draft".into())
        .await
        .unwrap();
    let part = bucket
        .upload_part(&key, &upload, 1, "final text".into())
        .await
        .unwrap();
    bucket.complete_upload(&key, &upload, &[part], 10).await.unwrap();
    assert_eq!(read(bucket, &key).await, b"final text");
}

pub async fn preparing_again_changes_nothing(bucket: &dyn Bucket) {
    bucket.put(&bundle(), "events".into()).await.unwrap();
    for create in [true, false] {
        bucket.prepare(create).await.unwrap();
    }
    assert_eq!(read(bucket, &bundle()).await, b"events");
}
