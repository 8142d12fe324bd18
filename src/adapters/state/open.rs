//! Opens the database, or begins one, and never takes one that it cannot read for none.
//!
//! ```text
//! {root}/state.lock   held by the process that uses the state; notes how far it has come
//! {root}/state/       the database
//! {root}/state.new/   a database that is being begun
//! ```
//! A new database is made under another name, with its version row, and renamed when it is durable. So `state/`
//! always was a whole database once: without its file, or without its version, it is damaged and not new; and so is
//! one that has come less far than was noted (see [`super::lock`]).

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::fault_point::{self, FaultPoint};
use actors::ports::state::StateFault;

use super::cached;
use super::keys;
use super::lock::{Lock, NoLock, Note};
use super::rows;
use super::table::{SledTable, Store, Table, fault};
use crate::adapters::volume::Volume;
use actors::fault::is_no_room;

/// The version of the layout of rows that this program reads and writes.
const LAYOUT: u64 = 1;

/// How long sled may take to let go of a database that this process has closed.
const LET_GO: Duration = Duration::from_secs(5);

const FRESH_START: &str = "restore the directory `state` from a copy, or move it away to begin anew: received events in \
                           `journal` are then adopted, but streams that were waiting, and the lists of failed and \
                           missing streams, are forgotten";

/// Why local state could not be opened, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("local state in {root} is in use by another process ({holder}): only one can work on it. End the other one, or set another LOCAL_DATA__ROOTDIR", root = .root.display())]
    Locked {
        /// `LOCAL_DATA__ROOTDIR`.
        root: PathBuf,
        /// What it has noted of itself.
        holder: String,
    },
    /// The directory cannot be used.
    #[error("local state cannot be kept in {}: {error}. It needs a directory that this user can write to (LOCAL_DATA__ROOTDIR)", .path.display())]
    NotWritable {
        /// What was opened.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// There is no room.
    #[error("local state in {} cannot be opened: no room on the disk: {detail}. Make room and start again", .root.display())]
    Full {
        /// `LOCAL_DATA__ROOTDIR`.
        root: PathBuf,
        /// What the system says.
        detail: String,
    },
    /// It is there and cannot be read.
    #[error("local state in {} is damaged: {detail}. What to do: {what_to_do}", .path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
        /// What to do about it.
        what_to_do: &'static str,
    },
    /// A later version of this program has written it.
    #[error("local state in {} has layout {found}, written by a newer version of this program; this one knows layout {LAYOUT}. Run the newer version", .path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its layout.
        found: u64,
    },
    /// Something else lies where the database should be.
    #[error("{} is not local state of this program: {detail}. Move it away, or set another LOCAL_DATA__ROOTDIR", .path.display())]
    Foreign {
        /// What lies there.
        path: PathBuf,
        /// Why it is foreign.
        detail: String,
    },
}

impl OpenError {
    /// What a failed read or write of the opened database means at a start.
    pub(in crate::adapters) fn of(fault: StateFault, root: &Path) -> Self {
        match fault {
            StateFault::Full(detail) => Self::Full {
                root: root.to_owned(),
                detail,
            },
            StateFault::Broken(detail) => Self::damaged(root.join("state"), detail),
        }
    }

    fn io(error: io::Error, path: &Path) -> Self {
        if is_no_room(&error) {
            return Self::of(StateFault::Full(error.to_string()), path);
        }
        let path = path.to_owned();
        Self::NotWritable { path, error }
    }

    fn sled(error: sled::Error, path: &Path) -> Self {
        match error {
            sled::Error::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => Self::io(error, path),
            // Without the library's wish to have this reported: a panic over damage is one of these too.
            sled::Error::ReportableBug(detail) => Self::damaged(path.to_owned(), detail),
            other => Self::damaged(path.to_owned(), other.to_string()),
        }
    }

    fn damaged(path: PathBuf, detail: String) -> Self {
        let what_to_do = FRESH_START;
        Self::Damaged {
            path,
            detail,
            what_to_do,
        }
    }

    /// The same of another kind of state than that of a backup.
    pub(in crate::adapters) fn advising(mut self, advice: &'static str) -> Self {
        if let Self::Damaged { what_to_do, .. } = &mut self {
            *what_to_do = advice;
        }
        self
    }
}

/// Opens the database below `root`, and what opens it again.
pub(in crate::adapters) fn open(
    root: &Path,
    volume: Arc<Volume>,
) -> Result<(SledStore, SledTable), OpenError> {
    fs::create_dir_all(root).map_err(|error| OpenError::io(error, root))?;
    let lock = take_lock(root)?;
    let directory = root.join("state");
    let mut noted = lock.noted();
    if is_to_begin(&directory)? {
        if let Some(note) = noted.take() {
            let root = root.display();
            log::warn!(
                "local state of {} starts is gone from {root}: beginning anew",
                note.start
            );
        }
        begin(root, &directory)?;
    }
    let table = retry_while_locked(&directory).map_err(|error| OpenError::sled(error, &directory))?;
    check_layout(&table, &directory)?;
    let commits = rows::get::<u64>(&table, keys::COMMITS).map_err(|fault| OpenError::of(fault, root))?;
    let (commits, noted) = (commits.unwrap_or(0), noted.map_or(0, |note| note.commit));
    if commits < noted {
        let detail = format!("it ends with commit {commits}, but commit {noted} was on disk");
        return Err(OpenError::damaged(directory, detail));
    }
    let store = SledStore {
        directory,
        lock,
        volume,
    };
    Ok((store, table))
}

