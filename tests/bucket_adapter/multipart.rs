//! Objects in parts.

use actors::fault::{Fault, FaultKind};
use actors::ports::{Bucket, PartTag, UploadId};

use super::raw_tcp::{RawServer, Step, answer};
use super::{PUT, bucket, error, key, ok};

const COMPLETED: &str =
    "<CompleteMultipartUploadResult><ETag>\"abc-1\"</ETag></CompleteMultipartUploadResult>";

async fn complete(scripts: Vec<Vec<Step>>) -> Result<(), Fault> {
    let server = RawServer::start(scripts);
    let part = PartTag {
        number: 1,
        etag: "abc".to_owned(),
    };
    bucket(&server)
        .complete_upload(&key(), &UploadId("u&1".to_owned()), &[part], 4)
        .await
}

#[actix_rt::test]
async fn a_completion_is_believed_only_with_an_entity_tag_and_an_object_of_the_right_size() {
    let head = |size: u64| {
        answer(format!(
            "HTTP/1.1 200 OK\r\nETag: \"abc-1\"\r\nContent-Length: {size}\r\n\r\n"
        ))
    };
    let gone = answer("HTTP/1.1 404 No\r\n\r\n");
    complete(vec![answer(ok("", COMPLETED)), head(4)]).await.unwrap();
    let waited = format!("{}<?xml version=\"1.0\"?>{COMPLETED}", " ".repeat(200));
    complete(vec![answer(ok("", &waited)), head(4)]).await.unwrap();
    for (bytes, then) in [
        (
            ok(
                "",
                "<Error><Code>InternalError</Code><Message>said so</Message></Error>",
            ),
            head(4),
        ),
        (
            ok(
                "",
                "<?xml version=\"1.0\"?><Error><Code>InternalError</Code></Error>",
            ),
            head(4),
        ),
        (ok("", ""), head(4)),
        (ok("", "<html><body>hello</body></html>"), head(4)),
        (ok("", &COMPLETED[..30]), head(4)),
        (ok("", COMPLETED), head(3)),
        (ok("", COMPLETED), gone),
        (
            ok("", &format!("{}{COMPLETED}", "<!-- -->".repeat(1_200_000))),
            head(4),
        ),
        (error(500, "InternalError"), head(4)),
    ] {
        let fault = complete(vec![answer(bytes.clone()), then]).await.unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Transient, "{:.200}: {fault}", bytes);
        assert!(
            fault.to_string().starts_with("complete upload streams/"),
            "{fault}"
        );
    }
    let fault = complete(vec![answer(error(404, "NoSuchUpload"))])
        .await
        .unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Lapsed);
}

#[actix_rt::test]
async fn no_answer_to_a_completion_is_mistaken_for_a_success() {
    // Every beginning of a true answer but the whole, and the whole with any byte of its markup changed.
    for cut in 0..COMPLETED.len() {
        let truncated = ok("", &COMPLETED[..cut]);
        let head = answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
        complete(vec![answer(truncated), head]).await.unwrap_err();
    }
}

#[actix_rt::test]
async fn an_upload_needs_an_id_and_a_part_a_tag() {
    let begun = "<InitiateMultipartUploadResult><UploadId>u&amp;1</UploadId></InitiateMultipartUploadResult>";
    let server = RawServer::start([answer(ok("", begun))]);
    assert_eq!(
        bucket(&server).begin_upload(&key()).await.unwrap(),
        UploadId("u&1".to_owned())
    );
    for body in [
        "",
        "<html/>",
        "<Error><Code>X</Code></Error>",
        "<InitiateMultipartUploadResult/>",
    ] {
        let server = RawServer::start([answer(ok("", body))]);
        assert!(
            bucket(&server)
                .begin_upload(&key())
                .await
                .unwrap_err()
                .is_transient(),
            "{body}"
        );
    }
    let server = RawServer::start([answer(PUT), answer(ok("", ""))]);
    let bucket = bucket(&server);
    let upload = UploadId("u&1".to_owned());
    let part = bucket
        .upload_part(&key(), &upload, 3, "part".into())
        .await
        .unwrap();
    assert_eq!((part.number, part.etag.as_str()), (3, "abc"));
    assert!(server.requests()[0].contains("?partNumber=3&uploadId=u%261 HTTP/1.1\r\n"));
    let fault = bucket
        .upload_part(&key(), &upload, 3, "part".into())
        .await
        .unwrap_err();
    assert!(fault.is_transient(), "{fault}");
}

#[actix_rt::test]
async fn a_part_of_an_upload_that_is_not_there_has_lapsed() {
    for (bytes, kind) in [
        (error(404, "NoSuchUpload"), FaultKind::Lapsed),
        (error(404, "NoSuchBucket"), FaultKind::Rejected),
        (
            "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".to_owned(),
            FaultKind::Transient,
        ),
    ] {
        let server = RawServer::start([answer(bytes.clone())]);
        let (bucket, upload) = (bucket(&server), UploadId("u".to_owned()));
        let part = bucket.upload_part(&key(), &upload, 1, "part".into()).await;
        assert_eq!(part.unwrap_err().kind(), kind, "{bytes}");
    }
}

#[actix_rt::test]
async fn an_upload_that_is_not_there_counts_as_aborted() {
    for (bytes, aborted) in [
        ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), true),
        (ok("", ""), true),
        (ok("", "<html><body>welcome</body></html>"), false),
        (ok("", "<Error><Code>InternalError</Code></Error>"), false),
        (error(404, "NoSuchUpload"), true),
        (error(404, "NoSuchBucket"), false),
        ("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".to_owned(), false),
        (error(500, "InternalError"), false),
    ] {
        let server = RawServer::start([answer(bytes.clone())]);
        let outcome = bucket(&server)
            .abort_upload(&key(), &UploadId("u".to_owned()))
            .await;
        assert_eq!(outcome.is_ok(), aborted, "{bytes}: {outcome:?}");
    }
}
