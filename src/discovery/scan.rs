//! The scan of sources: which files there are and which of them have changed.
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
use super::certificate_file::{self, Finding};
use super::chains::Chains;
use super::listing::{Item, Listing, Stamps};
use super::pem_file::{FileRefusal, MOST_HELD, is_shortage};
use super::source::Source;
use super::stamp::Stamp;
use super::watch::{Interest, Interests};
use crate::files::{self, on_the_way};
use crate::x509::Certificate;

/// How long a file has to be the same before something wrong with it is believed: until then its
/// writer may only be slow.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// How many folders deep a recursive scan goes.
const DEEPEST: usize = 16;

/// The handle of one source, chosen by the caller; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SourceId(pub usize);

/// Something that a scan found out.
#[derive(Clone, Debug)]
pub enum Change {
    /// A file is new, or its content is.
    Found {
        /// Where it was found.
        source: SourceId,
        /// The file.
        path: PathBuf,
        /// Where its staple belongs.
        staple_path: PathBuf,
        /// Of what lies there; none where there is nothing.
        staple: Option<Stamp>,
        /// What is in it.
        content: Result<Finding, FileRefusal>,
    },
    /// A file is gone.
    Gone {
        /// Where it was found before.
        source: SourceId,
        /// The file.
        path: PathBuf,
    },
    /// What lies in the place of a staple: told at every scan of every file that was reported
    /// before, so that a wrong belief about it is noticed.
    StapleSeen {
        /// Where the file was found.
        source: SourceId,
        /// The certificate file.
        path: PathBuf,
        /// Of what lies there; none where there is nothing.
        staple: Option<Stamp>,
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
    /// The system is too short of file descriptors or memory to read files; reported once until a
    /// scan can read them all.
    Shortage {
        /// The system's words.
        error: String,
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
    /// A link leads there, out of the directory that is scanned.
    #[error(
        "is behind a link that leads out of the scanned directory and is not followed; name it \
         itself if its certificates are to be looked after"
    )]
    LeadsOut,
    /// The agent may not read it.
    #[error("may not be read by this user")]
    PermissionDenied,
    /// Anything else.
    #[error("cannot be read: {0}")]
    Io(String),
}

impl DirectoryError {
    /// The kind in snake_case: the log reason.
    pub fn kind(&self) -> &'static str {
        match self {
            DirectoryError::Missing => "missing",
            DirectoryError::NotADirectory => "not_a_directory",
            DirectoryError::LeadsOut => "leads_out",
            DirectoryError::PermissionDenied => "permission_denied",
            DirectoryError::Io(_) => "io",
        }
    }
}

impl From<io::Error> for DirectoryError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            _ if files::leads_out(&error) => DirectoryError::LeadsOut,
            io::ErrorKind::NotFound => DirectoryError::Missing,
            io::ErrorKind::NotADirectory => DirectoryError::NotADirectory,
            io::ErrorKind::PermissionDenied => DirectoryError::PermissionDenied,
            _ => DirectoryError::Io(error.to_string()),
        }
    }
}

/// Scans sources and remembers what it saw.
#[derive(Debug)]
pub struct Scanner {
    sources: BTreeMap<SourceId, WatchedFolder>,
    selection: Selection,
    issuers: Issuers,
    /// What all certificates may take of memory, in bytes.
    most_held: usize,
    /// Whether the last scan could not read everything.
    was_short: bool,
}

/// Issuers in use, each kept once, however many certificates it has issued.
#[derive(Debug, Default)]
struct Issuers(HashMap<[u8; 32], Certificate>);

#[derive(Debug)]
struct WatchedFolder {
    source: Source,
    folders: BTreeMap<PathBuf, KnownFolder>,
}

/// What is known of one folder.
#[derive(Debug, Default)]
struct KnownFolder {
    files: BTreeMap<OsString, SeenFile>,
    error: Option<DirectoryError>,
}

/// What is known of one file.
#[derive(Debug)]
struct SeenFile {
    /// As they were when the file was read; none if it has to be read again in any case.
    stamps: Option<Stamps>,
    /// Since when it has been as it is, if it may be half-written.
    awaited_since: Option<Instant>,
    /// How many bytes of memory its certificate takes.
    held: usize,
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
    Refused(FileRefusal),
}

