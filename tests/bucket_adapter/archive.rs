//! What restore reads: which listings are believed, how they are asked for, and how they go on.

use std::time::Duration;

use actors::fault::{Fault, FaultKind};
use actors::ports::Archive;
use actors::ports::archive::{ListPage, Store};
use actors::restore::listed_key::Form;
use azul_backup::adapters::bucket::S3Archive;
use azul_backup::settings::{Place, ReadingSide};

use super::raw_tcp::{RawServer, Step, answer};
use super::{config, error, ok};

fn archive(server: &RawServer) -> S3Archive {
    let place = |bucket: &str, folder: &str| Place {
        bucket: bucket.to_owned(),
        folder: folder.to_owned(),
    };
    let side = ReadingSide {
        prefer: Form::Plain,
        streams: place("streams", ""),
        events: place("one", "events/"),
        aes_key: None,
    };
    S3Archive::new(config(server), &side).unwrap()
}

/// A page of the bucket of streams below `a/`.
fn page(entries: &str, more: Option<&str>) -> String {
    let more = match more {
        None => "<IsTruncated>false</IsTruncated>".to_owned(),
        Some(token) => {
            format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>")
        }
    };
    format!(
        "<?xml version=\"1.0\"?>\n<ListBucketResult><Name>streams</Name><Prefix>a/</Prefix><EncodingType>url\
         </EncodingType>{more}{entries}</ListBucketResult>"
    )
}

fn entries(keys: &[&str]) -> String {
    let entry = |key: &&str| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>");
    keys.iter().map(entry).collect()
}

fn folder(name: &str) -> String {
    format!("<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>")
}

async fn list(scripts: Vec<Vec<Step>>, after: Option<&str>) -> (Result<ListPage, Fault>, RawServer) {
    let server = RawServer::start(scripts);
    let listed = archive(&server).list(Store::Streams, "a/", after).await;
    (listed, server)
}

fn keys(page: &ListPage) -> Vec<&str> {
    page.objects.iter().map(|object| object.key.as_str()).collect()
}

#[actix_rt::test]
async fn a_listing_is_asked_for_in_an_encoding_that_holds_every_key() {
    let body = page(&entries(&["a/%00%01", "a/../x+%2B%25", "a//"]), None);
    let (listed, server) = list(vec![answer(ok("", &body))], None).await;
    assert_eq!(keys(&listed.unwrap()), ["a/\0\u{1}", "a/../x +%", "a//"]);
    let line = server.requests()[0].lines().next().unwrap().to_owned();
    assert_eq!(
        line,
        "GET /streams?encoding-type=url&list-type=2&max-keys=1000&prefix=a%2F HTTP/1.1"
    );
    let body = page("", None);
    let (_, server) = list(vec![answer(ok("", &body))], Some("a/\0 +%ü")).await;
    let line = server.requests()[0].lines().next().unwrap().to_owned();
    assert!(line.contains("&start-after=a%2F%00%20%2B%25%C3%BC "), "{line}");
}

#[actix_rt::test]
async fn what_is_no_listing_is_never_an_empty_one() {
    let empty = page("", None);
    let changed = |from: &str, to: &str| {
        assert!(empty.contains(from));
        empty.replace(from, to)
    };
    for body in [
        String::new(),
        " \n".to_owned(),
        "<html><body>Please log in</body></html>".to_owned(),
        "<Error><Code>InternalError</Code><Message>said so</Message></Error>".to_owned(),
        "{\"Contents\":[]}".to_owned(),
        changed(">streams<", ">other<"),
        changed("<Name>streams</Name>", ""),
        changed("<Prefix>a/<", "<Prefix>b/<"),
        changed("<IsTruncated>false</IsTruncated>", ""),
        changed("ListBucketResult", "ListMultipartUploadsResult"),
        page(&entries(&["b/1"]), None),
        page(&entries(&["a/2", "a/1"]), None),
    ] {
        let (listed, _server) = list(vec![answer(ok("", &body))], None).await;
        assert_eq!(listed.unwrap_err().kind(), FaultKind::Transient, "{body}");
    }
    for cut in (0..empty.len()).step_by(7) {
        let (listed, _server) = list(vec![answer(ok("", &empty[..cut]))], None).await;
        assert_eq!(listed.unwrap_err().kind(), FaultKind::Transient, "{cut}");
    }
    let broken = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{empty}",
        empty.len() + 1
    );
    let (listed, _server) = list(vec![answer(broken)], None).await;
    assert_eq!(listed.unwrap_err().kind(), FaultKind::Transient);
    let (listed, _server) = list(vec![answer(ok("", &empty))], None).await;
    assert_eq!(listed.unwrap(), ListPage::default());
}