/// Whether there has ever been a database below `root`.
pub(in crate::adapters) fn is_there(root: &Path) -> Result<bool, OpenError> {
    is_to_begin(&root.join("state")).map(|is_to_begin| !is_to_begin)
}

fn take_lock(root: &Path) -> Result<Lock, OpenError> {
    let path = root.join("state.lock");
    Lock::take(&path).map_err(|none| match none {
        NoLock::Held(holder) => OpenError::Locked {
            root: root.to_owned(),
            holder,
        },
        NoLock::Unusable(error) => OpenError::io(error, &path),
    })
}

/// Opens the database again. Holds the lock.
pub(in crate::adapters) struct SledStore {
    directory: PathBuf,
    lock: Lock,
    volume: Arc<Volume>,
}

impl Store for SledStore {
    type Table = SledTable;

    fn open(&mut self) -> Result<SledTable, StateFault> {
        retry_while_locked(&self.directory).map_err(fault)
    }

    fn note(&mut self, start: u64, commit: u64) {
        if let Err(error) = self.lock.note(Note { start, commit }) {
            log::warn!(error:% = error; "the lock file of local state cannot be written: {error}");
        }
    }

    fn make_room(&mut self) -> bool {
        self.volume.lend()
    }
}

/// Whether there has never been a database; an error if what is there is not one.
fn is_to_begin(directory: &Path) -> Result<bool, OpenError> {
    let foreign = |detail: String| OpenError::Foreign {
        path: directory.to_owned(),
        detail,
    };
    match fs::symlink_metadata(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(OpenError::io(error, directory)),
        Ok(found) if !found.is_dir() => return Err(foreign("it is not a directory".to_owned())),
        Ok(_) => {}
    }
    let (mut entries, mut has_database) = (0, false);
    for entry in fs::read_dir(directory).map_err(|error| OpenError::io(error, directory))? {
        let name = entry
            .map_err(|error| OpenError::io(error, directory))?
            .file_name();
        let name = name.to_string_lossy();
        entries += 1;
        has_database |= name == "db";
        if !matches!(name.as_ref(), "db" | "conf" | "blobs") && !name.starts_with("snap.") {
            return Err(foreign(format!("it holds `{}`", name.escape_debug())));
        }
    }
    if entries > 0 && !has_database {
        let detail = "the file `db` is gone from it".to_owned();
        return Err(OpenError::damaged(directory.to_owned(), detail));
    }
    Ok(entries == 0)
}

/// Makes an empty database with its version, durable, and puts it in its place.
fn begin(root: &Path, directory: &Path) -> Result<(), OpenError> {
    let new = root.join("state.new");
    let at_new = |error| OpenError::io(error, &new);
    match fs::remove_dir_all(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at_new(error)),
        _ => {}
    }
    let table = SledTable::open(&new).map_err(|error| OpenError::sled(error, &new))?;
    let written = rows::encode(&LAYOUT).and_then(|layout| table.put(keys::SCHEMA, &layout));
    written
        .and_then(|()| table.flush())
        .map_err(|fault| OpenError::of(fault, root))?;
    drop(table);
    for file in ["conf", "."] {
        let synced = File::open(new.join(file)).and_then(|file| file.sync_all());
        synced.map_err(at_new)?;
    }
    fault_point::try_pass(FaultPoint::StateBegun).map_err(at_new)?;
    fs::rename(&new, directory).map_err(at_new)?;
    let synced = File::open(root).and_then(|root| root.sync_all());
    synced.map_err(|error| OpenError::io(error, root))
}

/// sled lets go of a closed database a little after it says so. No other process can have it: ours is the lock.
fn retry_while_locked(directory: &Path) -> Result<SledTable, sled::Error> {
    let begun = Instant::now();
    // Only what is on the disk counts; what is lost is then found out here, and not by the next start.
    match cached::forget(&directory.join("db")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            log::warn!(error:% = error; "local state may be read from memory, and not from the disk: {error}");
        }
        _ => {}
    }
    loop {
        drop_unfinished_snapshots(directory)?;
        match SledTable::open(directory) {
            Err(sled::Error::Io(error))
                if error.to_string().contains("could not acquire lock") && begun.elapsed() < LET_GO =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            opened => return opened,
        }
    }
}

/// What sled had begun to write when it was killed, or when the disk was full, it takes for its newest snapshot at the
/// next start, and then for damage (seen). Only ever a copy of what the log says; ours is the lock.
fn drop_unfinished_snapshots(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn check_layout(table: &SledTable, directory: &Path) -> Result<(), OpenError> {
    let path = directory.to_owned();
    let damaged = |detail: &str| OpenError::damaged(path.clone(), detail.to_owned());
    match rows::get::<u64>(table, keys::SCHEMA) {
        Ok(Some(LAYOUT)) => Ok(()),
        Ok(Some(found)) if found > LAYOUT => Err(OpenError::Newer { path, found }),
        Ok(Some(found)) => Err(damaged(&format!("its layout is {found}, which never was"))),
        Ok(None) if table.is_empty() => Err(damaged("the database is empty, without even its version")),
        Ok(None) => Err(damaged("it has rows, but its version is gone")),
        Err(fault) => Err(damaged(&fault.to_string())),
    }
}
