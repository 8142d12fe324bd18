//! What is written of a restore: that it has begun, how far its lanes have come, that it is finished.
//!
//! Checkpoints hang on the number of a run, which the row of the restore tells. So that row alone decides whether
//! they count: it goes, or tells another number, before any of them goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use actors::fault_point::FaultPoint;
use actors::feed::Feed;
use actors::ports::restore_state::{EventFigures, LaneMark, RestoreChange, RestoreId, Route, Unfinished};
use actors::ports::state::StateFault;
use actors::timestamp::Timestamp;

use super::census::Counts;
use super::keys;
use super::letter_files::LetterFiles;
use super::rows::{DoneEntry, LetterRow, RestoreRow, decode_bundles};
use crate::adapters::state::changes::Changes;
use crate::adapters::state::ledger::{Ledger, Progress};
use crate::adapters::state::rows;
use crate::adapters::state::table::Table;
use crate::adapters::state::writer::{Answer, Reply, pass, promise};

/// Rows that are taken out of a range at once, to be removed.
const SWEPT_AT_ONCE: usize = 500;

/// What the writer is asked for.
pub enum Request {
    /// To take up a restore.
    Begin(RestoreId, bool, Timestamp, Answer<Unfinished>),
    /// To make a change.
    Record(Box<RestoreChange>, Answer<()>),
}

/// The restore that has begun in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Begun {
    /// The key of its row.
    key: Vec<u8>,
    run: u64,
    route: Arc<Route>,
    is_finished: bool,
}

/// What became of the events of each feed.
pub(super) type Sums = BTreeMap<Feed, EventFigures>;

/// What the writer knows besides the rows.
pub struct Memory {
    progress: Progress,
    /// The number that the next run gets.
    next_run: u64,
    begun: Option<Begun>,
    /// Of the restore that has begun.
    sums: Arc<Sums>,
    pub(super) counts: Counts,
    pub(super) files: LetterFiles,
    /// Letters whose rows go with the next commit: then their files go.
    pub(super) forgotten: Vec<Vec<u8>>,
}

/// What is told of the rows.
#[derive(Default)]
pub struct Told {
    /// The restore that has begun, and is not finished.
    pub(super) run: Option<u64>,
    /// Of the one that has begun, finished or not.
    pub(super) route: Option<Arc<Route>>,
    pub(super) sums: Arc<Sums>,
    pub(super) letters: u64,
}

/// Makes changes in a table.
pub(super) type Writing<'a, T> = Changes<'a, T, Memory>;

pub(super) fn none_begun() -> StateFault {
    StateFault::Broken("no restore has begun, or it is finished".to_owned())
}

impl Memory {
    /// Runs are counted on from the number of the start, which is counted durably: a start would have to begin 2^20
    /// restores to reach into the next one's.
    pub(super) fn at_start(start: u64, files: LetterFiles) -> Self {
        Self {
            progress: Progress::at_start(start),
            next_run: start << 20,
            begun: None,
            sums: Arc::default(),
            counts: Counts::default(),
            files,
            forgotten: Vec::new(),
        }
    }

    fn current(&self) -> Option<u64> {
        let begun = self.begun.as_ref().filter(|begun| !begun.is_finished);
        begun.map(|begun| begun.run)
    }

    /// The route of the restore that has begun, finished or not.
    pub(super) fn route(&self) -> Option<&Arc<Route>> {
        self.begun.as_ref().map(|begun| &begun.route)
    }

    /// The run of the restore that has begun.
    pub(super) fn run(&self) -> Result<u64, StateFault> {
        self.current().ok_or_else(none_begun)
    }

    /// Counts a bundle of a feed, of which `known` has been counted before.
    pub(super) fn add_up(&mut self, feed: &Feed, known: &EventFigures, figures: &EventFigures) {
        let sum = Arc::make_mut(&mut self.sums).entry(feed.clone()).or_default();
        *sum += *figures;
        *sum -= *known;
    }
}

impl Ledger for Memory {
    type Request = Request;
    type Census = Counts;
    type Told = Told;

    fn progress(&mut self) -> &mut Progress {
        &mut self.progress
    }

    fn opened(&mut self, table: &impl Table) -> Result<(), StateFault> {
        self.progress.opened(table)?;
        self.forgotten.clear();
        // One that was begun, and not durably, has not begun.
        if let Some(begun) = &self.begun
            && !begun.is_finished
        {
            let row: Option<RestoreRow> = rows::get(table, &begun.key)?;
            if row.is_none_or(|row| row.run != begun.run) {
                self.begun = None;
            }
        }
        Ok(())
    }

