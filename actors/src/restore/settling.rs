//! How every event of a bundle comes to its fate, whatever the dispatcher leaves unsaid.
//!
//! The dispatcher drops an invalid event *and all that follow it* without a word, answers 425 for what it has
//! filtered and for what it has not looked at alike, and refuses a whole bulk for one event that it cannot decode.
//! So an answer is believed only for the events that it accounts for; the rest is published again, and an event is
//! given up only when it stood *alone* in a request:
//!
//! | answer to a run of n events | what is settled | what is published next |
//! | --- | --- | --- |
//! | 200, ok + refused = n | all | |
//! | 200, ok + refused = k < n | the first k | event k alone, then those after it |
//! | 425, the names account for k ≤ n | the first k, as filtered | the same |
//! | 425, older than the source keeps | the first k, which by our settings are | the same; for k = 0 each event alone |
//! | 422, 400; 500 that persists | none | both halves |
//! | any of these without progress, n = 1 | that event: dead letter | |
//!
//! Runs are worked off from the front, so that the events of a feed keep their order. Each request settles an event
//! or halves a run: n events, b of them bad, take at most about b · 2 log₂ n requests.

use std::collections::VecDeque;
use std::ops::Range;

/// What the dispatcher answered to a run of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200.
    Took {
        /// `total_ok`.
        ok: u64,
        /// Which it refused by name, counted within the bundle, and why.
        refused: Vec<(u64, String)>,
    },
    /// 425: the filters that it names stopped so many events.
    Filtered {
        /// The sum over the names in its list; 0 for an empty list.
        accounted: u64,
    },
    /// 425: older than the source keeps; so many from the front are so by the settings.
    AgedOff {
        /// Events from the front of the run whose source has outlived them.
        accounted: u64,
    },
    /// 422, 400, or a 500 that did not go away: something in the run is not taken.
    NotTaken {
        /// What came back.
        reason: String,
    },
}

/// What became of the events of a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Decoded and found valid; filters may still have dropped some, which the dispatcher does not say.
    pub accepted: u64,
    /// Refused by name, by index, with the reason; each is a dead letter.
    pub refused: Vec<(u64, String)>,
    /// Filtered, or older than the source keeps.
    pub filtered: u64,
    /// Given up, by index, with the reason.
    pub given_up: Vec<(u64, String)>,
}

impl Settled {
    /// How many events have come to their fate.
    pub fn events(&self) -> u64 {
        self.accepted + self.refused.len() as u64 + self.filtered + self.given_up.len() as u64
    }
}

/// An answer accounts for more events than it was asked about: it is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer accounts for {claimed} events, of {sent} that were sent")]
pub struct Overclaimed {
    /// By the answer.
    pub claimed: u64,
    /// By us.
    pub sent: u64,
}

/// The events of one bundle that have not come to their fate.
#[derive(Clone, Debug)]
pub struct Settling {
    /// Runs still to be published, in order; none is empty.
    runs: VecDeque<Range<u64>>,
    settled: Settled,
    /// How many answers have settled nothing and said nothing.
    unexplained: u32,
}

const WITHOUT_A_WORD: &str = "the dispatcher dropped it without a word: it is invalid under its rules";

const WITHOUT_A_REASON: &str = "the dispatcher dropped it without a reason: it is invalid under its rules";

/// After so many answers that settle nothing each further one has every event stand alone: to set one aside and send
/// the rest again would send most events as often as there are others.
const MOST_UNEXPLAINED: u32 = 8;

impl Settling {
    /// These runs of the events of a bundle, all of them unsettled.
    pub fn new(runs: impl IntoIterator<Item = Range<u64>>) -> Self {
        Self {
            runs: runs.into_iter().filter(|run| !run.is_empty()).collect(),
            settled: Settled::default(),
            unexplained: 0,
        }
    }

    /// The run to publish next; `None` when all is settled.
    pub fn next(&self) -> Option<Range<u64>> {
        self.runs.front().cloned()
    }

    /// What is settled so far.
    pub fn settled(&self) -> &Settled {
        &self.settled
    }

    /// Takes the answer to the run of [`Settling::next`].
    ///
    /// # Errors
    /// It accounts for more than was sent; nothing has been settled by it.
    pub fn take(&mut self, answer: Answer) -> Result<(), Overclaimed> {
        let Some(run) = self.runs.front().cloned() else {
            return Ok(());
        };
        let sent = run.end - run.start;
        match answer {
            Answer::Took { ok, refused } => {
                let claimed = ok.saturating_add(refused.len() as u64);
                self.believe(claimed, sent)?;
                self.settled.accepted += ok;
                self.settled.refused.extend(refused);
                self.go_on(run, claimed, WITHOUT_A_WORD);
            }
            Answer::Filtered { accounted } => {
                self.believe(accounted, sent)?;
                self.settled.filtered += accounted;
                self.unexplained += u32::from(accounted == 0);
                if self.unexplained > MOST_UNEXPLAINED && accounted == 0 {
                    self.each_alone(run, WITHOUT_A_REASON);
                } else {
                    self.go_on(run, accounted, WITHOUT_A_REASON);
                }
            }
            Answer::AgedOff { accounted } => {
                self.believe(accounted, sent)?;
                // An answer about one event alone speaks of that event, whatever the settings say.
                let accounted = if sent == 1 { 1 } else { accounted };
                self.settled.filtered += accounted;
                match accounted {
                    0 => self.each_alone(run, ""),
                    accounted => self.go_on(run, accounted, ""),
                }
            }
            Answer::NotTaken { reason } => {
                self.runs.pop_front();
                if sent == 1 {
                    self.settled.given_up.push((run.start, reason));
                } else {
                    let middle = run.start + sent / 2;
                    self.put_back([run.start..middle, middle..run.end]);
                }
            }
        }
        Ok(())
    }

    fn believe(&self, claimed: u64, sent: u64) -> Result<(), Overclaimed> {
        match claimed <= sent {
            true => Ok(()),
            false => Err(Overclaimed { claimed, sent }),
        }
    }

    /// The first `accounted` events of `run` are settled; the one after them stopped it.
    fn go_on(&mut self, run: Range<u64>, accounted: u64, why_not: &str) {
        self.runs.pop_front();
        let stopped_at = run.start + accounted;
        if stopped_at == run.end {
            return;
        }
        if run.end - run.start == 1 {
            self.settled.given_up.push((stopped_at, why_not.to_owned()));
            return;
        }
        self.put_back([stopped_at..stopped_at + 1, stopped_at + 1..run.end]);
    }

    /// Nothing of `run` is settled, and nothing says where to cut it.
    fn each_alone(&mut self, run: Range<u64>, why_not: &str) {
        self.runs.pop_front();
        if run.end - run.start == 1 {
            self.settled.given_up.push((run.start, why_not.to_owned()));
        } else {
            self.put_back(run.map(|event| event..event + 1));
        }
    }

    fn put_back(&mut self, runs: impl IntoIterator<Item = Range<u64>, IntoIter: DoubleEndedIterator>) {
        for run in runs.into_iter().rev().filter(|run| !run.is_empty()) {
            self.runs.push_front(run);
        }
    }
}

#[cfg(test)]
mod tests;
