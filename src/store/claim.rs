//! One staplerd at a time writes to a directory.
//!
//! The claim is a lock (see the module `locks`) that goes by the directory's device and inode: it
//! leaves no file that HAProxy would try to load. It is advice among staplerds; other programs can
//! still write. What is opened below a claimed directory does not lead out of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;

use super::locks::{self, Lock, Locks};
use super::{Error, folders, temporary};
use crate::files::{self, Reach};

/// What became of an attempt to claim a directory.
#[derive(Debug)]
pub enum Claim {
    /// It was ours already.
    Kept,
    /// It is ours from now on.
    New,
    /// Another staplerd has it.
    InUse,
    /// It cannot be locked (some network file systems know no locks): the operator has to see to it
    /// that there is only one staplerd.
    NotLockable(io::Error),
}

/// The directories that this process may write to, with everything below them.
#[derive(Debug)]
pub struct Claims {
    /// Where the file of the locks may lie.
    places: Vec<PathBuf>,
    /// That file, once it is needed.
    locks: Mutex<Option<Arc<Locks>>>,
    claimed: Mutex<BTreeMap<PathBuf, Claimed>>,
}

/// A directory that is ours, with its lock.
#[derive(Debug)]
struct Claimed {
    /// Device and inode: another directory may come to have the same path.
    identity: (u64, u64),
    /// Shared with this directory's other names; none where it cannot be locked.
    lock: Option<Arc<Lock>>,
}

impl Default for Claims {
    fn default() -> Self {
        Claims::with_locks_in(locks::places())
    }
}

impl Claims {
    /// Claims nothing yet; the file of the locks lies in the first of these places that is safe.
    pub(super) fn with_locks_in(places: Vec<PathBuf>) -> Self {
        Claims {
            places,
            locks: Mutex::default(),
            claimed: Mutex::default(),
        }
    }

    /// Claims a directory, or finds that it is ours still. Does not wait. What a run that was cut
    /// off left in a directory is removed before anything is written to it, with `recursive` in the
    /// folders in it as well.
    ///
    /// # Errors
    /// The system's error when there is no such directory or it cannot be opened; a claim that was
    /// there is given up.
    pub fn claim(&self, path: &Path, recursive: bool) -> io::Result<Claim> {
        // Not under the lock: a file system may hang, and others want to know what is claimed.
        let opened = files::open_directory(path, Reach::Anywhere)
            .and_then(|directory| directory.metadata())
            .map(|metadata| (metadata.dev(), metadata.ino()));
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = match opened {
            Ok(identity) => identity,
            Err(error) => {
                // What the process is short of says nothing of the directory.
                let shortage = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
                if !Errno::from_io_error(&error).is_some_and(|it| shortage.contains(&it)) {
                    claimed.remove(path);
                }
                return Err(error);
            }
        };
        if claimed
            .get(path)
            .is_some_and(|known| known.identity == identity)
        {
            return Ok(Claim::Kept);
        }
        claimed.remove(path);
        let under_another_name = claimed
            .values()
            .find(|known| known.identity == identity)
            .map(|known| known.lock.clone());
        let (claim, lock) = match under_another_name {
            Some(lock) => (Claim::New, lock),
            None => match self.take(identity) {
                Ok(Some(lock)) => (Claim::New, Some(Arc::new(lock))),
                Ok(None) => return Ok(Claim::InUse),
                Err(error) => (Claim::NotLockable(error), None),
            },
        };
        drop(claimed);
        temporary::sweep(path, recursive);
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        claimed.insert(path.to_owned(), Claimed { identity, lock });
        Ok(claim)
    }

    fn take(&self, identity: (u64, u64)) -> io::Result<Option<Lock>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        let locks = match &*locks {
            Some(locks) => Arc::clone(locks),
            None => Arc::clone(locks.insert(Arc::new(Locks::open(&self.places)?))),
        };
        locks.take(identity)
    }

    /// Opens a folder; no link leads out of the directory that is ours in or below which it lies.
    pub(super) fn open(&self, folder: &Path) -> io::Result<File> {
        match self.covering(folder) {
            Some(directory) => files::open_directory(folder, Reach::Tree(&directory)),
            None => files::open_directory(folder, Reach::Anywhere),
        }
    }

    /// The file system of the directory that is ours in or below which this path lies, as it was
    /// when it was claimed: without asking a file system that may hang.
    pub fn file_system(&self, path: &Path) -> Option<u64> {
        let directory = self.covering(path)?;
        let claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        claimed.get(&directory).map(|known| known.identity.0)
    }

    /// Gives up the claims to all directories but these.
    pub fn keep(&self, is_kept: impl Fn(&Path) -> bool) {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        claimed.retain(|path, _| is_kept(path));
    }

    /// Sees to it that the folder of this staple is there: what is missing of it below a directory
    /// that is ours is made.
    ///
    /// # Errors
    /// [`Error`] when a folder cannot be made.
    pub fn create_folder_of(&self, path: &Path) -> Result<(), Error> {
        match path.parent().and_then(|folder| self.covering(folder)) {
            Some(directory) => folders::create_between(&directory, path),
            None => Ok(()),
        }
    }

    /// Whether this staple may be written: it lies in a directory that is ours, or below one.
    ///
    /// # Errors
    /// [`Error`] with what stands in the way.
    pub fn check(&self, path: &Path) -> Result<(), Error> {
        if self.cover(path) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(path);
        match files::open_directory(folder, Reach::Anywhere) {
            Ok(_) => Err(Error::InUse(path.to_owned())),
            Err(error) => Err(Error::at(folder, error)),
        }
    }

    /// Whether this path lies in a directory that is ours, or below one.
    pub fn cover(&self, path: &Path) -> bool {
        self.covering(path).is_some()
    }

    /// The nearest directory that is ours in or below which this path lies.
    fn covering(&self, path: &Path) -> Option<PathBuf> {
        let claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut directories = path.ancestors();
        directories
            .find(|directory| claimed.contains_key(*directory))
            .map(Path::to_owned)
    }
}