    fn mend(&mut self, table: &impl Table) -> Result<(), StateFault> {
        let mut changes = Changes { table, memory: self };
        changes.sweep_runs_of_nobody()?;
        changes.finish_halving()?;
        changes.commit()
    }

    fn count(&mut self, table: &impl Table) -> Result<Counts, StateFault> {
        let mut counts = Counts::default();
        for row in rows::range::<RestoreRow>(table, keys::RESTORES.range()) {
            counts.restores += row.map(|_| 1)?;
        }
        for row in rows::range::<LaneMark>(table, keys::LANES.range()) {
            counts.lanes += row.map(|_| 1)?;
        }
        let (run, mut sums) = (self.current(), Sums::new());
        for row in table.range(keys::BUNDLES.range()) {
            let (key, value) = row?;
            let row = decode_bundles(&key, &value)?;
            counts.bundle_rows += 1;
            if run.is_some() && keys::run_of(keys::BUNDLES, &key) == run {
                add_row(&mut sums, &key, &row)?;
            }
        }
        for row in rows::range::<LetterRow>(table, keys::LETTERS.range()) {
            counts.letters += row.map(|_| 1)?;
        }
        (self.counts, self.sums) = (counts, Arc::new(sums));
        Ok(counts)
    }

    fn census(&self, _table: &impl Table) -> Result<Counts, StateFault> {
        Ok(self.counts)
    }

    fn check(closed: &Counts, found: &Counts) -> Result<(), StateFault> {
        closed.check(found)
    }

    fn may_gather(request: &Request) -> bool {
        // Nobody waits for the mark of a lane.
        matches!(request, Request::Record(change, _) if matches!(**change, RestoreChange::LaneReached(..)))
    }

    fn perform<T: Table>(
        changes: Result<Changes<'_, T, Self>, StateFault>,
        request: Request,
    ) -> (Result<(), StateFault>, Reply) {
        match request {
            Request::Begin(id, from_start, now, answer) => {
                let begun = changes.and_then(|mut changes| changes.begin(id, from_start, now));
                promise(begun, answer)
            }
            Request::Record(change, answer) => {
                promise(changes.and_then(|mut changes| changes.apply(*change)), answer)
            }
        }
    }

    fn committed(&mut self, table: &impl Table) {
        for letter in std::mem::take(&mut self.forgotten) {
            self.files.forget(table, &letter);
        }
    }

    fn told(&self) -> Told {
        Told {
            run: self.current(),
            route: self.route().cloned(),
            sums: self.sums.clone(),
            letters: self.counts.letters,
        }
    }
}

fn add_row(sums: &mut Sums, key: &[u8], row: &[DoneEntry]) -> Result<(), StateFault> {
    let Some((feed, _)) = keys::bundles_of(key) else {
        let key = key.escape_ascii();
        return Err(StateFault::Broken(format!("the row `{key}` is of no feed")));
    };
    let sum = sums.entry(feed).or_default();
    row.iter().for_each(|entry| *sum += entry.figures);
    Ok(())
}

/// The row of a restore, under its key.
pub(super) fn restore(
    table: &impl Table,
    key: &[u8],
    id: &RestoreId,
) -> Result<Option<RestoreRow>, StateFault> {
    let row: Option<RestoreRow> = rows::get(table, key)?;
    match row {
        Some(row) if row.id != *id => {
            let key = key.escape_ascii();
            Err(StateFault::Broken(format!(
                "the row `{key}` is of another restore"
            )))
        }
        row => Ok(row),
    }
}

