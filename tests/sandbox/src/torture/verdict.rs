//! Whether anything was lost, and whether anything is in the bucket that should not be.
//!
//! * What the [witness](super::witness) saw on local disk at any time is in the bucket, byte for byte; an answer that
//!   nobody understands lies where it was put aside.
//! * What the dispatcher handed out, and is not in the bucket, falls into a suspect pull that was recorded: of the
//!   same feed, and every one of its events was taken within its time. Everything else is lost.
//! * Nothing else is in the bucket: no event that was never handed out, none twice, no half object, no stream of
//!   another hash, no open multipart upload. What was in it once is still there, in the same bytes.
//! * Streams that are named and not in the bucket are remembered as missing, pending or set aside.
//! * Nothing is left in the journal.

use std::collections::BTreeSet;
use std::fmt;

use actors::ports::state::{LocalState, SuspectSpan};
use actors::stream_id::Sha256;
use anyhow::Context;
use azul_backup::adapters::state::SledState;

use super::trial::{BUCKETS, CONSUMERS, Trial};
use super::witness::Held;
use crate::audit::{self, Audit, Expected, Handed, Unit};
use crate::comparison::{Allowances, Reason};
use crate::dispatcher::Place;

/// What a trial came to.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Events that the dispatcher took for the backup.
    pub handed_out: u64,
    /// Events that are in bundles.
    pub events: u64,
    /// Streams that are in the bucket, whole.
    pub streams: usize,
    /// Files of the journal that were seen on local disk.
    pub answers_seen: usize,
    /// Events that were handed out or lay on local disk, and are neither in the bucket nor in a suspect pull; and
    /// streams that are named and neither in the bucket nor remembered.
    pub lost: u64,
    /// Events that were handed out and are not in the bucket, but in a suspect pull: a recheck finds them.
    pub in_suspect_pulls: u64,
    /// Suspect pulls that were recorded.
    pub suspect_pulls: usize,
    /// Events that restarts of the dispatcher cost without any pull: a recheck finds them too.
    pub lost_in_advance: usize,
    /// Multipart uploads that are neither complete nor aborted.
    pub open_uploads: usize,
    /// What need not come back when the bucket is restored.
    pub allowances: Allowances,
    /// What is wrong, for people.
    pub faults: Vec<String>,
}

/// What local state remembers.
struct Remembered {
    suspects: Vec<SuspectSpan>,
    streams: BTreeSet<String>,
}

impl Remembered {
    fn of(trial: &Trial) -> anyhow::Result<Self> {
        let state = SledState::open(&trial.state()).context("local state cannot be opened")?;
        let missing = state.missing()?.into_iter().map(|row| row.stream);
        let failed = state.failed()?.into_iter().map(|row| row.stream);
        let pending = state
            .pending_from(0, usize::MAX)?
            .into_iter()
            .map(|row| row.stream);
        let streams = missing.chain(failed).chain(pending);
        Ok(Self {
            streams: streams.map(|stream| stream.to_string()).collect(),
            suspects: state.suspect_pulls()?,
        })
    }

    /// Why what was handed out counts as lost.
    fn explain(&self, handed: &Handed) -> String {
        let ((feed, sha256), (at, _), fate) = (&handed.unit, handed.taken, handed.fate);
        let suspects = self.suspects.iter().filter(|suspect| suspect.feed == *feed);
        let spans: Vec<String> = suspects
            .map(|suspect| format!("{} to {}", suspect.since, suspect.until))
            .collect();
        format!("of feed {feed}, {sha256} was taken at {at} ({fate:?}); suspect pulls of the feed: {spans:?}")
    }

    fn suspects(&self, handed: &Handed) -> bool {
        let (feed, _) = &handed.unit;
        let (first, last) = handed.taken;
        let covers =
            |suspect: &SuspectSpan| suspect.feed == *feed && suspect.since <= first && last <= suspect.until;
        self.suspects.iter().any(covers)
    }
}

impl Verdict {
    pub(super) fn of(trial: &Trial) -> anyhow::Result<Self> {
        let remembered = Remembered::of(trial)?;
        let mut verdict = Self {
            suspect_pulls: remembered.suspects.len(),
            open_uploads: trial.s3.open_uploads()?,
            ..Self::default()
        };
        let stored = audit::in_bundles(&trial.bucket(), BUCKETS)?;
        verdict.look_at_disk(trial, &stored)?;
        let mut excused = Vec::new();
        let expected = verdict.look_at_handed_out(trial, &stored, &remembered, &mut excused);
        let audit = Audit::of(&trial.bucket(), BUCKETS, &expected)?;
        verdict.allowances = allowances(trial, &audit, excused)?;
        (verdict.events, verdict.streams) = (audit.events, audit.streams);
        for stream in audit.absent.difference(&remembered.streams) {
            verdict.lose(
                1,
                format!("{stream} is named, not in the bucket, and not remembered"),
            );
        }
        verdict.faults.extend(audit.faults);
        verdict.look_at_the_past(trial)?;
        Ok(verdict)
    }

