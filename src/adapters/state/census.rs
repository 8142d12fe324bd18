//! How many rows there are of each kind. Written down when the state is closed in good order, and held against what
//! the next start finds: sled has been seen to lose rows out of the middle of a damaged file without a word. The times of
//! feeds are not among them: nothing depends on them, and earlier versions, which may work on the state in between, do
//! not count them.

use std::fmt::Write;

use actors::ports::state::{
    BatchRow, FailedStream, MissingStream, OpenUpload, PendingStream, PullMark, SealedBundle, StateCounts,
    StateFault, SuspectSpan,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::keys::{self, Kind};
use super::rows;
use super::table::Table;

/// The number of rows of each kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Census {
    few: Few,
    /// Names of pending streams; as many as there are pending streams.
    names: u64,
    streams: StateCounts,
}

/// Kinds with few rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Few {
    marks: u64,
    batches: u64,
    seals: u64,
    uploads: u64,
}

/// Counts by reading: a row that cannot be read is better found at a start than later.
fn count<R: DeserializeOwned>(table: &impl Table, kind: Kind) -> Result<u64, StateFault> {
    rows::range::<R>(table, kind.range()).try_fold(0, |count, row| row.map(|_| count + 1))
}

impl Few {
    fn of(table: &impl Table) -> Result<Self, StateFault> {
        Ok(Self {
            marks: count::<PullMark>(table, keys::MARKS)?,
            batches: count::<BatchRow>(table, keys::BATCHES)?,
            seals: count::<SealedBundle>(table, keys::SEALS)?,
            uploads: count::<OpenUpload>(table, keys::UPLOADS)?,
        })
    }
}

impl Census {
    /// Counts every row by reading it.
    pub(super) fn of(table: &impl Table) -> Result<Self, StateFault> {
        Ok(Self {
            few: Few::of(table)?,
            names: count::<u64>(table, keys::STREAMS)?,
            streams: StateCounts {
                pending: count::<PendingStream>(table, keys::QUEUE)?,
                missing: count::<MissingStream>(table, keys::MISSING)?,
                failed: count::<FailedStream>(table, keys::FAILED)?,
                suspect_pulls: count::<SuspectSpan>(table, keys::SUSPECTS)?,
            },
        })
    }

    /// As [`Census::of`], where the kinds with many rows have been counted all along.
    pub(super) fn with(table: &impl Table, streams: StateCounts) -> Result<Self, StateFault> {
        Ok(Self {
            few: Few::of(table)?,
            names: streams.pending,
            streams,
        })
    }

    /// The part that the port tells.
    pub(super) fn counts(&self) -> StateCounts {
        self.streams
    }

    /// Makes sure that nothing is gone since this was written down.
    pub(super) fn check(&self, found: &Self) -> Result<(), StateFault> {
        let mut text = "rows are gone since it was closed".to_owned();
        for ((kind, then), (_, now)) in self.kinds().into_iter().zip(found.kinds()) {
            if then != now {
                // Writing to a string cannot fail.
                let _ = write!(text, "; {kind}: {now} of {then}");
            }
        }
        match self == found {
            true => Ok(()),
            false => Err(StateFault::Broken(text)),
        }
    }

    fn kinds(&self) -> [(&'static str, u64); 9] {
        [
            ("marks", self.few.marks),
            ("batches", self.few.batches),
            ("sealed bundles", self.few.seals),
            ("open uploads", self.few.uploads),
            ("names of pending streams", self.names),
            ("pending streams", self.streams.pending),
            ("missing streams", self.streams.missing),
            ("failed streams", self.streams.failed),
            ("suspect pulls", self.streams.suspect_pulls),
        ]
    }
}
