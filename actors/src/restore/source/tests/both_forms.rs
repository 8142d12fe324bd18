//! Streams that lie there plain and encrypted.

use super::*;

#[actix_rt::test]
async fn a_stream_that_lies_there_in_both_forms_is_sent_and_counted_once() {
    for prefer in [Form::Plain, Form::Encrypted] {
        let mut scene = Scene::new().await;
        scene.ports.prefer = prefer;
        let mut keys = scene.plant("content", 9);
        for key in &keys {
            scene.archive.plant(Store::Streams, encrypted(key), "x", NOW);
        }
        // Pages end between them and elsewhere.
        scene.archive.set_page(3);
        scene.restore().await.unwrap();
        if prefer == Form::Encrypted {
            keys.iter_mut().for_each(|key| *key = encrypted(key));
        }
        keys.sort();
        let mut jobs = scene.workers.jobs();
        jobs.sort();
        assert_eq!(jobs, keys);
        scene.restore().await.unwrap();
        scene.go_through(last(NOW)).await.unwrap();
        let told = scene.ports.standing.progress().all_streams();
        assert_eq!(
            (
                scene.workers.jobs().len(),
                scene.figures().restored,
                told.restored
            ),
            (0, 9, 9)
        );
    }
}

#[actix_rt::test]
async fn what_one_form_does_not_give_back_the_other_does() {
    let scene = Scene::new().await;
    let keys = scene.plant("content", 4);
    for key in &keys {
        scene.archive.plant(Store::Streams, encrypted(key), "x", NOW);
    }
    let corrupt = |key: &str| Restored::Dead(Fault::corrupt("restore stream", key, "no gzip"));
    scene.workers.will(&keys[0], corrupt(&keys[0]));
    scene.workers.will(&keys[1], Restored::Gone);
    scene.workers.will(&keys[2], failed(&keys[2]));
    scene.restore().await.unwrap();
    let jobs = scene.workers.jobs();
    for (key, is_sent) in [
        (&keys[0], true),
        (&keys[1], true),
        (&keys[2], true),
        (&keys[3], false),
    ] {
        assert_eq!(jobs.contains(&encrypted(key)), is_sent, "{jobs:?}");
    }
    let figures = scene.figures();
    assert_eq!((figures.restored, figures.gone, figures.dead), (4, 0, 0));
    assert!(scene.dead().is_empty(), "{:?}", scene.dead());
}

#[actix_rt::test]
async fn what_neither_form_gives_back_is_one_dead_letter_and_a_form_that_comes_later_is_tried() {
    let scene = Scene::new().await;
    let keys = scene.plant("content", 2);
    let corrupt = |key: &str| Restored::Dead(Fault::corrupt("restore stream", key, "no gzip"));
    scene.archive.plant(Store::Streams, encrypted(&keys[0]), "x", NOW);
    scene.workers.will(&keys[0], corrupt(&keys[0]));
    scene.workers.will(&encrypted(&keys[0]), Restored::Gone);
    scene.workers.will(&keys[1], corrupt(&keys[1]));
    scene.restore().await.unwrap();
    let mut expected = keys.clone();
    expected.sort();
    assert_eq!((scene.dead(), scene.figures().dead), (expected, 2));
    let (letter, _) = &scene.state.letters()[0];
    assert!(letter.reason.contains("no gzip"), "{}", letter.reason);
    scene.workers.jobs();
    scene.archive.plant(Store::Streams, encrypted(&keys[1]), "x", NOW);
    scene.go_through(last(NOW)).await.unwrap();
    assert_eq!(scene.workers.jobs(), [keys[1].clone(), encrypted(&keys[1])]);
    assert_eq!(
        (scene.figures().restored, scene.figures().dead),
        (1, 2),
        "what was told stays told"
    );
}
