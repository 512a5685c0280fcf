//! The folders below a claimed directory: made where they are missing.
//!
//! For staples that do not lie beside their certificates but keep the folders of these below a
//! directory of their own. That directory itself is the operator's to make: a missing one may be a
//! mount that is not there yet.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Gid, Mode};

use super::Error;
use crate::files::{self, Reach};

/// Makes the folders that are missing between `directory` and the file `path` below it, so that
/// they outlive a power failure. Each has its parent's group; its permissions are the umask's
/// affair. No link leads out of the directory.
///
/// # Errors
/// [`Error`] with the folder that cannot be made.
pub(super) fn create_between(directory: &Path, path: &Path) -> Result<(), Error> {
    let at = |folder: &Path, error| Error::at(folder, error);
    let mut folder = directory.to_owned();
    let below = path.parent().and_then(|it| it.strip_prefix(directory).ok());
    let mut parent = None;
    for name in below.into_iter().flat_map(Path::components) {
        let within = match parent.take() {
            Some(parent) => parent,
            None => files::open_directory(directory, Reach::Anywhere)
                .map_err(|error| at(directory, error))?,
        };
        folder.push(name);
        let made = create(&within, name.as_os_str()).map_err(|error| at(&folder, error))?;
        let reached = files::open_directory(&folder, Reach::Tree(directory));
        let reached = reached.map_err(|error| at(&folder, error))?;
        if made {
            finish(&within, &reached).map_err(|error| at(&folder, error))?;
        }
        parent = Some(reached);
    }
    Ok(())
}

/// Makes a folder; whether it was missing.
fn create(parent: &File, name: &OsStr) -> io::Result<bool> {
    match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o777)) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn finish(parent: &File, folder: &File) -> io::Result<()> {
    // A user outside that group cannot give files to it, as with the staples themselves.
    let group = Gid::from_raw(parent.metadata()?.gid());
    let _ = rustix::fs::fchown(folder, None, Some(group));
    match parent.sync_all() {
        // Some network file systems do not know how to.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        flushed => flushed,
    }
}
