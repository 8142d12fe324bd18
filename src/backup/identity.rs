//! Which backup the local state belongs to. What is left over in it must not come into the buckets of another.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use actors::fault_point::{self, FaultPoint};

use crate::settings::Settings;

/// The file beside the journal that names the buckets.
const FILE: &str = "buckets";

/// The local state cannot be used for this backup.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotOurs {
    #[error(
        "the local state in {place} belongs to the backup into {theirs}, and the settings name {ours}: give each \
         backup a BK__LOCAL_DATA__ROOTDIR of its own, or set BK__BACKUP_ID and BK__BUCKET_NAME_PREFIX as they were"
    )]
    Other {
        place: PathBuf,
        theirs: String,
        ours: String,
    },
    #[error("{place} cannot be read or written: {error}")]
    Unusable { place: PathBuf, error: io::Error },
}

/// Makes sure that the state below `root`, which is open and locked, belongs to the buckets of these settings; a
/// new state belongs to them from now on.
pub(super) fn check(root: &Path, settings: &Settings) -> Result<(), NotOurs> {
    let ours = format!("{} and {}", settings.bucket.events, settings.bucket.streams);
    let place = root.join(FILE);
    match fs::read_to_string(&place) {
        Ok(theirs) if theirs.trim_end() == ours => Ok(()),
        Ok(theirs) => Err(NotOurs::Other {
            place: root.to_owned(),
            theirs: theirs.trim_end().to_owned(),
            ours,
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write(root, &place, &ours).map_err(|error| NotOurs::Unusable { place, error })
        }
        Err(error) => Err(NotOurs::Unusable { place, error }),
    }
}

/// Whole or not at all.
fn write(root: &Path, place: &Path, ours: &str) -> io::Result<()> {
    let part = root.join("buckets.part");
    let mut file = fs::File::create(&part)?;
    writeln!(file, "{ours}")?;
    file.sync_data()?;
    fault_point::try_pass(FaultPoint::IdentityWritten)?;
    fs::rename(&part, place)?;
    fs::File::open(root)?.sync_all()
}
