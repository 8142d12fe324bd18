//! The volume that local state lies on: how much room it has, and a reserve for when it has none.
//!
//! # The promise
//! * Below a *floor* of free bytes no pull is sent ([`Volume::check_for_pull`]): what is in flight then, and local
//!   state, share what is left.
//! * A file holds a *reserve*. When local state finds no room, the file is removed: so the rows that free the journal
//!   can be written on a disk that is full, and a disk that is full of our own journal empties itself as soon as the
//!   bucket works. While the reserve is out, answers are not written ([`Volume::check_for_answer`]): what is meant for
//!   local state goes to nothing else. It is made again when there is room.
//! * Room is measured, never assumed: others may use the volume too.

use actors::fault::is_no_room;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::FallocateFlags;

/// Free bytes below which no pull is sent.
const FLOOR: u64 = 32 * 1024 * 1024;

/// The least bytes of the reserve.
const RESERVE: u64 = 16 * 1024 * 1024;

/// Bytes of it for each feed: more than local state takes for the one batch that may lie unnamed in the journal.
const RESERVE_PER_FEED: u64 = 2 * 1024 * 1024;

const FILE: &str = "reserve";

/// Room that has to be there beside the reserve before it is made: a quarter of the floor.
const BESIDE: u64 = 4;

fn no_room(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, text)
}

/// Where the reserve is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reserve {
    /// There is none, and there is not to be one.
    Unwanted,
    /// On the disk.
    Held,
    /// Given to local state, or not made yet for want of room.
    Out,
}

#[derive(Debug)]
struct Now {
    reserve: Reserve,
    /// Whether pulls wait: they do from the floor on, until there is an eighth more than it.
    short: bool,
}

/// What a volume has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Bytes that this user may still write.
    pub free: u64,
    /// Bytes in all.
    pub size: u64,
    /// Free bytes that there have to be before anything is pulled, where there are fewer.
    pub short_of: Option<u64>,
}

/// The volume below one directory. Its calls block, briefly.
#[derive(Debug)]
pub struct Volume {
    root: PathBuf,
    floor: u64,
    size: u64,
    now: Mutex<Now>,
}

impl Volume {
    /// The volume that `root` lies on, with a floor, and a reserve for so many feeds.
    pub fn new(root: &Path, feeds: usize) -> Arc<Self> {
        let reserve = RESERVE_PER_FEED.saturating_mul(feeds as u64).max(RESERVE);
        Self::with(root, FLOOR, reserve)
    }

