//! Lanes: ranges of the keys of one label, each listed and worked off in the order of its keys.
//!
//! A label is cut at the hexadecimal digits into sixteen lanes, which are listed side by side, if its first page does
//! not reach beyond the first of them: then there is about a page for each. A smaller one is one lane, for each of
//! sixteen would list a page to use a part of it. The ranges leave no gap between them, so that a key that should not
//! be there is found too. A label that has grown may be cut by a later start: its lanes go on behind the mark of the
//! whole. One that was cut stays so.

use std::collections::VecDeque;

use super::low_water::LowWater;
use crate::ports::archive::{ListPage, ListedObject};
use crate::ports::restore_state::{LaneMark, LaneName, StreamFigures};

/// Keys greater than one bound, up to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneRange {
    /// What its mark is kept under.
    pub name: LaneName,
    /// `{source}/{label}/`.
    pub prefix: String,
    /// The greatest key that does not belong to it; `None`: it begins with the prefix.
    pub after: Option<String>,
    /// The greatest key that may belong to it; `None`: it ends with the prefix.
    pub up_to: Option<String>,
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

impl LaneRange {
    /// All keys with this prefix.
    pub fn whole(prefix: &str) -> Self {
        Self {
            name: prefix.to_owned(),
            prefix: prefix.to_owned(),
            after: None,
            up_to: None,
        }
    }

    /// All keys with this prefix, cut at the hexadecimal digits.
    pub fn cut(prefix: &str) -> Vec<Self> {
        let at = |digit: u8| format!("{prefix}{}", char::from(digit));
        let lanes = DIGITS.iter().enumerate().map(|(index, digit)| Self {
            name: at(*digit),
            prefix: prefix.to_owned(),
            after: (index > 0).then(|| at(*digit)),
            up_to: DIGITS.get(index + 1).map(|next| at(*next)),
        });
        lanes.collect()
    }

    /// Whether all keys with this prefix are to be cut, by the first page of them.
    pub fn is_to_be_cut(prefix: &str, first: &ListPage) -> bool {
        let last = first.objects.last().filter(|_| first.more);
        last.is_some_and(|last| *last.key <= *format!("{prefix}1"))
    }

    /// Whether it is all of a label.
    pub fn is_whole(&self) -> bool {
        self.after.is_none() && self.up_to.is_none()
    }

    fn holds(&self, key: &str) -> bool {
        let after = self.after.as_deref().is_none_or(|after| key > after);
        after && self.up_to.as_deref().is_none_or(|up_to| key <= up_to)
    }
}

/// A lane that is being worked off.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) range: LaneRange,
    /// Listed, and not begun.
    pub(super) queue: VecDeque<ListedObject>,
    /// Begun, and not passed by the mark.
    pub(super) water: LowWater<String, StreamFigures>,
    /// The mark, ahead of what is durable.
    pub(super) mark: LaneMark,
    pub(super) is_saved: bool,
    pub(super) is_saving: bool,
    pub(super) is_listing: bool,
    listed_to: Option<String>,
    is_listed: bool,
}

impl Lane {
    /// Goes on behind `mark`.
    pub(super) fn new(range: LaneRange, mark: Option<LaneMark>) -> Self {
        let begun = mark.as_ref().map(|mark| mark.key.clone());
        Self {
            listed_to: begun.or_else(|| range.after.clone()),
            range,
            queue: VecDeque::new(),
            water: LowWater::default(),
            mark: mark.unwrap_or_default(),
            is_saved: true,
            is_saving: false,
            is_listing: false,
            is_listed: false,
        }
    }

    /// After which key the next page begins, if one is wanted.
    pub(super) fn next_page(&self, few: usize) -> Option<Option<String>> {
        let wanted = !self.is_listed && !self.is_listing && self.queue.len() < few;
        wanted.then(|| self.listed_to.clone())
    }

