//! Locks that a stranger cannot take: one file of our own, and in it a byte for each directory.
//!
//! Any user who may read the directory could lock it itself, and such a lock would cost an open
//! file for each directory. The file lies where no other user can put one: in `$RUNTIME_DIRECTORY`
//! (systemd), in `/run/staplerd`, in the user's own runtime directory, or in a directory of this
//! user's under `/tmp`. Only its owner and root can open it, so those who share it see each other:
//! root and the user of the service, and all processes of one user. Others do not, but they may
//! hardly write to the same directory. The kernel gives a lock up when the process ends, however it
//! ends (open file description locks, fcntl(2)).

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::files;

/// The file's name.
const NAME: &str = "locks";
/// The runtime directory of the service.
const RUNTIME: &str = "/run/staplerd";

/// The file, open for as long as any lock is held.
#[derive(Debug)]
pub(super) struct Locks(File);

/// The lock of one directory; it ends with its owner, also while a process that was just forked
/// still has the file.
#[derive(Debug)]
pub(super) struct Lock {
    locks: Arc<Locks>,
    byte: i64,
}

impl Locks {
    /// Opens the file in the first of these places that is safe.
    ///
    /// # Errors
    /// What the last place lacks.
    pub(super) fn open(places: &[PathBuf]) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for place in places {
            match open_in(place) {
                Ok(file) => return Ok(Locks(file)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Takes the lock of the directory with this device and inode; none where another process has
    /// it. Does not wait.
    ///
    /// # Errors
    /// The system's, where the file cannot be locked.
    pub(super) fn take(self: &Arc<Self>, identity: (u64, u64)) -> io::Result<Option<Lock>> {
        let byte = byte_of(identity);
        match self.set(libc::F_WRLCK, byte) {
            Ok(()) => Ok(Some(Lock {
                locks: Arc::clone(self),
                byte,
            })),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn set(&self, kind: i32, byte: i64) -> Result<(), Errno> {
        let part = libc::flock {
            l_type: i16::try_from(kind).unwrap_or_default(),
            l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
            l_start: byte,
            l_len: 1,
            l_pid: 0,
        };
        fcntl(&self.0, FcntlArg::F_OFD_SETLK(&part)).map(drop)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The end of the process is what gives it up if this should fail.
        let _ = self.locks.set(libc::F_UNLCK, self.byte);
    }
}

/// Where the file may lie, the best place first.
pub(super) fn places() -> Vec<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let own = format!("staplerd-{}", rustix::process::geteuid().as_raw());
    let of_service = std::env::var("RUNTIME_DIRECTORY").ok();
    let of_service = of_service.and_then(|all| Some(PathBuf::from(all.split(':').next()?)));
    let of_user = variable("XDG_RUNTIME_DIR").map(|folder| folder.join("staplerd"));
    let places = [of_service, Some(RUNTIME.into()), of_user];
    let mut places: Vec<PathBuf> = places.into_iter().flatten().collect();
    places.push(std::env::temp_dir().join(own));
    places.retain(|place| place.is_absolute());
    places
}

/// Opens the file in this directory, which is made if need be.
fn open_in(place: &Path) -> io::Result<File> {
    match DirBuilder::new().mode(0o755).create(place) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let ourselves = rustix::process::geteuid();
    let folder = fs::symlink_metadata(place)?;
    let is_theirs = folder.uid() != ourselves.as_raw() && !ourselves.is_root();
    if !folder.is_dir() || is_theirs || folder.mode() & 0o022 != 0 {
        let message = "a directory in which others may put files";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    files::private(&place.join(NAME), folder.uid())
}

/// The byte that stands for a directory: within what an offset can be.
fn byte_of((device, inode): (u64, u64)) -> i64 {
    ((inode ^ device.rotate_left(40)) & (u64::MAX >> 2)).cast_signed()
}
