//! Everything at once happens to a running backup, and all of it is in what Prometheus scrapes.

use actors::ports::state::{Change, LocalState};
use actors::stream_id::StreamId;
use actors::timestamp::Timestamp;
use azul_backup::adapters::state::SledState;
use azul_backup::observe::metrics::NAMES;
use sandbox::dispatcher::{Call, Fault};
use sandbox::s3::{Failure, Operation};

use crate::asked::{not_told, value};
use crate::health::{scene, served};
use crate::raw_http::get;
use crate::scene::{Program, Scene, event, feed, wait_for};

const WHEN: &str = "2025-07-30T06:02:59Z";

/// What a restore tells, and no backup.
fn is_of_restore(name: &str) -> bool {
    name.contains("restore") || name.contains("_event_types_")
}

/// A stream that earlier starts have set aside.
fn set_aside(scene: &Scene) -> String {
    let stream = StreamId::new("samples", "content", &"1".repeat(64)).unwrap();
    let local = scene.folder.path().join("local/backup");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (state, now) = (SledState::open(&local).unwrap(), Timestamp::now());
        state.name_streams(vec![stream.clone()], now).await.unwrap();
        let aside = Change::StreamSetAside(stream.clone(), now);
        state.record(aside).await.unwrap();
        state.close().await.unwrap();
    });
    stream.to_string()
}

/// The labels of a feed.
const FEED: &str = "{source=\"samples\",feed=\"samples/binary/sourced\"}";

#[test]
fn every_metric_of_a_backup_is_told_by_a_running_one_to_which_everything_happens() {
    let scene = scene(36).set("BK__RETRY_COUNT", 2);
    let aside = set_aside(&scene);
    let (mut program, address) = served(&scene);
    let metrics = || get(address, "/metrics").body;
    wait_for("a bundle is written", &mut program, || {
        value(&metrics(), &format!("azul_backup_feed_bundles_total{FEED}")) > Some(0.0)
    });
    let knobs = scene.s3.knobs();
    knobs.fail_next(Operation::PutObject, usize::MAX, Failure::Status(503));
    let more = (0..20).map(|number| event("samples", "sourced", &format!("more-{number}"), WHEN, &[]));
    scene
        .dispatcher
        .append(&feed("samples/binary/sourced"), more.collect::<Vec<_>>());
    let fault = |keyword| {
        let labels = format!("source=\"samples\",event=\"binary/sourced\",keyword=\"{keyword}\"");
        format!("recovery_backup_events_error{{{labels}}}")
    };
    let are_counted = |program: &mut Program, counted: &[String]| {
        wait_for(&counted.join(" and "), program, || {
            let metrics = metrics();
            counted.iter().all(|series| value(&metrics, series) > Some(0.0))
        });
    };
    // They are counted where they happen: at the ports that the program really works with.
    let transient = "recovery_backup_object_error{keyword=\"transient\"}".to_owned();
    are_counted(&mut program, &[transient, fault("bundle")]);
    scene
        .dispatcher
        .order_fault(Call::Pull, Fault::Status(503), 10_000);
    let aside = format!("recovery_backup_stream_cant_be_backed_up{{streampath=\"{aside}\"}}");
    // Actors ask each other for signs of life every few seconds.
    let life = "azul_backup_last_sign_of_life_seconds".to_owned();
    are_counted(&mut program, &[fault("pull"), aside, life]);

    let metrics = metrics();
    let files = ["alerts/backup.yaml", "dashboards/azul-backup.json"];
    let names = not_told(&files, &NAMES, &metrics).into_iter();
    let missing: Vec<_> = names.filter(|name| !is_of_restore(name)).collect();
    assert_eq!(missing, [""; 0], "{metrics}");
    let resident = value(&metrics, "process_resident_memory_bytes").unwrap();
    let really = program.resident() as f64;
    assert!(
        (really / 2.0..really * 2.0).contains(&resident),
        "{resident} {really}"
    );
    assert_eq!(program.stop().0, Some(0));
}
