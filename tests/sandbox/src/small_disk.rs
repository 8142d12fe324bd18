//! A small disk that can really be full: a file system of its own, in a mount namespace that ends with the test.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set for the child process that finds itself on the small disk.
const CHILD: &str = "AZUL_BACKUP_TEST_SMALL_DISK";

/// The small disk of `size` (as `mount` takes it: `16m`), for the process that is the test `test`. In the test itself:
/// runs that process, and is none; a disk that cannot be made here is told, and is none either.
///
/// # Errors
/// The test failed in the other process, or is not there under this name: what was printed.
pub fn enter(test: &str, size: &str) -> io::Result<Option<PathBuf>> {
    if let Some(disk) = std::env::var_os(CHILD) {
        return Ok(Some(disk.into()));
    }
    let disk = tempfile::TempDir::new()?;
    if let Err(reason) = can_mount(disk.path()) {
        println!("skipped: no small disk can be mounted here: {reason}");
        return Ok(None);
    }
    let mount = format!("mount -t tmpfs -o size={size} none \"${CHILD}\" && exec \"$0\" \"$@\"");
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", &mount])
        .arg(std::env::current_exe()?)
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, disk.path())
        .output()?;
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    // A test of another name would run none, and be told as passed.
    if output.status.success() && told.contains("running 1 test") {
        return Ok(None);
    }
    Err(io::Error::other(told.into_owned()))
}

/// Whether a process may have a small disk at all; why not.
fn can_mount(place: &Path) -> Result<(), String> {
    let tried = Command::new("unshare")
        .args(["-rm", "mount", "-t", "tmpfs", "none"])
        .arg(place)
        .output();
    match tried {
        Err(error) => Err(format!("`unshare` cannot be run: {error}")),
        Ok(output) if !output.status.success() => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Ok(_) => Ok(()),
    }
}

/// Makes the disk one that cannot be written to; only in the process that found itself on it.
///
/// # Errors
/// It cannot be mounted anew.
pub fn make_read_only(disk: &Path) -> io::Result<()> {
    let done = Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(disk)
        .status()?;
    if done.success() {
        Ok(())
    } else {
        Err(io::Error::other("mount failed"))
    }
}

/// Takes all room of the disk but `spare` bytes, with a file that gives it back when it is removed.
///
/// # Errors
/// The file cannot be made.
pub fn fill_up(disk: &Path, spare: u64) -> io::Result<PathBuf> {
    let path = disk.join("filler");
    let mut filler = File::create(&path)?;
    while filler.write_all(&[1; 65536]).is_ok() {}
    while filler.write_all(&[1; 4096]).is_ok() {}
    let length = filler.metadata()?.len();
    filler.set_len(length.saturating_sub(spare))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_is_not_there_has_not_passed() {
        if can_mount(tempfile::TempDir::new().unwrap().path()).is_ok() {
            let told = enter("a_test_of_another_name", "1m").unwrap_err().to_string();
            assert!(told.contains("running 0 tests"), "{told}");
        }
    }
}
