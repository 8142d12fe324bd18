//! Listings of the bucket that fail on their third page.

use sandbox::proxy::{Fault, Reply};

use super::{Row, World, run};

/// Pages that are no listing: an error, and what looks like success.
const FAULTS: [(&str, Fault); 5] = [
    ("500", Fault::Answer(Reply::Xml(500))),
    ("200 with an error", Fault::Answer(Reply::ErrorInside)),
    ("200 with a page", Fault::Answer(Reply::Page)),
    ("200 with nothing", Fault::Answer(Reply::Empty)),
    ("an answer that breaks off", Fault::ResetInBody),
];

/// Only the listing of the third page of events names its predecessor.
fn third_page_of_events(world: &mut World, fault: Fault, times: usize) {
    world.page = Some(1);
    world.pages();
    let before = world.bundles[1].0.replace('/', "%2F").replace(':', "%3A");
    let target = format!("start-after={before}");
    world.scene.spoil_bucket(&target, fault, times);
}

/// With a page of two a label is cut into lanes, each of which begins with a page of its own.
fn third_page_of_streams(world: &mut World, fault: Fault, times: usize) {
    for number in 0_u32.. {
        let content = format!("more {number}");
        if world.in_lane().len() == 6 {
            break;
        }
        if actors::stream_id::Sha256::of(content.as_bytes())
            .to_string()
            .starts_with('7')
        {
            let key = world.scene.put_stream("samples", "content", content.as_bytes());
            world.streams.push(key);
            world.streams.sort();
        }
    }
    world.page = Some(2);
    world.pages();
    let lane = world.in_lane();
    let hash = lane[3].rsplit('/').next().unwrap();
    let target = format!("start-after=samples%2Fcontent%2F{hash}");
    world.scene.spoil_bucket(&target, fault, times);
}

impl World {
    fn in_lane(&self) -> Vec<String> {
        let lane = self
            .streams
            .iter()
            .filter(|key| key.starts_with("samples/content/7"));
        lane.cloned().collect()
    }
}

#[test]
fn a_listing_that_fails_on_its_third_page_is_repeated_or_stops_the_restore() {
    let rows = FAULTS.iter().flat_map(|(name, fault)| {
        let events = Row::new(format!("third page of events: {name}"), |world, times| {
            third_page_of_events(world, *fault, times);
        });
        let streams = Row::new(format!("third page of streams: {name}"), |world, times| {
            third_page_of_streams(world, *fault, times);
        });
        [events.passes().stops(), streams.passes().stops()]
    });
    run(rows.collect());
}
