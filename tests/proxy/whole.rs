//! A backup and a restore whose servers are behind a proxy, and those that are not.

use std::sync::Arc;

use sandbox::generator::{Shape, World};

use crate::behind::{
    AUTHORIZATION, BUCKET, CREDENTIALS, DISPATCHER, asked_for, behind, proxy, tells_no_credentials,
};
use crate::program;
use crate::scene::{Scene, events_of, wait_for};

fn is_complete(scene: &Scene, world: &World, events: u64) -> bool {
    scene.events_in_bundles() == events && scene.streams().len() == world.binaries().count()
}

/// Runs a backup until all is in the bucket; returns its log.
fn backed_up(scene: &Scene, world: &Arc<World>) -> String {
    let mut backup = scene.start();
    wait_for("all is in the bucket", &mut backup, || {
        is_complete(scene, world, events_of(world))
    });
    let (code, log) = backup.stop();
    assert_eq!(code, Some(0), "{log}");
    log
}

#[test]
fn a_backup_and_a_restore_go_through_it_and_it_is_told_who_asks() {
    let world = World::new(Shape::new(71, 1, 100)).unwrap();
    let scene = Scene::new(&["samples"])
        .set("BK__EVENT_BATCH_SIZE", 20)
        .set("BED__LOG_LEVEL", "TRACE");
    let proxy = proxy(&scene);
    proxy.want(AUTHORIZATION);
    let with = format!("http://{CREDENTIALS}@{}", proxy.address());
    let scene = behind(scene, &proxy).set("HTTP_PROXY", with);
    scene.dispatcher.fill(&world, true);

    let log = backed_up(&scene, &world);

    for server in [format!("http://{DISPATCHER}"), format!("http://{BUCKET}")] {
        let told = format!(
            "{server} is spoken to through the proxy http://{} (HTTP_PROXY, with user",
            proxy.address()
        );
        assert_eq!(log.matches(&told).count(), 1, "{told}\n{log}");
    }
    let of_backup = proxy.asked();
    assert!(asked_for(&of_backup, DISPATCHER, "CONNECT", DISPATCHER) > 0);
    assert!(asked_for(&of_backup, BUCKET, "GET", &format!("http://{BUCKET}/")) > 0);

    let told = scene.folder.path().join("restored");
    let local = scene.folder.path().join("local/restore");
    let ended = program::run(&scene.settings, &["restore", "--json"], &told, &local).is(0);

    assert_eq!(ended.events()[0], events_of(&world));
    let streams = world.binaries().count() as u64;
    assert_eq!(ended.streams()[..2].iter().sum::<u64>(), streams);
    let asked = proxy.asked();
    assert!(asked_for(&asked[of_backup.len()..], DISPATCHER, "CONNECT", DISPATCHER) > 0);
    assert!(
        asked_for(
            &asked[of_backup.len()..],
            BUCKET,
            "GET",
            &format!("http://{BUCKET}/")
        ) > 0
    );
    assert!(
        asked
            .iter()
            .all(|asked| asked.authorization.as_deref() == Some(AUTHORIZATION))
    );
    tells_no_credentials(&[log, ended.log, ended.told.to_string()]);
}

#[test]
fn this_machine_is_spoken_to_without_it() {
    let world = World::new(Shape::new(72, 1, 30)).unwrap();
    let scene = Scene::new(&["samples"]).set("BK__EVENT_BATCH_SIZE", 20);
    let proxy = proxy(&scene);
    let scene = scene
        .set("HTTP_PROXY", proxy.address())
        .set("HTTPS_PROXY", proxy.address());
    scene.dispatcher.fill(&world, true);
    let log = backed_up(&scene, &world);
    assert!(!log.contains("through the proxy"), "{log}");
    assert_eq!(proxy.asked(), []);
}
