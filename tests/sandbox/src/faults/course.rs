//! What is expected of a cell: the course that things take from the first start to the audit.

use std::ops::RangeInclusive;

/// Until when the first start runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Everything that arrives is in the bucket, and the program was told so.
    CaughtUp,
    /// All events that arrive are; their streams need not be.
    Bundled,
    /// A stream or a bundle was given up for the time being.
    GivenUp,
    /// Everything is in the bucket, or something was given up.
    Either,
    /// The fault struck so often.
    Struck(usize),
    /// It ends by itself.
    Ended,
}

/// What lies in the bucket at the very end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bucket {
    /// Everything that was handed out and was not lost on the way, and nothing else.
    Whole,
    /// All but so many streams.
    Without(u64),
    /// One event in the bytes in which it arrived, instead of those in which it was sent.
    OneAsReceived,
    /// The events of one answer as one bulk that nobody understands, as it arrived; their streams are not known.
    BulkAsReceived,
}

/// Bounds of a figure.
pub type Bounds = RangeInclusive<u64>;

const NONE: Bounds = 0..=0;
const SOME: Bounds = 1..=u64::MAX;
const ANY: Bounds = 0..=u64::MAX;

/// What is asserted. Figures "after" are those of local state after the first start.
#[derive(Clone, Debug)]
pub struct Expect {
    /// Until when the first start runs.
    pub until: Until,
    /// How it ends.
    pub exit: i32,
    /// Whether pulls whose answers were spoiled cost their events.
    pub lost: bool,
    /// Suspect pulls, counted by the first start and remembered at the end.
    pub suspects: Bounds,
    /// Answers put aside by the first start.
    pub aside: Bounds,
    /// Failed attempts to store a stream, in the statistics of the first start.
    pub failed: Bounds,
    /// Streams pending after.
    pub pending: Bounds,
    /// Batches in the journal after.
    pub journal: Bounds,
    /// Open uploads remembered after.
    pub uploads: Bounds,
    /// Open uploads remembered at the end: those of which it is not known whether they ever began.
    pub doubts: Bounds,
    /// Whether the operation came again after the fault.
    pub repeated: bool,
    /// Whether an upload may be left open in the bucket, because the bucket told a lie that nothing disproves.
    pub strays: bool,
    /// What is in the bucket at the end.
    pub bucket: Bucket,
}

/// The first start gets everything done as if nothing were.
const GOOD: Expect = Expect {
    until: Until::CaughtUp,
    exit: 0,
    lost: false,
    suspects: NONE,
    aside: NONE,
    failed: NONE,
    pending: NONE,
    journal: NONE,
    uploads: NONE,
    doubts: NONE,
    repeated: false,
    strays: false,
    bucket: Bucket::Whole,
};

/// The first start gives something up, and is stopped; the second gets it done.
const LATER: Expect = Expect {
    until: Until::GivenUp,
    pending: ANY,
    journal: ANY,
    ..GOOD
};

/// The courses that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// It needs no second try.
    Unnoticed,
    /// A lie that nothing disproves: it is believed, and an upload stays open in the bucket.
    BelievedLeavingUpload,
    /// It is tried again by the first start, and nobody else notices.
    Retried,
    /// The same, and an upload that nobody knows is open in the bucket until the second start finds it there. That there
    /// may be one more, which began late, is remembered for an hour.
    RetriedInDoubt,
    /// It fails at once or after the retries, stays pending, and the second start stores it.
    StreamLater,
    /// The same, and uploads that nobody knows are open in the bucket until the second start finds them there.
    StreamLaterInDoubt,
    /// The bundle stays in local state, and the second start writes it.
    BundleLater,
    /// The bundle waits for its next try; the stop makes that try, and writes it.
    BundleAtStop,
    /// The upload cannot be dropped; the second start drops it.
    DropLater,
    /// The list of open uploads is not believed; the second start asks again, and drops what it finds.
    ListLater,
    /// A download that never ends is abandoned by the stop, and begun anew by the second start.
    Abandoned,
    /// What happens is a matter of the bit; nothing is lost whichever it is.
    AnyWay,
    /// Too many failures in a row: it ends by itself with 1, and the second start gets everything done.
    Ends,
    /// It does not even start, and ends with 1.
    NotStarted,
    /// The pull certainly cost nothing: nothing is suspect.
    PullRefused,
    /// The same, for as long as the fault lasts.
    PullsRefused,
    /// Events may have been lost, and were not.
    PullSuspect,
    /// The same, for as long as the fault lasts.
    PullsSuspect,
    /// The answer is lost, and its pull suspect.
    PullLost,
    /// The same, for as long as the fault lasts.
    PullsLost,
    /// The answer never ends; the stop cuts it, and the next start finds the mark of its pull.
    PullCut,
    /// What came is no answer: put aside, and suspect; nothing was lost.
    PutAside,
    /// The same, for as long as the fault lasts.
    PutAsides,
    /// What came is not the whole answer: put aside, and suspect; its events are not in the bucket.
    LostAside,
    /// The damage cannot be told from an event: it is stored as it was received.
    EventAsReceived,
    /// The damage cannot be told from a newer model version: the bulk is stored as it was received, and suspect where
    /// its version number speaks against that.
    BulkAsReceived,
    /// One stream is missing, and remembered so.
    OneMissing,
    /// All are.
    AllMissing,
}