    /// Takes what was listed, as far as it is behind the mark and `wanted`.
    pub(super) fn take(&mut self, page: ListPage, wanted: impl Fn(&ListedObject) -> bool) {
        self.is_listing = false;
        let mut more = page.more;
        for object in page.objects {
            self.listed_to = Some(object.key.clone());
            if !self.range.holds(&object.key) {
                more = false;
            } else if object.key > self.mark.key && wanted(&object) {
                self.queue.push_back(object);
            }
        }
        self.is_listed = !more;
        // What lies before the mark need not be listed.
        let begun = Some(&self.mark.key).filter(|key| !key.is_empty());
        self.listed_to = self.listed_to.take().max(begun.cloned());
    }

    /// Whether nothing of it is left to begin.
    pub(super) fn is_begun(&self) -> bool {
        self.is_listed && self.queue.is_empty()
    }

    /// Whether all of it is done, and the mark behind it.
    pub(super) fn is_done(&self) -> bool {
        self.is_begun() && self.water.span() == 0
    }

    /// Moves the mark over what is done.
    pub(super) fn pass(&mut self) {
        while let Some((key, figures)) = self.water.pass() {
            self.mark.key = key;
            self.mark.figures += figures;
            self.is_saved = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_cut_where_its_first_page_lies_within_the_first_lane() {
        let page = |last: &str, more| ListPage {
            objects: ["s/c/00", last].map(object).into(),
            more,
        };
        let first = &LaneRange::cut("s/c/")[0];
        for (last, more, expected) in [
            ("s/c/0f", true, true),
            ("s/c/1", true, true),
            ("s/c/10", true, false),
            ("s/c/f0", true, false),
            ("s/c/0f", false, false),
        ] {
            let page = page(last, more);
            assert_eq!(LaneRange::is_to_be_cut("s/c/", &page), expected, "{last} {more}");
            assert_eq!(
                expected,
                more && page.objects.iter().all(|object| first.holds(&object.key))
            );
        }
        assert!(!LaneRange::is_to_be_cut("s/c/", &ListPage::default()));
    }

    fn object(key: &str) -> ListedObject {
        ListedObject {
            key: key.to_owned(),
            size: 1,
            last_modified: None,
        }
    }

    #[test]
    fn every_key_of_a_label_belongs_to_exactly_one_lane() {
        let lanes = LaneRange::cut("samples/content/");
        for name in [
            "",
            "0",
            "00",
            "1",
            "1 ",
            "9z",
            "A",
            "a",
            "f",
            "ff",
            "g",
            "é",
            "\u{10ffff}",
            "-",
        ] {
            let key = format!("samples/content/{name}");
            let holding = lanes.iter().filter(|lane| lane.holds(&key)).count();
            assert_eq!(holding, 1, "{key:?}");
            assert!(LaneRange::whole("samples/content/").holds(&key));
        }
    }

    #[test]
    fn a_lane_ends_at_its_last_key_though_the_listing_goes_on() {
        let mut lane = Lane::new(LaneRange::cut("s/c/").swap_remove(3), None);
        assert_eq!(lane.next_page(1), Some(Some("s/c/3".to_owned())));
        lane.take(
            ListPage {
                objects: ["s/c/30", "s/c/4", "s/c/40"].map(object).into(),
                more: true,
            },
            |_| true,
        );
        assert_eq!(lane.queue.len(), 2);
        assert_eq!(lane.next_page(10), None);
    }

    #[test]
    fn pages_before_the_mark_are_not_listed() {
        let mark = LaneMark {
            key: "s/c/7f".into(),
            figures: StreamFigures::default(),
        };
        let mut lane = Lane::new(LaneRange::whole("s/c/"), Some(mark));
        let first = ListPage {
            objects: ["s/c/00", "s/c/10"].map(object).into(),
            more: true,
        };
        lane.take(first, |_| true);
        assert!(lane.queue.is_empty());
        assert_eq!(lane.next_page(1), Some(Some("s/c/7f".to_owned())));
    }

    #[test]
    fn a_lane_goes_on_behind_its_mark() {
        let mark = LaneMark {
            key: "s/c/7f".into(),
            figures: StreamFigures::default(),
        };
        let mut lane = Lane::new(LaneRange::whole("s/c/"), Some(mark));
        assert_eq!(lane.next_page(1), Some(Some("s/c/7f".to_owned())));
        lane.take(ListPage::default(), |_| true);
        assert!(lane.is_done());
    }
}