impl ContentKey {
    fn of(content: &Result<Finding, FileRefusal>) -> Self {
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
    /// A scanner for these sources that has seen nothing yet.
    pub fn new(
        sources: impl IntoIterator<Item = (SourceId, Source)>,
        selection: Selection,
    ) -> Self {
        let mut scanner = Scanner {
            sources: BTreeMap::new(),
            selection,
            issuers: Issuers::default(),
            most_held: MOST_HELD,
            was_short: false,
        };
        for (number, source) in sources {
            scanner.sources.insert(number, WatchedFolder::new(source));
        }
        scanner
    }

    /// With other room for certificates.
    #[cfg(test)]
    pub(super) fn most_held(&mut self, bytes: usize) {
        self.most_held = bytes;
    }

    /// Makes these the sources: what was seen in those that stay is kept, the files of those that
    /// do not are reported as gone.
    pub fn replace(
        &mut self,
        sources: impl IntoIterator<Item = (SourceId, Source)>,
        selection: Selection,
        mut report: impl FnMut(Change),
    ) {
        let mut before = std::mem::take(&mut self.sources);
        self.selection = selection;
        for (number, source) in sources {
            let watched = before
                .remove(&number)
                .unwrap_or_else(|| WatchedFolder::new(source));
            self.sources.insert(number, watched);
        }
        for (source, watched) in before {
            for path in watched.paths() {
                report(Change::Gone { source, path });
            }
        }
    }

    /// Looks at all sources and hands every change to `report`, as it is found. Whether files
    /// were found that may be half-written or could not be read for want of file descriptors, so
    /// that it is worth looking again after [`PATIENCE`].
    pub fn scan(&mut self, now: Instant, mut report: impl FnMut(Change)) -> bool {
        let mut is_awaiting = false;
        let mut shortage = None;
        let mut chains = Chains::default();
        let mut room = self.most_held.saturating_sub(self.held());
        for (number, watched) in &mut self.sources {
            let mut scan = Scan {
                now,
                number: *number,
                source: &watched.source,
                selection: &self.selection,
                issuers: &mut self.issuers,
                room: &mut room,
                plenty: self.most_held / 8,
                chains: &mut chains,
                report: &mut report,
                is_awaiting: false,
                shortage: None,
            };
            scan.run(&mut watched.folders);
            is_awaiting |= scan.is_awaiting;
            shortage = shortage.or(scan.shortage);
        }
        is_awaiting |= shortage.is_some();
        let is_news = shortage.is_some() && !self.was_short;
        self.was_short = shortage.is_some();
        if let Some(error) = shortage.filter(|_| is_news) {
            report(Change::Shortage { error });
        }
        self.issuers.keep_those_of(self.sources.values());
        is_awaiting
    }

    /// How many bytes of memory all certificates take.
    fn held(&self) -> usize {
        let folders = self.sources.values().flat_map(|it| it.folders.values());
        let files = folders.flat_map(|folder| folder.files.values());
        files.map(|seen| seen.held).sum()
    }

    /// Makes the next scan report everything in this source once more.
    pub fn report_again(&mut self, source: SourceId) {
        let watched = self.sources.get_mut(&source);
        for seen in watched
            .into_iter()
            .flat_map(|watched| watched.folders.values_mut())
            .flat_map(|folder| folder.files.values_mut())
        {
            seen.report_again();
        }
    }

    /// Makes the next scan report this file once more.
    pub fn report_file_again(&mut self, source: SourceId, path: &Path) {
        if let (Some(folder), Some(name)) = (path.parent(), path.file_name())
            && let Some(watched) = self.sources.get_mut(&source)
            && let Some(folder) = watched.folders.get_mut(folder)
            && let Some(seen) = folder.files.get_mut(name)
        {
            seen.report_again();
        }
    }

    /// The real folders whose changes concern these sources, as far as they are known: the
    /// directories, what is scanned in them, and where links to them or in them lead.
    pub fn interests(&self) -> Interests {
        let mut interests = Interests::new();
        for watched in self.sources.values() {
            let files = watched.folders.values().flat_map(|it| it.files.values());
            let mut ways: Vec<(PathBuf, OsString)> =
                files.flat_map(|seen| seen.way.iter().cloned()).collect();
            if let Some(directory) = watched.directory() {
                interests.insert(directory.to_owned(), Interest::Everything);
                for folder in watched.folders.keys() {
                    interests.insert(folder.clone(), Interest::Everything);
                }
                ways.extend(on_the_way(directory));
            }
            for (folder, name) in ways {
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

impl SeenFile {
    fn had_no_room(&self) -> bool {
        self.content == Some(ContentKey::Refused(FileRefusal::NoRoom))
    }

    fn report_again(&mut self) {
        self.stamps = None;
        self.content = None;
    }
}

impl WatchedFolder {
    fn new(source: Source) -> Self {
        WatchedFolder {
            source,
            folders: BTreeMap::new(),
        }
    }

    /// The directory that is listed; none for a single file.
    fn directory(&self) -> Option<&Path> {
        match &self.source {
            Source::Directory(directory) => Some(&directory.path),
            Source::Masks(masks) => Some(&masks.folder),
            Source::File(_) => None,
        }
    }

    fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.folders.iter().flat_map(|(path, folder)| {
            let names = folder.files.keys();
            names.map(move |name| path.join(name))
        })
    }
}

impl Issuers {
    /// The same certificate, from those that are kept already.
    fn shared(&mut self, fingerprint: [u8; 32], issuer: Certificate) -> Certificate {
        self.0.entry(fingerprint).or_insert(issuer).clone()
    }

    /// Forgets the issuers that no certificate has any more.
    fn keep_those_of<'a>(&mut self, sources: impl Iterator<Item = &'a WatchedFolder>) {
        let used: HashSet<[u8; 32]> = sources
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

/// One scan of one source.
struct Scan<'a, R: FnMut(Change)> {
    now: Instant,
    number: SourceId,
    source: &'a Source,
    selection: &'a Selection,
    issuers: &'a mut Issuers,
    /// How many bytes certificates may take beside those that are there.
    room: &'a mut usize,
    /// With so much room files are read again that there was none for.
    plenty: usize,
    chains: &'a mut Chains,
    report: &'a mut R,
    is_awaiting: bool,
    /// What keeps files from being read that may be in order.
    shortage: Option<String>,
}

impl<R: FnMut(Change)> Scan<'_, R> {
    fn run(&mut self, folders: &mut BTreeMap<PathBuf, KnownFolder>) {
        match self.source {
            Source::Directory(directory) => {
                self.scan_tree(folders, &directory.path, directory.recursive);
            }
            Source::Masks(masks) => self.scan_tree(folders, &masks.folder, masks.recursive),
            Source::File(file) => {
                let path = file.path.parent().unwrap_or(Path::new(""));
                let listing = Listing::of_file(file, self.selection, self.chains);
                let folder = folders.entry(path.to_owned()).or_default();
                folder.scan(path, &listing, self);
            }
        }
    }

    fn staple_seen(&mut self, folder: &Path, name: &OsStr, item: &Item) {
        (self.report)(Change::StapleSeen {
            source: self.number,
            path: folder.join(name),
            staple: item.staple,
        });
    }

    fn list(&mut self, folder: &Path) -> io::Result<Listing> {
        let (selection, chains) = (self.selection, &mut *self.chains);
        match self.source {
            Source::Directory(directory) => {
                let naming = &directory.naming;
                Listing::of_directory(folder, self.source.reach(), selection, naming, chains)
            }
            Source::Masks(masks) => {
                Listing::of_masks(folder, self.source.reach(), masks, selection, chains)
            }
            Source::File(file) => Ok(Listing::of_file(file, selection, chains)),
        }
    }

    fn scan_tree(
        &mut self,
        folders: &mut BTreeMap<PathBuf, KnownFolder>,
        top: &Path,
        recursive: bool,
    ) {
        let had_files = has_files(folders);
        let mut visited = HashSet::new();
        let mut present = HashSet::new();
        let mut ahead = vec![(top.to_owned(), 0)];
        while let Some((path, depth)) = ahead.pop() {
            present.insert(path.clone());
            let listing = self.list(&path);
            let folder = folders.entry(path.clone()).or_default();
            let listing = match listing {
                Ok(listing) => listing,
                Err(error) => {
                    let is_elsewhere = files::leads_out(&error);
                    match is_shortage(&error) {
                        true => self.shortage = Some(error.to_string()),
                        false => folder.failed(path.clone(), error.into(), self),
                    }
                    if is_elsewhere {
                        folder.scan(&path, &Listing::default(), self);
                        continue;
                    }
                    // What lies in it may be there still.
                    let below = folders.keys().filter(|known| known.starts_with(&path));
                    present.extend(below.cloned());
                    continue;
                }
            };
            if folder.error.take().is_some() {
                (self.report)(Change::DirectoryRecovered { path: path.clone() });
            }
            // Links may lead in circles.
            if !visited.insert(listing.identity) {
                continue;
            }
            folder.scan(&path, &listing, self);
            if recursive && depth < DEEPEST {
                ahead.extend(listing.folders.into_iter().map(|path| (path, depth + 1)));
            }
        }
        folders.retain(|path, folder| {
            let stays = present.contains(path);
            if !stays {
                for name in folder.files.keys() {
                    (self.report)(Change::Gone {
                        source: self.number,
                        path: path.join(name),
                    });
                }
            }
            stays
        });
        if had_files && !has_files(folders) {
            (self.report)(Change::DirectoryEmptied {
                path: top.to_owned(),
            });
        }
    }
}

fn has_files(folders: &BTreeMap<PathBuf, KnownFolder>) -> bool {
    folders.values().any(|folder| !folder.files.is_empty())
}

impl KnownFolder {
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
                    source: scan.number,
                    path: path.join(name),
                });
            }
            stays
        });
        for (name, item) in &listing.files {
            match self.files.get(name) {
                Some(seen)
                    if seen.stamps.as_ref() == Some(&item.stamps)
                        && seen.awaited_since.is_none()
                        && !(seen.had_no_room() && *scan.room > scan.plenty) =>
                {
                    scan.staple_seen(path, name, item);
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
        let Some(companions) = scan.source.companions(folder, name) else {
            return;
        };
        let path = folder.join(name);
        let mut content =
            certificate_file::read(&path, scan.source.reach(), &companions, scan.chains);
        if let Err(FileRefusal::Shortage(error)) = &content {
            // What was known of it stays known, and it is read at the next scan.
            scan.shortage = Some(error.clone());
            if let Some(seen) = self.files.get_mut(name) {
                seen.stamps = None;
            }
            return;
        }
        let before = self.files.remove(name);
        *scan.room += before.as_ref().map_or(0, |seen| seen.held);
        let held = content.as_ref().map_or(0, |it| it.certificate.memory());
        if held > *scan.room {
            content = Err(FileRefusal::NoRoom);
        }
        let held = content.as_ref().map_or(0, |_| held);
        *scan.room -= held;
        let the_same_since = before
            .as_ref()
            .filter(|seen| seen.stamps.as_ref() == Some(&item.stamps))
            .and_then(|seen| seen.awaited_since)
            .unwrap_or(scan.now);
        let reported = before.and_then(|seen| seen.content);
        let mut way = Vec::new();
        if item.is_link {
            way.extend(on_the_way(&path));
        }
        if let Source::File(_) = scan.source {
            let beside = companions
                .issuer
                .iter()
                .chain(&companions.issuers_chain_path)
                .chain(&companions.chains);
            way.extend(beside.flat_map(|path| on_the_way(path)));
        }
        let mut seen = SeenFile {
            stamps: Some(item.stamps.clone()),
            awaited_since: None,
            held,
            content: None,
            way,
        };
        let key = ContentKey::of(&content);
        if reported.as_ref() == Some(&key) {
            seen.content = reported;
            scan.staple_seen(folder, name, item);
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
                source: scan.number,
                path,
                staple_path: companions.staple,
                staple: item.staple,
                content,
            });
        }
        self.files.insert(name.to_owned(), seen);
    }
}

/// Whether the file may turn out to be in order once its writer has done with it.
fn may_be_half_written(content: &Result<Finding, FileRefusal>) -> bool {
    match content {
        Ok(_) => false,
        Err(refusal) => match refusal {
            FileRefusal::NoResponder
            | FileRefusal::CertificateAuthority
            | FileRefusal::SelfSigned
            | FileRefusal::NoRoom => false,
            FileRefusal::NoIssuer(_)
            | FileRefusal::IssuerFirst
            | FileRefusal::UnsupportedIssuer(_)
            | FileRefusal::WrongIssuerFile(_)
            | FileRefusal::KeyOnly
            | FileRefusal::Incomplete
            | FileRefusal::NotACertificate(_)
            | FileRefusal::Io(_)
            | FileRefusal::Shortage(_) => true,
        },
    }
}
