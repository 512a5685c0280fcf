//! One reading of one folder: its names, and what tells whether a file has changed.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Selection;
use super::chains::Chains;
use super::source::{CertificateFile, Masks, Naming};
use super::stamp::Stamp;
use crate::files::{self, Reach};

/// What tells that a certificate file and those its issuer may be in are as they were.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Stamps {
    /// None for a name that leads nowhere (a dangling link, over which HAProxy refuses to start).
    pub(super) file: Option<Stamp>,
    /// None where there is no `.issuer`.
    pub(super) issuer: Option<Stamp>,
    /// Of the chains that lie elsewhere.
    pub(super) chains: Arc<[Option<Stamp>]>,
}

/// A certificate file as it is listed.
pub(super) struct Item {
    pub(super) stamps: Stamps,
    /// The file may lie behind a link, or is watched by its name alone.
    pub(super) is_link: bool,
    /// Of the staple beside it; none where there is none.
    pub(super) staple: Option<Stamp>,
}

/// One reading of a folder.
#[derive(Default)]
pub(super) struct Listing {
    /// The files to look at, in the order in which HAProxy loads them.
    pub(super) files: BTreeMap<OsString, Item>,
    /// The folders in it, where links count as what they lead to.
    pub(super) folders: Vec<PathBuf>,
    /// Device and inode of the folder itself.
    pub(super) identity: (u64, u64),
}

impl Listing {
    fn of(folder: &Path, reach: Reach<'_>) -> io::Result<Self> {
        let metadata = files::open_directory(folder, reach)?.metadata()?;
        Ok(Listing {
            identity: (metadata.dev(), metadata.ino()),
            ..Listing::default()
        })
    }

    /// A folder as HAProxy's `crt` loads it.
    pub(super) fn of_directory(
        folder: &Path,
        reach: Reach<'_>,
        selection: &Selection,
        naming: &Naming,
        chains: &mut Chains,
    ) -> io::Result<Self> {
        let mut listing = Listing::of(folder, reach)?;
        let mut companions = HashSet::new();
        let chain = naming.issuers_chain_path.as_deref();
        let chains: Arc<[_]> = chain.map_or_else(Arc::default, |it| chains.stamps(it).into());
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if [b".ocsp".as_slice(), b".issuer"]
                .iter()
                .any(|suffix| name.as_bytes().ends_with(suffix))
            {
                companions.insert(name);
            } else if !name.as_bytes().starts_with(b".") {
                listing.add(folder, selection.takes(folder, &name), &entry, name)?;
            }
        }
        for (name, item) in &mut listing.files {
            let stem = naming.stem(Path::new(name));
            let staple = appended(stem.as_os_str(), ".ocsp");
            if companions.contains(&staple) {
                item.staple = Stamp::read(&folder.join(staple));
            }
            let issuer = appended(stem.as_os_str(), ".issuer");
            if companions.contains(&issuer) {
                item.stamps.issuer = Stamp::read(&folder.join(issuer));
            }
            item.stamps.chains = Arc::clone(&chains);
        }
        Ok(listing)
    }

    /// The files of a folder whose names match, where their chains are there as well.
    pub(super) fn of_masks(
        folder: &Path,
        reach: Reach<'_>,
        masks: &Masks,
        selection: &Selection,
        chains: &mut Chains,
    ) -> io::Result<Self> {
        let mut listing = Listing::of(folder, reach)?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_taken = masks
                .companions(folder, &name)
                .is_some_and(|companions| companions.chains.iter().all(|chain| chain.is_file()))
                && !selection.ignores(&folder.join(&name));
            listing.add(folder, is_taken, &entry, name)?;
        }
        for (name, item) in &mut listing.files {
            if let Some(companions) = masks.companions(folder, name) {
                item.staple = Stamp::read(&companions.staple);
                item.stamps.chains = chains.stamps_of(&companions.chains);
            }
        }
        Ok(listing)
    }

    /// One file, which is listed also where it is missing.
    pub(super) fn of_file(
        file: &CertificateFile,
        selection: &Selection,
        chains: &mut Chains,
    ) -> Self {
        let mut listing = Listing::default();
        if let Some(name) = file.path.file_name()
            && !selection.ignores(&file.path)
        {
            let companions = &file.companions;
            let stamps = Stamps {
                file: Stamp::read(&file.path),
                issuer: companions.issuer.as_deref().and_then(Stamp::read),
                chains: chains.stamps_of(
                    companions
                        .issuers_chain_path
                        .iter()
                        .chain(&companions.chains),
                ),
            };
            let item = Item {
                stamps,
                is_link: true,
                staple: Stamp::read(&companions.staple),
            };
            listing.files.insert(name.to_owned(), item);
        }
        listing
    }

    /// As HAProxy does it: links are followed, anything but a regular file is passed over.
    fn add(
        &mut self,
        folder: &Path,
        is_taken: bool,
        entry: &DirEntry,
        name: OsString,
    ) -> io::Result<()> {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            self.folders.push(folder.join(name));
            return Ok(());
        }
        let is_link = kind.is_symlink();
        if !is_taken && !is_link {
            return Ok(());
        }
        let metadata = if is_link {
            fs::metadata(folder.join(&name)).ok()
        } else {
            match entry.metadata() {
                Ok(metadata) => Some(metadata),
                Err(_) => return Ok(()), // gone meanwhile
            }
        };
        match metadata {
            Some(metadata) if metadata.is_dir() => self.folders.push(folder.join(name)),
            Some(metadata) if !metadata.is_file() => {}
            _ if !is_taken => {}
            metadata => {
                let stamps = Stamps {
                    file: metadata.as_ref().map(Stamp::of),
                    issuer: None,
                    chains: Arc::default(),
                };
                let item = Item {
                    stamps,
                    is_link,
                    staple: None,
                };
                self.files.insert(name, item);
            }
        }
        Ok(())
    }
}

fn appended(name: &OsStr, suffix: &str) -> OsString {
    let mut longer = OsString::with_capacity(name.len() + suffix.len());
    longer.push(name);
    longer.push(suffix);
    longer
}
