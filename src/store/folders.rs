//! The folders below a claimed directory: made where they are missing.
//!
//! For staples that do not lie beside their certificates but keep the folders of these below a
//! directory of their own. That directory itself is the operator's to make: a missing one may be a
//! mount that is not there yet.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use super::Error;

/// Makes the folders that are missing between `directory` and the file `path` below it, so that they
/// outlive a power failure. Each has its parent's group; its permissions are the umask's affair.
///
/// # Errors
/// [`Error`] with the folder that cannot be made.
pub(super) fn create_between(directory: &Path, path: &Path) -> Result<(), Error> {
    let folders: Vec<&Path> = path
        .ancestors()
        .skip(1)
        .take_while(|folder| *folder != directory)
        .collect();
    for folder in folders.into_iter().rev() {
        match create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::at(folder, error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn create(folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    let parent = folder.parent().unwrap_or(Path::new("/"));
    let parent = File::open(parent)?;
    // Whoever is not in that group cannot give it away, as with the staples themselves.
    let _ = chown(folder, None, Some(parent.metadata()?.gid()));
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
