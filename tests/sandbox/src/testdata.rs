//! The files of `testdata/`: small bulks of every version and model, and odd ones. The same bytes every time.

use std::path::Path;

use actors::feed::Model;
use anyhow::Context;

use crate::encode::{self, Layout};
use crate::generator::event::{BinaryEvent, Datastream, Event};
use crate::generator::{Shape, UNKNOWN_VERSION, World};

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestFile {
    /// Its path below the folder.
    pub path: String,
    /// What it shows, for the README.
    pub shows: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Writes all files and the README that explains them.
///
/// # Errors
/// The folder cannot be written.
pub fn write(folder: &Path) -> anyhow::Result<()> {
    for file in files()? {
        let path = folder.join(&file.path);
        let parent = path.parent().context("a file has a folder")?;
        std::fs::create_dir_all(parent)?;
        std::fs::write(&path, &file.bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// All files, the README last.
///
/// # Errors
/// The generated source names are no names (they are).
pub fn files() -> anyhow::Result<Vec<TestFile>> {
    let world = World::new(shape())?;
    let mut files = Vec::new();
    for version in [4, 5, 6, UNKNOWN_VERSION] {
        for model in Model::ALL {
            let events = events(&world, model);
            let name = model.as_str();
            let what = match model {
                Model::Binary => "two events of each action",
                Model::Insert | Model::Delete => "two events",
            };
            files.push(TestFile {
                path: format!("v{version}/{name}.avro"),
                shows: format!("a bulk of model version {version}, {name}: {what}"),
                bytes: bulk(version, &events, Layout::Sized),
            });
        }
    }
    files.extend(odd(&events(&world, Model::Binary)));
    files.push(readme(&files));
    Ok(files)
}

fn shape() -> Shape {
    let mut shape = Shape::new(20_250_701, 1, 0)
        .with_events([2, 2, 2, 2, 2])
        .with_sizes(100..=2000);
    shape.system_events = 2;
    shape
}

fn events(world: &std::sync::Arc<World>, model: Model) -> Vec<Event> {
    let feeds = world
        .feeds()
        .into_iter()
        .filter(|feed| feed.feed().model() == model);
    feeds
        .flat_map(|feed| (0..feed.len()).map(move |number| feed.event(number)))
        .collect()
}

fn bulk(version: i64, events: &[Event], layout: Layout) -> Vec<u8> {
    let encoded: Vec<Vec<u8>> = events.iter().map(|event| event.encoded(version)).collect();
    encode::bulk(version, &encoded, layout)
}

/// The binary event with a change.
fn changed(event: &Event, change: impl FnOnce(&mut BinaryEvent)) -> Event {
    let mut event = event.clone();
    if let Event::Binary(binary) = &mut event {
        change(binary);
    }
    event
}

/// The binary event with another first stream.
fn restreamed(event: &Event, change: impl FnOnce(&mut Datastream)) -> Event {
    changed(event, |binary| {
        if let Some(stream) = binary.entity.datastreams.first_mut() {
            change(stream);
        }
    })
}

fn odd(binary: &[Event]) -> Vec<TestFile> {
    let mut files = odd_blocks(binary);
    files.extend(odd_events(binary));
    files
}

fn file(name: &str, shows: &str, bytes: Vec<u8>) -> TestFile {
    TestFile {
        path: format!("odd/{name}.avro"),
        shows: shows.to_owned(),
        bytes,
    }
}

/// Bulks whose blocks are odd; version 6 and binary, unless the name says otherwise.
fn odd_blocks(binary: &[Event]) -> Vec<TestFile> {
    let whole = bulk(6, &binary[..3], Layout::Sized);
    let encoded: Vec<Vec<u8>> = binary.iter().map(|event| event.encoded(6)).collect();
    let mut mixed = Vec::new();
    encode::bulk_head(&mut mixed, 6);
    encode::block(&mut mixed, 1, &encoded[0]);
    encode::long(&mut mixed, 2);
    mixed.extend(encoded[1..3].concat());
    encode::block(&mut mixed, 2, &encoded[3..5].concat());
    encode::long(&mut mixed, 0);
    let mut lying = Vec::new();
    encode::bulk_head(&mut lying, 6);
    encode::block_head(&mut lying, 2, encoded[0].len());
    lying.extend(encoded[..2].concat());
    encode::long(&mut lying, 0);
    vec![
        file(
            "unsized-blocks",
            "blocks with positive counts and no sizes, two events each",
            bulk(6, &binary[..5], Layout::Unsized(2)),
        ),
        file(
            "several-blocks",
            "a sized block of one event, an unsized one of two, a sized one of two",
            mixed,
        ),
        file(
            "block-size-wrong",
            "a block whose size covers only the first of its two events",
            lying,
        ),
        file(
            "v4-unsized-six",
            "version 4 with a positive count of six events: it begins like a bulk of version 6 whose array is empty or odd",
            bulk(4, &binary[..6], Layout::Unsized(6)),
        ),
        file(
            "v4-unsized-five",
            "version 4 with a positive count of five events: it begins like version 5",
            bulk(4, &binary[..5], Layout::Unsized(5)),
        ),
        file(
            "empty",
            "an array without events, as recorded",
            bulk(6, &[], Layout::Sized),
        ),
        file(
            "v4-empty",
            "version 4 without events: one byte",
            bulk(4, &[], Layout::Sized),
        ),
        file(
            "no-bytes",
            "no bytes at all, which also means no events",
            Vec::new(),
        ),
        file(
            "truncated",
            "three events, the last cut off in the middle",
            whole[..whole.len() - 300].to_vec(),
        ),
        file(
            "without-end",
            "three events, but not the zero that closes the array",
            whole[..whole.len() - 1].to_vec(),
        ),
        file(
            "trailing-bytes",
            "three events, and four bytes after the end",
            [whole.as_slice(), b"more"].concat(),
        ),
    ]
}

/// Bulks whose events are odd: valid Avro of version 6, binary.
fn odd_events(binary: &[Event]) -> Vec<TestFile> {
    let (sourced, augmented, enriched) = (&binary[0], &binary[4], &binary[8]);
    let invalid = changed(&binary[1], |event| event.author.name.clear());
    let sized = |events: &[Event]| bulk(6, events, Layout::Sized);
    let sha256 = |text: &str| restreamed(sourced, |stream| stream.hashes.sha256 = text.to_owned());
    let label = |text: &str| restreamed(sourced, |stream| stream.label = text.to_owned());
    let source = |text: &str| changed(sourced, |event| event.source.name = text.to_owned());
    let time = |micros: i64| changed(enriched, |event| event.timestamp = micros);
    let upper = "5CC7F416087731C86203A1789FD29C913BF8E6D46FCFF7E9A85A5AED5405AB1C";
    vec![
        file(
            "invalid-in-the-middle",
            "three events, the second without an author: the dispatcher takes the first and says nothing of the others",
            sized(&[sourced.clone(), invalid.clone(), augmented.clone()]),
        ),
        file(
            "all-invalid",
            "two events without an author",
            sized(&[invalid.clone(), invalid]),
        ),
        file(
            "old-action",
            "a path with an action of former times, and an event of an unknown action",
            sized(&[
                changed(sourced, |event| {
                    event.source.path[0].action = "binary_downloaded".to_owned()
                }),
                changed(sourced, |event| event.action = "reimagined".to_owned()),
            ]),
        ),
        file(
            "enriched-not-last",
            "an enriched node that is not the last of the path",
            sized(&[changed(enriched, |event| event.source.path.reverse())]),
        ),
        file(
            "no-datastreams",
            "an enriched event (valid) and a sourced one (not valid) that name no stream",
            sized(&[
                enriched.clone(),
                changed(sourced, |event| event.entity.datastreams.clear()),
            ]),
        ),
        file(
            "unknown-labels",
            "a content stream and one with a label that nobody has seen yet",
            sized(&[changed(augmented, |event| {
                event.entity.datastreams[1].label = "holo_scan".to_owned();
            })]),
        ),
        file(
            "malformed-sha256",
            "streams whose SHA-256 is empty, short, in upper case, and a way out of the folder",
            sized(&[
                sha256(""),
                sha256("5cc7f4"),
                sha256(upper),
                sha256("../../../../etc/passwd"),
            ]),
        ),
        file(
            "hostile-labels",
            "labels that would leave their prefix, or are empty",
            sized(&[
                label("../content"),
                label("a/b"),
                label(".."),
                label("nul\0"),
                label(""),
            ]),
        ),
        file(
            "hostile-sources",
            "sources that would leave their prefix, or are empty",
            sized(&[
                source("../samples"),
                source("a/b"),
                source(".."),
                source("nul\0"),
                source(""),
            ]),
        ),
        file(
            "hostile-kafka-keys",
            "Kafka keys that would leave their prefix, are empty, or very long",
            sized(&[
                changed(enriched, |event| event.kafka_key = "../../key".to_owned()),
                changed(enriched, |event| event.kafka_key = String::new()),
                changed(enriched, |event| event.kafka_key = "k".repeat(2000)),
            ]),
        ),
        file(
            "timestamps",
            "times with no, four and six fractional digits, before 1970, and beyond the calendar",
            sized(&[
                time(1_753_873_240_000_000),
                time(1_751_865_215_193_200),
                time(1_753_855_379_867_075),
                time(-500_000),
                time(i64::MAX),
                time(i64::MIN),
            ]),
        ),
    ]
}

fn readme(files: &[TestFile]) -> TestFile {
    let mut text = String::from(
        "# Test data\n\n\
         Made by `cargo run -p sandbox -- testdata`, and never edited by hand: a test checks that making it again gives\n\
         the same bytes. Every `.avro` file is one bulk, a bare Avro datum as the dispatcher sends it.\n\n\
         | file | what it shows |\n| --- | --- |\n",
    );
    for file in files {
        text.push_str(&format!("| `{}` | {} |\n", file.path, file.shows));
    }
    TestFile {
        path: "README.md".to_owned(),
        shows: String::new(),
        bytes: text.into_bytes(),
    }
}
