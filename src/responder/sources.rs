//! Statuses out of files.
//!
//! [`IndexFile`] reads OpenSSL's `index.txt`, [`CertificateDirectory`] a directory of certificates
//! and a revocation list. Both look at the files on each request and read them again when they have
//! changed; while a file cannot be read there is no status, because an old one might hide a
//! revocation.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::crl::{CrlError, RevocationList};
use super::index::{Index, IndexError};
use super::status::{Inquiry, SourceError, Statement, StatementFuture, StatusSource};
use crate::files::{self, Reach};
use crate::ocsp::CertificateStatus;
use crate::text::Printable;
use crate::x509::bundle::MAX_PEM_BYTES;
use crate::x509::{Bundle, Certificate};

/// Largest index or revocation list that is read, in bytes.
const MAX_FILE_BYTES: u64 = 512 * 1024 * 1024;
/// How long a file may be written after its name is there: a directory that changed this lately is
/// read again.
const SETTLING: Duration = Duration::from_secs(2);
/// Most files that are looked at in a directory of certificates.
const MAX_DIRECTORY_FILES: usize = 1_000_000;

/// Why a source's files have no statuses.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refuses.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: String,
        /// What the system says.
        error: io::Error,
    },
    /// It is larger than what is read.
    #[error("{path}: it has {bytes} bytes, more than are read")]
    TooLarge {
        /// The file.
        path: String,
        /// Its size.
        bytes: u64,
    },
    /// A row of an index cannot be read.
    #[error("{path}: {error}")]
    Index {
        /// The file.
        path: String,
        /// The row.
        error: IndexError,
    },
    /// The revocation list is not accepted.
    #[error("{path}: {error}")]
    Crl {
        /// The file.
        path: String,
        /// What is wrong with it.
        error: CrlError,
    },
    /// The revocation list's PEM block is damaged.
    #[error("{path}: no revocation list, neither PEM nor DER")]
    NoCrl {
        /// The file.
        path: String,
    },
    /// More files than are looked at.
    #[error("{path}: more than {MAX_DIRECTORY_FILES} files")]
    TooManyFiles {
        /// The directory.
        path: String,
    },
}

/// What tells one state of a file from another.
type SourceStamp = Vec<(u64, u64, i64, i64, u64)>;

/// Something that is read from files, and read again when they change.
struct Watched<T> {
    state: Mutex<SourceState<T>>,
    /// How long after a change it is read again in any case.
    settling: Duration,
}

struct SourceState<T> {
    stamp: SourceStamp,
    /// What was read last, or why it could not be.
    content: Result<Arc<T>, SourceError>,
    /// Whether it was read so soon after a change that it may not be all.
    unsettled: bool,
}

impl<T> Watched<T> {
    fn new(stamp: SourceStamp, content: T, settling: Duration) -> Self {
        Watched {
            state: Mutex::new(SourceState {
                unsettled: changed_within(settling, &stamp),
                stamp,
                content: Ok(Arc::new(content)),
            }),
            settling,
        }
    }

    /// The content as the files are now. Those who ask while it is read wait for it.
    fn current(
        &self,
        paths: &[&Path],
        read: impl FnOnce() -> Result<T, FileError>,
    ) -> Result<Arc<T>, SourceError> {
        let stamp = stamp(paths).map_err(|error| SourceError::Unavailable(error.to_string()))?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.unsettled || state.stamp != stamp {
            // Judged before the reading: a change after it may concern what was read.
            state.unsettled = changed_within(self.settling, &stamp);
            state.content = read()
                .map(Arc::new)
                .map_err(|error| SourceError::Unavailable(error.to_string()));
            state.stamp = stamp;
        }
        state.content.clone()
    }
}

fn stamp(paths: &[&Path]) -> Result<SourceStamp, FileError> {
    let stamps = paths.iter().map(|path| {
        let metadata = fs::metadata(path).map_err(|error| io_error(path, error))?;
        Ok((
            metadata.dev(),
            metadata.ino(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.size(),
        ))
    });
    stamps.collect()
}

/// Whether a file changed in this time before now; a time in the future says nothing.
fn changed_within(time: Duration, stamp: &SourceStamp) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| i128::try_from(now.as_nanos()).unwrap_or(0));
    let time = i128::try_from(time.as_nanos()).unwrap_or(0);
    stamp.iter().any(|(_, _, seconds, nanoseconds, _)| {
        let changed = i128::from(*seconds) * 1_000_000_000 + i128::from(*nanoseconds);
        (0..time).contains(&(now - changed))
    })
}

fn io_error(path: &Path, error: io::Error) -> FileError {
    FileError::Io {
        path: path.printable().to_string(),
        error,
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, FileError> {
    let bytes = files::read(path, MAX_FILE_BYTES, Reach::Anywhere);
    Ok(bytes.map_err(|error| io_error(path, error))?.to_vec())
}

/// OpenSSL's `index.txt`.
pub struct IndexFile {
    path: PathBuf,
    index: Watched<Index>,
}

impl IndexFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let stamp = stamp(&[path])?;
        let index = read_index(path)?;
        Ok(IndexFile {
            path: path.to_owned(),
            index: Watched::new(stamp, index, Duration::ZERO),
        })
    }
}

