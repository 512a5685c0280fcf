//! Group commit: many staples, durable at the price of one flush.
//!
//! Each staple is written to a temporary file beside its place; one flush makes all of them
//! durable, then they are renamed, then each directory is flushed. A crash at any step leaves the
//! old file whole or the new one whole, and at most a temporary file that the next start sweeps.
//! A place that has the bytes already, as when one directory is looked after under two names, is
//! only flushed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, System};
use super::{Claims, Error, Ownership, temporary};
use crate::files;
use crate::ocsp::Staple;

/// How many temporary names are tried before giving up.
const NAME_ATTEMPTS: usize = 8;

/// Writes a batch of staples so that all of them outlive a power failure. The results are in the
/// order of the batch; one failure does not touch the others. At most one file is open at a time,
/// besides the directories. In a directory that is claimed no link leads out of it.
pub fn write(
    batch: &[(PathBuf, Arc<Staple>)],
    claims: &Claims,
    ownership: Ownership,
) -> Vec<Result<(), Error>> {
    let files: Vec<(&Path, &[u8])> = batch
        .iter()
        .map(|(path, staple)| (path.as_path(), staple.der()))
        .collect();
    write_with(&System, &files, claims, ownership)
}

/// The same on any disk, with any bytes.
pub(super) fn write_with(
    disk: &impl Disk,
    files: &[(&Path, &[u8])],
    claims: &Claims,
    ownership: Ownership,
) -> Vec<Result<(), Error>> {
    let folders = Folders::open(files, claims);
    let mut places = BTreeSet::new();
    let (first, again): (Vec<_>, Vec<_>) = files.iter().copied().enumerate().partition(
        // What cannot be opened fails by itself.
        |(_, (path, _))| {
            folders
                .place_of(path)
                .is_none_or(|place| places.insert(place))
        },
    );
    let mut results: BTreeMap<usize, Result<(), Error>> = BTreeMap::new();
    // One place under several paths, one after the other: the last one stays.
    for round in [first, again] {
        let (numbers, files): (Vec<usize>, Vec<_>) = round.into_iter().unzip();
        let written = write_round(disk, &folders, &files, ownership);
        results.extend(numbers.into_iter().zip(written));
    }
    results.into_values().collect()
}

fn write_round(
    disk: &impl Disk,
    folders: &Folders<'_>,
    files: &[(&Path, &[u8])],
    ownership: Ownership,
) -> Vec<Result<(), Error>> {
    let alone = files.len() == 1;
    let written: Vec<io::Result<Prepared<'_, _>>> = files
        .iter()
        .map(|(path, bytes)| {
            let (folder, name) = (folders.of(path)?, file_name(path)?);
            if let Some(file) = folder.holding(name, bytes)
                && give(disk, &file, ownership, folder).is_ok()
            {
                if alone {
                    disk.flush(&file)?;
                }
                return Ok(Prepared::InPlace(folder));
            }
            Temporary::create(disk, folder, name, bytes, ownership, alone).map(Prepared::New)
        })
        .collect();
    let mut file_systems: BTreeMap<u64, io::Result<()>> = BTreeMap::new();
    if !alone {
        for prepared in written.iter().flatten() {
            let folder = prepared.folder();
            file_systems
                .entry(folder.device)
                .or_insert_with(|| disk.flush_file_system(&folder.directory));
        }
    }
    let renamed: Vec<io::Result<&BatchFolder>> = written
        .into_iter()
        .zip(files)
        .map(|(prepared, (path, _))| {
            let prepared = prepared?;
            match (file_systems.get(&prepared.folder().device), prepared) {
                (Some(Err(error)), _) => Err(repeated(error)),
                (_, Prepared::New(temporary)) => temporary.rename_to(file_name(path)?),
                (_, Prepared::InPlace(folder)) => Ok(folder),
            }
        })
        .collect();
    let mut directories: BTreeMap<(u64, u64), io::Result<()>> = BTreeMap::new();
    for folder in renamed.iter().flatten() {
        directories
            .entry((folder.device, folder.inode))
            .or_insert_with(|| flush_directory(disk, folder));
    }
    renamed
        .into_iter()
        .zip(files)
        .map(|(renamed, (path, _))| {
            renamed
                .and_then(
                    |folder| match directories.get(&(folder.device, folder.inode)) {
                        Some(Err(error)) => Err(repeated(error)),
                        _ => Ok(()),
                    },
                )
                .map_err(|error| Error::at(path, error))
        })
        .collect()
}

