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

pub(super) const FAMILIES: [Family; 8] = [
    Family::gauge(
        "azul_backup_build_info",
        "1; its labels are the version and the mode of the program, and the id of the backup (BK__BACKUP_ID).",
        |snapshot| {
            let mode = match snapshot.mode {
                Doing::Backup => "backup",
                Doing::Restore => "restore",
            };
            vec![
                Series::new(true)
                    .with("version", snapshot.version)
                    .with("mode", mode)
                    .with("backup_id", &snapshot.backup_id),
            ]
        },
    ),
    Family::gauge(
        "azul_backup_start_time_seconds",
        "When the process began, in seconds since 1970.",
        |snapshot| one(Some(snapshot.started)),
    ),
    Family::gauge(
        "azul_backup_stage",
        "1 for the stage that the process is in, 0 for the others; those after `running` are the stages of its end.",
        |snapshot| {
            let series = |(name, label)| Series::new(snapshot.stage == name).with("stage", label);
            STAGES.into_iter().map(series).collect()
        },
    ),
    Family::gauge(
        "azul_backup_ready",
        "1 if local state is open, the feeds have started, the journal can take more, and no end has begun.",
        |snapshot| one(Some(snapshot.not_ready.is_empty())),
    ),
    Family::gauge(
        "azul_backup_last_sign_of_life_seconds",
        "Seconds since the actors last answered each other.",
        |snapshot| one(snapshot.last_sign_of_life_seconds),
    ),
    Family::counter(
        "azul_backup_bytes_in_total",
        "Bytes received: of a backup from the dispatcher, of a restore from the bucket (as stored, in all its starts).",
        |snapshot| per_source(snapshot, |figures| figures.bytes_in),
    ),
    Family::counter(
        "azul_backup_bytes_out_total",
        "Bytes written to the bucket by a backup.",
        |snapshot| match snapshot.mode {
            Doing::Backup => per_source(snapshot, |figures| figures.bytes_out),
            Doing::Restore => Vec::new(),
        },
    ),
    Family::counter(
        "azul_backup_retries_total",
        "Requests that were repeated after a fault, by operation.",
        |snapshot| {
            let retries = snapshot.retries.iter();
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