#[actix_rt::test]
async fn a_page_that_begins_before_its_cursor_is_refused() {
    let body = page(&entries(&["a/1", "a/2"]), None);
    let (listed, _server) = list(vec![answer(ok("", &body))], Some("a/1")).await;
    let fault = listed.unwrap_err();
    assert!(
        fault.is_transient() && fault.to_string().contains("before the key"),
        "{fault}"
    );
    let (listed, _server) = list(vec![answer(ok("", &body))], Some("a/0")).await;
    assert_eq!(keys(&listed.unwrap()), ["a/1", "a/2"]);
}

#[actix_rt::test]
async fn a_page_without_keys_is_followed_to_one_that_has_some() {
    let pages = [
        page("", Some("t1")),
        page("", Some("t+/2")),
        page(&entries(&["a/1"]), Some("t3")),
    ];
    let (listed, server) = list(
        pages.iter().map(|page| answer(ok("", page))).collect(),
        Some("a/0"),
    )
    .await;
    let listed = listed.unwrap();
    assert_eq!((keys(&listed), listed.more), (vec!["a/1"], true));
    let requests = server.requests();
    for (request, param) in requests.iter().zip([
        "&start-after=a%2F0 ",
        "?continuation-token=t1&",
        "?continuation-token=t%2B%2F2&",
    ]) {
        assert!(request.contains(param), "{param}: {request}");
    }
    // With nothing to go on by, or always the same, there would be no end.
    let no_token = page("", Some("")).replace("<NextContinuationToken></NextContinuationToken>", "");
    for (body, requests) in [(no_token, 1), (page("", Some("")), 1), (page("", Some("t1")), 2)] {
        let (listed, server) = list(vec![answer(ok("", &body)); 3], None).await;
        let fault = listed.unwrap_err();
        assert!(
            fault.is_transient() && fault.to_string().contains("without an end"),
            "{fault}"
        );
        assert_eq!(server.requests().len(), requests);
    }
}

#[actix_rt::test]
async fn a_folder_that_a_server_repeats_is_told_once() {
    let first = page(&(entries(&["a/k"]) + &folder("a/f/")), Some("t"));
    let second = page(&(folder("a/k/") + &folder("a/z/")), None);
    let repeated = second.replace(
        "<CommonPrefixes><Prefix>a/k/",
        &(folder("a/k/") + "<CommonPrefixes><Prefix>a/m/"),
    );
    let server = RawServer::start([&first, &repeated].map(|page| answer(ok("", page))));
    let archive = archive(&server);
    let page = archive.folders(Store::Streams, "a/", None).await.unwrap();
    assert_eq!(
        (page.folders, page.next.as_deref()),
        (vec!["f".to_owned()], Some("a/k"))
    );
    let page = archive
        .folders(Store::Streams, "a/", Some("a/k/\u{10ffff}"))
        .await
        .unwrap();
    assert_eq!(
        (page.folders, page.next),
        (vec!["m".to_owned(), "z".to_owned()], None)
    );
    let requests = server.requests();
    assert!(
        requests[0].starts_with("GET /streams?delimiter=%2F&"),
        "{requests:?}"
    );
    assert!(
        requests[1].contains("&start-after=a%2Fk%2F%F4%8F%BF%BF "),
        "{requests:?}"
    );
}

