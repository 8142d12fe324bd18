//! Which uploads of a key are open: what is believed, and how it is asked for.

use actors::fault::FaultKind;
use actors::ports::{Bucket, UploadId};

use super::raw_tcp::{RawServer, Step, answer};
use super::{bucket, error, key, ok};

/// A page of the list: its uploads, and what follows it.
fn page(uploads: &[(&str, &str)], next: Option<(&str, &str)>) -> String {
    let uploads = uploads
        .iter()
        .map(|(key, id)| format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId></Upload>"));
    let next = match next {
        None => "<IsTruncated>false</IsTruncated>".to_owned(),
        Some((key, id)) => format!(
            "<IsTruncated>true</IsTruncated><NextKeyMarker>{key}</NextKeyMarker>\
             <NextUploadIdMarker>{id}</NextUploadIdMarker>"
        ),
    };
    format!(
        "<?xml version=\"1.0\"?>\n<ListMultipartUploadsResult><Bucket>streams</Bucket><Prefix>{}</Prefix>{next}{}\
         </ListMultipartUploadsResult>",
        key(),
        uploads.collect::<String>()
    )
}

async fn list(scripts: Vec<Vec<Step>>) -> (Result<Option<Vec<UploadId>>, FaultKind>, RawServer) {
    let server = RawServer::start(scripts);
    let listed = bucket(&server).list_uploads(&key()).await;
    (listed.map_err(|fault| fault.kind()), server)
}

fn ids<const N: usize>(ids: [&str; N]) -> Option<Vec<UploadId>> {
    Some(ids.map(|id| UploadId(id.to_owned())).to_vec())
}

#[actix_rt::test]
async fn the_uploads_of_exactly_this_key_are_found_on_all_pages() {
    let key = key().to_string();
    let longer = format!("{key}.aesc1");
    let first = page(&[(&key, "u1"), (&key, "u&amp;2")], Some((&key, "u&amp;2")));
    let second = page(&[(&key, "u3"), (&longer, "u4")], None);
    let (listed, server) = list(vec![answer(ok("", &first)), answer(ok("", &second))]).await;
    assert_eq!(listed, Ok(ids(["u1", "u&2", "u3"])));
    let requests = server.requests();
    assert!(
        requests[0].starts_with("GET /streams?prefix=samples%2Fcontent%2F5c"),
        "{requests:?}"
    );
    assert!(requests[0].contains("&uploads= HTTP/1.1\r\n"), "{requests:?}");
    for param in [
        format!("?key-marker={}&", key.replace('/', "%2F")),
        "&upload-id-marker=u%262&".to_owned(),
    ] {
        assert!(requests[1].contains(&param), "{requests:?}");
    }
    let (listed, _server) = list(vec![answer(ok("", &page(&[], None)))]).await;
    assert_eq!(listed, Ok(ids([])));
}

#[actix_rt::test]
async fn what_is_no_list_is_never_an_empty_one() {
    let empty = page(&[], None);
    let changed = |from: &str, to: &str| empty.replace(from, to);
    for body in [
        String::new(),
        " \n".to_owned(),
        "<html><body>Please log in</body></html>".to_owned(),
        "<Error><Code>InternalError</Code><Message>said so</Message></Error>".to_owned(),
        "{\"uploads\":[]}".to_owned(),
        changed(">streams<", ">other<"),
        changed("<Prefix>samples", "<Prefix>other"),
        changed("<IsTruncated>false</IsTruncated>", ""),
        changed("ListMultipartUploadsResult", "ListBucketResult"),
    ] {
        let (listed, _server) = list(vec![answer(ok("", &body))]).await;
        assert_eq!(listed, Err(FaultKind::Transient), "{body}");
    }
    for cut in (0..empty.len()).step_by(7) {
        let (listed, _server) = list(vec![answer(ok("", &empty[..cut]))]).await;
        assert_eq!(listed, Err(FaultKind::Transient), "{cut}");
    }
    let broken = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{empty}",
        empty.len() + 1
    );
    let (listed, _server) = list(vec![answer(broken)]).await;
    assert_eq!(listed, Err(FaultKind::Transient));
}

#[actix_rt::test]
async fn a_list_without_an_end_is_given_up() {
    let key = key().to_string();
    let same = answer(ok("", &page(&[(&key, "u1")], Some((&key, "u1")))));
    let (listed, server) = list(vec![same.clone(), same.clone(), same]).await;
    assert_eq!(listed, Err(FaultKind::Transient));
    assert_eq!(server.connections(), 2);
    let (listed, _server) = list(vec![answer(ok("", &page(&[], Some(("", "")))))]).await;
    assert_eq!(listed, Err(FaultKind::Transient));
}

#[actix_rt::test]
async fn a_server_that_lists_no_uploads_is_no_fault() {
    for (bytes, expected) in [
        (error(501, "NotImplemented"), Ok(None)),
        (error(405, "MethodNotAllowed"), Ok(None)),
        (error(403, "AccessDenied"), Err(FaultKind::Rejected)),
        (error(404, "NoSuchBucket"), Err(FaultKind::Rejected)),
        (error(503, "SlowDown"), Err(FaultKind::Transient)),
    ] {
        let (listed, _server) = list(vec![answer(bytes.clone())]).await;
        assert_eq!(listed, expected, "{bytes}");
    }
}
