//! The stand-in answers every recorded request as the real dispatcher did.
//!
//! Compared are the status, the content type, how the body's end is told (length or chunks), and the body: JSON
//! by value, the multipart by the order of its parts, their heads, the `info` by value, and version and first
//! block of the bulk. Two details quote the inside of Go's Avro decoder (`NORMALISED`); there only the text before the
//! quotation is compared.

mod raw;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use raw::{Response, exchange, find, parse};
use sandbox::dispatcher::{Body, Config, StandInDispatcher};
use sandbox::encode;
use sandbox::generator::event::{BinaryEvent, Feature};
use sandbox::generator::{Event, Shape, World};

/// What quotes Go internals comes after this.
const NORMALISED: &str = "failed to parse avro bulk event with len(";

fn samples() -> Option<PathBuf> {
    let path = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/wire-samples/http"
    ));
    path.is_dir().then(|| path.to_owned())
}

/// Content type without the boundary, and how the end of the body is told.
fn framing(response: &Response) -> (String, &'static str) {
    let content_type = response.headers.get("content-type").cloned().unwrap_or_default();
    let end = match (
        response.headers.get("transfer-encoding"),
        response.headers.get("content-length"),
    ) {
        (Some(_), _) => "chunks",
        (None, Some(_)) => "length",
        (None, None) => "neither",
    };
    (content_type.split("boundary=").next().unwrap().to_owned(), end)
}

/// The heads of the parts in order, the info by value, version and sign of the first block of the bulk.
fn shape_of_multipart(response: &Response) -> (Vec<String>, serde_json::Value, Vec<u8>) {
    let boundary = response.headers["content-type"]
        .split("boundary=")
        .nth(1)
        .unwrap();
    assert_eq!(boundary.len(), 60);
    let body = &response.body;
    let delimiter = format!("--{boundary}");
    assert!(body.starts_with(delimiter.as_bytes()));
    assert!(body.ends_with(format!("\r\n{delimiter}--\r\n").as_bytes()));
    let second = find(&body[1..], delimiter.as_bytes()).unwrap() + 1;
    let parts = [
        &body[..second - 2],
        &body[second..body.len() - delimiter.len() - 6],
    ];
    let (heads, bodies): (Vec<_>, Vec<_>) = parts
        .iter()
        .map(|part| {
            let end = find(part, b"\r\n\r\n").unwrap();
            (
                String::from_utf8(part[delimiter.len()..end].to_vec()).unwrap(),
                part[end + 4..].to_vec(),
            )
        })
        .unzip();
    (
        heads,
        serde_json::from_slice(&bodies[0]).unwrap(),
        bodies[1][..2].to_vec(),
    )
}

fn json(response: &Response) -> serde_json::Value {
    let mut value: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    if let Some(detail) = value["detail"].as_str()
        && let Some(at) = detail.find(NORMALISED)
    {
        value["detail"] = detail[..at + NORMALISED.len()].into();
    }
    value
}

fn compare(name: &str, ours: &Response, recorded: &Response) {
    assert_eq!(ours.status, recorded.status, "{name}: {ours:?}");
    assert_eq!(framing(ours), framing(recorded), "{name}");
    let content_type = framing(recorded).0;
    if content_type.starts_with("multipart/") {
        assert_eq!(shape_of_multipart(ours), shape_of_multipart(recorded), "{name}");
    } else if content_type.contains("json") {
        assert_eq!(json(ours), json(recorded), "{name}");
    } else if name != "stream-get" {
        assert_eq!(ours.body, recorded.body, "{name}");
    }
    for header in ["content-range", "accept-ranges", "x-content-type-options"] {
        assert_eq!(
            ours.headers.get(header),
            recorded.headers.get(header),
            "{name}: {header}"
        );
    }
    if framing(recorded).1 == "length" && !content_type.starts_with("multipart/") {
        assert_eq!(
            ours.headers["content-length"], recorded.headers["content-length"],
            "{name}"
        );
    }
}

/// The body of the recorded stream, which the recordings leave out.
fn stream_body() -> Vec<u8> {
    (0..102_400u32).map(|number| number as u8).collect()
}