#[actix_rt::test]
async fn a_page_that_ends_with_a_folder_goes_on_behind_all_that_is_in_it() {
    let body = page(&(entries(&["a/e"]) + &folder("a/f/")), Some("t"));
    let server = RawServer::start([answer(ok("", &body))]);
    let page = archive(&server)
        .folders(Store::Streams, "a/", None)
        .await
        .unwrap();
    assert_eq!(page.next.as_deref(), Some("a/f/\u{10ffff}"));
}

#[actix_rt::test]
async fn a_folder_of_one_bucket_is_asked_for_and_taken_off() {
    let body = "<ListBucketResult><Name>one</Name><Prefix>events/a/</Prefix><IsTruncated>false</IsTruncated><Contents>\
                <Key>events/a/1</Key><Size>1</Size></Contents></ListBucketResult>";
    let get = "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 1\r\n\r\nx";
    let server = RawServer::start([answer(ok("", body)), answer(get)]);
    let archive = archive(&server);
    let page = archive.list(Store::Events, "a/", Some("a/0")).await.unwrap();
    assert_eq!(keys(&page), ["a/1"]);
    archive.read(Store::Events, "a/\0/../1").await.unwrap();
    let requests = server.requests();
    assert!(
        requests[0].contains("&prefix=events%2Fa%2F&start-after=events%2Fa%2F0 "),
        "{requests:?}"
    );
    assert!(
        requests[1].starts_with("GET /one/events/a/%00/../1 HTTP"),
        "{requests:?}"
    );
}

#[actix_rt::test]
async fn a_listing_that_fails_says_why() {
    for (bytes, kind, expected) in [
        (
            error(404, "NoSuchBucket"),
            FaultKind::Missing,
            "there is no such bucket at http://",
        ),
        (error(404, "NoSuchKey"), FaultKind::Missing, "NoSuchKey"),
        (
            "HTTP/1.1 404 No\r\nContent-Length: 6\r\n\r\n<html>".to_owned(),
            FaultKind::Transient,
            "<html>",
        ),
        (
            error(403, "AccessDenied"),
            FaultKind::Rejected,
            "check the access key",
        ),
        (
            error(501, "NotImplemented"),
            FaultKind::Rejected,
            "NotImplemented",
        ),
        (error(503, "SlowDown"), FaultKind::Transient, "SlowDown"),
    ] {
        let (listed, _server) = list(vec![answer(bytes.clone())], None).await;
        let fault = listed.unwrap_err();
        assert_eq!(fault.kind(), kind, "{bytes}");
        assert!(
            fault.to_string().starts_with("list objects streams/a/: "),
            "{fault}"
        );
        assert!(fault.to_string().contains(expected), "{fault}");
    }
    let busy = error(503, "SlowDown").replace("\r\n\r\n", "\r\nRetry-After: 7\r\n\r\n");
    let (listed, _server) = list(vec![answer(busy)], None).await;
    assert_eq!(listed.unwrap_err().wait(), Some(Duration::from_secs(7)));
    let (listed, _server) = list(vec![vec![Step::Read, Step::Hang]], None).await;
    assert!(listed.unwrap_err().is_transient());
}

#[actix_rt::test]
async fn a_body_is_believed_only_if_it_is_an_objects() {
    for bytes in [
        ok("", "<html>Please log in</html>"),
        ok(
            "ETag: \"a\"\r\nContent-Type: text/html; charset=utf-8\r\n",
            "<html>Please log in</html>",
        ),
        ok("", ""),
    ] {
        let server = RawServer::start([answer(bytes.clone())]);
        let fault = archive(&server).read(Store::Streams, "a/1").await.err().unwrap();
        assert!(
            fault.is_transient() && fault.to_string().contains("not an answer of S3"),
            "{bytes}: {fault}"
        );
    }
}

#[actix_rt::test]
async fn what_cannot_be_read_is_not_asked_for() {
    let server = RawServer::start([]);
    let archive = archive(&server);
    for key in ["a/1.aesc1", ""] {
        let fault = archive.read(Store::Streams, key).await.err().unwrap();
        assert_eq!(fault.kind(), FaultKind::Rejected, "{fault}");
    }
    assert_eq!(server.connections(), 0);
}
