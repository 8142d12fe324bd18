//! Named instants at which a process can be made to die, fail, panic or hang, to prove what survives it.
//!
//! Production code marks an instant with [`pass`], or with [`try_pass`] where an error of the disk can come from.
//! Without the cargo feature `fault-points` both are empty, and nothing of this module is in the program: a release
//! build does not have the feature, the sandbox and the tests do.
//!
//! A process is told by its environment what to do:
//! * `FAULT_POINTS=bundle.sealed=kill@3,pull.marked=hang`: at the third passing of one point it kills itself, at
//!   the first of the other the thread hangs. See [`Action`] for what there is.
//! * `FAULT_POINTS_TRACE=FILE`: every passing is counted in the file, where the counts survive the process; see
//!   [`read_trace`].
//! * `FAULT_POINTS_HURRY=20`: time-outs of HTTP are divided by this; see [`hurried`].

use std::fmt;
use std::io;
use std::time::Duration;

macro_rules! fault_points {
    ($($(#[doc = $doc:literal])+ $point:ident = $name:literal,)+) => {
        /// The instants: of a start, of a batch, of its streams, of local state, of the end; and of a restore.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FaultPoint {
            $($(#[doc = $doc])+ $point,)+
        }

        impl FaultPoint {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$point),+];

            /// What it is called in the environment and in reports.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)+
                }
            }

            /// Whether a restore passes it, and a backup never. What both pass is not of restore.
            pub fn is_of_restore(self) -> bool {
                self.name().starts_with("restore.")
            }
        }
    };
}

