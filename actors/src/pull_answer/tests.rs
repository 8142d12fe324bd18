//! The scanner over every way to cut an answer, against multer, and over recorded answers.

use std::fs;
use std::path::Path;

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;

fn scan(chunks: &[&[u8]]) -> Result<PullParts, AnswerFault> {
    let mut scanner = MultipartScanner::new();
    for chunk in chunks {
        scanner.push(chunk);
    }
    scanner.finish()
}

fn part(boundary: &str, name: &str, content: &[u8]) -> Vec<u8> {
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}.json\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    [head.as_bytes(), content, b"\r\n"].concat()
}

fn answer(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in parts {
        body.extend(part("b0undary", name, content));
    }
    body.extend_from_slice(b"--b0undary--\r\n");
    body
}

fn slice<'a>(body: &'a [u8], parts: &PullParts) -> &'a [u8] {
    &body[parts.events.start as usize..parts.events.end as usize]
}

const INFO: &[u8] =
    br#"{"filtered":3,"fetched":2,"ready":false,"paused":true,"consumers_not_ready":"x","filters":{"a":7}}"#;

#[test]
fn parts_are_found_in_any_order() {
    for parts in [
        [("info", INFO), ("events", b"\x0c\x00")],
        [("events", b"\x0c\x00"), ("info", INFO)],
    ] {
        let body = answer(&parts);
        let found = scan(&[&body]).unwrap();
        assert_eq!(slice(&body, &found), b"\x0c\x00");
        assert_eq!(found.info_fault, None);
        assert_eq!(
            found.info,
            PullInfo {
                fetched: Some(2),
                filtered: 3,
                ready: false,
                paused: true
            }
        );
    }
}

#[test]
fn fields_left_out_are_as_usual_and_a_broken_info_costs_no_events() {
    for (info, faulty) in [
        (&b"{}"[..], false),
        (br#"{"ready":null,"fetched":"2"}"#, false),
        (b"{", true),
        (b"[]", true),
        (b"", true),
    ] {
        let body = answer(&[("info", info), ("events", b"xyz")]);
        let found = scan(&[&body]).unwrap();
        assert_eq!(found.info, PullInfo::default());
        assert!(found.info.ready);
        assert_eq!(found.info_fault.is_some(), faulty, "{found:?}");
        assert_eq!(slice(&body, &found), b"xyz");
    }
}

#[test]
fn no_events_part_or_an_empty_one_means_no_events() {
    for parts in [&[("info", INFO)][..], &[("info", INFO), ("events", b"")]] {
        assert!(scan(&[&answer(parts)]).unwrap().events.is_empty());
    }
}

#[test]
fn an_answer_is_whole_only_with_its_closing_boundary() {
    let body = answer(&[("info", INFO), ("events", b"abc\r\n--b0undar\r\n\r\n--b0")]);
    for cut in 0..body.len() - 2 {
        assert_eq!(
            scan(&[&body[..cut]]),
            Err(AnswerFault::BrokenOff(cut as u64)),
            "{cut}"
        );
    }
    assert!(
        scan(&[&body[..body.len() - 2]]).is_ok(),
        "the last line break may be missing"
    );
}

#[test]
fn what_is_no_such_multipart_is_not_understood() {
    let twice = answer(&[("events", b"a"), ("events", b"b")]);
    let long_head = [b"--b\r\n".to_vec(), vec![b'x'; 2 * LONGEST_HEAD]].concat();
    for body in [
        &b"{\"title\":\"x\"}\r\n"[..],
        b"--\r\n",
        b"--b\n",
        &[b'-'; 1000],
        &twice,
        &long_head,
        b"--b\r\n\r\ncontent\r\n--bx\r\n",
    ] {
        assert!(
            matches!(scan(&[body]), Err(AnswerFault::NotUnderstood(..))),
            "{}",
            body.escape_ascii()
        );
    }
}

#[test]
fn an_info_beyond_its_limit_is_not_kept() {
    let body = answer(&[("info", &vec![b' '; 3 * LARGEST_INFO]), ("events", b"abc")]);
    let mut scanner = MultipartScanner::new();
    for chunk in body.chunks(10_000) {
        scanner.push(chunk);
        assert!(scanner.info.len() <= LARGEST_INFO);
        assert!(scanner.held.len() <= LONGEST_HEAD + 1);
    }
    let found = scanner.finish().unwrap();
    assert!(found.info_fault.is_some());
    assert_eq!(slice(&body, &found), b"abc");
}

#[test]
fn recorded_answers_are_understood() {
    let folder = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../shared/wire-samples/http"
    ));
    if !folder.is_dir() {
        println!("skipped: no recorded answers at {}", folder.display());
        return;
    }
    for (name, fetched, ready) in [
        ("pull-count-1", 1, true),
        ("pull-delete", 2, true),
        ("pull-empty", 0, true),
        ("pull-events", 50, true),
        ("pull-insert", 2, true),
        ("pull-not-ready", 0, false),
    ] {
        let body = http_body(&fs::read(folder.join(format!("{name}.response"))).unwrap());
        let found = scan(&body.chunks(7).collect::<Vec<_>>()).unwrap();
        assert_eq!(found.info.fetched, Some(fetched), "{name}");
        assert_eq!(found.info.ready, ready, "{name}");
        assert_eq!(slice(&body, &found)[0], 12, "{name}: version 6");
        assert!(body[found.events.end as usize..].starts_with(b"\r\n--"), "{name}");
    }
}

