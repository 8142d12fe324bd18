//! Streams that the dispatcher does not have: what the log tells of them, and the look for those to be asked for once
//! more.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::fault_point::{self, FaultPoint};
use crate::ports::LocalState;
use crate::ports::state::{ASKED_AGAIN_AFTER, StateFault};
use crate::stream_id::StreamId;
use crate::timestamp::Timestamp;

/// How many missing streams are looked at in one go: others have their turn with local state in between.
const REVIVE_SLICE: usize = 500;

/// At most so often the log tells of missing streams; a dispatcher with a wrong store answers 404 to everything.
const MISSING_TOLD_EVERY: Duration = Duration::from_secs(60);

/// What the log has to tell of missing streams.
#[derive(Debug, Default)]
pub(super) struct MissingLog {
    told: Option<Instant>,
    untold: u64,
}

impl MissingLog {
    /// One more; the text is for the log, if it is time for one.
    pub(super) fn add(&mut self, stream: &StreamId, now: Instant) -> Option<String> {
        self.untold += 1;
        if self
            .told
            .is_some_and(|told| now.duration_since(told) < MISSING_TOLD_EVERY)
        {
            return None;
        }
        self.told = Some(now);
        let text = match std::mem::take(&mut self.untold) {
            1 => format!("the dispatcher does not have stream {stream}: it is remembered as missing"),
            more => format!(
                "the dispatcher does not have {more} streams, {stream} the last of them: they are remembered as missing"
            ),
        };
        Some(format!(
            "{text}, and asked for once more after a day (azul-backup failed-streams lists what is missing)"
        ))
    }
}

/// Looks through all missing streams, slice by slice, and returns how many are asked for once more.
///
/// # Errors
/// See [`StateFault`]; those of earlier slices are pending all the same.
pub(super) async fn revive_due(state: Rc<dyn LocalState>, now: Timestamp) -> Result<u64, StateFault> {
    let asked_before = Timestamp::from_micros(
        now.as_micros() - i64::try_from(ASKED_AGAIN_AFTER.as_micros()).unwrap_or(i64::MAX),
    );
    let (mut count, mut after) = (0, None);
    loop {
        let slice = state
            .revive_missing(after, REVIVE_SLICE, asked_before, now)
            .await?;
        if slice.count > 0 {
            fault_point::pass(FaultPoint::StreamsRevived);
        }
        count += slice.count;
        if slice.next.is_none() {
            return Ok(count);
        }
        after = slice.next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::state::Change;
    use crate::testkit::MemoryState;

    fn stream(number: u32) -> StreamId {
        StreamId::new("samples", "content", &format!("{number:064x}")).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_lacks_everything_does_not_fill_the_log() {
        let mut log = MissingLog::default();
        let first = log.add(&stream(0), Instant::now()).unwrap();
        assert!(
            first.contains(&format!("does not have stream {}", stream(0))),
            "{first}"
        );
        for number in 1..1000 {
            assert_eq!(log.add(&stream(number), Instant::now()), None);
        }
        tokio::time::advance(MISSING_TOLD_EVERY).await;
        let next = log.add(&stream(1000), Instant::now()).unwrap();
        assert!(next.contains("does not have 1000 streams"), "{next}");
        assert!(next.contains("azul-backup failed-streams"), "{next}");
    }

    #[tokio::test]
    async fn all_that_are_due_are_revived_however_many_in_requests_of_a_bounded_size() {
        let state = MemoryState::new();
        let count = u32::try_from(2 * REVIVE_SLICE).unwrap() + 1;
        for number in 0..count {
            let missing = Change::StreamMissing(stream(number), Timestamp::from_micros(1));
            state.record(missing).await.unwrap();
        }
        let revived = revive_due(Rc::new(state.clone()), Timestamp::now()).await;
        assert_eq!(revived, Ok(u64::from(count)));
        assert_eq!(state.counts().pending, u64::from(count));
        assert_eq!(state.calls().count(crate::testkit::StateCall::ReviveMissing), 3);
    }
}
