//! Where a restore would go on, found out without touching anything.
//!
//! A database cannot be opened without being written to, and a restore cannot be looked up without being begun. So
//! both are done to a copy ([`StateCopy`]), which is gone afterwards.

use actors::feed::{Feed, SourceName};
use actors::ports::restore_state::{EventFigures, RestoreId, RestoreState, StreamFigures, Unfinished};
use actors::ports::state::StateFault;
use actors::timestamp::Timestamp;

mod state_copy;

pub use state_copy::{NoCopy, StateCopy};

/// Where a restore would go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// There is no unfinished restore of the same bucket, target and selection, or it would be ignored.
    FromStart,
    /// There is one, and it has come so far.
    At(Checkpoints),
    /// Another process works on local state; what it has noted of itself.
    InUse(String),
    /// It cannot be told, why: then a restore could not start either.
    Unknown(String),
}

/// How far an unfinished restore has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    /// When it began, and how often it was started.
    pub unfinished: Unfinished,
    /// Of each source.
    pub streams: Vec<(SourceName, StreamFigures)>,
    /// Of each feed.
    pub feeds: Vec<(Feed, EventFigures)>,
}

impl Resume {
    /// Looks into `copy`: a copy of local state, in which the restore is begun to see its checkpoints.
    ///
    /// # Errors
    /// See [`StateFault`].
    pub async fn look(
        copy: &dyn RestoreState,
        id: &RestoreId,
        sources: &[SourceName],
        feeds: &[Feed],
    ) -> Result<Self, StateFault> {
        let Some(unfinished) = copy.unfinished(id)? else {
            return Ok(Self::FromStart);
        };
        copy.begin(id, false, Timestamp::now()).await?;
        let streams = sources.iter().map(|source| {
            let lanes = copy.lanes(&format!("{source}/"))?;
            Ok((source.clone(), lanes.iter().map(|(_, mark)| mark.figures).sum()))
        });
        let feeds = feeds
            .iter()
            .map(|feed| Ok((feed.clone(), copy.feed_figures(feed)?)));
        Ok(Self::At(Checkpoints {
            unfinished,
            streams: streams.collect::<Result<_, StateFault>>()?,
            feeds: feeds.collect::<Result<_, StateFault>>()?,
        }))
    }

    /// Whether a restore could not even start.
    pub(super) fn is_doubtful(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }

    /// Streams of a source that have come to their fate.
    pub(super) fn streams_done(&self, source: &SourceName) -> Option<u64> {
        let Self::At(at) = self else { return None };
        let (_, figures) = at.streams.iter().find(|(name, _)| name == source)?;
        Some(figures.objects())
    }

    /// Bundles of a feed that have come to their fate.
    pub(super) fn bundles_done(&self, feed: &Feed) -> Option<u64> {
        let Self::At(at) = self else { return None };
        let (_, figures) = at.feeds.iter().find(|(name, _)| name == feed)?;
        Some(figures.bundles + figures.unreadable)
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::FromStart => {
                "It would begin at the start: there is no unfinished restore of this bucket, dispatcher and \
                                selection, or --from-start ignores it."
                    .to_owned()
            }
            Self::At(at) => format!(
                "It would go on with the restore begun at {} and started {} times so far: what is done already is told \
                 above (--from-start begins anew).",
                at.unfinished.begun, at.unfinished.starts
            ),
            Self::InUse(holder) => format!(
                "Where it would go on is not told: another process works on it just now ({holder}), and a second restore \
                 would not start."
            ),
            Self::Unknown(why) => format!("WRONG: where it would go on cannot be told: {why}"),
        }
    }

    pub(super) fn json(&self) -> serde_json::Value {
        match self {
            Self::FromStart => serde_json::json!({"unfinished": false}),
            Self::InUse(holder) => serde_json::json!({"unfinished": null, "in_use_by": holder}),
            Self::Unknown(why) => serde_json::json!({"unfinished": null, "fault": why}),
            Self::At(at) => {
                let streams = at.streams.iter().map(|(source, figures)| {
                    (
                        source.to_string(),
                        serde_json::json!({"done": figures.objects(), "figures": figures}),
                    )
                });
                let feeds = at
                    .feeds
                    .iter()
                    .map(|(feed, figures)| (feed.to_string(), serde_json::json!(figures)));
                serde_json::json!({
                    "unfinished": true,
                    "begun": at.unfinished.begun.to_string(),
                    "starts": at.unfinished.starts,
                    "streams": streams.collect::<serde_json::Map<_, _>>(),
                    "feeds": feeds.collect::<serde_json::Map<_, _>>(),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use actors::ports::restore_state::{LaneMark, RestoreChange};
    use actors::testkit::MemoryRestoreState;

    use super::*;

    fn id(selection: &str) -> RestoreId {
        RestoreId {
            bucket: "b".to_owned(),
            target: "t".to_owned(),
            selection: selection.to_owned(),
        }
    }

    #[tokio::test]
    async fn only_an_unfinished_restore_of_the_same_selection_is_gone_on_with() {
        let state = MemoryRestoreState::new();
        let sources = ["abc", "abcd"].map(|name| SourceName::new(name).unwrap());
        let look = |selection: &'static str| {
            let (state, sources) = (state.reopen(), sources.clone());
            async move { Resume::look(&state, &id(selection), &sources, &[]).await.unwrap() }
        };
        assert_eq!(look("one").await, Resume::FromStart);
        let begun = state.reopen();
        begun
            .begin(&id("one"), false, Timestamp::from_micros(7))
            .await
            .unwrap();
        for (lane, restored) in [("abc/content/0", 2), ("abc/text/", 3), ("abcd/content/", 50)] {
            let figures = StreamFigures {
                restored,
                ..StreamFigures::default()
            };
            let mark = LaneMark {
                key: lane.to_owned(),
                figures,
                ..LaneMark::default()
            };
            begun
                .record(RestoreChange::LaneReached(lane.to_owned(), mark))
                .await
                .unwrap();
        }
        let found = look("one").await;
        assert_eq!(
            sources.each_ref().map(|source| found.streams_done(source)),
            [Some(5), Some(50)]
        );
        assert_eq!(look("other").await, Resume::FromStart);
    }
}
