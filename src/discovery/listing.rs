//! One reading of one folder: its names, and what tells whether a file has changed.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Selection;
use super::certificate_file::with_suffix;

/// What changes when a file is replaced or written to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What tells that a certificate file and the issuer beside it are as they were.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamps {
    /// None for a name that leads nowhere (a dangling link, over which HAProxy refuses to start).
    pub(super) file: Option<Stamp>,
    /// None where there is no `.issuer`.
    pub(super) issuer: Option<Stamp>,
}

/// A certificate file as it is listed.
pub(super) struct Item {
    pub(super) stamps: Stamps,
    pub(super) is_link: bool,
    pub(super) has_staple: bool,
}

/// One reading of a folder.
pub(super) struct Listing {
    /// The files to look at, in the order in which HAProxy loads them.
    pub(super) files: BTreeMap<OsString, Item>,
    /// The folders in it, where links count as what they lead to.
    pub(super) folders: Vec<PathBuf>,
    /// Device and inode of the folder itself.
    pub(super) identity: (u64, u64),
}

impl Listing {
    pub(super) fn read(folder: &Path, selection: &Selection) -> io::Result<Self> {
        let metadata = fs::metadata(folder)?;
        let mut listing = Listing {
            files: BTreeMap::new(),
            folders: Vec::new(),
            identity: (metadata.dev(), metadata.ino()),
        };
        let mut companions = HashSet::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if [b".ocsp".as_slice(), b".issuer"]
                .iter()
                .any(|suffix| name.as_bytes().ends_with(suffix))
            {
                companions.insert(name);
            } else if !name.as_bytes().starts_with(b".") {
                listing.add(folder, selection, &entry, name)?;
            }
        }
        for (name, item) in &mut listing.files {
            item.has_staple = companions.contains(&appended(name, ".ocsp"));
            if companions.contains(&appended(name, ".issuer")) {
                let issuer = with_suffix(&folder.join(name), ".issuer");
                item.stamps.issuer = fs::metadata(issuer).ok().as_ref().map(Stamp::of);
            }
        }
        Ok(listing)
    }

    /// As HAProxy does it: links are followed, anything but a regular file is passed over.
    fn add(
        &mut self,
        folder: &Path,
        selection: &Selection,
        entry: &DirEntry,
        name: OsString,
    ) -> io::Result<()> {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            self.folders.push(folder.join(name));
            return Ok(());
        }
        let is_link = kind.is_symlink();
        let is_taken = selection.takes(folder, &name);
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
                };
                let item = Item {
                    stamps,
                    is_link,
                    has_staple: false,
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
