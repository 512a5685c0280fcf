//! The scan of directories: which files there are and which of them have changed.
//!
//! A file that has not changed (device, inode, size, modification and change time) costs one
//! `stat`; one that has is read again, and reported only if its content is another. A directory
//! that cannot be read keeps what was found in it: trouble with a mount must not make the agent
//! forget certificates that HAProxy still serves. A file that may be half-written waits until it
//! has been the same for [`PATIENCE`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Selection;
use super::certificate_file::{self, Finding, Refusal};
use super::links::on_the_way;
use super::listing::{Item, Listing, Stamps};
use super::watch::{Interest, Interests};
use crate::x509::Certificate;

/// How long a file has to be the same before something wrong with it is believed: until then its
/// writer may only be slow.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// How many folders deep a recursive scan goes.
const DEEPEST: usize = 16;

/// One directory to scan, by its place in the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directory {
    /// Its path, as HAProxy names it.
    pub path: PathBuf,
    /// Whether the folders in it are scanned as well (those whose names begin with a dot are not).
    pub recursive: bool,
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
    /// A directory, or a folder in one, cannot be read; reported once until it changes.
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

/// Scans directories and remembers what it saw.
#[derive(Debug)]
pub struct Scanner {
    directories: Vec<Watched>,
    selection: Selection,
    issuers: Issuers,
}

/// Issuers in use, each kept once, however many certificates it has issued.
#[derive(Debug, Default)]
struct Issuers(HashMap<[u8; 32], Certificate>);

#[derive(Debug)]
struct Watched {
    directory: Directory,
    folders: BTreeMap<PathBuf, Folder>,
}

/// What is known of one folder.
#[derive(Debug, Default)]
struct Folder {
    files: BTreeMap<OsString, Seen>,
    error: Option<DirectoryError>,
}

/// What is known of one file.
#[derive(Debug)]
struct Seen {
    /// As they were when the file was read; none if it has to be read again whatever they are.
    stamps: Option<Stamps>,
    /// Since when it has been as it is, if it may be half-written.
    awaited_since: Option<Instant>,
    has_staple: bool,
    /// What was reported, if anything was.
    content: Option<ContentKey>,
    /// Where links on the way to it lie; empty for a file that is not behind a link.
    way: Vec<(PathBuf, OsString)>,
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

impl ContentKey {
    fn of(content: &Result<Finding, Refusal>) -> Self {
        match content {
            Ok(finding) => ContentKey::Certificate {
                certificate: finding.certificate.sha256_fingerprint(),
                issuer: finding.issuer.sha256_fingerprint(),
            },
            Err(refusal) => ContentKey::Refused(refusal.clone()),
        }
    }
}

impl Scanner {
    /// A scanner for these directories that has seen nothing yet.
    pub fn new(directories: Vec<Directory>, selection: Selection) -> Self {
        let directories = directories
            .into_iter()
            .map(|directory| Watched {
                directory,
                folders: BTreeMap::new(),
            })
            .collect();
        Scanner {
            directories,
            selection,
            issuers: Issuers::default(),
        }
    }

    /// Looks at all directories and hands every change to `report`, as it is found. Whether files
    /// were found that may be half-written, so that it is worth looking again after [`PATIENCE`].
    pub fn scan(&mut self, now: Instant, mut report: impl FnMut(Change)) -> bool {
        let mut is_awaiting = false;
        for (index, watched) in self.directories.iter_mut().enumerate() {
            let mut scan = Scan {
                now,
                directory: index,
                selection: &self.selection,
                issuers: &mut self.issuers,
                report: &mut report,
                is_awaiting: false,
            };
            watched.scan(&mut scan);
            is_awaiting |= scan.is_awaiting;
        }
        self.issuers.keep_those_of(&self.directories);
        is_awaiting
    }

    /// Makes the next scan report everything in this directory once more.
    pub fn report_again(&mut self, directory: usize) {
        let folders = self.directories.get_mut(directory);
        for seen in folders
            .into_iter()
            .flat_map(|watched| watched.folders.values_mut())
            .flat_map(|folder| folder.files.values_mut())
        {
            seen.stamps = None;
            seen.content = None;
        }
    }

    /// The real folders whose changes concern these directories, as far as they are known: the
    /// directories, what is scanned in them, and where links to them or in them lead.
    pub fn interests(&self) -> Interests {
        let mut interests = Interests::new();
        for watched in &self.directories {
            let directory = &watched.directory.path;
            interests.insert(directory.clone(), Interest::Everything);
            for folder in watched.folders.keys() {
                interests.insert(folder.clone(), Interest::Everything);
            }
            let files = watched.folders.values().flat_map(|it| it.files.values());
            let ways = files.flat_map(|seen| seen.way.iter().cloned());
            for (folder, name) in on_the_way(directory).into_iter().chain(ways) {
                if let Interest::Names(names) = interests
                    .entry(folder)
                    .or_insert_with(|| Interest::Names(HashSet::new()))
                {
                    names.insert(name);
                }
            }
        }
        interests
    }
}

impl Issuers {
    /// The same certificate, from those that are kept already.
    fn shared(&mut self, fingerprint: [u8; 32], issuer: Certificate) -> Certificate {
        self.0.entry(fingerprint).or_insert(issuer).clone()
    }