    /// Whether nothing is lost and nothing wrong.
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.faults.is_empty()
    }

    fn lose(&mut self, events: u64, fault: String) {
        self.lost += events;
        self.faults.push(format!("LOST: {fault}"));
    }

    /// What lay on local disk at any time has to be safe.
    fn look_at_disk(&mut self, trial: &Trial, stored: &BTreeSet<Unit>) -> anyhow::Result<()> {
        let aside = trial.put_aside()?;
        for held in trial.witness.seen()? {
            self.answers_seen += 1;
            match held {
                Held::Units(units) => {
                    for (feed, sha256) in units.difference(stored) {
                        let fault = format!("of feed {feed}, {sha256} lay on local disk and is in no bundle");
                        self.lose(1, fault);
                    }
                }
                Held::NotUnderstood(sha256) if !aside.contains(&sha256) => {
                    self.lose(
                        1,
                        format!("an answer that nobody understands, {sha256}, is not put aside"),
                    );
                }
                Held::NotUnderstood(_) => {}
            }
        }
        Ok(())
    }

    /// What was handed out is stored or suspect; returns what has to be stored.
    fn look_at_handed_out(
        &mut self,
        trial: &Trial,
        stored: &BTreeSet<Unit>,
        remembered: &Remembered,
        excused: &mut Vec<(Place, Reason)>,
    ) -> Expected {
        let shared = trial.dispatcher.shared();
        let mut required = Vec::new();
        for handed in audit::handed_out(shared, CONSUMERS) {
            self.handed_out += handed.events;
            let is_stored = stored.contains(&handed.unit);
            let excuse = |reason| handed.places.iter().map(move |place| (*place, reason));
            if !is_stored && remembered.suspects(&handed) {
                self.in_suspect_pulls += handed.events;
                excused.extend(excuse(Reason::SuspectPull));
                continue;
            }
            if is_stored && handed.is_unknown {
                // The second dispatcher is as old as the first was: it refuses what is newer.
                excused.extend(excuse(Reason::DeadLetter));
            }
            if !is_stored {
                let fault = remembered.explain(&handed);
                self.lose(handed.events, fault);
            }
            required.push(handed);
        }
        let lost_in_advance: Vec<Place> = shared
            .broker()
            .lost_in_advance()
            .iter()
            .map(|(_, place)| *place)
            .collect();
        self.lost_in_advance = lost_in_advance.len();
        excused.extend(
            lost_in_advance
                .into_iter()
                .map(|place| (place, Reason::LostByDispatcher)),
        );
        let mut streams = shared.stream_keys();
        streams.retain(|stream| !trial.wrong.contains(stream));
        Expected::all_of(required, streams)
    }

    /// What was in the bucket once is in it; nothing is left half done.
    fn look_at_the_past(&mut self, trial: &Trial) -> anyhow::Result<()> {
        for name in &trial.vanished {
            self.lose(1, format!("{name} was in the bucket once"));
        }
        for (name, sha256) in &trial.objects {
            match std::fs::read(trial.bucket().join(name)) {
                Ok(bytes) if Sha256::of(&bytes) == *sha256 => {}
                Ok(_) => self
                    .faults
                    .push(format!("{name} was overwritten with other bytes")),
                Err(_) => self.lose(1, format!("{name} was in the bucket once")),
            }
        }
        let left = trial.witness.look()?;
        if left > 0 {
            self.faults.push(format!("{left} files are left in the journal"));
        }
        if self.open_uploads > 0 {
            let open = self.open_uploads;
            self.faults.push(format!("{open} multipart uploads are open"));
        }
        Ok(())
    }
}

/// What the backup could not have, and what no dispatcher takes back.
fn allowances(trial: &Trial, audit: &Audit, excused: Vec<(Place, Reason)>) -> anyhow::Result<Allowances> {
    let shared = trial.dispatcher.shared();
    let mut allowances = Allowances::of_backup(shared, &trial.bucket(), BUCKETS, audit, &trial.wrong)?;
    let broker = shared.broker();
    for (place, reason) in excused {
        let event = broker.event(place);
        allowances.allow_event(&event.feed, event.kafka_key, reason);
    }
    Ok(allowances)
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 15;
        for fault in self.faults.iter().take(MOST) {
            writeln!(f, "  {fault}")?;
        }
        match self.faults.len().checked_sub(MOST) {
            Some(more) if more > 0 => writeln!(f, "  and {more} more"),
            _ => Ok(()),
        }
    }
}
