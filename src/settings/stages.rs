//! How long each stage of a stop may take, and what is odd about these times.

use std::time::Duration;

use super::reader::Reader;

/// What Kubernetes waits between SIGTERM and the kill, unless it is told otherwise.
const USUAL_GRACE: Duration = Duration::from_secs(30);

/// What a stop may take beyond its stages before the process is ended by force.
pub const STOP_GRACE: Duration = Duration::from_secs(2);

/// How long each stage of a stop after a signal may take.
#[derive(Clone, Debug)]
pub struct StageSettings {
    /// Events: pulls in flight, bundles.
    pub events: Duration,
    /// Hit cache.
    pub cache: Duration,
    /// Streams in flight.
    pub streams: Duration,
    /// Local state.
    pub state: Duration,
}

impl StageSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let [events, cache, streams, state] = ["EVENTS", "CACHE", "STREAMS", "STATE"].map(|stage| {
            reader.duration(
                &format!("BK__STAGE_{stage}"),
                Duration::ZERO..=Duration::from_secs(3600),
            )
        });
        Some(Self {
            events: events?,
            cache: cache?,
            streams: streams?,
            state: state?,
        })
    }

    /// What an operator should be warned of.
    pub(super) fn warnings(&self, pull_deadline: Duration) -> Vec<String> {
        let mut warnings = Vec::new();
        if pull_deadline > self.events {
            warnings.push(format!(
                "BK__EVENT_PULL_DEADLINE ({pull_deadline:?}) is longer than BK__STAGE_EVENTS ({:?}): an orderly stop \
                 may cut off a pull, and events may be lost by it; make BK__STAGE_EVENTS the longer one",
                self.events
            ));
        }
        let all = self.events + self.cache + self.streams + self.state + STOP_GRACE;
        if all > USUAL_GRACE {
            warnings.push(format!(
                "the four BK__STAGE_… and {STOP_GRACE:?} of grace together take up to {all:?}, and Kubernetes kills \
                 after {USUAL_GRACE:?} unless told otherwise: raise terminationGracePeriodSeconds to {all:?} at least"
            ));
        }
        warnings
    }
}