    /// Forgets the issuers that no certificate has any more.
    fn keep_those_of(&mut self, directories: &[Watched]) {
        let used: HashSet<[u8; 32]> = directories
            .iter()
            .flat_map(|watched| watched.folders.values())
            .flat_map(|folder| folder.files.values())
            .filter_map(|seen| match &seen.content {
                Some(ContentKey::Certificate { issuer, .. }) => Some(*issuer),
                _ => None,
            })
            .collect();
        self.0.retain(|fingerprint, _| used.contains(fingerprint));
    }
}

/// One scan of one directory.
struct Scan<'a, R: FnMut(Change)> {
    now: Instant,
    directory: usize,
    selection: &'a Selection,
    issuers: &'a mut Issuers,
    report: &'a mut R,
    is_awaiting: bool,
}

impl Watched {
    fn scan<R: FnMut(Change)>(&mut self, scan: &mut Scan<'_, R>) {
        let had_files = self.has_files();
        let mut visited = HashSet::new();
        let mut present = HashSet::new();
        let mut ahead = vec![(self.directory.path.clone(), 0)];
        while let Some((path, depth)) = ahead.pop() {
            let folder = self.folders.entry(path.clone()).or_default();
            present.insert(path.clone());
            let listing = match Listing::read(&path, scan.selection) {
                Ok(listing) => listing,
                Err(error) => {
                    folder.failed(path.clone(), error.into(), scan);
                    // What lies in it may be there still.
                    let below = self.folders.keys().filter(|known| known.starts_with(&path));
                    present.extend(below.cloned());
                    continue;
                }
            };
            if folder.error.take().is_some() {
                (scan.report)(Change::DirectoryRecovered { path: path.clone() });
            }
            // Links may lead in circles.
            if !visited.insert(listing.identity) {
                continue;
            }
            folder.scan(&path, &listing, scan);
            if self.directory.recursive && depth < DEEPEST {
                ahead.extend(listing.folders.into_iter().map(|path| (path, depth + 1)));
            }
        }
        self.folders.retain(|path, folder| {
            let stays = present.contains(path);
            if !stays {
                for name in folder.files.keys() {
                    (scan.report)(Change::Gone {
                        path: path.join(name),
                    });
                }
            }
            stays
        });
        if had_files && !self.has_files() {
            (scan.report)(Change::DirectoryEmptied {
                path: self.directory.path.clone(),
            });
        }
    }

    fn has_files(&self) -> bool {
        self.folders.values().any(|folder| !folder.files.is_empty())
    }
}

impl Folder {
    fn failed<R: FnMut(Change)>(
        &mut self,
        path: PathBuf,
        error: DirectoryError,
        scan: &mut Scan<'_, R>,
    ) {
        if self.error.as_ref() != Some(&error) {
            self.error = Some(error.clone());
            (scan.report)(Change::DirectoryFailed { path, error });
        }
    }

    fn scan<R: FnMut(Change)>(&mut self, path: &Path, listing: &Listing, scan: &mut Scan<'_, R>) {
        self.files.retain(|name, _| {
            let stays = listing.files.contains_key(name);
            if !stays {
                (scan.report)(Change::Gone {
                    path: path.join(name),
                });
            }
            stays
        });
        for (name, item) in &listing.files {
            match self.files.get_mut(name) {
                Some(seen) if seen.stamps == Some(item.stamps) && seen.awaited_since.is_none() => {
                    if seen.has_staple && !item.has_staple {
                        (scan.report)(Change::StapleGone {
                            path: path.join(name),
                        });
                    }
                    seen.has_staple = item.has_staple;
                }
                _ => self.read(path, name, item, scan),
            }
        }
    }

    /// Reads a file that is new or has changed.
    fn read<R: FnMut(Change)>(
        &mut self,
        folder: &Path,
        name: &OsStr,
        item: &Item,
        scan: &mut Scan<'_, R>,
    ) {
        let path = folder.join(name);
        let mut content = certificate_file::read(&path);
        let before = self.files.remove(name);
        let the_same_since = before
            .as_ref()
            .filter(|seen| seen.stamps == Some(item.stamps))
            .and_then(|seen| seen.awaited_since)
            .unwrap_or(scan.now);
        let reported = before.and_then(|seen| seen.content);
        let way = if item.is_link {
            on_the_way(&path)
        } else {
            Vec::new()
        };
        let mut seen = Seen {
            stamps: Some(item.stamps),
            awaited_since: None,
            has_staple: item.has_staple,
            content: None,
            way,
        };
        let key = ContentKey::of(&content);
        if reported.as_ref() == Some(&key) {
            seen.content = reported;
        } else if may_be_half_written(&content) && scan.now - the_same_since < PATIENCE {
            seen.awaited_since = Some(the_same_since);
            seen.content = reported;
            scan.is_awaiting = true;
        } else {
            if let (Ok(finding), ContentKey::Certificate { issuer, .. }) = (&mut content, &key) {
                finding.issuer = scan.issuers.shared(*issuer, finding.issuer.clone());
            }
            seen.content = Some(key);
            (scan.report)(Change::Found {
                directory: scan.directory,
                path,
                content,
            });
        }
        self.files.insert(name.to_owned(), seen);
    }
}

/// Whether the file may turn out to be in order once its writer has done with it.
fn may_be_half_written(content: &Result<Finding, Refusal>) -> bool {
    match content {
        Ok(_) => false,
        Err(refusal) => match refusal {
            Refusal::NoResponder | Refusal::CertificateAuthority | Refusal::SelfSigned => false,
            Refusal::NoIssuer(_)
            | Refusal::WrongIssuerFile(_)
            | Refusal::KeyOnly
            | Refusal::Incomplete
            | Refusal::NotACertificate(_)
            | Refusal::Io(_) => true,
        },
    }
}
