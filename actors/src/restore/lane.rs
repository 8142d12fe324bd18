//! Lanes: ranges of the keys of one label, each listed and worked off in the order of its keys.
//!
//! A label is cut at the hexadecimal digits into sixteen lanes, which are listed side by side, if its first page does
//! not reach beyond the first of them: then there is about a page for each. A smaller one is one lane, for each of
//! sixteen would list a page to use a part of it. The ranges leave no gap between them, so that a key that should not
//! be there is found too. A label that has grown may be cut by a later start: its lanes go on behind the mark of the
//! whole. One that was cut stays so.

use std::collections::VecDeque;

use super::both_forms::Forms;
use super::listed_key::{self, Form};
use super::low_water::LowWater;
use crate::feed::SourceName;
use crate::ports::archive::{ListPage, ListedObject};
use crate::ports::restore_state::{KeyCensus, LaneMark, LaneName, StreamFigures};
use crate::timestamp::Timestamp;

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

/// What the mark of the lane of names ends with: no label does.
const NAMED: &str = "/ named";

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

    /// Those keys of a source that are asked for by name.
    pub fn named(source: &SourceName) -> Self {
        Self {
            name: format!("{source}{NAMED}"),
            ..Self::whole(&format!("{source}/"))
        }
    }

    /// Whether it is of keys that are asked for by name.
    pub fn is_named(&self) -> bool {
        self.name.ends_with(NAMED)
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
    pub(super) queue: VecDeque<Forms>,
    /// Begun, and not passed by the mark.
    pub(super) water: LowWater<Passing, Fate>,
    /// The mark, ahead of what is durable.
    pub(super) mark: LaneMark,
    pub(super) is_saved: bool,
    pub(super) is_saving: bool,
    pub(super) is_listing: bool,
    listed_to: Option<String>,
    is_listed: bool,
    /// The last that was listed: the next may be another form of it.
    last: Option<Forms>,
    prefer: Form,
    pub(super) looking: Looking,
    /// The keys of before the restore that were listed in this pass.
    found: KeyCensus,
    /// Those that should be, as far as they are to be compared.
    pub(super) expected: Option<KeyCensus>,
}

/// An object that the mark will pass.
#[derive(Debug)]
pub(super) struct Passing {
    /// The last key of it.
    pub(super) key: String,
    /// The keys of it that are of before the restore.
    pub(super) old: KeyCensus,
}

/// What became of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    pub(super) figures: StreamFigures,
    /// It was not there when its turn came: should it come again, it is to be seen as new.
    pub(super) is_gone: bool,
}

/// What is looked for in a listing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looking {
    /// What was written earlier is of before the restore.
    pub(super) since: Timestamp,
    /// What becomes work.
    pub(super) at: LooksAt,
}

/// Which objects of a lane become work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LooksAt {
    /// All of them.
    All,
    /// Those of which any form was written since the restore began.
    New,
    /// The others: where a lane is gone through anew, the new ones may be under way yet.
    Old,
}

impl Looking {
    pub(super) fn is_old(self, object: &ListedObject) -> bool {
        object.last_modified.is_some_and(|written| written < self.since)
    }
}

