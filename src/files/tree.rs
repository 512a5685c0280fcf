//! Opening within a directory tree in which strangers may have put links.
//!
//! The kernel sees to it that a path does not leave the tree, even if it is changed meanwhile
//! (openat2(2), `RESOLVE_BENEATH`). What leads out, or is an absolute link, is looked at more
//! closely: its end may be in the tree after all, or every link on the way is one that no stranger
//! can have made; then that end is opened with no link followed any more.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::Reach;
use super::links::{Link, end_of};

/// How often a path is tried while others rename what lies on it (openat2(2), `EAGAIN`).
const ATTEMPTS: usize = 16;

/// A link leads out of the directory tree, and a stranger may have made it.
#[derive(Debug, thiserror::Error)]
#[error(
    "a link leads out of the directory tree: it is not followed; name what it leads to itself if \
     it is to be looked after"
)]
struct LeadsOut;

/// Whether an opening failed because a link leads out of the tree.
pub fn leads_out(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<LeadsOut>())
}

/// Opens what is at `path` with these flags.
pub(super) fn open(path: &Path, reach: Reach<'_>, flags: OFlags) -> io::Result<File> {
    // The working directory's name is empty where a path is cut from a name.
    let path = match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    };
    let Reach::Tree(top) = reach else {
        return Ok(rustix::fs::open(path, flags, Mode::empty())?.into());
    };
    let Ok(below) = path.strip_prefix(top) else {
        return Err(io::Error::other(LeadsOut));
    };
    let tree = directory(top)?;
    match beneath(&tree, below, flags, ResolveFlags::BENEATH) {
        Err(Errno::XDEV) => open_outside(top, path, flags),
        opened => Ok(opened?.into()),
    }
}

/// Opens what a link leads to that leads out of the tree, or is an absolute one.
fn open_outside(top: &Path, path: &Path, flags: OFlags) -> io::Result<File> {
    // Only the file itself may be behind a link, not a folder on the way to it.
    if let Some(folder) = path.parent() {
        open(folder, Reach::Tree(top), OFlags::PATH | OFlags::DIRECTORY)?;
    }
    let real = fs::canonicalize(top)?;
    let (links, end) = end_of(path);
    if let Ok(below) = end.strip_prefix(&real) {
        let tree = directory(&real)?;
        return Ok(beneath(&tree, below, flags, ResolveFlags::NO_SYMLINKS)?.into());
    }
    let owner = fs::metadata(&real)?.uid();
    let ourselves = rustix::process::geteuid().as_raw();
    let (links_to_top, _) = end_of(top);
    let is_operators = |link: &Link| {
        [0, owner, ourselves].contains(&link.owner) || links_to_top.iter().any(|it| it == link)
    };
    // A folder behind a link could lead on without end; a file is one file.
    if flags.contains(OFlags::DIRECTORY) || !links.iter().all(is_operators) {
        return Err(io::Error::other(LeadsOut));
    }
    let root = directory(Path::new("/"))?;
    let below: PathBuf = end.components().skip(1).collect();
    Ok(beneath(&root, &below, flags, ResolveFlags::NO_SYMLINKS)?.into())
}

fn directory(path: &Path) -> io::Result<OwnedFd> {
    let path = match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn beneath(
    directory: &OwnedFd,
    below: &Path,
    flags: OFlags,
    rule: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let below = match below.as_os_str().is_empty() {
        true => Path::new("."),
        false => below,
    };
    let rule = rule | ResolveFlags::NO_MAGICLINKS;
    let mut attempts = 0;
    loop {
        attempts += 1;
        match rustix::fs::openat2(directory, below, flags, Mode::empty(), rule) {
            Err(Errno::AGAIN) if attempts < ATTEMPTS => {}
            // Before Linux 5.6.
            Err(Errno::NOSYS) => return step_by_step(directory, below, flags),
            opened => return opened,
        }
    }
}

/// Opens what is below a directory without any link on the way; a link is taken for one that leads
/// out.
fn step_by_step(directory: &OwnedFd, below: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let mut steps: Vec<&OsStr> = below.iter().collect();
    if steps.contains(&OsStr::new("..")) {
        return Err(Errno::XDEV);
    }
    let last = steps.pop().unwrap_or(OsStr::new("."));
    let mut folder = rustix::io::dup(directory)?;
    for step in steps {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
        folder = rustix::fs::openat(&folder, step, flags, Mode::empty()).map_err(of_link)?;
    }
    let status = rustix::fs::statat(&folder, last, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(status.st_mode) == FileType::Symlink {
        return Err(Errno::XDEV);
    }
    rustix::fs::openat(&folder, last, flags | OFlags::NOFOLLOW, Mode::empty()).map_err(of_link)
}

/// Not a directory or too many links: a link.
fn of_link(error: Errno) -> Errno {
    match error {
        Errno::LOOP | Errno::NOTDIR => Errno::XDEV,
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn where_the_kernel_does_not_help_no_link_is_followed_at_all() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("a/b")).unwrap();
        fs::write(directory.path().join("a/b/file"), "").unwrap();
        symlink("a", directory.path().join("link")).unwrap();
        symlink("file", directory.path().join("a/b/link")).unwrap();
        let top = super::directory(directory.path()).unwrap();
        let opened = |below: &str| {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            step_by_step(&top, Path::new(below), flags).map(drop)
        };
        assert_eq!(opened("a/b/file"), Ok(()));
        assert_eq!(opened("."), Ok(()));
        for link in ["link", "link/b/file", "a/b/link", "a/../a/b/file"] {
            assert_eq!(opened(link), Err(Errno::XDEV), "{link}");
        }
        assert_eq!(opened("a/missing"), Err(Errno::NOENT));
    }
}
