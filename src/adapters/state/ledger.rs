//! What rows a table holds, and what is asked of them. The thread that writes, the groups that share a sync, and the
//! opening again after a full disk are the same for all ([`super::writer`]).

use actors::ports::state::StateFault;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::changes::Changes;
use super::keys;
use super::rows;
use super::table::Table;
use super::writer::Reply;

/// One kind of state: what the writer knows besides the rows, and what it does with them.
pub trait Ledger: Sized + Send + 'static {
    /// What the writer is asked for.
    type Request: Send + 'static;
    /// How many rows there are of each kind; written down when the state is closed in good order.
    type Census: Serialize + DeserializeOwned;
    /// What is told of the rows, so that nobody has to read them for it.
    type Told: Default + Send + 'static;

    /// How far the table has come.
    fn progress(&mut self) -> &mut Progress;

    /// The table has been opened, perhaps again: what was written since the last commit is there, or it is not.
    ///
    /// # Errors
    /// See [`StateFault`]; here and below.
    fn opened(&mut self, table: &impl Table) -> Result<(), StateFault>;

    /// Finishes what a crash has interrupted; durable on return.
    ///
    /// # Errors
    /// As above.
    fn mend(&mut self, table: &impl Table) -> Result<(), StateFault>;

    /// Counts every row by reading it, and remembers what it found.
    ///
    /// # Errors
    /// As above.
    fn count(&mut self, table: &impl Table) -> Result<Self::Census, StateFault>;

    /// As [`Ledger::count`], where what has many rows has been counted all along.
    ///
    /// # Errors
    /// As above.
    fn census(&self, table: &impl Table) -> Result<Self::Census, StateFault>;

    /// Makes sure that nothing is gone since `closed` was written down.
    ///
    /// # Errors
    /// Something is.
    fn check(closed: &Self::Census, found: &Self::Census) -> Result<(), StateFault>;

    /// Whether it may wait for others of its kind.
    fn may_gather(request: &Self::Request) -> bool;

    /// Writes the rows of one request, unless there is no table, or its group has failed already.
    fn perform<T: Table>(
        changes: Result<Changes<'_, T, Self>, StateFault>,
        request: Self::Request,
    ) -> (Result<(), StateFault>, Reply);

    /// The changes made so far are durable.
    fn committed(&mut self, _table: &impl Table) {}

    /// What is told from now on.
    fn told(&self) -> Self::Told;
}

/// How far a table has come.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Which start this is.
    pub start: u64,
    /// How many groups of changes have been made durable, over all starts.
    pub commits: u64,
    /// Rows written since the last commit.
    pub(super) written: u64,
    /// Rows written since the last flush.
    pub(super) unflushed: u32,
}

impl Progress {
    /// At a start, before the table is open.
    pub fn at_start(start: u64) -> Self {
        Self {
            start,
            commits: 0,
            written: 0,
            unflushed: 0,
        }
    }

    /// The table has been opened, perhaps again.
    ///
    /// # Errors
    /// Broken if the table has come less far than this process knows it to have.
    pub fn opened(&mut self, table: &impl Table) -> Result<(), StateFault> {
        let commits = rows::get(table, keys::COMMITS)?.unwrap_or(0);
        if commits < self.commits {
            return Err(StateFault::Broken(format!(
                "it ends with commit {commits}, but commit {} was on disk",
                self.commits
            )));
        }
        (self.commits, self.written, self.unflushed) = (commits, 0, 0);
        Ok(())
    }
}
