//! The scan of directories: which files there are and which of them have changed.
//!
//! A file that has not changed (device, inode, size, modification and change time) costs one
//! `stat`; one that has is read again, and reported only if its content is another. A directory
//! that cannot be read keeps what was found in it: trouble with a mount must not make the agent
//! forget certificates that HAProxy still serves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::certificate_file::{self, Finding, Refusal, staple_path, with_suffix};

/// Names that HAProxy's directory loader passes over because they belong to a certificate.
const COMPANION_SUFFIXES: [&str; 4] = [".issuer", ".ocsp", ".sctl", ".key"];

/// One directory to scan, by its place in the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directory {
    /// Its path, as HAProxy names it.
    pub path: PathBuf,
}

/// Something that a scan found out.
#[derive(Clone, Debug)]
pub enum Change {
    /// A file is new, or its content is.
    Found {
        /// The directory it lies in, by its place in the configuration.
        directory: usize,
        /// The file.
        path: PathBuf,
        /// What is in it.
        content: Result<Finding, Refusal>,
    },
    /// A file is gone.
    Gone {
        /// The file.
        path: PathBuf,
    },
    /// The `.ocsp` of a file, seen by an earlier scan, is gone.
    StapleGone {
        /// The certificate file.
        path: PathBuf,
    },
    /// A directory cannot be read; reported once until it changes.
    DirectoryFailed {
        /// The directory.
        path: PathBuf,
        /// Why.
        error: DirectoryError,
    },
    /// A directory that could not be read can be read again.
    DirectoryRecovered {
        /// The directory.
        path: PathBuf,
    },
    /// A directory that had certificate files has none any more.
    DirectoryEmptied {
        /// The directory.
        path: PathBuf,
    },
}

/// Why a directory gives no certificates.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DirectoryError {
    /// There is no such directory.
    #[error("does not exist; it is looked for again at every scan")]
    Missing,
    /// The path is not a directory.
    #[error("is not a directory")]
    NotADirectory,
    /// The agent may not read it.
    #[error("may not be read by this user")]
    PermissionDenied,
    /// Anything else.
    #[error("cannot be read: {0}")]
    Io(String),
}

impl DirectoryError {
    /// The kind in snake_case: log reason and metric label.
    pub fn kind(&self) -> &'static str {
        match self {
            DirectoryError::Missing => "missing",
            DirectoryError::NotADirectory => "not_a_directory",
            DirectoryError::PermissionDenied => "permission_denied",
            DirectoryError::Io(_) => "io",
        }
    }
}

impl From<io::Error> for DirectoryError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => DirectoryError::Missing,
            io::ErrorKind::NotADirectory => DirectoryError::NotADirectory,
            io::ErrorKind::PermissionDenied => DirectoryError::PermissionDenied,
            _ => DirectoryError::Io(error.to_string()),
        }
    }
}

/// Whether HAProxy's directory loader would load a file of this name (since 2.6 it passes over
/// names that begin with a dot).
pub fn is_loaded_by_haproxy(name: &[u8]) -> bool {
    !name.starts_with(b".")
        && !COMPANION_SUFFIXES
            .iter()
            .any(|suffix| name.ends_with(suffix.as_bytes()))
}

/// Scans directories and remembers what it saw.
#[derive(Debug)]
pub struct Scanner {
    directories: Vec<Watched>,
}

#[derive(Debug)]
struct Watched {
    directory: Directory,
    files: BTreeMap<PathBuf, Seen>,
    error: Option<DirectoryError>,
}

#[derive(Debug)]
struct Seen {
    stamp: Stamp,
    issuer_stamp: Option<Stamp>,
    staple_present: bool,
    content: ContentKey,
}

/// What identifies a file's content, to tell a touch from a change.
#[derive(PartialEq, Eq, Debug)]
enum ContentKey {
    Certificate {
        certificate: [u8; 32],
        issuer: [u8; 32],
    },
    Refused(Refusal),
}