impl Lane {
    /// Goes on behind `mark`; of what lies there in both forms `prefer` is restored.
    pub(super) fn new(range: LaneRange, mark: Option<LaneMark>, prefer: Form, looking: Looking) -> Self {
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
            last: None,
            prefer,
            looking,
            found: KeyCensus::default(),
            expected: None,
        }
    }

    /// After which key the next page begins, if one is wanted.
    pub(super) fn next_page(&self, few: usize) -> Option<Option<String>> {
        let wanted = !self.is_listed && !self.is_listing && self.queue.len() < few;
        wanted.then(|| self.listed_to.clone())
    }

    /// Takes what was listed, as far as it is behind the mark and looked for. It goes up to its last key, or to `up_to`.
    pub(super) fn take(&mut self, page: ListPage, up_to: Option<String>) {
        self.is_listing = false;
        let mut more = page.more;
        for object in page.objects {
            self.listed_to = Some(object.key.clone());
            if !self.range.holds(&object.key) {
                more = false;
            } else if object.key > self.mark.key {
                if self.looking.is_old(&object) {
                    self.found.take(&object.key);
                }
                self.admit(object);
            }
        }
        self.listed_to = self.listed_to.take().max(up_to);
        self.is_listed = !more;
        if self.is_listed {
            self.admit_last();
        }
        // What lies before the mark need not be listed.
        let begun = Some(&self.mark.key).filter(|key| !key.is_empty());
        self.listed_to = self.listed_to.take().max(begun.cloned());
    }

    /// Holds an object back until it is known whether the next one is another form of it.
    fn admit(&mut self, object: ListedObject) {
        let is_stream = listed_key::stream(&object.key).is_ok();
        let object = match &mut self.last {
            Some(last) if is_stream => match last.join(object, self.prefer) {
                Ok(()) => return,
                Err(object) => object,
            },
            _ => object,
        };
        self.admit_last();
        self.last = Some(object.into());
    }

    fn admit_last(&mut self) {
        let looking = self.looking;
        let is_new = |last: &Forms| last.listed().any(|form| !looking.is_old(form));
        let last = self.last.take();
        self.queue.extend(last.filter(|last| match looking.at {
            LooksAt::All => true,
            LooksAt::New => is_new(last),
            LooksAt::Old => !is_new(last),
        }));
    }

    /// The keys of before the restore, once all of the lane is listed.
    pub(super) fn found(&self) -> Option<KeyCensus> {
        self.is_listed.then_some(self.found)
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
        while let Some((passing, fate)) = self.water.pass() {
            self.mark.key = passing.key;
            self.mark.figures += fate.figures;
            if !fate.is_gone {
                self.mark.passed += passing.old;
            }
            self.is_saved = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Looking = Looking {
        since: Timestamp::from_micros(0),
        at: LooksAt::All,
    };

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
    fn what_is_looked_at_as_new_is_not_looked_at_again_where_a_lane_is_gone_through_anew() {
        let since = Timestamp::from_micros(10);
        let queued = |at| {
            let range = LaneRange::whole("s/c/");
            let mut lane = Lane::new(range, None, Form::Plain, Looking { since, at });
            let dated = [("s/c/a", Some(9)), ("s/c/b", Some(10)), ("s/c/c", None)];
            let objects = dated.map(|(key, written)| ListedObject {
                last_modified: written.map(Timestamp::from_micros),
                ..object(key)
            });
            let page = ListPage {
                objects: objects.into(),
                more: false,
            };
            lane.take(page, None);
            Vec::from_iter(lane.queue.iter().map(|queued| queued.key.clone()))
        };
        assert_eq!(queued(LooksAt::All), ["s/c/a", "s/c/b", "s/c/c"]);
        assert_eq!(queued(LooksAt::New), ["s/c/b", "s/c/c"]);
        assert_eq!(queued(LooksAt::Old), ["s/c/a"]);
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
        let mut lane = Lane::new(LaneRange::cut("s/c/").swap_remove(3), None, Form::Plain, ALL);
        assert_eq!(lane.next_page(1), Some(Some("s/c/3".to_owned())));
        lane.take(
            ListPage {
                objects: ["s/c/30", "s/c/4", "s/c/40"].map(object).into(),
                more: true,
            },
            None,
        );
        assert_eq!(lane.queue.len(), 2);
        assert_eq!(lane.next_page(10), None);
    }

    #[test]
    fn pages_before_the_mark_are_not_listed() {
        let mark = LaneMark {
            key: "s/c/7f".into(),
            ..LaneMark::default()
        };
        let mut lane = Lane::new(LaneRange::whole("s/c/"), Some(mark), Form::Plain, ALL);
        let first = ListPage {
            objects: ["s/c/00", "s/c/10"].map(object).into(),
            more: true,
        };
        lane.take(first, None);
        assert!(lane.queue.is_empty());
        assert_eq!(lane.next_page(1), Some(Some("s/c/7f".to_owned())));
    }

    #[test]
    fn both_forms_of_a_stream_are_one_also_where_a_page_ends_between_them() {
        let key = |digit: &str| format!("s/c/{}", digit.repeat(64));
        let encrypted = |digit: &str| format!("{}.aesc1", key(digit));
        let listing = [
            key("0"),
            encrypted("1"),
            key("2"),
            encrypted("2"),
            "s/c/stray".to_owned(),
            "s/c/stray.aesc1".to_owned(),
        ];
        for page in 1..=listing.len() {
            let mut lane = Lane::new(LaneRange::whole("s/c/"), None, Form::Encrypted, ALL);
            let pages = listing.len().div_ceil(page);
            for (number, objects) in listing.chunks(page).enumerate() {
                let objects = objects.iter().map(|key| object(key)).collect();
                let more = number + 1 < pages;
                lane.take(ListPage { objects, more }, None);
                assert!(more != lane.is_listed);
            }
            let read: Vec<(&str, bool)> = lane
                .queue
                .iter()
                .map(|forms| (forms.key.as_str(), forms.has_another()))
                .collect();
            let expected = [
                (key("0"), false),
                (encrypted("1"), false),
                (encrypted("2"), true),
                (listing[4].clone(), false),
                (listing[5].clone(), false),
            ];
            let expected: Vec<(&str, bool)> =
                expected.iter().map(|(key, both)| (key.as_str(), *both)).collect();
            assert_eq!(read, expected, "pages of {page}");
        }
    }

    #[test]
    fn a_lane_goes_on_behind_its_mark() {
        let mark = LaneMark {
            key: "s/c/7f".into(),
            ..LaneMark::default()
        };
        let mut lane = Lane::new(LaneRange::whole("s/c/"), Some(mark), Form::Plain, ALL);
        assert_eq!(lane.next_page(1), Some(Some("s/c/7f".to_owned())));
        lane.take(ListPage::default(), None);
        assert!(lane.is_done());
    }
}
