//! One staplerd at a time writes to a directory.
//!
//! The claim is a lock on the directory itself (flock(2)): it leaves no file that HAProxy would
//! try to load, and the kernel gives it up when the process ends, however it ends. It is advice
//! among staplerds; it keeps nobody else from writing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{Error, folders, temporary};

/// What became of an attempt to claim a directory.
#[derive(Debug)]
pub enum Claim {
    /// It was ours already.
    Kept,
    /// It is ours from now on.
    New,
    /// Another staplerd has it.
    InUse,
    /// It cannot be locked (some network file systems know no locks): whoever cares has to see to
    /// it that there is only one staplerd.
    NotLockable(io::Error),
}

/// The directories that this process may write to, with everything below them.
#[derive(Debug, Default)]
pub struct Claims {
    claimed: Mutex<BTreeMap<PathBuf, Claimed>>,
}

/// A directory that is ours, and the open file that holds its lock.
#[derive(Debug)]
struct Claimed {
    /// Device and inode: another directory may come to have the same path.
    identity: (u64, u64),
    /// Shared with this directory's other names; none where it cannot be locked.
    lock: Option<Arc<Lock>>,
}

/// A lock that ends with its owner, also while a process that was just forked still has the file.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is what gives it up if this should fail.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

impl Claims {
    /// Claims a directory, or finds that it is ours still. Does not wait. What a run that was cut
    /// off left in a directory is removed before anything is written to it, with `recursive` in the
    /// folders in it as well.
    ///
    /// # Errors
    /// The system's error when there is no such directory or it cannot be opened; a claim that was
    /// there is given up.
    pub fn claim(&self, path: &Path, recursive: bool) -> io::Result<Claim> {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = File::open(path).and_then(|directory| {
            let metadata = directory.metadata()?;
            Ok((directory, (metadata.dev(), metadata.ino())))
        });
        let (directory, identity) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                claimed.remove(path);
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
            None => match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => (Claim::New, Some(Arc::new(Lock(directory)))),
                Err(Errno::WOULDBLOCK) => return Ok(Claim::InUse),
                Err(error) => (Claim::NotLockable(error.into()), None),
            },
        };
        temporary::sweep(path, recursive);
        claimed.insert(path.to_owned(), Claimed { identity, lock });
        Ok(claim)
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
        match File::open(folder) {
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