/// What changes when a file is replaced or written to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Scanner {
    /// A scanner for these directories that has seen nothing yet.
    pub fn new(directories: Vec<Directory>) -> Self {
        let directories = directories
            .into_iter()
            .map(|directory| Watched {
                directory,
                files: BTreeMap::new(),
                error: None,
            })
            .collect();
        Scanner { directories }
    }

    /// Looks at all directories and hands every change to `report`, as it is found.
    pub fn scan(&mut self, mut report: impl FnMut(Change)) {
        for (index, watched) in self.directories.iter_mut().enumerate() {
            watched.scan(index, &mut report);
        }
    }
}

impl Watched {
    fn scan(&mut self, index: usize, report: &mut impl FnMut(Change)) {
        let path = self.directory.path.clone();
        let listing = match Listing::read(&path) {
            Ok(listing) => listing,
            Err(error) => {
                let error = DirectoryError::from(error);
                if self.error.as_ref() != Some(&error) {
                    self.error = Some(error.clone());
                    report(Change::DirectoryFailed { path, error });
                }
                return;
            }
        };
        if self.error.take().is_some() {
            report(Change::DirectoryRecovered { path: path.clone() });
        }
        let had_files = !self.files.is_empty();
        let gone: Vec<PathBuf> = self
            .files
            .keys()
            .filter(|file| !listing.files.contains_key(*file))
            .cloned()
            .collect();
        for file in gone {
            self.files.remove(&file);
            report(Change::Gone { path: file });
        }
        if had_files && listing.files.is_empty() {
            report(Change::DirectoryEmptied { path });
        }
        for (file, stamp) in &listing.files {
            self.look_at(index, file, *stamp, &listing, report);
        }
    }

    fn look_at(
        &mut self,
        directory: usize,
        path: &Path,
        stamp: Stamp,
        listing: &Listing,
        report: &mut impl FnMut(Change),
    ) {
        let issuer_path = with_suffix(path, ".issuer");
        let issuer_stamp = listing
            .companions
            .contains(&issuer_path)
            .then(|| fs::metadata(&issuer_path).ok())
            .flatten()
            .map(|metadata| Stamp::of(&metadata));
        let staple_present = listing.companions.contains(&staple_path(path));
        let seen = self.files.get_mut(path);
        if let Some(seen) = seen
            && (seen.stamp, seen.issuer_stamp) == (stamp, issuer_stamp)
        {
            if seen.staple_present && !staple_present {
                report(Change::StapleGone {
                    path: path.to_owned(),
                });
            }
            seen.staple_present = staple_present;
            return;
        }
        let content = certificate_file::read(path);
        let key = match &content {
            Ok(finding) => ContentKey::Certificate {
                certificate: finding.certificate.sha256_fingerprint(),
                issuer: finding.issuer.sha256_fingerprint(),
            },
            Err(refusal) => ContentKey::Refused(refusal.clone()),
        };
        let known = self.files.get(path).is_some_and(|seen| seen.content == key);
        self.files.insert(
            path.to_owned(),
            Seen {
                stamp,
                issuer_stamp,
                staple_present,
                content: key,
            },
        );
        if !known {
            report(Change::Found {
                directory,
                path: path.to_owned(),
                content,
            });
        }
    }
}

/// One reading of a directory.
struct Listing {
    /// Files that HAProxy would load, in the order it loads them.
    files: BTreeMap<PathBuf, Stamp>,
    /// Files that belong to one of them.
    companions: BTreeSet<PathBuf>,
}

impl Listing {
    fn read(directory: &Path) -> io::Result<Self> {
        let mut listing = Listing {
            files: BTreeMap::new(),
            companions: BTreeSet::new(),
        };
        for item in fs::read_dir(directory)? {
            let name = item?.file_name();
            let path = directory.join(&name);
            if is_loaded_by_haproxy(name.as_bytes()) {
                // As HAProxy does: links are followed, anything but a regular file is passed over.
                if let Ok(metadata) = fs::metadata(&path)
                    && metadata.is_file()
                {
                    listing.files.insert(path, Stamp::of(&metadata));
                }
            } else {
                listing.companions.insert(path);
            }
        }
        Ok(listing)
    }
}
