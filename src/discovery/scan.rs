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
    stamp: Option<Stamp>,
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
        stamp: Option<Stamp>,
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
    /// Files that HAProxy would load, in the order it loads them; without a stamp those that are
    /// there by name only (links that lead nowhere), over which HAProxy refuses to start.
    files: BTreeMap<PathBuf, Option<Stamp>>,
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
                match fs::metadata(&path) {
                    Ok(metadata) if metadata.is_file() => {
                        listing.files.insert(path, Some(Stamp::of(&metadata)));
                    }
                    Ok(_) => {}
                    Err(_) if fs::symlink_metadata(&path).is_err() => {} // gone meanwhile
                    Err(_) => {
                        listing.files.insert(path, None);
                    }
                }
            } else {
                listing.companions.insert(path);
            }
        }
        Ok(listing)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;
    use crate::pki::{CertificateBuilder, World, basic_constraints, ocsp_access};
    use crate::x509::Certificate;

    /// A directory and a scanner for it.
    struct Bench {
        directory: TempDir,
        scanner: Scanner,
        world: World,
    }

    impl Bench {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let scanner = Scanner::new(vec![Directory {
                path: directory.path().to_owned(),
            }]);
            Bench {
                directory,
                scanner,
                world: World::new(),
            }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn write(&self, name: &str, parts: &[&Certificate]) {
            fs::write(self.path(name), pem(parts)).unwrap();
        }

        fn leaf(&self, serial: u8) -> Certificate {
            CertificateBuilder::new("Issuer", "leaf", &[serial])
                .with(ocsp_access(&["http://ocsp.example"]))
                .sign(&self.world.leaf_key, &self.world.issuer_key)
        }

        /// What a scan reports, as words: `+name` for a usable certificate, `!name why` for one
        /// that is not, `-name` for one that is gone.
        fn scan(&mut self) -> Vec<String> {
            let base = self.directory.path().to_owned();
            let name = |path: &Path| {
                let below = path.strip_prefix(&base).unwrap();
                below.to_str().unwrap().to_owned()
            };
            let mut words = Vec::new();
            self.scanner.scan(|change| {
                words.push(match change {
                    Change::Found {
                        path,
                        content: Ok(_),
                        ..
                    } => format!("+{}", name(&path)),
                    Change::Found {
                        path,
                        content: Err(refusal),
                        ..
                    } => {
                        let why = format!("{refusal:?}");
                        let end = why.find('(').unwrap_or(why.len());
                        format!("!{} {}", name(&path), &why[..end])
                    }
                    Change::Gone { path } => format!("-{}", name(&path)),
                    Change::StapleGone { path } => format!("staple gone {}", name(&path)),
                    Change::DirectoryFailed { error, .. } => format!("failed {}", error.kind()),
                    Change::DirectoryRecovered { .. } => "recovered".to_owned(),
                    Change::DirectoryEmptied { .. } => "emptied".to_owned(),
                });
            });
            words
        }
    }

    fn pem(parts: &[&Certificate]) -> String {
        use base64::Engine;
        use base64::engine::general_purpose::STANDARD;
        parts
            .iter()
            .map(|certificate| {
                let body = STANDARD.encode(certificate.der());
                format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
            })
            .collect()
    }

    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMA==\n-----END PRIVATE KEY-----\n";

    #[test]
    fn names_are_taken_as_haproxy_takes_them() {
        for (name, loaded) in [
            ("a.pem", true),
            ("no-extension", true),
            ("a.pem.rsa", true),
            ("a.txt", true),
            ("a.pem.ocsp", false),
            ("a.pem.issuer", false),
            ("a.pem.sctl", false),
            ("a.pem.key", false),
            (".hidden.pem", false),
        ] {
            assert_eq!(is_loaded_by_haproxy(name.as_bytes()), loaded, "{name}");
        }
    }

    #[test]
    fn what_a_directory_holds_is_found_once_and_then_only_its_changes() {
        let mut bench = Bench::new();
        let issuer = bench.world.issuer.clone();
        bench.write("a.pem", &[&bench.leaf(1), &issuer]);
        bench.write("b.pem", &[&bench.leaf(2), &bench.world.root, &issuer]);
        fs::create_dir(bench.path("folder.pem")).unwrap();
        assert_eq!(bench.scan(), ["+a.pem", "+b.pem"]);
        assert!(bench.scan().is_empty());
        bench.write("b.pem", &[&bench.leaf(3), &issuer]);
        bench.write("c.pem", &[&bench.leaf(4), &issuer]);
        fs::remove_file(bench.path("a.pem")).unwrap();
        assert_eq!(bench.scan(), ["-a.pem", "+b.pem", "+c.pem"]);
    }

    #[test]
    fn a_file_written_anew_with_the_same_content_is_no_change() {
        let mut bench = Bench::new();
        let (leaf, issuer) = (bench.leaf(1), bench.world.issuer.clone());
        bench.write("a.pem", &[&leaf, &issuer]);
        bench.scan();
        fs::remove_file(bench.path("a.pem")).unwrap();
        fs::write(
            bench.path("a.pem"),
            format!("{KEY}{}", pem(&[&leaf, &issuer])),
        )
        .unwrap();
        assert!(bench.scan().is_empty());
    }

    #[test]
    fn the_issuer_may_lie_beside_and_makes_the_certificate_usable_when_it_comes() {
        let mut bench = Bench::new();
        bench.write("a.pem", &[&bench.leaf(1)]);
        assert_eq!(bench.scan(), ["!a.pem NoIssuer"]);
        bench.write("a.pem.issuer", &[&bench.world.issuer]);
        assert_eq!(bench.scan(), ["+a.pem"]);
    }

    #[test]
    fn a_wrong_issuer_file_refuses_even_beside_a_right_chain() {
        // HAProxy reads it as soon as there is a .ocsp, and does not start with it.
        let mut bench = Bench::new();
        bench.write("a.pem", &[&bench.leaf(1), &bench.world.issuer]);
        bench.write("a.pem.issuer", &[&bench.world.root, &bench.world.issuer]);
        assert_eq!(bench.scan(), ["!a.pem WrongIssuerFile"]);
        fs::write(bench.path("a.pem.issuer"), "rubbish").unwrap();
        assert_eq!(bench.scan(), Vec::<String>::new(), "the same refusal again");
    }

    #[test]
    fn each_kind_of_bad_file_has_its_own_reason() {
        let mut bench = Bench::new();
        let whole = pem(&[&bench.leaf(1), &bench.world.issuer]);
        fs::write(bench.path("empty"), "").unwrap();
        fs::write(bench.path("half"), &whole[..100]).unwrap();
        fs::write(bench.path("key"), KEY).unwrap();
        fs::write(bench.path("large"), vec![b'x'; 1024 * 1024 + 1]).unwrap();
        fs::write(bench.path("text"), "hello").unwrap();
        symlink("/nowhere/a.pem", bench.path("link")).unwrap();
        bench.write("root", &[&bench.world.root]);
        let authority = CertificateBuilder::new("Issuer", "sub CA", &[9])
            .with(basic_constraints(true))
            .sign(&bench.world.leaf_key, &bench.world.issuer_key);
        bench.write("ca", &[&authority, &bench.world.issuer]);
        let silent = CertificateBuilder::new("Issuer", "leaf", &[8])
            .sign(&bench.world.leaf_key, &bench.world.issuer_key);
        bench.write("silent", &[&silent, &bench.world.issuer]);
        assert_eq!(
            bench.scan(),
            [
                "!ca CertificateAuthority",
                "!empty NotACertificate",
                "!half Incomplete",
                "!key KeyOnly",
                "!large Io",
                "!link Io",
                "!root CertificateAuthority",
                "!silent NoResponder",
                "!text NotACertificate",
            ]
        );
        assert!(bench.scan().is_empty(), "each is reported once");
    }

    #[test]
    fn a_half_written_file_is_picked_up_when_it_is_whole() {
        let mut bench = Bench::new();
        let whole = pem(&[&bench.leaf(1), &bench.world.issuer]);
        fs::write(bench.path("a.pem"), &whole[..whole.len() - 50]).unwrap();
        assert_eq!(bench.scan(), ["!a.pem Incomplete"]);
        fs::write(bench.path("a.pem"), &whole).unwrap();
        assert_eq!(bench.scan(), ["+a.pem"]);
    }

    #[test]
    fn a_directory_that_goes_is_reported_once_and_forgets_nothing() {
        let mut bench = Bench::new();
        bench.write("a.pem", &[&bench.leaf(1), &bench.world.issuer]);
        bench.scan();
        let here = bench.directory.path().to_owned();
        let elsewhere = tempfile::tempdir().unwrap();
        let away = elsewhere.path().join("away");
        fs::rename(&here, &away).unwrap();
        assert_eq!(bench.scan(), ["failed missing"]);
        assert!(bench.scan().is_empty());
        fs::rename(&away, &here).unwrap();
        assert_eq!(bench.scan(), ["recovered"]);
    }

    #[test]
    fn an_emptied_directory_says_so() {
        let mut bench = Bench::new();
        bench.write("a.pem", &[&bench.leaf(1), &bench.world.issuer]);
        bench.scan();
        fs::remove_file(bench.path("a.pem")).unwrap();
        assert_eq!(bench.scan(), ["-a.pem", "emptied"]);
        assert!(bench.scan().is_empty());
    }

    #[test]
    fn a_staple_that_was_there_and_goes_is_noticed() {
        let mut bench = Bench::new();
        bench.write("a.pem", &[&bench.leaf(1), &bench.world.issuer]);
        bench.scan();
        fs::write(bench.path("a.pem.ocsp"), "x").unwrap();
        assert!(bench.scan().is_empty());
        fs::remove_file(bench.path("a.pem.ocsp")).unwrap();
        assert_eq!(bench.scan(), ["staple gone a.pem"]);
        assert!(bench.scan().is_empty());
    }
}