/// The request as recorded, with a body where the recording left it out.
fn request(directory: &Path, name: &str) -> Vec<u8> {
    let mut request = std::fs::read(directory.join(format!("{name}.request"))).unwrap();
    match name {
        "stream-post-ok" | "stream-post-mismatch" => request.extend(stream_body()),
        "stream-post-chunked" => {
            for piece in stream_body().chunks(10_000) {
                request.extend(format!("{:x}\r\n", piece.len()).into_bytes());
                request.extend_from_slice(piece);
                request.extend_from_slice(b"\r\n");
            }
            request.extend_from_slice(b"0\r\n\r\n");
        }
        "publish-too-large" => request.extend(too_large()),
        _ => {}
    }
    request
}

/// Twenty events, two of them larger than Kafka takes, as large as those of the recording were; the others
/// share what is left of the recorded length.
fn too_large() -> Vec<u8> {
    let world = World::new(
        Shape::new(1, 1, 0)
            .with_events([1, 0, 0, 0, 0])
            .with_sizes(1..=10),
    )
    .unwrap();
    let Event::Binary(mut model) = world.feeds()[0].event(0) else {
        unreachable!("the only feed is one of binaries");
    };
    model.entity.features.clear();
    model.entity.datastreams[0].magic.clear();
    let sized = |size: usize| {
        let mut event = model.clone();
        let feature = |length: usize| Feature {
            value: "f".repeat(length),
            ..Feature::default()
        };
        event.entity.features = vec![feature(1_000_000); size / 1_000_100];
        event.entity.features.push(feature(0));
        let whole = Event::Binary(event.clone()).encoded(6).len();
        if let Some(last) = event.entity.features.last_mut() {
            *last = feature(size - whole);
        }
        // lengths are written as numbers of varying length
        while Event::Binary(event.clone()).encoded(6).len() > size {
            event.entity.features.last_mut().unwrap().value.pop();
        }
        Event::Binary(event).encoded(6)
    };
    let (first, second) = (sized(4_001_647), sized(4_001_657));
    let mut events = vec![model_bytes(&model); 18];
    events.insert(3, first);
    events.insert(9, second);
    let mut bulk = encode::bulk(6, &events, encode::Layout::Sized);
    let missing = 8_026_827 - bulk.len();
    let Event::Binary(mut filler) = Event::Binary(model) else {
        unreachable!("it was made so");
    };
    filler.entity.info = vec![b'i'; missing - 1];
    events[19] = model_bytes(&filler);
    bulk = encode::bulk(6, &events, encode::Layout::Sized);
    assert_eq!(bulk.len(), 8_026_827);
    bulk
}

fn model_bytes(event: &BinaryEvent) -> Vec<u8> {
    Event::Binary(Box::new(event.clone())).encoded(6)
}

/// Fifty sourced events and two of each system feed, as when the recordings were made.
fn stand_in(with_events: bool, config: Config) -> StandInDispatcher {
    let standin = StandInDispatcher::start(config).unwrap();
    let mut shape = Shape::new(1, 1, 0)
        .with_events([50, 0, 0, 0, 0])
        .with_sizes(1..=10);
    shape.system_events = 2;
    if with_events {
        standin.fill(&World::new(shape).unwrap(), false);
    }
    let recorded = "samples/content/27783e87963a4efb6829b531c9ba57b44f45797f6770bd637fbf0d807cbdbae0";
    standin.put_stream(
        &recorded.parse().unwrap(),
        Body::Given(Bytes::from(stream_body())),
    );
    standin
}

#[test]
fn every_recorded_request_is_answered_as_recorded() {
    let Some(directory) = samples() else {
        println!("skipped: no wire samples here");
        return;
    };
    let standin = stand_in(true, Config::default());
    // what is published must not come in between
    let published = stand_in(false, Config::default());
    let mut away = stand_in(
        true,
        Config {
            ready_after_restart: Duration::from_secs(60),
            ..Config::default()
        },
    );
    away.restart().unwrap();
    let mut names: Vec<String> = std::fs::read_dir(&directory)
        .unwrap()
        .filter_map(|entry| {
            entry
                .unwrap()
                .file_name()
                .into_string()
                .unwrap()
                .strip_suffix(".request")
                .map(str::to_owned)
        })
        .collect();
    names.sort();
    assert!(names.len() >= 28, "{names:?}");
    std::thread::scope(|scope| {
        for name in &names {
            let address = match name.as_str() {
                "pull-not-ready" => away.address(),
                name if name.starts_with("publish-") => published.address(),
                _ => standin.address(),
            };
            let directory = &directory;
            scope.spawn(move || {
                let recorded = parse(&std::fs::read(directory.join(format!("{name}.response"))).unwrap());
                compare(name, &exchange(address, &request(directory, name)), &recorded);
            });
        }
    });
}