impl<T: Table> Writing<'_, T> {
    fn apply(&mut self, change: RestoreChange) -> Result<(), StateFault> {
        match change {
            RestoreChange::LaneReached(lane, mark) => {
                let key = keys::lane(self.memory.run()?, &lane);
                let is_new = self.table.get(&key)?.is_none();
                self.put(&key, &mark)?;
                self.memory.counts.lanes += u64::from(is_new);
                Ok(())
            }
            RestoreChange::BundleDone(bundle) => self.bundle_done(&bundle),
            RestoreChange::GivenUp(letter, event) => self.give_up(letter, event),
            RestoreChange::LetterSettled(letter) => self.settle(&letter),
            RestoreChange::Finished => self.finish(),
        }
    }

    fn begin(&mut self, id: RestoreId, from_start: bool, now: Timestamp) -> Result<Unfinished, StateFault> {
        let key = keys::restore(&id);
        let known = restore(self.table, &key, &id)?;
        let is_new = known.is_none();
        let (kept, dropped) = match from_start {
            true => (None, known),
            false => (known, None),
        };
        let is_taken_up = kept.is_some();
        let mut row = kept.unwrap_or_else(|| RestoreRow {
            id,
            run: self.next_run(),
            unfinished: Unfinished {
                begun: now,
                starts: 0,
            },
        });
        row.unfinished.starts = row.unfinished.starts.saturating_add(1);
        self.put(&key, &row)?;
        self.memory.counts.restores += u64::from(is_new);
        pass(FaultPoint::RestoreBegun)?;
        if let Some(dropped) = dropped {
            self.commit()?;
            self.sweep(dropped.run)?;
        }
        let sums = if is_taken_up {
            self.sums(row.run)?
        } else {
            Sums::new()
        };
        self.memory.sums = Arc::new(sums);
        self.memory.begun = Some(Begun {
            key,
            run: row.run,
            route: Arc::new(row.id.route()),
            is_finished: false,
        });
        Ok(row.unfinished)
    }

    fn next_run(&mut self) -> u64 {
        self.memory.next_run += 1;
        self.memory.next_run - 1
    }

    fn sums(&self, run: u64) -> Result<Sums, StateFault> {
        let mut sums = Sums::new();
        for row in self.table.range(keys::of_run(keys::BUNDLES, run)) {
            let (key, value) = row?;
            add_row(&mut sums, &key, &decode_bundles(&key, &value)?)?;
        }
        Ok(sums)
    }

    /// Once its row is gone for good it is never taken up again, whatever becomes of its checkpoints. Whoever was not
    /// told may ask for it again.
    fn finish(&mut self) -> Result<(), StateFault> {
        let mut begun = self.memory.begun.take().ok_or_else(none_begun)?;
        begun.is_finished = true;
        let (key, run) = (begun.key.clone(), begun.run);
        self.memory.begun = Some(begun);
        self.memory.sums = Arc::default();
        self.memory.counts.restores -= u64::from(self.remove(&key)?);
        self.commit()?;
        pass(FaultPoint::RestoreFinished)?;
        self.sweep(run)
    }

    /// Removes the checkpoints of a run that no restore has.
    fn sweep(&mut self, run: u64) -> Result<(), StateFault> {
        let lanes = self.remove_all(&keys::of_run(keys::LANES, run))?;
        self.memory.counts.lanes -= lanes;
        let bundle_rows = self.remove_all(&keys::of_run(keys::BUNDLES, run))?;
        self.memory.counts.bundle_rows -= bundle_rows;
        Ok(())
    }

    fn remove_all(&mut self, (first, end): &keys::Range) -> Result<u64, StateFault> {
        let mut removed = 0;
        loop {
            let rows = self.table.range((first.clone(), end.clone()));
            let some: Vec<_> = rows.take(SWEPT_AT_ONCE).collect::<Result<_, _>>()?;
            if some.is_empty() {
                return Ok(removed);
            }
            for (key, _) in some {
                removed += u64::from(self.remove(&key)?);
            }
            pass(FaultPoint::RestoreSweeping)?;
        }
    }

    fn sweep_runs_of_nobody(&mut self) -> Result<(), StateFault> {
        let rows = rows::range::<RestoreRow>(self.table, keys::RESTORES.range());
        let known: BTreeSet<u64> = rows.map(|row| row.map(|row| row.run)).collect::<Result<_, _>>()?;
        for kind in [keys::LANES, keys::BUNDLES] {
            let (mut from, end) = kind.range();
            while let Some(row) = self.table.range((from.clone(), end.clone())).next() {
                let (key, _) = row?;
                let Some(run) = keys::run_of(kind, &key) else {
                    let key = key.escape_ascii();
                    return Err(StateFault::Broken(format!("the row `{key}` is of no run")));
                };
                let of_run = keys::of_run(kind, run);
                if !known.contains(&run) {
                    log::info!(
                        "checkpoints of a restore that is finished, or begun from the start, are removed"
                    );
                    self.remove_all(&of_run)?;
                }
                from = of_run.1;
            }
        }
        Ok(())
    }
}