impl Course {
    /// What is asserted of it; `all` is how many streams there are.
    pub fn expect(self, all: u64) -> Expect {
        match self {
            Self::Unnoticed => GOOD,
            Self::BelievedLeavingUpload => Expect { strays: true, ..GOOD },
            Self::Retried => Expect {
                repeated: true,
                ..GOOD
            },
            Self::RetriedInDoubt => Expect {
                uploads: SOME,
                doubts: SOME,
                ..Self::Retried.expect(all)
            },
            Self::StreamLater => Expect {
                failed: SOME,
                pending: SOME,
                ..LATER
            },
            Self::StreamLaterInDoubt => Expect {
                uploads: SOME,
                doubts: SOME,
                ..Self::StreamLater.expect(all)
            },
            Self::BundleLater => Expect {
                journal: SOME,
                ..LATER
            },
            Self::BundleAtStop => Expect {
                until: Until::GivenUp,
                ..GOOD
            },
            Self::ListLater => Expect {
                until: Until::Struck(1),
                uploads: SOME,
                ..GOOD
            },
            Self::DropLater => Expect {
                uploads: SOME,
                ..GOOD
            },
            Self::Abandoned => Expect {
                until: Until::Struck(2),
                pending: SOME,
                ..LATER
            },
            Self::AnyWay => Expect {
                until: Until::Either,
                failed: ANY,
                uploads: ANY,
                doubts: ANY,
                strays: true,
                ..LATER
            },
            Self::Ends => Expect {
                until: Until::Ended,
                exit: 1,
                failed: 3..=u64::MAX,
                pending: SOME,
                ..LATER
            },
            Self::NotStarted => Expect {
                until: Until::Ended,
                exit: 1,
                ..GOOD
            },
            Self::PullRefused => GOOD,
            Self::PullsRefused => Expect {
                until: Until::Struck(2),
                ..GOOD
            },
            Self::PullSuspect => Expect {
                suspects: SOME,
                ..GOOD
            },
            Self::PullsSuspect => Expect {
                until: Until::Struck(2),
                suspects: SOME,
                ..GOOD
            },
            Self::PullLost => Expect {
                suspects: SOME,
                lost: true,
                ..GOOD
            },
            Self::PullsLost => Expect {
                until: Until::Struck(2),
                ..Self::PullLost.expect(all)
            },
            Self::PullCut => Expect {
                until: Until::Struck(1),
                ..Self::PullLost.expect(all)
            },
            Self::PutAside => Expect {
                suspects: SOME,
                aside: SOME,
                ..GOOD
            },
            Self::PutAsides => Expect {
                until: Until::Struck(2),
                ..Self::PutAside.expect(all)
            },
            Self::LostAside => Expect {
                lost: true,
                ..Self::PutAside.expect(all)
            },
            Self::EventAsReceived => Expect {
                bucket: Bucket::OneAsReceived,
                ..GOOD
            },
            Self::BulkAsReceived => Expect {
                until: Until::Bundled,
                suspects: ANY,
                pending: ANY,
                bucket: Bucket::BulkAsReceived,
                ..GOOD
            },
            Self::OneMissing => Expect {
                bucket: Bucket::Without(1),
                ..GOOD
            },
            Self::AllMissing => Expect {
                bucket: Bucket::Without(all),
                ..GOOD
            },
        }
    }
}
