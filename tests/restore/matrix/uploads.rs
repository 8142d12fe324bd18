//! What the dispatcher answers to streams.

use sandbox::dispatcher::{Call, Fault};
use sandbox::proxy;

use super::{Lost, Outcome, Row, World, loses, run};
use crate::bucket::{STREAMS, gzip};

fn answered(name: &str, fault: Fault) -> Row {
    Row::new(format!("upload: {name}"), move |world, times| {
        world
            .scene
            .dispatcher
            .order_fault(Call::Upload, fault, times.min(1000));
    })
}

/// Only one stream meets it.
fn one(name: &str, large: bool, fault: proxy::Fault) -> Row {
    Row::new(
        format!("one upload, large {large}: {name}"),
        move |world, times| {
            let hash = key(world, large).rsplit('/').next().unwrap().to_owned();
            world
                .scene
                .spoil_hub(&format!("expected-sha256={hash}"), fault, times);
        },
    )
}

fn key(world: &World, large: bool) -> &str {
    let mut keys = world.streams.iter();
    let small = keys.find(|key| **key != world.large);
    if large { &world.large } else { small.unwrap() }
}

fn loses_one(large: bool, reason: &'static str) -> impl Fn(&World) -> Outcome {
    move |world| loses(vec![Lost::Object(key(world, large).to_owned())], reason)
}

/// Each is said not to be what was sent.
fn loses_all(world: &World) -> Outcome {
    let lost = world.streams.iter().map(|key| Lost::Object(key.clone()));
    loses(lost.collect(), "the dispatcher says it received")
}

/// That of `binary 0`, with a size that it does not have.
const OTHER_SIZE: &str =
    r#"{"data":{"size":7,"sha256":"20c9ef92c32b1e8ff1e88ac252fafa5cbfbf508f3169a6f29e7a2dd93257ff7c"}}"#;

const ERRORS: &str = r#"{"errors":[{"detail":"the store is full"}]}"#;

const OTHER_HASH: &str =
    r#"{"data":{"size":8,"sha256":"5cc7f416087731c86203a1789fd29c913bf8e6d46fcff7e9a85a5aed5405ab1c"}}"#;

#[test]
fn every_answer_to_a_stream_is_taken_for_what_it_says() {
    run(vec![
        answered("500", Fault::Status(500)).passes().stops(),
        answered("503 of a proxy", Fault::Page(503)).passes().stops(),
        answered("404", Fault::Status(404)).passes().stops(),
        answered("early 413", Fault::Status(413)).passes().stops(),
        answered("hang", Fault::Hang)
            .set("FAULT_POINTS_HURRY", "40")
            .passes()
            .stops(),
        answered("lost answer", Fault::LostAnswer).passes().stops(),
        answered("200 of a proxy", Fault::Nonsense).passes().stops(),
        answered("200 with errors", Fault::Says(200, ERRORS))
            .passes()
            .stops(),
        answered("200 that names another hash", Fault::Says(200, OTHER_HASH))
            .passes()
            .ever(loses_all),
        answered("200 that names another size", Fault::Says(200, OTHER_SIZE))
            .passes()
            .ever(loses_all),
        answered("200 without data", Fault::Says(200, "{}"))
            .passes()
            .stops(),
    ]);
}

#[test]
fn one_stream_that_is_not_taken_does_not_stop_the_others() {
    let mut rows = Vec::new();
    for large in [false, true] {
        rows.extend([
            one("a bit flipped on its way", large, proxy::Fault::FlipInRequest)
                .passes()
                // What is sent in chunks may break where a bit of their lengths is another.
                .ever(loses_one(large, if large { "" } else { "sha256 mismatch" })),
            one("403", large, proxy::Fault::Answer(proxy::Reply::Json(403)))
                .passes()
                .ever(loses_one(large, "on order")),
            one("reset", large, proxy::Fault::ResetUnsent)
                .passes()
                .ever(loses_one(large, "")),
        ]);
    }
    rows.push(
        Row::new("a stream of no bytes", |world, _| {
            let key = format!("samples/content/{}", actors::stream_id::Sha256::of(b""));
            world.scene.put(STREAMS, &key, &gzip(b""));
            world.streams.push(key);
            world.streams.sort();
        })
        .ever(|_| {
            let key = format!("samples/content/{}", actors::stream_id::Sha256::of(b""));
            loses(vec![Lost::Object(key)], "no content in request body")
        }),
    );
    run(rows);
}
