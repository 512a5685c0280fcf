//! Copies of new staples beside them, with the time in their names: `site.ocsp-20170415-060000`.
//!
//! ocspbot's `make_backups`. A copy is as durable as the staple itself and is never written over.
//! Only regular files whose names are exactly of that form for this staple are ever removed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::{Claims, Error, Ownership, write};
use crate::ocsp::Staple;

/// What stands behind the name of the staple, in the terms of strftime(3).
const STAMP: &str = "%Y%m%d-%H%M%S";
/// How many seconds after the true one are tried where there is a copy of that second already.
const SECONDS_TRIED: i64 = 60;

/// Makes copies of these staples with this time in their names, and removes the oldest of each so
/// that `keep` are left; all where it is none. The results are in the order of the batch.
pub fn back_up(
    batch: &[(PathBuf, Arc<Staple>)],
    at: DateTime,
    keep: Option<usize>,
    claims: &Claims,
    ownership: Ownership,
) -> Vec<Result<(), Error>> {
    let mut folders = ReadFolders {
        claims,
        names: BTreeMap::new(),
    };
    let mut copies = Vec::new();
    let mut places = Vec::new();
    let mut results: Vec<(usize, Result<(), Error>)> = Vec::new();
    for (place, (path, staple)) in batch.iter().enumerate() {
        match folders.reserve(path, at) {
            Ok(copy) => {
                copies.push((copy, Arc::clone(staple)));
                places.push(place);
            }
            Err(error) => results.push((place, Err(Error::at(path, error)))),
        }
    }
    let written = write(&copies, claims, ownership);
    for ((place, (copy, _)), written) in places.into_iter().zip(&copies).zip(written) {
        let pruned = written.and_then(|()| match (batch.get(place), keep) {
            (Some((path, _)), Some(keep)) => folders.prune(path, copy, keep),
            _ => Ok(()),
        });
        results.push((place, pruned));
    }
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The names in the folders of one batch; each folder is read once.
struct ReadFolders<'a> {
    claims: &'a Claims,
    names: BTreeMap<PathBuf, FolderNames>,
}

#[derive(Default)]
struct FolderNames {
    all: BTreeSet<OsString>,
    /// Those of them that are regular files.
    files: BTreeSet<OsString>,
}

impl ReadFolders<'_> {
    fn names(&mut self, folder: &Path) -> io::Result<&mut FolderNames> {
        if !self.names.contains_key(folder) {
            self.names
                .insert(folder.to_owned(), FolderNames::read(folder)?);
        }
        Ok(self.names.entry(folder.to_owned()).or_default())
    }

    /// A path for a copy that is not taken: of this second, or of one of the next.
    fn reserve(&mut self, staple: &Path, at: DateTime) -> io::Result<PathBuf> {
        let (folder, name) = parts(staple)?;
        let names = self.names(folder)?;
        for later in 0..SECONDS_TRIED {
            let mut copy = name.to_owned();
            copy.push("-");
            copy.push(stamp(at.saturating_add(SignedDuration::from_secs(later))));
            if names.all.insert(copy.clone()) {
                names.files.insert(copy.clone());
                return Ok(folder.join(copy));
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Removes the oldest copies of this staple beyond `keep`, never the one just made.
    fn prune(&mut self, staple: &Path, made: &Path, keep: usize) -> Result<(), Error> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| Error::at(&path, error)
        };
        let (folder, name) = parts(staple).map_err(at(staple))?;
        let opened = self.claims.open(folder).map_err(at(staple))?;
        let names = self.names(folder).map_err(at(staple))?;
        let mut prefix = name.to_owned();
        prefix.push("-");
        let copies: Vec<OsString> = names
            .files
            .range(prefix.clone()..)
            .take_while(|file| file.as_bytes().starts_with(prefix.as_bytes()))
            .filter(|file| is_stamp(file.as_bytes().get(prefix.len()..).unwrap_or_default()))
            .cloned()
            .collect();
        let surplus = copies.len().saturating_sub(keep);
        let old = copies
            .into_iter()
            .filter(|copy| made.file_name() != Some(copy));
        for copy in old.take(surplus) {
            let path = folder.join(&copy);
            names.files.remove(&copy);
            match rustix::fs::unlinkat(&opened, &copy, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(Error::at(&path, error.into())),
            }
        }
        Ok(())
    }
}

impl FolderNames {
    fn read(folder: &Path) -> io::Result<Self> {
        let mut names = FolderNames::default();
        for item in fs::read_dir(folder)? {
            let item = item?;
            if item.file_type().is_ok_and(|kind| kind.is_file()) {
                names.files.insert(item.file_name());
            }
            names.all.insert(item.file_name());
        }
        Ok(names)
    }
}

/// The folder, which is the current one where none is named, and the name.
fn parts(path: &Path) -> io::Result<(&Path, &OsStr)> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    match path.file_name() {
        Some(name) => Ok((folder.unwrap_or(Path::new(".")), name)),
        None => Err(io::ErrorKind::InvalidFilename.into()),
    }
}

/// `YYYYMMDD-HHMMSS`.
fn stamp(at: DateTime) -> String {
    at.strftime(STAMP).to_string()
}

/// Whether a text is a time as [`stamp`] writes it.
fn is_stamp(text: &[u8]) -> bool {
    DateTime::strptime(STAMP, text).is_ok_and(|at| stamp(at).as_bytes() == text)
}