impl StatusSource for IndexFile {
    fn statement<'a>(&'a self, inquiry: Inquiry<'a>) -> StatementFuture<'a> {
        let index = self.index.current(&[&self.path], || read_index(&self.path));
        let statement = index.map(|index| Statement::from(index.status(inquiry.serial)));
        Box::pin(std::future::ready(statement))
    }
}

fn read_index(path: &Path) -> Result<Index, FileError> {
    // Subjects may be in any encoding; they are not looked at.
    let bytes = read_file(path)?;
    Index::parse(&String::from_utf8_lossy(&bytes)).map_err(|error| FileError::Index {
        path: path.printable().to_string(),
        error,
    })
}

/// A directory with an authority's certificates, one per file, and its revocation list: those in
/// the directory are good, or revoked as the list says; others are unknown.
pub struct CertificateDirectory {
    directory: PathBuf,
    revocation_list: PathBuf,
    issuer: Certificate,
    content: Watched<Issued>,
}

struct Issued {
    serials: HashSet<Box<[u8]>>,
    revocations: RevocationList,
}

impl CertificateDirectory {
    /// Reads the certificates of `issuer` in `directory` (files of other kinds and certificates of
    /// others do not matter) and the list, PEM or DER.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open(
        directory: &Path,
        revocation_list: &Path,
        issuer: &Certificate,
    ) -> Result<Self, FileError> {
        let stamp = stamp(&[directory, revocation_list])?;
        let content = read_issued(directory, revocation_list, issuer)?;
        Ok(CertificateDirectory {
            directory: directory.to_owned(),
            revocation_list: revocation_list.to_owned(),
            issuer: issuer.clone(),
            content: Watched::new(stamp, content, SETTLING),
        })
    }

    fn look_up(&self, inquiry: Inquiry<'_>) -> Result<Statement, SourceError> {
        let (directory, list) = (&self.directory, &self.revocation_list);
        let issued = self.content.current(&[directory, list], || {
            read_issued(directory, list, &self.issuer)
        })?;
        let revocations = &issued.revocations;
        if let Some(end) = revocations.next_update.filter(|end| *end <= inquiry.now) {
            return Err(SourceError::Unavailable(format!(
                "{}: the revocation list ended at {end}",
                list.printable()
            )));
        }
        let status = match revocations.revocation(inquiry.serial) {
            Some(revoked) => revoked,
            None if issued.serials.contains(inquiry.serial) => CertificateStatus::Good,
            None => CertificateStatus::Unknown,
        };
        Ok(Statement {
            status,
            this_update: Some(revocations.this_update),
            next_update: revocations.next_update,
        })
    }
}

impl StatusSource for CertificateDirectory {
    fn statement<'a>(&'a self, inquiry: Inquiry<'a>) -> StatementFuture<'a> {
        Box::pin(std::future::ready(self.look_up(inquiry)))
    }
}

fn read_issued(
    directory: &Path,
    revocation_list: &Path,
    issuer: &Certificate,
) -> Result<Issued, FileError> {
    let path = || revocation_list.printable().to_string();
    let bytes = read_file(revocation_list)?;
    let der = crl_der(bytes).ok_or_else(|| FileError::NoCrl { path: path() })?;
    let revocations = RevocationList::read(&der, issuer).map_err(|error| FileError::Crl {
        path: path(),
        error,
    })?;
    let mut serials = HashSet::new();
    let entries = fs::read_dir(directory).map_err(|error| io_error(directory, error))?;
    for (number, entry) in entries.enumerate() {
        if number >= MAX_DIRECTORY_FILES {
            return Err(FileError::TooManyFiles {
                path: directory.printable().to_string(),
            });
        }
        let entry = entry.map_err(|error| io_error(directory, error))?;
        let certificate = read_certificate(&entry.path());
        if let Some(certificate) = certificate
            && certificate.issuer_name() == issuer.subject_name()
        {
            serials.insert(certificate.serial().into());
        }
    }
    Ok(Issued {
        serials,
        revocations,
    })
}

/// The first certificate of a regular file, PEM or DER; `None` where there is none.
fn read_certificate(path: &Path) -> Option<Certificate> {
    let largest = u64::try_from(MAX_PEM_BYTES).ok()?;
    let bytes = files::read(path, largest, Reach::Anywhere).ok()?;
    match Certificate::from_der(&bytes) {
        Ok(certificate) => Some(certificate),
        Err(_) => Some(Bundle::from_pem_buffer(bytes).ok()?.leaf().clone()),
    }
}

/// The DER of a revocation list that may be PEM.
fn crl_der(bytes: Vec<u8>) -> Option<Vec<u8>> {
    const BEGIN: &str = "-----BEGIN X509 CRL-----";
    const END: &str = "-----END X509 CRL-----";
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Some(bytes);
    };
    let (_, after) = text.split_once(BEGIN)?;
    let (body, _) = after.split_once(END)?;
    let text: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(text).ok()
}
