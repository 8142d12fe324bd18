//! A copy of the database of local state, to be opened and thrown away.
//!
//! Nothing of the original is written, and the lock is shared with other readers only: a restore that starts
//! meanwhile waits for us for a moment, and one that runs is left alone.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum NoCopy {
    /// Another process works on local state; what it has noted of itself.
    #[error("another process works on local state ({0})")]
    InUse(String),
    /// It cannot be read, or there is no room for a copy.
    #[error("local state in {} cannot be copied for a look at it: {error}", .root.display())]
    Fault {
        /// Where it is.
        root: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// The copy; goes when this is dropped.
#[derive(Debug)]
pub struct StateCopy {
    root: PathBuf,
}

/// Distinguishes the copies of one process.
static COPIES: AtomicU64 = AtomicU64::new(0);

impl StateCopy {
    /// Copies the database below `root` into a folder below `temporary`; `None` if there has never been one.
    ///
    /// # Errors
    /// See [`NoCopy`].
    pub fn of(root: &Path, temporary: &Path) -> Result<Option<Self>, NoCopy> {
        let fault = |error| NoCopy::Fault {
            root: root.to_owned(),
            error,
        };
        let database = root.join("state");
        if !database.try_exists().map_err(fault)? {
            return Ok(None);
        }
        let _lock = share_lock(&root.join("state.lock")).map_err(|none| match none {
            TryLockError::WouldBlock => NoCopy::InUse(holder(root)),
            TryLockError::Error(error) => fault(error),
        })?;
        let number = COPIES.fetch_add(1, Ordering::Relaxed);
        let path = temporary.join(format!("azul-backup-plan-{}-{number}", std::process::id()));
        // For nobody else to read; and a folder that is there already is not ours.
        DirBuilder::new().mode(0o700).create(&path).map_err(fault)?;
        let copy = Self { root: path };
        copy_folder(&database, &copy.root.join("state")).map_err(fault)?;
        Ok(Some(copy))
    }

    /// Where the copy is: what the original has as its root.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Drop for StateCopy {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.root) {
            log::warn!(error:% = error; "{} is left behind: {error}", self.root.display());
        }
    }
}

/// Without a lock file nobody has ever had the lock.
fn share_lock(path: &Path) -> Result<Option<File>, TryLockError> {
    match File::open(path) {
        Ok(file) => {
            file.try_lock_shared()?;
            Ok(Some(file))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TryLockError::Error(error)),
    }
}

fn holder(root: &Path) -> String {
    let noted = fs::read_to_string(root.join("state.lock"));
    noted.map_or_else(
        |_| "it has noted nothing".to_owned(),
        |text| text.trim_end().to_owned(),
    )
}

/// Files and folders; what else may lie there is none of the database's.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, to) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every path below a folder, with what is in it and when it was written.
    fn everything(root: &Path) -> Vec<(PathBuf, Option<Vec<u8>>, std::time::SystemTime)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(root).unwrap() {
            let path = entry.unwrap().path();
            let written = fs::metadata(&path).unwrap().modified().unwrap();
            match path.is_dir() {
                true => {
                    found.extend(everything(&path));
                    found.push((path, None, written));
                }
                false => found.push((path.clone(), Some(fs::read(&path).unwrap()), written)),
            }
        }
        found.sort();
        found
    }

    fn state(root: &Path) {
        fs::create_dir_all(root.join("state/blobs")).unwrap();
        fs::write(root.join("state/db"), "rows").unwrap();
        fs::write(root.join("state/blobs/1"), "blob").unwrap();
        fs::write(root.join("state.lock"), "start 7 commit 12 pid 99\n").unwrap();
    }

    #[test]
    fn the_original_is_not_touched_and_the_copy_goes() {
        let (root, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        state(root.path());
        let before = everything(root.path());
        let copy = StateCopy::of(root.path(), temporary.path())
            .unwrap()
            .expect("there is a state");
        assert_eq!(fs::read(copy.root().join("state/db")).unwrap(), b"rows");
        assert_eq!(fs::read(copy.root().join("state/blobs/1")).unwrap(), b"blob");
        fs::write(copy.root().join("state/db"), "changed").unwrap();
        drop(copy);
        assert_eq!(everything(root.path()), before);
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
    }

    #[test]
    fn where_there_is_no_state_none_comes_into_being() {
        let root = tempfile::tempdir().unwrap();
        let never = root.path().join("never");
        assert!(StateCopy::of(&never, root.path()).unwrap().is_none());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_state_that_is_worked_on_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        state(root.path());
        let lock = File::open(root.path().join("state.lock")).unwrap();
        lock.lock().unwrap();
        match StateCopy::of(root.path(), root.path()) {
            Err(NoCopy::InUse(holder)) => assert_eq!(holder, "start 7 commit 12 pid 99"),
            other => panic!("{other:?}"),
        }
    }
}
