//! The S3 server: what it checks, what its knobs do, and what survives its restarts.

use std::time::Duration;

use rusoto_core::{HttpClient, Region, RusotoError};
use rusoto_credential::StaticProvider;
use rusoto_s3::{
    AbortMultipartUploadRequest, BucketLifecycleConfiguration, CompleteMultipartUploadRequest,
    CompletedMultipartUpload, CompletedPart, CreateBucketRequest, CreateMultipartUploadRequest,
    GetBucketLifecycleConfigurationRequest, GetObjectRequest, HeadObjectRequest, LifecycleExpiration,
    LifecycleRule, ListMultipartUploadsRequest, ListObjectsV2Request, PutBucketLifecycleConfigurationRequest,
    PutObjectRequest, S3, S3Client, UploadPartRequest,
};
use sandbox::s3::{Config, Failure, Operation, S3Server};
use tempfile::TempDir;

fn client(server: &S3Server, secret: &str) -> S3Client {
    azul_backup::adapters::http::install_tls_provider();
    let region = Region::Custom {
        name: "us-east-1".to_owned(),
        endpoint: format!("http://{}", server.endpoint()),
    };
    let keys = StaticProvider::new_minimal("sandbox".to_owned(), secret.to_owned());
    S3Client::new_with(HttpClient::new().unwrap(), keys, region)
}

async fn started() -> (TempDir, S3Server, S3Client) {
    let folder = tempfile::tempdir().unwrap();
    let server = S3Server::start(Config::at(folder.path())).unwrap();
    let client = client(&server, "sandbox-secret");
    let bucket = CreateBucketRequest {
        bucket: "bucket".to_owned(),
        ..Default::default()
    };
    client.create_bucket(bucket).await.unwrap();
    (folder, server, client)
}

fn put(key: &str, body: &[u8], md5: Option<&str>) -> PutObjectRequest {
    PutObjectRequest {
        bucket: "bucket".to_owned(),
        key: key.to_owned(),
        content_length: Some(body.len() as i64),
        body: Some(body.to_vec().into()),
        content_md5: md5.map(str::to_owned),
        ..Default::default()
    }
}

