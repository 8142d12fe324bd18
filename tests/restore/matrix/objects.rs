//! Objects that cannot be read, or are not what they should be.

use sandbox::proxy::{Fault, Reply, Spot};
use sandbox::s3::{Failure, Operation};

use super::{Lost, Outcome, Row, World, loses, run};
use crate::bucket::{AES_KEY, EVENTS, STREAMS, gzip, sealed};

/// One object of the small backup.
#[derive(Clone, Copy, Debug)]
enum Which {
    FirstStream,
    LastStream,
    LargeStream,
    FirstBundle,
    LastBundle,
}

const ALL: [Which; 5] = [
    Which::FirstStream,
    Which::LastStream,
    Which::LargeStream,
    Which::FirstBundle,
    Which::LastBundle,
];

impl Which {
    fn key(self, world: &World) -> String {
        match self {
            Self::FirstStream => world.first().to_owned(),
            Self::LastStream => world.last().to_owned(),
            Self::LargeStream => {
                let mut keys = world.streams.iter();
                keys.find(|key| key.starts_with(&world.large)).unwrap().clone()
            }
            Self::FirstBundle => world.bundles[0].0.clone(),
            Self::LastBundle => world.bundles[2].0.clone(),
        }
    }

    fn bucket(self) -> &'static str {
        match self {
            Self::FirstBundle | Self::LastBundle => EVENTS,
            _ => STREAMS,
        }
    }

    /// What only the request for the object holds.
    fn target(self, world: &World) -> String {
        let key = self.key(world);
        match self {
            Self::FirstBundle | Self::LastBundle => format!("-4-{}", &key[key.len() - 32..]),
            _ => key,
        }
    }

    /// What only the request for the object holds, and no listing of it.
    fn path(self, world: &World) -> String {
        let key = self.key(world).replace(':', "%3A");
        key.split('/').skip(1).collect::<Vec<_>>().join("/")
    }

    fn lost(self, reason: &'static str) -> impl Fn(&World) -> Outcome {
        move |world| loses(vec![Lost::Object(self.key(world))], reason)
    }

    fn write(self, world: &World, bytes: &[u8]) {
        world.scene.put(self.bucket(), &self.key(world), bytes);
    }

    fn content(self, world: &World) -> Vec<u8> {
        std::fs::read(world.scene.object_path(self.bucket(), &self.key(world))).unwrap()
    }

    /// The object under a key that says it is encrypted.
    fn rename(self, world: &mut World, bytes: &[u8]) {
        let key = self.key(world);
        std::fs::remove_file(world.scene.object_path(self.bucket(), &key)).unwrap();
        let renamed = format!("{key}.aesc1");
        world.scene.put(self.bucket(), &renamed, bytes);
        let streams = world.streams.iter_mut();
        let bundles = world.bundles.iter_mut().map(|(key, _)| key);
        streams
            .chain(bundles)
            .filter(|known| **known == key)
            .for_each(|known| known.clone_from(&renamed));
    }
}

fn spoiled(which: Which, name: &str, fault: Fault) -> Row {
    Row::new(format!("{which:?}: {name}"), move |world, times| {
        world.scene.spoil_bucket(&which.target(world), fault, times);
    })
}

fn written(which: Which, name: &str, bytes: Vec<u8>) -> Row {
    Row::new(format!("{which:?}: {name}"), move |world, _| {
        which.write(world, &bytes)
    })
}

#[test]
fn damage_on_the_way_is_read_again_and_damage_in_the_bucket_is_a_dead_letter() {
    let mut rows = Vec::new();
    for which in ALL {
        rows.extend([
            spoiled(which, "GET cut short of its length", Fault::CutByLength).passes(),
            spoiled(which, "GET cut, with a length that agrees", Fault::CutShorter)
                .passes()
                .ever(which.lost("gzip")),
            spoiled(which, "GET with one bit flipped", Fault::Flip(Spot::Middle))
                .passes()
                .ever(which.lost("")),
        ]);
    }
    for which in [Which::FirstStream, Which::LastBundle] {
        rows.extend([
            written(which, "not gzip", b"no gzip at all".to_vec()).ever(which.lost("not the gzip")),
            written(which, "empty object", Vec::new()).ever(which.lost("")),
            written(which, "other content", gzip(b"something else")).ever(which.lost("")),
        ]);
    }
    run(rows);
}

#[test]
fn what_the_bucket_lists_and_does_not_give_is_a_dead_letter_and_never_passed_over() {
    let each = ALL.into_iter().map(|which| {
        let row = Row::new(format!("{which:?}: GET 404"), move |world, times| {
            let fault = Fault::Answer(Reply::NoSuchKey);
            world.scene.spoil_bucket(&which.path(world), fault, times);
        });
        row.passes().ever(which.lost("NoSuchKey"))
    });
    let every = |name: &str, bucket: &'static str, lost: fn(&World) -> Vec<Lost>| {
        let row = Row::new(name, move |world, times| {
            let target = format!("/{bucket}/samples/");
            world
                .scene
                .spoil_bucket(&target, Fault::Answer(Reply::NoSuchKey), times);
        });
        row.ever(move |world| loses(lost(world), "NoSuchKey"))
    };
    let streams = |world: &World| world.streams.iter().cloned().map(Lost::Object).collect();
    let bundles = |world: &World| {
        let keys = world.bundles.iter().map(|(key, _)| key.clone());
        keys.map(Lost::Object).collect()
    };
    let all = [
        every("every GET of a stream 404", STREAMS, streams),
        every("every GET of a bundle 404", EVENTS, bundles),
    ];
    run(each.chain(all).collect());
}

#[test]
fn one_object_that_cannot_be_read_does_not_stop_the_others() {
    let mut rows = Vec::new();
    for which in ALL {
        rows.push(
            spoiled(which, "GET 403", Fault::Answer(Reply::Xml(403)))
                .passes()
                .ever(which.lost("AccessDenied")),
        );
        let no_key = Row::new(format!("{which:?}: encrypted, and no key"), move |world, _| {
            let content = which.content(world);
            which.rename(world, &sealed(&content));
        });
        rows.push(no_key.ever(which.lost("there is no key")));
        let pretends = Row::new(
            format!("{which:?}: not encrypted although it says so"),
            move |world, _| {
                let content = which.content(world);
                which.rename(world, &content);
            },
        );
        rows.push(with_key(pretends).ever(which.lost("not the gzip")));
        let encrypted = Row::new(format!("{which:?}: encrypted"), move |world, _| {
            let content = which.content(world);
            which.rename(world, &sealed(&content));
        });
        rows.push(with_key(encrypted).ever(|_| Outcome::Complete));
    }
    run(rows);
}

fn with_key(row: Row) -> Row {
    row.set("BK__EXTERNAL_BACKUP__AES_STATE", "readonly")
        .set("BK__EXTERNAL_BACKUP__AES_KEY", AES_KEY)
}

#[test]
fn a_bucket_of_which_nothing_can_be_read_stops_the_restore() {
    let failing = |name: &str, failure| {
        Row::new(name, move |world: &mut World, times| {
            world
                .scene
                .s3
                .knobs()
                .fail_next(Operation::GetObject, times, failure);
        })
    };
    run(vec![
        failing("every GET 503", Failure::Status(503)).passes().stops(),
        failing("every GET 500", Failure::Status(500)).passes().stops(),
        failing("every GET 403", Failure::Status(403)).passes().stops(),
        failing("every GET hangs", Failure::Hang)
            .set("FAULT_POINTS_HURRY", "40")
            .passes()
            .stops(),
    ]);
}
