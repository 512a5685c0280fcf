//! Staples on disk: reading what is there, and replacing it durably and atomically.
//!
//! HAProxy reads `<certificate>.ocsp` when it starts (configuration manual §5.1, `crt`), so the
//! file is at every moment the old staple whole or the new one whole. Files are replaced; removed
//! is only what would keep HAProxy from starting, after a look at its bytes. Links are replaced,
//! not followed. One staplerd at a time writes to a directory. What is written is a verified
//! [`Staple`](crate::ocsp::Staple); what is read are foreign bytes.

mod backup;
mod batch;
mod claim;
mod disk;
mod folders;
mod locks;
mod ownership;
mod removal;
mod temporary;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::files::{self, Reach};
use crate::text::Printable;

pub use backup::back_up;
pub use batch::write;
pub use claim::{Claim, Claims};
pub use ownership::{DEFAULT_MODE, InvalidMode, Ownership, UnknownGroup, parse_mode};
pub use removal::{Removal, remove_if};

/// A `.ocsp` file above this size is not read; a response worth stapling is far smaller.
pub const LARGEST_STAPLE_FILE: u64 = 64 * 1024;

/// Why a staple could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is larger than any staple.
    #[error("{}: more than the {LARGEST_STAPLE_FILE} bytes a staple may have", .0.printable())]
    TooLarge(PathBuf),
    /// There is a directory where the staple belongs.
    #[error("{} is a directory: remove it, HAProxy refuses to start with it", .0.printable())]
    IsADirectory(PathBuf),
    /// Another staplerd writes the staples of this directory.
    #[error("{}: left to another staplerd, which looks after this directory already", .0.printable())]
    InUse(PathBuf),
    /// The disk or the quota is full.
    #[error("{}: no space left; what was there is still in place", .0.printable())]
    NoSpace(PathBuf),
    /// The file system is read-only: a mount, or the sandbox of the systemd unit.
    #[error(
        "{}: read-only file system; under systemd, name the directory in ReadWritePaths= \
         (systemctl edit staplerd) and restart staplerd, which is needed too where the directory \
         was made or moved there after the start",
        .0.printable()
    )]
    ReadOnly(PathBuf),
    /// This user may not write there.
    #[error("{}: {error}; let the user that staplerd runs as write to the directory", path.printable())]
    PermissionDenied {
        /// The file.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
    /// Anything else.
    #[error("{}: {error}", path.printable())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
}

impl Error {
    /// The kind in snake_case: the log reason.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::TooLarge(_) => "too_large",
            Error::IsADirectory(_) => "is_a_directory",
            Error::InUse(_) => "in_use",
            Error::NoSpace(_) => "no_space",
            Error::ReadOnly(_) => "read_only",
            Error::PermissionDenied { .. } => "permission_denied",
            Error::Io { .. } => "io",
        }
    }

    fn at(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::NoSpace(path),
            io::ErrorKind::ReadOnlyFilesystem => Error::ReadOnly(path),
            io::ErrorKind::PermissionDenied => Error::PermissionDenied { path, error },
            io::ErrorKind::IsADirectory => Error::IsADirectory(path),
            io::ErrorKind::FileTooLarge => Error::TooLarge(path),
            _ => Error::Io { path, error },
        }
    }
}

/// Whether staples can be written in this directory, as far as that can be told without writing.
///
/// # Errors
/// [`Error`] with what stands in the way.
pub fn check_writable(directory: &Path) -> Result<(), Error> {
    let wanted = Access::WRITE_OK.union(Access::EXEC_OK);
    accessat(CWD, directory, wanted, AtFlags::EACCESS)
        .map_err(|error| Error::at(directory, error.into()))
}

/// Reads the bytes at a staple's place; `None` when there is no file. They are foreign bytes: the
/// caller has to verify them to have a staple. Links lead no farther than `reach`.
///
/// # Errors
/// [`Error`] when there is a file that cannot be read.
pub fn load(path: &Path, reach: Reach<'_>) -> Result<Option<Vec<u8>>, Error> {
    match files::read(path, LARGEST_STAPLE_FILE, reach) {
        Ok(bytes) => Ok(Some(bytes.to_vec())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::at(path, error)),
    }
}