/// Flushes a directory, where its file system knows how to (some network file systems do not, and
/// have the names on the server already).
fn flush_directory(disk: &impl Disk, folder: &BatchFolder) -> io::Result<()> {
    match disk.flush_directory(&folder.directory) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// The same error once more, for the next file that it concerns.
fn repeated(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

fn file_name(path: &Path) -> io::Result<&OsStr> {
    path.file_name()
        .ok_or_else(|| io::ErrorKind::InvalidFilename.into())
}

/// The directories of one batch, each opened once.
struct Folders<'a> {
    opened: BTreeMap<&'a Path, io::Result<BatchFolder>>,
}

/// A directory that staples are written to.
struct BatchFolder {
    directory: File,
    device: u64,
    inode: u64,
    group: u32,
}

impl<'a> Folders<'a> {
    fn open(files: &[(&'a Path, &[u8])], claims: &Claims) -> Self {
        let mut opened = BTreeMap::new();
        for path in files.iter().filter_map(|(path, _)| path.parent()) {
            opened
                .entry(path)
                .or_insert_with(|| BatchFolder::open(path, claims));
        }
        Folders { opened }
    }

    fn of(&self, path: &Path) -> io::Result<&BatchFolder> {
        match path.parent().and_then(|parent| self.opened.get(parent)) {
            Some(Ok(folder)) => Ok(folder),
            Some(Err(error)) => Err(repeated(error)),
            None => Err(io::ErrorKind::InvalidFilename.into()),
        }
    }

    /// What tells that two paths lead to one place.
    fn place_of<'p>(&self, path: &'p Path) -> Option<(u64, u64, &'p OsStr)> {
        let folder = self.of(path).ok()?;
        Some((folder.device, folder.inode, path.file_name()?))
    }
}

impl BatchFolder {
    /// The file of this name, if it has these bytes, is no link, and has no other name.
    fn holding(&self, name: &OsStr, bytes: &[u8]) -> Option<File> {
        let file = files::open_at(&self.directory, name).ok()?;
        let metadata = file.metadata().ok()?;
        if metadata.nlink() != 1 || metadata.len() != bytes.len() as u64 {
            return None;
        }
        let mut held = Vec::with_capacity(bytes.len());
        (&file).read_to_end(&mut held).ok()?;
        (held == bytes).then_some(file)
    }

    fn open(path: &Path, claims: &Claims) -> io::Result<Self> {
        let directory = claims.open(path)?;
        let metadata = directory.metadata()?;
        Ok(BatchFolder {
            directory,
            device: metadata.dev(),
            inode: metadata.ino(),
            group: metadata.gid(),
        })
    }
}

/// A staple on its way to its place.
enum Prepared<'a, D: Disk> {
    /// It lies there already.
    InPlace(&'a BatchFolder),
    /// It lies beside it.
    New(Temporary<'a, D>),
}

impl<'a, D: Disk> Prepared<'a, D> {
    fn folder(&self) -> &'a BatchFolder {
        match self {
            Prepared::InPlace(folder) => folder,
            Prepared::New(temporary) => temporary.folder,
        }
    }
}

/// A temporary file that is removed unless it is renamed into place.
struct Temporary<'a, D: Disk> {
    disk: &'a D,
    folder: &'a BatchFolder,
    name: OsString,
    is_renamed: bool,
}

impl<'a, D: Disk> Temporary<'a, D> {
    /// Writes a whole file; flushes it, too, if nothing else does.
    fn create(
        disk: &'a D,
        folder: &'a BatchFolder,
        target: &OsStr,
        bytes: &[u8],
        ownership: Ownership,
        flush: bool,
    ) -> io::Result<Self> {
        let (name, file) = create_with_new_name(disk, folder, target)?;
        let temporary = Temporary {
            disk,
            folder,
            name,
            is_renamed: false,
        };
        write_all(disk, &file, bytes)?;
        give(disk, &file, ownership, folder)?;
        if flush {
            disk.flush(&file)?;
        }
        Ok(temporary)
    }

    fn rename_to(mut self, target: &OsStr) -> io::Result<&'a BatchFolder> {
        self.disk
            .rename(&self.folder.directory, &self.name, target)?;
        self.is_renamed = true;
        Ok(self.folder)
    }
}

impl<D: Disk> Drop for Temporary<'_, D> {
    fn drop(&mut self) {
        if !self.is_renamed {
            // If even this fails, the sweep of the next start finds the file.
            let _ = self.disk.remove(&self.folder.directory, &self.name);
        }
    }
}

/// Gives a file the permissions and the group that it is to have, as far as it has not.
fn give(
    disk: &impl Disk,
    file: &File,
    ownership: Ownership,
    folder: &BatchFolder,
) -> io::Result<()> {
    let metadata = file.metadata()?;
    match ownership.group() {
        Some(group) if metadata.gid() != group => disk.set_group(file, group)?,
        // A user outside the directory's group cannot give files to it.
        None if metadata.gid() != folder.group => {
            let _ = disk.set_group(file, folder.group);
        }
        _ => {}
    }
    // A change of the group takes bits away (chown(2)).
    if file.metadata()?.mode() & 0o7777 != ownership.mode() {
        disk.set_mode(file, ownership.mode())?;
    }
    Ok(())
}

fn create_with_new_name(
    disk: &impl Disk,
    folder: &BatchFolder,
    target: &OsStr,
) -> io::Result<(OsString, File)> {
    for _ in 0..NAME_ATTEMPTS {
        let name = temporary::name_for(target);
        match disk.create(&folder.directory, &name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created.map(|file| (name, file)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn write_all(disk: &impl Disk, file: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match disk.write(file, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
