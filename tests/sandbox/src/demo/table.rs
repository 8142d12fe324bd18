//! What both halves came to, side by side.

use std::time::Duration;

use comfy_table::{Cell, CellAlignment, Table, presets};
use indicatif::{HumanBytes, HumanCount};

use super::Stage;
use crate::audit::Audit;
use crate::child::Taken;
use crate::restored::Restored;

/// What one half came to.
pub(super) struct Half {
    feeds: u64,
    events: u64,
    streams: u64,
    /// Bundles, and references to streams that had been seen: of the backup only.
    bundles: Option<(u64, u64)>,
    bytes_in: u64,
    bytes_out: u64,
    elapsed: Duration,
    taken: Taken,
}

impl Half {
    /// By what the audit found in the bucket.
    pub(super) fn of_backup(stage: &Stage, audit: &Audit, elapsed: Duration, taken: Taken) -> Self {
        let seen = (audit.streams + audit.missing) as u64;
        Self {
            feeds: audit.feeds as u64,
            events: audit.events,
            streams: audit.streams as u64,
            bundles: Some((audit.bundles as u64, audit.references.saturating_sub(seen))),
            bytes_in: stage.dispatcher.shared().bytes_out(),
            bytes_out: stage.s3.counters().seen().bytes_in,
            elapsed,
            taken,
        }
    }

    /// By what is the same in both dispatchers; the bucket holds `bytes_in`, all of which is read.
    pub(super) fn of_restore(restored: &Restored, bytes_in: u64) -> Self {
        let same = &restored.comparison;
        Self {
            feeds: same.feeds,
            events: same.events,
            streams: same.streams,
            bundles: None,
            bytes_in,
            bytes_out: restored.bytes.0 + restored.bytes.1,
            elapsed: restored.elapsed,
            taken: restored.taken,
        }
    }

    fn cells(&self) -> [String; 11] {
        let count = |count: u64| HumanCount(count).to_string();
        let of_backup = |what: Option<u64>| what.map_or_else(String::new, count);
        let seconds = self.elapsed.as_secs_f64();
        // Binaries, and events as they are: what comes from the dispatcher, or goes to it.
        let unpacked = match self.bundles {
            Some(_) => self.bytes_in,
            None => self.bytes_out,
        };
        [
            count(self.feeds),
            count(self.events),
            of_backup(self.bundles.map(|(bundles, _)| bundles)),
            count(self.streams),
            of_backup(self.bundles.map(|(_, duplicates)| duplicates)),
            HumanBytes(self.bytes_in).to_string(),
            HumanBytes(self.bytes_out).to_string(),
            format!("{seconds:.1} s"),
            format!(
                "{:.0} events/s, {}/s",
                self.events as f64 / seconds,
                HumanBytes((unpacked as f64 / seconds) as u64)
            ),
            format!("{:.1} s", self.taken.cpu.as_secs_f64()),
            HumanBytes(self.taken.peak_memory).to_string(),
        ]
    }
}

/// Both halves.
pub(super) fn table(backup: &Half, restore: &Half) -> Table {
    const WHAT: [&str; 11] = [
        "feeds",
        "events",
        "bundles",
        "streams",
        "duplicates dropped",
        "bytes in",
        "bytes out",
        "time",
        "rate",
        "CPU time of the program",
        "peak memory of the program",
    ];
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_header(["what", "backup", "restore, the same"]);
    for ((what, backup), restore) in WHAT.into_iter().zip(backup.cells()).zip(restore.cells()) {
        let [backup, restore] =
            [backup, restore].map(|text| Cell::new(text).set_alignment(CellAlignment::Right));
        table.add_row([Cell::new(what), backup, restore]);
    }
    table
}
