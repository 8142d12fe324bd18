//! When all is well, and what must not change by looking.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::run::{Terms, ready_scene, text};
use crate::scene::{Scene, wait_for};

/// Every file below a folder, with its content.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => drop(files.insert(path.clone(), std::fs::read(path).unwrap())),
            }
        }
    }
    files
}

/// The objects of both buckets; beside them the server keeps what it notes for itself.
fn objects_of(scene: &Scene) -> BTreeMap<PathBuf, Vec<u8>> {
    let root = &scene.s3.config().root;
    let mut objects = contents(&root.join("azul-backup-1-events"));
    objects.extend(contents(&root.join("azul-backup-1-streams")));
    objects
}

fn bundle(scene: &Scene) -> PathBuf {
    scene.s3.object_path(
        "azul-backup-1-events",
        "samples/binary/mapped/2026-01-01T00:00:00Z-1-one",
    )
}

#[test]
fn a_backup_that_can_begin_passes_and_nothing_has_changed() {
    let scene = ready_scene();
    std::fs::create_dir_all(bundle(&scene).parent().unwrap()).unwrap();
    std::fs::write(bundle(&scene), "kept as it is").unwrap();
    let local = scene.folder.path().join("local");
    std::fs::create_dir(&local).unwrap();
    let (objects, state) = (objects_of(&scene), contents(&local));

    let checks = Terms::of(&scene).checks(&[]);

    assert_eq!(checks.code, Some(0), "{}", checks.shown());
    for (check, count) in [
        ("settings", 1),
        ("dns", 1),
        ("connection", 2),
        ("credentials", 1),
        ("region", 1),
        ("bucket", 2),
        ("read", 2),
        ("write", 2),
        ("dispatcher", 1),
        ("feeds", 3),
    ] {
        assert_eq!(
            checks.results(check),
            vec!["passed"; count],
            "{check}: {}",
            checks.shown()
        );
    }
    assert_eq!(checks.results("local state").len(), 1);
    checks.says("dns", "passed", &["nothing to resolve"]);
    let told = checks.shown();
    for words in [
        "there are events, of model version 6",
        "it says `Azul Dispatcher`",
        "it was written, found and deleted",
        "it may be listed: 1 objects",
        "it may be listed, and is empty",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert_eq!(objects_of(&scene), objects, "the bucket has changed");
    assert_eq!(contents(&local), state, "local state has changed");
}

#[test]
fn no_event_is_taken_from_a_backup() {
    let scene = ready_scene();
    for _ in 0..2 {
        let checks = Terms::of(&scene).checks(&[]);
        assert_eq!(checks.code, Some(0), "{}", checks.shown());
        let told = checks.shown();
        assert!(
            told.contains("there are events"),
            "each run begins at the oldest event: {told}"
        );
    }
    let arrivals = scene.dispatcher.shared().arrivals();
    let pulls: Vec<_> = arrivals
        .iter()
        .filter(|seen| seen.path.ends_with("/passive"))
        .collect();
    assert!(pulls.len() >= 6, "{pulls:?}");
    let mut names = std::collections::BTreeSet::new();
    for pull in pulls {
        assert!(!pull.query.contains("name=backup-events-"), "{pull:?}");
        assert!(!pull.query.contains("deployment_key"), "{pull:?}");
        assert!(!pull.query.contains("deadline=0"), "{pull:?}");
        let name = pull
            .query
            .split('&')
            .find(|pair| pair.starts_with("name="))
            .unwrap();
        assert!(name.starts_with("name=backup-preflight-"), "{name}");
        names.insert(name.to_owned());
    }
    assert_eq!(names.len(), 6, "one of each source and run: {names:?}");
    let given = scene.dispatcher.given("backup-events-samples-mapped-1");
    assert_eq!(given, sandbox::dispatcher::Given::default());
    let posted = scene.dispatcher.shared().arrivals();
    assert!(posted.iter().all(|seen| seen.method == "GET"), "{posted:?}");
}

#[test]
fn people_read_a_text_and_the_mode_is_what_was_asked_for() {
    let scene = ready_scene();
    let terms = Terms::of(&scene);
    let output = terms.output(&["preflight"]);
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}");
    assert!(
        out.starts_with("✓ passed     settings     read the settings for a backup\n"),
        "{out}"
    );
    let endpoint = scene.s3.endpoint();
    assert!(
        out.contains(&format!(
            "✓ passed     connection   connect to {endpoint}\n                          TCP to {endpoint}; plain HTTP"
        )),
        "{out}"
    );
    assert!(out.trim_end().ends_with("not tried."), "{out}");

    for (arguments, variable) in [
        (&["preflight", "--mode", "restore"][..], None),
        (&["--mode", "restore", "preflight"], None),
        (&["preflight"], Some("restore")),
        (&["preflight", "--mode", "restore"], Some("backup")),
    ] {
        let terms = match variable {
            Some(mode) => Terms::of(&scene).with("BK__MODE", mode),
            None => Terms::of(&scene),
        };
        let out = text(&terms.output(arguments).stdout);
        assert!(
            out.contains("read the settings for a restore"),
            "{arguments:?} {variable:?}: {out}"
        );
    }
    let both = terms.output(&["--mode", "backup", "preflight", "--mode", "restore"]);
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn bad_settings_are_told_all_at_once_and_nothing_is_tried() {
    let scene = ready_scene();
    let terms = Terms::of(&scene)
        .with("BK__EVENT_BATCH_SIZE", "none")
        .with("BK__EXTERNAL_BACKUP__REGION", "a region")
        .with("BK__MODE", "both");
    let output = terms.output(&["preflight", "--json"]);
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{err}");
    for variable in ["BK__EVENT_BATCH_SIZE", "BK__EXTERNAL_BACKUP__REGION", "BK__MODE"] {
        assert!(err.contains(&format!("{variable}: `")), "{err}");
    }
    assert!(output.stdout.is_empty());
    assert!(scene.dispatcher.shared().arrivals().is_empty());
}

#[test]
fn a_restore_is_told_what_there_is_and_writes_nothing() {
    let scene = ready_scene();
    let terms = Terms::of(&scene);
    let checks = terms.checks(&["--mode", "restore"]);
    assert_eq!(checks.code, Some(1));
    assert_eq!(checks.results("read"), ["failed", "failed"], "{}", checks.shown());
    checks.show("--allow-empty");

    let stream = format!("samples/content/{}", "ab".repeat(32));
    let stream = scene.s3.object_path("azul-backup-1-streams", &stream);
    for path in [stream, bundle(&scene)] {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "content").unwrap();
    }
    let objects = objects_of(&scene);
    let terms = terms.with("BK__SOURCES", "sources: {samples: {}, other: {}}");
    let checks = terms.checks(&["--mode", "restore"]);
    assert_eq!(checks.code, Some(0), "{}", checks.shown());
    assert_eq!(checks.results("read"), ["warning", "warning"]);
    checks.show("1 objects, and read; none of other");
    assert_eq!(checks.results("write"), ["not tried", "not tried"]);
    checks.says("feeds", "not tried", &["they would stay in Azul"]);
    assert_eq!(objects_of(&scene), objects);
    let arrivals = scene.dispatcher.shared().arrivals();
    assert!(arrivals.iter().all(|seen| seen.path == "/"), "{arrivals:?}");
}