fault_points! {
    /// A new database is made, and does not have its name.
    StateBegun = "state.begun",
    /// Local state is open, and nothing of it has been put in order.
    StateOpened = "state.opened",
    /// The file that names the buckets is durable, and does not have its name.
    IdentityWritten = "identity.written",
    /// An upload that an earlier start left open is aborted, and still remembered.
    LeftoverAborted = "leftover.aborted",
    /// The row of a batch whose file had been unlinked is gone.
    BatchForgotten = "batch.forgotten",
    /// A file without a row has got one, and its streams have not been named.
    BatchAdopted = "batch.adopted",
    /// The mark of a pull that an earlier start had sent is a suspect pull now.
    MarkSuspected = "mark.suspected",
    /// A seal that an earlier start left is taken over.
    SealFound = "seal.found",
    /// All that an earlier start left is in order, and nobody works on it yet.
    LeftoversKnown = "leftovers.known",
    /// Streams that were missing are pending once more, and nobody has been told.
    StreamsRevived = "streams.revived",
    /// The mark of a pull is durable, and nothing has been sent.
    PullMarked = "pull.marked",
    /// A part of an answer has come in.
    AnswerComing = "answer.coming",
    /// Some of an answer is about to be written.
    AnswerWriting = "answer.writing",
    /// All of an answer is written, and not synced.
    AnswerWritten = "answer.written",
    /// It is synced, and does not have its name.
    AnswerSynced = "answer.synced",
    /// It has its name, and its directory is not synced.
    AnswerRenamed = "answer.renamed",
    /// Its file is durable, and no row names it.
    AnswerKept = "answer.kept",
    /// Why an answer cannot be understood is written down, and the answer still lies in the journal.
    AsideExplained = "aside.explained",
    /// It lies where an operator finds it, and its mark is still there.
    AsidePut = "aside.put",
    /// A pull that may have cost events is remembered as one.
    PullSuspected = "pull.suspected",
    /// A pull brought nothing to journal, and its mark is gone.
    PullEnded = "pull.ended",
    /// The row of a batch is durable, and its streams have not been named.
    BatchJournaled = "batch.journaled",
    /// Its streams are pending rows, and it does not say so yet.
    StreamsPending = "streams.pending",
    /// It says so.
    StreamsNamed = "streams.named",
    /// A bundle is sealed, and nothing of it has been sent.
    BundleSealed = "bundle.sealed",
    /// It is in the bucket, and no row says so.
    BundlePut = "bundle.put",
    /// Its row says so, and its batches are still there.
    BundleWritten = "bundle.written",
    /// The file of a batch is gone, its row is not.
    BatchUnlinked = "batch.unlinked",
    /// Both are.
    BatchRemoved = "batch.removed",
    /// A worker has begun with a stream.
    StreamBegun = "stream.begun",
    /// Some bytes of a binary have come in.
    StreamComing = "stream.coming",
    /// That an upload may be open is durable, and the bucket has not been asked to begin one.
    UploadExpected = "upload.expected",
    /// A multipart upload has begun, and nobody has remembered its id.
    UploadBegun = "upload.begun",
    /// Its id is durable, and no part has been sent.
    UploadNoted = "upload.noted",
    /// A part has been sent.
    PartSent = "part.sent",
    /// All parts are sent, and the upload is not complete.
    UploadSent = "upload.sent",
    /// The object is there, and the upload is still remembered.
    UploadComplete = "upload.complete",
    /// The upload is aborted, and still remembered.
    UploadAborted = "upload.aborted",
    /// A stream is safe in the bucket, and no row says so.
    StreamPut = "stream.put",
    /// Its row says so, and the queue has not been told.
    StreamStored = "stream.stored",
    /// A stream that the dispatcher does not have is remembered as missing.
    StreamMissing = "stream.missing",
    /// The failure of a stream is remembered.
    StreamFailed = "stream.failed",
    /// A stream that failed too often is set aside.
    StreamSetAside = "stream.set-aside",
    /// Changes are written, and not flushed.
    StateWritten = "state.written",
    /// Changes are flushed, and nobody has been told.
    StateFlushed = "state.flushed",
    /// The database, closed because the disk was full, is open again.
    StateReopened = "state.reopened",
    /// The end has begun: its first stage.
    EndEvents = "end.events",
    /// Its second stage.
    EndHitCache = "end.hit-cache",
    /// Its third stage.
    EndStreams = "end.streams",
    /// Its last stage.
    EndState = "end.state",
    /// A worker has begun with a stream that is to be restored.
    RestoreStreamBegun = "restore.stream-begun",
    /// The dispatcher has a stream, and nobody has been told.
    RestoreStreamSent = "restore.stream-sent",
    /// A stream that cannot be restored is a dead letter, and no mark passes it.
    RestoreStreamBuried = "restore.stream-buried",
    /// What the last pass has restored is counted.
    RestoreStreamTold = "restore.stream-told",
    /// The mark of a lane is durable.
    RestoreLaneSaved = "restore.lane-saved",
    /// All events of a bundle are settled, and no row says so.
    RestoreBundlePublished = "restore.bundle-published",
    /// An event that was given up is a dead letter, and its bundle is not done.
    RestoreEventBuried = "restore.event-buried",
    /// A bundle that cannot be restored is a dead letter, and not done.
    RestoreBundleBuried = "restore.bundle-buried",
    /// A bundle is done.
    RestoreBundleDone = "restore.bundle-done",
    /// Everything has been gone through once, and the last pass begins.
    RestoreLastPass = "restore.last-pass",
    /// The last pass is over, and the restore is not marked as finished.
    RestoreEnding = "restore.ending",
    /// All is written and flushed, and the database is not closed.
    StateClosing = "state.closing",
    /// The row of a restore that begins is written; the checkpoints that it leaves behind are still there.
    RestoreBegun = "restore.begun",
    /// A full row of done bundles is halved, and its upper half lies in both.
    RestoreRowHalved = "restore.row-halved",
    /// The event of a dead letter is written, and does not have its name.
    RestoreLetterWritten = "restore.letter-written",
    /// Its file is durable, and no row names it.
    RestoreLetterKept = "restore.letter-kept",
    /// The row of a letter is gone for good, its file is not.
    RestoreLetterForgotten = "restore.letter-forgotten",
    /// A restore is finished for good, and its checkpoints are still there.
    RestoreFinished = "restore.finished",
    /// Some of the checkpoints that belong to no restore any more are gone.
    RestoreSweeping = "restore.sweeping",
}

impl fmt::Display for FaultPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for FaultPoint {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|point| point.name() == name);
        found
            .copied()
            .ok_or_else(|| format!("{name}: there is no such fault point"))
    }
}

/// Marks an instant.
#[cfg(feature = "fault-points")]
pub fn pass(point: FaultPoint) {
    armed::pass(point);
}

/// Marks an instant.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub fn pass(_: FaultPoint) {}

/// Marks an instant at which the disk may fail.
///
/// # Errors
/// Where the environment asks for one.
#[cfg(feature = "fault-points")]
pub fn try_pass(point: FaultPoint) -> io::Result<()> {
    armed::try_pass(point)
}

/// Marks an instant at which the disk may fail.
///
/// # Errors
/// None in a build like this.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub fn try_pass(_: FaultPoint) -> io::Result<()> {
    Ok(())
}

/// A time-out, shortened where the environment asks for it.
#[cfg(feature = "fault-points")]
pub fn hurried(time_out: Duration) -> Duration {
    time_out / armed::hurry()
}

/// A time-out, as it is.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub fn hurried(time_out: Duration) -> Duration {
    time_out
}

#[cfg(feature = "fault-points")]
mod armed;
#[cfg(feature = "fault-points")]
pub use armed::{Action, Trace, read_trace};
