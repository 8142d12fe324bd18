//! `azul-backup suspect-pulls`, the log and the statistics.

use sandbox::dispatcher::{Call, Fault};

use crate::command::{objects, printed};
use crate::scene::{Scene, wait_for};

#[test]
fn suspect_pulls_are_told_with_feed_and_span_and_what_they_mean() {
    let scene = Scene::new(&["samples"]).set("BK__RETRY_AVERAGE_DELAY_MS", 20);
    let local = scene.folder.path().join("local");
    scene.dispatcher.order_fault(Call::Pull, Fault::Status(500), 3);
    let mut program = scene.start();
    let pulls = || -> u64 {
        let rows = objects(&local, &["suspect-pulls", "--json"]);
        rows.iter().map(|row| row["pulls"].as_u64().unwrap()).sum()
    };
    wait_for("it is served", &mut program, || {
        local.join("backup/socket/backup.sock").exists()
    });
    wait_for("three pulls are suspect", &mut program, || pulls() == 3);
    let while_it_runs = printed(&local, &["suspect-pulls"], 0);
    let (code, log) = program.stop();
    assert_eq!(code, Some(0));

    let rows = objects(&local, &["suspect-pulls", "--json"]);
    for row in &rows {
        let feed = row["feed"].as_str().unwrap();
        assert!(row["since"].as_str() <= row["until"].as_str(), "{row}");
        assert!(row["reason"].as_str().unwrap().contains("500"), "{row}");
        assert!(
            log.contains(&format!("suspect pull of feed {feed}, from ")),
            "{log}"
        );
        assert!(while_it_runs.contains(feed), "{while_it_runs}");
    }
    let text = printed(&local, &["suspect-pulls"], 0);
    assert_eq!(text, while_it_runs);
    assert!(text.contains("3 suspect pulls of "), "{text}");
    assert!(text.contains("Nothing heals this by itself yet"), "{text}");
    assert!(log.contains("suspect pulls, over all starts: "), "{log}");
    assert!(log.contains("azul-backup suspect-pulls"), "{log}");
}

#[test]
fn none_is_said() {
    let scene = Scene::new(&["samples"]);
    let root = scene.folder.path().join("local/backup");
    drop(azul_backup::adapters::state::SledState::open(&root).unwrap());
    let local = scene.folder.path().join("local");
    assert_eq!(printed(&local, &["suspect-pulls"], 0), "No pull is suspect.\n");
    assert_eq!(printed(&local, &["suspect-pulls", "--json"], 0), "");
}
