//! What it all comes to, in one sentence, and the exit code that goes with it.

use std::fmt;

use actors::restore::progress::Progress;
use indicatif::HumanCount;

use crate::exit::Exit;

/// How the work ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All of it was worked off, the last pass included.
    Finished,
    /// It ended before that, with its checkpoints intact.
    Stopped {
        /// Why, for people: `SIGTERM`, or a fault.
        why: String,
        /// Where, for people: `streams of samples`.
        at: String,
    },
}

/// What a restore came to, and what has to be said beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    came_to: CameTo,
    remarks: Vec<String>,
}

/// What a restore came to. The first that holds, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum CameTo {
    /// It ended early.
    Stopped {
        /// Why.
        why: String,
        /// Where.
        at: String,
    },
    /// Some events came to no fate, or to two: this program is wrong.
    Unsound,
    /// There was nothing where something was asked for.
    NothingFound {
        /// What was looked for.
        what: Vec<String>,
        /// Streams of others that are back.
        streams: u64,
        /// Events of others that have come to their fate.
        events: u64,
        /// How much of others could not be put back.
        given_up: u64,
    },
    /// It is finished, but so many streams, events and bundles were not put back.
    Incomplete {
        /// Streams.
        streams: u64,
        /// Events: refused, and given up.
        events: u64,
        /// Bundles that could not be read; their events are among the others.
        bundles: u64,
    },
    /// Everything that was planned is back, and was verified.
    Restored {
        /// Streams.
        streams: u64,
        /// Of these the dispatcher had so many already.
        there: u64,
        /// Events.
        events: u64,
        /// Of these the dispatcher filtered so many.
        filtered: u64,
    },
}

impl Verdict {
    /// Judges. `nothing_of` is what was asked for and not found ([`Progress::nothing_of`]), empty where that is
    /// allowed.
    pub fn of(progress: &Progress, ending: &Ending, nothing_of: Vec<String>) -> Self {
        Self {
            came_to: CameTo::of(progress, ending, nothing_of),
            remarks: remarks(progress),
        }
    }

    /// How the program ends.
    pub fn exit(&self) -> Exit {
        match self.came_to {
            CameTo::Restored { .. } => Exit::Done,
            CameTo::Stopped { .. } | CameTo::NothingFound { .. } => Exit::Failed,
            CameTo::Incomplete { .. } | CameTo::Unsound => Exit::Incomplete,
        }
    }

    /// One word for machines.
    pub fn word(&self) -> &'static str {
        match self.came_to {
            CameTo::Stopped { .. } => "stopped",
            CameTo::Unsound => "unsound",
            CameTo::NothingFound { .. } => "nothing-found",
            CameTo::Incomplete { .. } => "incomplete",
            CameTo::Restored { .. } => "restored",
        }
    }
}

impl CameTo {
    fn of(progress: &Progress, ending: &Ending, nothing_of: Vec<String>) -> Self {
        let (streams, events) = (progress.all_streams(), progress.all_events());
        match ending {
            Ending::Stopped { why, at } => Self::Stopped {
                why: why.clone(),
                at: at.clone(),
            },
            Ending::Finished if !progress.unsound().is_empty() => Self::Unsound,
            Ending::Finished if !nothing_of.is_empty() => Self::NothingFound {
                what: nothing_of,
                streams: streams.restored + streams.there,
                events: events.events,
                given_up: progress.given_up(),
            },
            Ending::Finished if progress.given_up() > 0 => Self::Incomplete {
                streams: streams.dead,
                events: events.refused + events.dead,
                bundles: events.unreadable,
            },
            Ending::Finished => Self::Restored {
                streams: streams.restored + streams.there,
                there: streams.there,
                events: events.events,
                filtered: events.filtered,
            },
        }
    }
}

/// What is no failure, and has to be known all the same: each a sentence of its own.
fn remarks(progress: &Progress) -> Vec<String> {
    let (streams, bundles) = (progress.all_streams().gone, progress.all_events().gone);
    let gone = [
        counted(streams, "stream", "streams"),
        counted(bundles, "bundle of events", "bundles of events"),
    ];
    let gone: Vec<String> = gone.into_iter().flatten().collect();
    let mut remarks = Vec::new();
    if !gone.is_empty() {
        remarks.push(format!(
            "Aged off since they were listed, and not restored: {}.",
            gone.join(", ")
        ));
    }
    if progress.misnamed > 0 {
        let bundles = counted(progress.misnamed, "bundle holds", "bundles hold");
        remarks.push(format!(
            "{} another number of events than the name says: the log tells which.",
            bundles.unwrap_or_default()
        ));
    }
    let left = progress.left_behind.names();
    if !left.is_empty() {
        remarks.push(format!("Left in the bucket, and not restored: {}.", few(&left)));
    }
    remarks
}

