//! Staples on disk: reading what is there, and replacing it durably and atomically.
//!
//! HAProxy reads `<certificate>.ocsp` when it starts, so the file is at every moment the old
//! staple whole or the new one whole: written to a temporary file in the same directory, flushed,
//! renamed, the directory flushed. A temporary name begins with a dot and ends in `.ocsp`, the one
//! form that no HAProxy version takes for a certificate (HAProxy's directory loader refuses to
//! start over anything else). Files are replaced, never deleted; links are replaced, not followed.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ocsp::Staple;

/// A `.ocsp` file above this size is not read; a response worth stapling is far smaller.
pub const LARGEST_STAPLE_FILE: u64 = 64 * 1024;
/// Readable for HAProxy's group, not for everyone.
const MODE: u32 = 0o640;
/// How many temporary names are tried before giving up.
const NAME_ATTEMPTS: usize = 8;
/// The number of random letters and digits in a temporary name.
const RANDOM_LENGTH: usize = 8;
/// How much of a certificate's name goes into a temporary one, to stay within NAME_MAX.
const LONGEST_STEM: usize = 200;

/// Why a staple could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is larger than any staple.
    #[error("{path}: {size} bytes, more than the {LARGEST_STAPLE_FILE} a staple may have")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// There is a directory where the staple belongs.
    #[error("{0} is a directory: remove it, HAProxy refuses to start with it")]
    IsADirectory(PathBuf),
    /// The disk or the quota is full.
    #[error("{0}: no space left; the old staple is still in place")]
    NoSpace(PathBuf),
    /// This user may not write there, or the file system is read-only.
    #[error("{path}: {error}; let the user that staplerd runs as write to the directory")]
    PermissionDenied {
        /// The file.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
    /// Anything else.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
}

impl Error {
    /// The kind in snake_case: log reason and metric label.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::TooLarge { .. } => "too_large",
            Error::IsADirectory(_) => "is_a_directory",
            Error::NoSpace(_) => "no_space",
            Error::PermissionDenied { .. } => "permission_denied",
            Error::Io { .. } => "io",
        }
    }

    fn at(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::NoSpace(path),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Error::PermissionDenied { path, error }
            }
            _ => Error::Io { path, error },
        }
    }
}

/// Reads the bytes at a staple's place; `None` when there is no file. They are foreign bytes:
/// whoever wants a staple has to verify them.
///
/// # Errors
/// [`Error`] when there is a file that cannot be read.
pub fn load(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::at(path, error)),
    };
    let size = file
        .metadata()
        .map_err(|error| Error::at(path, error))?
        .len();
    if size > LARGEST_STAPLE_FILE {
        return Err(Error::TooLarge {
            path: path.to_owned(),
            size,
        });
    }
    let mut bytes = Vec::new();
    file.take(LARGEST_STAPLE_FILE)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::at(path, error))?;
    Ok(Some(bytes))
}

/// Writes a batch of staples so that all of them outlive a power failure, with one flush of each
/// file system's data and one of each directory. The results are in the order of the batch; one
/// failure does not touch the others.
pub fn write(batch: &[(PathBuf, Arc<Staple>)]) -> Vec<Result<(), Error>> {
    let written: Vec<Result<Temporary, Error>> = batch
        .iter()
        .map(|(path, staple)| {
            Temporary::create(path, staple.der()).map_err(|error| match error.kind() {
                io::ErrorKind::IsADirectory => Error::IsADirectory(path.clone()),
                _ => Error::at(path, error),
            })
        })
        .collect();
    let flushed = flush(&written);
    let results: Vec<Result<(), Error>> = written
        .into_iter()
        .zip(batch)
        .map(|(temporary, (path, _))| {
            let temporary = temporary?;
            if let Err(error) = &flushed {
                return Err(Error::at(
                    path,
                    io::Error::new(error.kind(), error.to_string()),
                ));
            }
            temporary
                .rename_to(path)
                .map_err(|error| Error::at(path, error))
        })
        .collect();
    let directories: BTreeSet<&Path> = batch
        .iter()
        .zip(&results)
        .filter(|(_, result)| result.is_ok())
        .filter_map(|((path, _), _)| path.parent())
        .collect();
    for directory in directories {
        // The renames are done and HAProxy sees them; a directory that cannot be flushed (some
        // network file systems) only means that a power failure may bring the old staple back.
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
    }
    results
}

/// Flushes the data of all temporary files: one by itself, several through their file systems.
fn flush(written: &[Result<Temporary, Error>]) -> io::Result<()> {
    let mut temporaries = written.iter().flatten();
    match (temporaries.next(), temporaries.next()) {
        (None, _) => Ok(()),
        (Some(only), None) => only.file.sync_data(),
        _ => {
            let mut devices = BTreeSet::new();
            for temporary in written.iter().flatten() {
                if devices.insert(temporary.device) {
                    rustix::fs::syncfs(&temporary.file)?;
                }
            }
            Ok(())
        }
    }
}

/// Removes temporary files that an earlier run left behind in this directory. Only names of the
/// form that this program makes are touched.
///
/// # Errors
/// The system's error when the directory cannot be read.
pub fn sweep(directory: &Path) -> io::Result<()> {
    for item in fs::read_dir(directory)? {
        let item = item?;
        if is_temporary(item.file_name().as_bytes()) && item.file_type()?.is_file() {
            fs::remove_file(item.path())?;
        }
    }
    Ok(())
}