#[test]
fn a_process_that_works_on_local_state_is_told_and_not_disturbed() {
    let scene = ready_scene();
    let mut backup = scene.start();
    let socket = scene.folder.path().join("local/backup/socket/backup.sock");
    wait_for("the socket", &mut backup, || socket.exists());
    let checks = Terms::of(&scene).checks(&[]);
    assert_eq!(checks.code, Some(0), "{}", checks.shown());
    let local = checks
        .rows
        .iter()
        .find(|row| row["check"] == "local state")
        .unwrap();
    assert!(
        local["found"].as_str().unwrap().contains("a backup runs on it"),
        "{local}"
    );
    // The system tells it too, of one that does not answer.
    std::fs::remove_file(&socket).unwrap();
    let checks = Terms::of(&scene).checks(&[]);
    let local = checks
        .rows
        .iter()
        .find(|row| row["check"] == "local state")
        .unwrap();
    assert!(
        local["found"]
            .as_str()
            .unwrap()
            .contains("a process works on it (start 1"),
        "{local}"
    );
    assert_eq!(backup.stop().0, Some(0));
}

#[test]
fn local_state_that_cannot_be_kept_is_told() {
    let scene = ready_scene();
    let file = scene.folder.path().join("a file");
    std::fs::write(&file, "").unwrap();
    let checks = Terms::of(&scene)
        .with("BK__LOCAL_DATA__ROOTDIR", file.display())
        .checks(&[]);
    checks.fails_only("local state", &["is not a folder", "BK__LOCAL_DATA__ROOTDIR"]);
    let checks = Terms::of(&scene)
        .with("BK__JOURNAL_MAX_BYTES", "900TiB")
        .checks(&[]);
    checks.says(
        "local state",
        "warning",
        &["enlarge the volume, or lower BK__JOURNAL_MAX_BYTES"],
    );
    assert_eq!(checks.code, Some(0));
    assert!(
        !scene.folder.path().join("local").exists(),
        "a look makes no folder"
    );
}
