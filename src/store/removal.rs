//! Removing what lies in a staple's place, after a look at it.
//!
//! The look and the removal concern the same file: one that is put there in between stays. Only a
//! regular file is a staple; links and other files are left.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, statat, unlinkat};
use rustix::io::Errno;

use super::{Claims, Error, LARGEST_STAPLE_FILE};
use crate::files;

/// What became of an attempt to remove a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// There was nothing.
    Missing,
    /// It is to be left, or another file has come to its place.
    Left,
}

/// Removes the file at `path` if `is_to_go` says so of its bytes. In a directory that is claimed no
/// link leads out of it.
///
/// # Errors
/// [`Error`] when it cannot be read or removed.
pub fn remove_if(
    path: &Path,
    claims: &Claims,
    is_to_go: impl FnOnce(&[u8]) -> bool,
) -> Result<Removal, Error> {
    let removed = match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) => claims
            .open(folder)
            .and_then(|folder| remove(&folder, name, is_to_go)),
        _ => Err(io::ErrorKind::InvalidFilename.into()),
    };
    removed.or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(Removal::Missing),
        _ => Err(Error::at(path, error)),
    })
}

fn remove(
    folder: &File,
    name: &OsStr,
    is_to_go: impl FnOnce(&[u8]) -> bool,
) -> io::Result<Removal> {
    let file = match files::open_at(folder, name) {
        Err(error) if is_no_file(&error) => return Ok(Removal::Left),
        opened => opened?,
    };
    let metadata = file.metadata()?;
    let mut bytes = Vec::new();
    (&file)
        .take(LARGEST_STAPLE_FILE + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_STAPLE_FILE || !is_to_go(&bytes) {
        return Ok(Removal::Left);
    }
    let there = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if (there.st_dev, there.st_ino) != (metadata.dev(), metadata.ino()) {
        return Ok(Removal::Left);
    }
    // Not flushed: what a power failure brings back is removed at the next start.
    unlinkat(folder, name, AtFlags::empty())?;
    Ok(Removal::Removed)
}

/// Whether something is there that is no regular file: a link, a device, a directory, a socket.
fn is_no_file(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory
    ) || Errno::from_io_error(error) == Some(Errno::NXIO)
}
