//! Where the socket lies, and how it is reached there however long the path is: the system takes 107 bytes.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The longest path of a socket, without the zero at its end.
const LONGEST_PATH: usize = 107;

/// The socket of the process that works on the state below one root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketPlace {
    directory: PathBuf,
    name: &'static str,
}

impl SocketPlace {
    /// Beside the state of a backup below `root`.
    pub fn beside(root: &Path) -> Self {
        Self::called("backup.sock", root)
    }

    /// Beside the state of a restore below `root`.
    pub fn beside_restore(root: &Path) -> Self {
        Self::called("restore.sock", root)
    }

    fn called(name: &'static str, root: &Path) -> Self {
        let directory = root.join("socket");
        Self { directory, name }
    }

    /// The path of the socket, for people.
    pub fn path(&self) -> PathBuf {
        self.directory.join(self.name)
    }

    /// Listens there, in place of whoever did before, and returns the number of the socket's inode too. Only for the
    /// holder of the state's lock.
    pub(super) fn listen(&self) -> io::Result<(UnixListener, u64)> {
        match DirBuilder::new().mode(0o700).create(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => fs::set_permissions(&self.directory, fs::Permissions::from_mode(0o700))?,
        }
        let path = self.path();
        match fs::symlink_metadata(&path) {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(&path)?,
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is not a socket")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = self.within_reach(|path| UnixListener::bind(path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok((listener, fs::metadata(&path)?.ino()))
    }

    /// Connects to whoever listens there.
    pub(super) fn connect(&self) -> io::Result<UnixStream> {
        self.within_reach(|path| UnixStream::connect(path))
    }

    /// The socket goes with its process; that of the next one, which may have the lock already, stays.
    pub(super) fn remove(&self, inode: u64) {
        let path = self.path();
        let is_ours = fs::symlink_metadata(&path).is_ok_and(|found| found.ino() == inode);
        if is_ours && let Err(error) = fs::remove_file(&path) {
            log::debug!("{} cannot be removed: {error}", path.display());
        }
    }

    /// Calls `act` with a path that is short enough: the path itself, or one through the open directory.
    fn within_reach<A>(&self, act: impl FnOnce(&Path) -> io::Result<A>) -> io::Result<A> {
        let path = self.path();
        if path.as_os_str().as_bytes().len() <= LONGEST_PATH {
            return act(&path);
        }
        let directory = File::open(&self.directory)?;
        let opened = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string());
        act(&opened.join(self.name))
    }
}
