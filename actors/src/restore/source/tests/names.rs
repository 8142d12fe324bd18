//! Streams that are asked for by name.

use super::*;

#[actix_rt::test]
async fn a_hash_is_found_without_a_full_listing() {
    let scene = Scene::new().await;
    scene.archive.set_page(10);
    let keys = scene.plant("content", 500);
    scene.plant("text", 2);
    let wanted: StreamId = keys[77].parse().unwrap();
    let which = WhichStreams::Labels {
        labels: Vec::new(),
        hashes: Hashes::new(vec![*wanted.sha256()]),
    };
    let pass = FIRST;
    restore_source(&scene.ports, &source(), which, pass)
        .await
        .unwrap();
    assert_eq!(scene.workers.jobs(), [keys[77].clone()]);
    assert_eq!(scene.ports.found.borrow().len(), 1);
    assert!(scene.dead().is_empty(), "it need not be there under every label");
}

#[actix_rt::test]
async fn names_are_looked_up_many_at_once_and_a_start_goes_on_behind_those_that_are_done() {
    let mut scene = Scene::new().await;
    scene.ports.most_out = 8;
    let mut keys = scene.plant("content", 400);
    keys.sort();
    for key in keys.iter().step_by(3) {
        scene.archive.plant(Store::Streams, encrypted(key), "x", NOW);
    }
    scene
        .archive
        .plant(Store::Streams, format!("{}-else", keys[5]), "x", NOW);
    let which = WhichStreams::Named(named(&keys));
    let pass = FIRST;
    let (calls, most) = (scene.archive.calls(), scene.ports.most_out);
    let gate = Gate::new();
    calls.plan(Trouble::hangs(ArchiveCall::List, &gate).times(most as u32));
    scene.workers.0.lock().unwrap().outage_after = Some(300);
    let source = source();
    let side_by_side = async {
        let arrived = tokio::time::timeout(Duration::from_secs(30), gate.arrived(most)).await;
        gate.open();
        arrived.expect("they are looked up side by side");
    };
    let restored = restore_source(&scene.ports, &source, which.clone(), pass);
    let (halted, ()) = tokio::join!(restored, side_by_side);
    assert!(matches!(halted, Err(Halt::Outage(_))), "{halted:?}");
    assert_eq!(calls.most_at_once(ArchiveCall::List), most);
    assert!(calls.count(ArchiveCall::List) <= keys.len());
    let lanes: Vec<LaneName> = scene
        .state
        .lanes("")
        .unwrap()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(lanes, ["samples/ named"], "one mark, however many names");

    scene.workers.0.lock().unwrap().outage_after = None;
    let (listed, sent) = (calls.count(ArchiveCall::List), scene.workers.jobs().len());
    restore_source(&scene.ports, &source, which, pass).await.unwrap();
    assert!(calls.count(ArchiveCall::List) - listed <= keys.len() - 280);
    assert!(sent + scene.workers.jobs().len() <= keys.len() + 2 * most + 3);
    assert_eq!((scene.figures().restored, scene.dead().len()), (400, 0));
}

#[actix_rt::test]
async fn a_key_that_is_asked_for_and_not_there_is_a_dead_letter() {
    let scene = Scene::new().await;
    let keys = scene.plant("content", 2);
    let absent = format!("samples/content/{}", "0".repeat(64));
    let which = WhichStreams::Named(named(&[keys[0].clone(), absent.clone()]));
    let pass = FIRST;
    restore_source(&scene.ports, &source(), which, pass)
        .await
        .unwrap();
    assert_eq!(
        (scene.workers.jobs(), scene.dead()),
        (vec![keys[0].clone()], vec![absent])
    );
}
