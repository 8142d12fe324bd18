//! Which volume a folder lies on.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A volume, as the system has mounted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub place: PathBuf,
    /// The kind of its file system.
    pub kind: String,
}

impl Mount {
    /// Whether what is written there is gone with the machine, or with the container.
    pub fn is_fleeting(&self) -> bool {
        matches!(self.kind.as_str(), "tmpfs" | "ramfs" | "overlay")
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.place.display(), self.kind)
    }
}

/// The volume of a folder that is there; `None` where the system does not tell.
pub fn mount_of(folder: &Path) -> Option<Mount> {
    let folder = fs::canonicalize(folder).ok()?;
    deepest(&fs::read_to_string("/proc/self/mountinfo").ok()?, &folder)
}

/// The last of the deepest ones: a later mount hides an earlier one.
fn deepest(table: &str, folder: &Path) -> Option<Mount> {
    let mounts = table.lines().filter_map(parse);
    mounts
        .filter(|mount| folder.starts_with(&mount.place))
        .max_by_key(|mount| mount.place.as_os_str().len())
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn parse(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    // Blanks and the like are written as octal numbers.
    let place = before.split(' ').nth(4)?.replace("\\040", " ");
    Some(Mount {
        place: PathBuf::from(place),
        kind: after.split(' ').next()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_mount_is_the_volume() {
        let table = "1 0 0:1 / / rw - overlay overlay rw\n\
                     2 1 254:1 / /data rw,noatime shared:1 - ext4 /dev/vdb rw\n\
                     3 1 0:5 / /data\\040too rw - tmpfs tmpfs rw\n";
        let kind = |folder: &str| deepest(table, Path::new(folder)).unwrap().kind;
        assert_eq!(kind("/data/azul"), "ext4");
        assert_eq!(kind("/data too"), "tmpfs");
        assert_eq!(kind("/tmp"), "overlay");
        assert_eq!(deepest("", Path::new("/")), None);
    }
}
