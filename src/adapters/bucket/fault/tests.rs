use proptest::prelude::*;

use super::*;

const SECRET: &str = "hush/hush";

fn operation() -> Operation {
    let config = S3Config {
        endpoint: crate::settings::BaseUrl::parse("http://bucket:9000").unwrap(),
        region: "us-east-1".to_owned(),
        streams_bucket: "streams".to_owned(),
        events_bucket: "events".to_owned(),
        access_key: crate::settings::Secret::new("access"),
        secret_key: crate::settings::Secret::new(SECRET),
        timeouts: Default::default(),
    };
    Operation::new("put object", "streams/key".to_owned(), &config)
}

fn fault(status: u16, headers: &[(&'static str, &str)], body: &str) -> Fault {
    let headers = headers
        .iter()
        .map(|(name, value)| (hyper::header::HeaderName::from_static(name), (*value).to_owned()))
        .collect();
    operation().fault(&S3Answer::parse(status, &headers, body.as_bytes()))
}

fn error(code: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>why &lt;so&gt;</Message></Error>")
}

#[test]
fn what_is_done_about_an_answer() {
    for (status, body, expected) in [
        (404, error("NoSuchKey"), FaultKind::Missing),
        (404, error("NoSuchBucket"), FaultKind::Rejected),
        (404, error("NoSuchUpload"), FaultKind::Lapsed),
        (404, "<html>no backend</html>".to_owned(), FaultKind::Transient),
        (404, String::new(), FaultKind::Transient),
        (400, error("BadDigest"), FaultKind::Transient),
        (400, error("XAmzContentSHA256Mismatch"), FaultKind::Transient),
        (400, error("RequestTimeout"), FaultKind::Transient),
        (400, error("InvalidArgument"), FaultKind::Rejected),
        (403, error("SignatureDoesNotMatch"), FaultKind::Rejected),
        (409, error("OperationAborted"), FaultKind::Transient),
        (429, String::new(), FaultKind::Transient),
        (500, error("InternalError"), FaultKind::Transient),
        (501, error("NotImplemented"), FaultKind::Rejected),
        (503, error("SlowDown"), FaultKind::Transient),
        (502, "<html>".to_owned(), FaultKind::Transient),
        (200, error("InternalError"), FaultKind::Transient),
        (200, "<html>welcome</html>".to_owned(), FaultKind::Transient),
    ] {
        assert_eq!(fault(status, &[], &body).kind(), expected, "{status} {body}");
    }
}

/// Such answers must not make anything of a single object.
#[test]
fn what_is_said_to_whoever_asks_is_an_outage() {
    for (status, body, expected) in [
        (403, error("AccessDenied"), true),
        (403, error("InvalidAccessKeyId"), true),
        (403, error("RequestTimeTooSkewed"), true),
        (403, "<html>".to_owned(), true),
        (401, String::new(), true),
        (301, error("PermanentRedirect"), true),
        (404, error("NoSuchBucket"), true),
        (503, error("SlowDown"), true),
        (404, error("NoSuchKey"), false),
        (403, error("InvalidObjectState"), false),
        (400, error("InvalidArgument"), false),
        (400, error("KeyTooLongError"), false),
        (501, error("NotImplemented"), false),
    ] {
        assert_eq!(fault(status, &[], &body).is_outage(), expected, "{status} {body}");
    }
    let elsewhere = fault(
        400,
        &[("x-amz-bucket-region", "eu-west-1")],
        &error("AuthorizationHeaderMalformed"),
    );
    assert!(elsewhere.is_outage(), "{elsewhere}");
}

#[test]
fn the_texts_tell_an_operator_what_to_do() {
    for (told, expected) in [
        (
            fault(403, &[], &error("AccessDenied")),
            "put object streams/key: 403 AccessDenied: why <so> (check the access key, its secret and what it may do)",
        ),
        (
            fault(404, &[], &error("NoSuchBucket")),
            "put object streams/key: 404 NoSuchBucket: why <so> (there is no such bucket at http://bucket:9000: \
             check its name, or create it)",
        ),
        (
            fault(301, &[("x-amz-bucket-region", "eu-west-1")], ""),
            "put object streams/key: 301: no text (the bucket is in the region eu-west-1: check the region)",
        ),
        (
            fault(
                400,
                &[],
                "<Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is malformed\
                 </Message><Region>eu-west-3</Region></Error>",
            ),
            "put object streams/key: 400 AuthorizationHeaderMalformed: The … (the bucket is in the region eu-west-3: \
             check the region)",
        ),
        (
            fault(200, &[], &error("InternalError")),
            "put object streams/key: 200, but not a success InternalError: why <so>",
        ),
        (
            fault(502, &[], "<html>\n<h1>Bad Gateway</h1>"),
            "put object streams/key: 502: <html> <h1>Bad Gateway</h1>",
        ),
    ] {
        assert_eq!(told.to_string(), expected);
    }
    let busy = fault(503, &[("retry-after", "7")], &error("SlowDown"));
    assert_eq!(busy.wait(), Some(Duration::from_secs(7)));
}

#[test]
fn an_answer_that_repeats_a_secret_is_not_repeated() {
    for body in [
        format!("<Error><Code>X</Code><Message>your key {SECRET} is wrong</Message></Error>"),
        format!("<html>{SECRET}</html>"),
        format!("<html>Authorization: AWS4-HMAC-SHA256 Credential=a, Signature={SECRET}</html>"),
    ] {
        let told = fault(403, &[], &body).to_string();
        assert!(!told.contains("hush") && !told.contains("Signature="), "{told}");
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_told_in_short(
        status in 100u16..600,
        body in "(<Error>|<Code>|</Code>|<Message>|</Message>|<html>|.|\\s|hush/hush){0,60}",
    ) {
        let told = fault(status, &[("retry-after", "x")], &body).to_string();
        prop_assert!(told.chars().count() < 800);
        prop_assert!(!told.contains(SECRET));
    }

    #[test]
    fn a_body_that_names_an_error_is_never_a_success(before in "[ \n]{0,5}", after in ".{0,50}") {
        let body = format!("{before}<Error>{after}");
        prop_assert!(S3Answer::parse(200, &HeaderMap::<String>::default(), body.as_bytes()).contradicts());
    }
}
