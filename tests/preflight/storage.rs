//! What can be wrong with the bucket.

use sandbox::s3::{Failure, Operation};

use crate::odd_server::{OddServer, http, s3_error};
use crate::run::{Checks, Terms, ready_scene};
use crate::scene::Scene;

/// The checks against an S3 server that answers so.
fn against(server: &OddServer) -> Checks {
    Terms::of(&Scene::new(&["samples"]))
        .with("BK__EXTERNAL_BACKUP__ENDPOINT", server.authority())
        .checks(&[])
}

/// The answer of a bucket in which there is nothing to whoever asks what there is.
fn empty_page(request: &str) -> String {
    let bucket = request.split(['/', '?', ' ']).nth(2).unwrap_or_default();
    let page = format!(
        "<ListBucketResult><Name>{bucket}</Name><Prefix></Prefix><IsTruncated>false</IsTruncated></ListBucketResult>"
    );
    http("200 OK", "", &page)
}

fn untried(checks: &Checks) {
    for check in ["bucket", "read", "write"] {
        assert_eq!(checks.results(check), ["not tried"; 2], "{}", checks.shown());
    }
}

#[test]
fn a_wrong_key_and_a_wrong_secret_are_told_apart() {
    let scene = ready_scene();
    let server = OddServer::plain(|_| s3_error("403 Forbidden", "", "InvalidAccessKeyId", ""));
    let checks = against(&server);
    checks.fails_only(
        "credentials",
        &["does not know the access key", "BK__EXTERNAL_BACKUP__ACCESS_KEY"],
    );
    untried(&checks);

    let checks = Terms::of(&scene)
        .with("BK__EXTERNAL_BACKUP__SECRET_KEY", "hunter2")
        .checks(&[]);
    checks.fails_only(
        "credentials",
        &[
            "knows the access key, and the signature is wrong",
            "BK__EXTERNAL_BACKUP__SECRET_KEY",
        ],
    );
    untried(&checks);
}

#[test]
fn clocks_that_differ_are_told_with_the_difference() {
    let date = (chrono::Utc::now() - chrono::TimeDelta::minutes(31)).to_rfc2822();
    let server = OddServer::plain(move |_| {
        s3_error(
            "403 Forbidden",
            &format!("Date: {date}\r\n"),
            "RequestTimeTooSkewed",
            "",
        )
    });
    against(&server).fails_only(
        "credentials",
        &["the server's clock is 31 minutes behind this one", "NTP"],
    );
}

#[test]
fn the_right_region_is_told() {
    let server = OddServer::plain(|_| {
        s3_error(
            "400 Bad Request",
            "",
            "AuthorizationHeaderMalformed",
            "<Region>eu-west-3</Region>",
        )
    });
    let checks = against(&server);
    checks.fails_only(
        "region",
        &[
            "eu-west-3 is right, not us-east-1",
            "set BK__EXTERNAL_BACKUP__REGION to eu-west-3",
        ],
    );
    untried(&checks);
}

#[test]
fn a_key_that_may_nothing_is_told_what_it_needs() {
    let server = OddServer::plain(|_| s3_error("403 Forbidden", "", "AccessDenied", ""));
    let checks = against(&server);
    assert_eq!(checks.code, Some(1));
    assert_eq!(checks.results("credentials"), ["passed"]);
    assert_eq!(checks.results("bucket"), ["failed"; 2]);
    checks.show("grant s3:ListBucket on the bucket azul-backup-1-events to this key");
    assert_eq!(checks.results("write"), ["not tried"; 2]);
}

#[test]
fn what_is_not_s3_is_told_as_that() {
    for (answer, word) in [
        (
            http(
                "200 OK",
                "Content-Type: text/html\r\n",
                "<html><body>Console</body></html>",
            ),
            "not S3",
        ),
        (
            http("403 Forbidden", "", "<html><body>proxy</body></html>"),
            "gives no code of S3",
        ),
        (http("503 Service Unavailable", "", "no backend"), "503"),
    ] {
        let server = OddServer::plain(move |_| answer.clone());
        let checks = against(&server);
        checks.fails_only("credentials", &[word]);
        untried(&checks);
    }
}

#[test]
fn a_missing_bucket_is_told_and_never_created() {
    let scene = Scene::new(&["samples"]);
    let checks = Terms::of(&scene).checks(&[]);
    assert_eq!(
        checks.code,
        Some(0),
        "the start of a backup creates it: {}",
        checks.shown()
    );
    assert_eq!(checks.results("bucket"), ["warning"; 2]);
    checks.show("the start of the backup creates it, in the region us-east-1, which takes the permission s3:CreateBucket");
    assert_eq!(checks.results("write"), ["not tried"; 2]);
    let checks = Terms::of(&scene).checks(&["--mode", "restore"]);
    checks.end_with(1, "bucket", &["failed"; 2]);
    checks.show("BK__BUCKET_NAME_PREFIX");
    assert_eq!(scene.s3.keys("azul-backup-1-events").unwrap(), None);
    assert_eq!(scene.s3.keys("azul-backup-1-streams").unwrap(), None);
}

#[test]
fn a_bucket_that_takes_no_object_is_told() {
    let scene = ready_scene();
    scene
        .s3
        .knobs()
        .fail_next(Operation::PutObject, 2, Failure::Status(403));
    let checks = Terms::of(&scene).checks(&[]);
    checks.end_with(1, "write", &["failed"; 2]);
    checks.show("grant s3:PutObject on the objects of azul-backup-1-streams");
}

#[test]
fn a_refused_deletion_is_a_warning_with_the_key_that_stays() {
    let scene = ready_scene();
    scene
        .s3
        .knobs()
        .fail_next(Operation::DeleteObject, 2, Failure::Status(403));
    let checks = Terms::of(&scene).checks(&[]);
    checks.end_with(0, "write", &["warning"; 2]);
    for bucket in ["azul-backup-1-streams", "azul-backup-1-events"] {
        let keys = scene.s3.keys(bucket).unwrap().unwrap();
        assert_eq!(keys.len(), 1, "{keys:?}");
        checks.show(&format!("{bucket}/{} stays", keys[0]));
    }
    // What is there of another run is left alone, and is nothing to restore.
    let checks = Terms::of(&scene).checks(&["--mode", "restore"]);
    checks.show("it may be listed, and is empty");
    assert_eq!(scene.s3.keys("azul-backup-1-events").unwrap().unwrap().len(), 1);
}

#[test]
fn an_object_that_was_there_before_is_neither_overwritten_nor_deleted() {
    let server = OddServer::plain(|request| {
        match request.split(' ').next() {
            Some("GET") => empty_page(request),
            // Whatever is looked for is there.
            Some("HEAD") => "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_owned(),
            other => panic!("it has {other:?}"),
        }
    });
    let checks = against(&server);
    assert_eq!(checks.results("write"), ["failed"; 2], "{}", checks.shown());
    checks.show("which this run has not written: it is left alone");
}

#[test]
fn the_version_that_was_written_is_what_is_deleted() {
    let server = OddServer::plain(|request| match request.split(' ').next() {
        Some("GET") => empty_page(request),
        Some("HEAD") => http("404 Not Found", "", ""),
        Some("PUT") => http("200 OK", "ETag: \"x\"\r\nx-amz-version-id: v7\r\n", ""),
        _ if request.contains("versionId=v7") => s3_error("403 Forbidden", "", "AccessDenied", ""),
        _ => http("204 No Content", "", ""),
    });
    let checks = against(&server);
    checks.end_with(0, "write", &["warning"; 2]);
    checks.show("its version v7 cannot be deleted (403 AccessDenied: told), only hidden");
}
