//! What a restore has done so far, shared between those who do it and whoever shows it. Belongs to the thread of the
//! actors.

use std::cell::RefCell;
use std::rc::Rc;

use super::listed_key::is_folder_marker;
use super::progress::{FeedProgress, Progress, SourceProgress, Stage};
use crate::feed::{Feed, SourceName};
use crate::ports::archive::ListedObject;
use crate::ports::restore_state::{EventFigures, StreamFigures};

/// Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Standing(Rc<RefCell<Progress>>);

impl Standing {
    /// Of these sources and feeds, with what earlier starts have done.
    pub fn new(
        sources: impl IntoIterator<Item = (SourceName, StreamFigures)>,
        feeds: impl IntoIterator<Item = (Feed, EventFigures)>,
    ) -> Self {
        let streams = sources.into_iter().map(|(source, figures)| SourceProgress {
            source,
            figures,
            total: None,
            is_active: false,
            is_done: false,
        });
        let feeds = feeds.into_iter().map(|(feed, figures)| FeedProgress {
            feed,
            figures,
            not_wanted: 0,
            total: None,
            reached: None,
            is_active: false,
            is_done: false,
        });
        Self(Rc::new(RefCell::new(Progress {
            streams: streams.collect(),
            feeds: feeds.collect(),
            ..Progress::default()
        })))
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        self.0.borrow().clone()
    }

    /// Changes it.
    pub fn update<T>(&self, change: impl FnOnce(&mut Progress) -> T) -> T {
        change(&mut self.0.borrow_mut())
    }

    /// One more page, or object.
    pub(super) fn looked_at_one(&self) {
        self.update(|progress| progress.looked_at += 1);
    }

    pub(super) fn enter(&self, stage: Stage) {
        self.update(|progress| progress.stage = stage);
    }

    /// Whether it is the mark of a folder, which is passed over; counts it.
    pub(super) fn passes_over(&self, object: &ListedObject) -> bool {
        let is_marker = is_folder_marker(object);
        self.update(|progress| progress.folder_markers += u64::from(is_marker));
        is_marker
    }

    pub(super) fn source(&self, source: &SourceName, change: impl FnOnce(&mut SourceProgress)) {
        self.update(|progress| {
            let known = progress.streams.iter_mut().find(|known| known.source == *source);
            known.map(change)
        });
    }

    pub(super) fn feed(&self, feed: &Feed, change: impl FnOnce(&mut FeedProgress)) {
        self.update(|progress| {
            let known = progress.feeds.iter_mut().find(|known| known.feed == *feed);
            known.map(change)
        });
    }
}