    /// The same with other bounds, in bytes; a reserve of 0 is none.
    pub fn with(root: &Path, floor: u64, reserve: u64) -> Arc<Self> {
        let now = Now {
            reserve: if reserve == 0 {
                Reserve::Unwanted
            } else {
                Reserve::Out
            },
            short: false,
        };
        Arc::new(Self {
            root: root.to_owned(),
            floor,
            size: reserve,
            now: Mutex::new(now),
        })
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that this user may still write.
    ///
    /// # Errors
    /// The volume does not answer.
    pub fn free(&self) -> io::Result<u64> {
        let found = rustix::fs::statvfs(&self.root)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// How much room there is, and whether that is enough. Changes nothing.
    ///
    /// # Errors
    /// The volume does not answer.
    pub fn look(&self) -> io::Result<Look> {
        let found = rustix::fs::statvfs(&self.root)?;
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        let now = self.now();
        let for_pulls = if now.short { self.enough() } else { self.floor };
        let for_answers = match now.reserve {
            Reserve::Out => self.size + self.floor / BESIDE,
            Reserve::Held | Reserve::Unwanted => 0,
        };
        let least = for_pulls.max(for_answers);
        Ok(Look {
            free,
            size: found.f_blocks.saturating_mul(found.f_frsize),
            short_of: (free < least).then_some(least),
        })
    }

    /// From so many free bytes on pulls are sent again.
    fn enough(&self) -> u64 {
        self.floor + self.floor / 8
    }

    /// What an operator has to know of a volume on which a journal of `journal` bytes can fill up so far that an answer
    /// of the largest size, of `answer` bytes, does not find room, and nothing but more room helps; `None` if it is
    /// large enough, or does not answer.
    pub fn shortcoming(&self, journal: u64, answer: u64) -> Option<String> {
        let found = rustix::fs::statvfs(&self.root).ok()?;
        let total = found.f_blocks.saturating_mul(found.f_frsize);
        let parts = [journal, answer, self.floor, self.size];
        let wanted = parts.into_iter().fold(0, u64::saturating_add);
        (total < wanted).then(|| {
            format!(
                "the volume of {} has {total} bytes, and {wanted} are what can be needed: {journal} for the journal \
                 (JOURNAL_MAX_BYTES), {answer} for one more answer of the largest size, {} that are kept free; with \
                 less a very large answer may hold up all feeds until the volume is enlarged",
                self.root.display(),
                self.floor + self.size
            )
        })
    }

    /// For people: where, and how much is free.
    pub fn describe(&self) -> String {
        let free = self.free().map_or_else(
            |error| format!("its free room is not known: {error}"),
            |free| format!("{free} bytes are free"),
        );
        format!("the volume of {} ({free})", self.root.display())
    }

    /// Whether a pull may be sent.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`]: there is too little room. Anything else: the volume does not answer.
    pub fn check_for_pull(&self) -> io::Result<()> {
        self.check_for_answer()?;
        let free = self.free()?;
        let mut now = self.now();
        let enough = self.enough();
        now.short = free < if now.short { enough } else { self.floor };
        if !now.short {
            return Ok(());
        }
        Err(no_room(format!(
            "{free} bytes are free on the volume of {}, and no pull is sent before there are {enough}",
            self.root.display()
        )))
    }

    /// Whether an answer may be written now.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`]: what room there is, is meant for local state.
    pub fn check_for_answer(&self) -> io::Result<()> {
        let mut now = self.now();
        if now.reserve != Reserve::Out {
            return Ok(());
        }
        let free = self.free()?;
        let wanted = self.size + self.floor / BESIDE;
        if free < wanted {
            return Err(no_room(format!(
                "{free} bytes are free on the volume of {}, which are meant for local state until there are {wanted}",
                self.root.display()
            )));
        }
        self.make(&mut now)
    }

    /// Makes the reserve if there is room for it; without, it is made later.
    pub(super) fn hold(&self) {
        let mut now = self.now();
        if now.reserve != Reserve::Out {
            return;
        }
        if let Err(error) = self.make(&mut now) {
            log::warn!(error:% = error; "the reserve for a full disk is not made yet: {error}");
        }
    }

    /// Gives the reserve to local state, which found no room; false if there is none to give.
    pub(super) fn lend(&self) -> bool {
        let mut now = self.now();
        if now.reserve == Reserve::Unwanted {
            return false;
        }
        now.reserve = Reserve::Out;
        match fs::remove_file(self.path()) {
            Ok(()) => {
                log::error!(
                    "no room for local state on {}: its reserve of {} bytes is used, so that what is received can \
                     still leave the journal; nothing is pulled until there is room: make room, or enlarge the volume",
                    self.describe(),
                    self.size
                );
                true
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => {
                log::error!(error:% = error; "the reserve {} cannot be used: {error}", self.path().display());
                false
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.root.join(FILE)
    }

    fn make(&self, now: &mut Now) -> io::Result<()> {
        let made = allocate(&self.path(), self.size);
        match &made {
            Ok(()) => now.reserve = Reserve::Held,
            // Half a reserve only takes room; and a file that cannot be made must hold nothing up.
            Err(error) => {
                let _gone = fs::remove_file(self.path());
                if !is_no_room(error) {
                    log::warn!(
                        error:% = error; "there is no reserve for a full disk: {} cannot be made: {error}",
                        self.path().display()
                    );
                    now.reserve = Reserve::Unwanted;
                    return Ok(());
                }
            }
        }
        made
    }
}

/// Makes a file of `bytes` bytes whose room is really taken.
fn allocate(path: &Path, bytes: u64) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(false).open(path)?;
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        // Not every file system can.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => fill(&mut file, bytes),
        allocated => allocated.map_err(io::Error::from),
    }
}

fn fill(file: &mut File, bytes: u64) -> io::Result<()> {
    io::copy(&mut io::Read::take(io::repeat(0), bytes), file)?;
    file.flush()?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_that_can_be_too_small_for_one_answer_more_is_told() {
        let folder = tempfile::TempDir::new().unwrap();
        let volume = Volume::new(folder.path(), 1);
        let found = rustix::fs::statvfs(folder.path()).unwrap();
        let total = found.f_blocks * found.f_frsize;
        let beside = FLOOR + RESERVE;
        let answer = 1 << 20;
        assert_eq!(volume.shortcoming(total - answer - beside, answer), None);
        let told = volume.shortcoming(total - answer - beside + 1, answer).unwrap();
        assert!(
            told.contains(&format!("has {total} bytes, and {} are", total + 1)),
            "{told}"
        );
        assert!(volume.shortcoming(u64::MAX, answer).is_some());
    }

    #[test]
    fn a_look_tells_how_much_is_missing_and_changes_nothing() {
        let folder = tempfile::TempDir::new().unwrap();
        let free = Volume::with(folder.path(), 0, 0).free().unwrap();
        for (floor, reserve) in [
            (1 << 20, 0),
            (1 << 20, 1 << 20),
            (2 * free, 0),
            (1 << 20, 2 * free),
        ] {
            let volume = Volume::with(folder.path(), floor, reserve);
            let look = volume.look().unwrap();
            assert!(look.free > 0 && look.free <= look.size);
            let can_pull = volume.check_for_pull().is_ok();
            assert_eq!(look.short_of.is_none(), can_pull, "{floor} {reserve}");
            if !can_pull {
                // From the floor on pulls wait until there is an eighth more than it.
                assert!(look.short_of < volume.look().unwrap().short_of || reserve > 0);
            }
            let _there_or_not = fs::remove_file(volume.path());
        }
    }

    #[test]
    fn the_reserve_grows_with_the_number_of_feeds() {
        let folder = tempfile::TempDir::new().unwrap();
        for (feeds, wanted) in [
            (0, RESERVE),
            (7, RESERVE),
            (8, RESERVE),
            (100, 100 * RESERVE_PER_FEED),
        ] {
            assert_eq!(Volume::new(folder.path(), feeds).size, wanted, "{feeds}");
        }
    }
}
