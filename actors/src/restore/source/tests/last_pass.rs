//! What the last pass looks at, and what it counts.

use super::*;

#[actix_rt::test]
async fn the_last_pass_looks_at_what_is_new_wherever_it_sorts() {
    let scene = Scene::new().await;
    scene.plant("content", 5);
    scene.restore().await.unwrap();
    scene.workers.jobs();
    let late = format!("samples/content/{}", "0".repeat(64));
    let since = NOW.after(Duration::from_secs(60));
    scene.archive.plant(Store::Streams, late.clone(), "x", since);
    scene.restore().await.unwrap();
    assert!(scene.workers.jobs().is_empty(), "it lies behind the mark");
    scene.go_through(last(since)).await.unwrap();
    assert_eq!(scene.workers.jobs(), [late]);
}

/// Before the restore, by whatever clock.
const BEFORE: Timestamp = Timestamp::from_micros(900_000_000_000_000);

#[actix_rt::test]
async fn the_last_pass_skips_nothing_that_is_new_though_it_is_dated_to_long_before_the_restore() {
    // As a replica dates what it catches up with, or a bucket whose clock is days behind.
    for (page, count) in [(1000, 20), (3, 20), (7, 300)] {
        let scene = Scene::new().await;
        scene.archive.set_page(page);
        let key = |label: &str, number: u32| {
            format!(
                "samples/{label}/{}",
                Sha256::of(&[&b"late"[..], &number.to_be_bytes()].concat())
            )
        };
        for number in 0..count {
            scene
                .archive
                .plant(Store::Streams, key("content", number), "x", BEFORE);
        }
        scene.restore().await.unwrap();
        scene.workers.jobs();
        // Another one is gone meanwhile, so that there are as many as before.
        scene.archive.lose(Store::Streams, &key("content", 0));
        let late = [key("content", 10_001), key("text", 1)];
        for key in &late {
            scene.archive.plant(Store::Streams, key.clone(), "x", BEFORE);
        }
        scene.go_through(last(NOW)).await.unwrap();
        let mut jobs = scene.workers.jobs();
        jobs.sort();
        assert_eq!(jobs, late);
        assert_eq!(scene.figures().restored, u64::from(count) + 2);
    }
}

#[actix_rt::test]
async fn the_last_pass_asks_for_nothing_where_nothing_has_changed() {
    for names in [false, true] {
        let scene = Scene::new().await;
        let keys = scene.plant("content", 30);
        for key in &keys {
            scene.archive.plant(Store::Streams, key.clone(), "x", BEFORE);
        }
        scene
            .archive
            .plant(Store::Streams, encrypted(&keys[3]), "x", BEFORE);
        scene
            .archive
            .plant(Store::Streams, "samples/content/README", "x", BEFORE);
        scene.archive.set_page(2);
        let which = match names {
            true => WhichStreams::Named(named(&keys)),
            false => WhichStreams::Labels {
                labels: Vec::new(),
                hashes: Hashes::default(),
            },
        };
        // The first pass in two starts.
        scene.workers.0.lock().unwrap().outage_after = Some(11);
        let halted = restore_source(&scene.ports, &source(), which.clone(), FIRST).await;
        assert!(halted.is_err());
        scene.workers.0.lock().unwrap().outage_after = None;
        restore_source(&scene.ports, &source(), which.clone(), FIRST)
            .await
            .unwrap();
        let asked = scene.workers.asked();
        let last = last(NOW);
        restore_source(&scene.ports, &source(), which, last)
            .await
            .unwrap();
        assert_eq!(scene.workers.asked(), asked);
    }
}

#[actix_rt::test]
async fn what_was_gone_when_its_turn_came_and_is_there_again_is_restored_whatever_its_date() {
    let scene = Scene::new().await;
    let keys = scene.plant("content", 5);
    for key in &keys {
        scene.archive.plant(Store::Streams, key.clone(), "x", BEFORE);
    }
    scene.workers.loses(&scene.archive, &keys[2]);
    scene.restore().await.unwrap();
    scene.workers.0.lock().unwrap().ages_off = None;
    scene.archive.plant(Store::Streams, keys[2].clone(), "x", BEFORE);
    scene.workers.jobs();
    scene.go_through(last(NOW)).await.unwrap();
    assert_eq!(scene.workers.jobs(), [keys[2].clone()]);
}

#[actix_rt::test]
async fn what_has_been_counted_is_not_counted_again_by_the_last_pass_nor_by_another_start() {
    let mut scene = Scene::new().await;
    let keys = scene.plant("content", 5);
    let corrupt = Fault::corrupt("restore stream", &keys[1], "no gzip");
    scene.workers.will(&keys[1], Restored::Dead(corrupt));
    for stray in ["samples/content/README", "samples/README"] {
        scene.archive.plant(Store::Streams, stray.to_owned(), "x", NOW);
    }
    scene.restore().await.unwrap();
    let expected = StreamFigures {
        restored: 4,
        dead: 3,
        bytes: 7,
        ..StreamFigures::default()
    };
    for _ in 0..2 {
        scene.go_through(last(NOW)).await.unwrap();
        assert_eq!(scene.figures(), expected);
        assert_eq!(scene.ports.standing.progress().all_streams(), expected);
        assert_eq!(scene.dead().len(), 3);
        scene.ports.standing = Standing::new([(source(), scene.figures())], []);
        scene.restore().await.unwrap();
    }
}

#[actix_rt::test]
async fn what_a_last_pass_restores_is_counted_once_though_it_dies_before_it_counts() {
    let scene = Scene::new().await;
    scene.plant("content", 2);
    scene.restore().await.unwrap();
    let key = |digit: &str| format!("samples/content/{}", digit.repeat(64));
    for digit in ["0", "1"] {
        scene.archive.plant(Store::Streams, key(digit), "x", NOW);
    }
    // One of the two had been sent when the start before this one died.
    scene.state.record(told::expected(&key("0"))).await.unwrap();
    scene.workers.0.lock().unwrap().has.insert(key("0"));
    for _ in 0..2 {
        scene.go_through(last(NOW)).await.unwrap();
        assert_eq!(scene.figures().restored, 4);
        assert_eq!(scene.ports.standing.progress().all_streams().restored, 4);
    }
    assert_eq!(
        scene
            .workers
            .jobs()
            .iter()
            .filter(|sent| **sent == key("1"))
            .count(),
        1
    );
}

#[actix_rt::test]
async fn a_last_pass_over_what_is_there_moves_with_every_page_and_every_object() {
    let mut moves = Vec::new();
    // All of it was written before the restore; all of it while it ran.
    for since in [NOW.after(Duration::from_secs(60)), NOW] {
        let scene = Scene::new().await;
        scene.archive.set_page(7);
        scene.plant("content", 60);
        let first = Pass::First {
            ask_first: false,
            since,
        };
        scene.go_through(first).await.unwrap();
        let looked_at = || scene.ports.standing.progress().looked_at;
        let before = looked_at();
        scene.go_through(last(since)).await.unwrap();
        moves.push(looked_at() - before);
        assert_eq!(scene.figures().restored, 60);
    }
    let pages = moves[0];
    assert!(
        pages >= 60 / 7,
        "{pages}: nothing is new, and all of it was listed"
    );
    assert_eq!(moves[1], pages + 60, "the dispatcher has all of them");
}