/// The first of them, and how many more there are.
fn few(names: &[String]) -> String {
    const MOST: usize = 10;
    let shown = names.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.came_to.fmt(f)?;
        self.remarks.iter().try_for_each(|remark| write!(f, " {remark}"))
    }
}

impl fmt::Display for CameTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped { why, at } => write!(
                f,
                "STOPPED EARLY by {why}, at {at}: not everything is back; the next start of the same restore goes on \
                 from here."
            ),
            Self::Unsound => f.write_str(
                "FINISHED, BUT THE SUMS DO NOT HOLD: events are unaccounted for, or counted twice. That is a fault of \
                 this program: do not take this restore for complete.",
            ),
            Self::NothingFound { what, streams, events, given_up } => {
                write!(
                    f,
                    "NOT RESTORED, for nothing was found where something was asked for: {} (--allow-empty lets that pass).",
                    what.join("; ")
                )?;
                if streams + events + given_up == 0 {
                    return Ok(());
                }
                write!(
                    f,
                    " All else is back, {} streams and {} events",
                    HumanCount(*streams),
                    HumanCount(*events)
                )?;
                if *given_up > 0 {
                    write!(f, ", but for {} dead letters", HumanCount(*given_up))?;
                }
                f.write_str("; the next start sends none of it again.")
            }
            Self::Incomplete { streams, events, bundles } => {
                let told = [
                    counted(*streams, "stream", "streams"),
                    counted(*events, "event", "events"),
                    counted(*bundles, "unreadable bundle", "unreadable bundles"),
                ];
                let told: Vec<String> = told.into_iter().flatten().collect();
                let told = told.join(", ");
                write!(
                    f,
                    "FINISHED, BUT NOT COMPLETE: {told} could not be put back; `azul-backup dead-letters` lists what still \
                     is not, and everything else is restored and was verified."
                )
            }
            Self::Restored { streams, there, events, filtered } => {
                write!(
                    f,
                    "RESTORED: everything that was planned is back and was verified: {} streams",
                    HumanCount(*streams)
                )?;
                if *there > 0 {
                    write!(f, " ({} of them were there already)", HumanCount(*there))?;
                }
                write!(f, ", {} events", HumanCount(*events))?;
                match filtered {
                    0 => f.write_str("."),
                    filtered => {
                        write!(f, " ({} of them the dispatcher filtered or lets expire).", HumanCount(*filtered))
                    }
                }
            }
        }
    }
}

