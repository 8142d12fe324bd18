//! What is told of single objects, each in a row of its own beside the marks: dead letters, and what the last pass
//! restores. A mark cannot tell of these, for the last pass goes through everything once more, wherever it sorts, and
//! what has been counted must not be counted again, whichever start counted it.
//!
//! An object whose row says that it is *told* is passed over. One whose row says that it is *expected* was missing in
//! the dispatcher when a last pass asked for it: if the dispatcher has it later, it was restored by this restore,
//! though nobody was left to count it.

use super::*;

/// What a row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// There is none.
    None,
    /// It is being restored by a last pass, and not counted.
    Expected,
    /// It has come to its fate, and is counted.
    Told,
}

/// No name of a lane ends like this.
fn name(key: &str) -> LaneName {
    format!("{key} alone")
}

/// The change that makes an object one that is expected.
pub(super) fn expected(key: &str) -> RestoreChange {
    RestoreChange::LaneReached(name(key), LaneMark::default())
}

/// The change that tells of an object.
pub(super) fn told(key: &str, figures: StreamFigures) -> RestoreChange {
    let mark = LaneMark {
        key: key.to_owned(),
        figures,
        ..LaneMark::default()
    };
    RestoreChange::LaneReached(name(key), mark)
}

/// The figures of an object that is given up.
pub(super) fn buried(size: u64) -> StreamFigures {
    StreamFigures {
        dead: 1,
        bytes: size,
        ..StreamFigures::default()
    }
}

impl Run<'_> {
    /// What the row of one form tells.
    pub(super) fn row(&self, key: &str) -> Result<Row, Halt> {
        Ok(match self.ports.state.lane(&name(key))? {
            None => Row::None,
            Some(mark) if mark.key.is_empty() => Row::Expected,
            Some(_) => Row::Told,
        })
    }

    /// What is told of an object in its forms, and the form whose row is to tell of it: the first of which none does.
    /// A form that has come since the other one was told of is new.
    pub(super) fn rows(&self, object: &Forms) -> Result<(Row, String), Halt> {
        let mut free: Option<(Row, String)> = None;
        for form in object.listed() {
            let row = self.row(&form.key)?;
            if row == Row::Expected || (row == Row::None && free.is_none()) {
                free = Some((row, form.key.clone()));
            }
        }
        Ok(free.unwrap_or_else(|| (Row::Told, object.key.clone())))
    }

    /// The changes that tell of an object, in their order: that of `row` comes last, with the figures.
    pub(super) fn all_told(&self, begun: &Begun, figures: StreamFigures) -> Result<Vec<RestoreChange>, Halt> {
        let mut changes = Vec::new();
        for form in begun.object.listed() {
            if form.key != begun.row && self.row(&form.key)? != Row::Told {
                changes.push(told(&form.key, StreamFigures::default()));
            }
        }
        changes.push(told(&begun.row, figures));
        Ok(changes)
    }

    /// Makes an object a dead letter and tells of it, in this order: a crash between the two repeats the first.
    pub(super) async fn bury(&self, key: &str, size: u64, fault: &Fault, attempts: u32) -> Result<(), Halt> {
        let dead = buried(size);
        self.bury_telling(key, fault, attempts, vec![told(key, dead)], dead)
            .await
    }

    /// The same, with the changes that tell of it.
    pub(super) async fn bury_telling(
        &self,
        key: &str,
        fault: &Fault,
        attempts: u32,
        telling: Vec<RestoreChange>,
        figures: StreamFigures,
    ) -> Result<(), Halt> {
        log::error!(error:% = fault; "{fault}; it is a dead letter now, the others go on");
        let letter = DeadLetter::of_object(Store::Streams, key, fault, attempts);
        self.ports
            .state
            .record(RestoreChange::GivenUp(letter, None))
            .await?;
        fault_point::pass(FaultPoint::RestoreStreamBuried);
        for change in telling {
            self.ports.state.record(change).await?;
        }
        self.count(figures);
        Ok(())
    }

    /// An object whose key is not one of a stream.
    pub(super) async fn bury_stray(&self, object: &ListedObject) -> Result<(), Halt> {
        if self.row(&object.key)? == Row::Told {
            return Ok(());
        }
        let detail = "its key is not SOURCE/LABEL/SHA256: it is not a stream of a backup";
        let fault = Fault::corrupt("restore stream", object.key.escape_debug(), detail);
        self.bury(&object.key, object.size, &fault, 1).await
    }

    pub(super) fn count(&self, figures: StreamFigures) {
        self.ports
            .standing
            .source(self.source, |standing| standing.figures += figures);
    }

    /// The mark behind which a lane goes on. One that was a part of a larger lane in an earlier start goes on behind
    /// the mark of that, which keeps its figures.
    pub(super) fn mark_of(&self, range: &LaneRange) -> Result<Option<LaneMark>, Halt> {
        if !self.keeps_marks() {
            return Ok(None);
        }
        let state = &self.ports.state;
        if let Some(mark) = state.lane(&range.name)? {
            return Ok(Some(mark));
        }
        let whole = match range.is_whole() {
            true => None,
            false => state.lane(&range.prefix)?,
        };
        let key = whole.map(|whole| whole.key);
        let key = key.filter(|key| range.after.as_ref().is_none_or(|after| key > after));
        Ok(key.map(|key| LaneMark {
            key,
            ..LaneMark::default()
        }))
    }

    /// Whether an earlier start, or pass, has cut a label: then it stays cut, for the marks are those of the parts.
    pub(super) fn was_cut(&self, prefix: &str) -> Result<bool, Halt> {
        for range in LaneRange::cut(prefix) {
            if self.ports.state.lane(&range.name)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
