//! Certificates that lie apart from the certificates they have issued: `issuers-chain-path`,
//! ocspbot's chain files.
//!
//! Many certificates share them, so each is read at most once in a scan.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::pem_file::{FileRefusal, read_bundle};
use super::stamp::Stamp;
use crate::files::Reach;
use crate::x509::{Bundle, Certificate};

/// What may be held of them beyond what is read at once, in bytes of DER.
const MOST_HELD: usize = 8 * 1024 * 1024;

/// What one scan has read of chains.
#[derive(Debug, Default)]
pub struct Chains {
    certificates: HashMap<PathBuf, Vec<Certificate>>,
    first_certificates: HashMap<PathBuf, Vec<Certificate>>,
    stamps: HashMap<PathBuf, Vec<Option<Stamp>>>,
    /// What kept files from being read that may be in order.
    shortage: Option<String>,
}

impl Chains {
    /// The certificates of a file; none where it cannot be read.
    pub(super) fn certificates(&mut self, file: &Path, reach: Reach<'_>) -> &[Certificate] {
        if !self.certificates.contains_key(file) {
            self.make_room();
            let bundle = self.read(file, reach);
            let certificates = bundle.map(|bundle| bundle.certificates().to_vec());
            let certificates = certificates.unwrap_or_default();
            self.certificates.insert(file.to_owned(), certificates);
        }
        self.certificates.get(file).map_or(&[], Vec::as_slice)
    }

    /// The first certificate of each of a folder's files.
    pub(super) fn first_certificates(&mut self, folder: &Path) -> &[Certificate] {
        if !self.first_certificates.contains_key(folder) {
            self.make_room();
            let files = files(folder);
            let bundles = files
                .iter()
                .filter_map(|file| self.read(file, Reach::Anywhere));
            let first = bundles.map(|bundle| bundle.leaf().clone()).collect();
            self.first_certificates.insert(folder.to_owned(), first);
        }
        self.first_certificates
            .get(folder)
            .map_or(&[], Vec::as_slice)
    }

    fn read(&mut self, file: &Path, reach: Reach<'_>) -> Option<Bundle> {
        match read_bundle(file, reach) {
            Ok(bundle) => Some(bundle),
            Err(FileRefusal::Shortage(error)) => {
                self.shortage = Some(error);
                None
            }
            Err(_) => None,
        }
    }

    /// What kept files from being read in this scan, if anything did that is not their fault.
    pub(super) fn shortage(&self) -> Option<&str> {
        self.shortage.as_deref()
    }

    /// Forgets what was read where it is much: each certificate may have a chain of its own, as
    /// large as its owner likes.
    fn make_room(&mut self) {
        let all = self
            .certificates
            .values()
            .chain(self.first_certificates.values());
        let held: usize = all
            .flatten()
            .map(|certificate| certificate.der().len())
            .sum();
        if held > MOST_HELD {
            self.certificates.clear();
            self.first_certificates.clear();
        }
    }

    /// What changes when the file, or one of the folder's files, does.
    pub(super) fn stamps(&mut self, path: &Path) -> &[Option<Stamp>] {
        if !self.stamps.contains_key(path) {
            let stamps = files(path).iter().map(|file| Stamp::read(file)).collect();
            self.stamps.insert(path.to_owned(), stamps);
        }
        self.stamps.get(path).map_or(&[], Vec::as_slice)
    }

    /// The stamps of all of these.
    pub(super) fn stamps_of<'a>(
        &mut self,
        paths: impl IntoIterator<Item = &'a PathBuf>,
    ) -> Arc<[Option<Stamp>]> {
        let mut stamps = Vec::new();
        for path in paths {
            stamps.extend_from_slice(self.stamps(path));
        }
        stamps.into()
    }
}

/// The file itself, or the files of a folder in the order of their names.
fn files(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        return vec![path.to_owned()];
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}
