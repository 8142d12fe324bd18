//! What is true of the process, whatever its mode.

use super::{Family, Series, one};
use crate::observe::snapshot::{Doing, Snapshot};

/// The stages by the names that the snapshot has for them, and their labels.
const STAGES: [(&str, &str); 7] = [
    ("starting", "starting"),
    ("running", "running"),
    ("events", "events"),
    ("hit cache", "hit-cache"),
    ("streams", "streams"),
    ("local state", "state"),
    ("ended", "ended"),
];

pub(super) const FAMILIES: [Family; 14] = [
    Family::gauge(
        "azul_backup_build_info",
        "1; its labels are the version and the mode of the program, and the id of the backup (BK__BACKUP_ID).",
        |scrape| {
            let mode = match scrape.snapshot.mode {
                Doing::Backup => "backup",
                Doing::Restore => "restore",
            };
            vec![
                Series::new(true)
                    .with("version", scrape.snapshot.version)
                    .with("mode", mode)
                    .with("backup_id", &scrape.snapshot.backup_id),
            ]
        },
    ),
    Family::gauge(
        "azul_backup_start_time_seconds",
        "When the process began, in seconds since 1970.",
        |scrape| one(Some(scrape.snapshot.started)),
    ),
    Family::gauge(
        "process_start_time_seconds",
        "When the process began, in seconds since 1970; the same under its usual name.",
        |scrape| one(Some(scrape.snapshot.started)),
    ),
    Family::gauge(
        "process_resident_memory_bytes",
        "Bytes of memory that are resident.",
        |scrape| one(scrape.snapshot.process.resident_bytes),
    ),
    Family::gauge(
        "process_virtual_memory_bytes",
        "Bytes of address space.",
        |scrape| one(scrape.snapshot.process.virtual_bytes),
    ),
    Family::counter(
        "process_cpu_seconds_total",
        "Seconds of CPU time, of all threads together.",
        |scrape| one(scrape.snapshot.process.cpu_seconds),
    ),
    Family::gauge("process_open_fds", "Open files, sockets included.", |scrape| {
        one(scrape.snapshot.process.open_files)
    }),
    Family::gauge(
        "process_max_fds",
        "Files that may be open; absent where there is no limit.",
        |scrape| one(scrape.snapshot.process.max_open_files),
    ),
    Family::gauge(
        "azul_backup_stage",
        "1 for the stage that the process is in, 0 for the others; those after `running` are the stages of its end.",
        |scrape| {
            let series = |(name, label)| Series::new(scrape.snapshot.stage == name).with("stage", label);
            STAGES.into_iter().map(series).collect()
        },
    ),
    Family::gauge(
        "azul_backup_ready",
        "1 if local state is open, the feeds have started, the journal can take more, and no end has begun.",
        |scrape| one(Some(scrape.snapshot.not_ready.is_empty())),
    ),
    Family::gauge(
        "azul_backup_last_sign_of_life_seconds",
        "Seconds since the actors last answered each other.",
        |scrape| one(scrape.snapshot.last_sign_of_life_seconds),
    ),
    Family::counter(
        "azul_backup_bytes_in_total",
        "Bytes received: of a backup from the dispatcher, of a restore from the bucket (as stored, in all its starts).",
        |scrape| per_source(scrape.snapshot, |figures| figures.bytes_in),
    ),
    Family::counter(
        "azul_backup_bytes_out_total",
        "Bytes written to the bucket by a backup.",
        |scrape| match scrape.snapshot.mode {
            Doing::Backup => per_source(scrape.snapshot, |figures| figures.bytes_out),
            Doing::Restore => Vec::new(),
        },
    ),
    Family::counter(
        "azul_backup_retries_total",
        "Requests that were repeated after a fault, by operation.",
        |scrape| {
            let retries = scrape.snapshot.retries.iter();
            retries
                .map(|(operation, count)| Series::new(*count).with("operation", operation))
                .collect()
        },
    ),
];

fn per_source(snapshot: &Snapshot, figure: fn(&actors::statistics::SourceFigures) -> u64) -> Vec<Series> {
    let sources = snapshot.sources.iter();
    sources
        .map(|(source, figures)| Series::new(figure(figures)).with("source", source))
        .collect()
}