fn status<E: std::error::Error + 'static>(error: &RusotoError<E>) -> u16 {
    match error {
        RusotoError::Unknown(response) => response.status.as_u16(),
        RusotoError::Service(_) => 404,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_object_is_a_file_and_survives_a_restart() {
    let (folder, mut server, client) = started().await;
    client
        .put_object(put("s/content/x", b"hello", None))
        .await
        .unwrap();
    assert_eq!(
        std::fs::read(folder.path().join("bucket/s/content/x")).unwrap(),
        b"hello"
    );
    assert_eq!(server.keys("bucket").unwrap().unwrap(), ["s/content/x"]);
    server.stop();
    assert!(std::net::TcpStream::connect(server.address()).is_err());
    server.restart().unwrap();
    let client = self::client(&server, "sandbox-secret");
    let head = HeadObjectRequest {
        bucket: "bucket".to_owned(),
        key: "s/content/x".to_owned(),
        ..Default::default()
    };
    let head = client.head_object(head).await.unwrap();
    assert_eq!(
        (head.content_length, head.e_tag.as_deref()),
        (Some(5), Some("\"5d41402abc4b2a76b9719d911017c592\""))
    );
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let (_folder, server, _) = started().await;
    let error = client(&server, "guess")
        .put_object(put("k", b"x", None))
        .await
        .unwrap_err();
    assert_eq!(status(&error), 403);
    assert_eq!(server.counters().seen().failures[&Operation::PutObject], 1);
}

#[tokio::test]
async fn a_body_that_is_not_what_its_md5_says_never_becomes_visible() {
    let (_folder, server, client) = started().await;
    let right = "XUFAKrxLKna5cZ2REBfFkg==";
    client
        .put_object(put("right", b"hello", Some(right)))
        .await
        .unwrap();
    let error = client
        .put_object(put("wrong", b"hellO", Some(right)))
        .await
        .unwrap_err();
    assert_eq!(status(&error), 400);
    assert_eq!(server.keys("bucket").unwrap().unwrap(), ["right"]);
}

#[tokio::test]
async fn uploads_are_counted_and_listed_until_they_end() {
    let (_folder, server, client) = started().await;
    let begin = |key: &str| CreateMultipartUploadRequest {
        bucket: "bucket".to_owned(),
        key: key.to_owned(),
        ..Default::default()
    };
    let first = client
        .create_multipart_upload(begin("one"))
        .await
        .unwrap()
        .upload_id
        .unwrap();
    let second = client
        .create_multipart_upload(begin("two"))
        .await
        .unwrap()
        .upload_id
        .unwrap();
    assert_eq!(server.open_uploads().unwrap(), 2);
    let list = ListMultipartUploadsRequest {
        bucket: "bucket".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        client
            .list_multipart_uploads(list)
            .await
            .unwrap()
            .uploads
            .unwrap()
            .len(),
        2
    );
    let part = |md5: &str| UploadPartRequest {
        bucket: "bucket".to_owned(),
        key: "one".to_owned(),
        upload_id: first.clone(),
        part_number: 1,
        content_length: Some(5),
        content_md5: Some(md5.to_owned()),
        body: Some(b"hello".to_vec().into()),
        ..Default::default()
    };
    assert_eq!(
        status(
            &client
                .upload_part(part("AAAAAAAAAAAAAAAAAAAAAA=="))
                .await
                .unwrap_err()
        ),
        400
    );
    let e_tag = client
        .upload_part(part("XUFAKrxLKna5cZ2REBfFkg=="))
        .await
        .unwrap()
        .e_tag;
    let complete = CompleteMultipartUploadRequest {
        bucket: "bucket".to_owned(),
        key: "one".to_owned(),
        upload_id: first.clone(),
        multipart_upload: Some(CompletedMultipartUpload {
            parts: Some(vec![CompletedPart {
                e_tag,
                part_number: Some(1),
            }]),
        }),
        ..Default::default()
    };
    client.complete_multipart_upload(complete).await.unwrap();
    let abort = AbortMultipartUploadRequest {
        bucket: "bucket".to_owned(),
        key: "two".to_owned(),
        upload_id: second,
        ..Default::default()
    };
    client.abort_multipart_upload(abort).await.unwrap();
    assert_eq!(server.open_uploads().unwrap(), 0);
    assert_eq!(server.counters().seen().writes["bucket/one"], 1);
}

#[tokio::test]
async fn the_next_requests_fail_as_ordered() {
    let (_folder, server, client) = started().await;
    server
        .knobs()
        .fail_next(Operation::PutObject, 2, Failure::Status(503));
    for _ in 0..2 {
        assert_eq!(
            status(&client.put_object(put("k", b"x", None)).await.unwrap_err()),
            503
        );
    }
    assert_eq!(server.keys("bucket").unwrap().unwrap().len(), 0);
    server
        .knobs()
        .fail_next(Operation::PutObject, 1, Failure::StatusAfter(500));
    assert_eq!(
        status(&client.put_object(put("k", b"x", None)).await.unwrap_err()),
        500
    );
    client.put_object(put("k", b"x", None)).await.unwrap();
    assert_eq!(server.counters().seen().requests_of(Operation::PutObject), 4);
    assert_eq!(server.counters().seen().written_again(), ["bucket/k"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_hangs_is_counted_as_serving() {
    let (_folder, server, client) = started().await;
    server.knobs().set_hang(true);
    let get = GetObjectRequest {
        bucket: "bucket".to_owned(),
        key: "k".to_owned(),
        ..Default::default()
    };
    let asked = tokio::spawn(async move { client.get_object(get).await });
    let counters = |seen: &sandbox::s3::Seen| seen.in_flight == 1;
    assert!(tokio::task::block_in_place(|| server
        .counters()
        .wait_until(Duration::from_secs(10), counters)));
    server.knobs().set_hang(false);
    assert!(asked.await.unwrap().is_err());
    assert_eq!(server.counters().seen().in_flight, 0);
}

#[tokio::test]
async fn lifecycle_rules_are_kept_and_a_bucket_without_them_says_so() {
    let (_folder, _server, client) = started().await;
    let get = GetBucketLifecycleConfigurationRequest {
        bucket: "bucket".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        status(&client.get_bucket_lifecycle_configuration(get).await.unwrap_err()),
        404
    );
    let rule = LifecycleRule {
        id: Some("BackupExpiryFor-s".to_owned()),
        status: "Enabled".to_owned(),
        expiration: Some(LifecycleExpiration {
            days: Some(8),
            ..Default::default()
        }),
        ..Default::default()
    };
    let put = PutBucketLifecycleConfigurationRequest {
        bucket: "bucket".to_owned(),
        lifecycle_configuration: Some(BucketLifecycleConfiguration {
            rules: vec![rule.clone()],
        }),
        ..Default::default()
    };
    client.put_bucket_lifecycle_configuration(put).await.unwrap();
    let get = GetBucketLifecycleConfigurationRequest {
        bucket: "bucket".to_owned(),
        ..Default::default()
    };
    let rules = client
        .get_bucket_lifecycle_configuration(get)
        .await
        .unwrap()
        .rules
        .unwrap();
    assert_eq!((rules[0].id.as_ref(), rules.len()), (rule.id.as_ref(), 1));
}

#[tokio::test]
async fn objects_are_listed_page_by_page_and_a_page_can_fail() {
    let (_folder, server, client) = started().await;
    for key in ["a b/1", "a b/2", "a-b/1", "a/1", "a/b/1", "b"] {
        client.put_object(put(key, b"hello", None)).await.unwrap();
    }
    server.knobs().set_page(Some(2));
    let ask = |delimiter: Option<&str>, token: Option<String>| {
        client.list_objects_v2(ListObjectsV2Request {
            bucket: "bucket".to_owned(),
            encoding_type: Some("url".to_owned()),
            prefix: Some("a".to_owned()),
            delimiter: delimiter.map(str::to_owned),
            continuation_token: token,
            ..Default::default()
        })
    };
    let refused = Failure::Status(503);
    server.knobs().fail_after(Operation::ListObjects, 2, 1, refused);
    let (mut keys, mut token, mut failures) = (Vec::new(), None, 0);
    loop {
        let Ok(page) = ask(None, token.clone()).await else {
            failures += 1;
            continue;
        };
        keys.extend(
            page.contents
                .into_iter()
                .flatten()
                .filter_map(|object| object.key),
        );
        token = page.next_continuation_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(keys, ["a+b/1", "a+b/2", "a-b/1", "a/1", "a/b/1"]);
    assert_eq!(
        (
            failures,
            server.counters().seen().requests_of(Operation::ListObjects)
        ),
        (1, 4)
    );
    let page = ask(Some("/"), None).await.unwrap();
    let folders: Vec<_> = page
        .common_prefixes
        .into_iter()
        .flatten()
        .filter_map(|folder| folder.prefix)
        .collect();
    assert_eq!(folders, ["a+b/", "a-b/"]);
    let page = ask(Some("/"), page.next_continuation_token).await.unwrap();
    let folders: Vec<_> = page
        .common_prefixes
        .into_iter()
        .flatten()
        .filter_map(|folder| folder.prefix)
        .collect();
    assert_eq!((folders, page.is_truncated), (vec!["a/".to_owned()], Some(false)));
}

#[tokio::test]
async fn an_object_can_be_given_another_date() {
    let (_folder, server, client) = started().await;
    client
        .put_object(put("s/content/x", b"hello", None))
        .await
        .unwrap();
    let date = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    server.set_modified("bucket", "s/content/x", date).unwrap();
    let head = HeadObjectRequest {
        bucket: "bucket".to_owned(),
        key: "s/content/x".to_owned(),
        ..Default::default()
    };
    let found = client.head_object(head).await.unwrap();
    assert_eq!(
        found.last_modified.as_deref(),
        Some("Sun, 09 Sep 2001 01:46:40 GMT")
    );
    let listed = client.list_objects_v2(ListObjectsV2Request {
        bucket: "bucket".to_owned(),
        ..Default::default()
    });
    let object = listed.await.unwrap().contents.unwrap().remove(0);
    assert_eq!(object.last_modified.as_deref(), Some("2001-09-09T01:46:40Z"));
    assert!(server.set_modified("bucket", "s/content/y", date).is_err());
}
