//! What every bucket promises: the same suite over S3 on a real socket and over the one in memory.

#[path = "bucket_conformance/damage.rs"]
mod damage;
#[path = "bucket_conformance/suite.rs"]
mod suite;

use actors::ports::Bucket;
use actors::testkit::FakeBucket;
use azul_backup::adapters::bucket::{S3Bucket, S3Config};
use azul_backup::adapters::http::HttpTimeouts;
use azul_backup::settings::{BaseUrl, Secret};
use sandbox::s3::{Config, S3Server};

fn config(endpoint: &str) -> S3Config {
    S3Config {
        endpoint: BaseUrl::parse(endpoint).unwrap(),
        region: "eu-test-7".to_owned(),
        streams_bucket: "azul-backup-1-streams".to_owned(),
        events_bucket: "azul-backup-1-events".to_owned(),
        access_key: Secret::new("sandbox"),
        secret_key: Secret::new("sandbox-secret"),
        timeouts: HttpTimeouts::default(),
    }
}

/// An S3 server on loopback, and the folder that it keeps its objects in.
fn server() -> (S3Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let server = S3Server::start(Config::at(folder.path())).unwrap();
    (server, folder)
}

fn url(server: &S3Server) -> String {
    format!("http://{}", server.endpoint())
}

/// A bucket that is ready, and what keeps it alive.
async fn s3() -> (S3Bucket, S3Server, tempfile::TempDir) {
    let (server, folder) = server();
    let bucket = S3Bucket::new(config(&url(&server))).unwrap();
    bucket.prepare(true).await.unwrap();
    (bucket, server, folder)
}

/// Runs each of the suite's functions over both.
macro_rules! conformance {
    ($($promise:ident)*) => {$(
        mod $promise {
            #[actix_rt::test]
            async fn over_s3() {
                let (bucket, _server, _folder) = super::s3().await;
                super::suite::$promise(&bucket).await;
            }

            #[actix_rt::test]
            async fn in_memory() {
                super::suite::$promise(&super::FakeBucket::new()).await;
            }
        }
    )*};
}

conformance! {
    what_is_put_is_found_and_read_back
    putting_again_replaces
    what_is_not_there_is_missing
    streams_and_bundles_have_buckets_of_their_own
    parts_become_visible_together
    an_aborted_upload_leaves_nothing
    open_uploads_of_a_key_are_listed
    a_part_can_be_sent_again
    preparing_again_changes_nothing
}

#[actix_rt::test]
async fn keys_with_odd_names_are_met_to_the_letter() {
    let (bucket, server, _folder) = s3().await;
    for label in ["a b", "a+b", "a%2fb", "ü", "a=b&c", "~(x)'!*", "a?b#c"] {
        let key = suite::stream(label);
        bucket.put(&key, "odd".into()).await.unwrap();
        assert_eq!(bucket.head(&key).await.unwrap().unwrap().size, 3, "{label}");
        let file = server.object_path("azul-backup-1-streams", &key.to_string());
        assert_eq!(std::fs::read(file).unwrap(), b"odd", "{label}");
    }
}

#[actix_rt::test]
async fn a_missing_bucket_is_created_only_when_told_so() {
    let (server, folder) = server();
    let bucket = S3Bucket::new(config(&url(&server))).unwrap();
    let fault = bucket.prepare(false).await.unwrap_err();
    assert_eq!(
        fault.to_string(),
        format!(
            "check bucket azul-backup-1-streams: there is no such bucket at {} (region eu-test-7)",
            url(&server)
        )
    );
    assert!(!folder.path().join("azul-backup-1-streams").exists());
    bucket.prepare(true).await.unwrap();
    assert!(folder.path().join("azul-backup-1-streams").is_dir());
    assert!(folder.path().join("azul-backup-1-events").is_dir());
    bucket.prepare(false).await.unwrap();
}

#[actix_rt::test]
async fn a_wrong_secret_is_told_without_it() {
    let (_, server, _folder) = s3().await;
    let wrong = S3Config {
        secret_key: Secret::new("not-the-secret"),
        ..config(&url(&server))
    };
    assert!(!format!("{wrong:?}").contains("not-the-secret"));
    let bucket = S3Bucket::new(wrong).unwrap();
    for fault in [
        bucket
            .put(&suite::stream("content"), "x".into())
            .await
            .unwrap_err(),
        bucket.prepare(false).await.unwrap_err(),
    ] {
        assert_eq!(fault.kind(), actors::fault::FaultKind::Rejected);
        let text = fault.to_string();
        assert!(text.contains("check the access key"), "{text}");
        assert!(!text.contains("not-the-secret"), "{text}");
    }
}

#[actix_rt::test]
async fn damage_on_the_way_is_refused_by_the_bucket() {
    let (honest, server, _folder) = s3().await;
    let proxy = damage::proxy(server.address(), b"DAMAGE", b"DAMAGf");
    let bucket = S3Bucket::new(config(&proxy)).unwrap();
    let key = suite::stream("content");
    for content in ["whole", "to be DAMAGEd"] {
        let put = bucket.put(&key, content.into()).await;
        assert_eq!(put.is_ok(), content == "whole", "{content}: {put:?}");
    }
    assert_eq!(
        honest.head(&key).await.unwrap().unwrap().size,
        5,
        "what arrived damaged is not there"
    );
    let upload = bucket.begin_upload(&key).await.unwrap();
    bucket
        .upload_part(&key, &upload, 1, "whole".into())
        .await
        .unwrap();
    bucket
        .upload_part(&key, &upload, 2, "to be DAMAGEd".into())
        .await
        .unwrap_err();
    honest.abort_upload(&key, &upload).await.unwrap();
}
