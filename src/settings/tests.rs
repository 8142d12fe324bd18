//! The settings from maps of variables: no test touches the environment of its process.

use std::io::Write as _;

use super::*;

/// What a backup cannot do without.
const LEAST: [(&str, &str); 5] = [
    ("BK__DISPATCHER_EVENTS", "http://dispatcher:8111/"),
    ("BK__EXTERNAL_BACKUP__ENDPOINT", "minio:9000"),
    ("BK__EXTERNAL_BACKUP__ACCESS_KEY", "access"),
    ("BK__EXTERNAL_BACKUP__SECRET_KEY", "hunter2"),
    ("BK__SOURCES", "sources: {samples: {}}"),
];

fn environment(more: &[(&str, &str)]) -> Environment {
    LEAST
        .iter()
        .chain(more)
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

fn layers(more: &[(&str, &str)]) -> Layers {
    Layers::read(&environment(more), None)
}

fn read(more: &[(&str, &str)]) -> Result<Settings, SettingFaults> {
    Settings::for_backup(&layers(more))
}

fn faults(more: &[(&str, &str)]) -> String {
    read(more).expect_err("faults").to_string()
}

fn file(name: &str, text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::File::create(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .unwrap();
    (folder, path)
}

#[test]
fn the_least_that_is_set_leaves_the_documented_defaults() {
    let settings = read(&[]).unwrap();
    assert_eq!(settings.dispatcher.events.as_str(), "http://dispatcher:8111");
    assert_eq!(settings.dispatcher.streams, settings.dispatcher.events);
    assert_eq!(settings.bucket.endpoint.as_str(), "http://minio:9000");
    assert_eq!(settings.bucket.secret_key.reveal(), "hunter2");
    assert_eq!(
        (settings.bucket.streams.as_str(), settings.bucket.events.as_str()),
        ("azul-backup-1-streams", "azul-backup-1-events")
    );
    insta::assert_snapshot!(settings.effective);
    let consumers: Vec<_> = settings
        .feeds()
        .iter()
        .map(|feed| settings.consumer(feed))
        .collect();
    assert_eq!(
        consumers,
        [
            "backup-events-samples-sourced-1",
            "backup-events-samples-extracted-1",
            "backup-events-samples-augmented-1",
            "backup-events-samples-mapped-1",
            "backup-events-samples-enriched-1",
            "backup-events-system-insert-1",
            "backup-events-system-delete-1",
        ]
    );
    assert_eq!(settings.stream_consumer(), "backup-streams-events-all-all-1");
}

#[test]
fn every_fault_is_reported_at_once_by_name() {
    let everything = Layers::read(
        &[
            ("BK__DISPATCHER_EVENTS", "http://user:hunter2@dispatcher:8111"),
            ("BK.DISPATCHER_STREAMS", "dispatcher:8111"),
            ("BK__BACKUP_ID", "Number One"),
            ("BK__EXTERNAL_BACKUP__ENDPOINT", "https://me:hunter2@s3/path"),
            ("BK__EXTERNAL_BACKUP__SECURE", "yes"),
            ("BK__EXTERNAL_BACKUP__SECRET_KEY", "hunter 2"),
            ("BK__EXTERNAL_BACKUP__REGION", "us east"),
            ("BK__EVENT_BATCH_SIZE", "0"),
            ("BK__EVENT_BATCH_MAX_AGE", "600"),
            ("BK__EVENT_PULL_DEADLINE", "500ms"),
            ("BK__JOURNAL_MAX_BYTES", "1KiB"),
            ("BK__STAGE_EVENTS", "soon"),
            ("BK__STREAM_ROUTINE_COUNT", "1001"),
            ("BK__STREAM_CHANNEL_SIZE", "many"),
            ("BK__CONSECUTIVE_BACKUP_STREAM_FAILURES", "-1"),
            ("BK__RETRY_COUNT", "0"),
            ("BK__RETRY_AVERAGE_DELAY_MS", "0.5"),
            ("BK__HIT_CACHE_SIZE", "99999999999999999999"),
            ("BK__SOURCES", "samples: {}\nprivate: {}"),
        ]
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect(),
        None,
    );
    let faults = Settings::for_backup(&everything).expect_err("faults").to_string();
    assert!(!faults.contains("hunter"), "{faults}");
    assert_eq!(faults.lines().count(), 20);
    insta::assert_snapshot!(faults);
}

#[test]
fn nothing_set_tells_what_is_needed() {
    let faults = Settings::for_backup(&Layers::default()).expect_err("faults");
    insta::assert_snapshot!(faults);
}

#[test]
fn what_comes_later_is_refused_when_it_is_set() {
    insta::assert_snapshot!(faults(&[
        ("BK__EXTERNAL_BACKUP__BUCKET", "one"),
        ("BK__EXTERNAL_BACKUP__AES_STATE", "readonly"),
        ("BK__EXTERNAL_BACKUP__AES_KEY", "hunter2hunter2hunter2123"),
        ("BK__RECHECK_SHARE", "0.05"),
        ("BK__ENABLE_AUTOMATIC_AGEOFF", "true"),
        ("BK__ENABLE_AUTOMATIC_AGEOFF_CLEANUP", "1"),
    ]));
}

#[test]
fn the_off_values_of_what_comes_later_are_accepted() {
    let settings = read(&[
        ("BK__EXTERNAL_BACKUP__BUCKET", ""),
        ("BK__EXTERNAL_BACKUP__AES_STATE", "disabled"),
        ("BK__RECHECK_SHARE", "0"),
        ("BK__RESTORE_TYPE", "events"),
        ("BK__ENABLE_AUTOMATIC_AGEOFF", "False"),
    ])
    .unwrap();
    assert_eq!(settings.effective.warnings, [""; 0]);
    assert_eq!(settings.effective.notes, [""; 0]);
    assert_eq!(
        read(&[]).unwrap().effective.notes.len(),
        1,
        "the recheck, at its default"
    );
}

#[test]
fn metrics_are_served_at_an_address_or_not_at_all() {
    let listen = |more: &[(&str, &str)]| {
        let address = read(more).unwrap().metrics_listen;
        address.map(|address| address.to_string())
    };
    assert_eq!(listen(&[]).as_deref(), Some("0.0.0.0:8900"));
    for address in ["127.0.0.1:0", "[::]:8900"] {
        assert_eq!(
            listen(&[("BK__METRICS_LISTEN", address)]).as_deref(),
            Some(address)
        );
    }
    for off in ["off", "Off", "OFF"] {
        assert_eq!(listen(&[("BK__METRICS_LISTEN", off)]), None);
    }
    for bad in [
        "8900",
        ":8900",
        "0.0.0.0",
        "localhost:8900",
        "0.0.0.0:99999",
        "http://0.0.0.0:8900",
        "no",
    ] {
        assert_eq!(
            faults(&[("BK__METRICS_LISTEN", bad)]),
            format!(
                "BK__METRICS_LISTEN: `{bad}` is not accepted; accepted: an address and port such as 0.0.0.0:8900, or off"
            )
        );
    }
}

#[test]
fn web_identity_is_refused_unless_there_are_static_keys() {
    let web = ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token");
    assert!(read(&[web]).is_ok());
    let without = [
        web,
        ("BK__EXTERNAL_BACKUP__ACCESS_KEY", ""),
        ("BK__EXTERNAL_BACKUP__SECRET_KEY", ""),
    ];
    insta::assert_snapshot!(faults(&without));
    let half = faults(&[web, ("BK__EXTERNAL_BACKUP__SECRET_KEY", "")]);
    assert_eq!(
        half,
        "BK__EXTERNAL_BACKUP__SECRET_KEY is not set: a text without white space"
    );
}

#[test]
fn both_spellings_work_and_the_one_for_shells_wins() {
    let settings = read(&[
        ("BK.EVENT_BATCH_SIZE", "20"),
        ("BK.STREAM_ROUTINE_COUNT", "3"),
        ("BK__STREAM_ROUTINE_COUNT", "7"),
        ("BK.EXTERNAL_BACKUP.REGION", "garage"),
        ("BK__BACKUP_ID", ""),
        ("BK.BACKUP_ID", "2"),
    ])
    .unwrap();
    assert_eq!(settings.events.batch_size, 20);
    assert_eq!(settings.streams.workers, 7);
    assert_eq!(settings.bucket.region, "garage");
    assert_eq!(settings.backup_id, "2", "an empty value counts as not set");
    assert_eq!(
        settings.effective.warnings,
        ["BK.STREAM_ROUTINE_COUNT is overridden by BK__STREAM_ROUTINE_COUNT"]
    );
}

#[test]
fn a_file_lies_under_the_environment_and_over_the_defaults() {
    let yaml = "event_batch_size: 20\nstream_routine_count: 3\nevent_batch_max_age: 90s\nhit_cache_size:\n\
                external_backup:\n  region: garage\n  secure: true\nsources:\n  Mixed.Case:\n    \
                expire_events_after: 7 days\n  private: {exclude_from_backup: true}\n";
    let toml = "event_batch_size = 20\nstream_routine_count = 3\nevent_batch_max_age = '90s'\nhit_cache_size = ''\n\
                [external_backup]\nregion = 'garage'\nsecure = true\n[sources.'Mixed.Case']\n\
                expire_events_after = '7 days'\n[sources.private]\nexclude_from_backup = true\n";
    for (name, text) in [("settings.yaml", yaml), ("settings.toml", toml)] {
        let (_folder, path) = file(name, text);
        let layers = Layers::read(
            &environment(&[("BK.STREAM_ROUTINE_COUNT", "5"), ("BK__SOURCES", "")]),
            Some(&path),
        );
        let settings = Settings::for_backup(&layers).unwrap();
        assert_eq!((settings.events.batch_size, settings.streams.workers), (20, 5));
        assert_eq!(settings.events.batch_max_age, Duration::from_secs(90));
        assert_eq!(settings.streams.hit_cache_size, 16_000);
        assert_eq!(settings.bucket.endpoint.as_str(), "https://minio:9000");
        assert_eq!(
            settings.sources.to_string(),
            "Mixed.Case (7 days), private (excluded)"
        );
        assert_eq!(settings.feeds().len(), 7);
        assert_eq!(settings.effective.warnings, [""; 0]);
        let region = settings
            .effective
            .rows
            .iter()
            .find(|row| row.variable == "BK__EXTERNAL_BACKUP__REGION")
            .unwrap();
        assert_eq!(
            region.from,
            format!("external_backup.region in {}", path.display())
        );
    }
}

#[test]
fn a_file_of_no_use_is_a_fault_among_the_others() {
    let (folder, path) = file(
        "bad.yaml",
        "event_batch_size: [1, 2]\nexternal_backup: minio\nBACKUP_ID: 2\nevent_pull_deadlin: 1s\n",
    );
    let layers = Layers::read(&environment(&[("BK__RETRY_COUNT", "0")]), Some(&path));
    let place = folder.path().display().to_string();
    let text = format!(
        "{}\n{}",
        Settings::for_backup(&layers).expect_err("faults"),
        layers.warnings.join("\n")
    );
    insta::assert_snapshot!(text.replace(&place, "DIR"));

    for (name, text) in [
        ("broken.yaml", "secret: hunter2: [\n"),
        ("broken.toml", "a = hunter2"),
        ("x.ini", ""),
    ] {
        let (_folder, path) = file(name, text);
        let faults = Settings::for_backup(&Layers::read(&environment(&[]), Some(&path))).expect_err(name);
        assert_eq!(faults.0.len(), 1, "{faults}");
        assert!(
            faults.to_string().starts_with("--config ") && !faults.to_string().contains("hunter2"),
            "{faults}"
        );
    }
    let missing = Layers::read(
        &environment(&[]),
        Some(std::path::Path::new("/nonexistent/settings.yaml")),
    );
    assert!(Settings::for_backup(&missing).is_err());
}

#[test]
fn an_unknown_name_is_a_warning_with_the_nearest_known_one() {
    let settings = read(&[
        ("BK__EVENT_BATCHSIZE", "20"),
        ("BK.EXTERNAL_BACKUP.SECRETKEY", "hunter2"),
        ("BK__EXTERNAL_BACKUP.REGION", "garage"),
        ("BK__COLOUR", "red"),
        ("BKX", "not ours"),
    ])
    .unwrap();
    assert_eq!(
        settings.effective.warnings,
        [
            "BK.EXTERNAL_BACKUP.SECRETKEY is not a known setting; did you mean BK__EXTERNAL_BACKUP__SECRET_KEY?",
            "BK__COLOUR is not a known setting; --help lists them",
            "BK__EVENT_BATCHSIZE is not a known setting; did you mean BK__EVENT_BATCH_SIZE?",
            "BK__EXTERNAL_BACKUP.REGION is not a known setting; did you mean BK__EXTERNAL_BACKUP__REGION?",
        ]
    );
}

#[test]
fn a_stop_that_cannot_be_orderly_is_a_warning() {
    let warnings = |more: &[(&str, &str)]| read(more).unwrap().effective.warnings;
    let just_right = [("BK__EVENT_PULL_DEADLINE", "15s"), ("BK__STAGE_EVENTS", "15s")];
    assert_eq!(warnings(&just_right), [""; 0], "30 s with the grace");
    assert_eq!(warnings(&[("BK__STAGE_EVENTS", "16s")]).len(), 1);
    assert_eq!(
        warnings(&[("BK__EVENT_PULL_DEADLINE", "1m"), ("BK__STAGE_STREAMS", "1m")]),
        [
            "BK__EVENT_PULL_DEADLINE (60s) is longer than BK__STAGE_EVENTS (15s): an orderly stop may cut off a pull, \
             and events may be lost by it; make BK__STAGE_EVENTS the longer one",
            "the four BK__STAGE_… and 2s of grace together take up to 81s, and Kubernetes kills after 30s unless told \
             otherwise: raise terminationGracePeriodSeconds to 81s at least",
        ]
    );
}

#[test]
fn prefix_and_id_have_to_make_names_that_s3_allows() {
    for (prefix, id) in [
        ("-azul-", "1"),
        ("a..b-", "1"),
        ("azul.", "-1"),
        ("p", &"1".repeat(60)),
    ] {
        let faults = faults(&[("BK__BUCKET_NAME_PREFIX", prefix), ("BK__BACKUP_ID", id)]);
        assert!(faults.starts_with("BK__BUCKET_NAME_PREFIX: "), "{faults}");
        assert_eq!(faults.lines().count(), 1, "{faults}");
    }
    let settings = read(&[
        ("BK__BUCKET_NAME_PREFIX", "0a.b-"),
        ("BK__BACKUP_ID", &"1".repeat(50)),
    ])
    .unwrap();
    assert_eq!(settings.bucket.streams.len(), 63);
}

#[test]
fn sources_are_read_from_yaml_and_json_as_azul_writes_them() {
    let yaml = "kind: azul\nsources:\n  samples:\n    description: all\n    references: [{name: a, required: true}]\n    \
                expire_events_after: 2 weeks\n  never: {expire_events_after: 0}\n  empty:\n  months: {expire_events_after: '1 month'}\n  \
                private: {exclude_from_backup: \"true\"}\n";
    let settings = read(&[("BK__SOURCES", yaml)]).unwrap();
    assert_eq!(
        settings.sources.to_string(),
        "empty, months (30 days), never, private (excluded), samples (14 days)"
    );
    assert_eq!(settings.feeds().len(), 4 * 5 + 2);
    let json =
        r#"{"sources": {"a": {"exclude_from_backup": false}, "b": {"expire_events_after": "1 years"}}}"#;
    assert_eq!(
        read(&[("BK__SOURCES", json)]).unwrap().sources.to_string(),
        "a, b (365 days)"
    );
    let none = read(&[("BK__SOURCES", "sources: {}")]).unwrap();
    assert_eq!((none.feeds().len(), none.effective.warnings.len()), (2, 1));
}

#[test]
fn faults_in_sources_name_the_source() {
    insta::assert_snapshot!(faults(&[(
        "BK__SOURCES",
        "sources:\n  system: {}\n  a/b: {}\n  12: {}\n  text: hello\n  slow: {expire_events_after: 7}\n  \
         long: {expire_events_after: 101 years}\n  maybe: {exclude_from_backup: perhaps}\n  fine: {}\n"
    )]));
    for (text, reason) in [
        ("[1]", "there is no map `sources`"),
        ("sources: [a]", "`sources` is not a map"),
        ("sources: {a: {}, a: {}}", "duplicate entry"),
        ("sources: {a: [}", "did not find"),
    ] {
        let faults = faults(&[("BK__SOURCES", text)]);
        assert!(faults.contains(reason) && faults.lines().count() == 1, "{faults}");
    }
}

#[test]
fn a_value_that_is_not_text_is_a_fault() {
    use std::os::unix::ffi::OsStringExt as _;
    let variables = LEAST
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .chain([(
            "BK__DEPLOYMENT_KEY".into(),
            std::ffi::OsString::from_vec(vec![0xff]),
        )]);
    let faults = Settings::for_backup(&Layers::read(&variables.collect(), None)).expect_err("a fault");
    assert_eq!(
        faults.to_string(),
        "BK__DEPLOYMENT_KEY: the value is not UTF-8; accepted: a text"
    );
}

#[test]
fn samples_need_no_bucket() {
    let variables = LEAST
        .iter()
        .filter(|(name, _)| !name.starts_with("BK__EXTERNAL"))
        .map(|(name, value)| (name.into(), value.into()));
    let layers = Layers::read(&variables.collect(), None);
    assert_eq!(
        SampleSettings::for_samples(&layers)
            .unwrap()
            .sources
            .feeds()
            .len(),
        7
    );
    assert_eq!(Settings::for_backup(&layers).expect_err("no bucket").0.len(), 3);
}

#[test]
fn the_settings_show_no_secret() {
    let shown = format!("{:?}", read(&[]).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}
