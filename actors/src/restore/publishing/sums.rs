//! The figures of a bundle say how many events it has, whatever settling accounts for.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::ports::archive::Archive as _;
use crate::restore::bundle::fetch;
use crate::restore::in_time_order::ListedBundle;
use crate::restore::selection::Window;
use crate::restore::standing::Standing;
use crate::restore::test_ports::feed_ports;
use crate::testkit::conformance::target as bulks;
use crate::testkit::{FakeArchive, FakeTarget, MemoryRestoreState};

#[actix_rt::test]
async fn a_settling_that_falls_short_shows_in_the_sums() {
    let (archive, feed) = (FakeArchive::new(), bulks::feed());
    let key = format!("{feed}/2025-07-30T06:02:59Z-4-d");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&bulks::bulk(&["a", "b", "c", "d"])).unwrap();
    archive.plant(Store::Events, &key, gzip.finish().unwrap(), Timestamp::default());
    let mut listed = archive.list(Store::Events, &key, None).await.unwrap();
    let listed = ListedBundle::new(key.parse().unwrap(), listed.objects.swap_remove(0));
    let standing = Standing::new([], [(feed.clone(), EventFigures::default())]);
    let (target, state) = (FakeTarget::new(), MemoryRestoreState::new());
    let ports = feed_ports(&archive, &target, &standing, &state).await;
    let spool = (&*ports.spool, &ports.memory);
    let bundle = fetch(&archive, &listed, Window::default(), spool).await.unwrap();
    let publishing = Publishing {
        ports: &ports,
        bundle: &bundle,
        keeps: None,
    };
    for (settled, is_sound) in [(4, true), (3, false), (5, false)] {
        let mut settling = Settling::new(Some(0..settled));
        let answer = Answer::Took {
            ok: settled,
            refused: Vec::new(),
        };
        settling.take(answer).unwrap();
        let figures = publishing.figures(settling.settled()).await.unwrap();
        assert_eq!((figures.events, figures.accepted), (4, settled));
        standing.feed(&feed, |standing| standing.figures = figures);
        assert_eq!(
            standing.progress().unsound().is_empty(),
            is_sound,
            "{settled} of 4"
        );
    }
}