/// Whether a name has the form `.<name>.<random>.ocsp`.
fn is_temporary(name: &[u8]) -> bool {
    let Some(inner) = name
        .strip_prefix(b".")
        .and_then(|rest| rest.strip_suffix(b".ocsp"))
    else {
        return false;
    };
    let Some(dot) = inner.iter().rposition(|byte| *byte == b'.') else {
        return false;
    };
    let (stem, random) = inner.split_at(dot);
    !stem.is_empty()
        && random.len() == RANDOM_LENGTH + 1
        && random.iter().skip(1).all(u8::is_ascii_alphanumeric)
}

/// A temporary file that removes itself unless it is renamed into place.
#[derive(Debug)]
struct Temporary {
    path: PathBuf,
    file: File,
    device: u64,
    renamed: bool,
}

impl Temporary {
    fn create(target: &Path, bytes: &[u8]) -> io::Result<Self> {
        if fs::symlink_metadata(target).is_ok_and(|metadata| metadata.is_dir()) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(MODE);
        for _ in 0..NAME_ATTEMPTS {
            let path = temporary_name(target);
            let file = match options.open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                other => other?,
            };
            let device = rustix::fs::fstat(&file)?.st_dev;
            let mut temporary = Temporary {
                path,
                file,
                device,
                renamed: false,
            };
            temporary.file.write_all(bytes)?;
            return Ok(temporary);
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn rename_to(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // If even this fails, the sweep of the next start finds the file.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// `.<name>.<random>.ocsp` beside the target, where `<name>` is the certificate file's name.
fn temporary_name(target: &Path) -> PathBuf {
    let random: String = std::iter::repeat_with(fastrand::alphanumeric)
        .take(RANDOM_LENGTH)
        .collect();
    let stem = target.file_stem().unwrap_or_default().as_bytes();
    let mut name = OsString::from(".");
    name.push(OsStr::from_bytes(stem.get(..LONGEST_STEM).unwrap_or(stem)));
    name.push(format!(".{random}.ocsp"));
    target.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// Writes bytes the way a staple is written, without needing a real staple.
    fn replace(target: &Path, bytes: &[u8]) -> io::Result<()> {
        Temporary::create(target, bytes)?.rename_to(target)
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|item| item.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn temporary_names_are_ones_that_no_haproxy_loads() {
        let name = temporary_name(Path::new("/certs/site.pem.ocsp"));
        assert_eq!(name.parent(), Some(Path::new("/certs")));
        let name = name.file_name().unwrap().to_str().unwrap();
        assert!(
            name.starts_with(".site.pem.") && name.ends_with(".ocsp"),
            "{name}"
        );
        assert!(is_temporary(name.as_bytes()));
    }

    #[test]
    fn a_name_as_long_as_the_file_system_takes_still_gets_a_temporary_one() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("x".repeat(250) + ".ocsp");
        replace(&target, b"new").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
    }

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("a.pem.ocsp");
        fs::write(&target, b"an older and longer staple").unwrap();
        replace(&target, b"new").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(
            fs::metadata(&target).unwrap().permissions().mode() & 0o777 & !0o640,
            0
        );
        assert_eq!(names(directory.path()), ["a.pem.ocsp"]);
    }

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        let target = directory.path().join("a.pem.ocsp");
        fs::write(&victim, b"precious").unwrap();
        symlink(&victim, &target).unwrap();
        replace(&target, b"new").unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert!(fs::symlink_metadata(&target).unwrap().is_file());
    }

    #[test]
    fn a_directory_in_the_way_is_refused_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("a.pem.ocsp");
        fs::create_dir(&target).unwrap();
        let error = replace(&target, b"new").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        assert_eq!(names(directory.path()), ["a.pem.ocsp"]);
    }

    #[test]
    fn a_write_that_is_given_up_takes_its_temporary_file_along() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("a.pem.ocsp");
        drop(Temporary::create(&target, b"half").unwrap());
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn the_sweep_takes_left_over_temporary_files_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let left_over = temporary_name(&directory.path().join("a.pem.ocsp"));
        let keep = [
            ".hidden",
            ".site.ocsp",
            "a.pem",
            "a.pem.ocsp",
            "b.12345678.ocsp",
        ];
        fs::write(&left_over, b"half").unwrap();
        for name in keep {
            fs::write(directory.path().join(name), b"x").unwrap();
        }
        sweep(directory.path()).unwrap();
        assert_eq!(names(directory.path()), keep);
    }

    #[test]
    fn what_is_missing_is_none_and_what_is_too_large_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.pem.ocsp");
        assert!(load(&path).unwrap().is_none());
        fs::write(&path, vec![0; 65 * 1024]).unwrap();
        assert_eq!(load(&path).unwrap_err().kind(), "too_large");
    }

    #[test]
    fn a_missing_directory_is_an_error_that_names_the_file() {
        let error = Error::at(
            Path::new("/nowhere/a.pem.ocsp"),
            replace(Path::new("/nowhere/a.pem.ocsp"), b"x").unwrap_err(),
        );
        assert!(error.to_string().contains("/nowhere/a.pem.ocsp"), "{error}");
    }
}