fn counted(count: u64, one: &str, many: &str) -> Option<String> {
    match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{} {many}", HumanCount(count))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::progress;
    use super::*;

    fn verdict(ending: &Ending, change: impl FnOnce(&mut Progress)) -> (String, u8) {
        let mut progress = progress();
        progress.left_behind = Default::default();
        change(&mut progress);
        let verdict = Verdict::of(&progress, ending, Vec::new());
        (verdict.to_string(), verdict.exit().code())
    }

    fn all_well(progress: &mut Progress) {
        progress
            .streams
            .iter_mut()
            .for_each(|source| source.figures.dead = 0);
        for feed in &mut progress.feeds {
            let figures = &mut feed.figures;
            figures.accepted = figures.events - figures.filtered;
            (figures.refused, figures.dead, figures.unreadable) = (0, 0, 0);
        }
    }

    #[test]
    fn only_what_was_all_put_back_is_called_restored() {
        let (text, code) = verdict(&Ending::Finished, all_well);
        assert_eq!(
            text,
            "RESTORED: everything that was planned is back and was verified: 9,000 streams (1,000 of them were there \
             already), 21,007 events (4 of them the dispatcher filtered or lets expire)."
        );
        assert_eq!(code, 0);
    }

    #[test]
    fn whatever_is_dead_lettered_or_refused_is_in_the_sentence() {
        let (text, code) = verdict(&Ending::Finished, |_| {});
        assert_eq!(
            text,
            "FINISHED, BUT NOT COMPLETE: 1 stream, 5 events, 1 unreadable bundle could not be put back; \
             `azul-backup dead-letters` lists what still is not, and everything else is restored and was verified."
        );
        assert_eq!(code, 3);
        // Each alone is enough.
        for change in [
            (|progress: &mut Progress| progress.streams[0].figures.dead = 1) as fn(&mut Progress),
            |progress| {
                (
                    progress.feeds[0].figures.refused,
                    progress.feeds[0].figures.accepted,
                ) = (1, 6)
            },
            |progress| (progress.feeds[0].figures.dead, progress.feeds[0].figures.accepted) = (1, 6),
            |progress| progress.feeds[0].figures.unreadable = 1,
        ] {
            let (text, code) = verdict(&Ending::Finished, |progress| {
                all_well(progress);
                change(progress);
            });
            assert_eq!(code, 3, "{text}");
        }
    }

    #[test]
    fn an_early_end_says_why_and_where_whatever_else_there_is_to_say() {
        let ending = Ending::Stopped {
            why: "SIGTERM".to_owned(),
            at: "streams of samples".to_owned(),
        };
        let (text, code) = verdict(&ending, |_| {});
        assert_eq!(
            text,
            "STOPPED EARLY by SIGTERM, at streams of samples: not everything is back; the next start of the same restore \
             goes on from here."
        );
        assert_eq!(code, 1);
    }

    #[test]
    fn nothing_where_something_was_asked_for_is_a_failure() {
        let verdict = Verdict::of(
            &Progress::default(),
            &Ending::Finished,
            vec!["source zoo: no streams in the bucket".to_owned()],
        );
        assert_eq!(
            verdict.to_string(),
            "NOT RESTORED, for nothing was found where something was asked for: source zoo: no streams in the bucket \
             (--allow-empty lets that pass)."
        );
        assert_eq!(verdict.exit().code(), 1);
    }

    #[test]
    fn what_is_left_in_the_bucket_is_in_the_sentence_whatever_it_says() {
        let text = |change: fn(&mut Progress), ending: &Ending| {
            let (text, _) = verdict(ending, |progress| {
                progress.left_behind.sources = super::super::table::tests::progress().left_behind.sources;
                progress.left_behind.folders = vec!["samples/binary/rescored/".to_owned()];
                progress.misnamed = 2;
                change(progress);
            });
            text
        };
        let stopped = Ending::Stopped {
            why: "SIGTERM".to_owned(),
            at: "events".to_owned(),
        };
        let texts = [
            text(all_well, &Ending::Finished),
            text(|_| {}, &Ending::Finished),
            text(|_| {}, &stopped),
        ];
        for text in texts {
            assert!(
                text.ends_with(
                    " 2 bundles hold another number of events than the name says: the log tells which. Left in the \
                     bucket, and not restored: source `old`, `samples/binary/rescored/`."
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn what_aged_off_before_its_turn_came_is_in_the_sentence() {
        let (text, code) = verdict(&Ending::Finished, |progress| {
            all_well(progress);
            progress.streams[0].figures.gone = 2;
            progress.feeds[1].figures.gone = 1;
        });
        assert!(
            text.ends_with(
                " Aged off since they were listed, and not restored: 2 streams, 1 bundle of events."
            ),
            "{text}"
        );
        assert_eq!(code, 0);
    }

    #[test]
    fn what_is_back_although_something_was_not_found_is_told() {
        let mut progress = progress();
        progress.left_behind = Default::default();
        let verdict = Verdict::of(
            &progress,
            &Ending::Finished,
            vec!["source old: no streams in the bucket".to_owned()],
        );
        assert!(
            verdict.to_string().ends_with(
                "(--allow-empty lets that pass). All else is back, 9,000 streams and 21,007 events, but for 7 dead letters; \
                 the next start sends none of it again."
            ),
            "{verdict}"
        );
    }

    #[test]
    fn a_sum_that_does_not_hold_is_never_a_success() {
        let (text, code) = verdict(&Ending::Finished, |progress| {
            all_well(progress);
            progress.feeds[1].figures.accepted -= 1;
        });
        assert!(text.starts_with("FINISHED, BUT THE SUMS DO NOT HOLD"), "{text}");
        assert_eq!(code, 3);
    }
}
