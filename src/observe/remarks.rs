//! What was logged last as a warning or an error, for those who do not read the log.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::snapshot::Remark;

/// So many are kept.
const MOST: usize = 50;

/// So many bytes of each.
const LONGEST: usize = 500;

/// The last remarks of this process: there is one log, and so one of these.
static LATEST: Remarks = Remarks::new();

/// The last remarks of the log.
pub fn latest() -> &'static Remarks {
    &LATEST
}

/// A bounded number of lines.
#[derive(Debug)]
pub struct Remarks(Mutex<VecDeque<Remark>>);

impl Remarks {
    const fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    /// One more; the oldest goes for it.
    pub fn add(&self, mut remark: Remark) {
        let end = remark.message.floor_char_boundary(LONGEST);
        if end < remark.message.len() {
            remark.message.truncate(end);
            remark.message.push('…');
        }
        let mut kept = self.kept();
        while kept.len() >= MOST {
            kept.pop_back();
        }
        kept.push_front(remark);
    }

    /// The newest first.
    pub fn all(&self) -> Vec<Remark> {
        self.kept().iter().cloned().collect()
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Remark>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use actors::timestamp::Timestamp;

    use super::*;

    #[test]
    fn the_last_remarks_are_kept_shortened_and_the_newest_comes_first() {
        let remarks = Remarks::new();
        for number in 0..200 {
            remarks.add(Remark {
                time: Timestamp::from_micros(number),
                level: "WARN".to_owned(),
                message: "é".repeat(10 * LONGEST),
            });
        }
        let all = remarks.all();
        assert_eq!(all.len(), MOST);
        assert_eq!(
            (all[0].time, all[MOST - 1].time),
            (Timestamp::from_micros(199), Timestamp::from_micros(150))
        );
        assert!(
            all.iter()
                .all(|remark| remark.message.len() <= LONGEST + '…'.len_utf8())
        );
    }
}