/// The body of a recorded answer: without its head, and without the framing of its chunks.
fn http_body(answer: &[u8]) -> Vec<u8> {
    let split = memmem::find(answer, b"\r\n\r\n").unwrap();
    let (head, mut rest) = (&answer[..split], &answer[split + 4..]);
    if memmem::find(head, b"chunked").is_none() {
        return rest.to_vec();
    }
    let mut body = Vec::new();
    loop {
        let line = memmem::find(rest, b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
    }
}

/// What multer makes of the same body: names and contents.
fn oracle(body: &[u8], boundary: &str) -> Vec<(Option<String>, Vec<u8>)> {
    let stream = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(
        bytes::Bytes::copy_from_slice(body),
    )]);
    let mut multipart = multer::Multipart::new(stream, boundary);
    let read = async {
        let mut parts = Vec::new();
        while let Some(field) = multipart.next_field().await.unwrap() {
            let name = field.name().map(str::to_owned);
            parts.push((name, field.bytes().await.unwrap().to_vec()));
        }
        parts
    };
    read.now_or_never().unwrap()
}

/// Content that comes close to holding the delimiter.
fn treacherous() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\r\n--b0undar".to_vec()),
        Just(b"\r\n--".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"--b0undary".to_vec()),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop::collection::vec(piece, 0..8)
        .prop_map(|pieces| [b"x".to_vec(), pieces.concat()].concat())
        .prop_filter("holds the delimiter", |content| {
            memmem::find(content, b"\r\n--b0undary").is_none()
        })
}

proptest! {
    #[test]
    fn however_the_body_is_cut_the_events_are_where_multer_sees_them(
        events in treacherous(),
        other in treacherous(),
        swap: bool,
        cuts in prop::collection::vec(1..60usize, 1..200),
    ) {
        let mut parts = vec![("info", INFO), ("other", &other), ("events", &events)];
        if swap {
            parts.reverse();
        }
        let body = answer(&parts);
        let mut scanner = MultipartScanner::new();
        let mut rest = body.as_slice();
        for cut in cuts.iter().cycle() {
            let (chunk, after) = rest.split_at((*cut).min(rest.len()));
            scanner.push(chunk);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        let found = scanner.finish().unwrap();
        let expected = oracle(&body, "b0undary");
        prop_assert_eq!(expected.len(), 3);
        let seen = expected.iter().find(|(name, _)| name.as_deref() == Some("events")).unwrap();
        prop_assert_eq!(slice(&body, &found), &seen.1);
        prop_assert_eq!(slice(&body, &found), &events);
        prop_assert_eq!(found.info.fetched, Some(2));
        prop_assert_eq!(found.info_fault, None);
    }
}
